//! What is to be read for the executions that ran ahead, and who reads it.
//!
//! Role: read many places at once ([`super::runahead`] tells why). Actors: a worker whose execution
//! wants places puts them here, and reads along until they are read. Every worker that finds
//! nothing to execute serves; one that found everything handed out stays until the block ends,
//! asleep while there is nothing to read.
//!
//! Invariant: what is read is the base value that any worker would read, once. A read that fails or
//! panics here is forgotten: whoever needs the place reads it again and gets the error itself.
//!
//! Why nobody waits for ever. A wanted place is in the queue, or in the hands of one worker that
//! will count it as read, also when the read fails or panics. Whoever wants it takes places from
//! the queue itself; it sleeps only where others have them, and who counts the last one of a batch
//! wakes everybody. A worker that stays sleeps only while the block has a transaction that is not
//! committed, after it has seen to it that nothing of its own waits to be committed; the worker
//! that finds the block at its end, or stops it, closes the queue, which wakes everybody.

use super::{prefetch::Place, view::View};
use crate::sync::{
    Condvar, Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a read is taken to last until one was timed.
const LATENCY: Duration = Duration::from_micros(50);

/// A place, and how many of its batch are not read yet.
type Wanted = (Place, Arc<AtomicUsize>);

#[derive(Default)]
struct Queue {
    places: VecDeque<Wanted>,
    closed: bool,
}

/// What is to be read for the executions that ran ahead.
#[derive(Default)]
pub(crate) struct Fetches {
    queue: Mutex<Queue>,
    /// Workers that wait for something to read.
    idle: AtomicUsize,
    /// How long a read takes, nanoseconds: a moving average.
    latency: AtomicU64,
    /// There are new places, a batch is complete, or the queue is closed.
    changed: Condvar,
}

impl std::fmt::Debug for Fetches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetches").field("idle", &self.idle).finish_non_exhaustive()
    }
}

impl Fetches {
    /// How many workers wait for something to read.
    pub(super) fn idle(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }

    /// How long a read takes.
    pub(super) fn latency(&self) -> Duration {
        match self.latency.load(Ordering::Relaxed) {
            0 => LATENCY,
            nanos => Duration::from_nanos(nanos),
        }
    }

    /// Reads these places, with the help of the other workers; returns when all are read, or the
    /// queue is closed.
    pub(super) fn fetch(&self, places: Vec<Place>, view: &mut View<'_>) {
        let left = Arc::new(AtomicUsize::new(places.len()));
        let wanted = places.into_iter().map(|place| (place, left.clone()));
        self.queue.lock().places.extend(wanted);
        self.changed.notify_all();
        loop {
            let mut queue = self.queue.lock();
            if queue.closed || left.load(Ordering::Acquire) == 0 {
                return;
            }
            match queue.places.pop_front() {
                Some(wanted) => {
                    drop(queue);
                    self.read(&wanted, view);
                }
                None => drop(self.changed.wait_owned(queue)),
            }
        }
    }

    /// Reads one place, if there is one.
    pub(crate) fn serve(&self, view: &mut View<'_>) -> bool {
        let wanted = self.queue.lock().places.pop_front();
        wanted.is_some_and(|wanted| {
            self.read(&wanted, view);
            true
        })
    }

    /// Waits until there is something to read, and reads it; false once the queue is closed.
    pub(crate) fn stay(&self, view: &mut View<'_>) -> bool {
        let mut queue = self.queue.lock();
        loop {
            if queue.closed {
                return false;
            }
            if let Some(wanted) = queue.places.pop_front() {
                drop(queue);
                self.read(&wanted, view);
                return true;
            }
            self.idle.fetch_add(1, Ordering::Relaxed);
            queue = self.changed.wait_owned(queue);
            self.idle.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Sends everybody home: the block is at its end, or is abandoned.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        if !std::mem::replace(&mut queue.closed, true) {
            self.changed.notify_all();
        }
    }

    fn read(&self, (place, left): &Wanted, view: &mut View<'_>) {
        view.scout.end();
        let start = Instant::now();
        // Whether it was read is seen by whoever needs it.
        let _goes_on = place.read(view);
        let took = start.elapsed().as_nanos() as u64;
        let before = self.latency.load(Ordering::Relaxed);
        self.latency.store((before * 7 + took) / 8, Ordering::Relaxed);
        if left.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Under the lock, so that nobody is between its look and its sleep.
            let _queue = self.queue.lock();
            self.changed.notify_all();
        }
    }
}
