//! A parent state whose reads take time, as from a disk or over a network.
//!
//! Role: stand between the recorded state and the executors, all of them alike, so that
//! `--read-latency` shows what a slow state does to each. Reads of several threads overlap.

use braid_core::{SourceError, StateReader, StateSource, source::HookedReader};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

/// The latency of so many microseconds. With one the process goes without transparent huge pages:
/// the heaps of threads that mostly wait are small, and to clear 2 MiB for a few KiB takes up to
/// milliseconds where the machine is a guest.
pub fn from_micros(micros: u64) -> Duration {
    #[cfg(target_os = "linux")]
    if micros > 0 {
        // A system that has no such pages needs no help.
        let _set = rustix::thread::disable_transparent_huge_pages(true);
    }
    Duration::from_micros(micros)
}

/// A source that sleeps before each answer, and counts its answers.
pub struct Slow<'a> {
    inner: &'a dyn StateSource,
    latency: Duration,
    reads: AtomicU64,
}

impl std::fmt::Debug for Slow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slow").field("latency", &self.latency).finish_non_exhaustive()
    }
}

impl<'a> Slow<'a> {
    /// Wraps a source. Without latency its readers are handed on as they are, and not counted.
    pub const fn new(inner: &'a dyn StateSource, latency: Duration) -> Self {
        Self { inner, latency, reads: AtomicU64::new(0) }
    }

    /// How many reads there were since this was last asked.
    pub fn take_reads(&self) -> u64 {
        self.reads.swap(0, Ordering::Relaxed)
    }

    fn wait(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        thread::sleep(self.latency);
    }
}

impl StateSource for Slow<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        let inner = self.inner.reader()?;
        if self.latency.is_zero() {
            return Ok(inner);
        }
        Ok(Box::new(HookedReader::new(inner, |_| {
            self.wait();
            Ok(())
        })))
    }

    fn is_slow(&self) -> bool {
        !self.latency.is_zero() || self.inner.is_slow()
    }
}
