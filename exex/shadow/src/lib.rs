//! The shadow: executes the blocks of a chain a second time, in parallel, and compares.
//!
//! Role: take blocks with their parent state and the reference result from any feed (a node's
//! notifications, JSON-RPC, files), execute them on threads of its own, compare every receipt and
//! every changed account and slot, count, and leave a recorded block behind for each difference.
//!
//! Actors: the host submits [`Job`]s and never waits; one worker thread opens and executes them in
//! order; the host's listener is told of each [`Event`].
//!
//! Invariants: [`Shadow`] never blocks, never panics into and never ends its host; what waits is
//! bounded; every submitted block is counted exactly once, as matched, diverged, or skipped with
//! its reason; a failure of the host or of the feed is never taken for a divergence.

mod compare;
mod counters;
mod event;
mod job;
mod judge;
pub mod metrics;
mod noted;
mod priority;
mod queue;
pub mod recorded;
mod reports;
mod settings;
mod shadow;

pub use compare::{Difference, Place, compare};
pub use counters::Counters;
pub use event::{Divergence, Event, Matched, Sequential, Speed};
pub use job::{Job, ParentState, Reason, Skip, Work};
pub use recorded::Reference;
pub use settings::{Alter, Listener, Reports, Settings};
pub use shadow::Shadow;
