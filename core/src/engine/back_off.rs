//! When speculation does not pay for a while.
//!
//! Role: count how many of the last speculations failed, and say for how many transactions only
//! the head shall be handed out, twice as many each time. Actors: the holder of the commit token,
//! or the host that stands in for it.
//!
//! Invariant: nothing of it can change a result; a wrong answer costs a re-execution or a wait.

/// Failed validations among this many commits that make the scheduler back off.
const PROBE: usize = 8;
const PROBE_FAILURES: usize = 4;
/// The longest pause, in transactions: a block's conflicts may end.
const MAX_PAUSE: usize = 128;

/// What is known of one block's commits.
#[derive(Debug)]
pub(crate) struct BackOff {
    commits: usize,
    failures: usize,
    pause: usize,
}

impl Default for BackOff {
    fn default() -> Self {
        Self { commits: 0, failures: 0, pause: 8 }
    }
}

impl BackOff {
    /// Notes a commit and whether the speculation before it failed. Where too many have, for how
    /// many transactions after it nobody shall speculate.
    pub(super) fn note(&mut self, failed: bool) -> Option<usize> {
        self.commits += 1;
        self.failures += usize::from(failed);
        if self.commits < PROBE {
            return None;
        }
        let fails = self.failures >= PROBE_FAILURES;
        (self.commits, self.failures) = (0, 0);
        let pause = self.pause;
        if fails {
            self.pause = (pause * 2).min(MAX_PAUSE);
        }
        fails.then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a probe of commits ends in, so many of which failed.
    fn probe(back_off: &mut BackOff, failures: usize) -> Option<usize> {
        let before = (1..PROBE).find_map(|commit| back_off.note(commit <= failures));
        assert_eq!(before, None, "it is counted to the end");
        back_off.note(failures >= PROBE)
    }

    #[test]
    fn pauses_double_up_to_the_longest_one() {
        let mut back_off = BackOff::default();
        assert_eq!(probe(&mut back_off, PROBE_FAILURES - 1), None);
        for pause in [8, 16, 32, 64, MAX_PAUSE, MAX_PAUSE] {
            assert_eq!(probe(&mut back_off, PROBE_FAILURES), Some(pause));
            assert_eq!(probe(&mut back_off, 0), None, "failures of another probe do not count");
        }
    }
}
