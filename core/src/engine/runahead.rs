//! Running ahead of slow reads.
//!
//! Role: a transaction that reads hundreds of places one after the other takes as long as all these
//! reads, however many threads there are. So where reads are slow, an execution that has waited for
//! some of them, while somebody is idle, goes on without: accounts that nobody has read yet are
//! taken for missing ones, slots for zero or for what the account's last slots let expect
//! ([`pattern`]), only to learn where it looks next. Nothing else of such a run is used. The
//! workers that have nothing to execute read these places all at once, and the execution begins
//! anew, with what it then finds in the tables. (Processors do the same with loads that miss the
//! cache: runahead execution, Mutlu et al., HPCA 2003.)
//!
//! Actors: a worker that executes counts and guesses through its [`Scout`], and gives what it wants
//! to the [`Fetches`], which have their own rules ([`super::fetches`]).
//!
//! Invariants:
//! 1. A run that was told a guess is thrown away, whatever its end: its error is no verdict.
//! 2. A wrong guess leads to places that nobody needs, which costs reads and changes nothing.
//! 3. An execution runs ahead [`ROUNDS`] times at most, and ends each time with the first look at
//!    the state after [`LONGEST`]. How many places it collects grows only while most of what it
//!    collected before was needed, and at slots without a pattern it guesses [`BLIND`] times.

use super::{
    fetches::Fetches,
    prefetch::{Part, Place},
    reads::{ReadSet, SlotRead},
    tables::Stamp,
    view::{View, ViewError},
};
use alloy_primitives::{Address, U256};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How many reads an execution waits for before it goes on without, where somebody is idle.
const PATIENCE: u32 = if cfg!(feature = "shuttle") { 1 } else { 16 };
/// By how much longer it waits after a run ahead that was not worth while.
const LESS: u32 = 4;
/// How often one execution runs ahead.
const ROUNDS: u32 = 32;
/// How long a run ahead looks for places.
const LONGEST: Duration = Duration::from_millis(5);
/// How many places it collects at first; by how much more where most of what it collected before
/// was needed; at most.
const PLACES: usize = 32;
const MORE: usize = 4;
const MOST: usize = 1 << 12;
/// Slots of one account that it guesses at without a pattern to go by.
const BLIND: usize = 8;
/// The longest pattern, and how many earlier reads are searched for it.
const PERIOD: usize = 4;
const HISTORY: usize = 64;

/// What a run may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// How many reads of the source it waits for, before it goes on without.
    waits: u32,
    /// How many places it collects then.
    places: usize,
}

impl Budget {
    /// A run that waits for all reads.
    pub(crate) const PATIENT: Self = Self { waits: u32::MAX, places: 0 };
}

/// One execution's reads that nobody has made before.
#[derive(Debug)]
pub(crate) struct Scout {
    /// Who reads what is wanted; `None`: all reads are made.
    fetches: Option<Arc<Fetches>>,
    budget: Budget,
    made: u32,
    /// Since when it guesses.
    since: Option<Instant>,
    /// Accounts whose slots follow a pattern, as values that were read have shown.
    proven: Vec<u32>,
    wanted: Vec<Place>,
}

impl Default for Scout {
    fn default() -> Self {
        let (fetches, proven, wanted) = Default::default();
        Self { fetches, budget: Budget::PATIENT, made: 0, since: None, proven, wanted }
    }
}

impl Scout {
    /// Lets executions run ahead.
    pub(crate) fn enable(&mut self, fetches: Option<Arc<Fetches>>) {
        self.fetches = fetches;
    }

    /// Begins a run.
    pub(crate) fn begin(&mut self, budget: Budget) {
        self.budget = budget;
        self.made = 0;
        self.since = None;
        self.proven.clear();
        self.wanted.clear();
    }

    /// Ends a run: from now on all reads are made. Gives what it wanted.
    pub(super) fn end(&mut self) -> Vec<Place> {
        self.budget = Budget::PATIENT;
        self.since = None;
        std::mem::take(&mut self.wanted)
    }

    /// Whether the run goes on without this account, and takes it for a missing one.
    ///
    /// # Errors
    /// [`ViewError::Stopped`] where the run has guessed for long enough.
    pub(crate) fn skips_account(&mut self, id: u32, address: Address) -> Result<bool, ViewError> {
        let skips = self.is_ahead()?;
        if skips {
            self.wanted.push(Place { id, address, part: Part::Account });
        }
        Ok(skips)
    }

    /// The value with which the run, that has read `reads`, goes on instead of a slot's.
    ///
    /// # Errors
    /// [`ViewError::Stopped`] where the run has guessed for long enough.
    pub(crate) fn skips_slot(
        &mut self,
        place: Place,
        reads: &ReadSet,
    ) -> Result<Option<U256>, ViewError> {
        if !self.is_ahead()? {
            return Ok(None);
        }
        let same = |read: &&SlotRead| {
            reads.accounts.get(read.account as usize).is_some_and(|account| account.id == place.id)
        };
        let recent: Vec<&SlotRead> = reads.slots.iter().rev().take(HISTORY).filter(same).collect();
        let guesses = recent.iter().filter(|read| read.stamp == Stamp::PREDICTED).count();
        let guess = match pattern(&recent) {
            Some(guess) if self.proven.contains(&place.id) => guess,
            Some(guess) if guesses < recent.len() => {
                self.proven.push(place.id);
                guess
            }
            _ if guesses < BLIND => U256::ZERO,
            _ => return Err(ViewError::Stopped),
        };
        self.wanted.push(place);
        Ok(Some(guess))
    }

    fn is_ahead(&mut self) -> Result<bool, ViewError> {
        let Some(since) = self.since else { return Ok(self.starts()) };
        let enough = self.wanted.len() >= self.budget.places || since.elapsed() > LONGEST;
        if enough { Err(ViewError::Stopped) } else { Ok(true) }
    }

    /// Whether the run has waited for enough reads, and others are free to make the next ones.
    fn starts(&mut self) -> bool {
        let starts = self.made >= self.budget.waits
            && self.fetches.as_ref().is_some_and(|fetches| fetches.idle() > 0);
        if starts {
            self.since = Some(Instant::now());
        } else {
            self.made = self.made.saturating_add(1);
        }
        starts
    }

    /// Whether the run was told a guess.
    const fn has_guessed(&self) -> bool {
        self.since.is_some()
    }
}

/// What an account's next slot is likely to have, judged by its last reads, newest first: loops
/// over tokens or recipients see the same few values again and again.
fn pattern(recent: &[&SlotRead]) -> Option<U256> {
    let value = |at: usize| recent.get(at).map(|read| read.value);
    let repeats = |period: &usize| (0..2 * period).all(|at| value(at) == value(at + period));
    let period = (1..=PERIOD).filter(|period| 3 * period <= recent.len()).find(repeats)?;
    value(period - 1)
}

/// The runs of one execution.
#[derive(Debug)]
pub(crate) struct Rounds {
    budget: Budget,
    left: u32,
    begun: Option<Instant>,
    /// What the run before the last one has read, and what was then fetched for the last one.
    read: usize,
    fetched: usize,
}

impl Rounds {
    /// For an execution on a state that is slow to read, where `on`; else it never runs ahead.
    pub(crate) fn new(on: bool) -> Self {
        let budget = if on { Budget { waits: PATIENCE, places: PLACES } } else { Budget::PATIENT };
        Self { budget, left: ROUNDS, begun: on.then(Instant::now), read: 0, fetched: 0 }
    }

    pub(crate) const fn budget(&self) -> Budget {
        self.budget
    }

    /// Whether the run has to be repeated, because it ran ahead; what it wanted is then read.
    pub(crate) fn repeat(&mut self, fetches: Option<&Fetches>, view: &mut View<'_>) -> bool {
        let guessed = view.scout.has_guessed();
        let wanted = view.scout.end();
        let Some(fetches) = fetches.filter(|_| guessed) else { return false };
        let waited = fetches.latency() * view.scout.made;
        let took = self.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        let steps = took.saturating_sub(waited);
        let read = view.reads.len() - wanted.len();
        let needed = read.saturating_sub(self.read + view.scout.made as usize);
        let worth = fetches.latency() * wanted.len() as u32 >= steps;
        self.adjust(worth, needed);
        (self.read, self.fetched) = (read, wanted.len());
        fetches.fetch(wanted, view);
        self.begun = Some(Instant::now());
        true
    }

    /// What the next run may do, after one that was `worth` its time or not, and that `needed` so
    /// many of the places fetched for it.
    fn adjust(&mut self, worth: bool, needed: usize) {
        let Budget { waits, places } = self.budget;
        let wrong = needed * 2 < self.fetched;
        self.left -= 1;
        self.budget = Budget {
            waits: if worth && !wrong { waits } else { waits.saturating_mul(LESS) },
            places: match self.fetched {
                0 => places,
                _ if wrong => PLACES,
                _ => (places * MORE).min(MOST),
            },
        };
        if self.left == 0 {
            self.budget = Budget::PATIENT;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads with these values, newest first.
    fn reads(values: &[u64]) -> Vec<SlotRead> {
        let read = |value: &u64| SlotRead {
            account: 0,
            id: 0,
            stamp: Stamp::BASE,
            value: U256::from(*value),
        };
        values.iter().map(read).collect()
    }

    fn next(values: &[u64]) -> Option<u64> {
        pattern(&reads(values).iter().collect::<Vec<_>>()).map(|value| value.to())
    }

    #[test]
    fn what_repeats_goes_on() {
        assert_eq!(next(&[7, 7, 7]), Some(7));
        assert_eq!(next(&[0, 9, 0, 9, 0, 9]), Some(9));
        assert_eq!(next(&[3, 2, 1, 3, 2, 1, 3, 2, 1]), Some(1));
        // The shortest period counts, and the newest reads.
        assert_eq!(next(&[5, 5, 5, 0, 9, 0, 9, 0, 9]), Some(5));
    }

    #[test]
    fn what_does_not_repeat_has_no_pattern() {
        assert_eq!(next(&[]), None);
        assert_eq!(next(&[7, 7]), None);
        assert_eq!(next(&[0, 9, 0, 9, 0, 8]), None);
        assert_eq!(next(&[6, 5, 4, 3, 2, 1, 0]), None);
    }

    #[test]
    fn runs_ahead_grow_while_they_are_right_and_end() {
        let mut rounds = Rounds::new(true);
        let mut places = Vec::new();
        for _ in 0..6 {
            rounds.adjust(true, rounds.fetched);
            rounds.fetched = rounds.budget().places;
            places.push(rounds.budget().places);
        }
        assert_eq!(places, [PLACES, 128, 512, 2048, MOST, MOST]);
        // Most of what was fetched was not needed.
        rounds.adjust(true, rounds.fetched / 3);
        assert_eq!((rounds.budget().places, rounds.budget().waits), (PLACES, PATIENCE * LESS));
        // It took longer than the reads would have.
        rounds.adjust(false, rounds.fetched);
        assert_eq!(rounds.budget().waits, PATIENCE * LESS * LESS);
        (8..ROUNDS).for_each(|_| rounds.adjust(true, rounds.fetched));
        assert_eq!(rounds.budget().waits, u32::MAX);
        assert_eq!(Rounds::new(false).budget().waits, u32::MAX);
    }
}
