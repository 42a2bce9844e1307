//! What held a block back: analysis of a trace ([`braid_core::Trace`]).
//!
//! Role: pure functions from a trace to figures, for reports. [`graph`] has the dependencies,
//! [`path`] the longest chains, [`figures`] the four numbers, [`hot`] the slots and contracts that
//! serialise the block, [`names`] what such a slot probably is in the contract's source.
//!
//! Invariant: nothing here executes anything; the same trace gives the same figures.

pub mod figures;
pub mod graph;
pub mod hot;
pub mod names;
pub mod path;

pub use figures::{Dependencies, Figures, Scheduling};
pub use graph::{Edge, Graph, Rules};
pub use hot::{Hot, hot_contracts, hot_locations};
pub use path::{Path, critical_path};

#[cfg(test)]
mod samples;
