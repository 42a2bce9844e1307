//! What earlier blocks have taught about the calls of a contract.
//!
//! Role: remember, for each contract and selector, how long a call takes and whether it tends to
//! conflict with the calls before it. Actors: whoever commits a transaction notes; whoever begins a
//! block asks ([`super::forecast`]).
//!
//! Invariants: a prediction decides when something runs and never what it gives; the table has a
//! fixed size, in which what is seldom seen makes room; entries are plain words, so that a torn one
//! is a wrong prediction and nothing else. Keys are hashed with a seed of the engine's own, so that
//! nobody can choose calls that push others out.

use super::schedule::Fate;
use crate::sync::atomic::{AtomicU64, Ordering};
use alloy_primitives::Address;
use std::hash::{BuildHasher, Hasher};

/// Entries in which one key may stand.
const WAYS: usize = 4;
/// Entries: more than the calls that a few hundred mainnet blocks repeat.
const ENTRIES: usize = 1 << 14;
/// Where costs are kept in units of this many nanoseconds, 32 bits reach for a minute.
const UNIT_NS: u64 = 16;
/// How much a failed speculation counts, and how much one that succeeded counts against it: the
/// score rises where more than one in ten fails.
const FAILED: u64 = 64;
const SUCCEEDED: u64 = 7;
/// The same for one that had waited because a conflict was expected: that tells little.
const WAITED: u64 = 1;
/// From this score on a call is expected to conflict.
const CONFLICTS: u64 = 48;
/// A score, and a count of uses, has eight bits.
const MOST: u64 = 255;

/// What is expected of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prediction {
    /// How long one run takes, nanoseconds.
    pub(crate) nanos: u64,
    /// It tends to read what a call of the same contract shortly before it writes.
    pub(crate) conflicts: bool,
}

/// A key, 0 for none, and what is known of it.
#[derive(Default)]
struct Entry {
    key: AtomicU64,
    value: AtomicU64,
}

/// An entry's value, unpacked: 32 bits of cost, eight of the score, eight of the uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Value {
    cost: u64,
    score: u64,
    uses: u64,
}

impl Value {
    const fn unpack(word: u64) -> Self {
        Self { cost: word as u32 as u64, score: (word >> 32) & MOST, uses: (word >> 40) & MOST }
    }

    const fn pack(self) -> u64 {
        self.cost | (self.score << 32) | (self.uses << 40)
    }
}

/// The memory of one engine.
pub(crate) struct Predictor {
    seed: u64,
    entries: Box<[Entry]>,
}

impl Predictor {
    pub(crate) fn new() -> Self {
        let seed = foldhash::fast::RandomState::default().hash_one(0u64);
        Self { seed, entries: (0..ENTRIES).map(|_| Entry::default()).collect() }
    }

    /// The key of a call; never 0.
    pub(crate) fn key(&self, target: &Address, selector: [u8; 4]) -> u64 {
        let mut hasher = foldhash::fast::FixedState::with_seed(self.seed).build_hasher();
        hasher.write(target.as_slice());
        hasher.write_u32(u32::from_le_bytes(selector));
        hasher.finish() | 1
    }

    fn set(&self, key: u64) -> &[Entry] {
        let at = (key >> 32) as usize % (ENTRIES / WAYS) * WAYS;
        &self.entries[at..at + WAYS]
    }

    fn find(&self, key: u64) -> Option<&Entry> {
        self.set(key).iter().find(|entry| entry.key.load(Ordering::Relaxed) == key)
    }

    /// What is expected of the call with this key.
    pub(crate) fn predict(&self, key: u64) -> Option<Prediction> {
        let value = Value::unpack(self.find(key)?.value.load(Ordering::Relaxed));
        Some(Prediction { nanos: value.cost * UNIT_NS, conflicts: value.score >= CONFLICTS })
    }

    /// Notes how long a committed run has taken, where that is known, what became of the
    /// speculation on it, and whether it had to wait because a conflict was expected.
    pub(crate) fn note(&self, key: u64, nanos: impl Into<Option<u64>>, fate: Fate, waited: bool) {
        let cost = nanos.into().map(|nanos| (nanos / UNIT_NS).min(u64::from(u32::MAX)));
        let (entry, old) = match self.find(key) {
            Some(entry) => (entry, Value::unpack(entry.value.load(Ordering::Relaxed))),
            None => (self.make_room(key), Value { cost: cost.unwrap_or(0), score: 0, uses: 0 }),
        };
        let score = match fate {
            Fate::Direct => old.score,
            Fate::Failed | Fate::Repeated => (old.score + FAILED).min(MOST),
            Fate::Held => old.score.saturating_sub(if waited { WAITED } else { SUCCEEDED }),
        };
        let cost = cost.map_or(old.cost, |cost| (old.cost * 3 + cost) / 4);
        let value = Value { cost, score, uses: (old.uses + 1).min(MOST) };
        entry.value.store(value.pack(), Ordering::Relaxed);
    }

    /// Gives the key the entry of its set that was used least; the others grow older.
    fn make_room(&self, key: u64) -> &Entry {
        let set = self.set(key);
        let uses = |entry: &Entry| {
            let empty = entry.key.load(Ordering::Relaxed) == 0;
            if empty { 0 } else { Value::unpack(entry.value.load(Ordering::Relaxed)).uses + 1 }
        };
        let mut least = &set[0];
        for entry in set {
            if uses(entry) < uses(least) {
                least = entry;
            }
        }
        for entry in set {
            let value = Value::unpack(entry.value.load(Ordering::Relaxed));
            let value = Value { uses: value.uses.saturating_sub(1), ..value };
            entry.value.store(value.pack(), Ordering::Relaxed);
        }
        least.key.store(key, Ordering::Relaxed);
        least
    }

    /// As bytes, for [`Self::load`].
    pub(crate) fn save(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.seed.to_le_bytes());
        for entry in &self.entries {
            let key = entry.key.load(Ordering::Relaxed);
            if key != 0 {
                bytes.extend(key.to_le_bytes());
                bytes.extend(entry.value.load(Ordering::Relaxed).to_le_bytes());
            }
        }
        bytes
    }

    /// What [`Self::save`] wrote.
    pub(crate) fn load(bytes: &[u8]) -> Result<Self, PredictionsError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(PredictionsError::Format)?;
        let (seed, rest) = rest.split_first_chunk().ok_or(PredictionsError::Length(bytes.len()))?;
        let (words, odd) = rest.as_chunks::<16>();
        if !odd.is_empty() || words.len() > ENTRIES {
            return Err(PredictionsError::Length(bytes.len()));
        }
        let predictor = Self { seed: u64::from_le_bytes(*seed), ..Self::new() };
        for word in words {
            let [key, value] = [0, 8]
                .map(|at| word[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)));
            if key == 0 {
                return Err(PredictionsError::Format);
            }
            let entry = predictor.make_room(key);
            entry.value.store(Value::unpack(value).pack(), Ordering::Relaxed);
        }
        Ok(predictor)
    }
}

/// How saved predictions begin.
const MAGIC: &[u8] = b"braid predictions 1\n";

/// Why saved predictions cannot be used. Nothing is lost but speed, until the engine has learned
/// anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PredictionsError {
    /// They are not in the form that this version writes.
    #[error("these are no predictions in the form of this version (`braid predictions 1`)")]
    Format,
    /// They end early or are too long.
    #[error("saved predictions cannot have {0} bytes: the file was cut or damaged")]
    Length(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(predictor: &Predictor, of: u8) -> u64 {
        predictor.key(&Address::repeat_byte(of), [of; 4])
    }

    const fn fate(failed: bool) -> Fate {
        if failed { Fate::Failed } else { Fate::Held }
    }

    #[test]
    fn a_cost_is_learned_and_follows_changes() {
        let predictor = Predictor::new();
        let key = key(&predictor, 1);
        assert_eq!(predictor.predict(key), None);
        predictor.note(key, 16_000, Fate::Held, false);
        assert_eq!(predictor.predict(key), Some(Prediction { nanos: 16_000, conflicts: false }));
        (0..30).for_each(|_| predictor.note(key, 160_000, Fate::Direct, false));
        let nanos = predictor.predict(key).unwrap().nanos;
        assert!((150_000..=160_000).contains(&nanos), "{nanos}");
        predictor.note(key, u64::MAX, Fate::Direct, false);
        assert!(predictor.predict(key).unwrap().nanos > 1_000_000_000);
    }

    #[test]
    fn conflicts_are_expected_where_more_than_one_in_ten_fails() {
        let predictor = Predictor::new();
        let [rare, often] = [1, 2].map(|of| key(&predictor, of));
        for run in 0..400 {
            predictor.note(rare, 1_000, fate(run % 50 == 49), false);
            predictor.note(often, 1_000, fate(run % 3 == 0), false);
        }
        (0..9).for_each(|_| predictor.note(rare, 1_000, Fate::Held, false));
        assert!(!predictor.predict(rare).unwrap().conflicts);
        assert!(predictor.predict(often).unwrap().conflicts);
        (0..60).for_each(|_| predictor.note(often, 1_000, Fate::Held, false));
        assert!(!predictor.predict(often).unwrap().conflicts, "and forgotten");
    }

    #[test]
    fn what_held_after_waiting_says_little_against_a_conflict() {
        let predictor = Predictor::new();
        let key = key(&predictor, 1);
        predictor.note(key, 1_000, Fate::Failed, false);
        (0..16).for_each(|_| predictor.note(key, 1_000, Fate::Held, true));
        assert!(predictor.predict(key).unwrap().conflicts);
        predictor.note(key, 1_000, Fate::Held, true);
        assert!(!predictor.predict(key).unwrap().conflicts, "it is tried again");
    }

    #[test]
    fn what_is_seen_often_outlives_what_is_not() {
        let predictor = Predictor::new();
        let often = key(&predictor, 1);
        (0..200).for_each(|_| predictor.note(often, 5_000, Fate::Direct, false));
        for other in 0..200_000u32 {
            let key = predictor.key(&Address::ZERO, other.to_le_bytes());
            predictor.note(key, 1_000, Fate::Direct, false);
        }
        assert_eq!(predictor.predict(often).unwrap().nanos, 4_992);
        let known = predictor.entries.iter().filter(|entry| entry.key.load(Ordering::Relaxed) > 0);
        assert_eq!(known.count(), ENTRIES);
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let predictor = Predictor::new();
        for of in 0..=255 {
            predictor.note(key(&predictor, of), u64::from(of) * 1_000, fate(of % 2 == 0), false);
        }
        let loaded = Predictor::load(&predictor.save()).unwrap();
        for of in 0..=255 {
            assert_eq!(loaded.predict(key(&loaded, of)), predictor.predict(key(&predictor, of)));
        }
        assert_eq!(loaded.predict(key(&loaded, 9)).unwrap().nanos, 8_992);
    }

    #[test]
    fn damaged_predictions_are_errors() {
        let predictor = Predictor::new();
        predictor.note(key(&predictor, 1), 1_000, Fate::Direct, false);
        let saved = predictor.save();
        assert_eq!(Predictor::load(b"").err(), Some(PredictionsError::Format));
        assert_eq!(Predictor::load(b"something else").err(), Some(PredictionsError::Format));
        for cut in MAGIC.len()..saved.len() {
            let fits = cut == MAGIC.len() + 8;
            assert_eq!(Predictor::load(&saved[..cut]).is_ok(), fits, "{cut}");
        }
        let mut zero = saved.clone();
        zero.extend([0; 16]);
        assert_eq!(Predictor::load(&zero).err(), Some(PredictionsError::Format));
        let long = [&saved[..MAGIC.len() + 8], &[1; 16 * (ENTRIES + 1)]].concat();
        assert_eq!(Predictor::load(&long).err(), Some(PredictionsError::Length(long.len())));
    }
}
