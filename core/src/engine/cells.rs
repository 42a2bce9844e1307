//! One location of the multi-version tables: its key, its base value, its versions.
//!
//! Role: what a worker looks at, in one place. Actors: any worker; the versions have rules of their
//! own, see [`super::versions`].
//!
//! Invariants: a key is set before its index is handed out, and never changes in a block; a base
//! value is filled once, from one successful read; an error leaves the cell empty.

use super::versions::{Chain, Position};
use crate::sync::{
    Mutex, OnceLock,
    atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use revm::{bytecode::Bytecode, state::AccountInfo};

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
    /// The block destroyed the account more than once: what revm's `State` calls destroyed again.
    pub(crate) again: bool,
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
        again: false,
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

/// Plain words that several threads may look at.
struct Words<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Words<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl<const N: usize> Words<N> {
    fn store(&self, words: [u64; N]) {
        self.0.iter().zip(words).for_each(|(to, word)| to.store(word, Ordering::Relaxed));
    }

    fn load(&self) -> [u64; N] {
        std::array::from_fn(|at| self.0[at].load(Ordering::Relaxed))
    }
}

/// A value that is read from the source once: words, and whether there is one at all.
#[derive(Default)]
struct Base<const N: usize> {
    /// [`UNKNOWN`], [`ABSENT`] or [`PRESENT`]; stored after the words.
    state: AtomicU8,
    /// Held while the source is read.
    fill: Mutex<()>,
    words: Words<N>,
}

const UNKNOWN: u8 = 0;
const ABSENT: u8 = 1;
const PRESENT: u8 = 2;

impl<const N: usize> Base<N> {
    /// `None`: unknown; `Some(None)`: the source has nothing.
    fn known(&self) -> Option<Option<[u64; N]>> {
        match self.state.load(Ordering::Acquire) {
            UNKNOWN => None,
            ABSENT => Some(None),
            _ => Some(Some(self.words.load())),
        }
    }

    fn get<E>(
        &self,
        read: impl FnOnce() -> Result<Option<[u64; N]>, E>,
    ) -> Result<Option<[u64; N]>, E> {
        let _one_reader = self.fill.lock();
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let value = read()?;
        if let Some(words) = value {
            self.words.store(words);
        }
        let state = if value.is_some() { PRESENT } else { ABSENT };
        self.state.store(state, Ordering::Release);
        Ok(value)
    }

    /// Known, or being read at this moment.
    fn is_taken(&self) -> bool {
        self.known().is_some() || self.fill.try_lock().is_none()
    }

    fn clear(&mut self) {
        self.state.store(UNKNOWN, Ordering::Relaxed);
    }
}

/// An account's cell.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct AccountCell {
    key: Words<3>,
    /// Many payments of the block share the account ([`super::hot`]). On the line of the key, which
    /// is written once.
    hot: AtomicBool,
    pub(crate) chain: Chain<AccountValue>,
    base: Base<9>,
    /// The base account's code, once somebody asked for it.
    code: OnceLock<Bytecode>,
}

impl AccountCell {
    pub(crate) fn set_key(&self, key: AccountKey) {
        self.key.store(key);
    }

    pub(crate) fn has_key(&self, key: AccountKey) -> bool {
        self.key.load() == key
    }

    pub(crate) fn address(&self) -> Address {
        let [first, second, third] = self.key.load();
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&first.to_le_bytes());
        bytes[8..16].copy_from_slice(&second.to_le_bytes());
        bytes[16..].copy_from_slice(&(third as u32).to_le_bytes());
        Address::new(bytes)
    }

    /// The account as the source has it, where it is known.
    pub(crate) fn known_base(&self) -> Option<AccountValue> {
        self.base.known().map(account_value)
    }

    /// The account as the source has it, read through `read` if this is the first time.
    pub(crate) fn base<E>(
        &self,
        read: impl FnOnce() -> Result<Option<AccountInfo>, E>,
    ) -> Result<AccountValue, E> {
        let words = self.base.get(|| {
            let info = read()?;
            Ok(info.map(|info| {
                if let Some(code) = info.code {
                    let _first = self.code.set(code);
                }
                account_words(&info.balance, &info.code_hash, info.nonce)
            }))
        })?;
        Ok(account_value(words))
    }

    pub(crate) fn set_hot(&self) {
        self.hot.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_hot(&self) -> bool {
        self.hot.load(Ordering::Relaxed)
    }

    /// Whether the source is being asked for the account, or has been.
    pub(crate) fn is_taken(&self) -> bool {
        self.base.is_taken()
    }

    /// The base account's code, where it is known.
    pub(crate) fn code(&self) -> Option<&Bytecode> {
        self.code.get()
    }

    /// Remembers the base account's code.
    pub(crate) fn remember_code(&self, code: &Bytecode) {
        let _known = self.code.set(code.clone());
    }

    pub(crate) fn clear(&mut self) {
        self.hot.store(false, Ordering::Relaxed);
        self.chain.clear();
        self.base.clear();
        self.code.take();
    }
}

/// An address as words.
pub(crate) type AccountKey = [u64; 3];

pub(crate) fn account_key(address: &Address) -> AccountKey {
    let (first, rest) = word(address.as_slice());
    let (second, rest) = word(rest);
    let third = rest.first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)));
    [first, second, third]
}

fn word(bytes: &[u8]) -> (u64, &[u8]) {
    bytes.split_first_chunk().map_or((0, bytes), |(word, rest)| (u64::from_le_bytes(*word), rest))
}

fn account_words(balance: &U256, code_hash: &B256, nonce: u64) -> [u64; 9] {
    let mut words = [nonce; 9];
    words[..4].copy_from_slice(balance.as_limbs());
    words[4..8].copy_from_slice(U256::from_be_bytes(code_hash.0).as_limbs());
    words
}

fn account_value(words: Option<[u64; 9]>) -> AccountValue {
    let Some([a, b, c, d, e, f, g, h, nonce]) = words else { return AccountValue::MISSING };
    AccountValue {
        balance: U256::from_limbs([a, b, c, d]),
        code_hash: B256::from(U256::from_limbs([e, f, g, h])),
        nonce,
        exists: true,
        ..AccountValue::MISSING
    }
}

/// A slot and its account's index as words.
pub(crate) type SlotKey = [u64; 5];

pub(crate) fn slot_key(account: u32, slot: &U256) -> SlotKey {
    let [a, b, c, d] = *slot.as_limbs();
    [a, b, c, d, u64::from(account)]
}

/// A slot's cell.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct SlotCell {
    key: Words<5>,
    pub(crate) chain: Chain<U256>,
    base: Base<4>,
}

impl SlotCell {
    pub(crate) fn set_key(&self, key: SlotKey) {
        self.key.store(key);
    }

    pub(crate) fn has_key(&self, key: SlotKey) -> bool {
        self.key.load() == key
    }

    /// The account's index and the slot.
    pub(crate) fn key(&self) -> (u32, U256) {
        let [a, b, c, d, account] = self.key.load();
        (account as u32, U256::from_limbs([a, b, c, d]))
    }

    /// The slot's value as the source has it, where it is known.
    pub(crate) fn known_base(&self) -> Option<U256> {
        self.base.known().map(|words| words.map_or(U256::ZERO, U256::from_limbs))
    }

    /// Whether the source is being asked for the slot, or has been.
    pub(crate) fn is_taken(&self) -> bool {
        self.base.is_taken()
    }

    /// The slot's value as the source has it, read through `read` if this is the first time.
    pub(crate) fn base<E>(&self, read: impl FnOnce() -> Result<U256, E>) -> Result<U256, E> {
        let words = self.base.get(|| Ok(Some(*read()?.as_limbs())))?;
        Ok(words.map_or(U256::ZERO, U256::from_limbs))
    }

    pub(crate) fn clear(&mut self) {
        self.chain.clear();
        self.base.clear();
    }
}
