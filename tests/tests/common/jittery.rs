//! A source with random delays.

use braid_core::{SourceError, StateReader, StateSource, source::HookedReader};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Delays reads by a pseudo-random time, so that every run meets another schedule.
pub struct Jittery<'a> {
    inner: &'a dyn StateSource,
    /// One read in so many sleeps.
    one_in: u64,
    state: AtomicU64,
}

impl<'a> Jittery<'a> {
    pub fn new(inner: &'a dyn StateSource, one_in: u64, seed: u64) -> Self {
        Self { inner, one_in, state: AtomicU64::new(seed) }
    }
}

impl StateSource for Jittery<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(HookedReader::new(self.inner.reader()?, |_| {
            self.delay();
            Ok(())
        })))
    }
}

impl Jittery<'_> {
    fn delay(&self) {
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut x = self.state.fetch_add(step, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^= x >> 27;
        if x.is_multiple_of(self.one_in) {
            std::thread::sleep(Duration::from_micros(x >> 8 & 63));
        } else if x.is_multiple_of(9) {
            std::thread::yield_now();
        }
    }
}
