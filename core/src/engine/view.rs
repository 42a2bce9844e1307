//! The state as one transaction sees it: a revm database over the multi-version tables.
//!
//! Role: answer with the newest version below the transaction's position, else with the base value;
//! log every answer, so that it can be validated when its turn comes.
//!
//! Invariants: one look-up per account and execution (revm's journal keeps what it loaded), so that
//! balance, nonce, code hash and code belong together; a missing account is `None`; storage of a
//! missing, destroyed or newly created account never asks the source.

use super::tables::{AccountValue, BaseAccount, Position, Stamp, Tables};
use crate::{
    error::Location,
    source::{SourceError, StateReader},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use revm::{
    Database,
    bytecode::Bytecode,
    database_interface::DBErrorMarker,
    state::{AccountId, AccountInfo},
};

/// An account read: what was seen, under which stamp.
#[derive(Debug, Clone)]
pub(crate) struct AccountRead {
    pub(crate) id: u32,
    pub(crate) stamp: Stamp,
    /// Without code.
    pub(crate) value: AccountValue,
}

/// A storage read: what was seen, under which stamp.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotRead {
    pub(crate) account: u32,
    pub(crate) id: u32,
    pub(crate) stamp: Stamp,
    pub(crate) value: U256,
}

/// Everything one execution read.
#[derive(Debug, Default)]
pub(crate) struct ReadSet {
    pub(crate) accounts: Vec<AccountRead>,
    pub(crate) slots: Vec<SlotRead>,
}

/// Why a read gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ViewError {
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The block is being abandoned.
    #[error("stopped")]
    Stopped,
}

impl DBErrorMarker for ViewError {}

/// One worker's window on the tables.
pub(crate) struct View<'b> {
    pub(crate) tables: &'b Tables,
    reader: Option<Box<dyn StateReader + 'b>>,
    source: &'b dyn crate::StateSource,
    stop: &'b AtomicBool,
    position: Position,
    pub(crate) reads: ReadSet,
    /// Account index to (run, place in `reads.accounts`).
    seen: Vec<(u32, u32)>,
    run: u32,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("position", &self.position).finish_non_exhaustive()
    }
}

impl<'b> View<'b> {
    pub(crate) fn new(
        tables: &'b Tables,
        source: &'b dyn crate::StateSource,
        stop: &'b AtomicBool,
    ) -> Self {
        Self {
            tables,
            reader: None,
            source,
            stop,
            position: 0,
            reads: ReadSet::default(),
            seen: Vec::new(),
            run: 0,
        }
    }

    /// Starts a new execution: the log is empty, versions below `position` are visible.
    pub(crate) fn begin(&mut self, position: Position, reads: ReadSet) {
        self.position = position;
        self.reads = reads;
        self.reads.accounts.clear();
        self.reads.slots.clear();
        self.run += 1;
    }

    /// Where in the block this execution stands.
    pub(crate) const fn position(&self) -> Position {
        self.position
    }

    /// What this execution saw of an account, if it looked.
    pub(crate) fn seen(&self, id: u32) -> Option<&AccountRead> {
        let (run, place) = *self.seen.get(id as usize)?;
        if run == self.run { self.reads.accounts.get(place as usize) } else { None }
    }

    fn reader(&mut self) -> Result<&mut (dyn StateReader + 'b), SourceError> {
        if self.reader.is_none() {
            self.reader = Some(self.source.reader()?);
        }
        self.reader.as_deref_mut().ok_or_else(|| SourceError::new(Location::Reader, "no reader"))
    }

    fn base_account(&mut self, id: u32, address: Address) -> Result<&'b BaseAccount, ViewError> {
        let cell = self.tables.account(id);
        if let Some(base) = cell.known_base() {
            return Ok(base);
        }
        let reader = self.reader()?;
        let read = || {
            let mut info = reader.account(address)?;
            let code = OnceLock::new();
            if let Some(info) = &mut info {
                info.account_id = None;
                if let Some(bytes) = info.code.take() {
                    let _first = code.set(bytes);
                }
            }
            Ok::<_, SourceError>(BaseAccount { info, code })
        };
        Ok(cell.base(read)?)
    }

    /// The newest value below the position, with its stamp; code left out.
    pub(crate) fn account(
        &mut self,
        id: u32,
        address: Address,
    ) -> Result<(Stamp, AccountValue), ViewError> {
        if let Some(version) = self.tables.account(id).below(self.position) {
            return Ok(version);
        }
        let info = self.base_account(id, address)?.info.clone();
        Ok((Stamp::BASE, AccountValue { info, ..AccountValue::default() }))
    }

    fn note(&mut self, read: AccountRead) {
        let id = read.id as usize;
        if id >= self.seen.len() {
            self.seen.resize(self.tables.account_count().max(id + 1), (0, 0));
        }
        self.seen[id] = (self.run, self.reads.accounts.len() as u32);
        self.reads.accounts.push(read);
    }

    fn slot(&mut self, account: u32, address: Address, slot: U256) -> Result<U256, ViewError> {
        self.check_stop()?;
        if self.seen(account).is_none() {
            // revm loads an account before its storage; should it ever not, the read that this
            // answer depends on is logged all the same.
            let (stamp, value) = self.account(account, address)?;
            self.note(AccountRead { id: account, stamp, value });
        }
        let (wiped, known) = match self.seen(account) {
            Some(AccountRead { value, .. }) if value.info.is_some() => {
                (value.wiped, value.storage_known)
            }
            // A missing account has no storage, and the validated account read says so.
            _ => return Ok(U256::ZERO),
        };
        let id = self.tables.slot_id(account, &slot);
        let cell = self.tables.slot(id);
        let (stamp, value) = match cell.below(self.position) {
            Some((stamp, value)) if stamp.position() >= wiped => (stamp, value),
            Some((stamp, _)) => (stamp, U256::ZERO),
            None if wiped > 0 || known => (Stamp::BASE, U256::ZERO),
            None => {
                let base = match cell.known_base() {
                    Some(base) => base,
                    None => {
                        let reader = self.reader()?;
                        cell.base(|| reader.storage(address, slot))?
                    }
                };
                (Stamp::BASE, *base)
            }
        };
        self.reads.slots.push(SlotRead { account, id, stamp, value });
        Ok(value)
    }

    fn check_stop(&self) -> Result<(), ViewError> {
        if self.stop.load(Ordering::Relaxed) { Err(ViewError::Stopped) } else { Ok(()) }
    }
}

impl Database for View<'_> {
    type Error = ViewError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ViewError> {
        self.check_stop()?;
        let id = self.tables.account_id(&address);
        let (stamp, AccountValue { info, wiped, storage_known }) = self.account(id, address)?;
        let Some(mut info) = info else {
            let value = AccountValue { info: None, wiped, storage_known };
            self.note(AccountRead { id, stamp, value });
            return Ok(None);
        };
        let code = info.code.take();
        let value = AccountValue { info: Some(info.clone()), wiped, storage_known };
        self.note(AccountRead { id, stamp, value });
        info.account_id = AccountId::new(id as usize);
        info.code = code;
        if info.code.is_none() && info.code_hash != KECCAK256_EMPTY {
            let base = self.tables.account(id).known_base().filter(|base| {
                base.info.as_ref().is_some_and(|base| base.code_hash == info.code_hash)
            });
            info.code = base.and_then(|base| base.code.get().cloned());
        }
        Ok(Some(info))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, ViewError> {
        self.check_stop()?;
        let tables = self.tables;
        let reader = self.reader()?;
        let code = tables.code_or_read(&code_hash, || reader.code(code_hash))?;
        let wants = |read: &&AccountRead| {
            read.value.info.as_ref().is_some_and(|info| info.code_hash == code_hash)
        };
        // The account that asks was loaded last, or nearly so.
        if let Some(read) = self.reads.accounts.iter().rev().take(8).find(wants)
            && let Some(base) = tables.account(read.id).known_base()
            && base.info.as_ref().is_some_and(|info| info.code_hash == code_hash)
        {
            let _known = base.code.set(code.clone());
        }
        Ok(code)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ViewError> {
        let account = self.tables.account_id(&address);
        self.slot(account, address, slot)
    }

    fn storage_by_account_id(
        &mut self,
        address: Address,
        account_id: AccountId,
        slot: U256,
    ) -> Result<U256, ViewError> {
        self.slot(account_id.get() as u32, address, slot)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ViewError> {
        self.check_stop()?;
        let tables = self.tables;
        let reader = self.reader()?;
        Ok(tables.block_hash(number, || reader.block_hash(number))?)
    }
}
