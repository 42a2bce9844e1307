//! The plain committed layer of bare execution: no versions, no locks, no log.
//!
//! Invariants: an account's storage lives under its index, which revm hands back with each slot, so
//! that no address is hashed twice; `storage_known` follows the rule of revm's `State` (see the
//! engine's tables); each location is read from the source once.

use crate::{
    bundle,
    error::SourceError,
    outcome::{AccountChange, StateChanges, in_order},
    source::StateReader,
    tally::{CanonicalState, touch_beneficiary},
};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256, map::AddressMap};
use revm::{
    Database, DatabaseCommit,
    bytecode::Bytecode,
    database::BundleState,
    state::{Account, AccountId, AccountInfo, EvmState},
};
use std::{cell::RefCell, collections::HashMap};

type Seeded = foldhash::fast::RandomState;

#[derive(Debug, Clone, Copy)]
struct Slot {
    base: U256,
    now: U256,
}

#[derive(Debug)]
struct Entry {
    address: Address,
    base: Option<AccountInfo>,
    now: Option<AccountInfo>,
    storage: HashMap<U256, Slot, Seeded>,
    written: bool,
    wiped: bool,
    /// Destroyed after it was destroyed.
    again: bool,
    storage_known: bool,
}

/// Committed state over a reader.
pub(crate) struct PlainLedger<'a> {
    reader: Box<dyn StateReader + 'a>,
    index: AddressMap<u32>,
    entries: Vec<Entry>,
    codes: HashMap<B256, Bytecode, Seeded>,
    block_hashes: HashMap<u64, B256, Seeded>,
    pub(crate) canonical: Option<CanonicalState>,
    /// The first failed read: alloy-evm reports some of them as the block's fault.
    failure: &'a RefCell<Option<SourceError>>,
}

impl std::fmt::Debug for PlainLedger<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlainLedger").field("accounts", &self.entries.len()).finish_non_exhaustive()
    }
}

impl<'a> PlainLedger<'a> {
    pub(crate) fn new(
        reader: Box<dyn StateReader + 'a>,
        canonical: Option<CanonicalState>,
        failure: &'a RefCell<Option<SourceError>>,
    ) -> Self {
        Self {
            reader,
            index: AddressMap::default(),
            entries: Vec::new(),
            codes: HashMap::default(),
            block_hashes: HashMap::default(),
            canonical,
            failure,
        }
    }

    fn entry(&mut self, address: Address) -> Result<usize, SourceError> {
        if let Some(id) = self.index.get(&address) {
            return Ok(*id as usize);
        }
        let read = self.reader.account(address);
        let base = self.note(read)?;
        let id = self.entries.len();
        self.index.insert(address, id as u32);
        self.entries.push(Entry {
            address,
            now: base.clone(),
            base: base.map(|info| AccountInfo { code: None, account_id: None, ..info }),
            storage: HashMap::default(),
            written: false,
            wiped: false,
            again: false,
            storage_known: false,
        });
        Ok(id)
    }

    fn note<T>(&self, answer: Result<T, SourceError>) -> Result<T, SourceError> {
        if let Err(error) = &answer {
            self.failure.borrow_mut().get_or_insert_with(|| error.clone());
        }
        answer
    }

    fn slot(&mut self, id: usize, slot: U256) -> Result<U256, SourceError> {
        let Some(entry) = self.entries.get(id) else { return Ok(U256::ZERO) };
        if let Some(value) = entry.storage.get(&slot) {
            return Ok(value.now);
        }
        if entry.now.is_none() || entry.wiped || entry.storage_known {
            return Ok(U256::ZERO);
        }
        let read = self.reader.storage(entry.address, slot);
        let base = self.note(read)?;
        self.entries[id].storage.insert(slot, Slot { base, now: base });
        Ok(base)
    }

    /// Adds a deferred reward, as the engine's commit does. Returns the account before and after.
    pub(crate) fn pay(
        &mut self,
        address: Address,
        reward: U256,
        eip161: bool,
    ) -> Result<(Option<AccountInfo>, AccountInfo), SourceError> {
        let id = self.entry(address)?;
        let entry = &mut self.entries[id];
        let before = entry.now.clone();
        let mut info = before.clone().unwrap_or_default();
        // As revm's journal: a reward that would overflow is not paid.
        info.balance = info.balance.checked_add(reward).unwrap_or(info.balance);
        let after = info.clone();
        if info.is_empty() && eip161 {
            if before.is_some() {
                entry.destroy();
            }
        } else if before.as_ref() != Some(&info) {
            entry.change(info);
        }
        Ok((before, after))
    }

    /// Hands one transaction to revm's own state, where there is one.
    pub(crate) fn canonicalise(
        &mut self,
        state: &EvmState,
        paid: Option<(Address, Option<AccountInfo>, AccountInfo)>,
        eip161: bool,
    ) {
        let Some(canonical) = &mut self.canonical else { return };
        canonical.bump_bal_index();
        let mut state = foreign(state);
        if let Some((beneficiary, before, after)) = paid {
            touch_beneficiary(&mut state, beneficiary, before, after, eip161);
        }
        canonical.commit(state);
    }

    /// Commits the journal's accounts and empties the map, keeping its capacity. Before EIP-161
    /// the journal has normalised them.
    pub(crate) fn absorb(&mut self, state: &mut EvmState) -> Result<(), SourceError> {
        for (address, account) in state.drain() {
            self.absorb_account(address, account)?;
        }
        Ok(())
    }

    fn absorb_account(&mut self, address: Address, account: Account) -> Result<(), SourceError> {
        if !account.is_touched() {
            return Ok(());
        }
        let id = match account.info.account_id {
            Some(id) => id.get(),
            None => self.entry(address)?,
        };
        let entry = &mut self.entries[id];
        if account.is_selfdestructed() || (account.is_empty() && !account.is_created()) {
            if entry.now.is_some() {
                entry.destroy();
            } else {
                // Created and destroyed by one transaction, after another had destroyed it.
                entry.again |= entry.wiped && account.is_selfdestructed();
            }
            return Ok(());
        }
        for (slot, value) in &account.storage {
            if value.is_changed() {
                let known = entry.wiped || entry.base.is_none();
                let base = if known { U256::ZERO } else { value.original_value };
                entry.storage.entry(*slot).or_insert(Slot { base, now: base }).now =
                    value.present_value;
                entry.written = true;
            }
        }
        let created = account.is_created();
        if !created && entry.now.as_ref() == Some(&account.info) {
            // The journal may have loaded the code; keep it for the next transaction.
            entry.now = Some(account.info);
            return Ok(());
        }
        let info = account.info;
        if let Some(code) = &info.code
            && entry.now.as_ref().map(|now| now.code_hash) != Some(info.code_hash)
            && info.code_hash != KECCAK256_EMPTY
        {
            self.codes.insert(info.code_hash, code.clone());
        }
        let entry = &mut self.entries[id];
        entry.change(info);
        entry.storage_known |= created;
        Ok(())
    }

    /// The bundle of the block.
    pub(crate) fn into_bundle(self) -> BundleState {
        let codes = self.codes;
        let code = |hash: &B256| codes.get(hash).cloned();
        let written = self.entries.into_iter().filter(|entry| entry.written);
        let parts: Vec<_> = written.filter_map(|entry| entry.part(code)).collect();
        bundle::bundle(parts.len(), parts.into_iter())
    }

    /// The net changes of the block.
    pub(crate) fn into_changes(mut self) -> StateChanges {
        let written = self.entries.iter_mut().filter(|entry| entry.written);
        let entries = in_order(written.map(|entry| (entry.address, entry)));
        let mut changes = StateChanges::default();
        changes.accounts.reserve_exact(entries.len());
        for (address, entry) in entries {
            let wiped = entry.wiped && entry.base.is_some();
            let mut storage: Vec<(U256, U256)> = Vec::new();
            if entry.now.is_some() {
                let changed = |slot: &Slot| {
                    if wiped { !slot.now.is_zero() } else { slot.now != slot.base }
                };
                let written = entry.storage.iter().filter(|(_, slot)| changed(slot));
                storage.extend(written.map(|(key, slot)| (*key, slot.now)));
                storage.sort_unstable();
            }
            let now = entry.now.take();
            let after = now.map(|info| AccountInfo { code: None, account_id: None, ..info });
            let before = entry.base.take();
            changes.push(AccountChange { address, before, after, wiped, storage });
        }
        if !self.codes.is_empty() {
            let codes = changes.accounts.iter().filter_map(AccountChange::new_code).collect();
            changes.set_codes(codes, |hash| self.codes.get(hash).cloned());
        }
        changes
    }
}

impl Entry {
    fn destroy(&mut self) {
        self.again |= self.wiped;
        self.now = None;
        self.wiped = true;
        self.written = true;
        self.storage.values_mut().for_each(|slot| slot.now = U256::ZERO);
    }

    /// The account's part of the bundle.
    fn part(self, code: impl FnOnce(&B256) -> Option<Bytecode>) -> Option<bundle::Part> {
        let Self { address, base, now, storage, wiped, again, .. } = self;
        let after = now.map(|info| AccountInfo { code: None, account_id: None, ..info });
        let there = after.is_some();
        let net = bundle::Net { before: base, after, destroyed: wiped, again };
        let changed = |(_, slot): &(U256, Slot)| {
            there && if wiped { !slot.now.is_zero() } else { slot.now != slot.base }
        };
        let slots =
            storage.into_iter().filter(changed).map(|(key, slot)| (key, slot.base, slot.now));
        bundle::account(address, net, slots, code)
    }

    fn change(&mut self, info: AccountInfo) {
        self.storage_known |= self.now.as_ref().is_none_or(AccountInfo::has_no_code_and_nonce);
        self.now = Some(info);
        self.written = true;
    }
}

impl Database for PlainLedger<'_> {
    type Error = SourceError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        let id = self.entry(address)?;
        let info = self.entries[id].now.clone();
        Ok(info.map(|info| AccountInfo { account_id: AccountId::new(id), ..info }))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, SourceError> {
        if let Some(code) = self.codes.get(&code_hash) {
            return Ok(code.clone());
        }
        let read = self.reader.code(code_hash);
        let code = self.note(read)?;
        self.codes.insert(code_hash, code.clone());
        Ok(code)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        let id = self.entry(address)?;
        self.slot(id, slot)
    }

    fn storage_by_account_id(
        &mut self,
        _address: Address,
        account_id: AccountId,
        slot: U256,
    ) -> Result<U256, SourceError> {
        self.slot(account_id.get(), slot)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        if let Some(hash) = self.block_hashes.get(&number) {
            return Ok(*hash);
        }
        let read = self.reader.block_hash(number);
        let hash = self.note(read)?;
        self.block_hashes.insert(number, hash);
        Ok(hash)
    }
}

impl DatabaseCommit for PlainLedger<'_> {
    fn commit(&mut self, mut changes: AddressMap<Account>) {
        if let Some(canonical) = &mut self.canonical {
            canonical.commit(foreign(&changes));
        }
        if let Err(error) = self.absorb(&mut changes) {
            self.failure.borrow_mut().get_or_insert(error);
        }
    }
}

/// The accounts without this ledger's indices, which mean nothing elsewhere.
fn foreign(state: &AddressMap<Account>) -> AddressMap<Account> {
    let mut state = state.clone();
    for account in state.values_mut() {
        account.info.account_id = None;
        account.original_info_mut().account_id = None;
    }
    state
}
