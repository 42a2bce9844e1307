//! The plain values of the ABI: bytes, addresses, hashes, numbers, accounts.
//!
//! Invariant: fixed-width fields only, no padding holes on 64-bit targets. These structs stay as
//! they are within one major version of the ABI; a struct that may grow opens with `struct_size`.

use alloy_primitives::{Address, B256, Bloom, KECCAK256_EMPTY, U256};
use revm::state::AccountInfo;
use std::ptr;

/// Borrowed bytes. `ptr` may be NULL where `len` is 0, and is where the library gives them.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidBytes {
    /// The first byte.
    pub ptr: *const u8,
    /// How many bytes there are.
    pub len: u64,
}

impl BraidBytes {
    pub(crate) const EMPTY: Self = Self { ptr: ptr::null(), len: 0 };

    pub(crate) const fn of(bytes: &[u8]) -> Self {
        Self { ptr: first(bytes), len: bytes.len() as u64 }
    }
}

/// The first of the items; NULL where there are none. An empty Rust array has a pointer that is no
/// address, and a host whose runtime looks at pointers, such as Go's, ends when it sees one.
pub(crate) const fn first<T>(items: &[T]) -> *const T {
    if items.is_empty() { ptr::null() } else { items.as_ptr() }
}

impl Default for BraidBytes {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// The address of an account.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BraidAddress {
    /// The 20 bytes.
    pub bytes: [u8; 20],
}

/// A Keccak-256 hash.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BraidHash {
    /// The 32 bytes.
    pub bytes: [u8; 32],
}

/// A 256-bit number: a balance, a storage slot's key or value.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BraidU256 {
    /// Big-endian.
    pub bytes: [u8; 32],
}

/// A bloom filter over logs.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BraidBloom {
    /// The 256 bytes, as in a header.
    pub bytes: [u8; 256],
}

/// An account without its storage.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BraidAccount {
    /// The nonce.
    pub nonce: u64,
    /// The balance in wei.
    pub balance: BraidU256,
    /// The Keccak-256 of the code. All zeros is read as the hash of the empty code, and never
    /// written.
    pub code_hash: BraidHash,
}

/// A storage slot with its value.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BraidSlot {
    /// The slot's number.
    pub key: BraidU256,
    /// Its value; zero where it was never set.
    pub value: BraidU256,
}

impl From<Address> for BraidAddress {
    fn from(address: Address) -> Self {
        Self { bytes: address.into_array() }
    }
}

impl From<BraidAddress> for Address {
    fn from(address: BraidAddress) -> Self {
        Self::new(address.bytes)
    }
}

impl From<B256> for BraidHash {
    fn from(hash: B256) -> Self {
        Self { bytes: hash.0 }
    }
}

impl From<BraidHash> for B256 {
    fn from(hash: BraidHash) -> Self {
        Self::new(hash.bytes)
    }
}

impl From<U256> for BraidU256 {
    fn from(number: U256) -> Self {
        Self { bytes: number.to_be_bytes() }
    }
}

impl From<BraidU256> for U256 {
    fn from(number: BraidU256) -> Self {
        Self::from_be_bytes(number.bytes)
    }
}

impl From<Bloom> for BraidBloom {
    fn from(bloom: Bloom) -> Self {
        Self { bytes: bloom.into_array() }
    }
}

impl From<&AccountInfo> for BraidAccount {
    fn from(info: &AccountInfo) -> Self {
        Self { nonce: info.nonce, balance: info.balance.into(), code_hash: info.code_hash.into() }
    }
}

impl From<&BraidAccount> for AccountInfo {
    fn from(account: &BraidAccount) -> Self {
        let hash = B256::from(account.code_hash);
        Self {
            nonce: account.nonce,
            balance: account.balance.into(),
            code_hash: if hash.is_zero() { KECCAK256_EMPTY } else { hash },
            code: None,
            ..Self::default()
        }
    }
}
