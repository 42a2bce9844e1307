//! How a shadow works, with defaults that keep it out of its host's way.

use crate::{event::Event, recorded::Reference};
use braid_core::{Block, Outcome};
use std::{fmt, path::PathBuf, sync::Arc, thread, time::Duration};

/// Told of each event, on the shadow's thread or the submitter's. Must not block: the next block
/// waits for it. A panic in it is caught and counted.
pub type Listener = Arc<dyn Fn(&Event) + Send + Sync>;

/// Changes what is compared, to show that a difference is found. See [`Settings::alter`].
pub type Alter = Arc<dyn Fn(&Block, &mut Outcome, &mut Reference) + Send + Sync>;

/// Where divergences are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reports {
    /// The folder; made where it is missing.
    pub folder: PathBuf,
    /// The most bytes that its recorded blocks may take; the oldest are removed first, and the
    /// newest stays in any case.
    pub max_bytes: u64,
}

impl Reports {
    /// The default size limit: some hundred to a thousand mainnet blocks.
    pub const DEFAULT_MAX_BYTES: u64 = 256 << 20;

    /// A folder with the default size limit.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), max_bytes: Self::DEFAULT_MAX_BYTES }
    }
}

/// How a [`crate::Shadow`] works.
#[derive(Clone)]
pub struct Settings {
    /// Threads that execute a block. Half the cores, so that the host keeps the others; at least
    /// two, since one alone speculates nothing.
    pub threads: usize,
    /// The nice value of those threads (0 to 19, higher is humbler); `None` leaves it. Linux only.
    pub nice: Option<u8>,
    /// How long one block may take, opening its state included. Two seconds are a sixth of a slot.
    pub deadline: Duration,
    /// How many blocks may wait. A node keeps the state of about its last 7 blocks in memory; older
    /// ones cost it reads of history.
    pub max_lag: usize,
    /// How many blocks may come at once. More come only while a node catches up.
    pub max_batch: usize,
    /// The most bytes of parent state that one block may read: the shadow keeps what was read, so
    /// that a divergence can be recorded.
    pub memory_cap: usize,
    /// Every how many blocks stock and parallel execution are both repeated from memory, for a
    /// like-for-like ratio; 0: never.
    pub sample_every: u64,
    /// After how many failures in a row the shadow disables itself; 0: never.
    pub max_failures: u32,
    /// No sequential short cut of any kind in the engine.
    pub forced: bool,
    /// How long a shutdown waits for the block at hand. Longer than that and the thread, which can
    /// only be inside a read of the host's state, is left to itself.
    pub shutdown_wait: Duration,
    /// Where divergences are recorded; `None`: nowhere.
    pub reports: Option<Reports>,
    /// Who is told of events.
    pub listener: Option<Listener>,
    /// For tests of the whole way from a difference to its report: changes the outcome or the
    /// reference of each block before they are compared. `None` unless a test sets it.
    pub alter: Option<Alter>,
}

impl Default for Settings {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads: (cores / 2).max(2),
            nice: Some(10),
            deadline: Duration::from_secs(2),
            max_lag: 8,
            max_batch: 8,
            memory_cap: 512 << 20,
            sample_every: 16,
            max_failures: 16,
            forced: false,
            shutdown_wait: Duration::from_secs(5),
            reports: None,
            listener: None,
            alter: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("threads", &self.threads)
            .field("nice", &self.nice)
            .field("deadline", &self.deadline)
            .field("max_lag", &self.max_lag)
            .field("max_batch", &self.max_batch)
            .field("memory_cap", &self.memory_cap)
            .field("sample_every", &self.sample_every)
            .field("max_failures", &self.max_failures)
            .field("reports", &self.reports)
            .finish_non_exhaustive()
    }
}
