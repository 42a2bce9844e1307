//! Every synchronisation primitive of this crate, in one place: parking_lot and std in a normal
//! build, loom or shuttle where a model check explores the schedules.
//!
//! Invariant: the engine and the pool name no other lock, atomic, condition variable, spin or
//! thread. `OnceLock` is std's in every build: its initialisers here never block on another
//! primitive, so a model may treat its operations as single steps.

#[cfg(any(feature = "loom", feature = "shuttle"))]
mod model;
#[cfg(any(feature = "loom", feature = "shuttle"))]
pub(crate) use model::*;

#[cfg(not(any(feature = "loom", feature = "shuttle")))]
mod native;
#[cfg(not(any(feature = "loom", feature = "shuttle")))]
pub(crate) use native::*;

pub(crate) use std::sync::OnceLock;

/// A value on cache lines of its own: what one thread writes often does not take from the others
/// what lies beside it. Two lines, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Line<T>(pub(crate) T);

impl<T> std::ops::Deref for Line<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
