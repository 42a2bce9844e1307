//! One block's way through the engine: system calls, transactions, the block's end, the output.

use super::{
    Limits, Options,
    commit::{CanonicalState, Committer},
    ledger::Ledger,
    output,
    run::{Counters, Run, panic_message, position},
    schedule::Schedule,
    tables::Tables,
    view::{View, ViewError},
};
use crate::{
    block::{Block, Receipt},
    chain::{Chain, Rules},
    error::{ExecuteError, HostError, SourceError},
    outcome::{Outcome, OutputKind, StateOutput, Statistics},
    pool::Pool,
    receipts::PlainReceipts,
    sequential::execution_context,
    source::StateSource,
};
use alloy_evm::{
    EvmEnv, EvmFactory, ToTxEnv,
    block::{BlockExecutionError, BlockExecutionResult, BlockExecutor},
    eth::{EthBlockExecutor, EthEvmFactory},
};
use parking_lot::Mutex;
use rayon::prelude::*;
use revm::{
    Database,
    context::TxEnv,
    database::{State, states::bundle_state::BundleRetention},
    primitives::hardfork::SpecId,
    state::bal::Bal,
};
use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
};

/// From this many transactions on, their environments are built on the rayon pool: a type-4
/// transaction recovers its authorities there.
const PARALLEL_ENVIRONMENTS: usize = 512;

/// One block to execute.
pub(crate) struct Job<'a> {
    pub(crate) chain: &'a Chain,
    pub(crate) block: &'a Block,
    pub(crate) source: &'a dyn StateSource,
    pub(crate) limits: &'a Limits,
    pub(crate) options: &'a Options,
}

impl Job<'_> {
    pub(crate) fn run(
        &self,
        pool: &mut Pool,
        tables: &mut Tables,
    ) -> Result<Outcome, ExecuteError> {
        let rules = self.chain.rules(&self.block.header);
        let env = rules.evm_env(&self.block.header);
        let stop = AtomicBool::new(false);
        let mut canonical = self.canonical(&rules);
        let shared: &Tables = tables;
        let mut view = View::new(shared, self.source, &stop);
        if env.cfg_env.spec.is_enabled_in(SpecId::CANCUN) {
            self.before(&rules, &env, &mut view, canonical.as_mut())?;
        }
        if !self.block.transactions.is_empty() {
            // The beneficiary's reward is added to what is known of it, so it must be known.
            view.basic(env.block_env.beneficiary).map_err(host)?;
        }
        let txs = environments(self.block);
        let (committer, mut statistics) =
            self.transactions(pool, shared, &env, &txs, &stop, canonical)?;
        let Committer { mut canonical, receipts, cumulative_gas, .. } = committer;
        let gas = Gas {
            cumulative: cumulative_gas,
            regular: committer.regular_gas,
            state: committer.state_gas,
            blob: committer.blob_gas,
        };
        let result = self.after(&rules, &env, &mut view, canonical.as_mut(), receipts, gas)?;
        drop(view);
        statistics.workers = statistics.workers.max(1);
        Ok(self.outcome(tables, canonical, result, statistics))
    }

    fn canonical(&self, rules: &Rules<'_>) -> Option<CanonicalState> {
        let list = rules.has_access_list(&self.block.header);
        let bundle = self.options.output == OutputKind::Bundle;
        let builder = State::builder().with_bundle_update();
        match (list, bundle) {
            (true, _) => Some(builder.with_bal_builder().build()),
            (false, true) => Some(builder.build()),
            (false, false) => None,
        }
    }

    /// Pre-block system calls.
    fn before(
        &self,
        rules: &Rules<'_>,
        env: &EvmEnv,
        view: &mut View<'_>,
        canonical: Option<&mut CanonicalState>,
    ) -> Result<(), ExecuteError> {
        let failure = RefCell::new(None);
        let ledger = Ledger::new(view, canonical, 0, &failure);
        let evm = EthEvmFactory::default().create_evm(ledger, env.clone());
        let context = execution_context(self.block);
        let mut executor = EthBlockExecutor::new(evm, context, rules, PlainReceipts);
        let result = guarded(|| executor.apply_pre_execution_changes())?;
        verdict(&failure, result)
    }

    /// All transactions, by all workers.
    fn transactions<'b>(
        &'b self,
        pool: &mut Pool,
        tables: &'b Tables,
        env: &'b EvmEnv,
        txs: &'b [TxEnv],
        stop: &'b AtomicBool,
        canonical: Option<CanonicalState>,
    ) -> Result<(Committer<'b>, Statistics), ExecuteError> {
        let run = Run {
            tables,
            block: self.block,
            txs,
            env,
            source: self.source,
            limits: self.limits,
            schedule: Schedule::new(self.block),
            records: txs.iter().map(|_| Mutex::new(None)).collect(),
            keep_state: canonical.is_some(),
            committer: Mutex::new(Committer::new(tables, self.block, env, canonical)),
            stop,
            counters: Counters::default(),
            forced: self.options.forced,
        };
        pool.run(&|_worker| {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run.work())) {
                let message = panic_message(&*panic);
                let error = HostError::Panic { index: None, message };
                run.committer.lock().failure.get_or_insert(error.into());
                run.stop.store(true, Ordering::Relaxed);
            }
        });
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let statistics = Statistics {
            executions: count(&run.counters.executions),
            reexecutions: count(&run.counters.reexecutions),
            direct: count(&run.counters.direct),
            discarded: count(&run.counters.discarded),
            workers: count(&run.counters.workers) as u32,
            fell_back: run.schedule.backed_off(),
        };
        let complete = run.schedule.head() == run.schedule.len();
        let mut committer = run.committer.into_inner();
        if let Some(error) = committer.failure.take() {
            return Err(error);
        }
        if !complete {
            let message = "the workers left before the last transaction was committed".to_owned();
            return Err(HostError::Internal(message).into());
        }
        Ok((committer, statistics))
    }

    /// Requests, withdrawals, rewards, the DAO fork.
    fn after(
        &self,
        rules: &Rules<'_>,
        env: &EvmEnv,
        view: &mut View<'_>,
        mut canonical: Option<&mut CanonicalState>,
        receipts: Vec<Receipt>,
        gas: Gas,
    ) -> Result<BlockExecutionResult<Receipt>, ExecuteError> {
        if let Some(canonical) = &mut canonical {
            canonical.bump_bal_index();
        }
        let failure = RefCell::new(None);
        let end = position(self.block.transactions.len());
        let ledger = Ledger::new(view, canonical, end, &failure);
        let evm = EthEvmFactory::default().create_evm(ledger, env.clone());
        let context = execution_context(self.block);
        let mut executor = EthBlockExecutor::new(evm, context, rules, PlainReceipts);
        executor.receipts = receipts;
        executor.cumulative_tx_gas_used = gas.cumulative;
        executor.block_regular_gas_used = gas.regular;
        executor.block_state_gas_used = gas.state;
        executor.blob_gas_used = gas.blob;
        let result = guarded(|| executor.finish())?;
        verdict(&failure, result.map(|(_, result)| result))
    }

    fn outcome(
        &self,
        tables: &mut Tables,
        canonical: Option<CanonicalState>,
        result: BlockExecutionResult<Receipt>,
        statistics: Statistics,
    ) -> Outcome {
        let mut canonical = canonical;
        let access_list = canonical
            .as_mut()
            .and_then(|state| state.bal_state.bal_builder.take())
            .map(Bal::into_alloy_bal);
        let state = match (self.options.output, canonical) {
            (OutputKind::Bundle, Some(mut state)) => {
                state.merge_transitions(BundleRetention::Reverts);
                StateOutput::Bundle(Box::new(state.take_bundle()))
            }
            _ => StateOutput::Flat(output::flat(tables)),
        };
        Outcome {
            receipts: result.receipts,
            gas_used: result.gas_used,
            blob_gas_used: result.blob_gas_used,
            requests: result.requests,
            state,
            access_list,
            statistics,
        }
    }
}

/// Gas counters of the transactions.
struct Gas {
    cumulative: u64,
    regular: u64,
    state: u64,
    blob: u64,
}

fn host(error: ViewError) -> ExecuteError {
    match error {
        ViewError::Source(error) => HostError::Source(error).into(),
        ViewError::Stopped => HostError::Cancelled.into(),
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
    catch_unwind(AssertUnwindSafe(rule)).map_err(|panic| {
        HostError::Panic { index: None, message: panic_message(&*panic) }.into()
    })
}

fn environments(block: &Block) -> Vec<TxEnv> {
    if block.transactions.len() < PARALLEL_ENVIRONMENTS {
        return block.transactions.iter().map(ToTxEnv::to_tx_env).collect();
    }
    block.transactions.par_iter().map(ToTxEnv::to_tx_env).collect()
}
