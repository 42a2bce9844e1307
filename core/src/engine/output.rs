//! The flat output: one pass over the tables after the last commit. Locations may still be added to
//! them meanwhile: those have no committed version.

use super::{
    cells::AccountCell,
    tables::{Stamp, Tables},
};
use crate::outcome::{AccountChange, StateChanges};
use alloy_primitives::{Address, U256};
use std::ops::Range;

/// A written slot: its account's index, its key, its value before and after the block.
type WrittenSlot = (u32, U256, U256, U256);

/// The net changes of the block.
pub(crate) fn flat(tables: &Tables) -> StateChanges {
    let slots = written_slots(tables);
    let mut next = 0;
    let mut written: Vec<(Address, u32, Range<usize>)> = Vec::new();
    for (id, cell) in tables.accounts().enumerate() {
        let id = id as u32;
        let start = next;
        next += slots[start..].iter().take_while(|slot| slot.0 == id).count();
        if cell.chain.committed_stamp() != Stamp::BASE || next > start {
            written.push((cell.address(), id, start..next));
        }
    }
    written.sort_unstable_by_key(|(address, ..)| *address);
    let mut changes = StateChanges::default();
    changes.accounts.reserve(written.len());
    for (address, id, range) in written {
        changes.push(account_change(tables.account(id), address, &slots[range]));
    }
    changes.set_codes(tables.codes().into_iter());
    changes
}

fn account_change(cell: &AccountCell, address: Address, slots: &[WrittenSlot]) -> AccountChange {
    let before = cell.known_base().and_then(|base| base.info());
    let (after, wiped) = match cell.chain.committed() {
        Some((_, value)) => (value.info(), value.wiped > 0 && before.is_some()),
        None => (before.clone(), false),
    };
    let changed = |slot: &&WrittenSlot| {
        if wiped { !slot.3.is_zero() } else { slot.2 != slot.3 }
    };
    let storage = if after.is_some() {
        slots.iter().filter(changed).map(|(_, slot, _, value)| (*slot, *value)).collect()
    } else {
        Vec::new()
    };
    AccountChange { address, before, after, wiped, storage }
}

/// Sorted by account, then by slot.
fn written_slots(tables: &Tables) -> Vec<WrittenSlot> {
    let mut slots = Vec::new();
    for cell in tables.slots() {
        let Some((stamp, mut value)) = cell.chain.committed() else { continue };
        let (account, slot) = cell.key();
        let wiped = tables.account(account).chain.committed().map_or(0, |(_, value)| value.wiped);
        if stamp.position() < wiped {
            value = U256::ZERO;
        }
        slots.push((account, slot, cell.known_base().unwrap_or_default(), value));
    }
    slots.sort_unstable_by_key(|(account, slot, ..)| (*account, *slot));
    slots
}
