//! Which transactions wait for an earlier one, whatever has been learned.
//!
//! Role: find, before anything runs, what nearly always conflicts: a sender's calls of one contract
//! (who sends tokens twice has one balance, who plays twice has one position), and a call that
//! stands between two of them that call different functions, as a trade does that is being
//! sandwiched. Where nonces are not predicted, all of a sender's transactions.
//!
//! Invariant: nothing of it can change a result; a wrong answer costs a re-execution or a wait.

use super::Optimisations;
use crate::block::Block;
use alloy_consensus::Transaction as _;
use hashbrown::{HashTable, hash_table::Entry};
use std::hash::{BuildHasher, Hash};

type Seeded = foldhash::fast::RandomState;

/// No such transaction.
pub(super) const NONE: u32 = u32::MAX;

/// For each transaction the earlier one that it waits for: its sender's last one, where nonces and
/// balances are not predicted, else its sender's last call of the same contract, or what stands
/// between the two.
pub(super) fn before(block: &Block, optimisations: Optimisations) -> Box<[u32]> {
    let transactions = &block.transactions;
    if !optimisations.commutative_balances {
        return previous(transactions.len(), |index| Some(transactions[index].signer()));
    }
    if !optimisations.sender_chains {
        return Box::default();
    }
    let pair = |index: usize| {
        let tx = &transactions[index];
        if tx.input().is_empty() {
            return None;
        }
        Some((tx.signer(), tx.to()?))
    };
    let mut before = previous(transactions.len(), pair);
    let selector = |index: usize| transactions[index].input().first_chunk::<4>();
    for last in 2..before.len() {
        let (first, middle) = (last - 2, last - 1);
        let around = before[last] == first as u32 && selector(first) != selector(last);
        if around && before[middle] == NONE && !transactions[middle].input().is_empty() {
            before[middle] = first as u32;
            before[last] = middle as u32;
        }
    }
    before
}

/// For each of `count` keys the index of the previous equal one. The table holds indices alone, so
/// that it stays in a core's own cache where a block has very many.
pub(super) fn previous<K: Hash + Eq>(count: usize, key: impl Fn(usize) -> Option<K>) -> Box<[u32]> {
    let seeded = Seeded::default();
    let hash = |index: &u32| seeded.hash_one(key(*index as usize));
    let mut last = HashTable::<u32>::new();
    let mut find = |index: u32| {
        let wanted = key(index as usize);
        wanted.as_ref()?;
        if last.is_empty() {
            last.reserve(count - index as usize, hash);
        }
        let is = |other: &u32| key(*other as usize) == wanted;
        match last.entry(seeded.hash_one(&wanted), is, hash) {
            Entry::Occupied(mut entry) => Some(std::mem::replace(entry.get_mut(), index)),
            Entry::Vacant(entry) => {
                entry.insert(index);
                None
            }
        }
    };
    (0..count as u32).map(|index| find(index).unwrap_or(NONE)).collect()
}

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
pub(super) mod tests {
    use super::*;
    use alloy_consensus::{SignableTransaction, TxLegacy, transaction::Recovered};
    use alloy_primitives::{Address, Signature};

    /// Sender, target, first byte of the data if there is any, gas limit.
    pub(in super::super) type Tx = (u8, u8, Option<u8>, u64);

    pub(in super::super) fn block(transactions: &[Tx]) -> Block {
        let make = |(from, to, data, gas_limit): &Tx| {
            let input = data.map(|first| vec![first, 0, 0, 0]).unwrap_or_default().into();
            let to = Address::with_last_byte(*to).into();
            let tx = TxLegacy { to, input, gas_limit: *gas_limit, ..TxLegacy::default() };
            let signed = tx.into_signed(Signature::test_signature());
            Recovered::new_unchecked(signed.into(), Address::with_last_byte(*from))
        };
        Block { transactions: transactions.iter().map(make).collect(), ..Block::default() }
    }

    fn waits(transactions: &[Tx], optimisations: Optimisations) -> Vec<Option<u32>> {
        let before = before(&block(transactions), optimisations);
        before.iter().map(|before| (*before != NONE).then_some(*before)).collect()
    }

    #[test]
    fn a_call_waits_for_its_senders_last_one_of_the_same_contract() {
        let all = [
            (1, 9, Some(1), 50_000),
            (2, 9, Some(1), 50_000),
            // A payment, a call of another contract, two accounts that call themselves.
            (1, 9, None, 21_000),
            (1, 8, Some(1), 50_000),
            (3, 3, Some(1), 50_000),
            (4, 4, Some(1), 50_000),
            (1, 9, Some(1), 50_000),
            (1, 9, Some(2), 50_000),
        ];
        let none = [None; 6];
        let expected = [&none[..], &[Some(0), Some(6)]].concat();
        assert_eq!(waits(&all, Optimisations::ALL), expected);
        let without = Optimisations { sender_chains: false, ..Optimisations::ALL };
        assert!(waits(&all, without).is_empty());
        let nonces = Optimisations { commutative_balances: false, ..Optimisations::ALL };
        let senders = [None, None, Some(0), Some(2), None, None, Some(3), Some(6)];
        assert_eq!(waits(&all, nonces), senders);
    }

    #[test]
    fn a_call_between_two_different_ones_of_one_sender_waits_and_is_waited_for() {
        let around = |first, middle, last| {
            let all =
                [(1, 9, Some(first), 50_000), (2, 8, middle, 50_000), (1, 9, Some(last), 50_000)];
            waits(&all, Optimisations::ALL)
        };
        assert_eq!(around(5, Some(1), 6), [None, Some(0), Some(1)]);
        // Who does the same twice does not look for what is between.
        assert_eq!(around(5, Some(1), 5), [None, None, Some(0)]);
        assert_eq!(around(5, None, 6), [None, None, Some(0)]);
    }
}
