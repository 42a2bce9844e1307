//! Differential, fault and schedule tests of braid; see `tests/`.

/// The README's example, compiled and run as a documentation test.
#[doc = include_str!("../../README.md")]
pub mod readme {}
