//! The ordered stream of committed steps, for hosts that feed their tries while later transactions
//! still run.
//!
//! Role: turn each step that the engine commits into plain arrays and give them to the host's
//! callback. Actors: whichever thread of the executor commits, one at a time, in block order.
//!
//! Invariants: the steps up to a failure are those of sequential execution; applied one after the
//! other to the parent state they give the block's state changes; a callback that refused is not
//! called again.

use crate::{
    entry,
    error::Failure,
    result::{self, BraidCode, BraidReceipt},
    status::{BRAID_COMMIT_REFUSED, BRAID_OK},
    types::{BraidAccount, BraidAddress, BraidBytes, BraidSlot, first},
};
use alloy_consensus::TxReceipt;
use alloy_primitives::{Address, U256};
use braid_core::engine::{Commit, Step};
use revm::state::Account;
use std::{ffi::c_void, panic::resume_unwind, ptr};

/// A step: system calls before the transactions.
pub const BRAID_STEP_PRE_BLOCK: u32 = 0;
/// A step: a transaction, with what its beneficiary got.
pub const BRAID_STEP_TRANSACTION: u32 = 1;
/// A step: requests, withdrawals, rewards, the DAO fork.
pub const BRAID_STEP_POST_BLOCK: u32 = 2;

/// What a step left of an account.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidCommittedAccount {
    /// The account.
    pub address: BraidAddress,
    /// `BRAID_ACCOUNT_DESTROYED`: the account and all of its storage are gone, though a later step
    /// may make it again. Else 0.
    pub flags: u32,
    /// The account after the step; all zeros where it is gone.
    pub after: BraidAccount,
    /// The slots that the step changed with their values after it, sorted by key.
    pub slots: *const BraidSlot,
    /// How many slots changed.
    pub slots_count: u64,
}

/// A committed step of a block: it can no longer change. An array without elements, here and in
/// what the arrays hold, is NULL.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidCommit {
    /// The size of this struct in the library. A field beyond it does not exist.
    pub struct_size: u32,
    /// `BRAID_STEP_`. Steps before and after the transactions may come several times, or not at
    /// all.
    pub step: u32,
    /// The transaction's index; 0 for the other steps.
    pub transaction: u64,
    /// The transaction's receipt; NULL for the other steps.
    pub receipt: *const BraidReceipt,
    /// The accounts that the step changed, sorted by address.
    pub accounts: *const BraidCommittedAccount,
    /// How many accounts changed.
    pub accounts_count: u64,
    /// The codes that those accounts newly have, sorted by hash.
    pub codes: *const BraidCode,
    /// How many new codes there are.
    pub codes_count: u64,
}

/// Takes a committed step. The steps come in block order, one at a time, on any of the executor's
/// threads, while later transactions may still run: a slow callback delays the block. Those of a
/// block that turns out to be invalid, or is abandoned, are to be thrown away.
///
/// Any answer but `BRAID_OK` abandons the block: the execution returns `BRAID_COMMIT_REFUSED` with
/// the answer as `host_code`. Must not execute a block, throw, or leave by a long jump.
///
/// Ownership: `commit` and all that it points to is borrowed during the callback.
pub type BraidCommitFn =
    Option<unsafe extern "C" fn(user: *mut c_void, commit: *const BraidCommit) -> i32>;

/// The host's callback during one execution.
pub(crate) struct CommitStream {
    commit: unsafe extern "C" fn(*mut c_void, *const BraidCommit) -> i32,
    user: *mut c_void,
    gas: u64,
    refused: Option<i32>,
}

// SAFETY: only `user` hinders the compiler. It is passed to the callback alone, which by contract
// may be called by any thread, one at a time.
unsafe impl Send for CommitStream {}

impl CommitStream {
    /// # Safety
    /// While the result lives, `commit` may be called with `user`, by one thread at a time.
    pub(crate) unsafe fn new(
        commit: unsafe extern "C" fn(*mut c_void, *const BraidCommit) -> i32,
        user: *mut c_void,
    ) -> Self {
        Self { commit, user, gas: 0, refused: None }
    }

    /// Gives a step to the host. Where the host refuses, unwinds, which ends the block.
    pub(crate) fn push(&mut self, commit: &Commit<'_>) {
        if self.refused.is_none() {
            let step = Converted::new(commit, &mut self.gas);
            let view = step.view(commit.step);
            // SAFETY: by the contract of `new`; `view` and what it points to outlive the call.
            let answer = entry::callback(|| unsafe { (self.commit)(self.user, &view) });
            self.refused = (answer != BRAID_OK).then_some(answer);
        }
        if self.refused.is_some() {
            // Not a panic: no hook runs and nothing is printed.
            resume_unwind(Box::new("the commit callback refused"));
        }
    }

    /// The failure, where the host refused.
    pub(crate) fn refusal(&self) -> Option<Failure> {
        let host_code = self.refused?;
        let message = format!("the callback `commit` returned {host_code}");
        Some(Failure { host_code, ..Failure::new(BRAID_COMMIT_REFUSED, message) })
    }
}

/// A step laid out for C.
struct Converted {
    receipt: Option<BraidReceipt>,
    _logs: Vec<result::BraidLog>,
    accounts: Vec<BraidCommittedAccount>,
    _slots: Vec<BraidSlot>,
    codes: Vec<BraidCode>,
}

impl Converted {
    fn new(commit: &Commit<'_>, gas: &mut u64) -> Self {
        let mut changed: Vec<(&Address, &Account)> =
            commit.state.iter().filter(|(_, account)| changes(account)).collect();
        changed.sort_unstable_by_key(|(address, _)| **address);
        let (accounts, slots) = accounts(&changed);
        let (mut receipt, mut logs) = (None, Vec::new());
        if let Some(of) = commit.receipt {
            let (all, own) = result::receipts(std::slice::from_ref(of), &[of.bloom()]);
            receipt = all.into_iter().next().map(|converted| BraidReceipt {
                gas_used: of.cumulative_gas_used.saturating_sub(*gas),
                ..converted
            });
            logs = own;
            *gas = of.cumulative_gas_used;
        }
        Self { receipt, _logs: logs, accounts, _slots: slots, codes: codes(&changed) }
    }

    fn view(&self, step: Step) -> BraidCommit {
        let (step, transaction) = match step {
            Step::PreBlock => (BRAID_STEP_PRE_BLOCK, 0),
            Step::Transaction(index) => (BRAID_STEP_TRANSACTION, index as u64),
            Step::PostBlock => (BRAID_STEP_POST_BLOCK, 0),
        };
        BraidCommit {
            struct_size: size_of::<BraidCommit>() as u32,
            step,
            transaction,
            receipt: self.receipt.as_ref().map_or(ptr::null(), |receipt| receipt),
            accounts: first(&self.accounts),
            accounts_count: self.accounts.len() as u64,
            codes: first(&self.codes),
            codes_count: self.codes.len() as u64,
        }
    }
}

/// By the rules by which revm's `State` commits a journal: an account that is empty at the end of
/// the step does not exist, unless it was made in it.
fn gone(account: &Account) -> bool {
    account.is_selfdestructed() || (account.is_empty() && !account.is_created())
}

fn changes(account: &Account) -> bool {
    if !account.is_touched() {
        return false;
    }
    if gone(account) {
        return !account.is_loaded_as_not_existing();
    }
    account.is_created()
        || account.is_loaded_as_not_existing()
        || account.is_changed()
        || account.storage.values().any(|slot| slot.is_changed())
}

/// The accounts, and all their slots in one array.
fn accounts(changed: &[(&Address, &Account)]) -> (Vec<BraidCommittedAccount>, Vec<BraidSlot>) {
    let own = |account: &Account| {
        let changed = account.storage.iter().filter(|(_, slot)| slot.is_changed());
        let mut slots: Vec<(U256, U256)> =
            changed.map(|(key, slot)| (*key, slot.present_value)).collect();
        slots.sort_unstable();
        if gone(account) { Vec::new() } else { slots }
    };
    let by_account: Vec<_> = changed.iter().map(|(_, account)| own(account)).collect();
    let all = by_account.iter().flatten();
    let slots: Vec<BraidSlot> =
        all.map(|(key, value)| BraidSlot { key: (*key).into(), value: (*value).into() }).collect();
    let mut rest: &[BraidSlot] = &slots;
    let convert = |((address, account), own): (&(&Address, &Account), &Vec<_>)| {
        let (own, after) = rest.split_at(own.len());
        rest = after;
        let exists = !gone(account);
        BraidCommittedAccount {
            address: (**address).into(),
            flags: if exists { 0 } else { result::BRAID_ACCOUNT_DESTROYED },
            after: if exists { (&account.info).into() } else { BraidAccount::default() },
            slots: first(own),
            slots_count: own.len() as u64,
        }
    };
    let accounts = changed.iter().zip(&by_account).map(convert).collect();
    (accounts, slots)
}

fn codes(changed: &[(&Address, &Account)]) -> Vec<BraidCode> {
    let new = changed.iter().filter_map(|(_, account)| {
        let info = &account.info;
        let known = info.code_hash == account.original_info().code_hash;
        let code = info.code.as_ref().filter(|_| !known && !info.is_empty_code_hash())?;
        let exists = !gone(account);
        exists.then(|| (info.code_hash, BraidBytes::of(code.original_byte_slice())))
    });
    let mut codes: Vec<_> = new.collect();
    codes.sort_unstable_by_key(|(hash, _)| *hash);
    codes.dedup_by_key(|(hash, _)| *hash);
    codes.into_iter().map(|(hash, bytes)| BraidCode { hash: hash.into(), bytes }).collect()
}
