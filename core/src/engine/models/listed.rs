//! The engine with a block access list under shuttle: right lists, wrong lists.
//!
//! The list is made from the sequential run, then damaged in most schedules. Whatever it says, the
//! end is the sequential one; where it is right, nothing runs twice.

use super::{
    scheduler::{BENEFICIARY, Claims, explore, memory, one_block, schedules},
    scripted::{CONTRACT, HOLDERS, Key, Memory, Script, holder},
};
use alloy_eip7928::{AccountChanges, BalanceChange, BlockAccessIndex, SlotChanges, StorageChange};
use alloy_primitives::U256;
use shuttle::{
    rand::{Rng, thread_rng},
    scheduler::{PctScheduler, RandomScheduler},
};
use std::collections::BTreeMap;

/// What each transaction changes, by location: its position and the value it leaves.
type Changes = BTreeMap<Key, Vec<(u64, u64)>>;

/// What sequential execution changes, as far as it comes.
fn changes(scripts: &[Script]) -> (Changes, u64) {
    let (mut memory, mut changes): (Memory, Changes) = (memory(), Changes::new());
    for (index, script) in scripts.iter().enumerate() {
        let fetch = |key| Ok::<_, ()>(memory[&key]);
        let Ok(Some((_, written))) = script.run(index, fetch, |_, _| {}) else {
            return (changes, index as u64);
        };
        for (key, value) in written {
            if memory.insert(key, value) != Some(value) {
                changes.entry(key).or_default().push((index as u64 + 1, value));
            }
        }
    }
    (changes, scripts.len() as u64)
}

/// Alters, drops, moves or adds one claim.
fn damage(rng: &mut impl Rng, changes: &mut Changes) {
    let keys: Vec<Key> = memory().into_keys().collect();
    let key = keys[rng.gen_range(0..keys.len())];
    let claims = changes.entry(key).or_default();
    let at = rng.gen_range(0..claims.len().max(1));
    match (rng.gen_range(0..4), claims.get_mut(at)) {
        (0, Some(claim)) => claim.1 += 1,
        (1, Some(claim)) => claim.0 = rng.gen_range(0..9),
        (2, Some(_)) => drop(claims.remove(at)),
        _ => claims.push((rng.gen_range(0..9), rng.gen_range(0..20))),
    }
}

fn list(changes: Changes, committed: u64) -> Vec<AccountChanges> {
    let mut contract = AccountChanges::new(CONTRACT);
    let mut holders: Vec<_> = (0..HOLDERS).map(|of| AccountChanges::new(holder(of))).collect();
    for (key, claims) in changes {
        let claims = claims.into_iter().map(|(at, to)| (BlockAccessIndex::new(at), U256::from(to)));
        match key {
            Key::Slot(slot) => {
                let changes = claims.map(|(at, to)| StorageChange::new(at, to)).collect();
                contract.storage_changes.push(SlotChanges::new(U256::from(slot), changes));
            }
            Key::Balance(of) => holders[usize::from(of)]
                .balance_changes
                .extend(claims.map(|(at, to)| BalanceChange::new(at, to))),
        }
    }
    let rewards = (1..=committed)
        .map(|at| BalanceChange::new(BlockAccessIndex::new(at), U256::from(5 + at)))
        .collect();
    let beneficiary =
        AccountChanges { balance_changes: rewards, ..AccountChanges::new(BENEFICIARY) };
    holders.extend([contract, beneficiary]);
    holders
}

fn one_schedule() {
    one_block(|scripts| {
        let mut rng = thread_rng();
        let (mut changes, committed) = changes(scripts);
        let damages = rng.gen_range(0..4);
        (0..damages).for_each(|_| damage(&mut rng, &mut changes));
        let right = damages == 0 && committed == scripts.len() as u64;
        Some(Claims { list: list(changes, committed), right })
    });
}

#[test]
fn random_schedules_with_any_list_give_the_sequential_result() {
    explore(RandomScheduler::new(schedules(60_000)), one_schedule);
}

#[test]
fn adversarial_schedules_with_any_list_give_the_sequential_result() {
    explore(PctScheduler::new(4, schedules(20_000)), one_schedule);
}
