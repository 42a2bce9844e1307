//! What the node itself computed, block by block.
//!
//! Role: take the state changes of single blocks out of a notification. A notification of one block
//! holds them as they are. One of several blocks holds a single merged bundle; its reverts say what
//! each block found, so walking them backwards from the final values gives what each block left.
//!
//! Invariant: an answer is exact or absent. Where storage was wiped, the bundle does not hold every
//! earlier value, and then no block of the notification gets an answer.

use alloy_primitives::{Address, U256};
use braid_core::{StateChanges, outcome::AccountChange};
use revm::{
    bytecode::Bytecode,
    database::{AccountRevert, BundleState, RevertToSlot, states::reverts::AccountInfoRevert},
    state::AccountInfo,
};
use std::collections::{BTreeMap, HashMap};

/// The state changes of each of `blocks` blocks, in order; `None` where the bundle does not tell.
pub(crate) fn changes_by_block(bundle: &BundleState, blocks: usize) -> Vec<Option<StateChanges>> {
    if blocks == 1 {
        return vec![Some(StateChanges::from_bundle(bundle))];
    }
    if bundle.reverts.len() != blocks {
        return vec![None; blocks];
    }
    let mut later = Later::new(bundle);
    let mut changes: Vec<Option<StateChanges>> = Vec::with_capacity(blocks);
    for reverts in bundle.reverts.iter().rev() {
        match later.step_back(reverts) {
            Some(block) => changes.push(Some(block)),
            None => return vec![None; blocks],
        }
    }
    changes.reverse();
    changes
}

/// The values after the block that is looked at next, walking backwards.
struct Later<'b> {
    bundle: &'b BundleState,
    accounts: HashMap<Address, Option<AccountInfo>>,
    slots: HashMap<(Address, U256), U256>,
}

impl<'b> Later<'b> {
    fn new(bundle: &'b BundleState) -> Self {
        Self { bundle, accounts: HashMap::new(), slots: HashMap::new() }
    }

    /// What one block changed, given what undoes it; the values are then those before the block.
    fn step_back(&mut self, reverts: &[(Address, AccountRevert)]) -> Option<StateChanges> {
        let mut accounts = BTreeMap::new();
        for (address, revert) in reverts {
            let change = self.undo(*address, revert)?;
            if change.before != change.after || !change.storage.is_empty() {
                accounts.insert(*address, change);
            }
        }
        // Codes are not compared: the accounts name them by their hash.
        Some(StateChanges { accounts: accounts.into_values().collect(), codes: Vec::new() })
    }

    fn undo(&mut self, address: Address, revert: &AccountRevert) -> Option<AccountChange> {
        if revert.wipe_storage {
            return None;
        }
        let after = self.account(address)?;
        let before = match &revert.account {
            AccountInfoRevert::DoNothing => after.clone(),
            AccountInfoRevert::DeleteIt => None,
            AccountInfoRevert::RevertTo(info) => Some(bare(info)),
        };
        let mut storage = Vec::with_capacity(revert.storage.len());
        for (slot, previous) in &revert.storage {
            let RevertToSlot::Some(previous) = *previous else { return None };
            let value = self.slot(address, *slot)?;
            if value != previous {
                storage.push((*slot, value));
            }
            self.slots.insert((address, *slot), previous);
        }
        storage.sort_unstable();
        self.accounts.insert(address, before.clone());
        Some(AccountChange { address, before, after, wiped: false, storage })
    }

    fn account(&self, address: Address) -> Option<Option<AccountInfo>> {
        match self.accounts.get(&address) {
            Some(info) => Some(info.clone()),
            None => Some(self.bundle.account(&address)?.info.as_ref().map(bare)),
        }
    }

    fn slot(&self, address: Address, slot: U256) -> Option<U256> {
        match self.slots.get(&(address, slot)) {
            Some(value) => Some(*value),
            None => Some(self.bundle.account(&address)?.storage.get(&slot)?.present_value),
        }
    }
}

/// Balance, nonce and code hash alone.
fn bare(info: &AccountInfo) -> AccountInfo {
    AccountInfo::new(info.balance, info.nonce, info.code_hash, Bytecode::default()).without_code()
}
