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
    record::{Record, WriteSet},
    schedule::{Claim, Schedule},
    tables::{Position, Stamp, Tables},
    view::{Lens, ReadSet, View, ViewError},
    vm::{Effects, Failed, Vm},
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
pub(crate) struct Run<'b, V> {
    vm: V,
    input: Input<'b>,
    schedule: Schedule,
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
    vm: I,
    /// Emptied records, for the next executions.
    spare: Vec<(ReadSet, WriteSet)>,
}

/// An execution that panicked.
type Panic = Box<dyn Any + Send>;

impl<'b, V: Vm<'b>> Run<'b, V> {
    pub(crate) fn new(vm: V, input: Input<'b>, committer: Committer<'b>) -> Self {
        Self {
            vm,
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
        pool.run(&|_worker| {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.work())) {
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
    pub(crate) fn work(&self) {
        Counters::add(&self.counters.workers);
        let mut worker = self.worker();
        let mut idle = 0;
        let mut last = None;
        while !self.input.stop.load(Ordering::Relaxed) {
            if let Some(error) = self.input.limits.exceeded() {
                self.fail(&mut self.committer.lock(), error.into());
                return;
            }
            match self.schedule.claim(last, idle) {
                Claim::Run(index) => {
                    idle = 0;
                    self.execute(&mut worker, index);
                    last = Some(index);
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

    fn worker(&self) -> Worker<V::Instance> {
        let view = View::new(self.input.tables, self.input.source, self.input.stop);
        Worker { vm: self.vm.instance(view), spare: Vec::new() }
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
                    self.input.tables.account(write.id).publish(stamp, write.value);
                }
                for (id, value) in &record.writes.slots {
                    self.input.tables.slot(*id).publish(stamp, *value);
                }
                *self.records[index].lock() = Some(record);
            }
            Err(()) => Counters::add(&self.counters.discarded),
        }
        self.schedule.set_ready(index);
        self.commit_if_free(worker);
    }

    /// Runs a transaction ahead of its turn. An error or a panic is nothing but a lost run.
    fn speculate(&self, worker: &mut Worker<V::Instance>, index: usize) -> Result<Box<Record>, ()> {
        let soft = self.input.optimisations.commutative_balances;
        let predicted = if soft { self.vm.claims(index) } else { None };
        let lens = Lens { position: position(index), soft, predicted };
        match self.attempt(worker, index, lens) {
            Ok(Ok(record)) => Ok(record),
            Ok(Err(_)) => Err(()),
            Err(_panic) => {
                worker.vm = self.worker().vm;
                Err(())
            }
        }
    }

    fn attempt(
        &self,
        worker: &mut Worker<V::Instance>,
        index: usize,
        lens: Lens,
    ) -> Result<Result<Box<Record>, Failed>, Panic> {
        Counters::add(&self.counters.executions);
        catch_unwind(AssertUnwindSafe(|| self.attempt_unguarded(worker, index, lens)))
    }

    fn attempt_unguarded(
        &self,
        worker: &mut Worker<V::Instance>,
        index: usize,
        lens: Lens,
    ) -> Result<Box<Record>, Failed> {
        let (reads, mut writes) = worker.spare.pop().unwrap_or_default();
        writes.clear();
        self.vm.view(&mut worker.vm).begin(lens, reads);
        let Effects { result, reward, state } =
            self.vm.execute(&mut worker.vm, index, &mut writes)?;
        let reads = std::mem::take(&mut self.vm.view(&mut worker.vm).reads);
        Ok(Box::new(Record { result, reads, writes, reward, state }))
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
        let lens = Lens { position: position(index), ..Lens::default() };
        match self.attempt(worker, index, lens) {
            Ok(Ok(mut record)) => {
                if self.commit(committer, index, |c| c.commit_in_order(index, &mut record)) {
                    self.done(worker, index, failed, record);
                }
            }
            Ok(Err(error)) => {
                let error = self.verdict(index, error);
                self.fail(committer, error);
            }
            Err(panic) => {
                worker.vm = self.worker().vm;
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
        if self.commit(committer, index, |c| c.commit_speculative(index, validity, &mut record)) {
            self.done(worker, index, false, record);
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
        index: usize,
        failed: bool,
        record: Box<Record>,
    ) {
        recycle(worker, record);
        self.schedule.advance(index, failed);
    }

    fn withdraw(&self, index: usize, record: &Record) {
        let stamp = Stamp::new(position(index), SPECULATIVE);
        for write in &record.writes.accounts {
            self.input.tables.account(write.id).withdraw(stamp);
        }
        for (id, _) in &record.writes.slots {
            self.input.tables.slot(*id).withdraw(stamp);
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
    let Record { reads, writes, .. } = *record;
    if worker.spare.len() < 64 {
        worker.spare.push((reads, writes));
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
