//! Compares the partial trie with alloy-trie's roots computed from scratch.

use super::*;
use crate::{outcome::AccountChange, splitmix::SplitMix64};
use alloy_trie::{HashBuilder, proof::ProofRetainer, root::state_root_unhashed};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Default)]
struct Account {
    nonce: u64,
    balance: U256,
    storage: BTreeMap<U256, U256>,
}

type State = BTreeMap<Address, Account>;

fn address(n: u64) -> Address {
    Address::from_word(keccak256(n.to_be_bytes()))
}

/// Proof nodes of all `keys` in the trie of `entries`, with its root.
fn prove(entries: &BTreeMap<B256, Vec<u8>>, keys: &BTreeSet<B256>) -> (B256, Vec<Bytes>) {
    let targets = keys.iter().map(Nibbles::unpack).collect();
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(targets));
    for (key, value) in entries {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes().into_nodes_sorted();
    (root, nodes.into_iter().map(|(_, node)| node).filter(|node| node.as_ref() != [0x80]).collect())
}

fn slots(account: &Account) -> BTreeMap<B256, Vec<u8>> {
    account.storage.iter().map(|(k, v)| (slot_key(*k), alloy_rlp::encode(v))).collect()
}

fn trie_account(account: &Account) -> TrieAccount {
    let slots = account.storage.iter().map(|(k, v)| (B256::from(*k), *v));
    TrieAccount {
        nonce: account.nonce,
        balance: account.balance,
        storage_root: alloy_trie::root::storage_root_unhashed(slots),
        code_hash: KECCAK256_EMPTY,
    }
}

fn scratch_root(state: &State) -> B256 {
    state_root_unhashed(state.iter().map(|(address, account)| (*address, trie_account(account))))
}

fn info(account: &Account) -> AccountInfo {
    AccountInfo { nonce: account.nonce, balance: account.balance, ..AccountInfo::default() }
        .without_code()
}

fn random_state(rng: &mut SplitMix64, accounts: u64) -> State {
    let mut state = State::new();
    for n in 0..accounts {
        let mut account =
            Account { nonce: rng.below(9), balance: U256::from(rng.next()), ..Account::default() };
        for _ in 0..rng.below(30) {
            let value = if rng.below(2) == 0 { U256::from(rng.below(99) + 1) } else { U256::MAX };
            account.storage.insert(U256::from(rng.below(60)), value);
        }
        state.insert(address(n), account);
    }
    state
}

/// Changes some accounts, some of which are new.
fn random_changes(rng: &mut SplitMix64, state: &mut State, accounts: u64) -> StateChanges {
    let mut changes = BTreeMap::new();
    for _ in 0..rng.below(accounts + 2) + 1 {
        let address = address(rng.below(accounts + 5));
        if changes.contains_key(&address) {
            continue;
        }
        let before = state.get(&address).map(info);
        let kind = rng.below(4);
        let wiped = before.is_some() && kind <= 1;
        if kind == 0 {
            if state.remove(&address).is_none() {
                continue;
            }
        } else {
            let account = state.entry(address).or_default();
            account.nonce += 1;
            if wiped {
                account.storage.clear();
            }
        }
        let mut storage = BTreeMap::new();
        if let Some(account) = state.get_mut(&address) {
            for _ in 0..rng.below(20) {
                let (slot, value) = (U256::from(rng.below(60)), U256::from(rng.below(3)));
                if value.is_zero() {
                    account.storage.remove(&slot);
                } else {
                    account.storage.insert(slot, value);
                }
                storage.insert(slot, value);
            }
        }
        let after = state.get(&address).map(info);
        let storage = storage.into_iter().collect();
        changes.insert(address, AccountChange { address, before, after, wiped, storage });
    }
    StateChanges { accounts: changes.into_values().collect(), codes: Vec::new() }
}

/// A witness of the state: all of it, or the ways to what the changes touch.
fn witness(state: &State, changes: Option<&StateChanges>) -> WitnessState {
    let entries: BTreeMap<B256, Vec<u8>> = state
        .iter()
        .map(|(address, account)| (keccak256(address), alloy_rlp::encode(trie_account(account))))
        .collect();
    let touched: BTreeSet<B256> = match changes {
        Some(changes) => changes.accounts.iter().map(|c| keccak256(c.address)).collect(),
        None => entries.keys().copied().collect(),
    };
    let (root, mut nodes) = prove(&entries, &touched);
    for (address, account) in state {
        let all = slots(account);
        let keys: BTreeSet<B256> = match changes {
            Some(changes) => changes
                .accounts
                .iter()
                .filter(|change| change.address == *address)
                .flat_map(|change| change.storage.iter().map(|(slot, _)| slot_key(*slot)))
                .collect(),
            None => all.keys().copied().collect(),
        };
        if !all.is_empty() && !keys.is_empty() {
            nodes.extend(prove(&all, &keys).1);
        }
    }
    WitnessState::new(nodes, [], root).unwrap()
}

#[test]
fn reads_and_roots_equal_those_from_scratch() {
    for seed in 0..150 {
        let mut rng = SplitMix64(seed);
        let accounts = [0, 1, 2, 3, 17, 60][rng.below(6) as usize];
        let mut state = random_state(&mut rng, accounts);
        let full = witness(&state, None);
        assert_eq!(full.root(), scratch_root(&state), "seed {seed}");
        for n in 0..accounts + 5 {
            let expected = state.get(&address(n)).map(trie_account);
            assert_eq!(full.account(address(n)).unwrap(), expected);
            for slot in (0..60).map(U256::from) {
                let expected = state.get(&address(n)).and_then(|a| a.storage.get(&slot).copied());
                assert_eq!(full.storage(address(n), slot).unwrap(), expected.unwrap_or_default());
            }
        }
        assert_eq!(full.post_state_root(&StateChanges::default()).unwrap(), full.root());
        let changes = random_changes(&mut rng, &mut state, accounts);
        assert_eq!(full.post_state_root(&changes).unwrap(), scratch_root(&state), "seed {seed}");
    }
}

#[test]
fn a_partial_witness_gives_the_right_root_or_an_error() {
    let (mut right, mut missing) = (0, 0);
    for seed in 1000..1200 {
        let mut rng = SplitMix64(seed);
        let mut state = random_state(&mut rng, 40);
        let before = state.clone();
        let changes = random_changes(&mut rng, &mut state, rng_accounts(seed));
        match witness(&before, Some(&changes)).post_state_root(&changes) {
            Ok(root) => {
                assert_eq!(root, scratch_root(&state), "seed {seed}");
                right += 1;
            }
            Err(WitnessError::Trie { error: TrieError::Missing(_), .. }) => missing += 1,
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(right > 0 && missing > 0, "{right} right, {missing} missing a sibling");
}

const fn rng_accounts(seed: u64) -> u64 {
    if seed.is_multiple_of(2) { 2 } else { 40 }
}

#[test]
fn what_is_not_proved_is_an_error() {
    let state = random_state(&mut SplitMix64(7), 50);
    let full = witness(&state, None);
    let (first, rest) = full.nodes().split_first().unwrap();
    assert_eq!(keccak256(first), full.root());
    let without_root = WitnessState::new(rest.to_vec(), [], full.root()).unwrap();
    let mut reader = without_root.reader().unwrap();
    assert!(reader.account(address(0)).is_err());
    assert!(reader.storage(address(0), U256::ZERO).is_err());
    assert!(reader.code(B256::ZERO).is_err());
    assert!(reader.block_hash(1).is_err());
}

#[test]
fn the_root_is_found_where_it_is_the_only_one_with_the_accounts() {
    let state = random_state(&mut SplitMix64(8), 50);
    let full = witness(&state, None);
    let found = WitnessState::with_found_root(full.nodes().to_vec(), [], &[]).unwrap();
    assert_eq!(found.root(), full.root());
    let mut nodes = full.nodes().to_vec();
    nodes.extend(witness(&random_state(&mut SplitMix64(9), 3), None).nodes().to_vec());
    let found = WitnessState::with_found_root(nodes.clone(), [], &[address(40)]).unwrap();
    assert_eq!(found.root(), full.root());
    let ambiguous = WitnessState::with_found_root(nodes, [], &[address(0)]).unwrap_err();
    assert_eq!(ambiguous, WitnessError::Root { candidates: 2 });
    let orphans = full.nodes()[1..].to_vec();
    assert!(matches!(
        WitnessState::with_found_root(orphans, [], &[]),
        Err(WitnessError::Root { candidates }) if candidates > 1
    ));
    assert_eq!(
        WitnessState::with_found_root(Vec::new(), [], &[]).unwrap_err(),
        WitnessError::Root { candidates: 0 }
    );
}

#[test]
fn malformed_nodes_are_errors() {
    let long_path = alloy_rlp::encode(vec![Bytes::from(vec![0x20; 40]), Bytes::from(vec![1])]);
    let empty_extension = alloy_rlp::encode(vec![Bytes::from(vec![0]), Bytes::from(vec![1; 32])]);
    let bad_flags = alloy_rlp::encode(vec![Bytes::from(vec![0x70]), Bytes::from(vec![1])]);
    for bad in [vec![], vec![0x01], vec![0xc0], long_path, empty_extension, bad_flags] {
        let result = WitnessState::new(vec![Bytes::from(bad.clone())], [], B256::ZERO);
        assert!(matches!(result, Err(WitnessError::Node { index: 0, .. })), "{bad:?}");
    }
}

#[test]
fn a_leaf_above_its_depth_is_an_error_not_a_panic() {
    let short = alloy_rlp::encode(vec![Bytes::from(vec![0x20]), Bytes::from(vec![1])]);
    let root = keccak256(&short);
    let witness = WitnessState::new(vec![Bytes::from(short)], [], root).unwrap();
    assert_eq!(witness.account(Address::ZERO).unwrap(), None);
    let created = AccountChange {
        address: Address::ZERO,
        before: None,
        after: Some(AccountInfo::default().without_code()),
        wiped: false,
        storage: Vec::new(),
    };
    let changes = StateChanges { accounts: vec![created], codes: Vec::new() };
    assert!(matches!(
        witness.post_state_root(&changes),
        Err(WitnessError::Trie { error: TrieError::Malformed(_), .. })
    ));
}

#[test]
fn damaged_nodes_never_panic() {
    let mut rng = SplitMix64(77);
    let mut state = random_state(&mut rng, 30);
    let full = witness(&state, None);
    let changes = random_changes(&mut rng, &mut state, 30);
    let (mut refused, mut failed) = (0, 0);
    for _ in 0..4000 {
        let mut nodes = full.nodes().to_vec();
        let index = rng.below(nodes.len() as u64) as usize;
        let mut bytes = nodes[index].to_vec();
        let at = rng.below(bytes.len().min(12) as u64) as usize;
        bytes[at] = rng.next() as u8;
        if rng.below(4) == 0 {
            bytes.truncate(at);
        }
        let root = keccak256(&bytes);
        nodes[index] = bytes.into();
        let Ok(damaged) = WitnessState::new(nodes, [], root) else {
            refused += 1;
            continue;
        };
        for n in 0..30 {
            let _ = damaged.account(address(n));
            let _ = damaged.slot(root, address(n), U256::from(n));
        }
        failed += usize::from(damaged.post_state_root(&changes).is_err());
    }
    assert!(refused > 0 && failed > 0, "{refused} refused, {failed} failed");
}
