//! Reading ahead what a block access list (EIP-7928) says a block accesses, where reads are slow.
//!
//! Role: fill base values before a transaction asks for them. Actors: every other worker, before it
//! takes its first transaction; the others execute meanwhile, and wait for a read that is under way
//! instead of making it a second time. What they are reading themselves is left to them.
//!
//! Invariants: what is read is the base value that any worker would read, so a wrong list costs
//! reads and changes nothing; a read that fails or panics here is forgotten, and whoever needs the
//! place reads it again. Storage of an account that does not exist is not read, and code only of
//! accounts whose storage is accessed, since those run: execution would read all of it.

use super::{
    tables::Tables,
    view::{View, ViewError},
};
use crate::sync::atomic::{AtomicUsize, Ordering};
use alloy_eip7928::AccountChanges;
use alloy_primitives::{Address, U256};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A place to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The account's index in the tables.
    pub(crate) id: u32,
    pub(crate) address: Address,
    pub(crate) part: Part,
}

impl Place {
    /// Reads the place before anybody asks for it. A read that fails or panics is forgotten; false
    /// where the block is being abandoned.
    pub(crate) fn read(&self, view: &mut View<'_>) -> bool {
        let read = catch_unwind(AssertUnwindSafe(|| view.prefetch(self)));
        if read.is_err() {
            view.drop_reader();
        }
        !matches!(read, Ok(Err(ViewError::Stopped)))
    }
}

/// What of an account is read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    Account,
    Code,
    Slot(U256),
}

/// What is left to be read, shared by the workers.
#[derive(Debug, Default)]
pub(crate) struct Prefetch {
    places: Box<[Place]>,
    next: AtomicUsize,
}

impl Prefetch {
    /// Everything that the list names: accounts, then codes, then slots.
    pub(crate) fn new(list: &[AccountChanges], tables: &Tables) -> Self {
        let mut places = Vec::new();
        let ids: Vec<u32> = list.iter().map(|entry| tables.account_id(&entry.address)).collect();
        let entries = || list.iter().zip(&ids);
        let place = |entry: &AccountChanges, id, part| Place { id, address: entry.address, part };
        places.extend(entries().map(|(entry, id)| place(entry, *id, Part::Account)));
        let runs = entries()
            .filter(|(entry, _)| entry.storage_changes.len() + entry.storage_reads.len() > 0);
        places.extend(runs.map(|(entry, id)| place(entry, *id, Part::Code)));
        for (entry, id) in entries() {
            let changed = entry.storage_changes.iter().map(|changes| changes.slot);
            let slots = changed.chain(entry.storage_reads.iter().copied());
            places.extend(slots.map(|slot| place(entry, *id, Part::Slot(slot))));
        }
        Self { places: places.into(), next: AtomicUsize::new(0) }
    }

    /// Reads one place; false where none is left.
    pub(crate) fn turn(&self, view: &mut View<'_>) -> bool {
        let Some(place) = self.places.get(self.next.fetch_add(1, Ordering::Relaxed)) else {
            return false;
        };
        place.read(view)
    }
}
