//! The workers of one block.
//!
//! Each worker claims a transaction, executes it on its own view, publishes what it wrote and marks
//! it ready; then whoever gets the commit token commits the ready prefix. Nobody waits for the
//! token while there is something to execute.
//!
//! Why nothing is left behind: a worker leaves only after it took the token, blocking, at a time
//! when everything had been handed out and its own records were ready. The last worker to do so
//! finds every record ready and commits to the end.

use super::{
    Optimisations,
    commit::{Committer, SPECULATIVE, Validity},
    limits::Limits,
    record::Record,
    schedule::{Claim, Schedule},
    tables::{Position, Stamp, Tables},
    view::{Lens, View, ViewError},
    vm::{Effects, Failed, Vm},
    watch::Watch,
};
use crate::{
    block::Block,
    error::{ExecuteError, HostError},
    outcome::Statistics,
    pool::Pool,
    source::StateSource,
    sync::{
        self, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    tally::panic_message,
    trace::RunKind,
};
use alloy_evm::block::BlockExecutionError;
use revm::context::result::EVMError;
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

/// How long a worker that finds nothing to do spins before it looks again: a few microseconds.
const SPINS: u32 = 128;
/// How often it looks before it sleeps.
const LOOKS: u32 = 50;
/// How long it sleeps then: a fraction of a typical transaction.
const NAP: Duration = Duration::from_micros(50);

/// Where in the block a transaction's versions stand.
pub(crate) const fn position(index: usize) -> Position {
    index as Position + 1
}

/// What a run is given.
pub(crate) struct Input<'b> {
    pub(crate) tables: &'b Tables,
    pub(crate) block: &'b Block,
    pub(crate) source: &'b dyn StateSource,
    pub(crate) limits: &'b Limits,
    pub(crate) stop: &'b AtomicBool,
    pub(crate) forced: bool,
    pub(crate) optimisations: Optimisations,
}

/// Everything the workers of one block share.
pub(crate) struct Run<'b, V, W> {
    vm: V,
    watch: W,
    input: Input<'b>,
    schedule: Schedule<'b>,
    /// Ready records; `None` stands for a speculation that came to nothing.
    records: Box<[Mutex<Option<Box<Record>>>]>,
    committer: Mutex<Committer<'b>>,
    counters: Counters,
}

/// Counts for [`crate::Statistics`].
#[derive(Debug, Default)]
struct Counters {
    executions: AtomicU64,
    reexecutions: AtomicU64,
    direct: AtomicU64,
    discarded: AtomicU64,
    workers: AtomicU64,
}

impl Counters {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn statistics(&self, fell_back: bool) -> Statistics {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            executions: count(&self.executions),
            reexecutions: count(&self.reexecutions),
            direct: count(&self.direct),
            discarded: count(&self.discarded),
            workers: count(&self.workers) as u32,
            fell_back,
        }
    }
}

/// What belongs to one worker.
struct Worker<I> {
    /// 0 is the calling thread.
    number: usize,
    vm: I,
    /// How the schedule marks what this worker executed.
    mark: u8,
    /// A head that another worker's record has kept, the last time this one looked.
    stuck: usize,
    /// Emptied records, for the next executions.
    #[expect(clippy::vec_box, reason = "records travel between workers, as pointers")]
    spare: Vec<Box<Record>>,
}

/// An execution that panicked.
type Panic = Box<dyn Any + Send>;

impl<'b, V: Vm<'b>, W: Watch> Run<'b, V, W> {
    pub(crate) fn new(vm: V, input: Input<'b>, committer: Committer<'b>, watch: W) -> Self {
        Self {
            vm,
            watch,
            schedule: Schedule::new(input.block, input.optimisations),
            records: input.block.transactions.iter().map(|_| Mutex::new(None)).collect(),
            committer: Mutex::new(committer),
            counters: Counters::default(),
            input,
        }
    }

    /// Executes and commits all transactions on the calling thread and the pool's.
    pub(crate) fn drive(
        self,
        pool: &mut Pool,
    ) -> Result<(Committer<'b>, Statistics), ExecuteError> {
        pool.run(&|worker| {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.work(worker))) {
                let message = panic_message(&*panic);
                let error = HostError::Panic { index: None, message };
                self.committer.lock().failure.get_or_insert(error.into());
                self.input.stop.store(true, Ordering::Relaxed);
            }
        });
        let statistics = self.counters.statistics(self.schedule.backed_off());
        let complete = self.schedule.head() == self.schedule.len();
        let mut committer = self.committer.into_inner();
        if let Some(error) = committer.failure.take() {
            return Err(error);
        }
        if !complete {
            let message = "the workers left before the last transaction was committed".to_owned();
            return Err(HostError::Internal(message).into());
        }
        Ok((committer, statistics))
    }

    /// The whole life of one worker in this block.
    pub(crate) fn work(&self, number: usize) {
        Counters::add(&self.counters.workers);
        let mark = u8::try_from(number + 1).unwrap_or(u8::MAX);
        let (vm, stuck, spare) = (self.machine(), usize::MAX, Vec::new());
        let mut worker = Worker { number, vm, mark, stuck, spare };
        let mut idle = 0;
        let mut last = None;
        while !self.input.stop.load(Ordering::Relaxed) {
            if let Some(error) = self.input.limits.exceeded() {
                self.fail(&mut self.committer.lock(), error.into());
                return;
            }
            match self.schedule.claim(last, idle) {
                Claim::Run(indices) => {
                    idle = 0;
                    last = indices.clone().last();
                    for index in indices {
                        self.execute(&mut worker, index);
                    }
                }
                Claim::Wait => {
                    idle += 1;
                    self.commit_if_free(&mut worker);
                    pause(idle);
                }
                Claim::Finished => {
                    self.commit_ready(&mut worker, &mut self.committer.lock());
                    return;
                }
            }
        }
    }

    fn machine(&self) -> V::Instance {
        self.vm.instance(View::new(self.input.tables, self.input.source, self.input.stop))
    }

    fn execute(&self, worker: &mut Worker<V::Instance>, index: usize) {
        if !self.input.forced && index == self.schedule.head() {
            // Every earlier transaction is committed: what this run sees is its pre-state.
            Counters::add(&self.counters.direct);
            let mut committer = self.committer.lock();
            self.run_in_order(worker, &mut committer, index, false);
            self.commit_ready(worker, &mut committer);
            return;
        }
        match self.speculate(worker, index) {
            Ok(record) => {
                let stamp = Stamp::new(position(index), SPECULATIVE);
                for write in &record.writes.accounts {
                    self.input.tables.account(write.id).chain.publish(stamp, write.value);
                }
                for (id, value) in &record.writes.slots {
                    self.input.tables.slot(*id).chain.publish(stamp, *value);
                }
                self.schedule.executed(index, record.result.tx_gas_used());
                *self.records[index].lock() = Some(record);
            }
            Err(()) => Counters::add(&self.counters.discarded),
        }
        self.schedule.set_ready(index, worker.mark);
        self.commit_own(worker);
    }

    /// Commits the ready prefix if this worker executed its first transaction: the record is in
    /// this core's caches. What another worker executed is left to that one, unless it has left it
    /// since this one last looked.
    fn commit_own(&self, worker: &mut Worker<V::Instance>) {
        let head = self.schedule.head();
        match self.schedule.executor(head) {
            None => {}
            Some(mark) if mark != worker.mark && worker.stuck != head => worker.stuck = head,
            Some(_) => self.commit_if_free(worker),
        }
    }

    /// Runs a transaction ahead of its turn. An error or a panic is nothing but a lost run.
    fn speculate(&self, worker: &mut Worker<V::Instance>, index: usize) -> Result<Box<Record>, ()> {
        let soft = self.input.optimisations.commutative_balances;
        let predicted = if soft { self.vm.claims(index) } else { None };
        let lens = Lens { position: position(index), soft, predicted };
        match self.attempt(worker, index, lens, RunKind::Speculative) {
            Ok(Ok(record)) => Ok(record),
            Ok(Err(_)) => Err(()),
            Err(_panic) => {
                worker.vm = self.machine();
                Err(())
            }
        }
    }

    fn attempt(
        &self,
        worker: &mut Worker<V::Instance>,
        index: usize,
        lens: Lens,
        kind: RunKind,
    ) -> Result<Result<Box<Record>, Failed>, Panic> {
        Counters::add(&self.counters.executions);
        let start = self.watch.now();
        let end = catch_unwind(AssertUnwindSafe(|| self.attempt_unguarded(worker, index, lens)));
        self.watch.ran(worker.number, index, kind, start, matches!(end, Ok(Ok(_))));
        end
    }

    fn attempt_unguarded(
        &self,
        worker: &mut Worker<V::Instance>,
        index: usize,
        lens: Lens,
    ) -> Result<Box<Record>, Failed> {
        let mut record = worker.spare.pop().unwrap_or_default();
        record.writes.clear();
        self.vm.view(&mut worker.vm).begin(lens, std::mem::take(&mut record.reads));
        let Effects { result, reward, state } =
            self.vm.execute(&mut worker.vm, index, &mut record.writes)?;
        record.reads = std::mem::take(&mut self.vm.view(&mut worker.vm).reads);
        record.result = result;
        record.reward = reward;
        record.state = state;
        Ok(record)
    }

    /// Commits the ready prefix if nobody else is at it.
    fn commit_if_free(&self, worker: &mut Worker<V::Instance>) {
        while self.schedule.is_ready(self.schedule.head()) {
            let Some(mut committer) = self.committer.try_lock() else { return };
            self.commit_ready(worker, &mut committer);
            if self.input.stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    fn commit_ready(
        &self,
        worker: &mut Worker<V::Instance>,
        committer: &mut MutexGuard<'_, Committer<'b>>,
    ) {
        loop {
            let index = self.schedule.head();
            if committer.failure.is_some() || !self.schedule.is_ready(index) {
                return;
            }
            if let Some(error) = self.input.limits.exceeded() {
                return self.fail(committer, error.into());
            }
            let record = self.records[index].lock().take();
            match record {
                Some(record) => match committer.validate(&record) {
                    Validity::Stale => {
                        if W::ON {
                            let read = committer.stale_read(&record);
                            self.watch.stale(self.input.tables, index, read);
                        }
                        self.withdraw(index, &record);
                        recycle(worker, record);
                        self.repeat(worker, committer, index);
                    }
                    validity => self.accept(worker, committer, index, validity, record),
                },
                None => self.repeat(worker, committer, index),
            }
        }
    }

    /// Executes the head once more, on committed state.
    fn repeat(
        &self,
        worker: &mut Worker<V::Instance>,
        committer: &mut MutexGuard<'_, Committer<'b>>,
        index: usize,
    ) {
        Counters::add(&self.counters.reexecutions);
        self.run_in_order(worker, committer, index, true);
    }

    /// Executes the head on committed state: its error is the block's.
    fn run_in_order(
        &self,
        worker: &mut Worker<V::Instance>,
        committer: &mut MutexGuard<'_, Committer<'b>>,
        index: usize,
        failed: bool,
    ) {
        if committer.failure.is_some() {
            return;
        }
        if let Err(error) = committer.tally.admit(index) {
            return self.fail(committer, error.into());
        }
        committer.settle();
        // On committed state every read is exact: softness is only noted for who watches.
        let soft = W::ON && self.input.optimisations.commutative_balances;
        let lens = Lens { position: position(index), soft, ..Lens::default() };
        let kind = if failed { RunKind::Repeated } else { RunKind::Direct };
        match self.attempt(worker, index, lens, kind) {
            Ok(Ok(mut record)) => {
                self.schedule.executed(index, record.result.tx_gas_used());
                self.watch.committing(index, &record);
                if self.commit(committer, index, |c| c.commit_in_order(index, &mut record)) {
                    self.done(worker, committer, index, failed, record);
                }
            }
            Ok(Err(error)) => {
                let error = self.verdict(index, error);
                self.fail(committer, error);
            }
            Err(panic) => {
                worker.vm = self.machine();
                let message = panic_message(&*panic);
                self.fail(committer, HostError::Panic { index: Some(index), message }.into());
            }
        }
    }

    fn accept(
        &self,
        worker: &mut Worker<V::Instance>,
        committer: &mut MutexGuard<'_, Committer<'b>>,
        index: usize,
        validity: Validity,
        mut record: Box<Record>,
    ) {
        if let Err(error) = committer.tally.admit(index) {
            return self.fail(committer, error.into());
        }
        self.watch.committing(index, &record);
        if self.commit(committer, index, |c| c.commit_speculative(index, validity, &mut record)) {
            self.done(worker, committer, index, false, record);
        }
    }

    /// Commits one transaction. A panic, of the caller's hook for one, leaves committed state torn:
    /// it ends the block.
    fn commit(
        &self,
        committer: &mut MutexGuard<'_, Committer<'b>>,
        index: usize,
        commit: impl FnOnce(&mut Committer<'b>),
    ) -> bool {
        match catch_unwind(AssertUnwindSafe(|| commit(committer))) {
            Ok(()) => true,
            Err(panic) => {
                let message = panic_message(&*panic);
                self.fail(committer, HostError::Panic { index: Some(index), message }.into());
                false
            }
        }
    }

    fn done(
        &self,
        worker: &mut Worker<V::Instance>,
        committer: &mut MutexGuard<'_, Committer<'b>>,
        index: usize,
        failed: bool,
        record: Box<Record>,
    ) {
        self.watch.committed(worker.number, index);
        recycle(worker, record);
        self.schedule.advance(&mut committer.back_off, index, failed);
    }

    fn withdraw(&self, index: usize, record: &Record) {
        let stamp = Stamp::new(position(index), SPECULATIVE);
        for write in &record.writes.accounts {
            self.input.tables.account(write.id).chain.withdraw(stamp);
        }
        for (id, _) in &record.writes.slots {
            self.input.tables.slot(*id).chain.withdraw(stamp);
        }
    }

    /// The error that sequential execution would report for the head.
    fn verdict(&self, index: usize, error: Failed) -> ExecuteError {
        match error {
            EVMError::Database(ViewError::Source(error)) => HostError::Source(error).into(),
            EVMError::Database(ViewError::Stopped) => HostError::Cancelled.into(),
            error => {
                let hash = *self.input.block.transactions[index].tx_hash();
                ExecuteError::from_alloy(Some(index), BlockExecutionError::evm(error, hash))
            }
        }
    }

    fn fail(&self, committer: &mut MutexGuard<'_, Committer<'b>>, error: ExecuteError) {
        committer.failure.get_or_insert(error);
        self.input.stop.store(true, Ordering::Relaxed);
    }
}

fn recycle<I>(worker: &mut Worker<I>, record: Box<Record>) {
    if worker.spare.len() < 64 {
        worker.spare.push(record);
    }
}

/// Waits without touching anything that the working threads need.
fn pause(idle: u32) {
    if idle < LOOKS {
        sync::relax(SPINS);
    } else {
        sync::sleep(NAP);
    }
}
