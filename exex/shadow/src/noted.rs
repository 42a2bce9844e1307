//! Notes what an execution reads from the parent state, so that a divergence can be recorded.
//!
//! Each reader keeps a list of its own, without a lock, and hands it in when it is dropped. The
//! engine asks for each location once, so the lists are about as long as the block's footprint.
//!
//! Invariants: what a source answered is what is noted; errors are not noted; beyond the cap every
//! read fails, so that nothing grows without bound.

use alloy_primitives::{Address, B256, U256};
use braid_core::{
    SourceError, StateReader, StateSource,
    source::{Location, MemoryState},
};
use parking_lot::Mutex;
use revm::{bytecode::Bytecode, state::AccountInfo};
use std::{
    mem::size_of,
    sync::atomic::{AtomicUsize, Ordering},
};

enum Read {
    Account(Address, AccountInfo),
    Slot(Address, U256, U256),
    Code(B256, Bytecode),
    BlockHash(u64, B256),
}

/// A source that notes what is read from it: executing a block over it gives the state that a
/// record of the block needs.
pub struct Noted<'a> {
    inner: &'a dyn StateSource,
    handed_in: Mutex<Vec<Vec<Read>>>,
    bytes: AtomicUsize,
    cap: usize,
}

impl std::fmt::Debug for Noted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Noted").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl<'a> Noted<'a> {
    /// Notes what is read from `inner`, up to about `cap` bytes.
    pub fn new(inner: &'a dyn StateSource, cap: usize) -> Self {
        Self { inner, handed_in: Mutex::default(), bytes: AtomicUsize::new(0), cap }
    }

    /// Bytes of what was noted so far.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether reads were refused because the cap was reached.
    pub fn is_full(&self) -> bool {
        self.bytes() > self.cap
    }

    /// Everything that the readers dropped so far have noted. What does not exist is not in it,
    /// and so reads as missing.
    pub fn state(&self) -> MemoryState {
        let mut state = MemoryState::default();
        let lists = self.handed_in.lock();
        let reads = || lists.iter().flatten();
        for read in reads() {
            match read {
                Read::Account(address, info) => state.insert_account(*address, info.clone()),
                Read::Code(hash, code) => state.insert_code(*hash, code.clone()),
                Read::BlockHash(number, hash) => state.insert_block_hash(*number, *hash),
                Read::Slot(..) => {}
            }
        }
        for read in reads() {
            if let Read::Slot(address, slot, value) = read {
                // A slot of an account that does not exist is zero, as an absent one is.
                let _absent = state.insert_storage(*address, *slot, *value);
            }
        }
        state
    }
}

impl StateSource for Noted<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(Reader { inner: self.inner.reader()?, owner: self, reads: Vec::new() }))
    }

    fn is_slow(&self) -> bool {
        self.inner.is_slow()
    }
}

struct Reader<'a> {
    inner: Box<dyn StateReader + 'a>,
    owner: &'a Noted<'a>,
    reads: Vec<Read>,
}

impl Reader<'_> {
    fn note(&mut self, location: Location, read: Read) -> Result<(), SourceError> {
        let code = match &read {
            Read::Account(_, info) => info.code.as_ref().map_or(0, Bytecode::len),
            Read::Code(_, code) => code.len(),
            Read::Slot(..) | Read::BlockHash(..) => 0,
        };
        let size = size_of::<Read>() + code;
        let before = self.owner.bytes.fetch_add(size, Ordering::Relaxed);
        if before.saturating_add(size) > self.owner.cap {
            let cap = self.owner.cap;
            let reason = format!("the block reads more than the memory cap of {cap} bytes");
            return Err(SourceError::new(location, reason));
        }
        self.reads.push(read);
        Ok(())
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.owner.handed_in.lock().push(std::mem::take(&mut self.reads));
    }
}

impl StateReader for Reader<'_> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        let info = self.inner.account(address)?;
        if let Some(info) = &info {
            self.note(Location::Account(address), Read::Account(address, info.clone()))?;
        }
        Ok(info)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        let value = self.inner.storage(address, slot)?;
        self.note(Location::Storage(address, slot), Read::Slot(address, slot, value))?;
        Ok(value)
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError> {
        let code = self.inner.code(hash)?;
        self.note(Location::Code(hash), Read::Code(hash, code.clone()))?;
        Ok(code)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        let hash = self.inner.block_hash(number)?;
        self.note(Location::BlockHash(number), Read::BlockHash(number, hash))?;
        Ok(hash)
    }
}
