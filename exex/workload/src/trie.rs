//! The state root, with proofs of chosen accounts and slots.
//!
//! Role: commit each generated header to its state, and give each recorded block the proofs by
//! which a replay checks that. The form is that of `eth_getProof`; absent accounts and slots are
//! proved absent.
//!
//! Invariant: a storage root is computed again only when its account has changed
//! ([`StorageRoots::forget`]).

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256, map::HashMap};
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles, TrieAccount, TrieMask,
    nodes::{BranchNodeRef, ExtensionNodeRef, LeafNodeRef, RlpNode},
};
use braid_core::{StateChanges, source::MemoryState};
use braid_shadow::recorded::{AccountProof, SlotProof};
use std::collections::{BTreeMap, BTreeSet};

/// The accounts to prove, with the slots to prove in each.
pub(crate) type Targets = BTreeMap<Address, BTreeSet<U256>>;

/// Known storage roots.
#[derive(Debug, Default)]
pub(crate) struct StorageRoots(HashMap<Address, B256>);

impl StorageRoots {
    /// Forgets the roots of changed accounts.
    pub(crate) fn forget(&mut self, changes: &StateChanges) {
        for change in &changes.accounts {
            self.0.remove(&change.address);
        }
    }
}

/// What a state and a block's changes speak of.
pub(crate) fn targets(state: Option<&MemoryState>, changes: &StateChanges) -> Targets {
    let mut targets = Targets::new();
    for (address, _, slots) in state.into_iter().flat_map(MemoryState::accounts) {
        targets.entry(address).or_default().extend(slots.keys());
    }
    for change in &changes.accounts {
        let slots = change.storage.iter().map(|(slot, _)| *slot);
        targets.entry(change.address).or_default().extend(slots);
    }
    targets
}

/// The state root and the proofs of all targets.
pub(crate) fn prove(
    state: &MemoryState,
    known: &mut StorageRoots,
    targets: &Targets,
) -> (B256, Vec<AccountProof>) {
    let mut entries = Vec::new();
    let mut answers: BTreeMap<Nibbles, AccountProof> = BTreeMap::new();
    for (address, info, slots) in state.accounts() {
        let key = Nibbles::unpack(keccak256(address));
        let wanted = targets.get(&address);
        let (storage_hash, storage_proof) = match (wanted, known.0.get(&address)) {
            (None, Some(root)) => (*root, Vec::new()),
            (wanted, _) => prove_slots(slots, wanted),
        };
        known.0.insert(address, storage_hash);
        let account = TrieAccount {
            nonce: info.nonce,
            balance: info.balance,
            storage_root: storage_hash,
            code_hash: info.code_hash,
        };
        entries.push((key, alloy_rlp::encode(account)));
        if wanted.is_some() {
            let TrieAccount { nonce, balance, code_hash, .. } = account;
            let account_proof = Vec::new();
            answers.insert(
                key,
                AccountProof {
                    address,
                    balance,
                    nonce,
                    code_hash,
                    storage_hash,
                    account_proof,
                    storage_proof,
                },
            );
        }
    }
    for (address, slots) in targets {
        let key = Nibbles::unpack(keccak256(address));
        answers.entry(key).or_insert_with(|| absent(*address, slots));
    }
    entries.sort_unstable();
    let keys: Vec<Nibbles> = answers.keys().copied().collect();
    let (root, proofs) = Trie::prove(&entries, &keys);
    let mut answers: Vec<AccountProof> = answers.into_values().collect();
    for (answer, proof) in answers.iter_mut().zip(proofs) {
        answer.account_proof = proof;
    }
    (root, answers)
}

fn prove_slots(
    slots: &HashMap<U256, U256>,
    wanted: Option<&BTreeSet<U256>>,
) -> (B256, Vec<SlotProof>) {
    let path = |slot: &U256| Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
    let entry = |(slot, value): (&U256, &U256)| (path(slot), alloy_rlp::encode(value));
    let mut entries: Vec<_> = slots.iter().map(entry).collect();
    entries.sort_unstable();
    let wanted: Vec<U256> = wanted.into_iter().flatten().copied().collect();
    let paths: Vec<Nibbles> = wanted.iter().map(path).collect();
    let (root, proofs) = Trie::prove(&entries, &paths);
    let answer = |(key, proof): (U256, Vec<Bytes>)| {
        let value = slots.get(&key).copied().unwrap_or_default();
        SlotProof { key, value, proof }
    };
    (root, wanted.into_iter().zip(proofs).map(answer).collect())
}

fn absent(address: Address, slots: &BTreeSet<U256>) -> AccountProof {
    let slot = |key: &U256| SlotProof { key: *key, value: U256::ZERO, proof: Vec::new() };
    AccountProof {
        address,
        balance: U256::ZERO,
        nonce: 0,
        code_hash: KECCAK256_EMPTY,
        storage_hash: EMPTY_ROOT_HASH,
        account_proof: Vec::new(),
        storage_proof: slots.iter().map(slot).collect(),
    }
}

/// Builds a Merkle-Patricia trie from its leaves and keeps the nodes on the way to the targets.
struct Trie<'a> {
    targets: &'a [Nibbles],
    /// For each target, the nodes from the last to the root.
    proofs: Vec<Vec<Bytes>>,
}

impl<'a> Trie<'a> {
    /// The root over sorted entries, and for each target the nodes from the root on.
    fn prove(entries: &[(Nibbles, Vec<u8>)], targets: &'a [Nibbles]) -> (B256, Vec<Vec<Bytes>>) {
        let mut trie = Self { targets, proofs: vec![Vec::new(); targets.len()] };
        if entries.is_empty() {
            return (EMPTY_ROOT_HASH, trie.proofs);
        }
        let root = keccak256(trie.node(entries, (0..targets.len()).collect(), 0));
        trie.proofs.iter_mut().for_each(|proof| proof.reverse());
        (root, trie.proofs)
    }

    /// The RLP of the node over these entries, whose keys agree up to `depth`, as do the paths of
    /// the targets below it.
    fn node(&mut self, entries: &[(Nibbles, Vec<u8>)], below: Vec<usize>, depth: usize) -> Vec<u8> {
        let mut rlp = Vec::new();
        let (Some((first, value)), Some((last, _))) = (entries.first(), entries.last()) else {
            return rlp;
        };
        let common = first.common_prefix_length(last);
        if entries.len() == 1 {
            LeafNodeRef::new(&first.slice(depth..), value).rlp(&mut rlp);
        } else if common > depth {
            let follows = |at: &usize| self.targets[*at].common_prefix_length(first) >= common;
            let child_below = below.iter().copied().filter(follows).collect();
            let child = RlpNode::from_rlp(&self.node(entries, child_below, common));
            ExtensionNodeRef::new(&first.slice(depth..common), &child).rlp(&mut rlp);
        } else {
            self.branch(entries, &below, depth, &mut rlp);
        }
        // A shorter node stands inside the one above it.
        if rlp.len() >= 32 || depth == 0 {
            let node = Bytes::from(rlp.clone());
            below.iter().for_each(|at| self.proofs[*at].push(node.clone()));
        }
        rlp
    }

    fn branch(
        &mut self,
        mut entries: &[(Nibbles, Vec<u8>)],
        below: &[usize],
        depth: usize,
        rlp: &mut Vec<u8>,
    ) {
        let mut children = Vec::new();
        let mut mask = TrieMask::default();
        while let Some(nibble) = entries.first().and_then(|(key, _)| key.get(depth)) {
            let end = entries.partition_point(|(key, _)| key.get(depth) == Some(nibble));
            let (child, rest) = entries.split_at(end);
            let follows = |at: &usize| self.targets[*at].get(depth) == Some(nibble);
            let child_below = below.iter().copied().filter(follows).collect();
            let child = self.node(child, child_below, depth + 1);
            children.push(RlpNode::from_rlp(&child));
            mask.set_bit(nibble);
            entries = rest;
        }
        BranchNodeRef::new(&children, mask).rlp(rlp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_trie::root::{state_root_unhashed, storage_root_unhashed};
    use revm::state::AccountInfo;

    /// From no account to enough for tries of several levels, some accounts with storage.
    #[test]
    fn roots_are_those_of_another_implementation() {
        for count in [0_u64, 1, 2, 17, 300] {
            let mut state = MemoryState::default();
            let mut expected = Vec::new();
            for number in 0..count {
                let address = Address::from_word(B256::from(U256::from(number * 7 + 1)));
                let info = AccountInfo { nonce: number + 1, code: None, ..AccountInfo::default() };
                state.insert_account(address, info);
                let slots = (0..number % 40).map(|slot| (U256::from(slot), U256::from(number)));
                let slots: Vec<_> = slots.collect();
                for (slot, value) in &slots {
                    state.insert_storage(address, *slot, *value).unwrap();
                }
                let hashed = slots.into_iter().map(|(slot, value)| (B256::from(slot), value));
                let account = TrieAccount {
                    nonce: number + 1,
                    balance: U256::ZERO,
                    storage_root: storage_root_unhashed(hashed),
                    code_hash: KECCAK256_EMPTY,
                };
                expected.push((address, account));
            }
            let (root, _) = prove(&state, &mut StorageRoots::default(), &Targets::new());
            assert_eq!(root, state_root_unhashed(expected), "{count} accounts");
        }
    }
}
