//! The cancel token.

use crate::{entry, error::BraidError};
use braid_core::engine::CancelToken;

/// Abandons executions from another thread. Free it with `braid_cancel_free`.
#[derive(Debug, Default)]
pub struct BraidCancel(pub(crate) CancelToken);

/// Makes a token.
///
/// Ownership: the caller frees `*out`. Safe from any thread; never blocks or calls back.
///
/// # Safety
/// `out` may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_cancel_new(
    out: *mut *mut BraidCancel,
    error: *mut *mut BraidError,
) -> i32 {
    // SAFETY: the contract of this function.
    unsafe { entry::run(error, || entry::give(out, "out", BraidCancel::default())) }
}

/// Abandons every execution that was given this token, now or later. A token stays triggered.
/// NULL is allowed and does nothing.
///
/// Safe from any thread, also from a callback or a signal handler; never blocks or calls back.
///
/// # Safety
/// `cancel` is NULL or a token that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_cancel_trigger(cancel: *const BraidCancel) {
    // SAFETY: by contract NULL or a live token.
    if let Some(cancel) = unsafe { cancel.as_ref() } {
        cancel.0.cancel();
    }
}

/// Frees a token; NULL is allowed. Executions that were given it go on, and cannot be cancelled
/// any more unless it was triggered.
///
/// Never blocks or calls back.
///
/// # Safety
/// `cancel` is NULL or a token that was not freed, and nobody else uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_cancel_free(cancel: *mut BraidCancel) {
    // SAFETY: by contract NULL or a live token, which came from `give`.
    unsafe { entry::free(cancel) }
}
