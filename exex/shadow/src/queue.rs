//! The jobs that wait for the worker: few, in order, newest preferred.
//!
//! Role: take jobs without ever waiting. Where one job too many comes, the oldest goes: its state
//! is the first to become history, and the newest blocks are what a host wants to see.
//!
//! Invariants: at most `limit` jobs wait; a job is handed out once or given back once.

use crate::job::Job;
use alloy_primitives::B256;
use parking_lot::{Condvar, Mutex};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Since when the worker has had a job in hand.
    busy: Option<Instant>,
    closed: bool,
    /// The worker has left for good.
    ended: bool,
}

/// What becomes of a job that is handed in.
pub(crate) enum Pushed {
    /// It waits.
    Waits,
    /// It waits; this older one had to go.
    Displaced(Job),
    /// No more jobs are taken.
    Closed(Job),
}

/// A bounded queue between one host and one worker.
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    limit: usize,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), limit: limit.max(1) }
    }

    pub(crate) fn push(&self, job: Job) -> Pushed {
        let mut state = self.state.lock();
        if state.closed {
            return Pushed::Closed(job);
        }
        let displaced =
            if state.waiting.len() >= self.limit { state.waiting.pop_front() } else { None };
        state.waiting.push_back(job);
        self.changed.notify_all();
        displaced.map_or(Pushed::Waits, Pushed::Displaced)
    }

    /// The next job; waits for one. `None` once the queue is closed.
    pub(crate) fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        state.busy = None;
        self.changed.notify_all();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.waiting.pop_front() {
                state.busy = Some(Instant::now());
                return Some(job);
            }
            self.changed.wait(&mut state);
        }
    }

    /// Takes out the waiting jobs with these hashes.
    pub(crate) fn withdraw(&self, hashes: &[B256]) -> Vec<Job> {
        let mut state = self.state.lock();
        let (gone, stay): (Vec<_>, Vec<_>) =
            state.waiting.drain(..).partition(|job| hashes.contains(&job.hash));
        state.waiting = stay.into();
        // Nothing may be left to wait for, and the worker, who would say so, has nothing to do.
        self.changed.notify_all();
        gone
    }

    /// Takes no more jobs; gives back those that wait.
    pub(crate) fn close(&self) -> Vec<Job> {
        let mut state = self.state.lock();
        state.closed = true;
        self.changed.notify_all();
        state.waiting.drain(..).collect()
    }

    /// How many jobs wait, and how long the one in hand has been there.
    pub(crate) fn load(&self) -> (usize, Option<Duration>) {
        let state = self.state.lock();
        (state.waiting.len(), state.busy.map(|since| since.elapsed()))
    }

    /// Says that the worker has left.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        state.busy = None;
        self.changed.notify_all();
    }

    /// Waits until the worker has left, at most this long.
    pub(crate) fn wait_ended(&self, at_most: Duration) -> bool {
        self.wait(at_most, |state| state.ended)
    }

    /// Waits until no job waits and none is in hand, at most this long.
    pub(crate) fn wait_idle(&self, at_most: Duration) -> bool {
        self.wait(at_most, |state| {
            state.ended || (state.waiting.is_empty() && state.busy.is_none())
        })
    }

    fn wait(&self, at_most: Duration, until: impl Fn(&State) -> bool) -> bool {
        let deadline = Instant::now() + at_most;
        let mut state = self.state.lock();
        while !until(&state) {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return until(&state);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Reason, Skip};

    fn job(number: u64) -> Job {
        let hash = B256::with_last_byte(number as u8);
        Job::skipped(number, hash, Skip::new(Reason::Feed, ""))
    }

    #[test]
    fn the_oldest_makes_room_and_order_stays() {
        let queue = Queue::new(2);
        assert!(matches!(queue.push(job(1)), Pushed::Waits));
        assert!(matches!(queue.push(job(2)), Pushed::Waits));
        let Pushed::Displaced(gone) = queue.push(job(3)) else { panic!("no room was made") };
        assert_eq!(gone.number, 1);
        assert_eq!(queue.next().map(|job| job.number), Some(2));
        assert!(queue.load().1.is_some());
        assert!(!queue.wait_idle(Duration::ZERO));
        assert_eq!(queue.close().len(), 1);
        assert!(queue.next().is_none());
        assert!(matches!(queue.push(job(4)), Pushed::Closed(_)));
    }

    #[test]
    fn only_the_named_jobs_are_withdrawn() {
        let queue = Queue::new(8);
        (1..=4).for_each(|number| assert!(matches!(queue.push(job(number)), Pushed::Waits)));
        let gone = queue.withdraw(&[B256::with_last_byte(2), B256::with_last_byte(4)]);
        assert_eq!(gone.iter().map(|job| job.number).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(queue.next().map(|job| job.number), Some(1));
        assert_eq!(queue.next().map(|job| job.number), Some(3));
    }

    #[test]
    fn who_waits_for_idleness_hears_of_the_last_withdrawal() {
        let queue = Queue::new(8);
        assert!(matches!(queue.push(job(1)), Pushed::Waits));
        let begun = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                begun.wait();
                queue.wait_idle(Duration::from_secs(60))
            });
            begun.wait();
            // Long enough for the waiter to fall asleep; where it is not, the test passes anyway.
            std::thread::sleep(Duration::from_millis(50));
            let start = Instant::now();
            assert_eq!(queue.withdraw(&[B256::with_last_byte(1)]).len(), 1);
            assert!(waiter.join().unwrap());
            assert!(start.elapsed() < Duration::from_secs(50), "nobody told the waiter");
        });
    }
}
