//! Whether sharing short transactions has paid on this machine.
//!
//! Role: for blocks of payments, which take about as long as their accounts take from core to
//! core, remember what a transaction took on the calling thread and what it took shared, and choose
//! the better way. How far apart two cores are differs from machine to machine, and on virtual ones
//! from minute to minute. Actor: whoever holds the engine.
//!
//! Invariant: a choice decides where a block runs and never what it gives. Now and then the other
//! way is tried, so that an old experience does not last for ever.

use crate::block::Block;
use std::time::Duration;

/// A block that uses less gas for each transaction consists of short ones.
const SHORT: u64 = 50_000;
/// So many blocks after the last try the other way is tried again.
const RETRY: u32 = 16;

/// What blocks of short transactions took.
#[derive(Debug, Default)]
pub(super) struct Experience {
    /// Nanoseconds for each transaction, on the calling thread and shared.
    alone: Option<f64>,
    shared: Option<f64>,
    /// Blocks since the other way was tried.
    since: u32,
    /// The other way is being tried: what was known of it is old.
    trying: bool,
}

impl Experience {
    /// Whether experience counts for this block.
    pub(super) fn concerns(block: &Block) -> bool {
        let count = block.transactions.len() as u64;
        count > 1 && block.header.gas_used < SHORT * count
    }

    /// Whether the calling thread should do such a block alone.
    pub(super) fn prefers_alone(&mut self) -> bool {
        self.since += 1;
        self.trying = false;
        let (Some(alone), Some(shared)) = (self.alone, self.shared) else {
            // Shared first, then alone: each is tried once.
            return self.shared.is_some();
        };
        let better = alone < shared;
        if self.since > RETRY {
            self.since = 0;
            self.trying = true;
            return !better;
        }
        better
    }

    /// Notes what a block took.
    pub(super) fn note(&mut self, block: &Block, took: Duration, was_shared: bool) {
        let each = took.as_nanos() as f64 / block.transactions.len().max(1) as f64;
        let known = if was_shared { &mut self.shared } else { &mut self.alone };
        // The last block counts as much as all before it: the machine changes.
        *known = match *known {
            Some(known) if !self.trying => Some((known + each) / 2.0),
            _ => Some(each),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{SignableTransaction, TxLegacy, transaction::Recovered};
    use alloy_primitives::{Address, Signature};

    fn payments(count: usize) -> Block {
        let mut block = Block::default();
        block.header.gas_used = 21_000 * count as u64;
        let tx = || {
            let signed = TxLegacy::default().into_signed(Signature::test_signature());
            Recovered::new_unchecked(signed.into(), Address::ZERO)
        };
        block.transactions = (0..count).map(|_| tx()).collect();
        block
    }

    #[test]
    fn it_concerns_blocks_of_short_transactions() {
        assert!(Experience::concerns(&payments(100)));
        assert!(!Experience::concerns(&payments(1)));
        let mut calls = payments(100);
        calls.header.gas_used = 8_000_000;
        assert!(!Experience::concerns(&calls));
    }

    #[test]
    fn the_better_way_is_taken_and_the_other_one_tried_again() {
        let (mut experience, block) = (Experience::default(), payments(100));
        let (alone, mut shared) = (Duration::from_micros(100), Duration::from_micros(250));
        let mut run = |shared: Duration| {
            let alone_now = experience.prefers_alone();
            let took = if alone_now { alone } else { shared };
            experience.note(&block, took, !alone_now);
            alone_now
        };
        assert_eq!([run(shared), run(shared)], [false, true], "each way once");
        let taken = (0..100).filter(|_| run(shared)).count();
        assert!((90..100).contains(&taken), "{taken}");
        shared = Duration::from_micros(60);
        let taken = (0..100).filter(|_| run(shared)).count();
        assert!(taken < 50, "the machine has changed: {taken}");
    }
}
