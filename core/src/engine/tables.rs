//! The multi-version tables: for each location its base value, its newest committed version and
//! the pending versions of transactions that are not committed yet.
//!
//! Role: find or make the cell of a location, keep codes and block hashes. What a cell promises
//! stands in [`super::cells`] and [`super::versions`].
//!
//! Invariants: a location has one index per block; locations are found by comparing full keys, and
//! the hash that picks the bucket is seeded; whatever is read from the source is read once.

use super::{
    arena::{Arena, Cursor},
    cells::{AccountCell, SlotCell, account_key, slot_key},
    index::Index,
    output::Drafts,
    spares::Spares,
};
use crate::{
    block::Block,
    pool::{Share, alone},
    sync::{
        Mutex, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};
use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;
use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hasher},
    ops::Range,
    sync::Arc,
};

pub(crate) use super::{
    cells::AccountValue,
    versions::{Position, Stamp},
};

type Seeded = foldhash::fast::RandomState;

/// Locks under which codes are read from the source.
const SHARDS: usize = 64;

/// Cells that one thread clears at once, and fewer pieces than are worth a second thread.
const PIECE: usize = 256;
const FEW_PIECES: usize = 4;

/// How much gas a block uses for each account and each slot that it reads, roughly: mainnet blocks
/// have fewer.
const GAS_OF_ACCOUNT: usize = 50_000;
const GAS_OF_SLOT: usize = 10_000;
/// A header may claim any gas.
const MOST_GAS: u64 = 1_000_000_000;

/// All locations of one block.
pub(crate) struct Tables {
    accounts: Arena<AccountCell>,
    slots: Arena<SlotCell>,
    account_index: Index,
    slot_index: Index,
    /// The cells of those who have no reserve of their own.
    common: Mutex<Reserve>,
    hasher: Seeded,
    codes: RwLock<HashMap<B256, Bytecode, Seeded>>,
    code_fill: Box<[Mutex<()>]>,
    block_hashes: Mutex<HashMap<u64, B256, Seeded>>,
    /// Slots whose base value is none of the block's business.
    pub(crate) void: VoidSlots,
    /// What the workers leave for the next execution, in this block or a later one.
    pub(crate) spares: Spares,
    /// The buffers of the output, one output at a time.
    pub(crate) drafts: Mutex<Drafts>,
}

/// Slots whose first committed write found their account's storage known to be empty
/// ([`AccountValue::storage_known`]), whatever the parent state has there: for the output they were
/// zero before the block. A live chain has hardly ever one: the account had storage and neither
/// nonce nor code.
#[derive(Debug, Default)]
pub(crate) struct VoidSlots {
    any: AtomicBool,
    ids: Mutex<HashSet<u32, Seeded>>,
}

impl VoidSlots {
    /// For whoever commits.
    pub(crate) fn insert(&self, slot: u32) {
        self.ids.lock().insert(slot);
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn contains(&self, slot: u32) -> bool {
        self.any.load(Ordering::Acquire) && self.ids.lock().contains(&slot)
    }

    fn clear(&mut self) {
        self.ids.get_mut().clear();
        self.any.store(false, Ordering::Relaxed);
    }
}

/// The cells that one worker has reserved for locations that it will be the first to meet.
#[derive(Debug, Default)]
pub(crate) struct Reserve {
    accounts: Cursor,
    slots: Cursor,
}

/// The sets of tables that an engine has, each for one block at a time: one for a single block, up
/// to four for a range. A set is free once nobody else holds it.
#[derive(Default)]
pub(crate) struct Shelf {
    empty: Vec<Arc<Tables>>,
    used: Vec<Arc<Tables>>,
}

impl Shelf {
    /// Empty tables with room for such a block.
    pub(crate) fn begin(&mut self, block: &Block) -> Arc<Tables> {
        let mut tables =
            self.empty.pop().or_else(|| self.free()).unwrap_or_else(|| Arc::new(Tables::new()));
        if let Some(tables) = Arc::get_mut(&mut tables) {
            tables.expect(block);
        }
        self.used.push(tables.clone());
        tables
    }

    /// A used set that nobody else holds any more, emptied.
    fn free(&mut self) -> Option<Arc<Tables>> {
        let at = self.used.iter_mut().position(|tables| Arc::get_mut(tables).is_some())?;
        let mut tables = self.used.swap_remove(at);
        Arc::get_mut(&mut tables).map(|tables| tables.reset(&mut alone))?;
        Some(tables)
    }

    /// Forgets the blocks; keeps the memory. The threads share that.
    pub(crate) fn tidy(&mut self, share: Share<'_>) {
        for mut tables in self.used.drain(..) {
            // A set that somebody still holds is left to that one.
            if let Some(free) = Arc::get_mut(&mut tables) {
                free.reset(share);
                self.empty.push(tables);
            }
        }
    }
}

impl Tables {
    pub(crate) fn new() -> Self {
        Self {
            accounts: Arena::new(),
            slots: Arena::new(),
            account_index: Index::new(),
            slot_index: Index::new(),
            common: Mutex::default(),
            hasher: Seeded::default(),
            codes: RwLock::default(),
            code_fill: (0..SHARDS).map(|_| Mutex::default()).collect(),
            block_hashes: Mutex::default(),
            void: VoidSlots::default(),
            spares: Spares::new(),
            drafts: Mutex::new(Drafts::new()),
        }
    }

    /// Makes room for about as many locations as such a block has. Only between blocks.
    pub(crate) fn expect(&mut self, block: &Block) {
        let gas = block.header.gas_used.min(MOST_GAS) as usize;
        self.account_index.begin(2 * block.transactions.len() + gas / GAS_OF_ACCOUNT);
        self.slot_index.begin(gas / GAS_OF_SLOT);
    }

    /// The account's index in these tables.
    pub(crate) fn account_id(&self, address: &Address) -> u32 {
        let known = self.find_account(address);
        known.unwrap_or_else(|| self.account_id_in(&mut self.common.lock(), address))
    }

    /// The same for a worker with a reserve of its own.
    pub(crate) fn account_id_in(&self, reserve: &mut Reserve, address: &Address) -> u32 {
        let key = account_key(address);
        let cursor = &mut reserve.accounts;
        let prepare = || {
            let (id, cell) = self.accounts.next(cursor);
            cell.set_key(key);
            id
        };
        let is = |id| self.account(id).has_key(key);
        let id = self.account_index.find_or_insert(self.hash(key), is, prepare);
        cursor.used(id);
        id
    }

    /// The same where the account is known.
    pub(crate) fn find_account(&self, address: &Address) -> Option<u32> {
        let key = account_key(address);
        self.account_index.find(self.hash(key), &|id| self.account(id).has_key(key))
    }

    /// The slot's index in these tables.
    pub(crate) fn slot_id(&self, account: u32, slot: &U256) -> u32 {
        let known = self.find_slot(account, slot);
        known.unwrap_or_else(|| self.slot_id_in(&mut self.common.lock(), account, slot))
    }

    /// The same for a worker with a reserve of its own.
    pub(crate) fn slot_id_in(&self, reserve: &mut Reserve, account: u32, slot: &U256) -> u32 {
        let key = slot_key(account, slot);
        let cursor = &mut reserve.slots;
        let prepare = || {
            let (id, cell) = self.slots.next(cursor);
            cell.set_key(key);
            id
        };
        let id = self.slot_index.find_or_insert(
            self.hash(key),
            |id| self.slot(id).has_key(key),
            prepare,
        );
        cursor.used(id);
        id
    }

    /// The same where the slot is known.
    pub(crate) fn find_slot(&self, account: u32, slot: &U256) -> Option<u32> {
        let key = slot_key(account, slot);
        self.slot_index.find(self.hash(key), &|id| self.slot(id).has_key(key))
    }

    fn hash<const N: usize>(&self, key: [u64; N]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        key.into_iter().for_each(|word| hasher.write_u64(word));
        hasher.finish()
    }

    /// Notes that many payments of this block share an account. Before anything runs.
    pub(crate) fn set_hot(&self, address: &Address) {
        self.account(self.account_id(address)).set_hot();
    }

    pub(crate) fn account(&self, id: u32) -> &AccountCell {
        self.accounts.get(id)
    }

    pub(crate) fn slot(&self, id: u32) -> &SlotCell {
        self.slots.get(id)
    }

    pub(crate) fn account_count(&self) -> usize {
        self.accounts.len() as usize
    }

    /// A code that is known without asking the source.
    pub(crate) fn code(&self, hash: &B256) -> Option<Bytecode> {
        self.codes.read().get(hash).cloned()
    }

    /// Adds a code under its hash: content-addressed, so it holds whatever becomes of the
    /// transaction that deployed it.
    pub(crate) fn add_code(&self, hash: B256, code: Bytecode) {
        self.codes.write().entry(hash).or_insert(code);
    }

    /// A code, read through `read` if it is not known yet.
    pub(crate) fn code_or_read<E>(
        &self,
        hash: &B256,
        read: impl FnOnce() -> Result<Bytecode, E>,
    ) -> Result<Bytecode, E> {
        if let Some(code) = self.code(hash) {
            return Ok(code);
        }
        let _one_reader = self.code_fill[hash[0] as usize % SHARDS].lock();
        if let Some(code) = self.code(hash) {
            return Ok(code);
        }
        let code = read()?;
        self.add_code(*hash, code.clone());
        Ok(code)
    }

    /// An ancestor's hash, read through `read` if it is not known yet.
    pub(crate) fn block_hash<E>(
        &self,
        number: u64,
        read: impl FnOnce() -> Result<B256, E>,
    ) -> Result<B256, E> {
        let mut hashes = self.block_hashes.lock();
        if let Some(hash) = hashes.get(&number) {
            return Ok(*hash);
        }
        let hash = read()?;
        hashes.insert(number, hash);
        Ok(hash)
    }

    pub(crate) fn slot_count(&self) -> usize {
        self.slots.len() as usize
    }

    /// The accounts with these indices, as far as they were handed out.
    pub(crate) fn accounts(
        &self,
        range: Range<usize>,
    ) -> impl Iterator<Item = (u32, &AccountCell)> {
        self.accounts.cells(range)
    }

    /// The slots with these indices, as far as they were handed out.
    pub(crate) fn slots(&self, range: Range<usize>) -> impl Iterator<Item = (u32, &SlotCell)> {
        self.slots.cells(range)
    }

    /// Forgets the block; keeps the memory.
    pub(crate) fn reset(&mut self, share: Share<'_>) {
        let accounts = self.accounts.reset(PIECE).map(Cells::Accounts);
        let slots = self.slots.reset(PIECE).map(Cells::Slots);
        let pieces: Vec<_> = accounts.chain(slots).map(Mutex::new).collect();
        let share = if pieces.len() < FEW_PIECES { &mut alone } else { share };
        share(pieces.len(), &|piece| pieces[piece].lock().clear());
        drop(pieces);
        self.account_index.begin(0);
        self.slot_index.begin(0);
        *self.common.get_mut() = Reserve::default();
        self.codes.get_mut().clear();
        self.block_hashes.get_mut().clear();
        self.void.clear();
        self.spares.tidy();
        self.drafts.get_mut().tidy();
    }
}

/// Some cells of a block that is over.
enum Cells<'t> {
    Accounts(&'t mut [AccountCell]),
    Slots(&'t mut [SlotCell]),
}

impl Cells<'_> {
    fn clear(&mut self) {
        match self {
            Self::Accounts(cells) => cells.iter_mut().for_each(AccountCell::clear),
            Self::Slots(cells) => cells.iter_mut().for_each(SlotCell::clear),
        }
    }
}
