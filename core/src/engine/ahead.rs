//! Speculation: executing transactions ahead of their turn.
//!
//! Role: what the workers of one block share, whoever commits: the schedule, the records of what
//! was executed, the counters. Actors: workers claim, execute and publish; whoever commits, the
//! holder of the commit token ([`super::run`]) or a host of its own ([`super::steps`]), takes the
//! records in block order.
//!
//! Invariants: a transaction is claimed once; what a speculative run wrote is published before it
//! is marked ready; a run that came to nothing is marked ready without a record. What is ready may
//! be retracted, executed again and made ready again ([`super::revalidate`]).

use super::{
    Optimisations,
    commit::{REPEATED, SPECULATIVE},
    fetches::Fetches,
    forecast::Forecast,
    idle::Idle,
    limits::Limits,
    listed::Listed,
    parent::Parent,
    plan::Plan,
    reads::ReadSet,
    record::{Record, WriteSet},
    runahead::{Budget, Rounds},
    schedule::{Claim, Fate, Schedule},
    spares::Supply,
    tables::{Position, Stamp, Tables},
    view::{Lens, View},
    vm::{Effects, Failed, Vm},
    watch::Watch,
};
use crate::{
    block::Block,
    outcome::Statistics,
    pool::Helpers,
    sync::{
        Line,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    trace::RunKind,
};
use alloy_consensus::Transaction as _;
use std::{
    any::Any,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

/// Where in the block a transaction's versions stand.
pub(crate) const fn position(index: usize) -> Position {
    index as Position + 1
}

/// What a run is given.
pub(crate) struct Input<'b> {
    pub(crate) tables: Arc<Tables>,
    pub(crate) block: &'b Block,
    pub(crate) parent: Parent<'b>,
    pub(crate) limits: &'b Limits,
    pub(crate) stop: &'b AtomicBool,
    pub(crate) forced: bool,
    pub(crate) optimisations: Optimisations,
    /// The block's access list, where there is one.
    pub(crate) listed: Option<&'b Listed>,
    /// The state is slow to read, and all workers stay until the end.
    pub(crate) runs_ahead: bool,
    /// What is expected of the block's transactions, and learns what became of them.
    pub(crate) forecast: Option<Forecast<'b>>,
    /// Made while something else was prepared, with [`scheduling`]'s optimisations.
    pub(crate) plan: Option<Plan<'b>>,
    /// Threads that share what goes on within one transaction.
    pub(crate) helpers: Option<Helpers>,
}

/// The optimisations by which a block is scheduled. What a sender's previous transaction leaves
/// stands in an access list: with one nobody waits for it.
pub(crate) fn scheduling(optimisations: Optimisations, listed: bool) -> Optimisations {
    let Optimisations { commutative_balances, sender_chains, .. } = optimisations;
    Optimisations {
        commutative_balances: commutative_balances || listed,
        sender_chains: sender_chains && !listed,
        ..optimisations
    }
}

/// Everything that the workers of one block share.
pub(crate) struct Ahead<'b, V, W> {
    pub(crate) vm: V,
    pub(crate) watch: W,
    pub(crate) input: Input<'b>,
    pub(crate) schedule: Schedule<'b>,
    pub(crate) counters: Counters,
    /// What is to be read, where executions run ahead of slow reads.
    pub(crate) fetches: Option<Arc<Fetches>>,
    /// Workers that find nothing to do.
    idle: Line<AtomicUsize>,
}

/// Lanes of the counters; workers with higher numbers share them.
const LANES: usize = 16;

/// Counts for [`crate::Statistics`], a lane for each worker.
#[derive(Debug)]
pub(crate) struct Counters(Box<[Line<Lane>]>);

/// What one worker counts.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) executions: AtomicU64,
    pub(crate) reexecutions: AtomicU64,
    pub(crate) direct: AtomicU64,
    pub(crate) discarded: AtomicU64,
    pub(crate) early: AtomicU64,
    workers: AtomicU64,
}

impl Counters {
    fn new() -> Self {
        Self((0..LANES).map(|_| Line::default()).collect())
    }

    /// The lane of the worker with this number.
    pub(crate) fn of(&self, worker: usize) -> &Lane {
        &self.0[worker % LANES]
    }

    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn statistics(&self, fell_back: bool) -> Statistics {
        let sum = |counter: fn(&Lane) -> &AtomicU64| {
            self.0.iter().map(|lane| counter(lane).load(Ordering::Relaxed)).sum::<u64>()
        };
        Statistics {
            executions: sum(|lane| &lane.executions),
            reexecutions: sum(|lane| &lane.reexecutions),
            direct: sum(|lane| &lane.direct),
            discarded: sum(|lane| &lane.discarded),
            early: sum(|lane| &lane.early),
            workers: sum(|lane| &lane.workers) as u32,
            fell_back,
        }
    }
}

/// What belongs to one worker.
pub(crate) struct Worker<I> {
    /// 0 is the calling thread.
    pub(crate) number: usize,
    vm: I,
    /// How the schedule marks what this worker executed.
    pub(crate) mark: u8,
    /// A head that another worker's record has kept, the last time this one looked.
    pub(crate) stuck: usize,
    /// The transaction that it executed last.
    last: Option<usize>,
    /// Emptied records, for the next executions.
    spare: Supply,
}

/// What became of a worker's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It executed something.
    Worked,
    /// There was nothing to execute, but there may be soon.
    Waits,
    /// Everything has been handed out, or the workers were stopped.
    Done,
}

/// An execution that panicked.
pub(crate) type Panic = Box<dyn Any + Send>;

impl<'b, V: Vm<'b>, W: Watch> Ahead<'b, V, W> {
    pub(crate) fn new(vm: V, mut input: Input<'b>, watch: W) -> Self {
        let optimisations = scheduling(input.optimisations, input.listed.is_some());
        let plan = input.plan.take().unwrap_or_else(|| Plan::new(input.block, optimisations));
        plan.hot.iter().for_each(|address| input.tables.set_hot(address));
        let forecast = input.forecast.as_ref();
        Self {
            vm,
            watch,
            schedule: Schedule::planned(input.block, plan, optimisations, forecast),
            counters: Counters::new(),
            fetches: input.runs_ahead.then(Arc::default),
            idle: Line::default(),
            input,
        }
    }

    /// A worker's own things, for the worker with this number.
    pub(crate) fn worker(&self, number: usize) -> Worker<V::Instance> {
        Counters::add(&self.counters.of(number).workers);
        let mark = u8::try_from(number + 1).unwrap_or(u8::MAX);
        Worker {
            number,
            vm: self.machine(),
            mark,
            stuck: usize::MAX,
            last: None,
            spare: Supply::new(self.input.tables.clone(), number),
        }
    }

    /// The same for a worker whose machine an unwinding execution has left in disorder.
    pub(crate) fn renew(&self, worker: &mut Worker<V::Instance>) {
        worker.vm = self.machine();
    }

    pub(crate) fn stopped(&self) -> bool {
        self.input.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.input.stop.store(true, Ordering::Relaxed);
        self.send_home();
    }

    /// Nobody shall wait any longer for something to read.
    pub(crate) fn send_home(&self) {
        self.fetches.iter().for_each(|fetches| fetches.close());
    }

    /// Reads a place that another execution wants, for a worker that has nothing to execute; false
    /// where there is none.
    pub(crate) fn serve(&self, worker: &mut Worker<V::Instance>) -> bool {
        self.fetches.as_ref().is_some_and(|fetches| fetches.serve(self.vm.view(&mut worker.vm)))
    }

    /// The same, but waits for one; false where there will be none.
    pub(crate) fn stay(&self, worker: &mut Worker<V::Instance>) -> bool {
        self.fetches.as_ref().is_some_and(|fetches| fetches.stay(self.vm.view(&mut worker.vm)))
    }

    /// The whole life of a worker that leaves committing to somebody else: until everything has
    /// been handed out, or until it is stopped.
    pub(crate) fn work(&self, number: usize) {
        let mut worker = self.worker(number);
        self.take_turns(
            |idle| {
                if self.stopped() { Turn::Done } else { self.turn(&mut worker, idle) }
            },
        );
    }

    /// Calls `turn`, with how often it was in vain since it last was not, until it is done.
    pub(crate) fn take_turns(&self, mut turn: impl FnMut(u32) -> Turn) {
        // Who waits reads for those that run ahead of slow reads.
        let mut idle = Idle::new(&self.idle, self.fetches.is_some());
        loop {
            match turn(idle.looks()) {
                Turn::Worked => idle.end(),
                Turn::Waits => idle.wait(),
                Turn::Done => return,
            }
        }
    }

    /// Helps with what takes long in another worker's transaction; false where there is nothing.
    pub(crate) fn help(&self) -> bool {
        self.input.helpers.as_ref().is_some_and(Helpers::help)
    }

    /// Helps with anything, for a worker that has nothing to do.
    pub(crate) fn help_idle(&self) -> bool {
        self.input.helpers.as_ref().is_some_and(Helpers::help_idle)
    }

    /// Reads ahead what the block's access list names, where that is wanted.
    pub(crate) fn prefetch(&self, worker: &mut Worker<V::Instance>) {
        if let Some(prefetch) = self.input.listed.and_then(Listed::prefetch) {
            let view = self.vm.view(&mut worker.vm);
            while !self.stopped() && prefetch.turn(view) {}
        }
    }

    /// Executes the transactions of one claim, for a worker that has looked in vain `idle` times.
    pub(crate) fn turn(&self, worker: &mut Worker<V::Instance>, idle: u32) -> Turn {
        if self.help() {
            return Turn::Worked;
        }
        match self.claim(worker, idle) {
            Claim::Run(indices) => {
                indices.for_each(|index| self.execute(worker, index));
                Turn::Worked
            }
            Claim::Wait if self.help_idle() => Turn::Worked,
            Claim::Wait => Turn::Waits,
            Claim::Finished => Turn::Done,
        }
    }

    pub(crate) fn claim(&self, worker: &mut Worker<V::Instance>, idle: u32) -> Claim {
        let claim = self.schedule.claim(worker.last, idle);
        if let Claim::Run(indices) = &claim {
            worker.last = indices.clone().last();
            if indices.len() > 1 {
                self.read_together(worker, indices.clone());
            }
        }
        claim
    }

    /// Reads the accounts of payments before the first of them runs: the processor waits for
    /// several reads at once, and between executions for one after the other.
    fn read_together(&self, worker: &mut Worker<V::Instance>, indices: Range<usize>) {
        if self.fetches.is_some() {
            return;
        }
        let payments = &self.input.block.transactions[indices];
        let accounts = payments.iter().flat_map(|tx| [Some(tx.signer()), tx.to()]).flatten();
        let view = self.vm.view(&mut worker.vm);
        // A read that fails is made again by whoever depends on it.
        if catch_unwind(AssertUnwindSafe(|| view.read_together(accounts))).is_err() {
            self.renew(worker);
        }
    }

    /// Executes a claimed transaction ahead of its turn, publishes what it wrote, marks it ready.
    pub(crate) fn execute(&self, worker: &mut Worker<V::Instance>, index: usize) {
        let run = self.speculate(worker, index, RunKind::Speculative);
        self.make_ready(worker, index, SPECULATIVE, run);
    }

    /// The same once more, for a transaction whose record this worker has retracted.
    pub(crate) fn execute_again(
        &self,
        worker: &mut Worker<V::Instance>,
        index: usize,
        stale: Box<Record>,
    ) {
        Counters::add(&self.counters.of(worker.number).reexecutions);
        let run = self.speculate(worker, index, RunKind::RepeatedAhead);
        // Until here they are the best guess there is of what the transaction writes.
        self.withdraw(index, stale.incarnation, &stale.writes);
        let incarnation = (stale.incarnation + 1).max(REPEATED);
        worker.recycle(stale);
        self.make_ready(worker, index, incarnation, run);
    }

    fn make_ready(
        &self,
        worker: &Worker<V::Instance>,
        index: usize,
        incarnation: u8,
        run: Result<Box<Record>, ()>,
    ) {
        match run {
            Ok(mut record) => {
                record.incarnation = incarnation;
                let stamp = Stamp::new(position(index), incarnation);
                record.writes.publish(&self.input.tables, stamp, &record.reads);
                self.schedule.executed(index, record.result.tx_gas_used());
                self.schedule.put(index, record);
            }
            Err(()) => Counters::add(&self.counters.of(worker.number).discarded),
        }
        self.schedule.set_ready(index, worker.mark);
    }

    /// Tells the forecast how long a committed run has taken, and what became of the speculation
    /// on its transaction.
    pub(crate) fn learn_from(&self, index: usize, nanos: u64, gas_used: u64, fate: Fate) {
        if let Some(forecast) = &self.input.forecast {
            forecast.learn(index, nanos, gas_used, fate);
        }
    }

    /// A window on the tables and on the parent state.
    pub(crate) fn view(&self) -> View<'b> {
        let Input { tables, parent, stop, .. } = &self.input;
        View::new(tables.clone(), parent.clone(), stop)
    }

    fn machine(&self) -> V::Instance {
        let mut view = self.view().with_list(self.input.listed);
        view.scout.enable(self.fetches.clone());
        self.vm.instance(view)
    }

    /// Runs a transaction ahead of its turn. An error or a panic is nothing but a lost run.
    fn speculate(
        &self,
        worker: &mut Worker<V::Instance>,
        index: usize,
        kind: RunKind,
    ) -> Result<Box<Record>, ()> {
        let soft = self.input.optimisations.commutative_balances;
        let predicted = if soft { self.vm.claims(index) } else { None };
        // As many transactions are committed as the head's index says.
        let listed = Some(self.schedule.head() as Position);
        // With an access list what others leave is known.
        let apart = soft && self.input.listed.is_none();
        let lens = Lens { position: position(index), soft, apart, predicted, listed };
        match self.attempt(worker, index, lens, kind) {
            Ok(Ok(record)) => Ok(record),
            Ok(Err(_)) => Err(()),
            Err(_panic) => {
                self.renew(worker);
                Err(())
            }
        }
    }

    /// One execution, recorded. What it panics with is handed back.
    pub(crate) fn attempt(
        &self,
        worker: &mut Worker<V::Instance>,
        index: usize,
        lens: Lens,
        kind: RunKind,
    ) -> Result<Result<Box<Record>, Failed>, Panic> {
        Counters::add(&self.counters.of(worker.number).executions);
        let start = self.watch.now();
        let end = catch_unwind(AssertUnwindSafe(|| self.attempt_unguarded(worker, index, lens)));
        self.watch.ran(worker.number, index, kind, start, matches!(end, Ok(Ok(_))));
        if W::ON {
            self.watch.shareable(index, self.vm.shareable(&mut worker.vm));
        }
        end
    }

    fn attempt_unguarded(
        &self,
        worker: &mut Worker<V::Instance>,
        index: usize,
        lens: Lens,
    ) -> Result<Box<Record>, Failed> {
        let mut record = worker.spare.take();
        let mut rounds = Rounds::new(self.fetches.is_some());
        loop {
            let run = self.run(worker, index, lens, rounds.budget(), &mut record);
            let held = self.vm.held(&mut worker.vm);
            let view = self.vm.view(&mut worker.vm);
            let again = rounds.repeat(self.fetches.as_deref(), view) || !held;
            record.reads = std::mem::take(&mut view.reads);
            if !again {
                return run.map(|()| record);
            }
        }
    }

    /// One run, which may have been told guesses, into a record; its reads stay in the view.
    fn run(
        &self,
        worker: &mut Worker<V::Instance>,
        index: usize,
        lens: Lens,
        budget: Budget,
        record: &mut Record,
    ) -> Result<(), Failed> {
        record.writes.clear();
        let reads = std::mem::take(&mut record.reads);
        let view = self.vm.view(&mut worker.vm);
        view.begin(lens, reads);
        view.scout.begin(budget);
        let timed = self.input.forecast.as_ref().is_some_and(|forecast| forecast.wants(index));
        let start = timed.then(Instant::now);
        let Effects { result, reward, state } =
            self.vm.execute(&mut worker.vm, index, &mut record.writes)?;
        record.nanos = start.map_or(0, |start| start.elapsed().as_nanos() as u64);
        record.result = result;
        record.reward = reward;
        record.state = state;
        Ok(())
    }

    /// Reads from the final parent what `reads` has from an earlier one; false where that fails.
    pub(crate) fn learn(&self, worker: &mut Worker<V::Instance>, reads: &ReadSet) -> bool {
        let view = self.vm.view(&mut worker.vm);
        match catch_unwind(AssertUnwindSafe(|| view.learn(reads))) {
            Ok(learned) => learned.is_ok(),
            Err(_panic) => {
                self.renew(worker);
                false
            }
        }
    }

    /// Takes a speculative run's published writes back.
    pub(crate) fn withdraw(&self, index: usize, incarnation: u8, writes: &WriteSet) {
        writes.withdraw(&self.input.tables, Stamp::new(position(index), incarnation));
    }
}

impl<I> Worker<I> {
    /// Keeps an emptied record for a next execution, of this worker or of the one that filled it.
    pub(crate) fn recycle(&mut self, record: Box<Record>) {
        self.spare.give(record);
    }
}
