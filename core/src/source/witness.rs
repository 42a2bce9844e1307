//! An execution witness as the parent state.
//!
//! Role: execute a block from the trie nodes and codes that it touches, with every read proved
//! against the parent's state root, and compute the state root after it. [`WitnessState`] is the
//! state; the private `trie` module knows the nodes.
//!
//! Invariants: an absent account or slot is proved absent; where the witness lacks a node, the
//! answer is an error, never `None` or zero. Everything is decoded once, so readers share it
//! without a lock.

mod trie;

#[cfg(test)]
mod tests;

pub use trie::TrieError;

use super::{Location, SourceError, StateReader, StateSource, decode_code};
use crate::outcome::{AccountChange, StateChanges};
use alloy_consensus::Header;
use alloy_primitives::{
    Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256,
    map::{AddressMap, B256Map, B256Set, HashMap},
};
use alloy_rlp::Decodable;
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use nybbles::Nibbles;
use revm::{bytecode::Bytecode, state::AccountInfo};
use trie::{Node, Nodes, Reference};

/// The parent state, as far as a witness holds it.
#[derive(Debug, Clone)]
pub struct WitnessState {
    root: B256,
    nodes: Nodes,
    rlp: Vec<Bytes>,
    codes: B256Map<Bytecode>,
    block_hashes: HashMap<u64, B256>,
}

/// Why a witness is of no use, or not of enough.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// An entry of the node list is no trie node.
    #[error("witness state node {index}: {error}")]
    Node {
        /// Its place in the list.
        index: usize,
        /// What is wrong with it.
        error: alloy_rlp::Error,
    },
    /// The parent's state root is not given and cannot be told from the nodes.
    #[error("the witness has {candidates} nodes that may be the state root")]
    Root {
        /// How many nodes no other node refers to.
        candidates: usize,
    },
    /// An account's or slot's value is not what a state trie holds.
    #[error("{location}: bad value in the trie: {error}")]
    Value {
        /// The account or slot.
        location: Location,
        /// What is wrong with it.
        error: alloy_rlp::Error,
    },
    /// The nodes do not suffice for this account or slot.
    #[error("{location}: {error}")]
    Trie {
        /// The account or slot.
        location: Location,
        /// What is missing.
        error: TrieError,
    },
}

impl WitnessState {
    /// Decodes a witness: trie nodes (accounts and storage together), codes, and the root of the
    /// parent state.
    ///
    /// # Errors
    /// [`WitnessError::Node`] with the first entry that is no trie node.
    pub fn new(
        nodes: Vec<Bytes>,
        codes: impl IntoIterator<Item = Bytes>,
        root: B256,
    ) -> Result<Self, WitnessError> {
        let mut witness = Self::without_root(nodes, codes)?;
        witness.root = root;
        Ok(witness)
    }

    /// As [`Self::new`], for a witness that does not say which node is the root: it is the one
    /// that no other node, and no account, refers to; where more than one is such a node, the one
    /// under which all of `accounts` exist. Whether it is the parent's root is not known then; a
    /// right [`Self::post_state_root`] shows it.
    ///
    /// # Errors
    /// Also [`WitnessError::Root`] where no node, or more than one, is such a node.
    pub fn with_found_root(
        nodes: Vec<Bytes>,
        codes: impl IntoIterator<Item = Bytes>,
        accounts: &[Address],
    ) -> Result<Self, WitnessError> {
        let mut witness = Self::without_root(nodes, codes)?;
        let mut roots = witness.unreferenced();
        if roots.len() > 1 {
            roots.retain(|root| {
                witness.root = *root;
                accounts.iter().all(|address| matches!(witness.account(*address), Ok(Some(_))))
            });
        }
        match roots.as_slice() {
            [root] => {
                witness.root = *root;
                Ok(witness)
            }
            _ => Err(WitnessError::Root { candidates: roots.len() }),
        }
    }

    /// The nodes that no node and no account refers to.
    fn unreferenced(&self) -> Vec<B256> {
        let mut referred = B256Set::default();
        for (_, node) in self.nodes.iter() {
            node.for_each_reference(&mut |reference| match reference {
                Reference::Node(hash) => {
                    referred.insert(hash);
                }
                Reference::Value(mut value) => {
                    if let Ok(account) = TrieAccount::decode(&mut value) {
                        referred.insert(account.storage_root);
                    }
                }
            });
        }
        let nodes = self.nodes.iter();
        nodes
            .filter(|(hash, node)| **node != Node::Empty && !referred.contains(*hash))
            .map(|(hash, _)| *hash)
            .collect()
    }

    fn without_root(
        rlp: Vec<Bytes>,
        codes: impl IntoIterator<Item = Bytes>,
    ) -> Result<Self, WitnessError> {
        let nodes =
            Nodes::decode(&rlp).map_err(|(index, error)| WitnessError::Node { index, error })?;
        let codes = codes.into_iter().map(|code| (keccak256(&code), decode_code(code))).collect();
        Ok(Self { root: EMPTY_ROOT_HASH, nodes, rlp, codes, block_hashes: HashMap::default() })
    }

    /// Adds the hash of an ancestor.
    pub fn insert_block_hash(&mut self, number: u64, hash: B256) {
        self.block_hashes.insert(number, hash);
    }

    /// Adds an ancestor, and with it its hash and its parent's.
    pub fn insert_ancestor(&mut self, header: &Header) {
        self.insert_block_hash(header.number, header.hash_slow());
        if let Some(parent) = header.number.checked_sub(1) {
            self.insert_block_hash(parent, header.parent_hash);
        }
    }

    /// The root of the parent state.
    pub const fn root(&self) -> B256 {
        self.root
    }

    /// The trie nodes, RLP, in the order in which they were given.
    pub fn nodes(&self) -> &[Bytes] {
        &self.rlp
    }

    /// The codes with their hashes, in no particular order.
    pub fn codes(&self) -> impl Iterator<Item = (B256, &Bytecode)> + '_ {
        self.codes.iter().map(|(hash, code)| (*hash, code))
    }

    /// The known block hashes, in no particular order.
    pub fn block_hashes(&self) -> impl Iterator<Item = (u64, B256)> + '_ {
        self.block_hashes.iter().map(|(number, hash)| (*number, *hash))
    }

    /// The account as the trie holds it; `None` where it is proved absent.
    ///
    /// # Errors
    /// [`WitnessError`] where the witness proves neither.
    pub fn account(&self, address: Address) -> Result<Option<TrieAccount>, WitnessError> {
        let location = Location::Account(address);
        let value = self
            .nodes
            .get(self.root, keccak256(address))
            .map_err(|error| WitnessError::Trie { location, error })?;
        value
            .map(alloy_rlp::decode_exact)
            .transpose()
            .map_err(|error| WitnessError::Value { location, error })
    }

    /// A slot's value; zero where it, or its account, is proved absent.
    ///
    /// # Errors
    /// [`WitnessError`] where the witness proves neither.
    pub fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        match self.account(address)? {
            Some(account) => self.slot(account.storage_root, address, slot),
            None => Ok(U256::ZERO),
        }
    }

    fn slot(&self, root: B256, address: Address, slot: U256) -> Result<U256, WitnessError> {
        let location = Location::Storage(address, slot);
        let value = self
            .nodes
            .get(root, slot_key(slot))
            .map_err(|error| WitnessError::Trie { location, error })?;
        value
            .map(alloy_rlp::decode_exact)
            .transpose()
            .map(Option::unwrap_or_default)
            .map_err(|error| WitnessError::Value { location, error })
    }

    /// The state root after these changes.
    ///
    /// # Errors
    /// [`WitnessError::Trie`] where a changed account or slot, or a node that a deletion merges
    /// with its parent, is not in the witness.
    pub fn post_state_root(&self, changes: &StateChanges) -> Result<B256, WitnessError> {
        let mut accounts = Node::from_root(self.root);
        // Insertions first: a deletion then needs a sibling only where the final trie does.
        for change in &changes.accounts {
            let Some(info) = &change.after else { continue };
            let account = TrieAccount {
                nonce: info.nonce,
                balance: info.balance,
                storage_root: self.post_storage_root(change)?,
                code_hash: info.code_hash,
            };
            let key = Nibbles::unpack(keccak256(change.address));
            let location = Location::Account(change.address);
            accounts = self
                .nodes
                .insert(accounts, &key, alloy_rlp::encode(account))
                .map_err(|error| WitnessError::Trie { location, error })?;
        }
        for change in changes.accounts.iter().filter(|change| change.after.is_none()) {
            let key = Nibbles::unpack(keccak256(change.address));
            let location = Location::Account(change.address);
            accounts = self
                .nodes
                .remove(accounts, &key)
                .map_err(|error| WitnessError::Trie { location, error })?;
        }
        Ok(accounts.root())
    }

    fn post_storage_root(&self, change: &AccountChange) -> Result<B256, WitnessError> {
        let before = if change.wiped { None } else { self.account(change.address)? };
        let root = before.map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
        if change.storage.is_empty() {
            return Ok(root);
        }
        let mut slots = Node::from_root(root);
        let fail = |slot: U256| {
            move |error| WitnessError::Trie {
                location: Location::Storage(change.address, slot),
                error,
            }
        };
        for (slot, value) in change.storage.iter().filter(|(_, value)| !value.is_zero()) {
            let key = Nibbles::unpack(slot_key(*slot));
            let value = alloy_rlp::encode(value);
            slots = self.nodes.insert(slots, &key, value).map_err(fail(*slot))?;
        }
        for (slot, _) in change.storage.iter().filter(|(_, value)| value.is_zero()) {
            let key = Nibbles::unpack(slot_key(*slot));
            slots = self.nodes.remove(slots, &key).map_err(fail(*slot))?;
        }
        Ok(slots.root())
    }
}

/// The key of a slot in its account's trie.
fn slot_key(slot: U256) -> B256 {
    keccak256(slot.to_be_bytes::<32>())
}

impl StateSource for WitnessState {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(WitnessReader { witness: self, storage_roots: AddressMap::default() }))
    }
}

/// Remembers storage roots, so that a slot costs one walk instead of two.
struct WitnessReader<'a> {
    witness: &'a WitnessState,
    storage_roots: AddressMap<B256>,
}

impl StateReader for WitnessReader<'_> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        let account = self
            .witness
            .account(address)
            .map_err(|error| SourceError::new(Location::Account(address), error))?;
        let root = account.map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
        self.storage_roots.insert(address, root);
        Ok(account.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            code: (account.code_hash == KECCAK256_EMPTY).then(Bytecode::default),
            ..AccountInfo::default()
        }))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        let value = match self.storage_roots.get(&address) {
            Some(root) => self.witness.slot(*root, address, slot),
            None => self.witness.storage(address, slot),
        };
        value.map_err(|error| SourceError::new(Location::Storage(address, slot), error))
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError> {
        let code = self.witness.codes.get(&hash).cloned();
        code.ok_or_else(|| SourceError::new(Location::Code(hash), "not in the witness"))
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        let hash = self.witness.block_hashes.get(&number).copied();
        hash.ok_or_else(|| SourceError::new(Location::BlockHash(number), "not in the witness"))
    }
}
