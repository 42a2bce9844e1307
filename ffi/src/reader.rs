//! The parent state, read through the host's callbacks.
//!
//! Actors: the engine's threads, each of which calls the host; the host, whose callbacks are
//! thread-safe by contract, or are called one at a time where it says so.
//!
//! Invariant: a callback's answer is used only where it reports success; anything else is a
//! failed read with the host's own code, never a zero.

use crate::{
    codes::Codes,
    entry::{self, SizedStruct},
    error::Failure,
    hints::{self, Answers, BraidPrefetchFn, BraidReadManyFn},
    status::{BRAID_OK, BRAID_WRONG_STATE},
    types::{BraidAccount, BraidAddress, BraidHash, BraidU256},
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use braid_core::{
    Block, SourceError, StateReader, StateSource,
    source::{Location, decode_code},
};
use revm::{bytecode::Bytecode, state::AccountInfo};
use std::{
    ffi::c_void,
    fmt,
    mem::offset_of,
    ptr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// A callback's answer: the value was written.
pub const BRAID_FOUND: i32 = 0;
/// A callback's answer: there is none. The account does not exist, the slot is zero; a code or
/// block hash that is absent is a failed read. Any other answer is a failed read too, and comes
/// back as the error's `host_code`.
pub const BRAID_ABSENT: i32 = 1;

/// The callbacks must not run at the same time: the library calls one at a time.
pub const BRAID_READER_SERIAL: u32 = 1;
/// A read takes much longer than the step of a transaction that asks for it, as from a disk or over
/// a network (from some 30 microseconds on): the library keeps as many reads under way as the
/// executor has threads, which should be several times as many as there are cores. Not together
/// with `BRAID_READER_SERIAL`. Since ABI 0.4.
pub const BRAID_READER_SLOW: u32 = 2;

/// Reads an account. May block. Must not execute a block, throw, or leave by a long jump.
pub type BraidAccountFn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        address: *const BraidAddress,
        account: *mut BraidAccount,
    ) -> i32,
>;

/// Reads a storage slot of an account that exists. As for `braid_account_fn`.
pub type BraidStorageFn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        address: *const BraidAddress,
        key: *const BraidU256,
        value: *mut BraidU256,
    ) -> i32,
>;

/// Reads the code with this hash and gives it to `braid_code_put`; a code with another hash is a
/// failed read. An executor keeps codes, and does not ask again soon. As for `braid_account_fn`.
pub type BraidCodeFn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        hash: *const BraidHash,
        sink: *mut BraidCodeSink,
    ) -> i32,
>;

/// Reads the hash of an ancestor, at most 256 blocks back. As for `braid_account_fn`.
pub type BraidBlockHashFn =
    Option<unsafe extern "C" fn(user: *mut c_void, number: u64, hash: *mut BraidHash) -> i32>;

/// How the library reads the parent state. The four single reads are needed, the rest may be NULL.
/// Any of the executor's threads calls them, several at once unless `BRAID_READER_SERIAL` is set,
/// only during the call that was given the reader.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidReader {
    /// The size of this struct.
    pub struct_size: u32,
    /// `BRAID_READER_` flags.
    pub flags: u32,
    /// Passed to every callback.
    pub user: *mut c_void,
    /// Reads an account.
    pub account: BraidAccountFn,
    /// Reads a storage slot.
    pub storage: BraidStorageFn,
    /// Reads a code.
    pub code: BraidCodeFn,
    /// Reads the hash of an ancestor.
    pub block_hash: BraidBlockHashFn,
    /// NULL, or is told what the block names. Since ABI 0.2.
    pub prefetch: BraidPrefetchFn,
    /// NULL, or reads what the block names in one go. Since ABI 0.2.
    pub read_many: BraidReadManyFn,
}

// SAFETY: `repr(C)`, two `u32` and seven pointers, NULL allowed; the first field is the size.
unsafe impl SizedStruct for BraidReader {
    const FIRST: usize = offset_of!(Self, prefetch);
}

/// Takes the code that a callback was asked for. Valid during that callback only.
#[derive(Debug, Default)]
pub struct BraidCodeSink(Option<Bytes>);

/// Gives the code to the library; once per callback.
///
/// Ownership: `code` is copied. Only inside the callback that was given `sink`, on its thread;
/// never blocks or calls back. Returns `BRAID_OK`, `BRAID_NULL_ARGUMENT`, `BRAID_INVALID_ARGUMENT`
/// or, for a second code, `BRAID_WRONG_STATE`.
///
/// # Safety
/// `sink` is NULL or the running callback's; `code` points to `len` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_code_put(
    sink: *mut BraidCodeSink,
    code: *const u8,
    len: usize,
) -> i32 {
    let body = || {
        // SAFETY: the contract of this function.
        let (sink, code) =
            unsafe { (entry::out(sink, "sink")?, entry::array(code, len as u64, "code")?) };
        if sink.0.is_some() {
            return Err(Failure::new(BRAID_WRONG_STATE, "the code was given already"));
        }
        sink.0 = Some(Bytes::copy_from_slice(code));
        Ok(())
    };
    // SAFETY: no error is asked for.
    unsafe { entry::run(ptr::null_mut(), body) }
}

/// What a callback returned instead of success.
#[derive(Debug)]
pub(crate) struct HostCode {
    callback: &'static str,
    pub(crate) code: i32,
}

impl fmt::Display for HostCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            BRAID_OK => write!(f, "the callback `{}` reported success without it", self.callback),
            BRAID_ABSENT => write!(f, "the callback `{}` has none", self.callback),
            code => write!(f, "the callback `{}` returned {code}", self.callback),
        }
    }
}

impl std::error::Error for HostCode {}

/// The host's state during one execution.
pub(crate) struct HostState<'a> {
    codes: &'a Codes,
    reader: BraidReader,
    account: unsafe extern "C" fn(*mut c_void, *const BraidAddress, *mut BraidAccount) -> i32,
    storage: unsafe extern "C" fn(
        *mut c_void,
        *const BraidAddress,
        *const BraidU256,
        *mut BraidU256,
    ) -> i32,
    code: unsafe extern "C" fn(*mut c_void, *const BraidHash, *mut BraidCodeSink) -> i32,
    block_hash: unsafe extern "C" fn(*mut c_void, u64, *mut BraidHash) -> i32,
    serial: Mutex<()>,
    answers: Answers,
    reads: AtomicU64,
}

// SAFETY: only `user` hinders the compiler. It is passed to the callbacks alone, which are
// thread-safe by contract, or called under `serial`.
unsafe impl Sync for HostState<'_> {}

impl<'a> HostState<'a> {
    /// Looks at the callbacks.
    ///
    /// # Safety
    /// While the result lives, the callbacks may be called with `user`, by several threads at once
    /// unless the reader is serial.
    pub(crate) unsafe fn new(reader: BraidReader, codes: &'a Codes) -> Result<Self, Failure> {
        if reader.flags & !(BRAID_READER_SERIAL | BRAID_READER_SLOW) != 0 {
            return Err(Failure::argument("`reader.flags` has a flag that is not known"));
        }
        if reader.flags == BRAID_READER_SERIAL | BRAID_READER_SLOW {
            let message = "`reader.flags`: BRAID_READER_SLOW needs callbacks that may run at the \
                           same time, without BRAID_READER_SERIAL";
            return Err(Failure::argument(message));
        }
        Ok(Self {
            codes,
            reader,
            account: reader.account.ok_or_else(|| Failure::null("reader.account"))?,
            storage: reader.storage.ok_or_else(|| Failure::null("reader.storage"))?,
            code: reader.code.ok_or_else(|| Failure::null("reader.code"))?,
            block_hash: reader.block_hash.ok_or_else(|| Failure::null("reader.block_hash"))?,
            serial: Mutex::new(()),
            answers: Answers::default(),
            reads: AtomicU64::new(0),
        })
    }

    /// Tells the host what the blocks name, and asks it for that in one go, where it has the
    /// callbacks.
    pub(crate) fn prepare(&mut self, blocks: &[&Block]) -> Result<(), SourceError> {
        let (prefetch, read_many) = (self.reader.prefetch, self.reader.read_many);
        if prefetch.is_none() && read_many.is_none() {
            return Ok(());
        }
        let keys = hints::keys(blocks);
        let user = self.reader.user;
        if let Some(prefetch) = prefetch {
            let count = keys.len() as u64;
            // SAFETY: by the contract of `new`; `keys` has `count` elements.
            match entry::callback(|| unsafe { prefetch(user, keys.as_ptr(), count) }) {
                BRAID_OK => {}
                code => return Err(failed(Location::Reader, "prefetch", code)),
            }
        }
        if let Some(read_many) = read_many {
            // SAFETY: by the contract of `new`.
            unsafe { self.answers.read(&keys, user, read_many) }
                .map_err(|code| failed(Location::Reader, "read_many", code))?;
        }
        Ok(())
    }

    /// How many single reads the host was asked for, and how many a batch answered.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.reads.load(Ordering::Relaxed), self.answers.count())
    }

    fn call(&self, call: impl FnOnce(*mut c_void) -> i32) -> i32 {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let serial = self.reader.flags & BRAID_READER_SERIAL != 0;
        let _turn = serial.then(|| self.serial.lock().unwrap_or_else(PoisonError::into_inner));
        entry::callback(|| call(self.reader.user))
    }
}

fn failed(location: Location, callback: &'static str, code: i32) -> SourceError {
    SourceError::new(location, HostCode { callback, code })
}

impl StateSource for HostState<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(self))
    }

    fn is_slow(&self) -> bool {
        self.reader.flags & BRAID_READER_SLOW != 0
    }
}

impl StateReader for &HostState<'_> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        if let Some(answer) = self.answers.account(&address) {
            return Ok(answer);
        }
        let (key, mut account) = (BraidAddress::from(address), BraidAccount::default());
        // SAFETY: by the contract of `new`; both pointers are to live locals.
        match self.call(|user| unsafe { (self.account)(user, &key, &mut account) }) {
            BRAID_FOUND => Ok(Some(AccountInfo::from(&account))),
            BRAID_ABSENT => Ok(None),
            code => Err(failed(Location::Account(address), "account", code)),
        }
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        if let Some(value) = self.answers.slot(address, slot) {
            return Ok(value);
        }
        let (of, key) = (BraidAddress::from(address), BraidU256::from(slot));
        let mut value = BraidU256::default();
        // SAFETY: by the contract of `new`; the pointers are to live locals.
        match self.call(|user| unsafe { (self.storage)(user, &of, &key, &mut value) }) {
            BRAID_FOUND => Ok(value.into()),
            BRAID_ABSENT => Ok(U256::ZERO),
            code => Err(failed(Location::Storage(address, slot), "storage", code)),
        }
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError> {
        if let Some(code) = self.codes.get(&hash) {
            return Ok(code);
        }
        let (key, mut sink) = (BraidHash::from(hash), BraidCodeSink::default());
        // SAFETY: by the contract of `new`; both pointers are to live locals.
        let answer = self.call(|user| unsafe { (self.code)(user, &key, &mut sink) });
        let (BRAID_FOUND, Some(code)) = (answer, sink.0) else {
            return Err(failed(Location::Code(hash), "code", answer));
        };
        let actual = keccak256(&code);
        if actual != hash {
            let reason = format!("the callback `code` gave one with the hash {actual}");
            return Err(SourceError::new(Location::Code(hash), reason));
        }
        let code = decode_code(code);
        self.codes.put(hash, code.clone());
        Ok(code)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        let mut hash = BraidHash::default();
        // SAFETY: by the contract of `new`; the pointer is to a live local.
        match self.call(|user| unsafe { (self.block_hash)(user, number, &mut hash) }) {
            BRAID_FOUND => Ok(hash.into()),
            code => Err(failed(Location::BlockHash(number), "block_hash", code)),
        }
    }
}
