//! What can be wrong with a recorded block.

use alloy_primitives::{Address, B256};
use braid_core::{block::BlockError, chain::ChainError, source::WitnessError};
use std::{fmt, io, path::Path};

/// A recorded block that could not be read or written: which file, which block, and why.
#[derive(Debug)]
pub struct RecordedError {
    /// The file, where the block comes from one or goes to one.
    pub file: Option<Box<Path>>,
    /// The block's number, where as much is known.
    pub block: Option<u64>,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for RecordedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        if let Some(block) = self.block {
            write!(f, "block {block}: ")?;
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for RecordedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.problem)
    }
}

impl From<Problem> for RecordedError {
    fn from(problem: Problem) -> Self {
        Self { file: None, block: None, problem }
    }
}

/// What is wrong with a recorded block. Keys are given with their full path in the JSON.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be opened, read, created or renamed.
    #[error("{0}")]
    File(#[source] io::Error),
    /// The file is not zstd, or ends too early.
    #[error("not a whole zstd file: {0}")]
    Compression(#[source] io::Error),
    /// The file is, or would be, too large before compression.
    #[error("more than {limit} bytes without compression")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The content is not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A required key is missing.
    #[error("`{key}` is missing")]
    Missing {
        /// The key.
        key: String,
    },
    /// A value of the wrong kind.
    #[error("`{key}` must be {expected}")]
    Malformed {
        /// The key.
        key: String,
        /// What its value should be.
        expected: &'static str,
    },
    /// A recorded hash contradicts what it is the hash of.
    #[error("`{key}` is {recorded}, the content gives {computed}")]
    Mismatch {
        /// The key.
        key: Box<str>,
        /// The recorded value.
        recorded: B256,
        /// The value computed from the content.
        computed: B256,
    },
    /// A transaction's content and what is recorded about it do not agree.
    #[error("transaction {index}: {problem}")]
    Transaction {
        /// The transaction's index in the block.
        index: usize,
        /// What is wrong with it.
        problem: TransactionProblem,
    },
    /// The block cannot be put together.
    #[error("`block`: {0}")]
    Block(#[source] BlockError),
    /// The chain is none of the known ones, and there is no `config`.
    #[error("chain id {0} is not known, and there is no `config`")]
    UnknownChain(u64),
    /// `chainId` and `config` name different chains.
    #[error("`chainId` is {chain_id}, `config` is for chain {config}")]
    ChainId {
        /// The value of `chainId`.
        chain_id: u64,
        /// The chain id in `config`.
        config: u64,
    },
    /// The `config` cannot be used.
    #[error("`config`: {0}")]
    Chain(#[from] ChainError),
    /// The execution witness cannot be used.
    #[error("`witness`: {0}")]
    Witness(#[source] Box<WitnessError>),
    /// The block to be written does not belong to a known chain and has no `config`.
    #[error("chain {0} can only be written with its `config`")]
    ConfigNeeded(u64),
}

impl From<WitnessError> for Problem {
    fn from(error: WitnessError) -> Self {
        Self::Witness(Box::new(error))
    }
}

/// What is wrong with a transaction of a recorded block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionProblem {
    /// `hash` is not the transaction's hash.
    #[error("`hash` is {recorded}, the content gives {computed}")]
    Hash {
        /// The recorded hash.
        recorded: B256,
        /// The hash of the content.
        computed: B256,
    },
    /// The signature recovers to no sender.
    #[error("the signature recovers to no sender")]
    Signature,
    /// The signature recovers to another sender.
    #[error("`from` is {recorded}, the signature recovers to {recovered}")]
    Sender {
        /// The recorded sender.
        recorded: Address,
        /// The recovered sender.
        recovered: Address,
    },
}
