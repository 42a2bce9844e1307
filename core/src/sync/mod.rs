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
