//! The commit token: what its holder may do, in transaction order.
//!
//! Invariants: only the token's holder touches committed versions; transaction `i` is validated
//! and committed when all earlier ones are, so committed state is exactly its pre-state; gas
//! admission comes before the transaction's own error, as in alloy-evm.

use super::{
    ahead::position,
    back_off::BackOff,
    reads::{AccountRead, ReadSet, SlotRead},
    record::{AccountWrite, Record, WriteSet, no_result},
    reward::Rewards,
    sink::{Sink, Step},
    soft::{Fit, adjusted, committed, fit, patch, slot_value},
    tables::{AccountValue, Stamp, Tables},
    watch::StaleRead,
};
use crate::{
    error::ExecuteError,
    tally::{Tally, touch_beneficiary},
};
use revm::{bytecode::Bytecode, context::result::ExecutionResult};
use std::sync::Arc;

/// Incarnations of a transaction's versions: it runs speculatively once, or several times
/// ([`super::revalidate`]), then at most once in order; a soft result commits moved values; the
/// reward comes last.
pub(crate) const SPECULATIVE: u8 = 1;
pub(crate) const IN_ORDER: u8 = 2;
const ADJUSTED: u8 = 3;
const REWARDED: u8 = 4;
/// The first of those that repeat a stale speculative run; each further one has the next number.
pub(crate) const REPEATED: u8 = 8;

/// How an execution relates to committed state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validity {
    /// All that it read is committed state.
    Exact,
    /// What differs is nothing that it depended on.
    Soft,
    /// It depended on something else.
    Stale,
}

/// What the token's holder works on.
pub(crate) struct Committer<'b> {
    pub(crate) tables: Arc<Tables>,
    pub(crate) tally: Tally<'b>,
    rewards: Rewards,
    pub(crate) sink: Sink<'b>,
    pub(crate) back_off: BackOff,
    /// What the validated record commits instead of its own account values, where it is soft.
    moved: Vec<AccountValue>,
    /// The block's verdict or the host's failure, once there is one.
    pub(crate) failure: Option<ExecuteError>,
}

impl<'b> Committer<'b> {
    pub(crate) fn new(tables: Arc<Tables>, tally: Tally<'b>, sink: Sink<'b>) -> Self {
        let rewards = Rewards::new(tables.account_id(&tally.env.block_env.beneficiary));
        let (back_off, moved) = (BackOff::default(), Vec::new());
        Self { tables, tally, rewards, sink, back_off, moved, failure: None }
    }

    /// What outlives the transactions.
    pub(crate) fn into_parts(mut self) -> (Sink<'b>, Tally<'b>) {
        self.settle();
        (self.sink, self.tally)
    }

    /// Makes the tables committed state in every cell, the beneficiary's included.
    pub(crate) fn settle(&mut self) {
        self.rewards.settle(&self.tables);
    }

    /// How an execution relates to committed state.
    pub(crate) fn validate(&mut self, record: &Record) -> Validity {
        let Record { reads, writes, .. } = record;
        let mut validity = Validity::Exact;
        for read in &reads.accounts {
            if self.rewards.concern(read.id) {
                self.rewards.settle(&self.tables);
            }
            match fit(self.tables.account(read.id), read) {
                Fit::Exact => {}
                Fit::Soft(_) => validity = Validity::Soft,
                Fit::Stale => return Validity::Stale,
            }
        }
        if !reads.slots.iter().all(|read| self.slot_is_valid(read, reads)) {
            return Validity::Stale;
        }
        if validity == Validity::Soft && !self.move_writes(writes, reads) {
            return Validity::Stale;
        }
        validity
    }

    /// The read that makes a stale record stale; for whoever watches.
    pub(crate) fn stale_read(&self, record: &Record) -> Option<StaleRead> {
        let reads = &record.reads;
        let stale = |read: &&AccountRead| fit(self.tables.account(read.id), read) == Fit::Stale;
        let account = reads.accounts.iter().find(stale).map(|read| {
            let cell = self.tables.account(read.id);
            StaleRead::account(read, committed(cell).as_ref(), cell.chain.committed_stamp())
        });
        let slot = || {
            let read = reads.slots.iter().find(|read| !self.slot_is_valid(read, reads))?;
            let stamp = self.tables.slot(read.id).chain.committed_stamp();
            Some(StaleRead::Slot { id: read.id, stamp })
        };
        account.or_else(slot)
    }

    /// Notes what each account write of a soft record commits; false where one does not apply.
    fn move_writes(&mut self, writes: &WriteSet, reads: &ReadSet) -> bool {
        self.moved.clear();
        for write in &writes.accounts {
            let Some(value) = self.final_value(write, reads) else { return false };
            self.moved.push(value);
        }
        true
    }

    fn slot_is_valid(&self, read: &SlotRead, reads: &ReadSet) -> bool {
        let cell = self.tables.slot(read.id);
        if cell.chain.committed_stamp() == read.stamp {
            return true;
        }
        // The account's own read is valid, so it tells how to look at the slot.
        let account = &reads.accounts[read.account as usize].value;
        slot_value(account, cell.chain.committed(), || cell.known_base()) == Some(read.value)
    }

    /// What a validated write commits: its own value, or, where the read behind it was soft, that
    /// value moved to the committed one.
    fn final_value(&self, write: &AccountWrite, reads: &ReadSet) -> Option<AccountValue> {
        let read = &reads.accounts[write.read as usize];
        match fit(self.tables.account(write.id), read) {
            Fit::Exact => Some(write.value),
            Fit::Soft(now) => adjusted(read, &write.value, &now),
            Fit::Stale => None,
        }
    }

    /// Commits a speculative record whose versions are published, but for those of accounts that
    /// it read apart. The caller has validated it.
    pub(crate) fn commit_speculative(
        &mut self,
        index: usize,
        validity: Validity,
        record: &mut Record,
    ) {
        let stamp = Stamp::new(position(index), record.incarnation);
        if validity == Validity::Soft {
            self.patch_state(record);
        }
        for (at, write) in record.writes.accounts.iter().enumerate() {
            let chain = &self.tables.account(write.id).chain;
            match self.moved.get(at) {
                // Another value needs another stamp: a stamp names its value.
                Some(value) if validity == Validity::Soft && *value != write.value => {
                    chain.commit(Stamp::new(position(index), ADJUSTED), *value);
                }
                _ if record.reads.accounts[write.read as usize].apart => {
                    chain.commit(stamp, write.value);
                }
                _ => chain.promote(stamp),
            }
        }
        record.writes.note_void(&self.tables);
        record.writes.slots.iter().for_each(|(id, _)| self.tables.slot(*id).chain.promote(stamp));
        self.finish(index, record);
    }

    /// Commits a record of an execution on committed state; its versions were never published.
    pub(crate) fn commit_in_order(&mut self, index: usize, record: &mut Record) {
        let stamp = Stamp::new(position(index), IN_ORDER);
        record.writes.commit(&self.tables, stamp);
        self.finish(index, record);
    }

    /// The journal's accounts as an execution on committed state would have left them.
    fn patch_state(&self, record: &mut Record) {
        let Some(state) = &mut record.state else { return };
        for account in state.values_mut() {
            let Some(place) = account.info.account_id else { continue };
            let read = &record.reads.accounts[place.get()];
            if let Fit::Soft(now) = fit(self.tables.account(read.id), read) {
                // `move_writes` has seen that every write applies.
                patch(account, read, &now);
            }
        }
    }

    /// The reward, the sinks, the receipt.
    fn finish(&mut self, index: usize, record: &mut Record) {
        let stamp = Stamp::new(position(index), REWARDED);
        let eip161 = self.tally.eip161();
        let paid =
            record.reward.map(|reward| self.rewards.pay(&self.tables, stamp, reward, eip161));
        self.tally.receipt(index, take_result(record));
        if self.sink.wants_state() {
            self.sink.next();
            let mut state = record.state.take().unwrap_or_default();
            state.values_mut().for_each(|account| account.info.account_id = None);
            if let Some((before, after)) = paid {
                let beneficiary = self.tally.env.block_env.beneficiary;
                let mut after = after.info().unwrap_or_default();
                // As in the journal: a missing account begins with the empty code, and what the
                // block deployed stays with its account.
                after.code = if after.is_empty_code_hash() {
                    Some(Bytecode::default())
                } else {
                    self.tables.code(&after.code_hash)
                };
                touch_beneficiary(&mut state, beneficiary, before.info(), after, eip161);
            }
            self.sink.commit(Step::Transaction(index), self.tally.receipts.last(), state);
        }
    }
}

/// Leaves a result without logs behind, so that the record's buffers can be used again.
fn take_result(record: &mut Record) -> ExecutionResult {
    let spent = no_result(*record.result.gas());
    std::mem::replace(&mut record.result, spent)
}
