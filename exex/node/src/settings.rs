//! How braid works inside a node.

use braid_core::StateSource;
use std::{fmt, sync::Arc};

/// Puts something around the parent state of each block. See [`Settings::wrap`].
pub type Wrap =
    Arc<dyn Fn(Box<dyn StateSource + Send>) -> Box<dyn StateSource + Send> + Send + Sync>;

/// How braid works inside a node; the defaults keep out of its way.
#[derive(Clone, Default)]
pub struct Settings {
    /// The shadow's own settings. Without a report folder, `braid` in the node's data folder is
    /// taken.
    pub shadow: braid_shadow::Settings,
    /// Execute also blocks whose parent is more than the shadow's `max_lag` blocks below the newest
    /// one in the database. Its state is read as history: several look-ups for each value, and none
    /// on a pruned node below its horizon.
    pub history: bool,
    /// Start with this block, executing again what the node committed before. `None`: start with
    /// the first block that the node commits. Implies reads of history for those blocks.
    pub backfill_from: Option<u64>,
    /// For tests of what a faulty state does to the node. `None` unless a test sets it.
    pub wrap: Option<Wrap>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("shadow", &self.shadow)
            .field("history", &self.history)
            .field("backfill_from", &self.backfill_from)
            .finish_non_exhaustive()
    }
}
