//! The flat output: one pass over the tables after the last commit.

use super::tables::Tables;
use crate::outcome::{AccountChange, StateChanges};
use alloy_primitives::{Address, U256};
use revm::state::AccountInfo;
use std::collections::HashMap;

/// The net changes of the block.
pub(crate) fn flat(tables: &mut Tables) -> StateChanges {
    let mut slots = changed_slots(tables);
    let mut accounts: Vec<(Address, u32)> = Vec::new();
    tables.each_account(|address, id| accounts.push((address, id)));
    accounts.sort_unstable();
    let mut changes = StateChanges::default();
    for (address, id) in accounts {
        let cell = tables.account(id);
        let before = cell.known_base().and_then(|base| base.info.clone());
        let committed = cell.committed();
        let storage = slots.remove(&id);
        if committed.is_none() && storage.is_none() {
            continue;
        }
        let (after, wiped) = match committed {
            Some((_, value)) => (value.info, value.wiped > 0 && before.is_some()),
            None => (before.clone(), false),
        };
        let mut storage = if after.is_some() { storage.unwrap_or_default() } else { Vec::new() };
        if wiped {
            storage.retain(|(_, _, value)| !value.is_zero());
        } else {
            storage.retain(|(_, base, value)| base != value);
        }
        storage.sort_unstable();
        changes.push(AccountChange {
            address,
            before: before.map(without_code),
            after: after.map(without_code),
            wiped,
            storage: storage.into_iter().map(|(slot, _, value)| (slot, value)).collect(),
        });
    }
    let codes: Vec<_> = tables.codes().collect();
    changes.set_codes(codes.into_iter());
    changes
}

/// Written slots by account: slot, value before the block, value after it.
fn changed_slots(tables: &mut Tables) -> HashMap<u32, Vec<(U256, U256, U256)>> {
    let mut keys = Vec::new();
    tables.each_slot(|account, slot, id| keys.push((account, slot, id)));
    let mut slots: HashMap<u32, Vec<(U256, U256, U256)>> = HashMap::new();
    for (account, slot, id) in keys {
        let cell = tables.slot(id);
        let Some((stamp, mut value)) = cell.committed() else { continue };
        let wiped = tables.account(account).committed().map_or(0, |(_, value)| value.wiped);
        if stamp.position() < wiped {
            value = U256::ZERO;
        }
        let base = cell.known_base().copied().unwrap_or_default();
        slots.entry(account).or_default().push((slot, base, value));
    }
    slots
}

fn without_code(info: AccountInfo) -> AccountInfo {
    AccountInfo { code: None, account_id: None, ..info }
}
