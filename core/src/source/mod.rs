//! The parent state, as a set of readers.
//!
//! Role: give each worker a reader of its own, because a node's state provider is `Send` but not
//! `Sync`. Actors: the host implements [`StateSource`]; the engine calls [`StateSource::reader`]
//! once per worker and block, on that worker's thread, and puts a fill-once cache before all of
//! them, so that each location is read successfully at most once per block.
//!
//! Invariants a source must keep: all readers show the same state, the block's parent state;
//! a missing account is `None`, never a default one; an error is an error, never a zero.

mod database;
mod hooked;
mod memory;
mod witness;

pub use crate::error::{Location, SourceError};
pub use database::{LockedDatabase, SlowReads, SyncDatabase};
pub use hooked::HookedReader;
pub use memory::{MemoryState, UnknownAccount};
pub use witness::{TrieError, WitnessError, WitnessState};

use alloy_primitives::{Address, B256, Bytes, U256};
use revm::{Database, bytecode::Bytecode, database_interface::DBErrorMarker, state::AccountInfo};

impl DBErrorMarker for SourceError {}

/// A reader that is made when it is first needed.
pub(crate) fn once<'r, 's>(
    reader: &'r mut Option<Box<dyn StateReader + 's>>,
    make: impl FnOnce() -> Result<Box<dyn StateReader + 's>, SourceError>,
) -> Result<&'r mut (dyn StateReader + 's), SourceError> {
    let made = match reader.take() {
        Some(made) => made,
        None => make()?,
    };
    Ok(&mut **reader.insert(made))
}

/// Hands out readers of one fixed state. Shared by all workers.
pub trait StateSource: Sync {
    /// Makes a reader for the calling thread. May block.
    ///
    /// # Errors
    /// A [`SourceError`], usually with [`Location::Reader`].
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError>;

    /// Whether a read takes much longer than the step of a transaction that asks for it, as from a
    /// disk or over a network: some thirty microseconds and more. Threads that wait for a read
    /// leave their core to others, so such a source deserves an engine with several times as many
    /// threads as there are cores; and its engine takes every block of two or more transactions to
    /// all of them. A source that answers one read at a time has nothing to gain. [`SlowReads`]
    /// says it of any source.
    fn is_slow(&self) -> bool {
        false
    }
}

/// Reads the parent state; used by one thread only. Every method may block.
pub trait StateReader {
    /// Balance (wei), nonce and code hash; `None` where the account does not exist. The code
    /// itself may be left out of the answer.
    ///
    /// # Errors
    /// Where the state cannot be read. The engine may ask again.
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError>;

    /// The value of one slot, zero where it was never written. Asked only for accounts that exist.
    ///
    /// # Errors
    /// As for [`Self::account`].
    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError>;

    /// The code with this hash. Never asked for the hash of the empty code.
    ///
    /// # Errors
    /// As for [`Self::account`]; also where the code is unknown.
    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError>;

    /// The hash of an ancestor, at most 256 blocks back.
    ///
    /// # Errors
    /// As for [`Self::account`]; also where the hash is unknown.
    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError>;
}

/// A code as the state holds it. What only looks like a delegation (EIP-7702) is plain code: chains
/// hold such codes from before London.
pub fn decode_code(code: Bytes) -> Bytecode {
    Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code))
}

/// Lets any revm consumer, the stock executor for one, read through a [`StateReader`].
pub struct ReaderDatabase<'a>(pub Box<dyn StateReader + 'a>);

impl std::fmt::Debug for ReaderDatabase<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReaderDatabase")
    }
}

impl Database for ReaderDatabase<'_> {
    type Error = SourceError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        self.0.account(address)
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, SourceError> {
        self.0.code(code_hash)
    }

    fn storage(&mut self, address: Address, index: U256) -> Result<U256, SourceError> {
        self.0.storage(address, index)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        self.0.block_hash(number)
    }
}
