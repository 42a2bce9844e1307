//! A match of strokes between two threads, who hand one word to and fro: how long a cache line
//! takes from one core to another and back.
//!
//! Role: what [`super::Pool::round_trip`] plays. Actors: the calling thread serves and may give up;
//! one other thread answers.
//!
//! Invariant: once the ball says that the match is over it says so for ever, so whoever answers
//! comes to an end.

use crate::sync::{
    atomic::{AtomicU64, Ordering},
    relax,
};
use std::time::{Duration, Instant};

/// The ball when the match is over.
pub(super) const OVER: u64 = u64::MAX;
/// Strokes of a match, after some to warm up.
const STROKES: u64 = 24;
const WARM: u64 = 4;
/// How long a match takes at most.
const MATCH: Duration = Duration::from_micros(50);

/// Returns each stroke until the match is over.
pub(super) fn answer(ball: &AtomicU64) {
    let mut mine = 1;
    loop {
        match ball.load(Ordering::Acquire) {
            OVER => return,
            now if now == mine && hit(ball, mine) => mine += 2,
            _ => relax(1),
        }
    }
}

/// Returns one stroke. By an exchange: the other side may have given up since this one looked, and
/// a plain store would undo that, for ever.
fn hit(ball: &AtomicU64, mine: u64) -> bool {
    ball.compare_exchange(mine, mine + 1, Ordering::AcqRel, Ordering::Acquire).is_ok()
}

/// How long a stroke takes there and back, where the match comes to its end.
pub(super) fn strokes(ball: &AtomicU64) -> Option<Duration> {
    let begun = Instant::now();
    let mut start = begun;
    for stroke in 0..WARM + STROKES {
        if stroke == WARM {
            start = Instant::now();
        }
        ball.store(2 * stroke + 1, Ordering::Release);
        while ball.load(Ordering::Acquire) != 2 * stroke + 2 {
            if begun.elapsed() > MATCH {
                return None;
            }
            relax(1);
        }
    }
    Some(start.elapsed() / STROKES as u32)
}

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests {
    use super::*;
    use crate::sync::thread;

    #[test]
    fn who_gives_up_is_heard() {
        let ball = AtomicU64::new(OVER);
        assert!(!hit(&ball, 1), "the match was given up after a look");
        assert_eq!(ball.load(Ordering::Relaxed), OVER);
        for _ in 0..2_000 {
            let ball = AtomicU64::new(0);
            thread::scope(|scope| {
                scope.spawn(|| answer(&ball));
                ball.store(1, Ordering::Release);
                ball.store(OVER, Ordering::Release);
            });
        }
    }
}
