//! How far apart the cores are on which the engine's threads run.
//!
//! Role: short transactions cost several journeys of a cache line between cores, so whether they
//! are worth sharing depends on how long one takes. That differs from machine to machine by a
//! factor of ten, and on a virtual machine from minute to minute. Actor: whoever holds the engine
//! measures now and then, after a block that was shared: the threads are awake then.

use crate::pool::Pool;
use std::time::{Duration, Instant};

/// How long a measurement counts.
const COUNTS: Duration = Duration::from_millis(100);
/// What is assumed before the first one, nanoseconds there and back: cores under one cache.
pub(super) const NEAR: u64 = 100;

/// The last measurement.
#[derive(Debug)]
pub(super) struct Distance {
    round_trip_ns: u64,
    measured: Option<Instant>,
}

impl Default for Distance {
    fn default() -> Self {
        Self { round_trip_ns: NEAR, measured: None }
    }
}

impl Distance {
    /// How long a cache line takes to another core and back, nanoseconds.
    pub(super) const fn round_trip_ns(&self) -> u64 {
        self.round_trip_ns
    }

    /// Measures again where the last measurement is old: takes some microseconds.
    pub(super) fn look(&mut self, pool: &mut Pool) {
        if self.measured.is_some_and(|measured| measured.elapsed() < COUNTS) {
            return;
        }
        if let Some(round_trip) = pool.round_trip() {
            self.measured = Some(Instant::now());
            // One reading may have met an interrupt: half of it counts.
            let now = u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX);
            self.round_trip_ns = self.round_trip_ns.midpoint(now.min(10_000));
        }
    }
}

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_takes_its_time_and_is_measured_now_and_then() {
        let (mut distance, mut pool) = (Distance::default(), Pool::new(1));
        for _ in 0..50 {
            pool.run(&|_worker| std::thread::sleep(Duration::from_micros(50)));
            distance.look(&mut pool);
        }
        // On one core, or a very busy one, nobody answers, and nothing is known.
        if let Some(measured) = distance.measured {
            assert!((5..=10_000).contains(&distance.round_trip_ns()));
            distance.look(&mut pool);
            assert!(distance.measured == Some(measured) || measured.elapsed() >= COUNTS);
        }
        assert_eq!(Pool::new(0).round_trip(), None);
    }
}
