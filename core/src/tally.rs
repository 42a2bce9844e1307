//! What block-level bookkeeping both executors share: gas admission, receipts, and revm's own
//! state where a bundle or an access list is wanted.

use crate::{
    block::{Block, Receipt},
    chain::Rules,
    engine::evm::block_level,
    error::{ExecuteError, HostError, InvalidBlock, SourceError},
    outcome::{Outcome, OutputKind, StateOutput, Statistics},
    receipts::PlainReceipts,
    sequential::execution_context,
};
use alloy_consensus::Transaction as _;
use alloy_evm::{
    EvmEnv,
    block::{
        BlockExecutionError, BlockExecutionResult, BlockExecutor, BlockValidationError, StateDB,
    },
    eth::EthBlockExecutor,
};
use alloy_primitives::{Address, map::AddressMap};
use revm::{
    context::result::ExecutionResult,
    database::{EmptyDB, State, states::bundle_state::BundleRetention},
    primitives::hardfork::SpecId,
    state::{Account, AccountInfo, TransactionId, bal::Bal},
};
use std::{
    any::Any,
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// revm's own state, fed with every committed transaction. It never reads: each account carries
/// what it was before.
pub(crate) type CanonicalState = State<EmptyDB>;

/// The canonical state that a block's outputs ask for, if any: an access list, or a bundle that is
/// not made otherwise.
pub(crate) fn canonical(bundle: bool, listing: bool) -> Option<CanonicalState> {
    let builder = State::builder().with_bundle_update();
    if listing {
        return Some(builder.with_bal_builder().build());
    }
    bundle.then(|| builder.build())
}

/// Receipts and gas of the committed transactions.
pub(crate) struct Tally<'b> {
    pub(crate) block: &'b Block,
    pub(crate) env: &'b EvmEnv,
    pub(crate) receipts: Vec<Receipt>,
    cumulative_gas: u64,
    regular_gas: u64,
    state_gas: u64,
    blob_gas: u64,
}

impl<'b> Tally<'b> {
    pub(crate) fn new(block: &'b Block, env: &'b EvmEnv) -> Self {
        Self {
            block,
            env,
            receipts: Vec::with_capacity(block.transactions.len()),
            cumulative_gas: 0,
            regular_gas: 0,
            state_gas: 0,
            blob_gas: 0,
        }
    }

    pub(crate) const fn eip161(&self) -> bool {
        self.env.cfg_env.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON)
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

    /// Takes the transaction's gas and logs into the block's.
    pub(crate) fn receipt(&mut self, index: usize, result: ExecutionResult) {
        let gas = *result.gas();
        self.cumulative_gas += gas.tx_gas_used();
        self.regular_gas += gas.block_regular_gas_used();
        self.state_gas += gas.block_state_gas_used();
        let tx = &self.block.transactions[index];
        if self.env.cfg_env.spec.is_enabled_in(SpecId::CANCUN) {
            self.blob_gas = self.blob_gas.saturating_add(tx.blob_gas_used().unwrap_or_default());
        }
        let success = result.is_success();
        let logs = result.into_logs();
        self.receipts.push(Receipt {
            tx_type: tx.tx_type(),
            success,
            cumulative_gas_used: self.cumulative_gas,
            logs,
        });
    }

    /// Requests, withdrawals, rewards, the DAO fork, by alloy-evm's own executor. `failure` is
    /// where the database notes a failed read.
    pub(crate) fn finish<DB>(
        self,
        rules: &Rules<'_>,
        db: DB,
        failure: &RefCell<Option<SourceError>>,
    ) -> Result<BlockExecutionResult<Receipt>, ExecuteError>
    where
        DB: StateDB + alloy_evm::Database,
    {
        let evm = block_level(db, self.env);
        let context = execution_context(self.block);
        let mut executor = EthBlockExecutor::new(evm, context, rules, PlainReceipts);
        executor.receipts = self.receipts;
        executor.cumulative_tx_gas_used = self.cumulative_gas;
        executor.block_regular_gas_used = self.regular_gas;
        executor.block_state_gas_used = self.state_gas;
        executor.blob_gas_used = self.blob_gas;
        let result = guarded(|| executor.finish())?;
        verdict(failure, result.map(|(_, result)| result))
    }
}

/// Pre-block system calls, by alloy-evm's own executor.
pub(crate) fn start<DB>(
    rules: &Rules<'_>,
    block: &Block,
    env: &EvmEnv,
    db: DB,
    failure: &RefCell<Option<SourceError>>,
) -> Result<(), ExecuteError>
where
    DB: StateDB + alloy_evm::Database,
{
    if !env.cfg_env.spec.is_enabled_in(SpecId::CANCUN) {
        return Ok(());
    }
    let evm = block_level(db, env);
    let mut executor = EthBlockExecutor::new(evm, execution_context(block), rules, PlainReceipts);
    let result = guarded(|| executor.apply_pre_execution_changes())?;
    verdict(failure, result)
}

/// Puts the parts of an outcome together; `changed` is asked for the changed state where the
/// canonical state does not have it in the form that is wanted.
pub(crate) fn outcome(
    output: OutputKind,
    mut canonical: Option<CanonicalState>,
    result: BlockExecutionResult<Receipt>,
    statistics: Statistics,
    changed: impl FnOnce() -> StateOutput,
) -> Outcome {
    let builder = canonical.as_mut().and_then(|state| state.bal_state.bal_builder.take());
    let state = match (output, canonical) {
        (OutputKind::Bundle, Some(mut state)) => {
            state.merge_transitions(BundleRetention::Reverts);
            StateOutput::Bundle(Box::new(state.take_bundle()))
        }
        _ => changed(),
    };
    Outcome {
        receipts: result.receipts,
        gas_used: result.gas_used,
        blob_gas_used: result.blob_gas_used,
        requests: result.requests,
        state,
        access_list: builder.map(Bal::into_alloy_bal),
        statistics,
    }
}

/// Tells a failed read, which alloy-evm reports as the block's fault in some places, from a
/// verdict.
fn verdict<T>(
    failure: &RefCell<Option<SourceError>>,
    result: Result<T, BlockExecutionError>,
) -> Result<T, ExecuteError> {
    match failure.borrow_mut().take() {
        Some(error) => Err(HostError::Source(error).into()),
        None => result.map_err(|error| ExecuteError::from_alloy(None, error)),
    }
}

/// Runs a block-level rule; a panic in it is the host's failure.
fn guarded<T>(
    rule: impl FnOnce() -> Result<T, BlockExecutionError>,
) -> Result<Result<T, BlockExecutionError>, ExecuteError> {
    catch_unwind(AssertUnwindSafe(rule))
        .map_err(|panic| HostError::Panic { index: None, message: panic_message(&*panic) }.into())
}

/// The text of a panic, where it has one.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// The account that revm's journal would hold, had the reward been paid through it.
pub(crate) fn touch_beneficiary(
    state: &mut AddressMap<Account>,
    address: Address,
    before: Option<AccountInfo>,
    after: AccountInfo,
    eip161: bool,
) {
    let missing = before.is_none();
    let mut account = match before {
        Some(info) => Account::from(info),
        None => Account::new_not_existing(TransactionId::ZERO),
    };
    account.info = after;
    account.mark_touch();
    if account.is_empty() && !eip161 {
        // As `JournalInner::finalize` does before EIP-161.
        if missing {
            account.mark_created();
        } else {
            account.unmark_touch();
        }
    }
    state.insert(address, account);
}
