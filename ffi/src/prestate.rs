//! The parent state, given whole before the execution: no callback is needed then.

use crate::{
    entry,
    error::{BraidError, Failure},
    status::BRAID_WRONG_STATE,
    types::{BraidAccount, BraidAddress, BraidHash, BraidSlot},
};
use alloy_primitives::{Address, Bytes, keccak256};
use braid_core::source::{MemoryState, decode_code};
use revm::state::AccountInfo;

/// A parent state in memory. An account or slot that is not in it does not exist, or is zero; a
/// code or block hash that is not in it is a failed read. Free it with `braid_prestate_free`.
#[derive(Debug, Default)]
pub struct BraidPrestate(pub(crate) MemoryState);

/// Makes an empty pre-state.
///
/// Ownership: the caller frees `*out`. Safe from any thread; never blocks or calls back.
///
/// # Safety
/// `out` may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_prestate_new(
    out: *mut *mut BraidPrestate,
    error: *mut *mut BraidError,
) -> i32 {
    // SAFETY: the contract of this function.
    unsafe { entry::run(error, || entry::give(out, "out", BraidPrestate::default())) }
}

/// Adds or replaces an account; its storage stays.
///
/// Ownership: everything is borrowed. One thread at a time; never blocks or calls back.
///
/// # Safety
/// `prestate` is a pre-state that nobody else uses; `address` and `account` are NULL or readable;
/// `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_prestate_account(
    prestate: *mut BraidPrestate,
    address: *const BraidAddress,
    account: *const BraidAccount,
    error: *mut *mut BraidError,
) -> i32 {
    let body = || {
        // SAFETY: the contract of this function.
        let (prestate, address, account) = unsafe {
            (
                entry::out(prestate, "prestate")?,
                entry::reference(address, "address")?,
                entry::reference(account, "account")?,
            )
        };
        prestate.0.insert_account(Address::from(*address), AccountInfo::from(account));
        Ok(())
    };
    // SAFETY: the contract of this function.
    unsafe { entry::run(error, body) }
}

/// Sets storage slots of an account that was added before; a zero value removes a slot.
///
/// Ownership: everything is borrowed. One thread at a time; never blocks or calls back.
///
/// # Safety
/// `prestate` is a pre-state that nobody else uses; `address` is NULL or readable; `slots` points
/// to `count` slots; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_prestate_storage(
    prestate: *mut BraidPrestate,
    address: *const BraidAddress,
    slots: *const BraidSlot,
    count: usize,
    error: *mut *mut BraidError,
) -> i32 {
    let body = || {
        // SAFETY: the contract of this function.
        let (prestate, address, slots) = unsafe {
            (
                entry::out(prestate, "prestate")?,
                entry::reference(address, "address")?,
                entry::array(slots, count as u64, "slots")?,
            )
        };
        let address = Address::from(*address);
        for slot in slots {
            prestate
                .0
                .insert_storage(address, slot.key.into(), slot.value.into())
                .map_err(|error| Failure::new(BRAID_WRONG_STATE, error.to_string()))?;
        }
        Ok(())
    };
    // SAFETY: the contract of this function.
    unsafe { entry::run(error, body) }
}

/// Adds a code under its Keccak-256, which is written to `hash` unless that is NULL.
///
/// Ownership: `code` is copied. One thread at a time; never blocks or calls back.
///
/// # Safety
/// `prestate` is a pre-state that nobody else uses; `code` points to `len` readable bytes; `hash`
/// is NULL or may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_prestate_code(
    prestate: *mut BraidPrestate,
    code: *const u8,
    len: usize,
    hash: *mut BraidHash,
    error: *mut *mut BraidError,
) -> i32 {
    let body = || {
        // SAFETY: the contract of this function.
        let (prestate, code) =
            unsafe { (entry::out(prestate, "prestate")?, entry::array(code, len as u64, "code")?) };
        let key = keccak256(code);
        if !hash.is_null() {
            // SAFETY: the contract of this function.
            *unsafe { entry::out(hash, "hash") }? = key.into();
        }
        prestate.0.insert_code(key, decode_code(Bytes::copy_from_slice(code)));
        Ok(())
    };
    // SAFETY: the contract of this function.
    unsafe { entry::run(error, body) }
}

/// Adds the hash of an ancestor, for BLOCKHASH.
///
/// Ownership: `hash` is borrowed. One thread at a time; never blocks or calls back.
///
/// # Safety
/// `prestate` is a pre-state that nobody else uses; `hash` is NULL or readable; `error` is NULL or
/// may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_prestate_block_hash(
    prestate: *mut BraidPrestate,
    number: u64,
    hash: *const BraidHash,
    error: *mut *mut BraidError,
) -> i32 {
    let body = || {
        // SAFETY: the contract of this function.
        let (prestate, hash) =
            unsafe { (entry::out(prestate, "prestate")?, entry::reference(hash, "hash")?) };
        prestate.0.insert_block_hash(number, (*hash).into());
        Ok(())
    };
    // SAFETY: the contract of this function.
    unsafe { entry::run(error, body) }
}

/// Frees a pre-state; NULL is allowed.
///
/// Never blocks or calls back.
///
/// # Safety
/// `prestate` is NULL or a pre-state that was not freed, and nobody else uses it, no execution
/// either.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_prestate_free(prestate: *mut BraidPrestate) {
    // SAFETY: by contract NULL or a live pre-state, which came from `give`.
    unsafe { entry::free(prestate) }
}
