//! The two classes of failure, never mixed.
//!
//! [`InvalidBlock`] is a verdict on the block: sequential execution would reject it at the same
//! index with the same error. [`HostError`] says that no verdict could be reached, and a caller
//! must not reject a block because of it.

use alloy_evm::block::{BlockExecutionError, BlockValidationError};
use alloy_primitives::{Address, B256, U256};
use std::{error::Error, fmt, sync::Arc};

/// A failed read of the parent state: which location, and why.
#[derive(Debug, Clone)]
pub struct SourceError {
    /// The location that was asked for.
    pub location: Location,
    /// The source's own error.
    pub reason: Arc<dyn Error + Send + Sync>,
}

impl SourceError {
    /// Wraps the source's own error.
    pub fn new(location: Location, reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { location, reason: Arc::from(reason.into()) }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reading {}: {}", self.location, self.reason)
    }
}

impl Error for SourceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.reason)
    }
}

/// A place in the state that a source can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Location {
    /// Balance, nonce and code hash of an account.
    Account(Address),
    /// One storage slot of an account.
    Storage(Address, U256),
    /// The code with this hash.
    Code(B256),
    /// The hash of the block with this number.
    BlockHash(u64),
    /// No location: the reader itself could not be made.
    Reader,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(address) => write!(f, "account {address}"),
            Self::Storage(address, slot) => write!(f, "storage {address} slot {slot:#x}"),
            Self::Code(hash) => write!(f, "code {hash}"),
            Self::BlockHash(number) => write!(f, "hash of block {number}"),
            Self::Reader => f.write_str("state (no reader could be made)"),
        }
    }
}

/// Why a block was not executed.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The block is invalid, by the rules of its chain.
    #[error(transparent)]
    Invalid(#[from] InvalidBlock),
    /// The host failed; nothing is known about the block.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// A verdict: sequential execution rejects this block with this error.
#[derive(Debug, thiserror::Error)]
pub struct InvalidBlock {
    /// The first failing transaction; `None` for a failure before or after the transactions.
    pub index: Option<usize>,
    /// alloy-evm's own error.
    #[source]
    pub error: BlockValidationError,
}

impl fmt::Display for InvalidBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "invalid block, transaction {index}: {}", self.error),
            None => write!(f, "invalid block: {}", self.error),
        }
    }
}

/// The host failed: the same block may succeed when tried again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HostError {
    /// A read that in-order execution needs has failed.
    #[error("{0}")]
    Source(#[from] SourceError),
    /// The caller's cancel token was set.
    #[error("cancelled")]
    Cancelled,
    /// The deadline passed.
    #[error("deadline exceeded")]
    DeadlineExceeded,
    /// In-order execution panicked.
    #[error("panic while executing transaction {index:?}: {message}")]
    Panic {
        /// The transaction, where it was one.
        index: Option<usize>,
        /// The panic's message.
        message: String,
    },
    /// alloy-evm reported a failure that is no verdict.
    #[error("internal: {0}")]
    Internal(String),
}

impl ExecuteError {
    /// Sorts an error of alloy-evm into its class. A [`SourceError`] anywhere in its chain makes
    /// it the host's: alloy-evm reports a failed read inside a system call as a validation error.
    pub(crate) fn from_alloy(index: Option<usize>, error: BlockExecutionError) -> Self {
        match error {
            BlockExecutionError::Validation(error) => InvalidBlock { index, error }.into(),
            BlockExecutionError::Internal(error) => HostError::Internal(error.to_string()).into(),
        }
    }
}

impl From<SourceError> for ExecuteError {
    fn from(error: SourceError) -> Self {
        Self::Host(error.into())
    }
}
