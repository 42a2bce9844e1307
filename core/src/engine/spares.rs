//! Emptied records, kept for the next executions.
//!
//! Role: a record's memory belongs to the worker that filled it. It travels to whoever commits the
//! transaction, and from there back, so that no thread frees what another one has allocated:
//! allocators make both of them wait for that. Actors: each worker takes from its own bin; whoever
//! commits gives to the owner's bin.
//!
//! Invariants: a record in a bin is nobody else's; what it holds of its last execution is emptied
//! before it is filled again; a bin has a bound, beyond which records are freed.

use super::{record::Record, schedule::WINDOW, tables::Tables};
use crate::sync::{Line, Mutex};
use std::sync::Arc;

/// Bins; workers with higher numbers share them.
const BINS: usize = 64;
/// Records in one bin: as many as a worker can be ahead of the head.
const MOST: usize = WINDOW;
/// Memory of the records in one bin that are kept between blocks, bytes. Those of a mainnet block
/// need less than a tenth of it; a block of transactions that touch thousands of accounts each
/// shall not be remembered for ever.
const BYTES: usize = 4 << 20;

/// Records at rest. They travel between workers, as pointers.
#[derive(Default)]
struct Records {
    #[allow(clippy::vec_box)]
    all: Vec<Box<Record>>,
    /// The memory of all of them: who has one in hand knows it, and nobody else has to look.
    bytes: usize,
}

impl Records {
    fn push(&mut self, record: Box<Record>) {
        self.bytes += record.bytes();
        self.all.push(record);
    }

    fn pop(&mut self) -> Option<Box<Record>> {
        let record = self.all.pop()?;
        self.bytes -= record.bytes();
        Some(record)
    }

    /// Moves the other ones here, up to the bound; the rest are freed.
    fn append(&mut self, other: &mut Self) {
        while self.all.len() + other.all.len() > MOST && other.pop().is_some() {}
        self.all.append(&mut other.all);
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

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
    fn take(&self, owner: usize, hand: &mut Records) {
        std::mem::swap(&mut *self.bin(owner).lock(), hand);
    }

    /// Gives a record back to the worker that has filled it.
    fn give(&self, record: Box<Record>) {
        let mut bin = self.bin(record.owner).lock();
        if bin.all.len() < MOST {
            bin.push(record);
        }
    }

    /// Gives back what its owner has left in its `hand`.
    fn leave(&self, owner: usize, hand: &mut Records) {
        self.bin(owner).lock().append(hand);
    }

    /// Frees what is too much to be kept from block to block.
    pub(crate) fn tidy(&mut self) {
        for bin in &mut self.0 {
            let records = bin.0.get_mut();
            if records.bytes > BYTES {
                let mut bytes = 0;
                let all = std::mem::take(records).all.into_iter();
                let kept = all.filter(|record| {
                    bytes += record.bytes();
                    bytes <= BYTES
                });
                kept.for_each(|record| records.push(record));
            }
        }
    }
}

/// A worker's supply of records. What is left returns to the bins when the worker leaves.
pub(crate) struct Supply {
    tables: Arc<Tables>,
    owner: usize,
    records: Records,
}

impl Supply {
    pub(crate) const fn new(tables: Arc<Tables>, owner: usize) -> Self {
        Self { tables, owner, records: Records { all: Vec::new(), bytes: 0 } }
    }

    /// A record for the owner's next execution.
    pub(crate) fn take(&mut self) -> Box<Record> {
        if self.records.all.is_empty() {
            self.tables.spares.take(self.owner, &mut self.records);
        }
        let mut record = self.records.pop().unwrap_or_default();
        record.owner = self.owner;
        record
    }

    /// Keeps an emptied record, or gives it back to the worker that filled it.
    pub(crate) fn give(&mut self, record: Box<Record>) {
        if record.owner == self.owner {
            self.records.push(record);
        } else {
            self.tables.spares.give(record);
        }
    }
}

impl Drop for Supply {
    fn drop(&mut self) {
        self.tables.spares.leave(self.owner, &mut self.records);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::AccountWrite;

    fn record(owner: usize, writes: usize) -> Box<Record> {
        let mut record = Box::new(Record { owner, ..Record::default() });
        record.writes.accounts.reserve_exact(writes);
        record
    }

    #[test]
    fn a_record_returns_to_its_owner() {
        let (spares, mut hand) = (Spares::new(), Records::default());
        spares.give(record(1, 0));
        spares.give(record(2, 0));
        hand.push(record(1, 0));
        spares.leave(1, &mut hand);
        spares.take(1, &mut hand);
        assert_eq!(hand.all.iter().map(|record| record.owner).collect::<Vec<_>>(), [1, 1]);
        hand = Records::default();
        spares.take(1, &mut hand);
        assert!(hand.all.is_empty());
        (0..2 * MOST).for_each(|_| spares.give(record(3, 0)));
        hand.push(record(3, 0));
        spares.leave(3, &mut hand);
        assert!(hand.all.is_empty());
        spares.take(3, &mut hand);
        assert_eq!(hand.all.len(), MOST);
    }

    #[test]
    fn what_is_kept_has_a_bound_in_bytes() {
        let (mut spares, mut hand) = (Spares::new(), Records::default());
        let half = BYTES / 2 / size_of::<AccountWrite>() + 1;
        (0..5).for_each(|_| spares.give(record(1, 10)));
        (0..5).for_each(|_| spares.give(record(1, half)));
        spares.tidy();
        spares.take(1, &mut hand);
        assert_eq!(hand.all.len(), 6);
        let bytes =
            |records: &Records| records.all.iter().map(|record| record.bytes()).sum::<usize>();
        assert_eq!(hand.bytes, bytes(&hand));
        assert!(hand.bytes <= BYTES);
        hand.pop();
        assert_eq!(hand.bytes, bytes(&hand));
    }
}
