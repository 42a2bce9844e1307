//! What one execution read.
//!
//! Role: the log by which a result is validated when its turn comes; [`super::soft`] has the rules.
//! Actors: the view of a worker writes it, whoever commits compares it.
//!
//! Invariant: each account stands here once, and each slot names the account's own read.

use super::tables::{AccountValue, Stamp};
use alloy_primitives::{B256, U256};

/// An account read: what was seen, under which stamp, and what the execution made of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccountRead {
    pub(crate) id: u32,
    /// The execution depends on the very balance.
    pub(crate) hard_balance: bool,
    /// The execution depends on the very nonce.
    pub(crate) hard_nonce: bool,
    /// A slot of the account was read.
    pub(crate) slots: bool,
    /// It was looked at as the parent state has it ([`super::hot`]).
    pub(crate) apart: bool,
    pub(crate) stamp: Stamp,
    pub(crate) value: AccountValue,
    /// The sum of all debits that were attempted, wei, saturating.
    pub(crate) debits: U256,
}

impl AccountRead {
    pub(crate) const fn harden(&mut self) {
        self.hard_balance = true;
        self.hard_nonce = true;
    }
}

/// A storage read: what was seen, under which stamp.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotRead {
    /// Place of the account's own read in the read set.
    pub(crate) account: u32,
    pub(crate) id: u32,
    pub(crate) stamp: Stamp,
    pub(crate) value: U256,
}

/// Everything one execution read.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadSet {
    pub(crate) accounts: Vec<AccountRead>,
    pub(crate) slots: Vec<SlotRead>,
    /// Numbers and hashes of ancestors. They do not change in a block, so only a host with a
    /// database of its own compares them.
    pub(crate) block_hashes: Vec<(u64, B256)>,
    /// Some of it was read while the parent block was still being executed.
    pub(crate) early: bool,
}

impl ReadSet {
    /// How many accounts and slots were read.
    pub(crate) const fn len(&self) -> usize {
        self.accounts.len() + self.slots.len()
    }

    pub(crate) fn clear(&mut self) {
        self.accounts.clear();
        self.slots.clear();
        self.block_hashes.clear();
        self.early = false;
    }
}
