//! How far apart the cores are on which the engine's threads run.
//!
//! Role: short transactions cost several journeys of a cache line between cores, so whether they
//! are worth sharing depends on how long one takes. That differs from machine to machine by a
//! factor of ten, and on a virtual machine from minute to minute. Actor: whoever holds the engine
//! measures now and then, after a block that was shared, when the threads are awake; and where only
//! the distance keeps blocks from being shared, once in a while before one of those: otherwise it
//! would be measured never again.
//!
//! Invariant: nothing here can change a result. An interrupt lengthens a reading and nothing
//! shortens one, so the least of the last few counts.

use crate::pool::Pool;
use std::time::{Duration, Instant};

/// How long a measurement counts.
const COUNTS: Duration = Duration::from_millis(100);
/// What is assumed before the first ones, nanoseconds there and back: cores under one cache.
pub(super) const NEAR: u64 = 100;
/// Readings of which the least counts.
const READINGS: usize = 3;
/// Gas of blocks that may pass, kept from being shared by the distance alone, before it is measured
/// again: 50 milliseconds of payments, which take the least time for their gas. Waking a thread and
/// measuring takes a tenth of a millisecond.
const PASSES: u64 = 1_000_000_000;
/// How often a thread that has been woken is asked.
const TRIES: u32 = 4;

/// The last measurements.
#[derive(Debug)]
pub(super) struct Distance {
    /// Nanoseconds, the newest first.
    readings: [u64; READINGS],
    measured: Option<Instant>,
    /// Gas of the blocks that have passed.
    passed: u64,
}

impl Default for Distance {
    fn default() -> Self {
        Self { readings: [NEAR; READINGS], measured: None, passed: 0 }
    }
}

impl Distance {
    /// How long a cache line takes to another core and back, nanoseconds.
    pub(super) fn round_trip_ns(&self) -> u64 {
        self.readings.into_iter().min().unwrap_or(NEAR)
    }

    /// Measures again where the last measurement is old and a thread is awake: takes some
    /// microseconds.
    pub(super) fn look(&mut self, pool: &mut Pool) {
        if self.is_old() && pool.is_awake() {
            self.measure(pool);
        }
    }

    /// Whether the last measurement does not count any more.
    pub(super) fn is_old(&self) -> bool {
        self.measured.is_none_or(|measured| measured.elapsed() >= COUNTS)
    }

    /// Notes that a block which uses so much gas is going to be kept from being shared by the
    /// distance alone, measured long ago. Measures again where that has lasted; returns whether it
    /// has.
    pub(super) fn pass(&mut self, gas: u64, pool: &mut Pool) -> bool {
        self.passed = self.passed.saturating_add(gas);
        let lasted = self.passed >= PASSES;
        if lasted {
            self.passed = 0;
            // The first try wakes it.
            let _any = (0..TRIES).any(|_| self.measure(pool));
        }
        lasted
    }

    fn measure(&mut self, pool: &mut Pool) -> bool {
        let round_trip = pool.round_trip();
        if let Some(round_trip) = round_trip {
            self.measured = Some(Instant::now());
            self.note(u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX));
        }
        round_trip.is_some()
    }

    /// Notes a reading, nanoseconds.
    pub(super) fn note(&mut self, nanos: u64) {
        self.readings.rotate_right(1);
        self.readings[0] = nanos;
    }
}

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
pub(super) mod tests {
    use super::*;

    /// Whether something succeeds that is tried for up to a minute: on busy cores it takes long
    /// until two threads run at once.
    pub(in super::super) fn in_a_minute(mut attempt: impl FnMut() -> bool) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            if attempt() {
                return true;
            }
        }
        false
    }

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
            assert!((5..=50_000).contains(&distance.readings[0]), "no match takes longer");
            distance.look(&mut pool);
            assert!(distance.measured == Some(measured) || measured.elapsed() >= COUNTS);
        }
        assert_eq!(Pool::new(0).round_trip(), None);
    }

    #[test]
    fn what_an_interrupt_has_lengthened_does_not_count() {
        let mut distance = Distance::default();
        distance.note(9_000);
        assert_eq!(distance.round_trip_ns(), NEAR);
        (0..2).for_each(|_| distance.note(400));
        assert_eq!(distance.round_trip_ns(), 400, "three readings agree");
        distance.note(90);
        assert_eq!(distance.round_trip_ns(), 90);
    }

    #[test]
    fn what_keeps_blocks_from_being_shared_is_measured_again() {
        let (mut distance, mut pool) = (Distance::default(), Pool::new(1));
        while pool.is_awake() {
            std::thread::yield_now();
        }
        let far = [u64::MAX; READINGS];
        distance.readings = far;
        assert!(!distance.pass(PASSES - 1, &mut pool));
        assert_eq!(distance.readings, far);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // On one core nobody may answer, however often.
        let mut measured = || distance.pass(PASSES, &mut pool) && distance.readings != far;
        let woken = if cores < 2 { measured() } else { in_a_minute(measured) };
        assert!(woken || cores < 2);
        assert!(!woken || distance.round_trip_ns() < u64::MAX);
        assert!(!distance.pass(0, &mut pool));
    }
}
