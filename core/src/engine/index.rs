//! From a location's key to its index in the tables, without a lock.
//!
//! Role: an open-addressing hash index of a few levels. Actors: any worker looks up and inserts at
//! any time. A bucket holds the upper half of the hash and the index; the key itself stands in the
//! cell, where the caller compares it.
//!
//! Invariants:
//! 1. A bucket is written once, by an exchange that finds it empty, after the cell's key, with
//!    `Release`; so whoever finds it with `Acquire` sees the key. Between blocks everything is
//!    emptied, with exclusive access.
//! 2. In each level a key may stand in one window of buckets, which its hash determines. It is put
//!    into the first empty one of the first level whose window is not full.
//! 3. Keys are compared in full, the hash only picks the window; the caller seeds it.
//!
//! Proof that a key never has two indices. Buckets are never emptied in a block, so "full up to
//! here" is stable. Let one worker have put the key into bucket `b`: it found every bucket before
//! `b` in the order of invariant 2 taken by other keys, and those stay. Another worker that inserts
//! the same key walks the same order. It cannot go past `b`, where it finds the key; and it cannot
//! end before `b`: a bucket there was empty when it looked and taken when the first one looked, so
//! its exchange fails, it sees the other key and goes on. If both try `b`, one exchange fails, and
//! its worker sees the key.

use crate::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// Buckets of the first level at least.
const SMALLEST: usize = 16;
/// Levels, each four times as large as the one before: enough for 2^32 locations.
const LEVELS: usize = 16;
/// Buckets of one window. The first level is planned to be less than half full, where hardly any
/// window ever fills.
const WINDOW: usize = 32;

pub(crate) struct Index {
    levels: [OnceLock<Box<[AtomicU64]>>; LEVELS],
    /// The first level's buckets in use, minus one: its memory is that of the largest block so far.
    mask: usize,
}

impl Index {
    pub(crate) fn new() -> Self {
        let levels = std::array::from_fn(|_| OnceLock::new());
        let mut index = Self { levels, mask: 0 };
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
    }

    /// The index of the key with this hash. `is` compares it with a cell's; `prepare` gives the
    /// index of a cell that has it and that nobody else knows. It is asked at most once, and the
    /// answer is the key's index unless somebody else was faster.
    pub(crate) fn find_or_insert(
        &self,
        hash: u64,
        is: impl Fn(u32) -> bool,
        mut prepare: impl FnMut() -> u32,
    ) -> u32 {
        let mut prepared = None;
        for level in 0..LEVELS {
            let size = self.size(level);
            let buckets = self.levels[level].get_or_init(|| empty(size));
            for bucket in window(buckets, size, hash) {
                let mut entry = bucket.load(Ordering::Acquire);
                if entry == 0 {
                    let id = *prepared.get_or_insert_with(&mut prepare);
                    let mine = (hash & TAG) | (u64::from(id) + 1);
                    let put =
                        bucket.compare_exchange(0, mine, Ordering::Release, Ordering::Acquire);
                    match put {
                        Ok(_) => return id,
                        Err(other) => entry = other,
                    }
                }
                if let Some(id) = matching(entry, hash, &is) {
                    return id;
                }
            }
        }
        unreachable!("the last level has more buckets than there are indices")
    }

    fn size(&self, level: usize) -> usize {
        (self.mask + 1) << (2 * level)
    }

    /// The index of a key that is known.
    pub(crate) fn find(&self, hash: u64, is: &impl Fn(u32) -> bool) -> Option<u32> {
        for (level, buckets) in self.levels.iter().enumerate() {
            for bucket in window(buckets.get()?, self.size(level), hash) {
                let entry = bucket.load(Ordering::Acquire);
                if entry == 0 {
                    return None;
                }
                if let Some(id) = matching(entry, hash, is) {
                    return Some(id);
                }
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

/// The buckets in which a key may stand, in order.
fn window(buckets: &[AtomicU64], size: usize, hash: u64) -> impl Iterator<Item = &AtomicU64> {
    let (mask, first) = (size - 1, hash as usize);
    (0..WINDOW.min(size)).map(move |step| &buckets[first.wrapping_add(step) & mask])
}

/// The bucket's index, where it is the key's.
fn matching(entry: u64, hash: u64, is: &impl Fn(u32) -> bool) -> Option<u32> {
    // Indices stay far below 2^32, so that the sum that made the entry never carried.
    let id = (entry as u32).wrapping_sub(1);
    ((entry ^ hash) & TAG == 0 && is(id)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// Puts `count` keys with these hashes into an index and finds them again.
    fn fill(expected: usize, count: u32, hash: impl Fn(u32) -> u64) {
        let mut index = Index::new();
        for _block in 0..2 {
            index.begin(expected);
            let keys = RefCell::new(Vec::new());
            let put = |key: u32| {
                let prepare = || {
                    keys.borrow_mut().push(key);
                    keys.borrow().len() as u32 - 1
                };
                index.find_or_insert(hash(key), |id| keys.borrow()[id as usize] == key, prepare)
            };
            let ids: Vec<u32> = (0..count).map(put).collect();
            assert_eq!(ids, (0..count).collect::<Vec<_>>());
            assert_eq!((0..count).map(put).collect::<Vec<_>>(), ids);
            let is = |key: u32| move |id: u32| id == key;
            assert!((0..count).all(|key| index.find(hash(key), &is(key)) == Some(key)));
            assert_eq!(index.find(hash(count), &is(count)), None);
        }
    }

    #[test]
    fn more_keys_than_expected_go_to_further_levels() {
        let spread = |key: u32| u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        fill(0, 5_000, spread);
        fill(5_000, 5_000, spread);
    }

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        fill(100, 200, |_| 7);
        fill(0, 200, |_| u64::MAX);
    }
}
