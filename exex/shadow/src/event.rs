//! What the shadow tells its host.

use crate::{compare::Difference, job::Skip};
use alloy_primitives::B256;
use braid_core::Statistics;
use std::{
    fmt::{self, Display},
    path::PathBuf,
    time::Duration,
};

/// Something happened to a block, or to the shadow.
#[derive(Debug, Clone)]
pub enum Event {
    /// The parallel result is the reference result.
    Matched(Matched),
    /// It is not.
    Diverged(Divergence),
    /// The block was not compared.
    Skipped {
        /// The block's number.
        number: u64,
        /// The block's hash.
        hash: B256,
        /// Why.
        skip: Skip,
    },
    /// The shadow has disabled itself; every later block is skipped.
    Disabled {
        /// How many failures in a row led to it.
        failures: u32,
        /// The last of them.
        last: Skip,
    },
}

/// A block whose parallel result is the reference result.
#[derive(Debug, Clone)]
pub struct Matched {
    /// The block's number.
    pub number: u64,
    /// The block's hash.
    pub hash: B256,
    /// How many transactions it has.
    pub transactions: usize,
    /// Gas used.
    pub gas: u64,
    /// Parallel execution on the host's state, reads included.
    pub elapsed: Duration,
    /// What the engine did.
    pub statistics: Statistics,
    /// Bytes of parent state that were read and kept until the block was compared.
    pub memory: usize,
    /// Whether the changed state was compared or proved, not only the receipts.
    pub state_checked: bool,
    /// Whether the state root after the block was computed and is the header's.
    pub root_proved: bool,
    /// The like-for-like times, where this block was sampled.
    pub speed: Option<Speed>,
}

/// Times of the two ways on the same state in memory, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed {
    /// Sequential: alloy-evm's block executor over revm's `State`, as reth runs it.
    pub stock: Duration,
    /// Parallel.
    pub parallel: Duration,
}

impl Speed {
    /// Stock time over parallel time: above 1, parallel is faster.
    pub fn ratio(&self) -> f64 {
        let parallel = self.parallel.as_secs_f64();
        if parallel > 0.0 { self.stock.as_secs_f64() / parallel } else { 0.0 }
    }
}

/// What sequential execution on the same state says about a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sequential {
    /// It agrees with the node: the parallel engine is wrong.
    AgreesWithReference,
    /// It agrees with the parallel engine: the node, its receipts or the state that it gave are
    /// wrong, or the chain's rules are other ones.
    AgreesWithParallel,
    /// It agrees with neither.
    AgreesWithNeither,
    /// It could not be run.
    Unknown(String),
}

impl Display for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AgreesWithReference => f.write_str("sequential execution agrees with the node"),
            Self::AgreesWithParallel => f.write_str("sequential execution agrees with braid"),
            Self::AgreesWithNeither => f.write_str("sequential execution agrees with neither"),
            Self::Unknown(why) => write!(f, "sequential execution could not be run: {why}"),
        }
    }
}

/// A block whose parallel result is not the reference result.
#[derive(Debug, Clone)]
pub struct Divergence {
    /// The block's number.
    pub number: u64,
    /// The block's hash.
    pub hash: B256,
    /// The first difference.
    pub difference: Difference,
    /// What sequential execution says.
    pub sequential: Sequential,
    /// The recorded block, which `braid replay` reproduces; or why there is none.
    pub report: Result<PathBuf, String>,
}
