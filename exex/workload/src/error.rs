//! Why a workload could not be generated.

use crate::artefact::Contract;
use alloy_primitives::B256;
use braid_core::{ExecuteError, chain::ChainError};

/// Why a workload could not be generated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A contention outside 0 to 1.
    #[error("contention must be between 0 and 1, not {0}")]
    Contention(f64),
    /// Blocks without transactions.
    #[error("a block of the workload needs at least one transaction")]
    NoTransactions,
    /// An artefact that cannot be read.
    #[error("artefact of {contract:?}: {error}")]
    Artefact {
        /// The contract.
        contract: Contract,
        /// The JSON error.
        #[source]
        error: serde_json::Error,
    },
    /// A function that a contract does not have.
    #[error("{contract:?} has no function {signature}")]
    Function {
        /// The contract.
        contract: Contract,
        /// The function's signature.
        signature: String,
    },
    /// The chain's configuration was refused.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A transaction could not be signed.
    #[error("signature: {0}")]
    Signature(#[from] k256::ecdsa::Error),
    /// The sequential reference rejects a generated block.
    #[error("generated block {number}: {error}")]
    Execute {
        /// The block's number.
        number: u64,
        /// Its reason.
        #[source]
        error: Box<ExecuteError>,
    },
    /// A transaction that prepares the chain has failed.
    #[error("preparation, block {number}: transaction {hash} failed")]
    Preparation {
        /// The block's number.
        number: u64,
        /// The transaction's hash.
        hash: B256,
    },
}
