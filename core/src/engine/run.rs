//! The workers of one block.
//!
//! Each worker claims a transaction, executes it on its own view, publishes what it wrote and marks
//! it ready; then whoever gets the commit token commits the ready prefix. Nobody waits for the
//! token while there is something to execute.
//!
//! Why nothing is left behind, although nobody waits for the token. A worker leaves when everything
//! has been handed out and its own records are ready. The last thing that it does, as often as
//! there is need, is this ([`Run::leave`]): a fence, a look whether the head is ready, and if it is
//! an attempt at the token; who gets it commits the ready prefix, gives it back and begins again
//! with the fence. All of these fences stand in one order. Take the worker whose last fence is the
//! last of all. Whatever any other worker did before its own last fence, it sees: every record that
//! another one made ready, every head that another one has stored, and that every other one has
//! given the token back, since each of them does that before its last fence. So if the head is not
//! the end of the block, it is ready, and the token is free: this worker commits, and has a further
//! fence, which contradicts that it was its last one. (Waiting for the token instead would be
//! simpler, and with many threads slow: each of them would sleep, and be woken by the one before
//! it.)

use super::{
    ahead::{Ahead, Counters, Input, Turn, Worker, position},
    commit::{Committer, SPECULATIVE, Validity},
    record::Record,
    revalidate::{self, Scans},
    schedule::{Claim, Fate, Taken},
    view::{Lens, ViewError},
    vm::{Failed, Vm},
    watch::Watch,
};
use crate::{
    error::{ExecuteError, HostError},
    outcome::Statistics,
    pool::Pool,
    sync::{
        Line, Mutex, MutexGuard,
        atomic::{Ordering, fence},
    },
    tally::panic_message,
    trace::RunKind,
};
use alloy_evm::block::BlockExecutionError;
use revm::context::result::EVMError;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The workers of one block, who commit what they executed.
pub(crate) struct Run<'b, V, W> {
    pub(crate) ahead: Ahead<'b, V, W>,
    pub(crate) committer: Line<Mutex<Committer<'b>>>,
    /// For those who look for stale records.
    pub(super) scans: Scans,
}

impl<'b, V: Vm<'b>, W: Watch> Run<'b, V, W> {
    pub(crate) fn new(vm: V, input: Input<'b>, committer: Committer<'b>, watch: W) -> Self {
        let committer = Line(Mutex::new(committer));
        Self { ahead: Ahead::new(vm, input, watch), committer, scans: Scans::default() }
    }

    /// Executes and commits all transactions on the calling thread and the pool's.
    pub(crate) fn drive(
        self,
        pool: &mut Pool,
    ) -> Result<(Committer<'b>, Statistics), ExecuteError> {
        let work = |worker| {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.work(worker))) {
                let message = panic_message(&*panic);
                let error = HostError::Panic { index: None, message };
                self.committer.lock().failure.get_or_insert(error.into());
                self.ahead.stop();
            }
        };
        match self.ahead.schedule.len() {
            0 => work(0),
            _ => pool.run(&work),
        }
        let statistics = self.ahead.counters.statistics(self.ahead.schedule.backed_off());
        let complete = self.ahead.schedule.head() == self.ahead.schedule.len();
        let mut committer = self.committer.0.into_inner();
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
        let mut worker = self.ahead.worker(number);
        if number % 2 == 1 {
            self.ahead.prefetch(&mut worker);
        }
        self.ahead.take_turns(|idle| self.turn(&mut worker, idle));
        self.leave(&mut worker);
    }

    /// Commits what is ready before a worker leaves; what is not is left to those who execute it.
    fn leave(&self, worker: &mut Worker<V::Instance>) {
        if !self.ahead.stopped() {
            self.commit_while_free(worker, || fence(Ordering::SeqCst));
        }
    }

    /// Executes what one claim gives, or commits what is ready, for a worker that has looked in
    /// vain `idle` times.
    pub(crate) fn turn(&self, worker: &mut Worker<V::Instance>, idle: u32) -> Turn {
        if self.ahead.stopped() {
            return Turn::Done;
        }
        if let Some(error) = self.ahead.input.limits.exceeded() {
            self.fail(&mut self.committer.lock(), error.into());
            return Turn::Done;
        }
        // A transaction that others can take part in is one of the longest.
        if self.ahead.help() {
            return Turn::Worked;
        }
        match self.ahead.claim(worker, idle) {
            Claim::Run(indices) => {
                indices.for_each(|index| self.execute(worker, index));
                Turn::Worked
            }
            Claim::Wait => {
                self.commit_if_free(worker);
                if self.ahead.help_idle()
                    || self.ahead.serve(worker)
                    || (revalidate::is_time(idle) && self.revalidate(worker))
                {
                    Turn::Worked
                } else {
                    Turn::Waits
                }
            }
            Claim::Finished => self.after_the_last(worker),
        }
    }

    /// Everything has been handed out. Where executions run ahead of slow reads, the worker stays
    /// to read for those that go on.
    fn after_the_last(&self, worker: &mut Worker<V::Instance>) -> Turn {
        if self.revalidate_last(worker) {
            return Turn::Worked;
        }
        if self.ahead.fetches.is_none() {
            return Turn::Done;
        }
        self.commit_if_free(worker);
        if self.ahead.schedule.head() >= self.ahead.schedule.len() {
            self.ahead.send_home();
        } else if self.ahead.stay(worker) {
            return Turn::Worked;
        }
        Turn::Done
    }

    fn execute(&self, worker: &mut Worker<V::Instance>, index: usize) {
        if !self.ahead.input.forced && index == self.ahead.schedule.head() {
            // Every earlier transaction is committed: what this run sees is its pre-state.
            Counters::add(&self.ahead.counters.of(worker.number).direct);
            let mut committer = self.committer.lock();
            self.run_in_order(worker, &mut committer, index, Fate::Direct);
            self.commit_ready(worker, &mut committer);
            return;
        }
        self.ahead.execute(worker, index);
        self.commit_own(worker);
    }

    /// Commits the ready prefix if this worker executed its first transaction: the record is in
    /// this core's caches. What another worker executed is left to that one, unless it has left it
    /// since this one last looked.
    pub(super) fn commit_own(&self, worker: &mut Worker<V::Instance>) {
        let head = self.ahead.schedule.head();
        match self.ahead.schedule.executor(head) {
            None => {}
            Some(mark) if mark != worker.mark && worker.stuck != head => worker.stuck = head,
            Some(_) => self.commit_if_free(worker),
        }
    }

    /// Commits the ready prefix if nobody else is at it.
    pub(crate) fn commit_if_free(&self, worker: &mut Worker<V::Instance>) {
        self.commit_while_free(worker, || {});
    }

    /// The same; does something before each look whether the head is ready.
    fn commit_while_free(&self, worker: &mut Worker<V::Instance>, before_look: impl Fn()) {
        loop {
            before_look();
            if !self.ahead.schedule.is_ready(self.ahead.schedule.head()) {
                return;
            }
            let Some(mut committer) = self.committer.try_lock() else { return };
            self.commit_ready(worker, &mut committer);
            if self.ahead.stopped() {
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
            let index = self.ahead.schedule.head();
            if committer.failure.is_some() || !self.ahead.schedule.is_ready(index) {
                return;
            }
            if let Some(error) = self.ahead.input.limits.exceeded() {
                return self.fail(committer, error.into());
            }
            match self.ahead.schedule.take(index) {
                Taken::Record(record) => match self.validate(worker, committer, &record) {
                    Validity::Stale => {
                        if W::ON {
                            let read = committer.stale_read(&record);
                            self.ahead.watch.stale(&self.ahead.input.tables, index, read);
                        }
                        self.ahead.withdraw(index, record.incarnation, &record.writes);
                        worker.recycle(record);
                        self.repeat(worker, committer, index);
                    }
                    validity => self.accept(worker, committer, index, validity, record),
                },
                Taken::Nothing => self.repeat(worker, committer, index),
                // Who executes it once more comes back with it.
                Taken::Retracted => return,
            }
        }
    }

    /// Compares a record with committed state. What it read while the parent block was executed
    /// has to be read from the final one first; where that fails, the head's own execution tells
    /// whether it matters.
    fn validate(
        &self,
        worker: &mut Worker<V::Instance>,
        committer: &mut Committer<'b>,
        record: &Record,
    ) -> Validity {
        if record.reads.early && !self.ahead.learn(worker, &record.reads) {
            return Validity::Stale;
        }
        committer.validate(record)
    }

    /// Executes the head once more, on committed state.
    fn repeat(
        &self,
        worker: &mut Worker<V::Instance>,
        committer: &mut MutexGuard<'_, Committer<'b>>,
        index: usize,
    ) {
        Counters::add(&self.ahead.counters.of(worker.number).reexecutions);
        // Before it runs: others shall not build on what is known to be stale.
        self.ahead.schedule.set_failed(index);
        self.run_in_order(worker, committer, index, Fate::Failed);
    }

    /// Executes the head on committed state: its error is the block's.
    fn run_in_order(
        &self,
        worker: &mut Worker<V::Instance>,
        committer: &mut MutexGuard<'_, Committer<'b>>,
        index: usize,
        fate: Fate,
    ) {
        if committer.failure.is_some() {
            return;
        }
        if let Err(error) = committer.tally.admit(index) {
            return self.fail(committer, error.into());
        }
        committer.settle();
        // On committed state every read is exact: softness is only noted for who watches.
        let soft = W::ON && self.ahead.input.optimisations.commutative_balances;
        let lens = Lens { position: position(index), soft, ..Lens::default() };
        let repeated = fate == Fate::Failed;
        let kind = if repeated { RunKind::Repeated } else { RunKind::Direct };
        match self.ahead.attempt(worker, index, lens, kind) {
            Ok(Ok(mut record)) => {
                self.ahead.schedule.executed(index, record.result.tx_gas_used());
                self.ahead.watch.committing(index, &record);
                if self.commit(committer, index, |c| c.commit_in_order(index, &mut record)) {
                    self.done(worker, committer, index, fate, record);
                }
            }
            Ok(Err(error)) => {
                let error = self.verdict(index, error);
                self.fail(committer, error);
            }
            Err(panic) => {
                self.ahead.renew(worker);
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
        self.ahead.watch.committing(index, &record);
        if self.commit(committer, index, |c| c.commit_speculative(index, validity, &mut record)) {
            let first = record.incarnation == SPECULATIVE;
            let fate = if first { Fate::Held } else { Fate::Repeated };
            self.done(worker, committer, index, fate, record);
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
        fate: Fate,
        record: Box<Record>,
    ) {
        self.ahead.watch.committed(worker.number, index);
        self.ahead.learn_from(index, record.nanos, record.result.tx_gas_used(), fate);
        worker.recycle(record);
        self.ahead.schedule.advance(&mut committer.back_off, index, fate);
    }

    /// The error that sequential execution would report for the head.
    fn verdict(&self, index: usize, error: Failed) -> ExecuteError {
        match error {
            EVMError::Database(ViewError::Source(error)) => HostError::Source(error).into(),
            EVMError::Database(ViewError::Stopped) => HostError::Cancelled.into(),
            error => {
                let hash = *self.ahead.input.block.transactions[index].tx_hash();
                ExecuteError::from_alloy(Some(index), BlockExecutionError::evm(error, hash))
            }
        }
    }

    pub(crate) fn fail(&self, committer: &mut MutexGuard<'_, Committer<'b>>, error: ExecuteError) {
        committer.failure.get_or_insert(error);
        self.ahead.stop();
    }
}
