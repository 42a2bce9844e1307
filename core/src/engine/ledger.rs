//! Committed state as a revm database with commit: what alloy-evm's block-level rules run on.
//!
//! Role: the pre-block system calls run on it as position 0, requests, withdrawals, rewards and the
//! DAO fork as the position after the last transaction.

use super::{
    reads::ReadSet,
    record::{WriteSet, drain},
    sink::{Sink, Step},
    tables::{Position, Stamp},
    view::{Lens, View, ViewError},
};
use crate::error::SourceError;
use alloy_primitives::{Address, B256, U256};
use revm::{
    Database, DatabaseCommit,
    bytecode::Bytecode,
    state::{Account, AccountId, AccountInfo, EvmState},
};
use std::cell::RefCell;

/// Reads committed state, writes committed state. Only while no worker commits.
pub(crate) struct Ledger<'v, 'b> {
    pub(crate) view: &'v mut View<'b>,
    sink: &'v mut Sink<'b>,
    position: Position,
    incarnation: u8,
    /// The first failed read: alloy-evm reports some of them as the block's fault.
    failure: &'v RefCell<Option<SourceError>>,
}

impl std::fmt::Debug for Ledger<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("position", &self.position).finish_non_exhaustive()
    }
}

impl<'v, 'b> Ledger<'v, 'b> {
    pub(crate) fn new(
        view: &'v mut View<'b>,
        sink: &'v mut Sink<'b>,
        position: Position,
        failure: &'v RefCell<Option<SourceError>>,
    ) -> Self {
        view.begin(Lens { position, ..Lens::default() }, ReadSet::default());
        Self { view, sink, position, incarnation: 0, failure }
    }

    fn note<T>(&self, answer: Result<T, ViewError>) -> Result<T, ViewError> {
        if let Err(ViewError::Source(error)) = &answer {
            self.failure.borrow_mut().get_or_insert_with(|| error.clone());
        }
        answer
    }
}

impl Database for Ledger<'_, '_> {
    type Error = ViewError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ViewError> {
        let answer = self.view.basic(address);
        self.note(answer)
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, ViewError> {
        let answer = self.view.code_by_hash(code_hash);
        self.note(answer)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ViewError> {
        let answer = self.view.storage(address, slot);
        self.note(answer)
    }

    fn storage_by_account_id(
        &mut self,
        address: Address,
        account_id: AccountId,
        slot: U256,
    ) -> Result<U256, ViewError> {
        let answer = self.view.storage_by_account_id(address, account_id, slot);
        self.note(answer)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ViewError> {
        let answer = self.view.block_hash(number);
        self.note(answer)
    }
}

impl DatabaseCommit for Ledger<'_, '_> {
    fn commit(&mut self, changes: alloy_primitives::map::AddressMap<Account>) {
        let mut state: EvmState = changes;
        self.incarnation = self.incarnation.saturating_add(1);
        let stamp = Stamp::new(self.position, self.incarnation);
        let mut writes = WriteSet::default();
        // Every account in `changes` was read through this view, so nothing is read here again.
        let drained = drain(self.view, &mut state, true, &mut writes);
        if let Err(ViewError::Source(error)) = drained {
            self.failure.borrow_mut().get_or_insert(error);
        }
        writes.commit(&self.view.tables, stamp);
        if self.sink.wants_state() {
            state.values_mut().for_each(|account| account.info.account_id = None);
            let step = if self.position == 0 { Step::PreBlock } else { Step::PostBlock };
            self.sink.commit(step, None, state);
        }
        self.view.begin(Lens { position: self.position, ..Lens::default() }, ReadSet::default());
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{output, parent::Parent, tables::Shelf},
        *,
    };
    use crate::{
        block::Block,
        pool::alone,
        sequential::PlainLedger,
        source::{MemoryState, StateSource},
        splitmix::SplitMix64,
        sync::atomic::AtomicBool,
        tally::{self, CanonicalState},
    };
    use alloy_primitives::KECCAK256_EMPTY;
    use revm::{
        database::{AccountRevert, BundleState, states::bundle_state::BundleRetention},
        state::{EvmStorageSlot, TransactionId},
    };
    use std::collections::{BTreeMap, BTreeSet};

    const ACCOUNTS: u8 = 6;
    const SLOTS: u64 = 4;

    fn address(of: u8) -> Address {
        Address::repeat_byte(of + 1)
    }

    /// A contract, an empty account, one that only has a balance, one with a nonce; the others are
    /// missing.
    fn state() -> MemoryState {
        let mut state = MemoryState::default();
        let code = Bytecode::new_raw(vec![1].into());
        let contract = AccountInfo::default().with_nonce(1).with_code(code);
        let balance = AccountInfo::default().with_balance(U256::from(3));
        let sender = balance.clone().with_nonce(7);
        for (of, info) in (0..).zip([contract, AccountInfo::default(), balance, sender]) {
            state.insert_account(address(of), info);
        }
        for slot in 0..SLOTS / 2 {
            state.insert_storage(address(0), U256::from(slot), U256::from(7)).unwrap();
        }
        state
    }

    /// What a random transaction leaves of an account, as revm's journal would.
    fn touched<DB: Database>(db: &mut DB, at: Address, random: &mut SplitMix64) -> Account
    where
        DB::Error: std::fmt::Debug,
    {
        let before = db.basic(at).unwrap();
        let plain = before.as_ref().is_none_or(AccountInfo::has_no_code_and_nonce);
        let mut account = match before {
            Some(info) => Account::from(info),
            None => Account::new_not_existing(TransactionId::ZERO),
        };
        account.mark_touch();
        let created = plain && random.below(2) == 0;
        match random.below(6) {
            0 => {}
            1 if created => {
                account.mark_created();
                account.mark_selfdestruct();
                return account;
            }
            2 if !plain => {
                account.mark_selfdestruct();
                return account;
            }
            3 => account.info.balance = U256::ZERO,
            _ if created => {
                account.mark_created();
                account.info.nonce = 1;
                let code = match random.below(3) {
                    0 => Bytecode::default(),
                    kind => Bytecode::new_raw(vec![9, kind as u8].into()),
                };
                account.info.set_code_and_hash(code.clone(), code.hash_slow());
            }
            _ => account.info.balance += U256::from(random.below(2)),
        }
        if account.info.code_hash != KECCAK256_EMPTY || account.is_created() {
            for _ in 0..random.below(3) {
                let slot = U256::from(random.below(SLOTS));
                let fresh = account.is_created();
                let old = if fresh { U256::ZERO } else { db.storage(at, slot).unwrap() };
                let new = U256::from(random.below(3));
                let value = EvmStorageSlot::new_changed(old, new, TransactionId::ZERO);
                account.storage.insert(slot, value);
            }
        }
        account
    }

    fn step<DB>(db: &mut DB, random: &mut SplitMix64) -> EvmState
    where
        DB: Database,
        DB::Error: std::fmt::Debug,
    {
        let mut state = EvmState::default();
        for _ in 0..=random.below(2) {
            let at = address(random.below(ACCOUNTS.into()) as u8);
            state.insert(at, touched(db, at, random));
        }
        state
    }

    /// What the canonical state has, sorted.
    fn taken(mut canonical: CanonicalState) -> BundleState {
        canonical.merge_transitions(BundleRetention::Reverts);
        canonical.take_bundle()
    }

    fn assert_same(what: &str, expected: &BundleState, actual: &BundleState) {
        let sorted = |bundle: &BundleState| -> Vec<BTreeMap<Address, AccountRevert>> {
            bundle.reverts.iter().map(|block| block.iter().cloned().collect()).collect()
        };
        assert_eq!(expected.state, actual.state, "{what}: state");
        assert_eq!(sorted(expected), sorted(actual), "{what}: reverts");
        assert_eq!(expected.contracts, actual.contracts, "{what}: contracts");
        assert_eq!(expected.state_size, actual.state_size, "{what}: state size");
        assert_eq!(expected.reverts_size, actual.reverts_size, "{what}: reverts size");
    }

    #[test]
    fn a_bundle_from_net_changes_is_what_revm_makes_of_every_step() {
        let source = state();
        let mut statuses = BTreeSet::new();
        for seed in 0..20_000 {
            let (mut random, failure) = (SplitMix64(seed), RefCell::new(None));
            let canonical = tally::canonical(true, false);
            let mut plain = PlainLedger::new(source.reader().unwrap(), canonical, &failure);
            let tables = Shelf::default().begin(&Block::default());
            let stop = AtomicBool::new(false);
            let mut view = View::new(tables.clone(), Parent::Source(&source), &stop);
            let mut sink = Sink::default();
            for position in 1..random.below(10) as Position + 2 {
                let mut state = step(&mut plain, &mut random);
                plain.commit(state.clone());
                state.values_mut().for_each(|account| {
                    account.info.account_id = None;
                    account.original_info_mut().account_id = None;
                });
                let mut ledger = Ledger::new(&mut view, &mut sink, position, &failure);
                for (at, account) in &state {
                    ledger.basic(*at).unwrap();
                    // Who writes a slot has read it, unless the account is new.
                    for slot in account.storage.keys().filter(|_| !account.is_created()) {
                        ledger.storage(*at, *slot).unwrap();
                    }
                }
                ledger.commit(state);
            }
            assert!(failure.borrow().is_none());
            let expected = taken(plain.canonical.take().unwrap());
            statuses.extend(expected.state.values().map(|account| account.status));
            let bundle = output::bundle(&tables, &mut alone);
            assert_same(&format!("seed {seed}, engine"), &expected, &bundle);
            assert_same(&format!("seed {seed}, bare"), &expected, &plain.into_bundle());
        }
        assert_eq!(statuses.len(), 5, "every status that a bundle can have: {statuses:?}");
    }
}
