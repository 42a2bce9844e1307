//! A reader with something to do before each read.
//!
//! Role: the one place that forwards every kind of read, for sources that stand before another one:
//! to take time, to count, to fail on purpose.

use super::{Location, SourceError, StateReader};
use alloy_primitives::{Address, B256, U256};
use revm::{bytecode::Bytecode, state::AccountInfo};

/// Calls a hook with each location that is about to be read; its error is the read's.
pub struct HookedReader<'a, F> {
    inner: Box<dyn StateReader + 'a>,
    hook: F,
}

impl<F> std::fmt::Debug for HookedReader<'_, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HookedReader")
    }
}

impl<'a, F: Fn(Location) -> Result<(), SourceError>> HookedReader<'a, F> {
    /// A reader that answers as `inner` does where the hook lets it.
    pub const fn new(inner: Box<dyn StateReader + 'a>, hook: F) -> Self {
        Self { inner, hook }
    }
}

impl<F: Fn(Location) -> Result<(), SourceError>> StateReader for HookedReader<'_, F> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        (self.hook)(Location::Account(address))?;
        self.inner.account(address)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        (self.hook)(Location::Storage(address, slot))?;
        self.inner.storage(address, slot)
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError> {
        (self.hook)(Location::Code(hash))?;
        self.inner.code(hash)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        (self.hook)(Location::BlockHash(number))?;
        self.inner.block_hash(number)
    }
}
