//! Speculation for a host that commits by itself, one transaction after the other.
//!
//! Role: hand the host the record of each transaction in block order, and let the workers see what
//! the host has committed. Actors: the host's thread, which owns [`Steps`] and stands in for the
//! holder of the commit token; the workers, in [`Ahead::work`].
//!
//! Protocol. The head is the first transaction that the host has not committed. [`Steps::take`]
//! either finds the head ready, or claims it for the host, or waits for the worker that has claimed
//! it. So when the host commits the head, no worker holds it and none will: nobody publishes
//! versions at or below a committed position, as in [`super::run`].
//!
//! Whoever waits waits for a run in progress, which ends by itself or at its next read once the
//! speculation is stopped. A stopped speculation hands out nothing more and ignores what the host
//! commits: the host executes the rest, and nothing is lost but speed.

use super::{
    ahead::{Ahead, Counters, position},
    back_off::BackOff,
    commit::{IN_ORDER, SPECULATIVE},
    idle::pause,
    record::{Record, WriteSet, write_account},
    schedule::{Fate, Taken},
    tables::Stamp,
    view::{Lens, View, ViewError},
    vm::Vm,
    watch::Unwatched,
};
use revm::state::EvmState;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The host's side of a speculation.
pub(crate) struct Steps<'s, V> {
    pub(crate) ahead: &'s Ahead<'s, V, Unwatched>,
    view: View<'s>,
    head: usize,
    back_off: BackOff,
    /// Whether the head is the host's: no worker holds it.
    taken: bool,
    /// What the head's speculative run took, nanoseconds and gas, where there was one.
    ran: Option<(u64, u64)>,
    /// What the head's speculative run has published.
    published: WriteSet,
    writes: WriteSet,
}

impl<'s, V: Vm<'s>> Steps<'s, V> {
    pub(crate) fn new(ahead: &'s Ahead<'s, V, Unwatched>) -> Self {
        Self {
            ahead,
            view: ahead.view(),
            head: 0,
            back_off: BackOff::default(),
            taken: false,
            ran: None,
            published: WriteSet::default(),
            writes: WriteSet::default(),
        }
    }

    /// The first transaction that is not committed.
    pub(crate) const fn head(&self) -> usize {
        self.head
    }

    /// The record of this transaction, without its writes; `None` where the host must execute it,
    /// and where it is not the head's.
    pub(crate) fn take(&mut self, index: usize) -> Option<Box<Record>> {
        let schedule = &self.ahead.schedule;
        if index != self.head || self.taken || index >= schedule.len() {
            return None;
        }
        let mut looks = 0;
        while !self.ahead.stopped() {
            if self.ahead.input.limits.exceeded().is_some() {
                self.ahead.stop();
            } else if schedule.is_ready(self.head) {
                self.taken = true;
                // Nobody retracts what a host commits.
                let Taken::Record(mut record) = self.ahead.schedule.take(self.head) else {
                    return None;
                };
                self.published = std::mem::take(&mut record.writes);
                self.ran = Some((record.nanos, record.result.tx_gas_used()));
                return Some(record);
            } else if schedule.claim_head(self.head) {
                self.taken = true;
                Counters::add(&self.ahead.counters.of(0).direct);
                return None;
            } else if !self.ahead.help_idle() {
                looks += 1;
                pause(looks);
            }
        }
        None
    }

    /// Shows the workers what the host has committed for this transaction, which must be the head,
    /// and moves on.
    pub(crate) fn commit(&mut self, index: usize, state: &EvmState) {
        if index != self.head || index >= self.ahead.schedule.len() {
            // Committed state is no longer what the workers take it for.
            return self.ahead.stop();
        }
        if !self.taken {
            // The run that nobody asked for is waited for, and thrown away.
            self.take(index);
        }
        if self.ahead.stopped() {
            return;
        }
        // The old values may have to be read. A source that fails or panics here fails nothing but
        // the speculation.
        if !matches!(catch_unwind(AssertUnwindSafe(|| self.note_writes(state))), Ok(Ok(()))) {
            return self.ahead.stop();
        }
        self.publish();
        let schedule = &self.ahead.schedule;
        let failed = schedule.has_failed(self.head);
        let fate = match self.ran {
            _ if failed => Fate::Failed,
            Some(_) => Fate::Held,
            None => Fate::Direct,
        };
        if let Some((nanos, gas_used)) = self.ran.take() {
            self.ahead.learn_from(self.head, nanos, gas_used, fate);
        }
        schedule.advance(&mut self.back_off, self.head, fate);
        self.head += 1;
        self.taken = false;
    }

    /// Brings what the host committed into the form of the tables.
    fn note_writes(&mut self, state: &EvmState) -> Result<(), ViewError> {
        self.writes.clear();
        let reads = std::mem::take(&mut self.view.reads);
        self.view.begin(Lens { position: position(self.head), ..Lens::default() }, reads);
        for (address, account) in state {
            write_account(&mut self.view, None, *address, account, &mut self.writes)?;
        }
        Ok(())
    }

    fn publish(&mut self) {
        let stamp = Stamp::new(position(self.head), IN_ORDER);
        self.writes.commit(&self.ahead.input.tables, stamp);
        // What the speculative run wrote and the host did not.
        self.ahead.withdraw(self.head, SPECULATIVE, &self.published);
        self.published.clear();
    }
}
