//! What a worker does that finds nothing to do.
//!
//! Role: wait a little before it looks again, without taking from those who work what they need.
//! Actors: each worker of a block, or of a range.
//!
//! Invariant: whoever waits comes back, whatever the others do.

use crate::sync::{
    self,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Duration;

/// How long a worker that finds nothing to do spins before it looks again: a few microseconds.
const SPINS: u32 = 128;
/// So many workers may be idle before each of them waits longer, and so many times as long at most.
const FEW_IDLE: u32 = 2;
const MOST_PATIENT: u32 = 8;
/// How often it looks before it sleeps.
const LOOKS: u32 = 50;
/// How long it sleeps then: a fraction of a typical transaction.
const NAP: Duration = Duration::from_micros(50);

/// Waits without touching anything that the working threads need.
pub(super) fn pause(looks: u32) {
    pause_among(looks, 1);
}

/// The same for one of so many that wait.
fn pause_among(looks: u32, idle: u32) {
    if looks < LOOKS {
        sync::relax(SPINS * (idle / FEW_IDLE).clamp(1, MOST_PATIENT));
    } else {
        sync::sleep(NAP);
    }
}

/// A worker that finds nothing to do. It counts itself among all that do not, so that together they
/// look no more often than a few would: what they look at is what the others need.
pub(super) struct Idle<'a> {
    all: &'a AtomicUsize,
    /// It looks as often as if it were the only one.
    alert: bool,
    /// How often it has looked in vain.
    looks: u32,
}

impl<'a> Idle<'a> {
    /// One that has found something; all workers of the block share the count. An alert one looks
    /// as often as if it were the only one: there is more to find than transactions.
    pub(super) const fn new(all: &'a AtomicUsize, alert: bool) -> Self {
        Self { all, alert, looks: 0 }
    }

    /// How often it has looked in vain since it last found something.
    pub(super) const fn looks(&self) -> u32 {
        self.looks
    }

    pub(super) fn wait(&mut self) {
        if self.looks == 0 {
            self.all.fetch_add(1, Ordering::Relaxed);
        }
        self.looks += 1;
        let idle = if self.alert { 1 } else { self.all.load(Ordering::Relaxed) as u32 };
        pause_among(self.looks, idle);
    }

    pub(super) fn end(&mut self) {
        if self.looks > 0 {
            self.looks = 0;
            self.all.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
