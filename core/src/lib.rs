//! Executes Ethereum blocks in parallel, byte for byte equal to sequential execution.

pub mod access_list;
pub mod block;
mod bundle;
pub mod chain;
pub mod engine;
pub mod error;
mod genesis;
pub mod import;
mod ordered_trie;
pub mod outcome;
mod pool;
mod receipts;
pub mod sequential;
pub mod source;
#[cfg(test)]
mod splitmix;
mod sync;
mod tally;
pub mod trace;

pub use access_list::{AccessListCheck, AccessListMismatch};
pub use block::{Block, Receipt, Transaction};
pub use chain::Chain;
pub use engine::{Engine, Optimisations, Options};
pub use error::{ExecuteError, HostError, InvalidBlock, SourceError};
pub use import::{ImportError, Imported};
pub use outcome::{Outcome, OutputKind, StateChanges, StateOutput, Statistics};
pub use source::{StateReader, StateSource};
pub use trace::Trace;
