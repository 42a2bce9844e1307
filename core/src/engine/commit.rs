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
use crate::{block::{Block, Receipt}, error::{ExecuteError, InvalidBlock}};
use alloy_consensus::Transaction as _;
use alloy_evm::{EvmEnv, block::BlockValidationError};
use alloy_primitives::{Address, U256, map::AddressMap};
use revm::{
    DatabaseCommit,
    database::{EmptyDB, State},
    primitives::hardfork::SpecId,
    state::{Account, AccountInfo, EvmState, TransactionId},
};

/// revm's own state, fed with every committed transaction, where a bundle or an access list is
/// wanted. It never reads: each account carries what it was before.
pub(crate) type CanonicalState = State<EmptyDB>;

/// What the token's holder works on.
pub(crate) struct Committer<'b> {
    pub(crate) tables: &'b Tables,
    block: &'b Block,
    env: &'b EvmEnv,
    beneficiary: u32,
    pub(crate) canonical: Option<CanonicalState>,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) cumulative_gas: u64,
    pub(crate) regular_gas: u64,
    pub(crate) state_gas: u64,
    pub(crate) blob_gas: u64,
    /// Set while a transaction is being committed: a panic in there leaves it set, and the next
    /// holder of the token knows that committed state is torn.
    pub(crate) torn: bool,
    /// The block's verdict or the host's failure, once there is one.
    pub(crate) failure: Option<ExecuteError>,
}

impl<'b> Committer<'b> {
    pub(crate) fn new(
        tables: &'b Tables,
        block: &'b Block,
        env: &'b EvmEnv,
        canonical: Option<CanonicalState>,
    ) -> Self {
        Self {
            tables,
            block,
            env,
            beneficiary: tables.account_id(&env.block_env.beneficiary),
            canonical,
            receipts: Vec::with_capacity(block.transactions.len()),
            cumulative_gas: 0,
            regular_gas: 0,
            state_gas: 0,
            blob_gas: 0,
            torn: false,
            failure: None,
        }
    }

    /// The check that alloy-evm's block executor makes before each transaction.
    pub(crate) fn admit(&self, index: usize) -> Result<(), InvalidBlock> {
        let used = if self.env.cfg_env.enable_amsterdam_eip8037 {
            self.regular_gas
        } else {
            self.cumulative_gas
        };
        let available = self.env.block_env.gas_limit.saturating_sub(used);
        let limit = self.block.transactions[index].gas_limit();
        let capped = self.env.cfg_env.tx_gas_limit_cap.map_or(limit, |cap| limit.min(cap));
        if capped <= available {
            return Ok(());
        }
        let error = BlockValidationError::TransactionGasLimitMoreThanAvailableBlockGas {
            transaction_gas_limit: limit,
            block_available_gas: available,
        };
        Err(InvalidBlock { index: Some(index), error })
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
                base.info == read.value.info
                    && read.value.wiped == 0
                    && !read.value.storage_known
            }),
        }
    }

    fn slot_is_valid(&self, read: &SlotRead, reads: &ReadSet) -> bool {
        let cell = self.tables.slot(read.id);
        if cell.committed_stamp() == read.stamp {
            return true;
        }
        // The account's own read is valid, so it tells how to look at the slot.
        let Some(account) = reads.accounts.iter().find(|account| account.id == read.account)
        else {
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
                let beneficiary = self.env.block_env.beneficiary;
                touch_beneficiary(&mut state, beneficiary, before, after, self.env.cfg_env.spec);
            }
            canonical.commit(state);
        }
        self.receipt(index, record);
    }

    fn receipt(&mut self, index: usize, record: &mut Record) {
        let result = &mut record.result;
        let gas = *result.gas();
        self.cumulative_gas += gas.tx_gas_used();
        self.regular_gas += gas.block_regular_gas_used();
        self.state_gas += gas.block_state_gas_used();
        let tx = &self.block.transactions[index];
        if self.env.cfg_env.spec.is_enabled_in(SpecId::CANCUN) {
            self.blob_gas = self.blob_gas.saturating_add(tx.blob_gas_used().unwrap_or_default());
        }
        let success = result.is_success();
        let logs = std::mem::replace(
            result,
            revm::context::result::ExecutionResult::Revert {
                gas,
                logs: Vec::new(),
                output: alloy_primitives::Bytes::new(),
            },
        )
        .into_logs();
        self.receipts.push(Receipt {
            tx_type: tx.tx_type(),
            success,
            cumulative_gas_used: self.cumulative_gas,
            logs,
        });
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
        let eip161 = self.env.cfg_env.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON);
        let value = if info.is_empty() && eip161 {
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

/// The account that revm's journal would hold, had the reward been paid through it.
fn touch_beneficiary(
    state: &mut EvmState,
    address: Address,
    before: Option<AccountInfo>,
    after: AccountInfo,
    spec: SpecId,
) {
    let missing = before.is_none();
    let mut account = match before {
        Some(info) => Account::from(info),
        None => Account::new_not_existing(TransactionId::ZERO),
    };
    account.info = after;
    account.mark_touch();
    if account.is_empty() && !spec.is_enabled_in(SpecId::SPURIOUS_DRAGON) {
        // As `JournalInner::finalize` does before EIP-161.
        if missing {
            account.mark_created();
        } else {
            account.unmark_touch();
        }
    }
    let state: &mut AddressMap<Account> = state;
    state.insert(address, account);
}
