//! Sources that make a chosen transaction late, or a chosen place unreadable.

use alloy_primitives::{Address, B256, U256};
use braid_core::{SourceError, StateReader, StateSource, source::Location};
use revm::{bytecode::Bytecode, state::AccountInfo};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// What happens where a place is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The read takes a while: whoever needs it is overtaken.
    Delay,
    /// The read fails each time.
    Error,
    /// The first read fails, later ones do not.
    ErrorOnce,
    /// The read panics.
    Panic,
}

/// A source with trouble at some places.
pub struct Troubled<'a> {
    inner: &'a dyn StateSource,
    places: Vec<(Location, Trouble)>,
    /// How often trouble was met, delays apart.
    met: AtomicUsize,
}

impl<'a> Troubled<'a> {
    pub fn new(inner: &'a dyn StateSource, places: Vec<(Location, Trouble)>) -> Self {
        Self { inner, places, met: AtomicUsize::new(0) }
    }

    pub fn met(&self) -> usize {
        self.met.load(Ordering::Relaxed)
    }

    fn pass(&self, location: Location) -> Result<(), SourceError> {
        for (_, trouble) in self.places.iter().filter(|(place, _)| *place == location) {
            if *trouble == Trouble::Delay {
                std::thread::sleep(Duration::from_micros(400));
                continue;
            }
            let before = self.met.fetch_add(1, Ordering::Relaxed);
            match trouble {
                Trouble::Panic => panic!("planted"),
                Trouble::ErrorOnce if before > 0 => {}
                _ => return Err(SourceError::new(location, "planted")),
            }
        }
        Ok(())
    }
}

struct TroubledReader<'a> {
    inner: Box<dyn StateReader + 'a>,
    source: &'a Troubled<'a>,
}

impl StateSource for Troubled<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(TroubledReader { inner: self.inner.reader()?, source: self }))
    }
}

impl StateReader for TroubledReader<'_> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        self.source.pass(Location::Account(address))?;
        self.inner.account(address)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        self.source.pass(Location::Storage(address, slot))?;
        self.inner.storage(address, slot)
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError> {
        self.source.pass(Location::Code(hash))?;
        self.inner.code(hash)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        self.source.pass(Location::BlockHash(number))?;
        self.inner.block_hash(number)
    }
}
