//! revm's bundle, made from the net changes of a block.
//!
//! Role: [`account`] says what revm's `State`, fed with every step of a block, would have in its
//! bundle and its reverts for one account. Actors: the engine's output and bare execution, which
//! know of each account what it was before the block, what it is after it, and two facts about
//! the way between.
//!
//! Invariant: equal to the bundle of `State` in every field that revm compares; an account's
//! `code`, which it does not compare, is there only where the block gave the account that code.
//!
//! Proof, from `revm_database::states`. Within a block `State` keeps one transition for each
//! account that a step touched (`TransitionState::add_transition`): information and status before
//! the first of these steps and after the last one, and the slots whose value is not what it was
//! before the block or, where the account was destroyed, after that (`TransitionAccount::update`).
//! Its status (`AccountStatus`) moves as follows. Until the account is destroyed it is *loaded* in
//! one of three ways, or, once touched, in memory if the block found it without nonce and code,
//! else changed; the first change decides, because neither state turns into the other: who has a
//! nonce or a code is not created. Once it is destroyed it is destroyed, destroyed again, or
//! destroyed and changed; the last one wherever it exists. It is *again* from its second
//! destruction on, or if a transaction created and destroyed it after the first one. So the status
//! after the block follows from what [`Net`] says. An account that steps touched and none changed
//! has an empty revert, and no part in the bundle. The rest is what
//! `BundleState::apply_transitions_and_create_reverts` does with an account that the bundle does
//! not have yet.

use crate::outcome::new_code;
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use revm::{
    bytecode::Bytecode,
    database::{
        AccountRevert, AccountStatus, BundleAccount, BundleState, RevertToSlot,
        StorageWithOriginalValues, TransitionAccount,
        states::{
            StorageSlot,
            reverts::{AccountInfoRevert, Reverts},
        },
    },
    state::AccountInfo,
};

/// What a block did to an account.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) before: Option<AccountInfo>,
    pub(crate) after: Option<AccountInfo>,
    /// The account was destroyed in the block, whatever followed.
    pub(crate) destroyed: bool,
    /// It was destroyed after it had been destroyed.
    pub(crate) again: bool,
}

impl Net {
    fn statuses(&self) -> (AccountStatus, AccountStatus) {
        let before = match &self.before {
            None => AccountStatus::LoadedNotExisting,
            Some(info) if info.is_empty() => AccountStatus::LoadedEmptyEIP161,
            Some(_) => AccountStatus::Loaded,
        };
        let plain = self.before.as_ref().is_none_or(AccountInfo::has_no_code_and_nonce);
        let after = match (self.destroyed, &self.after) {
            (true, Some(_)) => AccountStatus::DestroyedChanged,
            (true, None) if self.again => AccountStatus::DestroyedAgain,
            (true, None) => AccountStatus::Destroyed,
            (false, Some(_)) if plain => AccountStatus::InMemoryChange,
            (false, Some(_)) => AccountStatus::Changed,
            // It was not there, and still is not.
            (false, None) => before,
        };
        (before, after)
    }
}

/// An account's part of a bundle.
pub(crate) struct Part {
    address: Address,
    account: BundleAccount,
    revert: AccountRevert,
}

/// What the bundle has of an account, if anything. `slots` are those that `storage` of
/// [`crate::outcome::AccountChange`] lists, each with its value before the block; under
/// `destroyed` that is not looked at. `code` gives the codes that the block deployed.
pub(crate) fn account(
    address: Address,
    mut net: Net,
    slots: impl Iterator<Item = (U256, U256, U256)>,
    code: impl FnOnce(&B256) -> Option<Bytecode>,
) -> Option<Part> {
    let (previous_status, status) = net.statuses();
    let code = match new_code(net.before.as_ref(), net.after.as_ref()) {
        Some(hash) if hash == KECCAK256_EMPTY => Some(Bytecode::default()),
        Some(hash) => code(&hash),
        None => None,
    };
    if let Some(info) = &mut net.after {
        info.code = code;
    }
    let change = |(slot, before, after)| {
        let before = if net.destroyed { U256::ZERO } else { before };
        (slot, StorageSlot::new_changed(before, after))
    };
    let storage: StorageWithOriginalValues = slots.map(change).collect();
    let Net { before, after, destroyed, .. } = net;
    if destroyed || after.is_none() {
        let transition = TransitionAccount {
            info: after,
            status,
            previous_info: before,
            previous_status,
            storage,
            storage_was_destroyed: destroyed,
        };
        let account = transition.present_bundle_account();
        return transition.create_revert().map(|revert| Part { address, account, revert });
    }
    // The rule for all others, without revm's second copy of the storage.
    let revert = AccountRevert {
        account: match &before {
            None => AccountInfoRevert::DeleteIt,
            Some(info) if Some(info) != after.as_ref() => AccountInfoRevert::RevertTo(info.clone()),
            Some(_) => AccountInfoRevert::DoNothing,
        },
        storage: storage
            .iter()
            .map(|(slot, value)| (*slot, RevertToSlot::Some(value.previous_or_original_value)))
            .collect(),
        previous_status,
        wipe_storage: false,
    };
    let account = BundleAccount { info: after, original_info: before, storage, status };
    (!revert.is_empty()).then_some(Part { address, account, revert })
}

/// The bundle of one block.
pub(crate) fn bundle(count: usize, parts: impl Iterator<Item = Part>) -> BundleState {
    let mut bundle = BundleState::default();
    bundle.state.reserve(count);
    let mut reverts = Vec::with_capacity(count);
    for Part { address, account, revert } in parts {
        if let Some(info) = &account.info
            && let Some(code) = &info.code
        {
            bundle.contracts.insert(info.code_hash, code.clone());
        }
        bundle.state_size += account.size_hint();
        bundle.reverts_size += revert.size_hint();
        bundle.state.insert(address, account);
        reverts.push((address, revert));
    }
    bundle.reverts = Reverts::new(vec![reverts]);
    bundle
}
