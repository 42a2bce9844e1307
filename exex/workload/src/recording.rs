//! Notes everything that is read from a state, so that a block can carry its own pre-state.
//!
//! Invariant: an account is noted before its slots. What does not exist is not noted: in a state
//! in memory, what is not there does not exist.

use alloy_primitives::{Address, B256, U256};
use braid_core::{
    SourceError, StateReader, StateSource,
    source::{Location, MemoryState},
};
use parking_lot::Mutex;
use revm::{bytecode::Bytecode, state::AccountInfo};

/// A source that notes what is read from it.
#[derive(Debug)]
pub(crate) struct Recording<'a> {
    inner: &'a MemoryState,
    seen: Mutex<MemoryState>,
}

impl<'a> Recording<'a> {
    pub(crate) fn new(inner: &'a MemoryState) -> Self {
        Self { inner, seen: Mutex::default() }
    }

    /// What was read.
    pub(crate) fn into_seen(self) -> MemoryState {
        self.seen.into_inner()
    }
}

impl StateSource for Recording<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(self))
    }
}

impl StateReader for &Recording<'_> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        let mut inner = self.inner;
        let info = StateReader::account(&mut inner, address)?;
        if let Some(info) = &info {
            self.seen.lock().insert_account(address, info.clone());
        }
        Ok(info)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        let value = self.inner.storage(&address, &slot);
        if StateReader::account(self, address)?.is_some() {
            let noted = self.seen.lock().insert_storage(address, slot, value);
            noted.map_err(|error| SourceError::new(Location::Storage(address, slot), error))?;
        }
        Ok(value)
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError> {
        let mut inner = self.inner;
        let code = StateReader::code(&mut inner, hash)?;
        self.seen.lock().insert_code(hash, code.clone());
        Ok(code)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        let mut inner = self.inner;
        let hash = StateReader::block_hash(&mut inner, number)?;
        self.seen.lock().insert_block_hash(number, hash);
        Ok(hash)
    }
}
