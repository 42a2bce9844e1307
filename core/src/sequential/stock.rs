//! Stock: alloy-evm's own block executor over revm's `State`, one transaction after the other.
//! This is what reth runs, and the oracle of every comparison.

use crate::{
    block::Block,
    chain::Chain,
    error::{ExecuteError, HostError, SourceError},
    outcome::{Outcome, OutputKind, StateChanges, StateOutput, Statistics},
    receipts::PlainReceipts,
    source::{ReaderDatabase, StateReader, StateSource},
};
use alloy_evm::{
    EvmFactory,
    block::{BlockExecutionError, BlockExecutor},
    eth::{EthBlockExecutionCtx, EthBlockExecutor, EthEvmFactory},
};
use alloy_primitives::{Address, B256, U256};
use revm::{
    bytecode::Bytecode,
    database::{State, states::bundle_state::BundleRetention},
    state::{AccountInfo, bal::Bal},
};
use std::{borrow::Cow, cell::RefCell, rc::Rc};

/// The context that alloy-evm's block executor wants beside the EVM's environment: for a host that
/// runs that executor itself, with [`super::PlainReceipts`] and [`Chain::rules`].
pub fn execution_context(block: &Block) -> EthBlockExecutionCtx<'_> {
    EthBlockExecutionCtx {
        parent_hash: block.header.parent_hash,
        parent_beacon_block_root: block.header.parent_beacon_block_root,
        ommers: &block.ommers,
        withdrawals: block.withdrawals.as_ref().map(|list| Cow::Borrowed(list.as_slice())),
        extra_data: block.header.extra_data.clone(),
        tx_count_hint: Some(block.transactions.len()),
        slot_number: block.header.slot_number,
    }
}

/// Executes the block sequentially with alloy-evm's block executor.
///
/// # Errors
/// [`ExecuteError::Invalid`] with the first failing transaction, [`ExecuteError::Host`] where the
/// parent state cannot be read.
pub fn execute_stock(
    chain: &Chain,
    block: &Block,
    source: &dyn StateSource,
    output: OutputKind,
) -> Result<Outcome, ExecuteError> {
    let listing = chain.rules(&block.header).has_access_list(&block.header);
    execute(chain, block, source, output, listing)
}

/// As [`execute_stock`], with the access list that this execution produced, whatever the fork.
///
/// # Errors
/// As [`execute_stock`].
pub fn execute_stock_with_access_list(
    chain: &Chain,
    block: &Block,
    source: &dyn StateSource,
    output: OutputKind,
) -> Result<Outcome, ExecuteError> {
    execute(chain, block, source, output, true)
}

fn execute(
    chain: &Chain,
    block: &Block,
    source: &dyn StateSource,
    output: OutputKind,
    listing: bool,
) -> Result<Outcome, ExecuteError> {
    let failure = Rc::new(RefCell::new(None));
    let reader = Box::new(NotingReader { inner: source.reader()?, failure: failure.clone() });
    let rules = chain.rules(&block.header);
    let builder = State::builder().with_database(ReaderDatabase(reader)).with_bundle_update();
    let mut state = if listing { builder.with_bal_builder().build() } else { builder.build() };
    let result = run(&rules, block, &mut state);
    // alloy-evm wraps some failed reads in validation errors; the noted failure tells them apart.
    if let Some(error) = failure.borrow_mut().take() {
        return Err(HostError::Source(error).into());
    }
    let result = result?;
    let access_list = state.bal_state.bal_builder.take().map(Bal::into_alloy_bal);
    let retention = match output {
        OutputKind::Bundle => BundleRetention::Reverts,
        OutputKind::Flat => BundleRetention::PlainState,
    };
    state.merge_transitions(retention);
    let bundle = state.take_bundle();
    Ok(Outcome {
        receipts: result.receipts,
        gas_used: result.gas_used,
        blob_gas_used: result.blob_gas_used,
        requests: result.requests,
        state: match output {
            OutputKind::Bundle => StateOutput::Bundle(Box::new(bundle)),
            OutputKind::Flat => StateOutput::Flat(StateChanges::from_bundle(&bundle)),
        },
        access_list,
        statistics: Statistics {
            executions: block.transactions.len() as u64,
            direct: block.transactions.len() as u64,
            workers: 1,
            ..Statistics::default()
        },
    })
}

type StockState<'a> = State<ReaderDatabase<'a>>;

fn run(
    rules: &crate::chain::Rules<'_>,
    block: &Block,
    state: &mut StockState<'_>,
) -> Result<alloy_evm::block::BlockExecutionResult<crate::block::Receipt>, ExecuteError> {
    let evm = EthEvmFactory::default().create_evm(state, rules.evm_env(&block.header));
    let mut executor = EthBlockExecutor::new(evm, execution_context(block), rules, PlainReceipts);
    let outside = |error: BlockExecutionError| ExecuteError::from_alloy(None, error);
    executor.apply_pre_execution_changes().map_err(outside)?;
    for (index, tx) in block.transactions.iter().enumerate() {
        bump(&mut executor);
        executor
            .execute_transaction(tx)
            .map_err(|error| ExecuteError::from_alloy(Some(index), error))?;
    }
    bump(&mut executor);
    let (_, result) = executor.finish().map_err(outside)?;
    Ok(result)
}

/// Moves the access-list builder to the next transaction, as reth does.
fn bump<'a, 'b: 'a, E, S, R>(executor: &mut EthBlockExecutor<'_, E, S, R>)
where
    E: alloy_evm::Evm<DB = &'a mut StockState<'b>>,
    R: alloy_evm::eth::receipt_builder::ReceiptBuilder,
{
    executor.evm.db_mut().bump_bal_index();
}

/// Notes the first failed read.
struct NotingReader<'a> {
    inner: Box<dyn StateReader + 'a>,
    failure: Rc<RefCell<Option<SourceError>>>,
}

impl NotingReader<'_> {
    fn note<T>(&self, answer: Result<T, SourceError>) -> Result<T, SourceError> {
        if let Err(error) = &answer {
            self.failure.borrow_mut().get_or_insert_with(|| error.clone());
        }
        answer
    }
}

impl StateReader for NotingReader<'_> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        let answer = self.inner.account(address);
        self.note(answer)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        let answer = self.inner.storage(address, slot);
        self.note(answer)
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError> {
        let answer = self.inner.code(hash);
        self.note(answer)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        let answer = self.inner.block_hash(number);
        self.note(answer)
    }
}
