//! The state as one transaction sees it: a revm database over the multi-version tables.
//!
//! Role: answer with the newest version below the transaction's position, else with the base value,
//! which is read from the parent state once; while that is not final ([`super::parent`]), with a
//! prediction of it, kept nowhere but in the log. Log every answer, and which of its fields the
//! execution depends on, so that it can be validated when its turn comes ([`super::soft`] has the
//! rules).
//!
//! Invariants: one look-up per account and execution (revm's journal keeps what it loaded), so that
//! balance, nonce, code hash and code belong together; a missing account is `None`; storage of a
//! missing, destroyed or newly created account never asks the source.

mod observe;

use super::{
    evm::Observe as _,
    hot::is_wallet,
    listed::{Listed, Span},
    parent::Parent,
    prefetch::{Part, Place},
    reads::{AccountRead, ReadSet, SlotRead},
    runahead::Scout,
    soft::HUGE,
    tables::{AccountValue, Position, Reserve, Stamp, Tables},
};
use crate::{
    source::{SourceError, StateReader, once},
    sync::atomic::{AtomicBool, Ordering},
};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use revm::{
    Database,
    bytecode::Bytecode,
    database_interface::DBErrorMarker,
    state::{AccountId, AccountInfo},
};
use std::sync::Arc;

/// How an execution looks at the state.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lens {
    /// Versions of lower positions are visible.
    pub(crate) position: Position,
    /// Accounts may be read softly.
    pub(crate) soft: bool,
    /// Accounts that many payments share are looked at as the parent state has them
    /// ([`super::hot`]). Only for runs that are validated.
    pub(crate) apart: bool,
    /// The sender and the nonce that the transaction claims: shown instead of the nonce that the
    /// tables have, which may be of a time before the sender's previous transaction.
    pub(crate) predicted: Option<(Address, u64)>,
    /// Where it is set, what the block's access list claims is visible too, if it is newer than
    /// this committed position. Only for runs that are validated.
    pub(crate) listed: Option<Position>,
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
    pub(crate) tables: Arc<Tables>,
    reserve: Reserve,
    reader: Option<Box<dyn StateReader + 'b>>,
    parent: Parent<'b>,
    stop: &'b AtomicBool,
    listed: Option<&'b Listed>,
    lens: Lens,
    pub(crate) reads: ReadSet,
    /// What becomes of reads that nobody has made before.
    pub(crate) scout: Scout,
    /// Place of the sender's read, once it was loaded softly.
    sender: Option<usize>,
    /// Account index to (run, place in `reads.accounts`).
    seen: Vec<(u32, u32)>,
    run: u32,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("lens", &self.lens).finish_non_exhaustive()
    }
}

impl<'b> View<'b> {
    pub(crate) fn new(tables: Arc<Tables>, parent: Parent<'b>, stop: &'b AtomicBool) -> Self {
        Self {
            tables,
            reserve: Reserve::default(),
            reader: None,
            parent,
            stop,
            listed: None,
            lens: Lens::default(),
            reads: ReadSet::default(),
            scout: Scout::default(),
            sender: None,
            seen: Vec::new(),
            run: 0,
        }
    }

    /// The same with an access list, for runs that ask for it.
    pub(crate) const fn with_list(mut self, listed: Option<&'b Listed>) -> Self {
        self.listed = listed;
        self
    }

    /// Starts a new execution with an empty log, whose memory `reads` lends. It
    /// waits for all of its reads, unless the scout is then told otherwise.
    pub(crate) fn begin(&mut self, lens: Lens, reads: ReadSet) {
        self.lens = lens;
        self.reads = reads;
        self.reads.clear();
        self.sender = None;
        self.run += 1;
    }

    /// Where in the block this execution stands.
    pub(crate) const fn position(&self) -> Position {
        self.lens.position
    }

    /// The place in the log of what this execution saw of an account, if it looked.
    pub(crate) fn seen(&self, id: u32) -> Option<usize> {
        let (run, place) = *self.seen.get(id as usize)?;
        (run == self.run).then_some(place as usize)
    }

    /// The account's index in the tables.
    pub(crate) fn account_id(&mut self, address: &Address) -> u32 {
        self.tables.account_id_in(&mut self.reserve, address)
    }

    /// The slot's index in the tables.
    pub(crate) fn slot_id(&mut self, account: u32, slot: &U256) -> u32 {
        self.tables.slot_id_in(&mut self.reserve, account, slot)
    }

    /// The account in the parent state; a prediction of it while the parent is not final, or where
    /// the run goes on without.
    fn base_account(
        &mut self,
        id: u32,
        address: Address,
    ) -> Result<(Stamp, AccountValue), ViewError> {
        if let Some(base) = self.tables.account(id).known_base() {
            return Ok((Stamp::BASE, base));
        }
        if self.parent.is_final() && self.scout.skips_account(id, address)? {
            return Ok((Stamp::PREDICTED, AccountValue::MISSING));
        }
        self.read_account(id, address)
    }

    /// The same, read if nobody has read it yet.
    fn read_account(
        &mut self,
        id: u32,
        address: Address,
    ) -> Result<(Stamp, AccountValue), ViewError> {
        let cell = self.tables.account(id);
        if let Some(base) = cell.known_base() {
            return Ok((Stamp::BASE, base));
        }
        // Asked before the read: an answer that was begun on a final parent is final.
        let is_final = self.parent.is_final();
        let reader = once(&mut self.reader, || self.parent.reader())?;
        if is_final {
            return Ok((Stamp::BASE, cell.base(|| reader.account(address))?));
        }
        let info = reader.account(address)?;
        self.reads.early = true;
        Ok((Stamp::PREDICTED, AccountValue::new(info.as_ref())))
    }

    /// The slot in the parent state; a prediction of it while the parent is not final.
    fn base_slot(
        &mut self,
        id: u32,
        address: Address,
        slot: U256,
    ) -> Result<(Stamp, U256), ViewError> {
        let cell = self.tables.slot(id);
        if let Some(base) = cell.known_base() {
            return Ok((Stamp::BASE, base));
        }
        let is_final = self.parent.is_final();
        if is_final {
            let (account, _) = cell.key();
            let wanted = Place { id: account, address, part: Part::Slot(slot) };
            if let Some(guess) = self.scout.skips_slot(wanted, &self.reads)? {
                return Ok((Stamp::PREDICTED, guess));
            }
        }
        let reader = once(&mut self.reader, || self.parent.reader())?;
        if is_final {
            return Ok((Stamp::BASE, cell.base(|| reader.storage(address, slot))?));
        }
        let value = reader.storage(address, slot)?;
        self.reads.early = true;
        Ok((Stamp::PREDICTED, value))
    }

    /// Fills the base values that early reads are compared with. The parent is final.
    pub(crate) fn learn(&mut self, reads: &ReadSet) -> Result<(), ViewError> {
        let tables = self.tables.clone();
        let early = |stamp, committed| stamp == Stamp::PREDICTED && committed == Stamp::BASE;
        for read in &reads.accounts {
            let cell = tables.account(read.id);
            if early(read.stamp, cell.chain.committed_stamp()) {
                self.base_account(read.id, cell.address())?;
            }
        }
        for read in &reads.slots {
            let cell = tables.slot(read.id);
            if early(read.stamp, cell.chain.committed_stamp()) {
                let (account, slot) = cell.key();
                self.base_slot(read.id, tables.account(account).address(), slot)?;
            }
        }
        Ok(())
    }

    /// Fills the base values of accounts that are going to be read, until a read fails.
    pub(crate) fn read_together(&mut self, addresses: impl Iterator<Item = Address>) {
        if !self.parent.is_final() {
            return;
        }
        for address in addresses {
            let id = self.account_id(&address);
            if self.read_account(id, address).is_err() {
                return;
            }
        }
    }

    /// Fills the base values of a place before anybody asks for them.
    pub(crate) fn prefetch(&mut self, place: &Place) -> Result<(), ViewError> {
        self.check_stop()?;
        let Place { id, address, part } = *place;
        if matches!(part, Part::Account) && self.tables.account(id).is_taken() {
            return Ok(());
        }
        let (_, base) = self.base_account(id, address)?;
        match part {
            Part::Account => {}
            Part::Code if base.code_hash == KECCAK256_EMPTY => {}
            Part::Code => {
                let Self { tables, reader, parent, .. } = self;
                let reader = once(reader, || parent.reader())?;
                let code = tables.code_or_read(&base.code_hash, || reader.code(base.code_hash))?;
                tables.account(id).remember_code(&code);
            }
            Part::Slot(slot) if base.exists => {
                let slot_id = self.slot_id(id, &slot);
                if !self.tables.slot(slot_id).is_taken() {
                    self.base_slot(slot_id, address, slot)?;
                }
            }
            Part::Slot(_) => {}
        }
        Ok(())
    }

    /// Lets go of a reader that a panic has left in disorder.
    pub(crate) fn drop_reader(&mut self) {
        self.reader = None;
    }

    /// The newest value below the position, with its stamp.
    pub(crate) fn account(
        &mut self,
        id: u32,
        address: Address,
    ) -> Result<(Stamp, AccountValue), ViewError> {
        let version = self.tables.account(id).chain.below(self.lens.position);
        let claim = match self.claims(version.map(|(stamp, _)| stamp)) {
            Some((listed, span)) => {
                // The list keeps what follows from it, so a guess will not do.
                let base = || self.read_account(id, address).map(|(_, base)| base);
                listed.account(id, span, base)?
            }
            None => None,
        };
        match claim.or(version) {
            Some(newest) => Ok(newest),
            None => self.base_account(id, address),
        }
    }

    /// The access list, and which of its claims count beside this version. `None` where it is not
    /// to be looked at.
    fn claims(&self, version: Option<Stamp>) -> Option<(&'b Listed, Span)> {
        let committed = self.lens.listed?;
        Some((self.listed?, Span { below: self.lens.position, committed, version }))
    }

    /// Whether an account is to be seen as the parent state has it, which is known.
    fn is_apart(&self, id: u32) -> bool {
        let cell = self.tables.account(id);
        self.lens.apart && cell.is_hot() && cell.known_base().as_ref().is_some_and(is_wallet)
    }

    /// Logs the read of an account that no other read has logged; returns its place.
    pub(crate) fn look_up(&mut self, id: u32, address: Address) -> Result<usize, ViewError> {
        let (stamp, value) = self.account(id, address)?;
        Ok(self.note(id, stamp, value, false))
    }

    /// Logs an account read; returns its place.
    fn note(&mut self, id: u32, stamp: Stamp, value: AccountValue, apart: bool) -> usize {
        let at = id as usize;
        if at >= self.seen.len() {
            self.seen.resize(self.tables.account_count().max(at + 1), (0, 0));
        }
        let place = self.reads.accounts.len();
        self.seen[at] = (self.run, place as u32);
        let hard = !self.lens.soft;
        self.reads.accounts.push(AccountRead {
            id,
            hard_balance: hard,
            hard_nonce: hard,
            slots: false,
            apart,
            stamp,
            value,
            debits: U256::ZERO,
        });
        if value.balance >= HUGE {
            self.everything_observed();
        }
        place
    }

    fn slot(&mut self, account: u32, address: Address, slot: U256) -> Result<U256, ViewError> {
        self.check_stop()?;
        let place = match self.seen(account) {
            Some(place) => place,
            None => {
                // revm loads an account before its storage; should it ever not, the read that
                // this answer depends on is logged all the same.
                self.look_up(account, address)?
            }
        };
        let read = &mut self.reads.accounts[place];
        read.slots = true;
        let AccountValue { exists, wiped, storage_known, .. } = read.value;
        if !exists {
            // A missing account has no storage, and the validated account read says so.
            return Ok(U256::ZERO);
        }
        let id = self.slot_id(account, &slot);
        let cell = self.tables.slot(id);
        let version = cell.chain.below(self.lens.position);
        let claim = self
            .claims(version.map(|(stamp, _)| stamp))
            .and_then(|(listed, span)| listed.slot(id, span));
        let (stamp, value) = match claim.or(version) {
            Some((stamp, value)) if stamp.position() >= wiped => (stamp, value),
            Some((stamp, _)) => (stamp, U256::ZERO),
            None if wiped > 0 || storage_known => (Stamp::BASE, U256::ZERO),
            None => self.base_slot(id, address, slot)?,
        };
        self.reads.slots.push(SlotRead { account: place as u32, id, stamp, value });
        Ok(value)
    }

    fn check_stop(&self) -> Result<(), ViewError> {
        if self.stop.load(Ordering::Relaxed) { Err(ViewError::Stopped) } else { Ok(()) }
    }

    /// The account's code, where it is known without asking the source. For what the block itself
    /// wrote it always is: revm's `State` takes a new account's code from the last transaction
    /// that touched it, the empty code included.
    fn code_of(&self, id: u32, written: bool, hash: B256) -> Option<Bytecode> {
        if hash == KECCAK256_EMPTY {
            return written.then(Bytecode::default);
        }
        let cell = self.tables.account(id);
        match cell.known_base() {
            Some(base) if base.code_hash == hash => cell.code().cloned(),
            _ => self.tables.code(&hash).or_else(|| self.claims(None)?.0.code(&hash)),
        }
    }
}

impl Database for View<'_> {
    type Error = ViewError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ViewError> {
        self.check_stop()?;
        let id = self.account_id(&address);
        let apart = self.is_apart(id);
        let (mut stamp, mut value) =
            if apart { self.base_account(id, address)? } else { self.account(id, address)? };
        let early = stamp == Stamp::PREDICTED;
        let predicted = self.lens.predicted.filter(|(sender, _)| *sender == address);
        if let Some((_, nonce)) = predicted
            && value.exists
            && value.nonce != nonce
        {
            value.nonce = nonce;
            stamp = Stamp::PREDICTED;
        }
        let place = self.note(id, stamp, value, apart);
        if predicted.is_some() {
            self.sender = Some(place);
        }
        Ok(value.info().map(|mut info| {
            info.account_id = AccountId::new(id as usize);
            let written = stamp != Stamp::BASE && !early;
            info.code = self.code_of(id, written, info.code_hash);
            info
        }))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, ViewError> {
        self.check_stop()?;
        // No clone of `tables`: all workers would count its owners on one cache line.
        let Self { tables, reader, parent, .. } = self;
        let reader = once(reader, || parent.reader())?;
        let code = tables.code_or_read(&code_hash, || reader.code(code_hash))?;
        // The account that asks was loaded last, or nearly so.
        let asking = self.reads.accounts.iter().rev().take(8);
        if let Some(read) = asking.into_iter().find(|read| read.value.code_hash == code_hash)
            && let Some(base) = tables.account(read.id).known_base()
            && base.code_hash == code_hash
        {
            tables.account(read.id).remember_code(&code);
        }
        Ok(code)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ViewError> {
        let account = self.account_id(&address);
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
        let Self { tables, reader, parent, .. } = self;
        let reader = once(reader, || parent.reader())?;
        let hash = tables.block_hash(number, || reader.block_hash(number))?;
        self.reads.block_hashes.push((number, hash));
        Ok(hash)
    }
}
