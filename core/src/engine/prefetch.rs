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
    /// Everything that the list names: accounts whose storage is accessed, their codes, their
    /// slots, then all other accounts. Who calls a contract has to make its reads one after the
    /// other; payments have two of them, and come in great numbers.
    pub(crate) fn new(list: &[AccountChanges], tables: &Tables) -> Self {
        let mut places = Vec::new();
        let ids = list.iter().map(|entry| tables.account_id(&entry.address));
        let runs = |(entry, _): &(&AccountChanges, u32)| {
            entry.storage_changes.len() + entry.storage_reads.len() > 0
        };
        let (run, rest): (Vec<_>, Vec<_>) = list.iter().zip(ids).partition(runs);
        let place = |(entry, id): &(&AccountChanges, u32), part| {
            let address = entry.address;
            Place { id: *id, address, part }
        };
        places.extend(run.iter().map(|entry| place(entry, Part::Account)));
        places.extend(run.iter().map(|entry| place(entry, Part::Code)));
        for entry in &run {
            let changed = entry.0.storage_changes.iter().map(|changes| changes.slot);
            let slots = changed.chain(entry.0.storage_reads.iter().copied());
            places.extend(slots.map(|slot| place(entry, Part::Slot(slot))));
        }
        places.extend(rest.iter().map(|entry| place(entry, Part::Account)));
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
