//! Executes a block.

use crate::{
    block::BraidBlock,
    cancel::BraidCancel,
    chain::BraidChain,
    entry::{self, SizedStruct},
    error::{BraidError, Failure},
    executor::{BraidExecutor, Parts},
    prestate::BraidPrestate,
    reader::{BraidReader, HostState},
    result::{BraidResult, Times},
};
use braid_core::{Outcome, StateSource, engine::Limits};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Also encode the receipts as the RLP list that peers exchange.
pub const BRAID_WANT_RECEIPTS_RLP: u32 = 1;
/// Compare the outcome with the header: gas used, receipts root, logs bloom, blob gas, requests
/// hash, block access list hash; not the state root, nor the receipts root before Byzantium.
pub const BRAID_CHECK_HEADER: u32 = 2;

const KNOWN_FLAGS: u32 = BRAID_WANT_RECEIPTS_RLP | BRAID_CHECK_HEADER;

/// What to execute. Everything is borrowed during the call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidRequest {
    /// The size of this struct.
    pub struct_size: u32,
    /// `BRAID_WANT_` and `BRAID_CHECK_` flags.
    pub flags: u32,
    /// The chain's rules.
    pub chain: *const BraidChain,
    /// The block.
    pub block: *const BraidBlock,
    /// The parent state, to be read through callbacks; NULL where `prestate` is given.
    pub reader: *const BraidReader,
    /// The parent state, in memory; NULL where `reader` is given.
    pub prestate: *const BraidPrestate,
    /// NULL, or the token that abandons the execution.
    pub cancel: *const BraidCancel,
    /// After how many nanoseconds from the call the execution is abandoned; 0: never. Looked at
    /// between transactions, as the token is.
    pub timeout_ns: u64,
}

// SAFETY: `repr(C)`, integers and pointers, NULL allowed; the first field is the size.
unsafe impl SizedStruct for BraidRequest {}

/// Executes a block on its parent state.
///
/// A status from 300 to 399 means that the block is invalid; any other one but `BRAID_OK` means
/// that nothing is known about it. The executor is usable after any of them.
///
/// Ownership: `request` is borrowed; the caller frees `*out`. Safe from any thread; calls on one
/// executor take turns. Blocks until the block is done; calls the reader back, on this and other
/// threads. A callback that calls this function is answered `BRAID_REENTRANT`.
///
/// # Safety
/// `executor` is NULL or live. `request` is NULL or points to as many bytes as its `struct_size`
/// says, and so do the structs that it points to; its handles are live; its bytes are readable.
/// `out` may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_execute(
    executor: *const BraidExecutor,
    request: *const BraidRequest,
    out: *mut *mut BraidResult,
    error: *mut *mut BraidError,
) -> i32 {
    let body = || {
        let start = Instant::now();
        entry::refuse_in_callback()?;
        // SAFETY: the contract of this function.
        let (executor, request) = unsafe {
            entry::out(out, "out")?;
            (entry::reference(executor, "executor")?, entry::sized(request, "request")?)
        };
        // A callback may free the handle.
        let parts = Arc::clone(&executor.0);
        // SAFETY: the contract of this function.
        let result = unsafe { execute(&parts, &request, start) }?;
        // SAFETY: the contract of this function.
        unsafe { entry::give(out, "out", result) }
    };
    // SAFETY: the contract of this function.
    unsafe { entry::run(error, body) }
}

/// # Safety
/// As for `braid_execute`.
unsafe fn execute(
    parts: &Parts,
    request: &BraidRequest,
    start: Instant,
) -> Result<BraidResult, Failure> {
    if request.flags & !KNOWN_FLAGS != 0 {
        return Err(Failure::argument("`request.flags` has a flag that is not known"));
    }
    // SAFETY: the contract of this function.
    let (chain, block, cancel, prestate) = unsafe {
        (
            Arc::clone(&entry::reference(request.chain, "request.chain")?.0),
            entry::sized(request.block, "request.block")?,
            entry::optional(request.cancel, "request.cancel")?,
            entry::optional(request.prestate, "request.prestate")?,
        )
    };
    let host;
    let source: &dyn StateSource = match (prestate, request.reader.is_null()) {
        (Some(prestate), true) => &prestate.0,
        (None, false) => {
            // SAFETY: the contract of this function; the callbacks are called only below.
            host = unsafe {
                HostState::new(entry::sized(request.reader, "request.reader")?, &parts.codes)
            }?;
            &host
        }
        (None, true) => return Err(Failure::null("request.reader` and `request.prestate")),
        (Some(_), false) => {
            let message = "`request.reader` and `request.prestate` are both given";
            return Err(Failure::argument(message));
        }
    };
    let timeout = (request.timeout_ns > 0).then(|| Duration::from_nanos(request.timeout_ns));
    let limits = Limits {
        cancel: cancel.map(|cancel| cancel.0.clone()),
        // A moment beyond what the clock can tell never comes.
        deadline: timeout.and_then(|timeout| start.checked_add(timeout)),
    };
    // SAFETY: the contract of this function.
    let block = unsafe { block.decode(&chain) }?;
    let decoded = Instant::now();
    let outcome: Outcome = parts.engine.execute_within(&chain, &block, source, &limits)?;
    let executed = Instant::now();
    if request.flags & BRAID_CHECK_HEADER != 0 {
        let byzantium = chain.rules(&block.header).has_status_receipts(&block.header);
        outcome.check_header(&block, byzantium)?;
    }
    let times = Times { start, decoded, executed };
    let receipts_rlp = request.flags & BRAID_WANT_RECEIPTS_RLP != 0;
    Ok(BraidResult::new(outcome, &chain.rules(&block.header), &block.header, receipts_rlp, &times))
}
