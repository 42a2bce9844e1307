//! The versions of one location.
//!
//! Actors: workers read and publish pending versions at any time; the holder of the commit token
//! commits versions, in transaction order; nobody else writes.
//!
//! Invariants:
//! 1. A version's stamp (position and incarnation) names its value: no two values of one location
//!    ever share a stamp.
//! 2. The committed stamp is stored after the committed version, by the token holder only, so a
//!    token holder that finds a reader's stamp there knows that the reader saw that very value.
//!    Workers set nothing but [`WRITTEN`] in the same word, which stays set, in either order.
//! 3. The committed version stays in the list until a newer one is committed; older ones are
//!    dropped, because every reader's position is at or above the head.

use crate::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
    lock_soon,
};
use std::{collections::VecDeque, num::NonZeroU64};

/// Where in the block a version was written: 0 is the pre-block system calls, `i + 1` the
/// transaction with index `i`.
pub(crate) type Position = u32;

/// Position and incarnation of a version; 0 stands for the base value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Stamp(u64);

impl Stamp {
    pub(crate) const BASE: Self = Self(0);
    /// Of a value that no version ever had: a prediction, of a nonce or of the parent state.
    pub(crate) const PREDICTED: Self = Self(u64::MAX);

    /// Incarnations start at 1, so that no stamp equals the base.
    pub(crate) const fn new(position: Position, incarnation: u8) -> Self {
        Self(((position as u64) << 8) | incarnation as u64)
    }

    pub(crate) const fn position(self) -> Position {
        (self.0 >> 8) as u32
    }
}

/// A value and its stamp, which is not that of a base value.
#[derive(Debug, Clone, Copy)]
struct Version<V> {
    stamp: NonZeroU64,
    value: V,
}

impl<V: Copy> Version<V> {
    const fn stamp(&self) -> Stamp {
        Stamp(self.stamp.get())
    }

    const fn parts(self) -> (Stamp, V) {
        (self.stamp(), self.value)
    }
}

/// Versions, ascending by position, at most one per position. The oldest stands apart: most
/// locations never have more than one, and a slot's then lies on one cache line with its lock.
struct Versions<V> {
    oldest: Option<Version<V>>,
    /// Boxed: one word on that line.
    #[allow(clippy::box_collection)]
    newer: Option<Box<VecDeque<Version<V>>>>,
}

impl<V> Default for Versions<V> {
    fn default() -> Self {
        Self { oldest: None, newer: None }
    }
}

impl<V: Copy> Versions<V> {
    fn below(&self, position: Position) -> Option<(Stamp, V)> {
        let below = |version: &Version<V>| version.stamp().position() < position;
        let newer = self.newer.as_ref().and_then(|newer| {
            let at = newer.partition_point(below).checked_sub(1)?;
            newer.get(at).copied()
        });
        newer.or_else(|| self.oldest.filter(below)).map(Version::parts)
    }

    fn get(&self, stamp: Stamp) -> Option<(Stamp, V)> {
        let all = self.oldest.iter().chain(self.newer.iter().flat_map(|newer| newer.iter()));
        all.copied().find(|version| version.stamp() == stamp).map(Version::parts)
    }

    fn insert(&mut self, stamp: Stamp, value: V) {
        let Some(number) = NonZeroU64::new(stamp.0) else {
            unreachable!("a version has an incarnation, so its stamp is not the base's")
        };
        let version = Version { stamp: number, value };
        let Some(oldest) = &mut self.oldest else {
            self.oldest = Some(version);
            return;
        };
        let newer = self.newer.get_or_insert_default();
        if oldest.stamp().position() > stamp.position() {
            newer.push_front(std::mem::replace(oldest, version));
        } else {
            let position = stamp.position();
            let at = newer.partition_point(|other| other.stamp().position() < position);
            newer.insert(at, version);
        }
    }

    fn next(&mut self) -> Option<Version<V>> {
        self.newer.as_mut()?.pop_front()
    }

    fn remove(&mut self, stamp: Stamp) {
        if self.oldest.is_some_and(|version| version.stamp() == stamp) {
            self.oldest = self.next();
        } else if let Some(newer) = &mut self.newer
            && let Some(at) = newer.iter().position(|version| version.stamp() == stamp)
        {
            newer.remove(at);
        }
    }

    /// Forgets the versions of positions below this one.
    fn forget_below(&mut self, position: Position) {
        while self.oldest.is_some_and(|version| version.stamp().position() < position) {
            self.oldest = self.next();
        }
    }

    fn clear(&mut self) {
        self.oldest = None;
        self.newer.iter_mut().for_each(|newer| newer.clear());
    }
}

/// Set in [`Chain::committed`] with the first version; until then readers need no lock. No stamp
/// of a version has this bit.
const WRITTEN: u64 = 1 << 63;

/// The versions of one location, shared. What every access looks at lies on one cache line, as far
/// as it goes: lines travel between cores.
#[repr(align(64))]
pub(crate) struct Chain<V> {
    /// The newest committed version's stamp, and [`WRITTEN`].
    committed: AtomicU64,
    versions: Mutex<Versions<V>>,
}

impl<V> Default for Chain<V> {
    fn default() -> Self {
        Self { committed: AtomicU64::new(0), versions: Mutex::new(Versions::default()) }
    }
}

impl<V: Copy> Chain<V> {
    /// The newest version below `position`.
    pub(crate) fn below(&self, position: Position) -> Option<(Stamp, V)> {
        if self.committed.load(Ordering::Acquire) == 0 {
            return None;
        }
        lock_soon(&self.versions).below(position)
    }

    /// The newest committed version. For the token holder.
    pub(crate) fn committed(&self) -> Option<(Stamp, V)> {
        let committed = self.committed_stamp();
        if committed == Stamp::BASE {
            return None;
        }
        lock_soon(&self.versions).get(committed)
    }

    pub(crate) fn committed_stamp(&self) -> Stamp {
        Stamp(self.committed.load(Ordering::Acquire) & !WRITTEN)
    }

    /// Publishes a speculative version.
    pub(crate) fn publish(&self, stamp: Stamp, value: V) {
        let mut versions = lock_soon(&self.versions);
        versions.forget_below(self.committed_stamp().position());
        versions.insert(stamp, value);
        if self.committed.load(Ordering::Relaxed) == 0 {
            self.committed.fetch_or(WRITTEN, Ordering::Release);
        }
    }

    /// Takes a speculative version back.
    pub(crate) fn withdraw(&self, stamp: Stamp) {
        lock_soon(&self.versions).remove(stamp);
    }

    /// Makes a published version the committed one. For the token holder.
    pub(crate) fn promote(&self, stamp: Stamp) {
        self.committed.store(stamp.0 | WRITTEN, Ordering::Release);
    }

    /// Commits a version that was never published, in place of one of the same position that may
    /// have been. For the token holder.
    pub(crate) fn commit(&self, stamp: Stamp, value: V) {
        let mut versions = lock_soon(&self.versions);
        versions.forget_below(stamp.position() + 1);
        versions.insert(stamp, value);
        self.promote(stamp);
    }

    pub(crate) fn clear(&mut self) {
        if self.committed.load(Ordering::Relaxed) != 0 {
            self.committed.store(0, Ordering::Relaxed);
            self.versions.get_mut().clear();
        }
    }
}
