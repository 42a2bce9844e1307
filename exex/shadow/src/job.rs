//! What a feed hands over: a block to come, how to get at it, and what to compare with.
//!
//! Role: keep the feed's thread free. A [`Job`] names a block; everything that costs time (copying
//! the block, opening the parent state, reading receipts) is in a closure that the shadow's own
//! thread calls when the block's turn comes. Where the feed already knows that a block cannot be
//! executed, it says why ([`Job::skipped`]), so that the block is counted too.

use crate::recorded::{RecordedBlock, Reference};
use alloy_consensus::Header;
use alloy_primitives::B256;
use braid_core::{Block, Chain, StateSource};
use serde_json::Value;
use std::{
    fmt::{self, Display},
    sync::Arc,
};

/// Opens the work for a block; called once, on the shadow's thread. May block and may panic.
type Open = Box<dyn FnOnce() -> Result<Work, Skip> + Send>;

/// One block for the shadow.
pub struct Job {
    /// The block's number.
    pub number: u64,
    /// The block's hash.
    pub hash: B256,
    pub(crate) open: Result<Open, Skip>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, hash, .. } = self;
        f.debug_struct("Job").field("number", number).field("hash", hash).finish_non_exhaustive()
    }
}

impl Job {
    /// A block to execute. `open` runs on the shadow's thread when the block's turn comes.
    pub fn new(
        number: u64,
        hash: B256,
        open: impl FnOnce() -> Result<Work, Skip> + Send + 'static,
    ) -> Self {
        Self { number, hash, open: Ok(Box::new(open)) }
    }

    /// A block that is only counted.
    pub const fn skipped(number: u64, hash: B256, skip: Skip) -> Self {
        Self { number, hash, open: Err(skip) }
    }

    /// A recorded block: executed on the state that it carries, whose proofs are checked too.
    pub fn recorded(record: Arc<RecordedBlock>) -> Self {
        let hash = record.block.header.hash_slow();
        Self::new(record.number(), hash, move || Ok(Work::from_record(record)))
    }
}

/// Where the state before the block comes from.
pub enum ParentState {
    /// A node's state. One reader is made for each worker thread, and dropped with the source when
    /// the block is done, so that no read transaction outlives its block.
    Source(Box<dyn StateSource + Send>),
    /// A recorded block: its state, and its proofs for the state after it.
    Record(Arc<RecordedBlock>),
}

impl ParentState {
    /// What execution reads from.
    pub fn source(&self) -> &dyn StateSource {
        match self {
            Self::Source(source) => &**source,
            Self::Record(record) => record.state.source(),
        }
    }
}

impl fmt::Debug for ParentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source(_) => "Source",
            Self::Record(_) => "Record",
        })
    }
}

/// Everything that executing and comparing one block needs.
#[derive(Debug)]
pub struct Work {
    /// The chain's rules.
    pub chain: Arc<Chain>,
    /// The geth genesis `config` of a chain that braid does not know by its id: without it, no
    /// record of a divergence can be written for such a chain.
    pub config: Option<Arc<Value>>,
    /// The block with its senders.
    pub block: Block,
    /// The parent's header, where it is at hand; kept in records.
    pub parent: Option<Header>,
    /// The state before the block.
    pub state: ParentState,
    /// Whether `state` has all that executing the block reads. Where it may lack something, a
    /// difference that sequential execution on the same state shows too is no divergence, but
    /// skipped as [`Reason::Incomplete`].
    pub complete: bool,
    /// What the node says the result is. What it does not say is checked against the header as far
    /// as the header tells (gas, receipts root, bloom, requests).
    pub reference: Reference,
}

impl Work {
    /// The work of a recorded block.
    pub fn from_record(record: Arc<RecordedBlock>) -> Self {
        Self {
            chain: Arc::new(record.chain.clone()),
            config: record.config.clone().map(Arc::new),
            block: record.block.clone(),
            parent: record.parent.clone(),
            complete: record.complete,
            reference: record.reference.clone().unwrap_or_default(),
            state: ParentState::Record(record),
        }
    }
}

/// Why a block was not compared: the reason to count it under, and the details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// The reason.
    pub reason: Reason,
    /// What exactly happened, for people.
    pub detail: String,
}

impl Skip {
    /// A reason with its details.
    pub fn new(reason: Reason, detail: impl Display) -> Self {
        Self { reason, detail: detail.to_string() }
    }
}

impl Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() {
            f.write_str(self.reason.label())
        } else {
            write!(f, "{}: {}", self.reason.label(), self.detail)
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// The reasons for which a block is skipped. The label is the value of the metric's label
        /// `reason`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in metrics and reports.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

reasons! {
    /// The shadow was too far behind, so the oldest waiting block made room for a newer one.
    Lag = "lag",
    /// More blocks came at once than the shadow takes: a node that catches up.
    Batch = "batch",
    /// As [`Self::Lag`], because one block has not ended long after its deadline: a read of its
    /// state hangs.
    Stalled = "stalled",
    /// The block took longer than its deadline.
    Deadline = "deadline",
    /// The state that the block reads is larger than the memory cap.
    Memory = "memory",
    /// The shadow has disabled itself.
    Disabled = "disabled",
    /// The shadow was shut down before the block's turn.
    Shutdown = "shutdown",
    /// A reorganisation removed the block before its turn.
    Reorged = "reorged",
    /// The parent's state or header is not there.
    MissingParent = "missing_parent",
    /// The parent's state has been pruned.
    Pruned = "pruned",
    /// The parent's state could only be read as history, which is not wanted.
    Historical = "historical",
    /// The node has the header but has not executed the block yet.
    NotExecuted = "not_executed",
    /// The node commits blocks in the pipeline, not at its tip.
    Pipeline = "pipeline",
    /// The chain is not known and its rules were not given.
    UnknownChain = "unknown_chain",
    /// The block belongs to a fork that is not known.
    UnknownFork = "unknown_fork",
    /// The block contradicts its own hash, roots or signatures.
    BadBlock = "bad_block",
    /// The witness lacks a node or a code, or does not belong to the parent.
    BadWitness = "bad_witness",
    /// The state that came with the block does not cover all that it reads.
    Incomplete = "incomplete",
    /// Reading the state failed.
    Source = "source",
    /// The feed's own connection failed.
    Feed = "feed",
    /// Something panicked: the feed, the state source or the engine.
    Panic = "panic",
    /// The engine reported a failure of its own.
    Internal = "internal",
}

impl Reason {
    /// Whether it says that the host or the shadow is unwell. Enough of these in a row disable the
    /// shadow; the others are the ordinary course of things.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Deadline | Self::Memory | Self::Source | Self::Panic | Self::Internal)
    }
}
