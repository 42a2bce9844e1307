//! Codes that outlive a block, so that a host is not asked again and jump tables are not made
//! again.
//!
//! Invariants: a code stands under its own hash, which was computed, not told; so no answer of a
//! host for one block can change another. The size is bounded.

use alloy_primitives::B256;
use revm::bytecode::Bytecode;
use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

/// When this many bytes are exceeded the codes are dropped, all of them: what is in use comes back
/// within a few blocks.
const MAX_BYTES: usize = 64 << 20;

/// Shared by the threads of an executor.
#[derive(Debug, Default)]
pub(crate) struct Codes(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    codes: HashMap<B256, Bytecode>,
    bytes: usize,
}

impl Codes {
    pub(crate) fn get(&self, hash: &B256) -> Option<Bytecode> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        inner.codes.get(hash).cloned()
    }

    /// Adds a code whose hash the caller has computed.
    pub(crate) fn put(&self, hash: B256, code: Bytecode) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = code.len();
        if inner.bytes + bytes > MAX_BYTES {
            *inner = Inner::default();
        }
        if inner.codes.insert(hash, code).is_none() {
            inner.bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::keccak256;

    #[test]
    fn the_size_is_bounded() {
        let codes = Codes::default();
        let first = vec![0_u8; MAX_BYTES / 2];
        let second = vec![1_u8; MAX_BYTES / 2 + 1];
        for code in [&first, &first, &second] {
            codes.put(keccak256(code), Bytecode::new_legacy(code.clone().into()));
        }
        assert!(codes.get(&keccak256(&first)).is_none(), "dropped");
        assert!(codes.get(&keccak256(&second)).is_some(), "kept");
    }
}
