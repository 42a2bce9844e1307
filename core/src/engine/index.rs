//! From a location's key to its index in the tables, without a lock for those that are known.
//!
//! Role: an open-addressing hash index of a few levels. Actors: any worker looks up at any time;
//! insertions take turns under one lock. A bucket holds the upper half of the hash and the index;
//! the key itself stands in the cell, where the caller compares it.
//!
//! Invariants:
//! 1. A bucket is written once, after the cell's key, with `Release`; so whoever finds it with
//!    `Acquire` sees the key. Between blocks everything is emptied, with exclusive access.
//! 2. A level is at most half full, so that each probe ends at an empty bucket; then a larger one
//!    follows. An insertion looks once more, under the lock, in every level, so that no key ever
//!    has two indices.
//! 3. Keys are compared in full, the hash only picks the bucket; the caller seeds it.

use crate::sync::{
    Mutex, OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// Buckets of the first level at least.
const SMALLEST: usize = 16;
/// Levels, each four times as large as the one before: enough for 2^32 locations.
const LEVELS: usize = 16;

pub(crate) struct Index {
    levels: [OnceLock<Box<[AtomicU64]>>; LEVELS],
    /// The first level's buckets in use, minus one: its memory is that of the largest block so far.
    mask: usize,
    /// How many locations each level holds. Taken for each insertion.
    filled: Mutex<[usize; LEVELS]>,
}

impl Index {
    pub(crate) fn new() -> Self {
        let levels = std::array::from_fn(|_| OnceLock::new());
        let mut index = Self { levels, mask: 0, filled: Mutex::new([0; LEVELS]) };
        index.begin(0);
        index
    }

    /// Forgets everything and makes room for about `expected` locations.
    pub(crate) fn begin(&mut self, expected: usize) {
        let wanted = (expected * 2).next_power_of_two().max(SMALLEST);
        self.mask = wanted - 1;
        if let Some(first) = self.levels[0].get_mut()
            && first.len() >= wanted
        {
            first[..wanted].iter_mut().for_each(|bucket| *bucket = AtomicU64::new(0));
        } else {
            self.levels[0] = OnceLock::from(empty(wanted));
        }
        self.levels[1..].iter_mut().for_each(|level| drop(level.take()));
        *self.filled.get_mut() = [0; LEVELS];
    }

    /// The index of the key with this hash; `is` compares it with a cell's, `push` makes a new
    /// cell with it.
    pub(crate) fn find_or_insert(
        &self,
        hash: u64,
        is: impl Fn(u32) -> bool,
        push: impl FnOnce() -> u32,
    ) -> u32 {
        if let Some(id) = self.find(hash, &is) {
            return id;
        }
        let mut filled = self.filled.lock();
        if let Some(id) = self.find(hash, &is) {
            return id;
        }
        let id = push();
        let entry = (hash & TAG) | (u64::from(id) + 1);
        for (level, filled) in filled.iter_mut().enumerate() {
            let size = self.size(level);
            if *filled < size / 2 {
                *filled += 1;
                let buckets = self.levels[level].get_or_init(|| empty(size));
                insert(buckets, size - 1, hash, entry);
                break;
            }
        }
        id
    }

    fn size(&self, level: usize) -> usize {
        (self.mask + 1) << (2 * level)
    }

    /// The index of a key that is known.
    pub(crate) fn find(&self, hash: u64, is: &impl Fn(u32) -> bool) -> Option<u32> {
        for (level, buckets) in self.levels.iter().enumerate() {
            let buckets = buckets.get()?;
            let mask = self.size(level) - 1;
            let mut at = hash as usize & mask;
            loop {
                let entry = buckets[at].load(Ordering::Acquire);
                if entry == 0 {
                    break;
                }
                // Indices stay far below 2^32, so that the sum above never carries.
                let id = (entry as u32).wrapping_sub(1);
                if (entry ^ hash) & TAG == 0 && is(id) {
                    return Some(id);
                }
                at = (at + 1) & mask;
            }
        }
        None
    }
}

/// The part of a bucket that repeats the hash.
const TAG: u64 = !(u32::MAX as u64);

fn empty(buckets: usize) -> Box<[AtomicU64]> {
    (0..buckets).map(|_| AtomicU64::new(0)).collect()
}

fn insert(buckets: &[AtomicU64], mask: usize, hash: u64, entry: u64) {
    let mut at = hash as usize & mask;
    while buckets[at].load(Ordering::Relaxed) != 0 {
        at = (at + 1) & mask;
    }
    buckets[at].store(entry, Ordering::Release);
}
