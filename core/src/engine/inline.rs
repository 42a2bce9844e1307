//! Which blocks run on the calling thread, because handing their transactions over costs more than
//! it gains.
//!
//! Role: look at a block before anything runs. Nothing here can change a result: a wrong guess
//! costs time. Waking a worker takes some ten microseconds, and an account or a scheduler's line
//! travels between cores in some hundred nanoseconds, with each short transaction several times.

use crate::block::{Block, Transaction};
use alloy_consensus::{Transaction as _, transaction::Recovered};
use alloy_primitives::Address;

/// Blocks with fewer transactions are too small to wake a worker for.
const TRANSACTIONS: usize = 4;
/// The same for blocks whose header claims less gas: some hundred microseconds of work.
const GAS: u64 = 2_000_000;
/// The same where the transactions are short, so that there is little work for the gas: signatures
/// and senders apart, a payment takes about a microsecond.
const SHORT_GAS: u64 = 5_000_000;
/// A transaction is short that uses less gas than this.
const SHORT: u64 = 50_000;
/// Below this many transactions, one contract called by all of them makes a chain.
const FEW: usize = 8;

/// Whether the block is too small to gain.
pub(super) fn is_small(block: &Block) -> bool {
    let gas = block.header.gas_used;
    let most = if are_short(block) { SHORT_GAS } else { GAS };
    block.transactions.len() < TRANSACTIONS || gas < most
}

/// Whether the transactions are likely to form one chain: short ones of one sender, calls of one
/// sender to one contract, or a few calls to one contract.
pub(super) fn is_chain(block: &Block) -> bool {
    let count = block.transactions.len();
    let sender = majority(block, |tx| Some(tx.signer()));
    if are_short(block) && sender * 4 >= count * 3 {
        return true;
    }
    let target = || majority(block, |tx| tx.to().filter(|_| !tx.input().is_empty()));
    (sender * 2 > count || count < FEW) && {
        let target = target();
        target == count || (sender * 2 > count && target * 2 > count)
    }
}

fn are_short(block: &Block) -> bool {
    block.header.gas_used < SHORT * block.transactions.len() as u64
}

/// How often the key occurs that more than half of the transactions have; 0 without such a key
/// (R. S. Boyer and J S. Moore's vote: one pass finds the only candidate, a second one counts it).
fn majority(block: &Block, key: impl Fn(&Recovered<Transaction>) -> Option<Address>) -> usize {
    let (mut candidate, mut lead) = (None, 0usize);
    for tx in &block.transactions {
        let key = key(tx);
        if lead == 0 {
            candidate = key;
        }
        lead = if candidate == key { lead + 1 } else { lead - 1 };
    }
    if candidate.is_none() {
        return 0;
    }
    let count = block.transactions.iter().filter(|tx| key(tx) == candidate).count();
    if count * 2 > block.transactions.len() { count } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{SignableTransaction, TxLegacy};
    use alloy_primitives::Signature;

    /// A block of (sender, target, has data) with this much gas for each.
    fn block(txs: &[(u8, u8, bool)], gas: u64) -> Block {
        let mut block = Block::default();
        block.header.gas_used = gas * txs.len() as u64;
        block.transactions = txs
            .iter()
            .map(|&(sender, target, data)| {
                let input = if data { vec![1].into() } else { Default::default() };
                let to = Address::repeat_byte(target).into();
                let tx = TxLegacy { to, input, ..TxLegacy::default() };
                let signed = tx.into_signed(Signature::test_signature());
                Recovered::new_unchecked(signed.into(), Address::repeat_byte(sender))
            })
            .collect();
        block
    }

    #[test]
    fn short_payments_of_one_sender_are_a_chain() {
        let payments: Vec<_> = (0..100).map(|to| (u8::from(to % 10 == 0), to, false)).collect();
        assert!(is_chain(&block(&payments, 21_000)));
        assert!(!is_chain(&block(&payments, 100_000)), "long ones gain from predicted nonces");
        let many: Vec<_> = (0..100).map(|of| (of, of, false)).collect();
        assert!(!is_chain(&block(&many, 21_000)));
        let two: Vec<_> = (0..100).map(|of| (of % 2, of, false)).collect();
        assert!(!is_chain(&block(&two, 21_000)));
    }

    #[test]
    fn payments_to_one_receiver_are_no_chain() {
        let payments: Vec<_> = (0..100).map(|of| (of, 200, false)).collect();
        assert!(!is_chain(&block(&payments, 21_000)));
    }

    #[test]
    fn one_sender_who_calls_one_contract_is_a_chain() {
        let calls = (0..100).map(|of| if of % 5 == 0 { (of, of, true) } else { (201, 200, true) });
        assert!(is_chain(&block(&calls.collect::<Vec<_>>(), 80_000)));
        let callers: Vec<_> = (0..100).map(|of| (of, 200, true)).collect();
        assert!(!is_chain(&block(&callers, 80_000)), "a token's transfers rarely meet");
        assert!(is_chain(&block(&callers[..4], 600_000)), "but a few calls are not worth a try");
    }

    #[test]
    fn small_blocks_are_told_by_their_gas() {
        let many: Vec<_> = (0..200).map(|of| (of, of, false)).collect();
        assert!(is_small(&block(&many, 21_000)));
        assert!(!is_small(&block(&many, 60_000)));
        assert!(is_small(&block(&many[..3], 9_000_000)));
        assert!(!is_small(&block(&many[..4], 9_000_000)));
    }
}
