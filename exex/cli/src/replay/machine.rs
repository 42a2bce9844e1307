//! What the machine allows in the minute of a measurement.
//!
//! Role: two figures beside every ratio. Hosts of virtual machines move their guests about: now and
//! then another guest takes part of a core, and now and then two cores lie far apart.

use super::input::Origin;
use braid_core::sequential::execute_bare;
use braid_shadow::recorded::RecordedBlock;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// The state of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine {
    /// How much work two independent sequential executions get done at once, against one alone: 2
    /// on a quiet machine. `None` without a block to run.
    pub throughput: Option<f64>,
    /// How long a cache line takes from one core to another and back, nanoseconds. Each short
    /// transaction costs several such journeys.
    pub round_trip_ns: u64,
}

impl Machine {
    /// Looks at it.
    pub fn check(records: &[(Origin, RecordedBlock)]) -> Self {
        Self { throughput: throughput(records), round_trip_ns: round_trip() }
    }
}

fn throughput(records: &[(Origin, RecordedBlock)]) -> Option<f64> {
    let pass = || {
        for (_, record) in records {
            let source = record.state.source();
            let output = braid_core::OutputKind::Flat;
            let _measured = execute_bare(&record.chain, &record.block, source, output);
        }
    };
    if records.is_empty() {
        return None;
    }
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        pass();
        let alone = start.elapsed().as_secs_f64();
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(pass);
            pass();
        });
        let both = start.elapsed().as_secs_f64();
        ratios.push(2.0 * alone / both);
    }
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied()
}

/// Alone on its cache lines.
#[repr(align(128))]
struct Ball(AtomicU64);

/// The median of several matches of two threads that hand a word to and fro. None takes long, also
/// where both have to share one core.
fn round_trip() -> u64 {
    let mut matches: Vec<u64> = (0..5).map(|_| play()).collect();
    matches.sort_unstable();
    matches[matches.len() / 2]
}

/// How long a match takes at most.
const MATCH: Duration = Duration::from_millis(2);
/// The ball when the match is over.
const OVER: u64 = u64::MAX;

fn play() -> u64 {
    let ball = Ball(AtomicU64::new(0));
    let wait = |mine: u64| {
        let mut looks = 0u32;
        loop {
            let now = ball.0.load(Ordering::Acquire);
            if now == mine || now == OVER {
                return now;
            }
            looks += 1;
            if looks.is_multiple_of(1024) {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut mine = 1;
            while wait(mine) != OVER {
                ball.0.store(mine + 1, Ordering::Release);
                mine += 2;
            }
        });
        // The other one has to wake up first.
        ball.0.store(1, Ordering::Release);
        wait(2);
        let (start, mut strokes) = (Instant::now(), 0u64);
        while start.elapsed() < MATCH {
            ball.0.store(2 * strokes + 3, Ordering::Release);
            wait(2 * strokes + 4);
            strokes += 1;
        }
        let elapsed = start.elapsed();
        ball.0.store(OVER, Ordering::Release);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX) / strokes.max(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_takes_its_time() {
        let machine = Machine::check(&[]);
        assert_eq!(machine.throughput, None);
        assert!((5..10_000_000).contains(&machine.round_trip_ns), "{machine:?}");
    }
}
