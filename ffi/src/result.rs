//! What an execution yields, laid out for C.
//!
//! Role: turn an [`Outcome`] into one view of plain arrays. Logs' topics and data, codes and
//! requests are borrowed from the outcome; everything else is converted once.
//!
//! Invariant: the result owns all that its view points to, and nothing of it moves or changes
//! until the result is freed.

use crate::{
    entry,
    import::Import,
    lists::Check,
    types::{BraidAccount, BraidAddress, BraidBloom, BraidBytes, BraidHash, BraidSlot, first},
};
use alloy_consensus::{Header, ReceiptWithBloom};
use alloy_hardforks::EthereumHardforks;
use alloy_primitives::{B256, Bloom, Log};
use braid_core::{
    Engine, Outcome, Receipt, StateChanges, StateOutput, Statistics, chain::Rules,
    outcome::AccountChange,
};
use std::{
    ptr,
    time::{Duration, Instant},
};

/// The block's fork has requests (EIP-7685), though there may be none in the block.
pub const BRAID_HAS_REQUESTS: u32 = 1;
/// `access_list_rlp` is the block access list (EIP-7928): on a fork that has one, and where it was
/// asked for.
pub const BRAID_HAS_ACCESS_LIST: u32 = 2;
/// Receipts have a status (EIP-658), so that `receipts_root` is that of the header. Before
/// Byzantium it is not.
pub const BRAID_HAS_RECEIPTS_ROOT: u32 = 4;

/// The account did not exist before the block and does after it.
pub const BRAID_ACCOUNT_CREATED: u32 = 1;
/// The account existed before the block and does not after it.
pub const BRAID_ACCOUNT_DESTROYED: u32 = 2;
/// All storage from before the block is gone; what `slots` does not list is zero.
pub const BRAID_ACCOUNT_WIPED: u32 = 4;

/// The result of a valid block. Free it with `braid_result_free`.
#[derive(Debug)]
pub struct BraidResult {
    view: BraidResultView,
    /// What `braid_import` adds.
    pub(crate) import: Option<Import>,
    /// What `braid_execute_with_access_list` adds.
    pub(crate) check: Option<Check>,
    _owned: Owned,
}

/// Everything that a block yields. Arrays follow the block's order or are sorted: the same block
/// gives the same bytes, whatever the threads. An array without elements, here and in what the
/// arrays hold, is NULL.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidResultView {
    /// The size of this struct in the library. A field beyond it does not exist.
    pub struct_size: u32,
    /// `BRAID_HAS_` flags.
    pub flags: u32,
    /// Gas used by the block.
    pub gas_used: u64,
    /// Blob gas used by the block (EIP-4844).
    pub blob_gas_used: u64,
    /// The root of the receipts.
    pub receipts_root: BraidHash,
    /// The hash of the requests (EIP-7685).
    pub requests_hash: BraidHash,
    /// The union of the receipts' blooms.
    pub logs_bloom: BraidBloom,
    /// The requests (EIP-7685), each with its type byte in front; none is empty.
    pub requests: *const BraidBytes,
    /// How many requests there are.
    pub requests_count: u64,
    /// One receipt per transaction.
    pub receipts: *const BraidReceipt,
    /// How many receipts there are.
    pub receipts_count: u64,
    /// The logs of all receipts, one receipt after the other.
    pub logs: *const BraidLog,
    /// How many logs there are.
    pub logs_count: u64,
    /// The accounts that the block changed, sorted by address.
    pub accounts: *const BraidAccountChange,
    /// How many changed accounts there are.
    pub accounts_count: u64,
    /// The changed slots of all accounts, one account after the other.
    pub slots: *const BraidSlot,
    /// How many changed slots there are.
    pub slots_count: u64,
    /// The codes that changed accounts newly have, sorted by hash.
    pub codes: *const BraidCode,
    /// How many new codes there are.
    pub codes_count: u64,
    /// The receipts as peers exchange them; empty unless `BRAID_WANT_RECEIPTS_RLP` asked for it.
    pub receipts_rlp: BraidBytes,
    /// The block access list (EIP-7928); empty without `BRAID_HAS_ACCESS_LIST`.
    pub access_list_rlp: BraidBytes,
    /// What the executor did. Never NULL.
    pub statistics: *const BraidStatistics,
}

/// The receipt of one transaction.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidReceipt {
    /// The transaction's type (EIP-2718).
    pub transaction_type: u8,
    /// 1 where the transaction succeeded, 0 where it reverted.
    pub success: u8,
    /// Always 0.
    pub reserved: [u8; 6],
    /// Gas used by the block up to and with this transaction.
    pub cumulative_gas_used: u64,
    /// Gas used by this transaction.
    pub gas_used: u64,
    /// The bloom of its logs.
    pub logs_bloom: BraidBloom,
    /// Its logs.
    pub logs: *const BraidLog,
    /// How many logs it has.
    pub logs_count: u64,
}

/// A log.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidLog {
    /// The contract that logged.
    pub address: BraidAddress,
    /// How many topics there are, at most 4.
    pub topics_count: u32,
    /// The topics.
    pub topics: *const BraidHash,
    /// The data.
    pub data: BraidBytes,
}

/// The net effect of a block on one account.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidAccountChange {
    /// The account.
    pub address: BraidAddress,
    /// `BRAID_ACCOUNT_` flags.
    pub flags: u32,
    /// Before the block; all zeros where the account did not exist.
    pub before: BraidAccount,
    /// After the block; all zeros where the account does not exist.
    pub after: BraidAccount,
    /// The changed slots with their values after the block, sorted by key; with
    /// `BRAID_ACCOUNT_WIPED` every slot that is not zero.
    pub slots: *const BraidSlot,
    /// How many slots changed.
    pub slots_count: u64,
}

/// A code with its Keccak-256.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidCode {
    /// The hash.
    pub hash: BraidHash,
    /// The code.
    pub bytes: BraidBytes,
}

/// Counters and times of one execution. None of them influences a result.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidStatistics {
    /// The size of this struct in the library. A field beyond it does not exist.
    pub struct_size: u32,
    /// Threads that took part, the calling one included.
    pub workers: u32,
    /// How many times a transaction was executed, repeated executions included.
    pub executions: u64,
    /// Speculative executions that were repeated in order.
    pub reexecutions: u64,
    /// Transactions executed in order at once, without speculation.
    pub direct: u64,
    /// Speculative executions that failed and were thrown away.
    pub discarded: u64,
    /// 1 where the executor stopped speculating on this block.
    pub fell_back: u64,
    /// Nanoseconds to decode the block and to recover its senders.
    pub decode_ns: u64,
    /// Nanoseconds to execute it, waiting for the executor included.
    pub execute_ns: u64,
    /// Nanoseconds to make this result, `roots_ns` included.
    pub result_ns: u64,
    /// Nanoseconds to compute the blooms and the receipts root.
    pub roots_ns: u64,
    /// Single reads that the reader was asked for. Since ABI 0.2.
    pub reads: u64,
    /// Reads that needed no callback because `read_many` had answered them. Since ABI 0.2.
    pub batched_reads: u64,
}

/// What the view points to. Vectors and boxes keep their memory when the struct moves.
#[derive(Debug)]
struct Owned {
    _outcome: Outcome,
    _changes: StateChanges,
    _requests: Vec<BraidBytes>,
    _receipts: Vec<BraidReceipt>,
    _logs: Vec<BraidLog>,
    _accounts: Vec<BraidAccountChange>,
    _slots: Vec<BraidSlot>,
    _codes: Vec<BraidCode>,
    _receipts_rlp: Vec<u8>,
    _access_list_rlp: Vec<u8>,
    _statistics: Box<BraidStatistics>,
}

/// How long the steps of an execution took, and what it asked the host for.
pub(crate) struct Times {
    /// How long decoding took, and executing.
    pub(crate) decode: Duration,
    pub(crate) execute: Duration,
    /// When the execution had ended.
    pub(crate) executed: Instant,
    /// Single reads, and reads that a batch answered.
    pub(crate) reads: (u64, u64),
}

/// What is hashed over the receipts.
pub(crate) struct Roots {
    blooms: Vec<Bloom>,
    bloom: Bloom,
    receipts_root: B256,
    ns: u64,
}

impl Roots {
    /// Of these receipts, by the engine's threads, as far as they are not at a block.
    pub(crate) fn of(receipts: &[Receipt], engine: &Engine) -> Self {
        let start = Instant::now();
        let (receipts_root, blooms) = engine.receipts_root_and_blooms(receipts);
        let bloom = blooms.iter().fold(Bloom::ZERO, |all, bloom| all | *bloom);
        Self { blooms, bloom, receipts_root, ns: start.elapsed().as_nanos() as u64 }
    }

    /// The receipts root and the union of the blooms.
    pub(crate) const fn totals(&self) -> (B256, Bloom) {
        (self.receipts_root, self.bloom)
    }
}

fn with_blooms<'a>(from: &'a [Receipt], blooms: &[Bloom]) -> Vec<ReceiptWithBloom<&'a Receipt>> {
    let pairs = from.iter().zip(blooms);
    pairs.map(|(receipt, bloom)| ReceiptWithBloom { receipt, logs_bloom: *bloom }).collect()
}

impl BraidResult {
    pub(crate) fn new(
        mut outcome: Outcome,
        roots: Roots,
        rules: &Rules<'_>,
        header: &Header,
        receipts_rlp: bool,
        times: &Times,
    ) -> Self {
        let changes = match &mut outcome.state {
            StateOutput::Flat(changes) => std::mem::take(changes),
            bundle @ StateOutput::Bundle(_) => bundle.to_flat(),
        };
        let with_blooms = || with_blooms(&outcome.receipts, &roots.blooms);
        let encoded = if receipts_rlp { encode(&with_blooms()) } else { Vec::new() };
        let (receipts, logs) = receipts(&outcome.receipts, &roots.blooms);
        let (accounts, slots) = accounts(&changes.accounts);
        let access_list_rlp = outcome.access_list.as_ref().map(alloy_rlp::encode);
        let mut flags = 0;
        for (flag, holds) in [
            (BRAID_HAS_REQUESTS, rules.is_prague_active_at_timestamp(header.timestamp)),
            (BRAID_HAS_ACCESS_LIST, access_list_rlp.is_some()),
            (BRAID_HAS_RECEIPTS_ROOT, rules.has_status_receipts(header)),
        ] {
            flags |= if holds { flag } else { 0 };
        }
        let owned = Owned {
            _requests: outcome.requests.iter().map(|request| BraidBytes::of(request)).collect(),
            _codes: codes(&changes),
            _changes: changes,
            _receipts: receipts,
            _logs: logs,
            _accounts: accounts,
            _slots: slots,
            _receipts_rlp: encoded,
            _access_list_rlp: access_list_rlp.unwrap_or_default(),
            _statistics: Box::new(statistics(&outcome.statistics, times, roots.ns)),
            _outcome: outcome,
        };
        let view = view(&owned, flags, roots.receipts_root, roots.bloom);
        Self { view, import: None, check: None, _owned: owned }
    }
}

fn view(owned: &Owned, flags: u32, receipts_root: B256, bloom: Bloom) -> BraidResultView {
    let outcome = &owned._outcome;
    BraidResultView {
        struct_size: size_of::<BraidResultView>() as u32,
        flags,
        gas_used: outcome.gas_used,
        blob_gas_used: outcome.blob_gas_used,
        receipts_root: receipts_root.into(),
        requests_hash: outcome.requests_hash().into(),
        logs_bloom: bloom.into(),
        requests: first(&owned._requests),
        requests_count: owned._requests.len() as u64,
        receipts: first(&owned._receipts),
        receipts_count: owned._receipts.len() as u64,
        logs: first(&owned._logs),
        logs_count: owned._logs.len() as u64,
        accounts: first(&owned._accounts),
        accounts_count: owned._accounts.len() as u64,
        slots: first(&owned._slots),
        slots_count: owned._slots.len() as u64,
        codes: first(&owned._codes),
        codes_count: owned._codes.len() as u64,
        receipts_rlp: BraidBytes::of(&owned._receipts_rlp),
        access_list_rlp: BraidBytes::of(&owned._access_list_rlp),
        statistics: &raw const *owned._statistics,
    }
}

fn encode(receipts: &[ReceiptWithBloom<&Receipt>]) -> Vec<u8> {
    let mut rlp = Vec::new();
    alloy_rlp::encode_list(receipts, &mut rlp);
    rlp
}

/// The receipts, and all their logs in one array.
pub(crate) fn receipts(from: &[Receipt], blooms: &[Bloom]) -> (Vec<BraidReceipt>, Vec<BraidLog>) {
    let mut logs = Vec::with_capacity(from.iter().map(|receipt| receipt.logs.len()).sum());
    logs.extend(from.iter().flat_map(|receipt| &receipt.logs).map(log));
    let mut rest: &[BraidLog] = &logs;
    let mut before = 0;
    let convert = |(receipt, bloom): (&Receipt, &Bloom)| {
        let (own, after) = rest.split_at(receipt.logs.len());
        rest = after;
        let gas_used = receipt.cumulative_gas_used.saturating_sub(before);
        before = receipt.cumulative_gas_used;
        BraidReceipt {
            transaction_type: receipt.tx_type.into(),
            success: receipt.success.into(),
            reserved: [0; 6],
            cumulative_gas_used: receipt.cumulative_gas_used,
            gas_used,
            logs_bloom: (*bloom).into(),
            logs: first(own),
            logs_count: own.len() as u64,
        }
    };
    let receipts = from.iter().zip(blooms).map(convert).collect();
    (receipts, logs)
}

fn log(log: &Log) -> BraidLog {
    const { assert!(size_of::<B256>() == size_of::<BraidHash>()) };
    const { assert!(align_of::<B256>() == align_of::<BraidHash>()) };
    BraidLog {
        address: log.address.into(),
        topics_count: log.data.topics().len() as u32,
        topics: first(log.data.topics()).cast(),
        data: BraidBytes::of(&log.data.data),
    }
}

/// The accounts, and all their slots in one array.
fn accounts(from: &[AccountChange]) -> (Vec<BraidAccountChange>, Vec<BraidSlot>) {
    let mut slots = Vec::with_capacity(from.iter().map(|change| change.storage.len()).sum());
    let all = from.iter().flat_map(|change| &change.storage);
    slots.extend(all.map(|(key, value)| BraidSlot { key: (*key).into(), value: (*value).into() }));
    let mut rest: &[BraidSlot] = &slots;
    let convert = |change: &AccountChange| {
        let (own, after) = rest.split_at(change.storage.len());
        rest = after;
        let mut flags = 0;
        for (flag, holds) in [
            (BRAID_ACCOUNT_CREATED, change.created()),
            (BRAID_ACCOUNT_DESTROYED, change.destroyed()),
            (BRAID_ACCOUNT_WIPED, change.wiped),
        ] {
            flags |= if holds { flag } else { 0 };
        }
        BraidAccountChange {
            address: change.address.into(),
            flags,
            before: change.before.as_ref().map(BraidAccount::from).unwrap_or_default(),
            after: change.after.as_ref().map(BraidAccount::from).unwrap_or_default(),
            slots: first(own),
            slots_count: own.len() as u64,
        }
    };
    let accounts = from.iter().map(convert).collect();
    (accounts, slots)
}

fn codes(changes: &StateChanges) -> Vec<BraidCode> {
    let code = |(hash, code): &(B256, revm::bytecode::Bytecode)| BraidCode {
        hash: (*hash).into(),
        bytes: BraidBytes::of(code.original_byte_slice()),
    };
    changes.codes.iter().map(code).collect()
}

fn statistics(from: &Statistics, times: &Times, roots_ns: u64) -> BraidStatistics {
    let nanos = |time: Duration| time.as_nanos() as u64;
    BraidStatistics {
        struct_size: size_of::<BraidStatistics>() as u32,
        workers: from.workers,
        executions: from.executions,
        reexecutions: from.reexecutions,
        direct: from.direct,
        discarded: from.discarded,
        fell_back: from.fell_back.into(),
        decode_ns: nanos(times.decode),
        execute_ns: nanos(times.execute),
        result_ns: nanos(times.executed.elapsed()),
        roots_ns,
        reads: times.reads.0,
        batched_reads: times.reads.1,
    }
}

/// The whole result; NULL for NULL.
///
/// Ownership: borrowed, with all that it points to, until the result is freed. Safe from any
/// thread; never blocks or calls back.
///
/// # Safety
/// `result` is NULL or a result that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_result_get(result: *const BraidResult) -> *const BraidResultView {
    // SAFETY: by contract NULL or a live result.
    unsafe { result.as_ref() }.map_or(ptr::null(), |result| &raw const result.view)
}

/// Frees a result and its view; NULL is allowed.
///
/// Never blocks or calls back.
///
/// # Safety
/// `result` is NULL or a result that was not freed, and nobody else uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn braid_result_free(result: *mut BraidResult) {
    // SAFETY: by contract NULL or a live result, which came from `give`.
    unsafe { entry::free(result) }
}
