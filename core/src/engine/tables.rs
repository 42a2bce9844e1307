//! The multi-version tables: for each location its base value, its newest committed version and
//! the pending versions of transactions that are not committed yet.
//!
//! Actors: workers read and publish pending versions at any time; the holder of the commit token
//! turns versions into committed ones, in transaction order; nobody else writes.
//!
//! Invariants:
//! 1. A version's stamp (position and incarnation) names its value: no two values of one location
//!    ever share a stamp.
//! 2. `committed` is the newest version below the head; older ones are dropped, because every
//!    reader's position is at or above the head.
//! 3. `committed_stamp` is stored after the committed version, by the token holder only, so a
//!    token holder that finds a reader's stamp there knows that the reader saw that very value.
//! 4. A base value is filled once, from one successful read; an error leaves the cell empty.
//! 5. Locations are found by comparing full keys; the hash only picks the bucket and is seeded.

use super::arena::Arena;
use crate::sync::{
    Mutex, OnceLock, RwLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use revm::{bytecode::Bytecode, state::AccountInfo};
use std::{collections::HashMap, hash::BuildHasher};

type Seeded = foldhash::fast::RandomState;
type Shard<K> = Mutex<HashMap<K, u32, Seeded>>;

/// Where in the block a version was written: 0 is the pre-block system calls, `i + 1` the
/// transaction with index `i`.
pub(crate) type Position = u32;

/// Position and incarnation of a version; 0 stands for the base value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Stamp(u64);

impl Stamp {
    pub(crate) const BASE: Self = Self(0);
    /// Of a value that no version ever had: a prediction.
    pub(crate) const PREDICTED: Self = Self(u64::MAX);

    /// Incarnations start at 1, so that no stamp equals the base.
    pub(crate) const fn new(position: Position, incarnation: u8) -> Self {
        Self(((position as u64) << 8) | incarnation as u64)
    }

    pub(crate) const fn position(self) -> Position {
        (self.0 >> 8) as u32
    }
}

/// An account as one transaction sees it. Plain data, so that copying and forgetting it are cheap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AccountValue {
    pub(crate) balance: U256,
    pub(crate) code_hash: B256,
    pub(crate) nonce: u64,
    /// The position that last destroyed the account; 0: none did. Storage versions from below it
    /// and the base storage are void.
    pub(crate) wiped: Position,
    /// Where it is false, balance and nonce are zero and the code is empty.
    pub(crate) exists: bool,
    /// The base storage is known to be empty, as revm's `State` concludes for an account that was
    /// created, or changed while it had neither nonce nor code.
    pub(crate) storage_known: bool,
}

impl AccountValue {
    /// No account.
    pub(crate) const MISSING: Self = Self {
        balance: U256::ZERO,
        code_hash: KECCAK256_EMPTY,
        nonce: 0,
        wiped: 0,
        exists: false,
        storage_known: false,
    };

    /// An account of which nothing but `info` is known.
    pub(crate) fn new(info: Option<&AccountInfo>) -> Self {
        info.map_or(Self::MISSING, |info| Self {
            balance: info.balance,
            code_hash: info.code_hash,
            nonce: info.nonce,
            exists: true,
            ..Self::MISSING
        })
    }

    /// In revm's form; without code.
    pub(crate) fn info(&self) -> Option<AccountInfo> {
        self.exists.then(|| AccountInfo {
            balance: self.balance,
            nonce: self.nonce,
            code_hash: self.code_hash,
            account_id: None,
            code: None,
        })
    }

    /// Empty as EIP-161 means it.
    pub(crate) fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code_hash == KECCAK256_EMPTY
    }

    /// Neither code nor nonce: revm's `State` takes the storage of such an account for empty once
    /// the account has changed.
    pub(crate) fn is_plain(&self) -> bool {
        self.nonce == 0 && self.code_hash == KECCAK256_EMPTY
    }
}

/// What a location went through in this block.
pub(crate) struct Versions<V> {
    /// The newest committed version.
    pub(crate) committed: Option<(Stamp, V)>,
    /// Ascending by position, at most one per position.
    pending: Vec<(Stamp, V)>,
}

impl<V> Default for Versions<V> {
    fn default() -> Self {
        Self { committed: None, pending: Vec::new() }
    }
}

/// One location.
pub(crate) struct Cell<B, V> {
    base: OnceLock<B>,
    /// Held while the base is read from the source, so that it is read once.
    fill: Mutex<()>,
    /// Set with the first version; until then readers need no lock.
    written: AtomicBool,
    committed_stamp: AtomicU64,
    versions: Mutex<Versions<V>>,
}

impl<B, V> Default for Cell<B, V> {
    fn default() -> Self {
        Self {
            base: OnceLock::new(),
            fill: Mutex::new(()),
            written: AtomicBool::new(false),
            committed_stamp: AtomicU64::new(0),
            versions: Mutex::new(Versions::default()),
        }
    }
}

impl<B, V: Copy> Cell<B, V> {
    /// The base value, read through `read` if this is the first time.
    pub(crate) fn base<E>(&self, read: impl FnOnce() -> Result<B, E>) -> Result<&B, E> {
        if let Some(base) = self.base.get() {
            return Ok(base);
        }
        let _one_reader = self.fill.lock();
        if let Some(base) = self.base.get() {
            return Ok(base);
        }
        let value = read()?;
        Ok(self.base.get_or_init(|| value))
    }

    pub(crate) fn known_base(&self) -> Option<&B> {
        self.base.get()
    }

    /// The newest version below `position`.
    pub(crate) fn below(&self, position: Position) -> Option<(Stamp, V)> {
        if !self.written.load(Ordering::Acquire) {
            return None;
        }
        let versions = self.versions.lock();
        let pending = versions.pending.iter().rev().find(|(s, _)| s.position() < position);
        pending.or(versions.committed.as_ref()).copied()
    }

    /// The newest committed version. For the token holder.
    pub(crate) fn committed(&self) -> Option<(Stamp, V)> {
        if !self.written.load(Ordering::Acquire) {
            return None;
        }
        self.versions.lock().committed
    }

    pub(crate) fn committed_stamp(&self) -> Stamp {
        Stamp(self.committed_stamp.load(Ordering::Acquire))
    }

    /// Publishes a speculative version.
    pub(crate) fn publish(&self, stamp: Stamp, value: V) {
        let mut versions = self.versions.lock();
        let at = versions.pending.partition_point(|(s, _)| s.position() < stamp.position());
        versions.pending.insert(at, (stamp, value));
        self.written.store(true, Ordering::Release);
    }

    /// Takes a speculative version back.
    pub(crate) fn withdraw(&self, stamp: Stamp) {
        self.versions.lock().pending.retain(|(s, _)| *s != stamp);
    }

    /// Makes a published version the committed one. For the token holder.
    pub(crate) fn promote(&self, stamp: Stamp) {
        let mut versions = self.versions.lock();
        if let Some(at) = versions.pending.iter().position(|(s, _)| *s == stamp) {
            let version = versions.pending.remove(at);
            versions.committed = Some(version);
            self.committed_stamp.store(stamp.0, Ordering::Release);
        }
    }

    /// Commits a version that was never published. For the token holder.
    pub(crate) fn commit(&self, stamp: Stamp, value: V) {
        let mut versions = self.versions.lock();
        versions.committed = Some((stamp, value));
        self.written.store(true, Ordering::Release);
        self.committed_stamp.store(stamp.0, Ordering::Release);
    }

    fn clear(&mut self) {
        self.base.take();
        self.written.store(false, Ordering::Relaxed);
        self.committed_stamp.store(0, Ordering::Relaxed);
        let versions = self.versions.get_mut();
        versions.committed = None;
        versions.pending.clear();
    }
}

/// An account as the source has it.
pub(crate) struct BaseAccount {
    pub(crate) value: AccountValue,
    /// The code, once somebody asked for it.
    pub(crate) code: OnceLock<Bytecode>,
}

pub(crate) type AccountCell = Cell<BaseAccount, AccountValue>;
pub(crate) type SlotCell = Cell<U256, U256>;

/// Shards of each index: contention is rare with a few per thread.
const SHARDS: usize = 64;

/// All locations of one block.
pub(crate) struct Tables {
    accounts: Arena<AccountCell>,
    slots: Arena<SlotCell>,
    account_index: Box<[Shard<Address>]>,
    slot_index: Box<[Shard<(u32, U256)>]>,
    hasher: Seeded,
    codes: RwLock<HashMap<B256, Bytecode, Seeded>>,
    code_fill: Box<[Mutex<()>]>,
    block_hashes: Mutex<HashMap<u64, B256, Seeded>>,
}

impl Tables {
    pub(crate) fn new() -> Self {
        let hasher = Seeded::default();
        Self {
            accounts: Arena::new(),
            slots: Arena::new(),
            account_index: (0..SHARDS).map(|_| Mutex::default()).collect(),
            slot_index: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher,
            codes: RwLock::default(),
            code_fill: (0..SHARDS).map(|_| Mutex::default()).collect(),
            block_hashes: Mutex::default(),
        }
    }

    /// The account's index in these tables.
    pub(crate) fn account_id(&self, address: &Address) -> u32 {
        let shard = self.hasher.hash_one(address) as usize % SHARDS;
        let mut index = self.account_index[shard].lock();
        *index.entry(*address).or_insert_with(|| self.accounts.push())
    }

    /// The slot's index in these tables.
    pub(crate) fn slot_id(&self, account: u32, slot: &U256) -> u32 {
        let key = (account, *slot);
        let shard = self.hasher.hash_one(key) as usize % SHARDS;
        let mut index = self.slot_index[shard].lock();
        *index.entry(key).or_insert_with(|| self.slots.push())
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

    /// Every known account, in no particular order.
    pub(crate) fn each_account(&mut self, mut each: impl FnMut(Address, u32)) {
        for shard in &mut self.account_index {
            shard.get_mut().iter().for_each(|(address, id)| each(*address, *id));
        }
    }

    /// Every known slot, in no particular order.
    pub(crate) fn each_slot(&mut self, mut each: impl FnMut(u32, U256, u32)) {
        for shard in &mut self.slot_index {
            shard.get_mut().iter().for_each(|((account, slot), id)| each(*account, *slot, *id));
        }
    }

    pub(crate) fn codes(&mut self) -> impl Iterator<Item = (B256, Bytecode)> + '_ {
        self.codes.get_mut().iter().map(|(hash, code)| (*hash, code.clone()))
    }

    /// Forgets the block; keeps the memory.
    pub(crate) fn reset(&mut self) {
        self.accounts.reset(AccountCell::clear);
        self.slots.reset(SlotCell::clear);
        self.account_index.iter_mut().for_each(|shard| shard.get_mut().clear());
        self.slot_index.iter_mut().for_each(|shard| shard.get_mut().clear());
        self.codes.get_mut().clear();
        self.block_hashes.get_mut().clear();
    }
}
