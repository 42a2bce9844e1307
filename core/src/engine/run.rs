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
    commit::Committer,
    evm::Runner,
    limits::Limits,
    record::{Record, WriteSet, drain},
    schedule::{Claim, Schedule},
    tables::{Position, Stamp, Tables},
    view::{ReadSet, View, ViewError},
};
use crate::{
    block::Block,
    error::{ExecuteError, HostError},
    source::StateSource,
    sync::{
        self, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    tally::panic_message,
};
use alloy_evm::{EvmEnv, block::BlockExecutionError};
use revm::context::{TxEnv, result::EVMError};
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

/// Incarnations: a transaction runs speculatively at most once, then at most once in order.
const SPECULATIVE: u8 = 1;
const IN_ORDER: u8 = 2;

type Failed = EVMError<ViewError>;

/// Where in the block a transaction's versions stand.
pub(crate) const fn position(index: usize) -> Position {
    index as Position + 1
}

/// Everything the workers of one block share.
pub(crate) struct Run<'b> {
    pub(crate) tables: &'b Tables,
    pub(crate) block: &'b Block,
    pub(crate) txs: &'b [TxEnv],
    pub(crate) env: &'b EvmEnv,
    pub(crate) source: &'b dyn StateSource,
    pub(crate) limits: &'b Limits,
    pub(crate) schedule: Schedule,
    /// Ready records; `None` stands for a speculation that came to nothing.
    pub(crate) records: Box<[Mutex<Option<Box<Record>>>]>,
    pub(crate) committer: Mutex<Committer<'b>>,
    pub(crate) stop: &'b AtomicBool,
    pub(crate) counters: Counters,
    pub(crate) keep_state: bool,
    pub(crate) forced: bool,
}

/// Counts for [`crate::Statistics`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) executions: AtomicU64,
    pub(crate) reexecutions: AtomicU64,
    pub(crate) direct: AtomicU64,
    pub(crate) discarded: AtomicU64,
    pub(crate) workers: AtomicU64,
}

impl Counters {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What belongs to one worker.
struct Worker<'b> {
    runner: Runner<View<'b>>,
    /// Emptied records, for the next executions.
    spare: Vec<(ReadSet, WriteSet)>,
}

/// An execution that panicked.
type Panic = Box<dyn Any + Send>;

impl<'b> Run<'b> {
    /// The whole life of one worker in this block.
    pub(crate) fn work(&self) {
        Counters::add(&self.counters.workers);
        let mut worker = self.worker();
        let mut idle = 0;
        let mut last = None;
        while !self.stop.load(Ordering::Relaxed) {
            if let Some(error) = self.limits.exceeded() {
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

    fn worker(&self) -> Worker<'b> {
        let view = View::new(self.tables, self.source, self.stop);
        Worker { runner: Runner::new(view, self.env), spare: Vec::new() }
    }

    fn execute(&self, worker: &mut Worker<'b>, index: usize) {
        if !self.forced && index == self.schedule.head() {
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
                for (id, value) in &record.writes.accounts {
                    self.tables.account(*id).publish(stamp, value.clone());
                }
                for (id, value) in &record.writes.slots {
                    self.tables.slot(*id).publish(stamp, *value);
                }
                *self.records[index].lock() = Some(record);
            }
            Err(()) => Counters::add(&self.counters.discarded),
        }
        self.schedule.set_ready(index);
        self.commit_if_free(worker);
    }

    /// Runs a transaction ahead of its turn. An error or a panic is nothing but a lost run.
    fn speculate(&self, worker: &mut Worker<'b>, index: usize) -> Result<Box<Record>, ()> {
        match self.attempt(worker, index) {
            Ok(Ok(record)) => Ok(record),
            Ok(Err(_)) => Err(()),
            Err(_panic) => {
                worker.runner = self.worker().runner;
                Err(())
            }
        }
    }

    fn attempt(
        &self,
        worker: &mut Worker<'b>,
        index: usize,
    ) -> Result<Result<Box<Record>, Failed>, Panic> {
        Counters::add(&self.counters.executions);
        catch_unwind(AssertUnwindSafe(|| self.attempt_unguarded(worker, index)))
    }

    fn attempt_unguarded(
        &self,
        worker: &mut Worker<'b>,
        index: usize,
    ) -> Result<Box<Record>, Failed> {
        let position = position(index);
        let (reads, mut writes) = worker.spare.pop().unwrap_or_default();
        writes.clear();
        let runner = &mut worker.runner;
        runner.db().begin(position, reads);
        let mut executed = runner.run(&self.txs[index])?;
        let state = &mut executed.state;
        drain(runner.db(), position, state, self.keep_state, &mut writes)
            .map_err(EVMError::Database)?;
        let state = if self.keep_state {
            Some(executed.state)
        } else {
            runner.recycle(executed.state);
            None
        };
        let reads = std::mem::take(&mut runner.db().reads);
        Ok(Box::new(Record {
            result: executed.result,
            reads,
            writes,
            reward: executed.reward,
            state,
        }))
    }

    /// Commits the ready prefix if nobody else is at it.
    fn commit_if_free(&self, worker: &mut Worker<'b>) {
        while self.schedule.is_ready(self.schedule.head()) {
            let Some(mut committer) = self.committer.try_lock() else { return };
            self.commit_ready(worker, &mut committer);
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    fn commit_ready(&self, worker: &mut Worker<'b>, committer: &mut MutexGuard<'_, Committer<'b>>) {
        loop {
            let index = self.schedule.head();
            if committer.torn {
                let message = format!("a panic while transaction {index} was being committed");
                return self.fail(committer, HostError::Internal(message).into());
            }
            if committer.failure.is_some() || !self.schedule.is_ready(index) {
                return;
            }
            if let Some(error) = self.limits.exceeded() {
                return self.fail(committer, error.into());
            }
            let record = self.records[index].lock().take();
            match record {
                Some(record) if committer.is_valid(&record.reads) => {
                    self.accept(worker, committer, (index, SPECULATIVE, false), record);
                }
                record => {
                    if let Some(record) = record {
                        self.withdraw(index, &record);
                        recycle(worker, record);
                    }
                    Counters::add(&self.counters.reexecutions);
                    self.run_in_order(worker, committer, index, true);
                }
            }
        }
    }

    /// Executes the head on committed state: its error is the block's.
    fn run_in_order(
        &self,
        worker: &mut Worker<'b>,
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
        match self.attempt(worker, index) {
            Ok(Ok(record)) => {
                self.accept(worker, committer, (index, IN_ORDER, failed), record);
            }
            Ok(Err(error)) => {
                let error = self.verdict(index, error);
                self.fail(committer, error);
            }
            Err(panic) => {
                worker.runner = self.worker().runner;
                let message = panic_message(&*panic);
                self.fail(committer, HostError::Panic { index: Some(index), message }.into());
            }
        }
    }

    fn accept(
        &self,
        worker: &mut Worker<'b>,
        committer: &mut MutexGuard<'_, Committer<'b>>,
        (index, incarnation, failed): (usize, u8, bool),
        mut record: Box<Record>,
    ) {
        if incarnation == SPECULATIVE
            && let Err(error) = committer.tally.admit(index)
        {
            return self.fail(committer, error.into());
        }
        let stamp = Stamp::new(position(index), incarnation);
        committer.torn = true;
        committer.commit(index, stamp, incarnation == SPECULATIVE, &mut record);
        recycle(worker, record);
        self.schedule.advance(index, failed);
        committer.torn = false;
    }

    fn withdraw(&self, index: usize, record: &Record) {
        let stamp = Stamp::new(position(index), SPECULATIVE);
        for (id, _) in &record.writes.accounts {
            self.tables.account(*id).withdraw(stamp);
        }
        for (id, _) in &record.writes.slots {
            self.tables.slot(*id).withdraw(stamp);
        }
    }

    /// The error that sequential execution would report for the head.
    fn verdict(&self, index: usize, error: Failed) -> ExecuteError {
        match error {
            EVMError::Database(ViewError::Source(error)) => HostError::Source(error).into(),
            EVMError::Database(ViewError::Stopped) => HostError::Cancelled.into(),
            error => {
                let hash = *self.block.transactions[index].tx_hash();
                ExecuteError::from_alloy(Some(index), BlockExecutionError::evm(error, hash))
            }
        }
    }

    fn fail(&self, committer: &mut MutexGuard<'_, Committer<'b>>, error: ExecuteError) {
        committer.failure.get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn recycle(worker: &mut Worker<'_>, record: Box<Record>) {
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
