//! Executes consecutive blocks, the threads ahead of the block that is being finished, and gives
//! the results one by one.
//!
//! Role: decode the blocks, run them through the engine's range, and hand each result to the host
//! while later blocks are executed. Actors: the calling thread, which alone calls the host's
//! `each`; the executor's threads, which read through the host's reader.
//!
//! Invariants: the results come in order, each once, and no result after a failure; a failure says
//! which block it is about.

use crate::{
    block::BraidBlock,
    cancel::BraidCancel,
    chain::BraidChain,
    entry::{self, SizedStruct},
    error::{BraidError, Failure},
    execute::{BRAID_CHECK_HEADER, BRAID_WANT_RECEIPTS_RLP, Source, check_flags, finish, limits},
    executor::{BraidExecutor, Parts},
    prestate::BraidPrestate,
    reader::BraidReader,
    result::{BraidResult, Times},
    status::{BRAID_BLOCK_REFUSED, BRAID_OK},
};
use braid_core::{Block, Chain, Engine, Outcome};
use std::{
    ffi::c_void,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

/// An answer to a block of a range: enough, the range ends with `BRAID_OK`. Since ABI 0.3.
pub const BRAID_RANGE_STOP: i32 = 1;

/// Takes the result of the block with this index in the range. The blocks come in order, on the
/// thread that called `braid_execute_range`, while later blocks are executed already. Since ABI
/// 0.3.
///
/// `BRAID_OK` goes on, `BRAID_RANGE_STOP` ends the range. Any other answer ends it too, and
/// `braid_execute_range` returns `BRAID_BLOCK_REFUSED` with the answer as `host_code`. Must not
/// execute a block, wait for one on the same executor, throw, or leave by a long jump.
///
/// Ownership: the host frees `result` with `braid_result_free`, whatever it answers, now or later,
/// on any thread.
pub type BraidRangeFn =
    Option<unsafe extern "C" fn(user: *mut c_void, index: u64, result: *mut BraidResult) -> i32>;

/// Consecutive blocks to execute. Everything is borrowed during the call. Since ABI 0.3.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidRangeRequest {
    /// The size of this struct.
    pub struct_size: u32,
    /// `BRAID_WANT_` and `BRAID_CHECK_` flags, for every block.
    pub flags: u32,
    /// The chain's rules.
    pub chain: *const BraidChain,
    /// The blocks, each one the parent of the next.
    pub blocks: *const *const BraidBlock,
    /// How many blocks there are.
    pub blocks_count: u64,
    /// The state before the first block, to be read through callbacks; NULL where `prestate` is
    /// given. Its hints, `prefetch` and `read_many`, are about all the blocks.
    pub reader: *const BraidReader,
    /// The state before the first block, in memory; NULL where `reader` is given.
    pub prestate: *const BraidPrestate,
    /// NULL, or the token that abandons the range.
    pub cancel: *const BraidCancel,
    /// After how many nanoseconds from the call the range is abandoned; 0: never. Looked at between
    /// transactions, as the token is.
    pub timeout_ns: u64,
    /// Takes the results.
    pub each: BraidRangeFn,
    /// Passed to `each`.
    pub each_user: *mut c_void,
}

// SAFETY: `repr(C)`, integers and pointers, NULL allowed; the first field is the size.
unsafe impl SizedStruct for BraidRangeRequest {}

/// Executes consecutive blocks, the first one on the state that the reader or the pre-state has,
/// each other one on what the blocks before it leave, and gives every result to `each`. With more
/// than one thread the blocks overlap: idle threads go ahead with the next one. Each result is what
/// `braid_execute` gives for the block. Since ABI 0.3.
///
/// The state is asked for nothing that a block of the range has changed, and for no hash of one.
/// All blocks are decoded first. Memory: the decoded blocks, what two blocks need, and an entry for
/// each account and slot that the range has changed so far; give a long range in parts.
///
/// The error's `transaction` and message are those of the block that failed, and
/// `braid_error_block` says which one it is. `each` got all blocks before that one and no other;
/// none where a block cannot be decoded. A status from 300 to 399 means that this block is invalid,
/// `BRAID_BROKEN_RANGE` that it does not follow the block before it, any other one but `BRAID_OK`
/// that nothing is known about it. In `braid_statistics`, `execute_ns` is the time since the block
/// before was given, and `reads` and `batched_reads` count since then.
///
/// Ownership: `range` is borrowed; `each` owns the results. Safe from any thread; calls on one
/// executor take turns. Blocks until the range is done; calls `each` back on this thread, the
/// reader on this and other threads. A callback that calls this function is answered
/// `BRAID_REENTRANT`. The calling thread executes too; its stack needs 256 KiB.
///
/// # Safety
/// `executor` is NULL or live. `range` is NULL or points to as many bytes as its `struct_size`
/// says, and so do the structs that it points to; its handles are live; its bytes are readable.
/// `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_execute_range(
    executor: *const BraidExecutor,
    range: *const BraidRangeRequest,
    error: *mut *mut BraidError,
) -> i32 {
    let body = || {
        let start = Instant::now();
        entry::refuse_in_callback()?;
        // SAFETY: the contract of this function.
        let (executor, range) =
            unsafe { (entry::reference(executor, "executor")?, entry::sized(range, "range")?) };
        // A callback may free the handle.
        let parts = Arc::clone(&executor.0);
        // SAFETY: the contract of this function.
        unsafe { execute(&parts, &range, start) }
    };
    // SAFETY: the contract of this function.
    unsafe { entry::run(error, body) }
}

/// # Safety
/// As for `braid_execute_range`.
unsafe fn execute(parts: &Parts, range: &BraidRangeRequest, start: Instant) -> Result<(), Failure> {
    check_flags(range.flags)?;
    let call = range.each.ok_or_else(|| Failure::null("range.each"))?;
    // SAFETY: the contract of this function.
    let (chain, blocks, cancel) = unsafe {
        (
            Arc::clone(&entry::reference(range.chain, "range.chain")?.0),
            entry::array(range.blocks, range.blocks_count, "range.blocks")?,
            entry::optional(range.cancel, "range.cancel")?,
        )
    };
    // SAFETY: the contract of this function; the callbacks are called only below.
    let mut source = unsafe { Source::of(range.reader, range.prestate, parts) }?;
    let limits = limits(cancel, range.timeout_ns, start);
    // SAFETY: the contract of this function.
    let decoded = unsafe { decode(&chain, blocks) }?;
    let blocks: Vec<&Block> = decoded.iter().map(|(block, _)| block).collect();
    if let Source::Host(host) = &mut source {
        host.prepare(&blocks)?;
    }
    let mut giver = Giver {
        engine: &parts.engine,
        chain: &chain,
        decoded: &decoded,
        source: &source,
        flags: range.flags,
        call,
        user: range.each_user,
        since: Instant::now(),
        reads: source.counts(),
    };
    let mut stopped = None;
    let each = |index, outcome| match giver.give(index, outcome) {
        Ok(flow) => flow,
        Err(failure) => {
            stopped = Some(failure.in_block(index));
            ControlFlow::Break(())
        }
    };
    let ended = parts.engine.execute_range(&chain, &blocks, source.get(), &limits, each);
    if let Some(failure) = stopped {
        return Err(failure);
    }
    ended?;
    Ok(())
}

/// The blocks with their senders, and how long each took to decode.
///
/// # Safety
/// As for `braid_execute_range`.
unsafe fn decode(
    chain: &Chain,
    blocks: &[*const BraidBlock],
) -> Result<Vec<(Block, Duration)>, Failure> {
    let one = |(index, block): (usize, &*const BraidBlock)| {
        let start = Instant::now();
        // SAFETY: the contract of this function.
        let block = unsafe {
            entry::sized(*block, "range.blocks[i]").and_then(|block| block.decode(chain))
        };
        let block = block.map_err(|failure| failure.in_block(index))?;
        Ok((block, start.elapsed()))
    };
    blocks.iter().enumerate().map(one).collect()
}

/// Gives the results to the host.
struct Giver<'a> {
    engine: &'a Engine,
    chain: &'a Chain,
    decoded: &'a [(Block, Duration)],
    source: &'a Source<'a>,
    flags: u32,
    call: unsafe extern "C" fn(*mut c_void, u64, *mut BraidResult) -> i32,
    user: *mut c_void,
    /// When the block before was given, and what the host had been asked for by then.
    since: Instant,
    reads: (u64, u64),
}

impl Giver<'_> {
    fn give(&mut self, index: usize, outcome: Outcome) -> Result<ControlFlow<()>, Failure> {
        let (block, decode) = &self.decoded[index];
        let (executed, reads) = (Instant::now(), self.source.counts());
        let times = Times {
            decode: *decode,
            execute: executed.duration_since(self.since),
            executed,
            reads: (reads.0 - self.reads.0, reads.1 - self.reads.1),
        };
        let check = self.flags & BRAID_CHECK_HEADER != 0;
        let receipts_rlp = self.flags & BRAID_WANT_RECEIPTS_RLP != 0;
        let result = finish(outcome, self.engine, self.chain, block, check, receipts_rlp, &times)?;
        let result = Box::into_raw(Box::new(result));
        // SAFETY: by the contract of `braid_execute_range` the callback may be called with `user`;
        // the result is live, and the host's from now on.
        let answer = entry::callback(|| unsafe { (self.call)(self.user, index as u64, result) });
        (self.since, self.reads) = (Instant::now(), reads);
        match answer {
            BRAID_OK => Ok(ControlFlow::Continue(())),
            BRAID_RANGE_STOP => Ok(ControlFlow::Break(())),
            host_code => {
                let message = format!("the callback `each` returned {host_code}");
                Err(Failure { host_code, ..Failure::new(BRAID_BLOCK_REFUSED, message) })
            }
        }
    }
}
