//! Reading ahead what transactions name, where reads are slow.
//!
//! Role: senders, recipients with their code, and access lists (EIP-2930) are known before anything
//! runs. Where a read takes long, the engine has more workers than cores; all but the first two
//! fetch these locations before they execute anything. Actors: the workers, who share one list.
//!
//! Invariants: only base values are filled, each by at most one successful read, as any run fills
//! them; a read that fails or panics here fails nothing: whoever needs the value reads again.

use super::view::View;
use crate::{
    block::Block,
    sync::atomic::{AtomicUsize, Ordering},
};
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, U256};

/// Workers with a number below this one execute from the start.
const EXECUTORS: usize = 2;

/// A location that a transaction names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Account(Address),
    /// An account whose code is going to run.
    Target(Address),
    Slot(Address, U256),
}

/// The locations that a block's transactions name, in block order, repeated ones included.
#[derive(Debug, Default)]
pub(crate) struct Prefetch {
    named: Vec<Named>,
    next: AtomicUsize,
}

impl Prefetch {
    pub(crate) fn new(block: &Block) -> Self {
        let mut named = Vec::with_capacity(2 * block.transactions.len());
        for tx in &block.transactions {
            named.push(Named::Account(tx.signer()));
            named.extend(tx.to().map(Named::Target));
            for item in tx.access_list().into_iter().flat_map(|list| &list.0) {
                named.push(Named::Account(item.address));
                let slots = item.storage_keys.iter();
                named.extend(slots.map(|slot| Named::Slot(item.address, (*slot).into())));
            }
        }
        Self { named, next: AtomicUsize::new(0) }
    }

    /// Fetches until nothing is left, or until the block is abandoned.
    pub(crate) fn work(&self, worker: usize, view: &mut View<'_>) {
        while worker >= EXECUTORS && !view.stopped() {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            // An error is met again by whoever needs the value, and reported there.
            let _again = match self.named.get(next) {
                None => return,
                Some(Named::Account(address)) => view.fetch_account(*address, false),
                Some(Named::Target(address)) => view.fetch_account(*address, true),
                Some(Named::Slot(address, slot)) => view.fetch_slot(*address, *slot),
            };
        }
    }
}
