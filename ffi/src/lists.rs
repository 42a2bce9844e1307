//! Block access lists (EIP-7928): produce one for any block, execute with a claimed one, compare.
//!
//! Role: hand the claimed list to the engine, and lay out for C what became of it. A list is a
//! prediction: a wrong one costs time, changes no result and rejects no block.

use crate::{
    error::BraidError,
    execute::{self, BraidRequest, Task},
    executor::BraidExecutor,
    result::BraidResult,
    types::{BraidAddress, BraidBytes, BraidU256},
};
use alloy_primitives::U256;
use braid_core::{
    AccessListCheck, AccessListMismatch,
    access_list::{AccessPart, AccessValue},
};
use std::{
    ffi::{CString, c_char},
    ptr,
};

/// A part of an account's entry: the entry as such, the account was loaded.
pub const BRAID_ACCESS_ACCOUNT: u32 = 0;
/// A part of an account's entry: the value of a slot after a transaction.
pub const BRAID_ACCESS_STORAGE: u32 = 1;
/// A part of an account's entry: a slot that was read and not changed.
pub const BRAID_ACCESS_STORAGE_READ: u32 = 2;
/// A part of an account's entry: the balance after a transaction.
pub const BRAID_ACCESS_BALANCE: u32 = 3;
/// A part of an account's entry: the nonce after a transaction.
pub const BRAID_ACCESS_NONCE: u32 = 4;
/// A part of an account's entry: the code after a transaction.
pub const BRAID_ACCESS_CODE: u32 = 5;
/// No part: both lists say the same, but in another order or grouping.
pub const BRAID_ACCESS_ORDER: u32 = 6;

/// What a list says somewhere: nothing.
pub const BRAID_VALUE_NOTHING: u32 = 0;
/// What a list says somewhere: that it was accessed, no more.
pub const BRAID_VALUE_ACCESSED: u32 = 1;
/// What a list says somewhere: a slot's value, or a balance in wei.
pub const BRAID_VALUE_WORD: u32 = 2;
/// What a list says somewhere: a nonce.
pub const BRAID_VALUE_NONCE: u32 = 3;
/// What a list says somewhere: a code.
pub const BRAID_VALUE_CODE: u32 = 4;

/// What a list says somewhere.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidAccessValue {
    /// `BRAID_VALUE_`.
    pub kind: u32,
    /// Always 0.
    pub reserved: u32,
    /// The word or the nonce; else zero.
    pub number: BraidU256,
    /// The code; NULL where there is none, or an empty one.
    pub code: BraidBytes,
}

/// How a claimed access list relates to the one that the execution produced.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidAccessListCheck {
    /// The size of this struct in the library. A field beyond it does not exist.
    pub struct_size: u32,
    /// `BRAID_ACCESS_`: the part of the account's entry where the first difference is.
    pub part: u32,
    /// How many entries differ, are missing or are superfluous. 0: the lists are equal, and the
    /// fields about the first difference say nothing.
    pub mismatches: u64,
    /// The block access index of the first difference, by address, then part, then index: 0 for the
    /// system calls before the transactions, `i + 1` for the transaction with index `i`, one more
    /// than the last of them for the block's end; -1 for what a list says of the block as a whole:
    /// accounts, reads, order.
    pub index: i64,
    /// The account.
    pub address: BraidAddress,
    /// Always 0.
    pub reserved: u32,
    /// The slot, where the part is one; else zero.
    pub slot: BraidU256,
    /// What the claimed list says there.
    pub claimed: BraidAccessValue,
    /// What the execution gave there.
    pub produced: BraidAccessValue,
    /// The first difference in words: UTF-8, NUL-terminated, never NULL, empty without one.
    pub message: *const c_char,
    /// The message's length without the terminating NUL.
    pub message_len: u64,
}

/// The view, and what it points to. A string and a code keep their memory when they move.
#[derive(Debug)]
pub(crate) struct Check {
    view: BraidAccessListCheck,
    _first: Option<AccessListMismatch>,
    _message: CString,
}

impl Check {
    pub(crate) fn new(check: AccessListCheck) -> Self {
        let first = check.first;
        let message = first.as_ref().map(ToString::to_string).unwrap_or_default();
        let message = CString::new(message).unwrap_or_default();
        let (part, slot) = first.as_ref().map_or((0, U256::ZERO), part);
        let index = first.as_ref().and_then(|first| first.index);
        let address = first.as_ref().map(|first| first.location.address).unwrap_or_default();
        let view = BraidAccessListCheck {
            struct_size: size_of::<BraidAccessListCheck>() as u32,
            part,
            mismatches: check.mismatches as u64,
            index: index.and_then(|index| i64::try_from(index).ok()).unwrap_or(-1),
            address: address.into(),
            reserved: 0,
            slot: slot.into(),
            claimed: value(first.as_ref().and_then(|first| first.claimed.as_ref())),
            produced: value(first.as_ref().and_then(|first| first.produced.as_ref())),
            message: message.as_ptr(),
            message_len: message.as_bytes().len() as u64,
        };
        Self { view, _first: first, _message: message }
    }
}

fn part(of: &AccessListMismatch) -> (u32, U256) {
    match of.location.part {
        AccessPart::Account => (BRAID_ACCESS_ACCOUNT, U256::ZERO),
        AccessPart::Storage(slot) => (BRAID_ACCESS_STORAGE, slot),
        AccessPart::StorageRead(slot) => (BRAID_ACCESS_STORAGE_READ, slot),
        AccessPart::Balance => (BRAID_ACCESS_BALANCE, U256::ZERO),
        AccessPart::Nonce => (BRAID_ACCESS_NONCE, U256::ZERO),
        AccessPart::Code => (BRAID_ACCESS_CODE, U256::ZERO),
        AccessPart::Order => (BRAID_ACCESS_ORDER, U256::ZERO),
    }
}

fn value(of: Option<&AccessValue>) -> BraidAccessValue {
    let (kind, number, code) = match of {
        None => (BRAID_VALUE_NOTHING, U256::ZERO, BraidBytes::EMPTY),
        Some(AccessValue::Accessed) => (BRAID_VALUE_ACCESSED, U256::ZERO, BraidBytes::EMPTY),
        Some(AccessValue::Word(word)) => (BRAID_VALUE_WORD, *word, BraidBytes::EMPTY),
        Some(AccessValue::Nonce(nonce)) => {
            (BRAID_VALUE_NONCE, U256::from(*nonce), BraidBytes::EMPTY)
        }
        Some(AccessValue::Code(code)) => (BRAID_VALUE_CODE, U256::ZERO, BraidBytes::of(code)),
    };
    BraidAccessValue { kind, reserved: 0, number: number.into(), code }
}

/// Executes a block, and produces its access list whatever its fork: `BRAID_HAS_ACCESS_LIST` is set
/// in the result, and `access_list_rlp` is the list. On a fork with access lists `braid_execute`
/// produces it too. Costs some time and memory more than that. Since ABI 0.3.
///
/// As for `braid_execute`, but `request->commit` must be NULL (else `BRAID_INVALID_ARGUMENT`).
///
/// Ownership: `request` is borrowed; the caller frees `*out`. Safe from any thread; calls on one
/// executor take turns. Blocks until the block is done; calls the reader back, on this and other
/// threads.
///
/// # Safety
/// As for `braid_execute`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_produce_access_list(
    executor: *const BraidExecutor,
    request: *const BraidRequest,
    out: *mut *mut BraidResult,
    error: *mut *mut BraidError,
) -> i32 {
    // SAFETY: the contract of this function.
    unsafe { execute::call(Task::ProduceAccessList, executor, request, out, error) }
}

/// As `braid_produce_access_list`, helped by `request->block->access_list_rlp`, which is claimed to
/// be the block's list and must be given (else `BRAID_NULL_ARGUMENT`), and compares the claim with
/// what the execution produced: `braid_result_access_list_check`. Since ABI 0.3.
///
/// With a right list each transaction runs once, without waiting for the ones before it. A wrong
/// one costs time, and changes neither the result nor the status: where the header commits to the
/// list, it is for the host to say that a mismatch makes the block invalid. What cannot be decoded
/// is `BRAID_BAD_ACCESS_LIST`.
///
/// Ownership: `request` is borrowed; the caller frees `*out`. Safe from any thread; calls on one
/// executor take turns. Blocks until the block is done; calls the reader back, on this and other
/// threads.
///
/// # Safety
/// As for `braid_execute`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_execute_with_access_list(
    executor: *const BraidExecutor,
    request: *const BraidRequest,
    out: *mut *mut BraidResult,
    error: *mut *mut BraidError,
) -> i32 {
    // SAFETY: the contract of this function.
    unsafe { execute::call(Task::WithAccessList, executor, request, out, error) }
}

/// How the claimed access list relates to the produced one; NULL unless the result came from
/// `braid_execute_with_access_list`, and for NULL. Since ABI 0.3.
///
/// Ownership: borrowed, with all that it points to, until the result is freed. Safe from any
/// thread; never blocks or calls back.
///
/// # Safety
/// `result` is NULL or a result that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_result_access_list_check(
    result: *const BraidResult,
) -> *const BraidAccessListCheck {
    // SAFETY: by contract NULL or a live result.
    let check = unsafe { result.as_ref() }.and_then(|result| result.check.as_ref());
    check.map_or(ptr::null(), |check| &raw const check.view)
}
