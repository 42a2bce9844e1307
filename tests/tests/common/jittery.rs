//! A source with random delays.

use alloy_primitives::{Address, B256, U256};
use braid_core::{SourceError, StateReader, StateSource};
use revm::{bytecode::Bytecode, state::AccountInfo};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Delays reads by a pseudo-random time, so that every run meets another schedule.
pub struct Jittery<'a> {
    inner: &'a dyn StateSource,
    /// One read in so many sleeps.
    one_in: u64,
    state: AtomicU64,
}

impl<'a> Jittery<'a> {
    pub fn new(inner: &'a dyn StateSource, one_in: u64, seed: u64) -> Self {
        Self { inner, one_in, state: AtomicU64::new(seed) }
    }
}

struct JitteryReader<'a> {
    inner: Box<dyn StateReader + 'a>,
    source: &'a Jittery<'a>,
}

impl StateSource for Jittery<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(JitteryReader { inner: self.inner.reader()?, source: self }))
    }
}

impl JitteryReader<'_> {
    fn delay(&self) {
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut x = self.source.state.fetch_add(step, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^= x >> 27;
        if x.is_multiple_of(self.source.one_in) {
            std::thread::sleep(Duration::from_micros(x >> 8 & 63));
        } else if x.is_multiple_of(9) {
            std::thread::yield_now();
        }
    }
}

impl StateReader for JitteryReader<'_> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        self.delay();
        self.inner.account(address)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        self.delay();
        self.inner.storage(address, slot)
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError> {
        self.delay();
        self.inner.code(hash)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        self.delay();
        self.inner.block_hash(number)
    }
}
