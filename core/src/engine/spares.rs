//! Emptied records, kept for the next executions.
//!
//! Role: a record's memory belongs to the worker that filled it. It travels to whoever commits the
//! transaction, and from there back, so that no thread frees what another one has allocated:
//! allocators make both of them wait for that. Actors: each worker takes from its own bin; whoever
//! commits gives to the owner's bin.
//!
//! Invariants: a record in a bin is nobody else's; what it holds of its last execution is emptied
//! before it is filled again; a bin has a bound, beyond which records are freed.

use super::record::Record;
use crate::sync::{Line, Mutex};

/// Bins; workers with higher numbers share them.
const BINS: usize = 64;
/// Records in one bin: as many as a worker can be ahead of the head.
const MOST: usize = 512;
/// Locations that a record which is kept between blocks has room for at most. Hardly any
/// transaction touches more, and the bins of one that does would be kept for ever.
const ROOM: usize = 1024;

/// Records at rest. They travel between workers, as pointers.
pub(crate) type Records = Vec<Box<Record>>;

/// One worker's records.
type Bin = Line<Mutex<Records>>;

/// The emptied records of all workers.
pub(crate) struct Spares(Box<[Bin]>);

impl Spares {
    pub(crate) fn new() -> Self {
        Self((0..BINS).map(|_| Bin::default()).collect())
    }

    fn bin(&self, owner: usize) -> &Mutex<Records> {
        &self.0[owner % BINS].0
    }

    /// Moves what lies in the owner's bin into its `hand`, which is empty.
    pub(crate) fn take(&self, owner: usize, hand: &mut Records) {
        std::mem::swap(&mut *self.bin(owner).lock(), hand);
    }

    /// Gives a record back to the worker that has filled it.
    pub(crate) fn give(&self, record: Box<Record>) {
        let mut bin = self.bin(record.owner).lock();
        if bin.len() < MOST {
            bin.push(record);
        }
    }

    /// Gives back what its owner has left in its `hand`.
    pub(crate) fn leave(&self, owner: usize, hand: &mut Records) {
        let mut bin = self.bin(owner).lock();
        hand.truncate(MOST.saturating_sub(bin.len()));
        bin.append(hand);
    }

    /// Frees what is too large to be kept from block to block.
    pub(crate) fn tidy(&mut self) {
        let small = |record: &Record| {
            let sizes = [
                record.reads.accounts.capacity(),
                record.reads.slots.capacity(),
                record.writes.accounts.capacity(),
                record.writes.slots.capacity(),
            ];
            sizes.into_iter().all(|size| size <= ROOM)
        };
        self.0.iter_mut().for_each(|bin| bin.0.get_mut().retain(|record| small(record)));
    }
}
