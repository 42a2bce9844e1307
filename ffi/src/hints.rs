//! What a block names before it runs: told to the host, or read from it at once.
//!
//! Role: list the accounts and slots that the block will most likely read, give the list to the
//! host's `prefetch`, and put what its `read_many` answers before the single reads. Actors: the
//! thread that executes the block, once, before any other callback; later all threads, which only
//! look answers up.
//!
//! Invariants: the list and the answers are a head start and change no result: what is not
//! answered here is asked for singly. The answers never change while threads look at them, so no
//! lock is needed.

use crate::{
    entry,
    reader::{BRAID_ABSENT, BRAID_FOUND},
    types::{BraidAccount, BraidAddress, BraidU256},
};
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, U256, map::HashMap};
use braid_core::Block;
use revm::state::AccountInfo;
use std::{
    collections::BTreeSet,
    ffi::c_void,
    sync::atomic::{AtomicU64, Ordering},
};

/// A key's kind: an account.
pub const BRAID_KEY_ACCOUNT: u32 = 0;
/// A key's kind: a storage slot.
pub const BRAID_KEY_SLOT: u32 = 1;

/// What a batched answer is preset to: a key that is left so is asked for singly.
pub const BRAID_UNANSWERED: i32 = 2;

/// More keys than this, from access lists that name what nobody reads, would only cost time.
const MAX_KEYS: usize = 1 << 16;

/// Something to read: an account or a storage slot.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BraidKey {
    /// The account.
    pub address: BraidAddress,
    /// `BRAID_KEY_ACCOUNT` or `BRAID_KEY_SLOT`.
    pub kind: u32,
    /// The slot's number; zero for an account.
    pub slot: BraidU256,
}

/// The answer to one key of a batch.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BraidAnswer {
    /// `BRAID_FOUND`, `BRAID_ABSENT`, or what it is preset to, `BRAID_UNANSWERED`. Any other number
    /// is read as the last one.
    pub status: i32,
    /// 0.
    pub reserved: u32,
    /// The account, where the key is one.
    pub account: BraidAccount,
    /// The slot's value, where the key is a slot.
    pub value: BraidU256,
}

/// Tells which accounts and slots the block, or a range of blocks, names: senders, recipients,
/// access lists, beneficiaries, withdrawals. A hint: the host may start to fetch them, and should
/// return at once. Called at most once per execution, before any other callback. Any answer but
/// `BRAID_OK` is a failed read and ends the execution. As for `braid_account_fn`.
///
/// Ownership: `keys` (sorted, without repetition) is borrowed during the callback.
pub type BraidPrefetchFn =
    Option<unsafe extern "C" fn(user: *mut c_void, keys: *const BraidKey, keys_count: u64) -> i32>;

/// Reads the same keys in one go, for hosts whose storage is faster so; after `prefetch`, before
/// the single reads, at most once per execution. `answers[i]` belongs to `keys[i]`; the account of
/// a slot need not exist. Any answer but `BRAID_OK` is a failed read and ends the execution. As
/// for `braid_account_fn`.
///
/// Ownership: `keys` and `answers` are borrowed during the callback.
pub type BraidReadManyFn = Option<
    unsafe extern "C" fn(
        user: *mut c_void,
        keys: *const BraidKey,
        keys_count: u64,
        answers: *mut BraidAnswer,
    ) -> i32,
>;

/// Batched answers, and how many reads they saved.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    accounts: HashMap<Address, Option<AccountInfo>>,
    slots: HashMap<(Address, U256), U256>,
    used: AtomicU64,
}

impl Answers {
    pub(crate) fn account(&self, address: &Address) -> Option<Option<AccountInfo>> {
        self.used(self.accounts.get(address).cloned())
    }

    pub(crate) fn slot(&self, address: Address, slot: U256) -> Option<U256> {
        self.used(self.slots.get(&(address, slot)).copied())
    }

    /// How many reads were answered from here.
    pub(crate) fn count(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn used<T>(&self, answer: Option<T>) -> Option<T> {
        if answer.is_some() {
            self.used.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    /// Asks the host once for all keys. The error is what the host returned.
    ///
    /// # Safety
    /// `read` may be called with `user`.
    pub(crate) unsafe fn read(
        &mut self,
        keys: &[BraidKey],
        user: *mut c_void,
        read: unsafe extern "C" fn(*mut c_void, *const BraidKey, u64, *mut BraidAnswer) -> i32,
    ) -> Result<(), i32> {
        let unanswered = BraidAnswer {
            status: BRAID_UNANSWERED,
            reserved: 0,
            account: BraidAccount::default(),
            value: BraidU256::default(),
        };
        let mut answers = vec![unanswered; keys.len()];
        let (count, to) = (keys.len() as u64, answers.as_mut_ptr());
        // SAFETY: by contract; both arrays have `count` elements and outlive the call.
        let status = entry::callback(|| unsafe { read(user, keys.as_ptr(), count, to) });
        if status != crate::status::BRAID_OK {
            return Err(status);
        }
        for (key, answer) in keys.iter().zip(&answers) {
            let found = answer.status == BRAID_FOUND;
            if !found && answer.status != BRAID_ABSENT {
                continue;
            }
            let address = Address::from(key.address);
            if key.kind == BRAID_KEY_ACCOUNT {
                let account = found.then(|| AccountInfo::from(&answer.account));
                self.accounts.insert(address, account);
            } else {
                let value = if found { answer.value.into() } else { U256::ZERO };
                self.slots.insert((address, key.slot.into()), value);
            }
        }
        Ok(())
    }
}

/// What the blocks name, sorted by account and then by slot, the account itself first.
pub(crate) fn keys(blocks: &[&Block]) -> Vec<BraidKey> {
    let mut named = BTreeSet::new();
    blocks.iter().for_each(|block| name(block, &mut named));
    let key = |(address, slot): (Address, Option<U256>)| BraidKey {
        address: address.into(),
        kind: if slot.is_some() { BRAID_KEY_SLOT } else { BRAID_KEY_ACCOUNT },
        slot: slot.unwrap_or_default().into(),
    };
    named.into_iter().take(MAX_KEYS).map(key).collect()
}

/// Adds what a block names.
fn name(block: &Block, named: &mut BTreeSet<(Address, Option<U256>)>) {
    named.insert((block.header.beneficiary, None));
    for withdrawal in block.withdrawals.iter().flat_map(|list| list.iter()) {
        named.insert((withdrawal.address, None));
    }
    for tx in &block.transactions {
        named.insert((tx.signer(), None));
        named.extend(tx.to().map(|to| (to, None)));
        for item in tx.access_list().iter().flat_map(|list| list.iter()) {
            named.insert((item.address, None));
            let slots = item.storage_keys.iter();
            named.extend(slots.map(|slot| (item.address, Some(U256::from_be_bytes(slot.0)))));
        }
    }
    for account in block.access_list.iter().flatten() {
        named.insert((account.address, None));
        let read = account.storage_reads.iter().copied();
        let written = account.storage_changes.iter().map(|change| change.slot);
        named.extend(read.chain(written).map(|slot| (account.address, Some(slot))));
    }
}
