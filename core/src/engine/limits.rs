//! Cancellation and deadline of one execution.

use crate::{
    error::HostError,
    sync::atomic::{AtomicBool, Ordering},
};
use std::{sync::Arc, time::Instant};

/// Set from any thread to abandon a block; clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Abandons every execution that was given this token.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// When to give a block up. Looked at between transactions: an execution ends at most one
/// transaction, or one read of the source, after its limit.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Set by the caller to abandon the block.
    pub cancel: Option<CancelToken>,
    /// The moment after which the block is abandoned.
    pub deadline: Option<Instant>,
}

impl Limits {
    pub(crate) fn exceeded(&self) -> Option<HostError> {
        if self.cancel.as_ref().is_some_and(CancelToken::is_cancelled) {
            return Some(HostError::Cancelled);
        }
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        late.then_some(HostError::DeadlineExceeded)
    }
}
