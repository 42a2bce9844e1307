//! Imports a block: verifies all that it says of itself but its state root.
//!
//! Role: the block as peers exchange it in, result and senders out; the core's import, with the
//! reader's hints and the commit stream of an execution. What is left to the host is the header
//! against its parent, and the state root.

use crate::{
    error::BraidError,
    execute::{self, BraidRequest, Task},
    executor::BraidExecutor,
    result::BraidResult,
    types::{BraidAddress, BraidHash, first},
};
use braid_core::Block;
use std::ptr;

/// What an import gives beside the result.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidImportView {
    /// The size of this struct in the library. A field beyond it does not exist.
    pub struct_size: u32,
    /// Always 0.
    pub reserved: u32,
    /// The hash of the block.
    pub block_hash: BraidHash,
    /// The senders, one per transaction; NULL where there are none.
    pub senders: *const BraidAddress,
    /// How many senders there are.
    pub senders_count: u64,
}

/// The view, and the senders that it points to. A vector keeps its memory when it moves.
#[derive(Debug)]
pub(crate) struct Import {
    view: BraidImportView,
    _senders: Vec<BraidAddress>,
}

impl Import {
    pub(crate) fn new(block: &Block) -> Self {
        let senders: Vec<BraidAddress> =
            block.transactions.iter().map(|transaction| transaction.signer().into()).collect();
        let view = BraidImportView {
            struct_size: size_of::<BraidImportView>() as u32,
            reserved: 0,
            block_hash: block.header.hash_slow().into(),
            senders: first(&senders),
            senders_count: senders.len() as u64,
        };
        Self { view, _senders: senders }
    }
}

/// Imports a block on its parent state: recovers the senders on the executor's threads, compares
/// the body with the header (transactions root, ommers hash, withdrawals root), executes the block,
/// and compares the result with the header as `BRAID_CHECK_HEADER` does, whether that is set or
/// not. Not compared: the state root, and what relates the header to its parent. Since ABI 0.3.
///
/// As for `braid_execute`, the commit stream included, but: `request->block->senders` must be NULL
/// (else `BRAID_INVALID_ARGUMENT`), a body that the header contradicts is `BRAID_BODY_MISMATCH`,
/// and `braid_result_import` gives what the import found. The error's message names the header's
/// field.
///
/// Ownership: `request` is borrowed; the caller frees `*out`. Safe from any thread; calls on one
/// executor take turns. Blocks until the block is done; calls the reader and `commit` back, on this
/// and other threads.
///
/// # Safety
/// As for `braid_execute`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_import(
    executor: *const BraidExecutor,
    request: *const BraidRequest,
    out: *mut *mut BraidResult,
    error: *mut *mut BraidError,
) -> i32 {
    // SAFETY: the contract of this function.
    unsafe { execute::call(Task::Import, executor, request, out, error) }
}

/// What `braid_import` found beside the result; NULL for a result of another function, and for
/// NULL. Since ABI 0.3.
///
/// Ownership: borrowed, with all that it points to, until the result is freed. Safe from any
/// thread; never blocks or calls back.
///
/// # Safety
/// `result` is NULL or a result that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_result_import(result: *const BraidResult) -> *const BraidImportView {
    // SAFETY: by contract NULL or a live result.
    let import = unsafe { result.as_ref() }.and_then(|result| result.import.as_ref());
    import.map_or(ptr::null(), |import| &raw const import.view)
}
