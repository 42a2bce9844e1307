//! What a block's transactions say of each other before anything runs.
//!
//! Role: what the scheduler ([`super::schedule`]) knows of each transaction, and of which one waits
//! for which whatever was learned from earlier blocks. Actors: whoever begins the block makes it,
//! perhaps on another thread than the forecast; the scheduler takes it over.
//!
//! Invariant: it depends on the block and the optimisations alone.

use super::{Optimisations, chains::Chains, dependencies::before, hot, record::Record, work::Work};
use crate::{
    block::{Block, Transaction},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU8},
    },
};
use alloy_consensus::{Transaction as _, transaction::Recovered};
use alloy_primitives::Address;

/// The state of a transaction that was not executed yet; any other is the worker that did it,
/// plus one, the last of them standing for all with higher numbers.
pub(super) const IDLE: u8 = 0;

/// What workers tell each other about one transaction: all of it on one cache line, because each
/// of them looks at it, and nothing else there, because they write to it at the same time.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Item {
    /// [`IDLE`], or who executed it.
    pub(super) status: AtomicU8,
    /// Its speculation failed: the next one with its target waits for it.
    pub(super) failed: AtomicBool,
    /// It began when the previous one with its target had come to an end.
    pub(super) sound: AtomicBool,
    /// A call without data: a plain payment, unless its target has code.
    pub(super) payment: bool,
    /// Its record, once it is ready; none stands for a speculation that came to nothing. Who
    /// takes it, or makes it unready again, holds the lock.
    pub(super) record: Mutex<Option<Box<Record>>>,
}

impl Item {
    fn new(tx: &Recovered<Transaction>) -> Self {
        let payment =
            tx.input().is_empty() && tx.kind().is_call() && tx.authorization_list().is_none();
        Self {
            status: AtomicU8::new(IDLE),
            failed: AtomicBool::new(false),
            sound: AtomicBool::new(false),
            payment,
            record: Mutex::new(None),
        }
    }
}

/// What a block's transactions say of each other, whatever is known of earlier blocks.
#[derive(Debug)]
pub(crate) struct Plan<'b> {
    pub(super) items: Box<[Item]>,
    /// The transaction that one waits for whatever is known, if any ([`super::dependencies`]).
    pub(super) before: Box<[u32]>,
    pub(super) chains: Chains<'b>,
    /// Accounts that many payments share ([`super::hot`]).
    pub(super) hot: Vec<Address>,
    /// What the transactions take, where that is known already.
    pub(super) work: Option<Work<'b>>,
}

impl<'b> Plan<'b> {
    pub(crate) fn new(block: &'b Block, optimisations: Optimisations) -> Self {
        let items = block.transactions.iter().map(Item::new).collect();
        let commute = optimisations.hot_accounts && optimisations.commutative_balances;
        let hot = if commute { hot::accounts(block) } else { Vec::new() };
        let before = before(block, optimisations);
        Self { items, before, chains: Chains::new(block), hot, work: None }
    }
}
