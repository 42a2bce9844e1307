//! The commit token: what its holder may do, in transaction order.
//!
//! Invariants: only the token's holder touches committed versions; transaction `i` is validated
//! and committed when all earlier ones are, so committed state is exactly its pre-state; gas
//! admission comes before the transaction's own error, as in alloy-evm.

use super::{
    record::Record,
    tables::{AccountValue, Stamp, Tables},
    view::{AccountRead, ReadSet, SlotRead},
};
use crate::{
    error::ExecuteError,
    tally::{CanonicalState, Tally, touch_beneficiary},
};
use alloy_primitives::U256;
use revm::{DatabaseCommit, context::result::ExecutionResult, state::AccountInfo};

/// What the token's holder works on.
pub(crate) struct Committer<'b> {
    pub(crate) tables: &'b Tables,
    pub(crate) tally: Tally<'b>,
    beneficiary: u32,
    pub(crate) canonical: Option<CanonicalState>,
    /// Set while a transaction is being committed: a panic in there leaves it set, and the next
    /// holder of the token knows that committed state is torn.
    pub(crate) torn: bool,
    /// The block's verdict or the host's failure, once there is one.
    pub(crate) failure: Option<ExecuteError>,
}

impl<'b> Committer<'b> {
    pub(crate) fn new(
        tables: &'b Tables,
        tally: Tally<'b>,
        canonical: Option<CanonicalState>,
    ) -> Self {
        let beneficiary = tables.account_id(&tally.env.block_env.beneficiary);
        Self { tables, tally, beneficiary, canonical, torn: false, failure: None }
    }

    /// Whether everything the execution read is what committed state says now.
    pub(crate) fn is_valid(&self, reads: &ReadSet) -> bool {
        reads.accounts.iter().all(|read| self.account_is_valid(read))
            && reads.slots.iter().all(|read| self.slot_is_valid(read, reads))
    }

    fn account_is_valid(&self, read: &AccountRead) -> bool {
        let cell = self.tables.account(read.id);
        if cell.committed_stamp() == read.stamp {
            return true;
        }
        match cell.committed() {
            Some((_, value)) => value == read.value,
            None => cell.known_base().is_some_and(|base| {
                base.info == read.value.info && read.value.wiped == 0 && !read.value.storage_known
            }),
        }
    }

    fn slot_is_valid(&self, read: &SlotRead, reads: &ReadSet) -> bool {
        let cell = self.tables.slot(read.id);
        if cell.committed_stamp() == read.stamp {
            return true;
        }
        // The account's own read is valid, so it tells how to look at the slot.
        let Some(account) = reads.accounts.iter().find(|account| account.id == read.account) else {
            return false;
        };
        let AccountValue { wiped, storage_known, .. } = account.value;
        let value = match cell.committed() {
            Some((stamp, value)) if stamp.position() >= wiped => Some(value),
            Some(_) => Some(U256::ZERO),
            None if wiped > 0 || storage_known => Some(U256::ZERO),
            None => cell.known_base().copied(),
        };
        value == Some(read.value)
    }

    /// Commits a record whose versions are published under `stamp`, or not at all (`published`
    /// false). The caller has validated it.
    pub(crate) fn commit(
        &mut self,
        index: usize,
        stamp: Stamp,
        published: bool,
        record: &mut Record,
    ) {
        let writes = &mut record.writes;
        if published {
            writes.accounts.iter().for_each(|(id, _)| self.tables.account(*id).promote(stamp));
            writes.slots.iter().for_each(|(id, _)| self.tables.slot(*id).promote(stamp));
        } else {
            for (id, value) in writes.accounts.drain(..) {
                self.tables.account(id).commit(stamp, value);
            }
            for (id, value) in writes.slots.drain(..) {
                self.tables.slot(id).commit(stamp, value);
            }
        }
        let paid = record.reward.map(|reward| self.pay(stamp, reward));
        if let Some(canonical) = &mut self.canonical {
            canonical.bump_bal_index();
            let mut state = record.state.take().unwrap_or_default();
            if let Some((before, after)) = paid {
                let beneficiary = self.tally.env.block_env.beneficiary;
                touch_beneficiary(&mut state, beneficiary, before, after, self.tally.eip161());
            }
            canonical.commit(state);
        }
        self.tally.receipt(index, take_result(record));
    }

    /// Adds a deferred reward to the committed beneficiary. A zero reward touches the account: it
    /// materialises a missing one before EIP-161 and deletes an empty one from then on.
    fn pay(&self, stamp: Stamp, reward: U256) -> (Option<AccountInfo>, AccountInfo) {
        let cell = self.tables.account(self.beneficiary);
        let before = cell.committed().map_or_else(
            || AccountValue {
                info: cell.known_base().and_then(|base| base.info.clone()),
                ..AccountValue::default()
            },
            |(_, value)| value,
        );
        let mut info = before.info.clone().unwrap_or_default();
        info.balance = info.balance.saturating_add(reward);
        let after = info.clone();
        let value = if info.is_empty() && self.tally.eip161() {
            let gone = before.info.is_some();
            gone.then(|| AccountValue { info: None, wiped: stamp.position(), storage_known: true })
        } else if before.info.as_ref() == Some(&info) {
            None
        } else {
            let storage_known = before.storage_known
                || before.info.as_ref().is_none_or(AccountInfo::has_no_code_and_nonce);
            Some(AccountValue { info: Some(info), wiped: before.wiped, storage_known })
        };
        if let Some(value) = value {
            cell.commit(stamp, value);
        }
        (before.info, after)
    }
}

/// Leaves a result without logs behind, so that the record's buffers can be used again.
fn take_result(record: &mut Record) -> ExecutionResult {
    let gas = *record.result.gas();
    let spent = ExecutionResult::Revert { gas, logs: Vec::new(), output: Default::default() };
    std::mem::replace(&mut record.result, spent)
}
