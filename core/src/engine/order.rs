//! Which transactions start before their turn.
//!
//! Role: find what is likely to take a large part of the block, by what is known of the same call
//! from earlier blocks, else by its gas limit, which is only a promise, and by whether its data
//! holds signatures or proofs: single transactions, and those that wait for each other
//! ([`super::dependencies`]) as a whole. On few cores one long transaction that starts late costs
//! more than all conflicts.
//!
//! Invariant: nothing of it can change a result; a wrong answer costs a re-execution or a wait.

use super::{
    dependencies::NONE,
    forecast::Forecast,
    work::{INTRINSIC, Work, part},
};
use crate::block::{Block, Transaction};
use alloy_consensus::{Transaction as _, transaction::Recovered};
use std::collections::VecDeque;

/// A transaction with more than one part in this many of the block's work starts first.
const LONG: u64 = 10;
/// The same for a chain as a whole: more of what it reads may be stale.
const LONG_CHAIN: u64 = 5;
/// A chain with more transactions than this begins in its turn: who waits for it keeps others from
/// being looked at.
const CHAIN: u32 = 16;

/// How much gas a call that verifies signatures or proofs uses in a microsecond, roughly: nothing
/// else takes so long for its gas.
const VERIFYING: u64 = 150;
/// Words of a call's data that are looked at, and how many of them must look random.
const WORDS: usize = 32;
const RANDOM: usize = 4;

/// A transaction that waits for none, with all that wait for it.
#[derive(Debug, Clone, Copy, Default)]
struct Chain {
    count: u32,
    nanos: u64,
    limit: u64,
}

/// The transactions that promise to run long, alone or as a chain, the longest first. `before` has
/// what each of them waits for.
pub(super) fn long(
    block: &Block,
    work: &Work<'_>,
    forecast: Option<&Forecast<'_>>,
    before: &[u32],
) -> VecDeque<u32> {
    let limits = || work.estimates.iter().map(|of| of.gas_limit);
    if limits().all(|limit| limit <= INTRINSIC) {
        return VecDeque::new();
    }
    let total_limit = limits().fold(0, u64::saturating_add);
    let known = |index: usize| forecast.and_then(|forecast| forecast.of(index));
    let total = u128::from(work.total_where(|index| known(index).map(|call| call.nanos)));
    let mut chains = vec![Chain::default(); block.transactions.len()];
    let mut first: Vec<u32> = (0..chains.len() as u32).collect();
    for (index, limit) in limits().enumerate() {
        if limit <= INTRINSIC {
            continue;
        }
        if let Some(before) = before.get(index).filter(|before| **before != NONE) {
            first[index] = first[*before as usize];
        }
        let chain = &mut chains[first[index] as usize];
        chain.count += 1;
        match known(index) {
            // What waits for other calls of its contract is not begun before them.
            Some(call) if call.conflicts => {}
            Some(call) => chain.nanos = chain.nanos.saturating_add(call.nanos),
            None => {
                let verified = limit.saturating_mul(1_000) / VERIFYING;
                let is_long = u128::from(verified) * u128::from(LONG) > total;
                if is_long && verifies(&block.transactions[index]) {
                    chain.nanos = chain.nanos.saturating_add(verified);
                } else {
                    chain.limit = chain.limit.saturating_add(limit);
                }
            }
        }
    }
    let promises = |(first, chain): (u32, &Chain)| {
        let Chain { count, nanos, limit } = *chain;
        let most = if count > 1 { LONG_CHAIN } else { LONG };
        let by_limit = limit > total_limit / most;
        if (nanos == 0 && !by_limit) || count > CHAIN {
            return None;
        }
        let promised = nanos.saturating_add(part(work.total(), limit, total_limit));
        let is_long = by_limit || u128::from(promised) * u128::from(most) > total;
        is_long.then_some((promised, first))
    };
    let mut long: Vec<(u64, u32)> = (0..).zip(&chains).filter_map(promises).collect();
    long.sort_by_key(|(nanos, _)| std::cmp::Reverse(*nanos));
    let members = |(_, chain): (u64, u32)| {
        let all = (chain..).zip(&first[chain as usize..]);
        all.filter(move |(_, first)| **first == chain).map(|(index, _)| index)
    };
    long.into_iter().flat_map(members).collect()
}

/// Whether a call's data holds what precompiles verify: signatures, points of curves and fields
/// look random, amounts, addresses and lengths begin with zeros.
fn verifies(tx: &Recovered<Transaction>) -> bool {
    let words = tx.input().get(4..).unwrap_or_default().chunks_exact(32).take(WORDS);
    let is_random = |word: &&[u8]| {
        word[0] != 0 && word[0] != 0xff && word.iter().filter(|byte| **byte == 0).count() < 6
    };
    words.filter(is_random).take(RANDOM).count() == RANDOM
}

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests {
    use super::{
        super::{
            Optimisations,
            dependencies::{
                before,
                tests::{Tx, block},
            },
        },
        *,
    };
    use alloy_consensus::{SignableTransaction, TxLegacy};
    use alloy_primitives::{Address, Signature};

    #[test]
    fn long_chains_start_with_their_first_and_the_longest_one() {
        let long = |all: &[Tx]| -> Vec<u32> {
            let block = block(all);
            long(&block, &Work::new(&block), None, &before(&block, Optimisations::ALL)).into()
        };
        let other = |of: u8| (of, of, Some(1), 50_000);
        let mut all: Vec<Tx> = (10..30).map(other).collect();
        all[4].3 = 400_000;
        for index in [7, 11, 17] {
            all[index] = (1, 9, Some(1), 200_000);
        }
        assert_eq!(long(&all), [7, 11, 17, 4]);
        all[4].3 = 900_000;
        assert_eq!(long(&all), [4, 7, 11, 17]);
        let chain: Vec<Tx> = (0..=CHAIN).map(|_| (1, 9, Some(1), 200_000)).collect();
        assert!(long(&chain).is_empty());
        assert_eq!(long(&chain[1..]).len(), CHAIN as usize);
    }

    #[test]
    fn what_verifies_proofs_or_signatures_takes_long_for_its_gas() {
        let words = |random: usize, fill: u8| {
            let word = |at: usize| if at < random { [fill; 32] } else { [0; 32] };
            [&[1; 4][..], (0..WORDS).flat_map(word).collect::<Vec<u8>>().as_slice()].concat()
        };
        let long = |input: Vec<u8>| -> Vec<u32> {
            let mut all = block(&[(1, 9, None, 100_000); 40]);
            for (at, tx) in (0..).zip(&mut all.transactions) {
                let to = Address::with_last_byte(at).into();
                let input = if at == 39 { input.clone() } else { vec![1; 4] }.into();
                let tx_of = TxLegacy { to, input, gas_limit: 100_000, ..TxLegacy::default() };
                let signed = tx_of.into_signed(Signature::test_signature());
                *tx = Recovered::new_unchecked(signed.into(), Address::with_last_byte(at));
            }
            all.header.gas_used = 2_000_000;
            all.header.base_fee_per_gas = Some(7);
            long(&all, &Work::new(&all), None, &before(&all, Optimisations::ALL)).into()
        };
        assert_eq!(long(words(RANDOM, 0x9d)), [39]);
        // Fewer of them, or what no random word looks like.
        assert!(long(words(RANDOM - 1, 0x9d)).is_empty());
        assert!(long(words(WORDS, 0xff)).is_empty());
        assert!(long(words(WORDS, 0)).is_empty());
        assert!(long(vec![1; 4]).is_empty());
    }
}
