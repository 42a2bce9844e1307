//! The executor: an engine with its threads.

use crate::{
    codes::Codes,
    entry::{self, SizedStruct},
    error::{BraidError, Failure},
};
use braid_core::{Engine, Options, OutputKind};
use std::sync::Arc;

/// More threads than any block can use.
const MAX_THREADS: u32 = 1024;

/// Speculate on every block, however small. For tests.
pub const BRAID_EXECUTOR_FORCED: u32 = 1;

/// An engine with its threads, and the codes that its readers gave. Free it with
/// `braid_executor_free`.
#[derive(Debug)]
pub struct BraidExecutor(pub(crate) Arc<Parts>);

/// What an execution shares with the handle, which may be freed meanwhile.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) engine: Engine,
    pub(crate) codes: Codes,
}

/// How an executor works. Nothing here changes a result.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidExecutorOptions {
    /// The size of this struct.
    pub struct_size: u32,
    /// How many threads execute a block, the calling one included; 0: one per core. At most 1024.
    pub threads: u32,
    /// `BRAID_EXECUTOR_` flags.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, four `u32`, the first one the size.
unsafe impl SizedStruct for BraidExecutorOptions {}

/// Starts an executor. `options` may be NULL: one thread per core.
///
/// Ownership: `options` is borrowed; the caller frees `*out`. Safe from any thread; may block while
/// threads start; never calls back. A process that forks must not use it in the child.
///
/// # Safety
/// `options` is NULL or points to as many bytes as its `struct_size` says; `out` may be written;
/// `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_executor_new(
    options: *const BraidExecutorOptions,
    out: *mut *mut BraidExecutor,
    error: *mut *mut BraidError,
) -> i32 {
    let body = || {
        // SAFETY: the contract of this function.
        unsafe { entry::out(out, "out") }?;
        let mut with = Options { output: OutputKind::Flat, ..Options::default() };
        if !options.is_null() {
            // SAFETY: the contract of this function.
            let options = unsafe { entry::sized(options, "options") }?;
            if options.threads > MAX_THREADS {
                let message = format!("{} threads; at most {MAX_THREADS}", options.threads);
                return Err(Failure::argument(message));
            }
            if options.flags & !BRAID_EXECUTOR_FORCED != 0 || options.reserved != 0 {
                return Err(Failure::argument("`options` has a flag that is not known"));
            }
            if options.threads > 0 {
                with.threads = options.threads as usize;
            }
            with.forced = options.flags & BRAID_EXECUTOR_FORCED != 0;
        }
        entry::silence_panics();
        let parts = Parts { engine: Engine::new(with), codes: Codes::default() };
        let executor = BraidExecutor(Arc::new(parts));
        // SAFETY: the contract of this function.
        unsafe { entry::give(out, "out", executor) }
    };
    // SAFETY: the contract of this function.
    unsafe { entry::run(error, body) }
}

/// Ends an executor; NULL is allowed. Where a block is being executed, its threads end after it.
///
/// May block until the threads have ended; never calls back.
///
/// # Safety
/// `executor` is NULL or an executor that was not freed, and nobody begins to use it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_executor_free(executor: *mut BraidExecutor) {
    // SAFETY: by contract NULL or a live executor, which came from `give`.
    unsafe { entry::free(executor) }
}
