//! Validation ahead of its turn, by workers that find nothing to execute.
//!
//! Role: where many cores speculate, a stale record is often known to be stale long before it is
//! the head: what it read has been written again meanwhile. Left alone, all of them are repeated
//! by whoever commits, one after the other, while the rest wait. A worker that has nothing to do
//! looks for the first of them and executes it once more. Source: Block-STM (Gelashvili and others,
//! 2022) validates and re-executes in the same way, but instead of going ahead.
//!
//! Actors: one worker at a time scans ([`Scans`]); each may be executing a retracted transaction;
//! the holder of the commit token takes records as ever.
//!
//! Protocol. A ready transaction has a record, or none where its speculation came to nothing. Under
//! the record's lock, [`super::schedule::Schedule::retract`] makes it unready and takes the record.
//! So of the scanning worker and the holder of the token one gets the record; the holder who comes
//! second finds that the transaction is unready and waits for it as for any that is being executed.
//! Whoever retracts executes, takes the old versions back, publishes the new ones under the next
//! incarnation, so that a stamp still names one value, and makes the transaction ready again.
//!
//! Why it cannot change a result: what is made ready is a speculative record like any other, and
//! passes the same gate. What is compared here are versions that may be withdrawn; the answer
//! decides only who works on what.
//!
//! Why it ends: each retraction raises the incarnation, up to [`MOST`]. Why nothing is left behind:
//! a worker that retracts makes ready before it leaves, as with what it has claimed.
//!
//! Why no stale record is missed by all who leave ([`Scans::last`]). A worker that leaves makes its
//! last record ready, and then scans. If somebody else is at it, that scan may already have passed
//! the record: so the worker leaves word, has a fence, and tries once more. It fails only if
//! somebody holds the lock at that moment, whose fence after the unlocking is then later than this
//! one: had it been earlier, the lock would have been seen free, or held by yet another one, for
//! whom the same is true. That holder has taken the word before scanning, and then the scan sees
//! the record; or sees the word after its own fence, and scans once more if it is about to leave.
//! One that is not has its own last scan still before it. A word is left at most once for each
//! call, so the repetitions end.

use super::{
    ahead::{Worker, position},
    commit::REPEATED,
    reads::{AccountRead, ReadSet, SlotRead},
    record::Record,
    run::Run,
    schedule::{Schedule, WINDOW},
    soft::{Fit, fit_value, slot_value},
    tables::{Position, Stamp, Tables},
    versions::Chain,
    vm::Vm,
    watch::{StaleRead, Watch},
};
use crate::sync::{
    Line, Mutex,
    atomic::{AtomicBool, Ordering, fence},
};

/// The last incarnation that may be retracted.
const MOST: u8 = REPEATED + 6;
/// So many unready transactions in a row end a scan: few records lie behind them.
const GAP: usize = 64;
/// A waiting worker scans at one in so many of its looks: what it scans lies in the caches of
/// those who work, and each scan takes it from them for a while.
const EVERY: u32 = 4;

/// Whether a worker that has looked in vain `idle` times should scan.
pub(super) const fn is_time(idle: u32) -> bool {
    idle % EVERY == 1
}

/// The first transaction that may be retracted: whoever commits the head goes on with the next one.
pub(super) fn first(schedule: &Schedule<'_>) -> usize {
    let head = schedule.head();
    head + if schedule.is_ready(head) { 2 } else { 1 }
}

/// What is known of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Known {
    /// It was not ready when last looked at.
    #[default]
    Unready,
    /// It is ready: what it has written is no news.
    Ready,
    /// And its record was found to be right, as far as anybody could tell.
    Checked,
}

/// What earlier scans of a block have found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    known: Vec<Known>,
    head: usize,
}

impl Scan {
    /// Calls `check` with each transaction whose record may have become stale since the last scan,
    /// in order, until it returns something.
    fn run<T>(&mut self, schedule: &Schedule<'_>, check: impl Fn(usize) -> Option<T>) -> Option<T> {
        let head = schedule.head();
        self.known.resize(schedule.len(), Known::Unready);
        // Values that nobody could see before they were committed.
        let fresh = |at: usize| self.known[at] == Known::Unready || schedule.has_failed(at);
        let mut news = (self.head..head).any(fresh);
        self.head = head;
        let first = first(schedule);
        let mut gap = 0;
        for index in head..schedule.len().min(head + WINDOW) {
            let known = &mut self.known[index];
            if !schedule.is_ready(index) {
                *known = Known::Unready;
                gap += 1;
                if gap > GAP {
                    break;
                }
                continue;
            }
            gap = 0;
            let old = *known;
            if index >= first && (news || old != Known::Checked) {
                *known = Known::Checked;
                if let Some(found) = check(index) {
                    *known = Known::Unready;
                    return Some(found);
                }
            } else if news || old == Known::Unready {
                *known = Known::Ready;
            }
            news |= old == Known::Unready;
        }
        None
    }
}

/// What one worker at a time scans with, and whether somebody has left who could not.
#[derive(Debug, Default)]
pub(super) struct Scans<T = Scan> {
    scan: Line<Mutex<T>>,
    missed: Line<AtomicBool>,
}

impl<T> Scans<T> {
    /// Scans, unless somebody else does.
    fn once<F>(&self, scan: impl FnOnce(&mut T) -> Option<F>) -> Option<F> {
        let mut held = self.scan.try_lock()?;
        scan(&mut held)
    }

    /// Scans for a worker that finds nothing else to do in this block; afterwards also for those
    /// who wanted to meanwhile. Where this returns none, what the worker did before is seen by this
    /// scan or by one that begins later.
    pub(super) fn last<F>(&self, mut scan: impl FnMut(&mut T) -> Option<F>) -> Option<F> {
        let mut left_word = false;
        loop {
            if let Some(mut held) = self.scan.try_lock() {
                self.missed.swap(false, Ordering::AcqRel);
                let found = scan(&mut held);
                drop(held);
                fence(Ordering::SeqCst);
                if found.is_some() || !self.missed.load(Ordering::Relaxed) {
                    return found;
                }
            } else if left_word {
                return None;
            } else {
                left_word = true;
                self.missed.swap(true, Ordering::AcqRel);
                fence(Ordering::SeqCst);
            }
        }
    }
}

/// What comparing a read with the versions of now has given.
enum Found {
    Same,
    Stale(StaleRead),
    /// The newest version is about to be replaced.
    Unsettled,
}

/// Compares records with the newest versions below their positions, committed or not.
struct Checker<'c, 'b> {
    tables: &'c Tables,
    schedule: &'c Schedule<'b>,
    position: Position,
}

impl Checker<'_, '_> {
    /// The first read that is stale; none while it cannot be told.
    fn stale(&self, record: &Record) -> Option<StaleRead> {
        let reads = &record.reads;
        let accounts = reads.accounts.iter().map(|read| self.account(read));
        let slots = reads.slots.iter().map(|read| self.slot(read, reads));
        for found in accounts.chain(slots) {
            match found {
                Found::Same => {}
                Found::Stale(read) => return Some(read),
                Found::Unsettled => return None,
            }
        }
        None
    }

    /// The newest version, unless it is the one that was read.
    fn newest<T: Copy>(&self, chain: &Chain<T>, read: Stamp) -> Option<(Stamp, Option<T>)> {
        match chain.below(self.position) {
            Some((stamp, _)) if stamp == read => None,
            None if read == Stamp::BASE => None,
            Some((stamp, value)) => Some((stamp, Some(value))),
            None => Some((Stamp::BASE, None)),
        }
    }

    fn verdict(&self, read: StaleRead, stamp: Stamp) -> Found {
        let writer = (stamp.position() as usize).checked_sub(1);
        let unsettled = |writer| !self.schedule.is_ready(writer);
        if writer.is_some_and(unsettled) { Found::Unsettled } else { Found::Stale(read) }
    }

    fn account(&self, read: &AccountRead) -> Found {
        let cell = self.tables.account(read.id);
        let Some((stamp, version)) = self.newest(&cell.chain, read.stamp) else {
            return Found::Same;
        };
        let Some(mut now) = version.or_else(|| cell.known_base()) else { return Found::Same };
        if read.stamp == Stamp::PREDICTED {
            // The nonce that the transaction claims may be ahead of its sender's others.
            now.nonce = read.value.nonce;
        }
        match fit_value(read, now) {
            Fit::Stale => self.verdict(StaleRead::account(read, Some(&now), stamp), stamp),
            Fit::Exact | Fit::Soft(_) => Found::Same,
        }
    }

    fn slot(&self, read: &SlotRead, reads: &ReadSet) -> Found {
        let cell = self.tables.slot(read.id);
        let Some((stamp, version)) = self.newest(&cell.chain, read.stamp) else {
            return Found::Same;
        };
        // The account's own read is not stale, so it tells how to look at the slot.
        let account = &reads.accounts[read.account as usize].value;
        let version = version.map(|value| (stamp, value));
        match slot_value(account, version, || cell.known_base()) {
            Some(now) if now != read.value => {
                self.verdict(StaleRead::Slot { id: read.id, stamp }, stamp)
            }
            _ => Found::Same,
        }
    }
}

impl<'b, V: Vm<'b>, W: Watch> Run<'b, V, W> {
    /// Executes once more, ahead of its turn, the first transaction that has become stale; false
    /// where there is none, or somebody else looks for one.
    pub(super) fn revalidate(&self, worker: &mut Worker<V::Instance>) -> bool {
        self.revalidates() && {
            let found = self.scans.once(|scan| self.scan(scan));
            self.execute_stale(worker, found)
        }
    }

    /// The same for a worker that finds nothing else to do in this block: what it made ready is
    /// looked at by itself, or by somebody else later.
    pub(super) fn revalidate_last(&self, worker: &mut Worker<V::Instance>) -> bool {
        self.revalidates() && {
            let found = self.scans.last(|scan| self.scan(scan));
            self.execute_stale(worker, found)
        }
    }

    /// Where there is an access list, a stale record is a fault of the list.
    fn revalidates(&self) -> bool {
        self.ahead.input.optimisations.revalidate && self.ahead.input.listed.is_none()
    }

    fn scan(&self, scan: &mut Scan) -> Option<(usize, Box<Record>)> {
        scan.run(&self.ahead.schedule, |index| self.retract(index))
    }

    fn execute_stale(
        &self,
        worker: &mut Worker<V::Instance>,
        found: Option<(usize, Box<Record>)>,
    ) -> bool {
        let Some((index, stale)) = found else { return false };
        self.ahead.execute_again(worker, index, stale);
        self.commit_own(worker);
        true
    }

    fn retract(&self, index: usize) -> Option<(usize, Box<Record>)> {
        let (tables, schedule) = (&*self.ahead.input.tables, &self.ahead.schedule);
        let checker = Checker { tables, schedule, position: position(index) };
        let mut read = None;
        let record = schedule.retract(index, |record| {
            // What was read of a parent that was not final is compared when its turn comes.
            if record.incarnation < MOST && !record.reads.early {
                read = checker.stale(record);
            }
            read.is_some()
        })?;
        if W::ON {
            self.ahead.watch.stale(tables, index, read);
        }
        Some((index, record))
    }
}

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests {
    use super::*;
    use crate::{
        block::Block,
        engine::{Optimisations, back_off::BackOff, schedule::Fate},
    };
    use alloy_consensus::{SignableTransaction, TxLegacy, transaction::Recovered};
    use alloy_primitives::{Address, Signature};

    fn block(len: usize) -> Block {
        let signed = TxLegacy::default().into_signed(Signature::test_signature());
        let tx = Recovered::new_unchecked(signed.into(), Address::ZERO);
        Block { transactions: vec![tx; len], ..Block::default() }
    }

    /// What a scan asks for, where nothing is stale.
    fn asked(scan: &mut Scan, schedule: &Schedule<'_>) -> Vec<usize> {
        let asked = std::cell::RefCell::new(Vec::new());
        let none = scan.run(schedule, |index| {
            asked.borrow_mut().push(index);
            None::<()>
        });
        assert!(none.is_none());
        asked.into_inner()
    }

    #[test]
    fn records_are_checked_when_something_before_them_is_news() {
        let block = block(9);
        let schedule = Schedule::new(&block, Optimisations::ALL, None);
        let mut scan = Scan::default();
        assert_eq!(asked(&mut scan, &schedule), [0; 0]);
        [1, 3, 4].into_iter().for_each(|index| schedule.set_ready(index, 1));
        assert_eq!(asked(&mut scan, &schedule), [1, 3, 4]);
        assert_eq!(asked(&mut scan, &schedule), [0; 0], "nothing has changed");
        schedule.set_ready(2, 1);
        assert_eq!(asked(&mut scan, &schedule), [2, 3, 4], "what comes after the news");
        // Nobody had seen what the head writes before it was committed.
        schedule.advance(&mut BackOff::default(), 0, Fate::Direct);
        assert_eq!(asked(&mut scan, &schedule), [3, 4], "whoever commits goes on with 1 and 2");
        schedule.advance(&mut BackOff::default(), 1, Fate::Held);
        assert_eq!(asked(&mut scan, &schedule), [0; 0], "its values were known");
        schedule.set_failed(2);
        schedule.advance(&mut BackOff::default(), 2, Fate::Failed);
        schedule.advance(&mut BackOff::default(), 3, Fate::Held);
        schedule.set_ready(6, 1);
        assert_eq!(asked(&mut scan, &schedule), [6]);
        assert_eq!(asked(&mut scan, &schedule), [0; 0]);
    }

    #[test]
    fn what_was_found_is_news_when_it_is_ready_again() {
        let block = block(5);
        let schedule = Schedule::new(&block, Optimisations::ALL, None);
        let mut scan = Scan::default();
        (1..4).for_each(|index| schedule.set_ready(index, 1));
        assert_eq!(scan.run(&schedule, |index| (index == 2).then_some(index)), Some(2));
        schedule.set_unready(2);
        assert_eq!(asked(&mut scan, &schedule), [3], "the scan had not come so far");
        schedule.set_ready(2, 1);
        assert_eq!(asked(&mut scan, &schedule), [2, 3]);
    }
}
