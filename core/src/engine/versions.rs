//! The versions of one location.
//!
//! Actors: workers read and publish pending versions at any time; the holder of the commit token
//! commits versions, in transaction order; nobody else writes.
//!
//! Invariants:
//! 1. A version's stamp (position and incarnation) names its value: no two values of one location
//!    ever share a stamp.
//! 2. `committed_stamp` is stored after the committed version, by the token holder only, so a
//!    token holder that finds a reader's stamp there knows that the reader saw that very value.
//! 3. The committed version stays in the list until a newer one is committed; older ones are
//!    dropped, because every reader's position is at or above the head.

use crate::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use std::collections::VecDeque;

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

/// Versions, ascending by position, at most one per position. The oldest stands apart: most
/// locations never have more than one.
struct Versions<V> {
    oldest: Option<(Stamp, V)>,
    newer: VecDeque<(Stamp, V)>,
}

impl<V> Default for Versions<V> {
    fn default() -> Self {
        Self { oldest: None, newer: VecDeque::new() }
    }
}

impl<V: Copy> Versions<V> {
    fn below(&self, position: Position) -> Option<(Stamp, V)> {
        let at = self.newer.partition_point(|(stamp, _)| stamp.position() < position);
        match at.checked_sub(1) {
            Some(at) => self.newer.get(at).copied(),
            None => self.oldest.filter(|(stamp, _)| stamp.position() < position),
        }
    }

    fn get(&self, stamp: Stamp) -> Option<(Stamp, V)> {
        self.oldest
            .filter(|(other, _)| *other == stamp)
            .or_else(|| self.newer.iter().find(|(other, _)| *other == stamp).copied())
    }

    fn insert(&mut self, version: (Stamp, V)) {
        let position = version.0.position();
        match self.oldest {
            None => self.oldest = Some(version),
            Some(oldest) if oldest.0.position() > position => {
                self.newer.push_front(oldest);
                self.oldest = Some(version);
            }
            Some(_) => {
                let at = self.newer.partition_point(|(stamp, _)| stamp.position() < position);
                self.newer.insert(at, version);
            }
        }
    }

    fn remove(&mut self, stamp: Stamp) {
        if self.oldest.is_some_and(|(other, _)| other == stamp) {
            self.oldest = self.newer.pop_front();
        } else if let Some(at) = self.newer.iter().position(|(other, _)| *other == stamp) {
            self.newer.remove(at);
        }
    }

    /// Forgets the versions of positions below this one.
    fn forget_below(&mut self, position: Position) {
        while self.oldest.is_some_and(|(stamp, _)| stamp.position() < position) {
            self.oldest = self.newer.pop_front();
        }
    }

    fn clear(&mut self) {
        self.oldest = None;
        self.newer.clear();
    }
}

/// The versions of one location, shared.
pub(crate) struct Chain<V> {
    /// Set with the first version; until then readers need no lock.
    written: AtomicBool,
    committed_stamp: AtomicU64,
    versions: Mutex<Versions<V>>,
}

impl<V> Default for Chain<V> {
    fn default() -> Self {
        Self {
            written: AtomicBool::new(false),
            committed_stamp: AtomicU64::new(0),
            versions: Mutex::new(Versions::default()),
        }
    }
}

impl<V: Copy> Chain<V> {
    /// The newest version below `position`.
    pub(crate) fn below(&self, position: Position) -> Option<(Stamp, V)> {
        if !self.written.load(Ordering::Acquire) {
            return None;
        }
        self.versions.lock().below(position)
    }

    /// The newest committed version. For the token holder.
    pub(crate) fn committed(&self) -> Option<(Stamp, V)> {
        let committed = self.committed_stamp();
        if committed == Stamp::BASE {
            return None;
        }
        self.versions.lock().get(committed)
    }

    pub(crate) fn committed_stamp(&self) -> Stamp {
        Stamp(self.committed_stamp.load(Ordering::Acquire))
    }

    /// Publishes a speculative version.
    pub(crate) fn publish(&self, stamp: Stamp, value: V) {
        let mut versions = self.versions.lock();
        versions.forget_below(self.committed_stamp().position());
        versions.insert((stamp, value));
        self.written.store(true, Ordering::Release);
    }

    /// Takes a speculative version back.
    pub(crate) fn withdraw(&self, stamp: Stamp) {
        self.versions.lock().remove(stamp);
    }

    /// Makes a published version the committed one. For the token holder.
    pub(crate) fn promote(&self, stamp: Stamp) {
        self.committed_stamp.store(stamp.0, Ordering::Release);
    }

    /// Commits a version that was never published, in place of one of the same position that may
    /// have been. For the token holder.
    pub(crate) fn commit(&self, stamp: Stamp, value: V) {
        let mut versions = self.versions.lock();
        versions.forget_below(stamp.position() + 1);
        versions.insert((stamp, value));
        self.written.store(true, Ordering::Release);
        self.committed_stamp.store(stamp.0, Ordering::Release);
    }

    pub(crate) fn clear(&mut self) {
        if self.written.load(Ordering::Relaxed) {
            self.written.store(false, Ordering::Relaxed);
            self.committed_stamp.store(0, Ordering::Relaxed);
            self.versions.get_mut().clear();
        }
    }
}
