//! Differential, fault and schedule tests of braid; see `tests/`.
