//! The shadow itself: a queue, a thread, and the counters between them.
//!
//! Actors: hosts call [`Shadow::submit`] from any thread; the worker takes jobs in order; whoever
//! holds the last [`Shadow`] shuts it down by dropping it.

use crate::{
    counters::Counters,
    event::Event,
    job::{Job, Reason, Skip},
    judge::Judge,
    metrics, priority,
    queue::{Pushed, Queue},
    settings::Settings,
};
use alloy_primitives::B256;
use braid_core::engine::CancelToken;
use parking_lot::{Condvar, Mutex};
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// After how many deadlines a block that has not ended is called stalled: its execution gives up
/// at the first one, so it must be inside a read.
const STALLED: u32 = 2;

/// What the host's threads and the worker share.
struct Shared {
    settings: Settings,
    queue: Queue,
    counters: Mutex<Counters>,
    /// Told with each event that is counted.
    counted: Condvar,
    cancel: CancelToken,
}

/// Executes submitted blocks on a thread of its own. Every method may be called from any thread,
/// and none waits for a block unless it says so.
pub struct Shadow {
    shared: Arc<Shared>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Shadow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shadow").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

impl Shadow {
    /// Starts the worker; the engine starts with it, on threads of the same priority.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(settings: Settings) -> io::Result<Self> {
        metrics::describe();
        let shared = Arc::new(Shared {
            queue: Queue::new(settings.max_lag),
            settings,
            counters: Mutex::default(),
            counted: Condvar::new(),
            cancel: CancelToken::default(),
        });
        let worker = {
            let shared = shared.clone();
            thread::Builder::new().name("braid-shadow".to_owned()).spawn(move || {
                // A panic ends the worker, not the host; the queue then turns every job away.
                let _ended = catch_unwind(AssertUnwindSafe(|| shared.work()));
                shared.turn_away();
                shared.queue.end();
            })?
        };
        Ok(Self { shared, worker: Mutex::new(Some(worker)) })
    }

    /// Hands over one block. Where too many wait, the oldest of them is skipped.
    pub fn submit(&self, job: Job) {
        self.shared.counters.lock().submitted += 1;
        self.shared.take(job);
    }

    /// Hands over blocks that came at once; more than [`Settings::max_batch`] are all skipped.
    pub fn submit_batch(&self, jobs: Vec<Job>) {
        let (count, limit) = (jobs.len(), self.shared.settings.max_batch);
        self.shared.counters.lock().submitted += count as u64;
        for job in jobs {
            if count > limit {
                let detail = format!("{count} blocks came at once, at most {limit} are taken");
                self.shared.skip(&job, Reason::Batch, detail);
            } else {
                self.shared.take(job);
            }
        }
    }

    /// Takes back the waiting blocks with these hashes, which a reorganisation removed. Their
    /// state may be gone; those that execute already are executed to their end.
    pub fn withdraw(&self, hashes: &[B256]) {
        for job in self.shared.queue.withdraw(hashes) {
            self.shared.skip(&job, Reason::Reorged, String::new());
        }
    }

    /// What has been counted so far.
    pub fn counters(&self) -> Counters {
        let (waiting, running) = self.shared.queue.load();
        Counters { waiting, running, ..self.shared.counters.lock().clone() }
    }

    /// Waits until every submitted block is dealt with, at most this long; whether it is so.
    pub fn wait_idle(&self, at_most: Duration) -> bool {
        let deadline = Instant::now() + at_most;
        if !self.shared.queue.wait_idle(at_most) {
            return false;
        }
        // A job that was displaced or withdrawn has left the queue before it is counted.
        let mut counters = self.shared.counters.lock();
        while counters.done() < counters.submitted {
            if self.shared.counted.wait_until(&mut counters, deadline).timed_out() {
                return counters.done() >= counters.submitted;
            }
        }
        true
    }

    /// Takes no more blocks, skips those that wait, cancels the one at hand and joins the worker.
    /// Waits at most [`Settings::shutdown_wait`]; false where the worker hangs in a read of the
    /// host's state and is left to itself: it ends with that read.
    pub fn shutdown(&self) -> bool {
        self.shared.cancel.cancel();
        self.shared.turn_away();
        let Some(worker) = self.worker.lock().take() else { return true };
        let ended = self.shared.queue.wait_ended(self.shared.settings.shutdown_wait);
        // A thread cannot join itself, as it would where the listener holds the last handle.
        if ended && worker.thread().id() != thread::current().id() {
            // Its panics have been caught.
            let _joined = worker.join();
        }
        ended
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Shared {
    fn take(&self, job: Job) {
        if self.counters.lock().disabled {
            return self.skip(&job, Reason::Disabled, String::new());
        }
        match self.queue.push(job) {
            Pushed::Waits => {}
            Pushed::Closed(job) => self.skip(&job, Reason::Shutdown, String::new()),
            Pushed::Displaced(job) => {
                let (waiting, running) = self.queue.load();
                let limit = self.settings.deadline * STALLED;
                match running.filter(|running| *running > limit) {
                    Some(running) => {
                        let detail = format!("one block has been running for {running:.1?}");
                        self.skip(&job, Reason::Stalled, detail);
                    }
                    None => self.skip(&job, Reason::Lag, format!("{waiting} newer blocks wait")),
                }
            }
        }
    }

    fn turn_away(&self) {
        for job in self.queue.close() {
            self.skip(&job, Reason::Shutdown, String::new());
        }
    }

    fn skip(&self, job: &Job, reason: Reason, detail: String) {
        let skip = Skip { reason, detail };
        self.tell(&Event::Skipped { number: job.number, hash: job.hash, skip });
    }

    /// Counts an event, then tells the listener.
    fn tell(&self, event: &Event) {
        self.counters.lock().count(event);
        self.counted.notify_all();
        metrics::observe(event, self.queue.load().0);
        if let Some(listener) = &self.settings.listener
            && catch_unwind(AssertUnwindSafe(|| listener(event))).is_err()
        {
            self.counters.lock().listener_panics += 1;
        }
    }

    fn work(&self) {
        if let Some(nice) = self.settings.nice {
            // A host that forbids it keeps its own priority; everything else works the same.
            let _refused = priority::lower(nice);
        }
        let mut judge = Judge::new(self.settings.clone(), self.cancel.clone());
        let mut failures = 0;
        while let Some(job) = self.queue.next() {
            if self.counters.lock().disabled {
                self.skip(&job, Reason::Disabled, String::new());
                continue;
            }
            let event = judge.judge(job);
            self.tell(&event);
            failures = self.after(&event, failures);
        }
    }

    /// Counts failures in a row, and disables the shadow when there are too many.
    fn after(&self, event: &Event, failures: u32) -> u32 {
        let Event::Skipped { skip, .. } = event else { return 0 };
        if !skip.reason.is_failure() {
            return failures;
        }
        let failures = failures + 1;
        if failures == self.settings.max_failures {
            self.tell(&Event::Disabled { failures, last: skip.clone() });
        }
        failures
    }
}
