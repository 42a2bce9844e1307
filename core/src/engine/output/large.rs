//! The slots of an account that has most of a part's: a token that thousands of transfers call.
//!
//! Role: put them in order by several threads; otherwise one thread would, while the others have
//! come to the end of their parts. Actors: whoever ends the block, and the engine's threads.
//!
//! The slots stand in the pieces in which they were found. Each thread deals those of some pieces
//! to ranges of keys; then each range is put in order by itself. Keys are mostly hashes, so the
//! ranges are alike; where they are not, nothing is lost but time.

use super::{Became, Written};
use crate::{
    pool::{Share, in_parts},
    sync::Mutex,
};
use alloy_primitives::U256;

/// Where a part has fewer slots, all of them are left to one thread.
const LARGE: usize = 2048;
/// One in so many slots is asked which account it belongs to.
const STEP: usize = 16;
/// Ranges of keys, a power of two, and in how many runs the pieces are dealt.
const RANGES: usize = 8;
const RUNS: usize = 8;

type Dealt = [Vec<(U256, U256)>; RANGES];

/// The account that has more than half of these slots, if they are many, judged by some of them. By
/// its index.
pub(super) fn account<'p>(pieces: impl Iterator<Item = &'p Written> + Clone) -> Option<u32> {
    let count: usize = pieces.clone().map(|piece| piece.slots.len()).sum();
    if count < LARGE {
        return None;
    }
    let samples = || {
        let of = |piece: &'p Written| piece.slots.iter().step_by(STEP).map(|slot| slot.account);
        pieces.clone().flat_map(of)
    };
    // R. S. Boyer and J S. Moore's vote finds the only candidate.
    let vote = |(candidate, lead): (u32, usize), account| match lead {
        _ if account == candidate => (candidate, lead + 1),
        0 => (account, 1),
        _ => (candidate, lead - 1),
    };
    let (candidate, _) = samples().fold((0, 0), vote);
    let of_candidate = samples().filter(|account| *account == candidate).count();
    (of_candidate * 2 > samples().count()).then_some(candidate)
}

/// The slots of this account that the block changed, with their values after it, in order.
pub(super) fn storage(
    pieces: &[&Written],
    account: u32,
    became: &Became,
    share: Share<'_>,
) -> Vec<(U256, U256)> {
    let runs: Vec<_> = pieces.chunks(pieces.len().div_ceil(RUNS).max(1)).collect();
    let dealt: Vec<Mutex<Dealt>> = runs.iter().map(|_| Mutex::default()).collect();
    share(runs.len(), &|run| {
        let mut ranges = dealt[run].lock();
        let slots = runs[run].iter().flat_map(|piece| &piece.slots);
        let changed =
            slots.filter(|slot| slot.account == account).filter_map(|slot| became.slot(slot));
        changed.for_each(|(slot, _, value)| ranges[range_of(&slot)].push((slot, value)));
    });
    let dealt: Vec<Dealt> = dealt.into_iter().map(Mutex::into_inner).collect();
    let lengths: Vec<usize> =
        (0..RANGES).map(|range| dealt.iter().map(|run| run[range].len()).sum()).collect();
    in_parts(&lengths, share, |range, room| {
        let mut slots = Vec::with_capacity(lengths[range]);
        dealt.iter().for_each(|run| slots.extend_from_slice(&run[range]));
        slots.sort_unstable_by_key(|(slot, _)| *slot);
        slots.into_iter().for_each(|slot| room.push(slot));
    })
}

/// The range that a key is in; a later one has higher keys.
const fn range_of(slot: &U256) -> usize {
    (slot.as_limbs()[3] >> (u64::BITS - RANGES.ilog2())) as usize
}

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests {
    use super::{
        super::{
            super::tables::{AccountValue, Shelf, Stamp, Tables},
            flat,
        },
        *,
    };
    use crate::{
        block::Block,
        pool::{Pool, alone},
        splitmix::SplitMix64,
    };
    use alloy_primitives::Address;
    use revm::state::AccountInfo;
    use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

    /// An account that some transaction has paid, or wiped.
    fn pay(tables: &Tables, address: Address, wiped: bool) -> u32 {
        let id = tables.account_id(&address);
        let info = AccountInfo::default().with_balance(U256::from(5)).with_nonce(1);
        let base = tables.account(id).base(|| Ok::<_, Infallible>(Some(info))).unwrap();
        let wiped = if wiped { 2 } else { 0 };
        let value = AccountValue { balance: U256::from(6), wiped, ..base };
        tables.account(id).chain.commit(Stamp::new(2, 1), value);
        id
    }

    /// Writes random slots, half of them with small keys if so wanted; returns what becomes of them.
    fn write(
        tables: &Tables,
        account: u32,
        count: usize,
        small: bool,
        wiped: bool,
    ) -> BTreeMap<U256, U256> {
        let mut random = SplitMix64(count as u64);
        let mut expected = BTreeMap::new();
        for at in 0..count as u64 {
            let limbs = [at, random.next(), random.next(), random.next()];
            let key = if small && at % 2 == 0 { U256::from(at) } else { U256::from_limbs(limbs) };
            let id = tables.slot_id(account, &key);
            let [old, new] = [0; 2].map(|_: u8| U256::from(random.below(3)));
            tables.slot(id).base(|| Ok::<_, Infallible>(old)).unwrap();
            // Before the account was wiped, or after.
            let position = if random.below(2) == 0 { 1 } else { 3 };
            tables.slot(id).chain.commit(Stamp::new(position, 1), new);
            let value = if wiped && position < 2 { U256::ZERO } else { new };
            let changed = if wiped { !value.is_zero() } else { value != old };
            if changed {
                expected.insert(key, value);
            }
        }
        expected
    }

    #[test]
    fn slots_of_large_accounts_are_in_order_and_complete() {
        let mut pool = Pool::new(2);
        for (small, wiped, count) in [
            (false, false, 3 * LARGE),
            (true, false, 3 * LARGE),
            (true, true, 3 * LARGE),
            (false, false, LARGE / 2),
        ] {
            let tables: Arc<Tables> = Shelf::default().begin(&Block::default());
            let [large, other] = [7, 9].map(Address::repeat_byte);
            let large_id = pay(&tables, large, wiped);
            let other_id = pay(&tables, other, false);
            let of_other = write(&tables, other_id, LARGE / 3, true, false);
            let expected = write(&tables, large_id, count, small, wiped);
            let outputs = [flat(&tables, &mut alone), flat(&tables, &mut pool.sharer(true))];
            for changes in outputs {
                let found: Vec<_> = changes.accounts.iter().map(|change| change.address).collect();
                assert_eq!(found, [large, other]);
                let of = |at: usize| changes.accounts[at].storage.clone();
                assert!(of(0) == Vec::from_iter(expected.clone()), "{small} {wiped} {count}");
                assert!(of(1) == Vec::from_iter(of_other.clone()));
            }
        }
    }

    #[test]
    fn an_account_is_large_that_has_many_slots_and_most_of_them() {
        let slots = |of: &[(u32, usize)]| {
            let tables = Shelf::default().begin(&Block::default());
            for (at, (name, count)) in of.iter().enumerate() {
                let id = pay(&tables, Address::with_last_byte(*name as u8), false);
                assert_eq!(id as usize, at);
                write(&tables, id, *count, false, false);
            }
            let mut drafts = tables.drafts.lock();
            let (pieces, _) = drafts.gather(&tables, &mut alone);
            // All of these addresses are in the first part.
            let pieces: Vec<_> = pieces.iter().map(|piece| piece[0].lock()).collect();
            account(pieces.iter().map(|piece| &**piece))
        };
        assert_eq!(slots(&[(1, 9), (2, 2 * LARGE), (3, LARGE)]), Some(1));
        assert_eq!(slots(&[(1, LARGE), (2, LARGE), (3, LARGE)]), None);
        assert_eq!(slots(&[(1, LARGE - 1)]), None);
        assert_eq!(slots(&[]), None);
    }
}
