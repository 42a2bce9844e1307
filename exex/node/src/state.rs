//! The state after a block, as the node holds it.
//!
//! Role: hand each worker a provider of its own. A reth provider is `Send` but not `Sync`, and
//! sharing one read transaction between threads would let only one read at a time.
//!
//! Invariants: every reader shows the state after the same block, found by hash, never by number,
//! so that a reorg gives an error and not another chain's state; a reader is opened lazily, on the
//! thread that uses it, and closed with the block, since a long read transaction keeps the database
//! from reusing pages.

use alloy_primitives::{Address, B256, U256};
use braid_core::{SourceError, StateReader, StateSource, source::Location};
use parking_lot::Mutex;
use reth_ethereum::{
    provider::ProviderError,
    storage::{BlockNumReader, StateProviderBox, StateProviderFactory},
};
use revm::{bytecode::Bytecode, state::AccountInfo};

/// The state after one block, read from the node. Shared by all workers.
pub struct ParentState<P> {
    provider: P,
    block: B256,
    /// The provider that [`Self::probe`] opened, for the first reader.
    probed: Mutex<Option<StateProviderBox>>,
}

impl<P> std::fmt::Debug for ParentState<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParentState").field("block", &self.block).finish_non_exhaustive()
    }
}

/// Why the state after a block is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unavailable {
    /// The block is not on the canonical chain, or was never seen.
    #[error("block {0} is not on the canonical chain")]
    NotCanonical(B256),
    /// The state has been pruned.
    #[error("state at block {0} is pruned")]
    Pruned(u64),
    /// The node has the block and not yet its state.
    #[error("block {requested} is not executed yet; the newest is {executed}")]
    NotExecuted {
        /// The block asked for.
        requested: u64,
        /// The newest one that has been executed.
        executed: u64,
    },
    /// The state could be read as history only.
    #[error("block {block} is below block {stored}, the newest in the database")]
    Historical {
        /// The block asked for.
        block: u64,
        /// The newest one in the database.
        stored: u64,
    },
    /// The provider failed.
    #[error(transparent)]
    Other(ProviderError),
}

impl Unavailable {
    fn of(error: ProviderError) -> Self {
        match error {
            ProviderError::BlockHashNotFound(hash) | ProviderError::StateForHashNotFound(hash) => {
                Self::NotCanonical(hash)
            }
            ProviderError::StateAtBlockPruned(block) => Self::Pruned(block),
            ProviderError::BlockNotExecuted { requested, executed } => {
                Self::NotExecuted { requested, executed }
            }
            other => Self::Other(other),
        }
    }
}

impl<P: StateProviderFactory> ParentState<P> {
    /// The state after the block with this hash. Nothing is opened yet.
    pub const fn new(provider: P, block: B256) -> Self {
        Self { provider, block, probed: Mutex::new(None) }
    }

    /// The hash of the block whose state this is.
    pub const fn block(&self) -> B256 {
        self.block
    }

    fn open(&self) -> Result<StateProviderBox, ProviderError> {
        self.provider.history_by_block_hash(self.block)
    }

    /// Opens the first provider, to learn early whether there is one; gives whether it reads
    /// history, which is refused deeper than `depth` blocks below the newest stored one. `number`
    /// is the block's.
    pub(crate) fn probe(&self, number: u64, depth: u64) -> Result<bool, Unavailable>
    where
        P: BlockNumReader,
    {
        let stored = self.provider.last_block_number().map_err(Unavailable::of)?;
        let historical = number < stored;
        if stored.saturating_sub(number) > depth {
            return Err(Unavailable::Historical { block: number, stored });
        }
        *self.probed.lock() = Some(self.open().map_err(Unavailable::of)?);
        Ok(historical)
    }
}

impl<P: StateProviderFactory + Sync> StateSource for ParentState<P> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        let probed = self.probed.lock().take();
        let state = probed.map_or_else(|| self.open(), Ok);
        let state = state.map_err(|error| SourceError::new(Location::Reader, error))?;
        Ok(Box::new(Reader(state)))
    }
}

/// One worker's provider.
struct Reader(StateProviderBox);

/// The state names a code that the node does not have.
#[derive(Debug, thiserror::Error)]
#[error("the node's database does not have it")]
struct Absent;

impl StateReader for Reader {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        let account = self.0.basic_account(&address);
        let account =
            account.map_err(|error| SourceError::new(Location::Account(address), error))?;
        Ok(account.map(AccountInfo::from))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        let value = self.0.storage(address, slot.into());
        let value =
            value.map_err(|error| SourceError::new(Location::Storage(address, slot), error))?;
        Ok(value.unwrap_or_default())
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError> {
        let location = Location::Code(hash);
        let code = self.0.bytecode_by_hash(&hash);
        let code = code.map_err(|error| SourceError::new(location, error))?;
        code.map(|code| code.0).ok_or_else(|| SourceError::new(location, Absent))
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        let location = Location::BlockHash(number);
        let hash = self.0.block_hash(number);
        let hash = hash.map_err(|error| SourceError::new(location, error))?;
        hash.ok_or_else(|| SourceError::new(location, Absent))
    }
}
