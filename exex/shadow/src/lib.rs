//! Follows a chain of blocks; so far: the recorded-block format.

pub mod analysis;
pub mod recorded;
