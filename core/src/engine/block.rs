//! One block's way through the engine: system calls, transactions, the block's end, the output.

use super::{
    Limits, Options,
    ahead::{Input, position, scheduling},
    commit::Committer,
    forecast::Forecast,
    ledger::Ledger,
    listed::Listed,
    output,
    parent::Parent,
    plan::Plan,
    predictor::Predictor,
    run::Run,
    sink::{CommitHook, Sink},
    tables::Tables,
    view::{View, ViewError},
    vm::Revm,
    watch::Watch,
    work::Work,
};
use crate::{
    block::{Block, Receipt},
    chain::{Chain, Rules},
    error::{ExecuteError, HostError},
    outcome::{Outcome, OutputKind, StateOutput},
    pool::Pool,
    source::StateSource,
    sync::atomic::AtomicBool,
    tally::{self, Tally},
};
use alloy_eip7928::AccountChanges;
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
    pub(crate) lists: Lists<'a>,
    /// What earlier blocks have taught.
    pub(crate) predictor: &'a Predictor,
}

/// What the caller has of, and wants to know about, the block's access list (EIP-7928).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lists<'a> {
    /// What is claimed to be the block's access list.
    pub(crate) claimed: Option<&'a [AccountChanges]>,
    /// The outcome shall have a list also where the block's fork knows none.
    pub(crate) wanted: bool,
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
        let prefetch = self.options.optimisations.prefetch && self.source.is_slow();
        let take_in = |list| {
            let listed = Listed::new(list, self.block, &env, tables);
            if prefetch { listed.prefetching(list, self.block, tables) } else { listed }
        };
        let listed = self.lists.claimed.map(take_in);
        let listing = self.lists.wanted || rules.has_access_list(&self.block.header);
        let mut sink = Sink::new(self.options.output, self.options.optimisations, listing, hook);
        let mut view = View::new(tables.clone(), Parent::Source(self.source), &stop);
        begin(&rules, self.block, &env, &mut view, &mut sink)?;
        let input = self.input(pool, tables.clone(), &stop, listed.as_ref());
        let assistance = self.options.optimisations.assistance(input.helpers.clone());
        let vm = Revm::new(&env, self.block, sink.wants_state(), assistance);
        let committer = Committer::new(tables.clone(), Tally::new(self.block, &env), sink);
        let transactions = Run::new(vm, input, committer, &watch);
        let (committer, statistics) = transactions.drive(pool)?;
        let (mut sink, tally) = committer.into_parts();
        sink.next();
        let result = finish(&rules, tally, &mut view, &mut sink)?;
        let canonical = sink.canonical.take();
        drop((view, sink));
        // For a slow state there are more threads than cores, and each has to come and go.
        let mut share = pool.sharer(!self.source.is_slow());
        let changed = || {
            let start = watch.now();
            let changed = match self.options.output {
                OutputKind::Flat => StateOutput::Flat(output::flat(tables, &mut share)),
                OutputKind::Bundle => StateOutput::Bundle(output::bundle(tables, &mut share)),
            };
            watch.put_together(start, output::parts(tables));
            changed
        };
        Ok(tally::outcome(self.options.output, canonical, result, statistics, changed))
    }

    /// What the workers are given. One of them makes the plan while another one looks at what the
    /// transactions take, by their gas and by what the predictor says.
    fn input<'b>(
        &'b self,
        pool: &mut Pool,
        tables: Arc<Tables>,
        stop: &'b AtomicBool,
        listed: Option<&'b Listed>,
    ) -> Input<'b> {
        let Self { block, options, .. } = *self;
        let optimisations = scheduling(options.optimisations, listed.is_some());
        let forecast = || Forecast::wanted(options.optimisations, self.predictor, block);
        let few = options.threads < 2 || block.transactions.is_empty();
        let (forecast, plan) = if self.source.is_slow() || few {
            (forecast(), None)
        } else {
            let look = || (forecast(), optimisations.long_first.then(|| Work::new(block)));
            let ((forecast, work), plan) = pool.join(look, || Plan::new(block, optimisations));
            (forecast, Some(Plan { work, ..plan }))
        };
        Input {
            tables,
            block: self.block,
            parent: Parent::Source(self.source),
            limits: self.limits,
            stop,
            forced: self.options.forced,
            optimisations: self.options.optimisations,
            listed,
            runs_ahead: self.options.optimisations.run_ahead && self.source.is_slow(),
            forecast,
            plan,
            helpers: options.optimisations.helpers(pool),
        }
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
