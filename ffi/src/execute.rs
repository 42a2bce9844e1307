//! Executes a block.

use crate::{
    block::BraidBlock,
    cancel::BraidCancel,
    chain::BraidChain,
    commits::{BraidCommitFn, CommitStream},
    entry::{self, SizedStruct},
    error::{BraidError, Failure},
    executor::{BraidExecutor, Parts},
    import::Import,
    lists::Check,
    prestate::BraidPrestate,
    reader::{BraidReader, HostState},
    result::{BraidResult, Roots, Times},
};
use braid_core::{
    AccessListCheck, Block, Chain, Engine, Outcome, StateSource,
    engine::{Commit, Limits},
};
use std::{
    ffi::c_void,
    mem::offset_of,
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
    /// NULL, or takes each committed step while later transactions still run; NULL for the
    /// functions that produce an access list. Since ABI 0.2.
    pub commit: BraidCommitFn,
    /// Passed to `commit`.
    pub commit_user: *mut c_void,
}

// SAFETY: `repr(C)`, integers and pointers, NULL allowed; the first field is the size.
unsafe impl SizedStruct for BraidRequest {
    const FIRST: usize = offset_of!(Self, commit);
}

/// Executes a block on its parent state.
///
/// A status from 300 to 399 means that the block is invalid; any other one but `BRAID_OK` means
/// that nothing is known about it. The executor is usable after any of them.
///
/// Ownership: `request` is borrowed; the caller frees `*out`. Safe from any thread; calls on one
/// executor take turns. Blocks until the block is done; calls the reader and `commit` back, on this
/// and other threads. A callback that calls this function is answered `BRAID_REENTRANT`. The
/// calling thread executes too; its stack needs 256 KiB.
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
    // SAFETY: the contract of this function.
    unsafe { call(Task::Execute, executor, request, out, error) }
}

/// Which of the functions that execute one block was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// `braid_execute`.
    Execute,
    /// `braid_import`.
    Import,
    /// `braid_produce_access_list`.
    ProduceAccessList,
    /// `braid_execute_with_access_list`.
    WithAccessList,
}

impl Task {
    const fn lists(self) -> bool {
        matches!(self, Self::ProduceAccessList | Self::WithAccessList)
    }
}

/// The body of every function that executes one block.
///
/// # Safety
/// As for `braid_execute`.
pub(crate) unsafe fn call(
    task: Task,
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
        let result = unsafe { execute(task, &parts, &request, start) }?;
        // SAFETY: the contract of this function.
        unsafe { entry::give(out, "out", result) }
    };
    // SAFETY: the contract of this function.
    unsafe { entry::run(error, body) }
}

/// # Safety
/// As for `braid_execute`.
unsafe fn execute(
    task: Task,
    parts: &Parts,
    request: &BraidRequest,
    start: Instant,
) -> Result<BraidResult, Failure> {
    check_flags(request.flags)?;
    if task.lists() && request.commit.is_some() {
        let message = "`request.commit` is given; with an access list there is no commit stream";
        return Err(Failure::argument(message));
    }
    // SAFETY: the contract of this function.
    let (chain, block, cancel) = unsafe {
        (
            Arc::clone(&entry::reference(request.chain, "request.chain")?.0),
            entry::sized(request.block, "request.block")?,
            entry::optional(request.cancel, "request.cancel")?,
        )
    };
    if task == Task::WithAccessList && block.access_list_rlp.len == 0 {
        return Err(Failure::null("block.access_list_rlp"));
    }
    // SAFETY: the contract of this function; the callbacks are called only below.
    let mut source = unsafe { Source::of(request.reader, request.prestate, parts) }?;
    let limits = limits(cancel, request.timeout_ns, start);
    let engine = &parts.engine;
    // SAFETY: the contract of this function.
    let block = unsafe {
        match task {
            Task::Import => block.verify(engine, &chain)?,
            Task::Execute | Task::ProduceAccessList | Task::WithAccessList => {
                block.decode(&chain)?
            }
        }
    };
    let decoded = Instant::now();
    if let Source::Host(host) = &mut source {
        host.prepare(&[&block])?;
    }
    let state = source.get();
    let job = Job { engine, chain: &chain, block: &block, source: state, limits: &limits };
    // SAFETY: the contract of this function; the callback is called only in there.
    let stream = request.commit.map(|call| unsafe { CommitStream::new(call, request.commit_user) });
    let (outcome, list_check) = job.run_task(task, stream)?;
    let executed = Instant::now();
    let header = task == Task::Import || request.flags & BRAID_CHECK_HEADER != 0;
    let times = Times {
        decode: decoded.duration_since(start),
        execute: executed.duration_since(decoded),
        executed,
        reads: source.counts(),
    };
    let receipts_rlp = request.flags & BRAID_WANT_RECEIPTS_RLP != 0;
    let mut result = finish(outcome, engine, &chain, &block, header, receipts_rlp, &times)?;
    result.check = list_check.map(Check::new);
    if task == Task::Import {
        result.import = Some(Import::new(&block));
    }
    Ok(result)
}

/// Refuses flags of a later version.
pub(crate) fn check_flags(flags: u32) -> Result<(), Failure> {
    if flags & !KNOWN_FLAGS != 0 {
        return Err(Failure::argument("`flags` has a flag that is not known"));
    }
    Ok(())
}

/// When an execution that began at `start` is abandoned.
pub(crate) fn limits(cancel: Option<&BraidCancel>, timeout_ns: u64, start: Instant) -> Limits {
    let timeout = (timeout_ns > 0).then(|| Duration::from_nanos(timeout_ns));
    Limits {
        cancel: cancel.map(|cancel| cancel.0.clone()),
        // A moment beyond what the clock can tell never comes.
        deadline: timeout.and_then(|timeout| start.checked_add(timeout)),
    }
}

/// Computes the roots, compares them with the header where that was asked for, and lays the
/// outcome out.
pub(crate) fn finish(
    outcome: Outcome,
    engine: &Engine,
    chain: &Chain,
    block: &Block,
    check_header: bool,
    receipts_rlp: bool,
    times: &Times,
) -> Result<BraidResult, Failure> {
    let rules = chain.rules(&block.header);
    let roots = Roots::of(&outcome.receipts, engine);
    if check_header {
        let byzantium = rules.has_status_receipts(&block.header);
        outcome.check_header_with(block, byzantium.then(|| roots.totals()))?;
    }
    Ok(BraidResult::new(outcome, roots, &rules, &block.header, receipts_rlp, times))
}

/// The parent state that a request names.
pub(crate) enum Source<'a> {
    Memory(&'a BraidPrestate),
    Host(HostState<'a>),
}

impl<'a> Source<'a> {
    /// # Safety
    /// As for `braid_execute`; while the result lives, the reader's callbacks may be called.
    pub(crate) unsafe fn of(
        reader: *const BraidReader,
        prestate: *const BraidPrestate,
        parts: &'a Parts,
    ) -> Result<Self, Failure> {
        // SAFETY: the contract of this function.
        let prestate = unsafe { entry::optional(prestate, "prestate") }?;
        match (prestate, reader.is_null()) {
            (Some(prestate), true) => Ok(Self::Memory(prestate)),
            // SAFETY: the contract of this function.
            (None, false) => Ok(Self::Host(unsafe {
                HostState::new(entry::sized(reader, "reader")?, &parts.codes)
            }?)),
            (None, true) => Err(Failure::null("reader` and `prestate")),
            (Some(_), false) => {
                let message = "`reader` and `prestate` are both given";
                Err(Failure::argument(message))
            }
        }
    }

    pub(crate) fn get(&self) -> &dyn StateSource {
        match self {
            Self::Memory(prestate) => &prestate.0,
            Self::Host(host) => host,
        }
    }

    /// Single reads, and reads that a batch answered.
    pub(crate) fn counts(&self) -> (u64, u64) {
        match self {
            Self::Memory(_) => (0, 0),
            Self::Host(host) => host.counts(),
        }
    }
}

/// A decoded block on its way to the engine.
struct Job<'a> {
    engine: &'a Engine,
    chain: &'a Chain,
    block: &'a Block,
    source: &'a dyn StateSource,
    limits: &'a Limits,
}

impl Job<'_> {
    fn run_task(
        &self,
        task: Task,
        stream: Option<CommitStream>,
    ) -> Result<(Outcome, Option<AccessListCheck>), Failure> {
        let Self { engine, chain, block, source, limits } = *self;
        match task {
            Task::Execute | Task::Import => Ok((self.run(stream)?, None)),
            Task::ProduceAccessList => {
                Ok((engine.produce_access_list(chain, block, source, limits)?, None))
            }
            Task::WithAccessList => {
                let list = block.access_list.as_deref().unwrap_or_default();
                let executed =
                    engine.execute_with_access_list(chain, block, source, limits, list)?;
                Ok((executed.0, Some(executed.1)))
            }
        }
    }

    fn run(&self, stream: Option<CommitStream>) -> Result<Outcome, Failure> {
        let Self { engine, chain, block, source, limits } = *self;
        let Some(mut stream) = stream else {
            return Ok(engine.execute_within(chain, block, source, limits)?);
        };
        let mut hook = |commit: Commit<'_>| stream.push(&commit);
        let outcome = engine.execute_streaming(chain, block, source, limits, &mut hook);
        match stream.refusal() {
            Some(failure) => Err(failure),
            None => Ok(outcome?),
        }
    }
}
