//! The C ABI of braid: execute Ethereum blocks in parallel from any language.
//!
//! Role: ownership, panic boundary, conversion; every decision is the core's. Actors: a host, which
//! owns every handle and frees it with the function of the same name, and its reader, which the
//! engine's threads call back during an execution.
//!
//! Invariants: no panic and no output leave the library; a pointer is checked before it is
//! used; a handle passed as `const` may be used by several threads at once; what is borrowed from
//! the caller is not looked at after the call returns.

mod block;
mod cancel;
mod chain;
mod codes;
mod commits;
mod entry;
mod error;
mod execute;
mod executor;
mod hints;
mod import;
mod lists;
mod prestate;
mod range;
mod reader;
mod result;
mod status;
mod types;

pub use block::*;
pub use cancel::*;
pub use chain::*;
pub use commits::{
    BRAID_STEP_POST_BLOCK, BRAID_STEP_PRE_BLOCK, BRAID_STEP_TRANSACTION, BraidCommit,
    BraidCommitFn, BraidCommittedAccount,
};
pub use error::{BraidError, BraidErrorView, braid_error_block, braid_error_free, braid_error_get};
pub use execute::*;
pub use executor::*;
pub use hints::{
    BRAID_KEY_ACCOUNT, BRAID_KEY_SLOT, BRAID_UNANSWERED, BraidAnswer, BraidKey, BraidPrefetchFn,
    BraidReadManyFn,
};
pub use import::{BraidImportView, braid_import, braid_result_import};
pub use lists::{
    BRAID_ACCESS_ACCOUNT, BRAID_ACCESS_BALANCE, BRAID_ACCESS_CODE, BRAID_ACCESS_NONCE,
    BRAID_ACCESS_ORDER, BRAID_ACCESS_STORAGE, BRAID_ACCESS_STORAGE_READ, BRAID_VALUE_ACCESSED,
    BRAID_VALUE_CODE, BRAID_VALUE_NONCE, BRAID_VALUE_NOTHING, BRAID_VALUE_WORD,
    BraidAccessListCheck, BraidAccessValue, braid_execute_with_access_list,
    braid_produce_access_list, braid_result_access_list_check,
};
pub use prestate::*;
pub use range::{BRAID_RANGE_STOP, BraidRangeFn, BraidRangeRequest, braid_execute_range};
pub use reader::*;
pub use result::*;
pub use status::*;
pub use types::*;

use std::ffi::c_char;

/// The version of the ABI that this header describes: the major number in the upper 16 bits. A
/// library fits where its major number is the same and its minor number is not smaller.
pub const BRAID_ABI_VERSION: u32 = 4;

/// The version of the ABI that the library has; compare it with `BRAID_ABI_VERSION` at start.
///
/// Safe from any thread; never blocks or calls back.
#[unsafe(no_mangle)]
pub extern "C" fn braid_abi_version() -> u32 {
    BRAID_ABI_VERSION
}

/// The library's own version, for people.
///
/// Ownership: a static string, NUL-terminated. Safe from any thread; never blocks or calls back.
#[unsafe(no_mangle)]
pub extern "C" fn braid_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
