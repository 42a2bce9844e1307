//! How blocks follow one another.
//!
//! Role: tell a catch-up, where each block comes at once after the one before, from a node at the
//! chain's tip, where seconds pass. In the first it pays to keep the workers awake, also through
//! blocks that are too small to share; in the second they sleep. Actor: whoever holds the engine.

use std::time::{Duration, Instant};

/// The longest pause between two blocks that follow at once.
const PAUSE: Duration = Duration::from_micros(50);
/// So many in a row make it likely that another one follows.
const STREAK: u32 = 3;

/// What is known of the last blocks.
#[derive(Debug, Default)]
pub(super) struct Cadence {
    last: Option<Instant>,
    /// Blocks in a row that came at once after the one before.
    streak: u32,
}

impl Cadence {
    /// Notes that a block begins; whether it is one of many that follow at once.
    pub(super) fn begins(&mut self) -> bool {
        let follows = self.last.is_some_and(|last| last.elapsed() < PAUSE);
        self.streak = if follows { self.streak.saturating_add(1) } else { 0 };
        self.streak >= STREAK
    }

    /// Notes that it has ended.
    pub(super) fn ends(&mut self) {
        self.last = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_the_streak() {
        let mut cadence = Cadence::default();
        let mut next = |pause: Duration| {
            let begins = cadence.begins();
            cadence.last = Instant::now().checked_sub(pause);
            begins
        };
        let at_once = Duration::ZERO;
        assert_eq!([(); 4].map(|()| next(at_once)), [false, false, false, true]);
        assert!(next(Duration::from_secs(12)));
        assert_eq!([(); 4].map(|()| next(at_once)), [false, false, false, true]);
    }
}
