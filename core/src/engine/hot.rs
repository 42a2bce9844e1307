//! Accounts that many payments of a block share: an exchange's wallet, into which a thousand
//! deposits are swept, a pool that pays its miners.
//!
//! Role: spare the workers what they would do to such an account's versions. Each payment reads it
//! and writes it, under one lock and on the same cache lines, so that they wait for one another,
//! for nothing: where balances commute and nonces are predicted ([`super::soft`]) a payment does
//! not depend on what the others leave. So it is looked at as the parent state has it, and what it
//! becomes is no pending version ([`super::record::WriteSet::publish`]); whoever commits moves the
//! difference to the committed balance, as for any soft read.
//!
//! Actors: whoever plans the block finds these accounts, before anything runs; each worker's view
//! asks.
//!
//! Invariant: nothing of it can change a result. It decides what a speculative run is shown, and
//! that is validated; a run that needs to know better (whose sender can pay only with what it
//! received in the same block, say) is repeated in its turn.

use super::{tables::AccountValue, work::samples};
use crate::block::Block;
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, KECCAK256_EMPTY};

/// So many of the payments that are looked at make an account hot.
const MANY: usize = 8;
/// How many payments are looked at, evenly over the block: an account is worth it only where it has
/// its part in many of them.
const SAMPLES: usize = 512;
/// Counts by a part of the address: more than there are samples, so that few accounts share one.
const COUNTS: usize = 1024;

/// The hot accounts of a block.
pub(super) fn accounts(block: &Block) -> Vec<Address> {
    let payments = || samples(block, SAMPLES).filter(|tx| tx.input().is_empty());
    let all = || payments().filter_map(|tx| Some([tx.signer(), tx.to()?])).flatten();
    let mut counts = [0u16; COUNTS];
    all().for_each(|address| counts[place(&address)] += 1);
    let may_be_hot = |address: &Address| usize::from(counts[place(address)]) >= MANY;
    let mut candidates: Vec<Address> = all().filter(may_be_hot).collect();
    candidates.sort_unstable();
    let same = candidates.chunk_by(|one, next| one == next);
    same.filter(|same| same.len() >= MANY).map(|same| same[0]).collect()
}

/// Where an account is counted. Addresses are hashes: any part of them will do.
fn place(address: &Address) -> usize {
    usize::from(u16::from_le_bytes([address[18], address[19]])) % COUNTS
}

/// Whether payments find an account that was this before the block much alike whatever others left:
/// without code, so that nobody runs, and with a nonce, so that it is never empty.
pub(super) fn is_wallet(before: &AccountValue) -> bool {
    before.nonce > 0 && before.code_hash == KECCAK256_EMPTY
}

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests {
    use super::*;
    use crate::engine::dependencies::tests::block;

    #[test]
    fn what_many_payments_share_is_hot() {
        let from = |count: u8| (0..count).map(|at| (100, at, None, 21_000));
        let to = |count: u8| (0..count).map(|at| (at, 200, None, 21_000));
        let hot = |all: Vec<_>| {
            let last = |address: Address| address[19];
            accounts(&block(&all)).into_iter().map(last).collect::<Vec<_>>()
        };
        assert_eq!(hot(from(8).chain(to(8)).collect()), [100, 200]);
        assert!(hot(from(7).chain(to(7)).collect()).is_empty());
        let calls = (0..50).map(|at| (at, 200, Some(1), 50_000));
        assert!(hot(calls.collect()).is_empty());
        // One in a hundred of a large block's.
        let large = (0..4_000).map(|at| ((at % 97) as u8, (at % 83) as u8, None, 21_000));
        let rare = large.enumerate().map(
            |(at, tx)| {
                if at % 500 == 0 { (110, 210, None, 21_000) } else { tx }
            },
        );
        let found = hot(rare.collect());
        assert!(!found.contains(&110) && !found.contains(&210), "{found:?}");
        assert!(hot(vec![]).is_empty());
    }
}
