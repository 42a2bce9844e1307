//! A chain's rules, by name or from a geth genesis `config`.

use crate::{
    entry,
    error::{BraidError, Failure},
    status::{BRAID_BAD_JSON, BRAID_UNKNOWN_CHAIN},
};
use braid_core::Chain;
use std::{
    ffi::{CStr, c_char},
    sync::Arc,
};

/// The rules of a chain. Never changes. Free it with `braid_chain_free`.
#[derive(Debug)]
pub struct BraidChain(pub(crate) Arc<Chain>);

/// A known chain: `mainnet`, `sepolia`, `holesky` or `hoodi`.
///
/// Ownership: `name` (NUL-terminated) is borrowed; the caller frees `*out`. Safe from any thread;
/// never blocks or calls back.
///
/// # Safety
/// `name` is NULL or a string; `out` may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_chain_by_name(
    name: *const c_char,
    out: *mut *mut BraidChain,
    error: *mut *mut BraidError,
) -> i32 {
    let body = || {
        if name.is_null() {
            return Err(Failure::null("name"));
        }
        // SAFETY: not NULL, and by contract NUL-terminated.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        let chain = Chain::by_name(&name).ok_or_else(|| {
            let known = "known: mainnet, sepolia, holesky, hoodi";
            Failure::new(BRAID_UNKNOWN_CHAIN, format!("no chain is named `{name}`; {known}"))
        })?;
        // SAFETY: the contract of this function.
        unsafe { entry::give(out, "out", BraidChain(Arc::new(chain))) }
    };
    // SAFETY: the contract of this function.
    unsafe { entry::run(error, body) }
}

/// Any chain, from the `config` object of a geth genesis file. A key that is not known is refused,
/// for it may be a fork.
///
/// Ownership: `json` (UTF-8, `len` bytes) is borrowed; the caller frees `*out`. Safe from any
/// thread; never blocks or calls back.
///
/// # Safety
/// `json` points to `len` readable bytes; `out` may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_chain_from_config(
    json: *const u8,
    len: usize,
    out: *mut *mut BraidChain,
    error: *mut *mut BraidError,
) -> i32 {
    let body = || {
        if json.is_null() {
            return Err(Failure::null("json"));
        }
        // SAFETY: the contract of this function.
        let text = unsafe { entry::array(json, len as u64, "json") }?;
        let config: serde_json::Value = serde_json::from_slice(text)
            .map_err(|error| Failure::new(BRAID_BAD_JSON, format!("chain config: {error}")))?;
        let chain = Chain::from_genesis_config(&config)?;
        // SAFETY: the contract of this function.
        unsafe { entry::give(out, "out", BraidChain(Arc::new(chain))) }
    };
    // SAFETY: the contract of this function.
    unsafe { entry::run(error, body) }
}

/// The chain id (EIP-155); 0 for NULL.
///
/// Safe from any thread; never blocks or calls back.
///
/// # Safety
/// `chain` is NULL or a chain that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_chain_id(chain: *const BraidChain) -> u64 {
    // SAFETY: by contract NULL or a live chain.
    unsafe { chain.as_ref() }.map_or(0, |chain| chain.0.id())
}

/// Frees a chain; NULL is allowed. A block that is being executed keeps its rules.
///
/// Never blocks or calls back.
///
/// # Safety
/// `chain` is NULL or a chain that was not freed, and nobody else uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_chain_free(chain: *mut BraidChain) {
    // SAFETY: by contract NULL or a live chain, which came from `give`.
    unsafe { entry::free(chain) }
}
