//! Calls of one target whose speculation fails: the scheduler hands them out one after the other.
//!
//! Role: remember, for each target of a block, whether speculation on it has failed of late.
//! Actors: the holder of the commit token, or the host that stands in for it, notes; workers ask.
//!
//! Invariant: nothing of it can change a result; a wrong answer costs a re-execution or a wait.

use super::dependencies::{NONE, previous};
use crate::{
    block::Block,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};
use alloy_consensus::Transaction as _;

/// How many speculations on a target must hold after one that failed until it is trusted again.
const FAILED: u32 = 8;
/// The same after many that failed.
const MOST: u32 = 64;

/// What is known of the targets of one block.
#[derive(Debug)]
pub(super) struct Chains<'b> {
    block: &'b Block,
    /// Set with the first failure; until then nobody needs the rest.
    active: AtomicBool,
    links: OnceLock<Links>,
}

/// The transactions with the same target, by index.
#[derive(Debug)]
struct Links {
    /// The one before; [`NONE`] for the first one.
    previous: Box<[u32]>,
    /// The first one.
    first: Box<[u32]>,
    /// At the first one: how many speculations must hold until the target is trusted again.
    doubts: Box<[AtomicU32]>,
}

impl<'b> Chains<'b> {
    pub(super) fn new(block: &'b Block) -> Self {
        Self { block, active: AtomicBool::new(false), links: OnceLock::new() }
    }

    /// Whether any speculation has failed, or was expected to.
    pub(super) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    fn links(&self) -> &Links {
        self.links.get_or_init(|| {
            let transactions = &self.block.transactions;
            let previous = previous(transactions.len(), |index| transactions[index].to());
            let mut first: Box<[u32]> = (0..previous.len() as u32).collect();
            for (index, previous) in previous.iter().enumerate() {
                if *previous != NONE {
                    first[index] = first[*previous as usize];
                }
            }
            let doubts = previous.iter().map(|_| AtomicU32::new(0)).collect();
            Links { previous, first, doubts }
        })
    }

    fn doubts(&self, index: usize) -> &AtomicU32 {
        let links = self.links();
        &links.doubts[links.first[index] as usize]
    }

    /// The previous transaction with the same target; [`NONE`] also while nobody needs to know.
    pub(super) fn previous(&self, index: usize) -> u32 {
        if self.is_active() { self.links().previous[index] } else { NONE }
    }

    /// Whether speculation on this transaction's target is not to be trusted.
    pub(super) fn fails(&self, index: usize) -> bool {
        self.is_active() && self.doubts(index).load(Ordering::Relaxed) > 0
    }

    /// Notes that speculation on a transaction has failed, or is expected to.
    pub(super) fn failed(&self, index: usize) {
        let doubts = self.doubts(index);
        doubts.store((doubts.load(Ordering::Relaxed) + FAILED).min(MOST), Ordering::Relaxed);
        self.active.store(true, Ordering::Release);
    }

    /// Notes that a speculation held.
    pub(super) fn held(&self, index: usize) {
        if self.fails(index) {
            let doubts = self.doubts(index);
            let left = doubts.load(Ordering::Relaxed).saturating_sub(1);
            doubts.store(left, Ordering::Relaxed);
        }
    }
}
