//! One block's way through the engine: system calls, transactions, the block's end, the output.

use super::{
    Limits, Options,
    ahead::{Input, position},
    commit::Committer,
    ledger::Ledger,
    output,
    parent::Parent,
    run::Run,
    sink::{CommitHook, Sink},
    tables::Tables,
    view::{View, ViewError},
    vm::Revm,
    watch::Watch,
};
use crate::{
    block::{Block, Receipt},
    chain::{Chain, Rules},
    error::{ExecuteError, HostError},
    outcome::Outcome,
    pool::Pool,
    source::StateSource,
    sync::atomic::AtomicBool,
    tally::{self, Tally},
};
use alloy_evm::{EvmEnv, block::BlockExecutionResult};
use revm::Database;
use std::{cell::RefCell, sync::Arc};

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
        tables: &Arc<Tables>,
        hook: Option<Box<CommitHook<'_>>>,
        watch: impl Watch,
    ) -> Result<Outcome, ExecuteError> {
        let rules = self.chain.rules(&self.block.header);
        let env = rules.evm_env(&self.block.header);
        let stop = AtomicBool::new(false);
        let canonical = tally::canonical(&rules, self.block, self.options.output);
        let mut sink = Sink { canonical, hook };
        let mut view = View::new(tables.clone(), Parent::Source(self.source), &stop);
        begin(&rules, self.block, &env, &mut view, &mut sink)?;
        let transactions = self.transactions(tables.clone(), &env, &stop, sink, watch);
        let (committer, statistics) = transactions.drive(pool)?;
        let (mut sink, tally) = committer.into_parts();
        sink.next();
        let result = finish(&rules, tally, &mut view, &mut sink)?;
        let canonical = sink.canonical.take();
        drop((view, sink));
        let flat = || output::flat(tables);
        Ok(tally::outcome(self.options.output, canonical, result, statistics, flat))
    }

    /// All transactions, for all workers.
    fn transactions<'b, W: Watch>(
        &'b self,
        tables: Arc<Tables>,
        env: &'b EvmEnv,
        stop: &'b AtomicBool,
        sink: Sink<'b>,
        watch: W,
    ) -> Run<'b, Revm<'b>, W> {
        let vm = Revm::new(env, self.block, sink.wants_state());
        let committer = Committer::new(tables.clone(), Tally::new(self.block, env), sink);
        let input = Input {
            tables,
            block: self.block,
            parent: Parent::Source(self.source),
            limits: self.limits,
            stop,
            forced: self.options.forced,
            optimisations: self.options.optimisations,
        };
        Run::new(vm, input, committer, watch)
    }
}

/// The system calls before the transactions, on committed state.
pub(crate) fn begin<'b>(
    rules: &Rules<'_>,
    block: &Block,
    env: &EvmEnv,
    view: &mut View<'b>,
    sink: &mut Sink<'b>,
) -> Result<(), ExecuteError> {
    let failure = RefCell::new(None);
    let ledger = Ledger::new(view, sink, 0, &failure);
    tally::start(rules, block, env, ledger, &failure)?;
    if !block.transactions.is_empty() {
        // The beneficiary's reward is added to what is known of it, so it must be known.
        view.basic(env.block_env.beneficiary).map_err(host)?;
    }
    Ok(())
}

/// The block's end, on committed state.
pub(crate) fn finish<'b>(
    rules: &Rules<'_>,
    tally: Tally<'_>,
    view: &mut View<'b>,
    sink: &mut Sink<'b>,
) -> Result<BlockExecutionResult<Receipt>, ExecuteError> {
    let failure = RefCell::new(None);
    let end = position(tally.block.transactions.len());
    let ledger = Ledger::new(view, sink, end, &failure);
    tally.finish(rules, ledger, &failure)
}

fn host(error: ViewError) -> ExecuteError {
    match error {
        ViewError::Source(error) => HostError::Source(error).into(),
        ViewError::Stopped => HostError::Cancelled.into(),
    }
}
