//! What one execution of a transaction leaves behind: its result, its reads, its writes.
//!
//! The write set is derived from the journal's accounts in one place, [`drain`], by the same rules
//! by which revm's `State` commits them (`CacheState::apply_account_state`).

use super::{
    tables::{AccountValue, Position},
    view::{ReadSet, View, ViewError},
};
use alloy_primitives::{Address, U256};
use revm::{
    context::result::ExecutionResult,
    state::{Account, AccountInfo, EvmState},
};

/// Writes of one transaction, in the order of the journal; applied per location, so that the
/// order never shows.
#[derive(Debug, Default)]
pub(crate) struct WriteSet {
    pub(crate) accounts: Vec<(u32, AccountValue)>,
    pub(crate) slots: Vec<(u32, U256)>,
}

impl WriteSet {
    pub(crate) fn clear(&mut self) {
        self.accounts.clear();
        self.slots.clear();
    }
}

/// One execution, ready to be validated and committed.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) result: ExecutionResult,
    pub(crate) reads: ReadSet,
    pub(crate) writes: WriteSet,
    /// The beneficiary's reward where it is not in `writes`.
    pub(crate) reward: Option<U256>,
    /// The journal's accounts, for a sink that wants them.
    pub(crate) state: Option<EvmState>,
}

/// Fills `writes` from the journal's accounts. With `keep` the accounts stay in `state`, else it
/// is emptied with its capacity kept.
pub(crate) fn drain(
    view: &mut View<'_>,
    state: &mut EvmState,
    keep: bool,
    writes: &mut WriteSet,
) -> Result<(), ViewError> {
    let position = view.position();
    if keep {
        for (address, account) in state.iter_mut() {
            write_account(view, position, *address, account, writes)?;
            account.info.account_id = None;
            account.original_info_mut().account_id = None;
        }
        return Ok(());
    }
    for (address, account) in state.drain() {
        write_account(view, position, address, &account, writes)?;
    }
    Ok(())
}

fn write_account(
    view: &mut View<'_>,
    position: Position,
    address: Address,
    account: &Account,
    writes: &mut WriteSet,
) -> Result<(), ViewError> {
    if !account.is_touched() {
        return Ok(());
    }
    let id = match account.info.account_id {
        Some(id) => id.get() as u32,
        None => view.tables.account_id(&address),
    };
    let looked_up;
    let before = match view.seen(id) {
        Some(read) => &read.value,
        None => {
            looked_up = view.account(id, address)?.1;
            &looked_up
        }
    };
    let gone = account.is_selfdestructed() || (account.is_empty() && !account.is_created());
    if gone {
        if before.info.is_some() {
            let value = AccountValue { info: None, wiped: position, storage_known: true };
            writes.accounts.push((id, value));
        }
        return Ok(());
    }
    for (slot, value) in &account.storage {
        if value.is_changed() {
            writes.slots.push((view.tables.slot_id(id, slot), value.present_value));
        }
    }
    if before.info.as_ref() == Some(&account.info) && !account.is_created() {
        return Ok(());
    }
    if let Some(code) = &account.info.code
        && before.info.as_ref().map(|info| info.code_hash) != Some(account.info.code_hash)
        && !account.info.is_empty_code_hash()
    {
        view.tables.add_code(account.info.code_hash, code.clone());
    }
    let storage_known = before.storage_known
        || account.is_created()
        || before.info.as_ref().is_none_or(AccountInfo::has_no_code_and_nonce);
    let info = AccountInfo { account_id: None, ..account.info.clone() };
    writes
        .accounts
        .push((id, AccountValue { info: Some(info), wiped: before.wiped, storage_known }));
    Ok(())
}
