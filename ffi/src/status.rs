//! Status codes: what a function returns, and what a host may do about it.
//!
//! Invariant: only the range 300 to 399 is a verdict on a block. Every other failure says that no
//! verdict was reached, so a host must not reject a block because of it.

use std::ffi::c_char;

/// Success.
pub const BRAID_OK: i32 = 0;

/// 100 to 199, the caller's mistake: a pointer that must not be NULL is NULL.
pub const BRAID_NULL_ARGUMENT: i32 = 101;
/// A `struct_size` that this version of the library does not know.
pub const BRAID_STRUCT_SIZE: i32 = 102;
/// An argument out of its range, or two that contradict each other.
pub const BRAID_INVALID_ARGUMENT: i32 = 103;
/// A function that a reader's callback must not call.
pub const BRAID_REENTRANT: i32 = 104;
/// A call out of order: storage before its account, a second code for one request.
pub const BRAID_WRONG_STATE: i32 = 105;
/// A block of a range that does not follow the one before it, by number or by hash. Since ABI 0.3.
pub const BRAID_BROKEN_RANGE: i32 = 106;

/// 200 to 299, undecodable input: the block's RLP.
pub const BRAID_BAD_BLOCK_RLP: i32 = 201;
/// The bytes of one transaction.
pub const BRAID_BAD_TRANSACTION: i32 = 202;
/// The block access list's RLP.
pub const BRAID_BAD_ACCESS_LIST: i32 = 203;
/// Text that is no JSON.
pub const BRAID_BAD_JSON: i32 = 204;
/// A chain name that is not known.
pub const BRAID_UNKNOWN_CHAIN: i32 = 205;
/// A chain config with a missing or malformed value.
pub const BRAID_BAD_CHAIN_CONFIG: i32 = 206;
/// A chain config with a fork or setting that this library does not know.
pub const BRAID_UNKNOWN_FORK: i32 = 207;

/// 300 to 399, the block is invalid: any reason without a code of its own.
pub const BRAID_INVALID_BLOCK: i32 = 300;
/// A transaction is invalid: nonce, balance, gas, fee, type, initcode.
pub const BRAID_INVALID_TRANSACTION: i32 = 301;
/// A transaction's signature recovers to no sender.
pub const BRAID_INVALID_SIGNATURE: i32 = 302;
/// A system call before or after the transactions failed.
pub const BRAID_INVALID_SYSTEM_CALL: i32 = 303;
/// More gas than the block has.
pub const BRAID_INVALID_GAS: i32 = 304;
/// The header contradicts the execution. Only with `BRAID_CHECK_HEADER`, and from `braid_import`.
pub const BRAID_HEADER_MISMATCH: i32 = 305;
/// The header contradicts the body: transactions, ommers or withdrawals. Only from `braid_import`.
/// Since ABI 0.3.
pub const BRAID_BODY_MISMATCH: i32 = 306;

/// 400 to 499, the host failed: the parent state could not be read.
pub const BRAID_STATE_UNREADABLE: i32 = 401;
/// The cancel token was triggered.
pub const BRAID_CANCELLED: i32 = 402;
/// The timeout passed.
pub const BRAID_TIMED_OUT: i32 = 403;
/// The commit callback refused a step. Since ABI 0.2.
pub const BRAID_COMMIT_REFUSED: i32 = 404;
/// The range callback refused a block. Since ABI 0.3.
pub const BRAID_BLOCK_REFUSED: i32 = 405;

/// 500 to 599, the library failed: a panic was caught.
pub const BRAID_PANIC: i32 = 501;
/// The EVM reported a failure that is no verdict.
pub const BRAID_INTERNAL: i32 = 502;

/// The name of a status code, `"UNKNOWN"` for any other number.
///
/// Ownership: a static string, NUL-terminated. Safe from any thread; never blocks or calls back.
#[unsafe(no_mangle)]
pub extern "C" fn braid_status_name(status: i32) -> *const c_char {
    let name = match status {
        BRAID_OK => c"OK",
        BRAID_NULL_ARGUMENT => c"NULL_ARGUMENT",
        BRAID_STRUCT_SIZE => c"STRUCT_SIZE",
        BRAID_INVALID_ARGUMENT => c"INVALID_ARGUMENT",
        BRAID_REENTRANT => c"REENTRANT",
        BRAID_WRONG_STATE => c"WRONG_STATE",
        BRAID_BROKEN_RANGE => c"BROKEN_RANGE",
        BRAID_BAD_BLOCK_RLP => c"BAD_BLOCK_RLP",
        BRAID_BAD_TRANSACTION => c"BAD_TRANSACTION",
        BRAID_BAD_ACCESS_LIST => c"BAD_ACCESS_LIST",
        BRAID_BAD_JSON => c"BAD_JSON",
        BRAID_UNKNOWN_CHAIN => c"UNKNOWN_CHAIN",
        BRAID_BAD_CHAIN_CONFIG => c"BAD_CHAIN_CONFIG",
        BRAID_UNKNOWN_FORK => c"UNKNOWN_FORK",
        BRAID_INVALID_BLOCK => c"INVALID_BLOCK",
        BRAID_INVALID_TRANSACTION => c"INVALID_TRANSACTION",
        BRAID_INVALID_SIGNATURE => c"INVALID_SIGNATURE",
        BRAID_INVALID_SYSTEM_CALL => c"INVALID_SYSTEM_CALL",
        BRAID_INVALID_GAS => c"INVALID_GAS",
        BRAID_HEADER_MISMATCH => c"HEADER_MISMATCH",
        BRAID_BODY_MISMATCH => c"BODY_MISMATCH",
        BRAID_STATE_UNREADABLE => c"STATE_UNREADABLE",
        BRAID_CANCELLED => c"CANCELLED",
        BRAID_TIMED_OUT => c"TIMED_OUT",
        BRAID_COMMIT_REFUSED => c"COMMIT_REFUSED",
        BRAID_BLOCK_REFUSED => c"BLOCK_REFUSED",
        BRAID_PANIC => c"PANIC",
        BRAID_INTERNAL => c"INTERNAL",
        _ => c"UNKNOWN",
    };
    name.as_ptr()
}
