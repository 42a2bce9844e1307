//! Failures: inside the crate a [`Failure`], for the caller an error object that he owns.
//!
//! There is no error per thread: hosts such as Go move between threads.

use crate::{reader::HostCode, status::*};
use alloy_evm::block::BlockValidationError as Verdict;
use braid_core::{
    ExecuteError, HostError, ImportError, InvalidBlock, SourceError, block::BlockError,
    chain::ChainError, engine::RangeError, outcome::HeaderMismatch,
};
use std::{
    ffi::{CString, c_char},
    ptr,
};

/// Longer messages are cut.
const MAX_MESSAGE: usize = 8 * 1024;

/// Why a call failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: i32,
    pub(crate) transaction: Option<usize>,
    /// Index in the range, where a block of one failed.
    pub(crate) block: Option<usize>,
    pub(crate) host_code: i32,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(status: i32, message: impl Into<String>) -> Self {
        Self { status, transaction: None, block: None, host_code: 0, message: message.into() }
    }

    pub(crate) fn null(name: &str) -> Self {
        Self::new(BRAID_NULL_ARGUMENT, format!("`{name}` is NULL"))
    }

    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new(BRAID_INVALID_ARGUMENT, message)
    }

    pub(crate) fn at(mut self, transaction: usize) -> Self {
        self.transaction = Some(transaction);
        self
    }

    /// Says that the failure is that of a block of a range.
    pub(crate) fn in_block(mut self, index: usize) -> Self {
        self.block = Some(index);
        self.message = format!("block {index} of the range: {}", self.message);
        self
    }
}

/// An error with its details. Free it with `braid_error_free`.
#[derive(Debug)]
pub struct BraidError {
    view: BraidErrorView,
    block: i64,
    /// Keeps `view.message` alive.
    _message: CString,
}

/// What an error says.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidErrorView {
    /// The size of this struct in the library. A field beyond it does not exist.
    pub struct_size: u32,
    /// The status that the failed function returned.
    pub status: i32,
    /// The index of the transaction that failed, or -1.
    pub transaction: i64,
    /// What the failing callback returned, or 0.
    pub host_code: i32,
    /// Always 0.
    pub reserved: u32,
    /// UTF-8, NUL-terminated, never NULL.
    pub message: *const c_char,
    /// The message's length without the terminating NUL.
    pub message_len: u64,
}

impl From<Failure> for BraidError {
    fn from(failure: Failure) -> Self {
        let mut text = failure.message;
        if text.len() > MAX_MESSAGE {
            let cut = (0..=MAX_MESSAGE).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(cut.unwrap_or(0));
        }
        let signed = |index: Option<usize>| index.and_then(|index| i64::try_from(index).ok());
        let message = CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default();
        let view = BraidErrorView {
            struct_size: size_of::<BraidErrorView>() as u32,
            status: failure.status,
            transaction: signed(failure.transaction).unwrap_or(-1),
            host_code: failure.host_code,
            reserved: 0,
            // The string's buffer stays where it is when the struct moves.
            message: message.as_ptr(),
            message_len: message.as_bytes().len() as u64,
        };
        Self { view, block: signed(failure.block).unwrap_or(-1), _message: message }
    }
}

/// What the error says; NULL for NULL.
///
/// Ownership: borrowed, valid until the error is freed. Safe from any thread; never blocks or
/// calls back.
///
/// # Safety
/// `error` is NULL or an error that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_error_get(error: *const BraidError) -> *const BraidErrorView {
    // SAFETY: by contract NULL or a live error.
    unsafe { error.as_ref() }.map_or(ptr::null(), |error| &raw const error.view)
}

/// The index in the range of the block that failed; -1 where it is not a block of a range that
/// failed, and for NULL. Since ABI 0.3.
///
/// Safe from any thread; never blocks or calls back.
///
/// # Safety
/// `error` is NULL or an error that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_error_block(error: *const BraidError) -> i64 {
    // SAFETY: by contract NULL or a live error.
    unsafe { error.as_ref() }.map_or(-1, |error| error.block)
}

/// Frees an error and its view; NULL is allowed.
///
/// Never blocks or calls back.
///
/// # Safety
/// `error` is NULL or an error that was not freed, and nobody else uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_error_free(error: *mut BraidError) {
    // SAFETY: by contract NULL or a live error, which came from `Box::into_raw`.
    unsafe { crate::entry::free(error) }
}

impl From<ChainError> for Failure {
    fn from(error: ChainError) -> Self {
        let status = match error {
            ChainError::Unknown(_) | ChainError::ConstantinopleAlone { .. } => BRAID_UNKNOWN_FORK,
            ChainError::NotAnObject | ChainError::Missing(_) | ChainError::Malformed { .. } => {
                BRAID_BAD_CHAIN_CONFIG
            }
        };
        Self::new(status, error.to_string())
    }
}

impl From<BlockError> for Failure {
    fn from(error: BlockError) -> Self {
        let (status, transaction) = match error {
            BlockError::Rlp(_) | BlockError::TrailingBytes(_) => (BRAID_BAD_BLOCK_RLP, None),
            BlockError::Signature { index, .. } => (BRAID_INVALID_SIGNATURE, Some(index)),
            BlockError::SenderCount { .. } => (BRAID_INVALID_ARGUMENT, None),
        };
        Self { transaction, ..Self::new(status, error.to_string()) }
    }
}

impl From<ExecuteError> for Failure {
    fn from(error: ExecuteError) -> Self {
        match error {
            ExecuteError::Invalid(error) => error.into(),
            ExecuteError::Host(error) => error.into(),
        }
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Block(error) => error.into(),
            ImportError::Body(mismatch) => Self::new(BRAID_BODY_MISMATCH, mismatch.to_string()),
            ImportError::Execute(error) => error.into(),
            ImportError::Header(mismatch) => mismatch.into(),
        }
    }
}

impl From<RangeError> for Failure {
    fn from(error: RangeError) -> Self {
        let message = error.to_string();
        match error {
            RangeError::Block { index, error } => Self::from(error).in_block(index),
            RangeError::Link { index, .. } => {
                Self { block: Some(index), ..Self::new(BRAID_BROKEN_RANGE, message) }
            }
        }
    }
}

impl From<InvalidBlock> for Failure {
    fn from(invalid: InvalidBlock) -> Self {
        let status = match &invalid.error {
            Verdict::InvalidTx { .. } => BRAID_INVALID_TRANSACTION,
            Verdict::TransactionGasLimitMoreThanAvailableBlockGas { .. }
            | Verdict::BlockGasExceeded => BRAID_INVALID_GAS,
            Verdict::BeaconRootContractCall { .. }
            | Verdict::BlockHashContractCall { .. }
            | Verdict::WithdrawalRequestsContractCall { .. }
            | Verdict::ConsolidationRequestsContractCall { .. }
            | Verdict::BuilderDepositRequestsContractCall { .. }
            | Verdict::BuilderExitRequestsContractCall { .. }
            | Verdict::DepositRequestDecode(_) => BRAID_INVALID_SYSTEM_CALL,
            _ => BRAID_INVALID_BLOCK,
        };
        Self { transaction: invalid.index, ..Self::new(status, invalid.to_string()) }
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        let message = error.to_string();
        match error {
            HostError::Source(error) => error.into(),
            HostError::Cancelled => Self::new(BRAID_CANCELLED, message),
            HostError::DeadlineExceeded => Self::new(BRAID_TIMED_OUT, message),
            HostError::Panic { index, .. } => {
                Self { transaction: index, ..Self::new(BRAID_PANIC, message) }
            }
            HostError::Internal(_) => Self::new(BRAID_INTERNAL, message),
        }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let host_code = error.reason.downcast_ref::<HostCode>().map_or(0, |host| host.code);
        Self { host_code, ..Self::new(BRAID_STATE_UNREADABLE, error.to_string()) }
    }
}

impl From<HeaderMismatch> for Failure {
    fn from(mismatch: HeaderMismatch) -> Self {
        Self::new(BRAID_HEADER_MISMATCH, mismatch.to_string())
    }
}
