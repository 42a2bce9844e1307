//! The flat output: one pass over the tables after the last commit.

use super::tables::{Stamp, Tables};
use crate::outcome::{AccountChange, StateChanges};
use alloy_primitives::{Address, U256};

/// A written slot: its account, its key, its value before and after the block.
type WrittenSlot = (u32, U256, U256, U256);

/// The net changes of the block.
pub(crate) fn flat(tables: &mut Tables) -> StateChanges {
    let slots = written_slots(tables);
    let mut written: Vec<(Address, u32)> = Vec::new();
    let mut accounts: Vec<(Address, u32)> = Vec::new();
    tables.each_account(|address, id| accounts.push((address, id)));
    let of = |id: u32| {
        let start = slots.partition_point(|slot| slot.0 < id);
        let len = slots[start..].partition_point(|slot| slot.0 == id);
        &slots[start..start + len]
    };
    for (address, id) in accounts {
        if tables.account(id).committed_stamp() != Stamp::BASE || !of(id).is_empty() {
            written.push((address, id));
        }
    }
    written.sort_unstable();
    let mut changes = StateChanges::default();
    changes.accounts.reserve(written.len());
    for (address, id) in written {
        changes.push(account_change(tables, address, id, of(id)));
    }
    let codes: Vec<_> = tables.codes().collect();
    changes.set_codes(codes.into_iter());
    changes
}

fn account_change(
    tables: &Tables,
    address: Address,
    id: u32,
    slots: &[WrittenSlot],
) -> AccountChange {
    let cell = tables.account(id);
    let before = cell.known_base().and_then(|base| base.value.info());
    let (after, wiped) = match cell.committed() {
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
fn written_slots(tables: &mut Tables) -> Vec<WrittenSlot> {
    let mut keys = Vec::new();
    tables.each_slot(|account, slot, id| keys.push((account, slot, id)));
    let mut slots = Vec::with_capacity(keys.len());
    for (account, slot, id) in keys {
        let cell = tables.slot(id);
        if cell.committed_stamp() == Stamp::BASE {
            continue;
        }
        let Some((stamp, mut value)) = cell.committed() else { continue };
        let wiped = tables.account(account).committed().map_or(0, |(_, value)| value.wiped);
        if stamp.position() < wiped {
            value = U256::ZERO;
        }
        slots.push((account, slot, cell.known_base().copied().unwrap_or_default(), value));
    }
    slots.sort_unstable();
    slots
}
