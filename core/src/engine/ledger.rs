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
