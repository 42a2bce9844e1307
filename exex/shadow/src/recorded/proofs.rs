//! Proves the state before and after a recorded block.
//!
//! Role: say whether executed changes are the ones that the header's `stateRoot` commits to.
//! Actors: an execution witness gives the whole post-state root; answers of `eth_getProof` at the
//! parent and at the block ([`Proofs`]) prove each account and slot in them, whatever node made
//! them: the nodes in an answer are read as a witness, so nothing in it is believed.

use super::{
    RecordedBlock,
    error::Problem,
    fields::{Fields, hex},
    state::Prestate,
};
use alloy_consensus::constants::EMPTY_ROOT_HASH;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use alloy_trie::TrieAccount;
use braid_core::{
    SourceError, StateChanges, StateReader,
    outcome::AccountChange,
    source::{WitnessError, WitnessState},
};
use revm::state::AccountInfo;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt};

/// Answers of `eth_getProof` around a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proofs {
    /// At the parent.
    pub parent: Vec<AccountProof>,
    /// At the block.
    pub block: Vec<AccountProof>,
}

/// One answer of `eth_getProof`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountProof {
    /// The account's address.
    pub address: Address,
    /// Its balance (wei).
    pub balance: U256,
    /// Its nonce.
    pub nonce: u64,
    /// The hash of its code; zero or that of the empty code where it does not exist.
    pub code_hash: B256,
    /// The root of its storage.
    pub storage_hash: B256,
    /// The nodes from the state root to the account.
    pub account_proof: Vec<Bytes>,
    /// The proved slots.
    pub storage_proof: Vec<SlotProof>,
}

/// A proved slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotProof {
    /// The slot.
    pub key: U256,
    /// Its value.
    pub value: U256,
    /// The nodes from the account's storage root to the slot.
    pub proof: Vec<Bytes>,
}

/// How much of the state after the block was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateCheck {
    /// All of it: the computed state root is the header's.
    Root,
    /// Every changed account and slot, against the header's state root.
    Proofs,
    /// Nothing: the record does not suffice.
    Unchecked,
}

/// Which state a proof is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The state before the block.
    Parent,
    /// The state after the block.
    Block,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parent => "before the block",
            Self::Block => "after the block",
        })
    }
}

/// The state contradicts the header, or the record itself is bad.
#[derive(Debug, thiserror::Error)]
pub enum StateMismatch {
    /// The computed state root is another.
    #[error("stateRoot: the header says {header}, execution gives {executed}")]
    Root {
        /// The header's value.
        header: B256,
        /// The computed value.
        executed: B256,
    },
    /// The nodes do not prove what is to be proved.
    #[error("{at}: {error}")]
    Witness {
        /// Before or after the block.
        at: At,
        /// What is missing or wrong.
        error: WitnessError,
    },
    /// An answer says something else than its own nodes.
    #[error("{at}, account {address}: the answer contradicts its own nodes")]
    Answer {
        /// Before or after the block.
        at: At,
        /// The account.
        address: Address,
    },
    /// An account is proved to be different.
    #[error("{at}, account {address}: {field} is proved to be {proved}, here it is {found}")]
    Account {
        /// Before or after the block.
        at: At,
        /// The account.
        address: Address,
        /// `balance`, `nonce` or `codeHash`.
        field: &'static str,
        /// The proved value.
        proved: String,
        /// The recorded value, for the state after the block the executed one.
        found: String,
    },
    /// A slot is proved to be different.
    #[error("{at}, account {address} slot {slot:#x}: proved {proved:#x}, here {found:#x}")]
    Slot {
        /// Before or after the block.
        at: At,
        /// The account.
        address: Address,
        /// The slot.
        slot: U256,
        /// The proved value.
        proved: U256,
        /// The recorded value, for the state after the block the executed one.
        found: U256,
    },
    /// Execution changed something about which there is no proof.
    #[error("account {address} slot {slot:?} was changed, and there is no proof for it")]
    Unproved {
        /// The account.
        address: Address,
        /// The slot; `None` for the account itself.
        slot: Option<U256>,
    },
    /// The recorded pre-state cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl RecordedBlock {
    /// Proves the executed changes against the header's `stateRoot`, as far as the record goes.
    ///
    /// # Errors
    /// [`StateMismatch`] names the first account or slot that differs.
    pub fn check_state(&self, changes: &StateChanges) -> Result<StateCheck, StateMismatch> {
        match (&self.state, &self.parent, &self.proofs) {
            _ if !self.complete || !self.ommers_known() => Ok(StateCheck::Unchecked),
            (Prestate::Witness(witness), ..) => {
                let header = self.block.header.state_root;
                let executed = witness
                    .post_state_root(changes)
                    .map_err(|error| StateMismatch::Witness { at: At::Block, error })?;
                if header == executed {
                    Ok(StateCheck::Root)
                } else {
                    Err(StateMismatch::Root { header, executed })
                }
            }
            (Prestate::Memory(_), Some(parent), Some(proofs)) => {
                let mut reader = self.state.source().reader()?;
                let mut state = Expected { reader: &mut *reader, changes: BTreeMap::new() };
                state.check(At::Parent, parent.state_root, &proofs.parent)?;
                state.changes = changes.accounts.iter().map(|c| (c.address, c)).collect();
                state.check(At::Block, self.block.header.state_root, &proofs.block)?;
                all_proved(changes, &proofs.block)?;
                Ok(StateCheck::Proofs)
            }
            (Prestate::Memory(_), ..) => Ok(StateCheck::Unchecked),
        }
    }
}

/// The recorded pre-state with the executed changes.
struct Expected<'a> {
    reader: &'a mut dyn StateReader,
    changes: BTreeMap<Address, &'a AccountChange>,
}

impl Expected<'_> {
    fn account(&mut self, address: Address) -> Result<AccountInfo, SourceError> {
        let account = match self.changes.get(&address) {
            Some(change) => change.after.clone(),
            None => self.reader.account(address)?,
        };
        Ok(account.unwrap_or_default())
    }

    fn slot(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        if let Some(change) = self.changes.get(&address) {
            if let Ok(index) = change.storage.binary_search_by_key(&slot, |(slot, _)| *slot) {
                return Ok(change.storage[index].1);
            }
            if change.wiped || change.after.is_none() {
                return Ok(U256::ZERO);
            }
        }
        self.reader.storage(address, slot)
    }

    /// Compares every account and slot of the answers with this state.
    fn check(&mut self, at: At, root: B256, answers: &[AccountProof]) -> Result<(), StateMismatch> {
        let fail = |error| StateMismatch::Witness { at, error };
        let witness = witness(root, answers).map_err(fail)?;
        for answer in answers {
            let address = answer.address;
            let account = witness.account(address).map_err(fail)?.unwrap_or_default();
            if !answer.states(&account) {
                return Err(StateMismatch::Answer { at, address });
            }
            let found = self.account(address)?;
            let field = |field, proved: String, found: String| {
                if proved == found {
                    return Ok(());
                }
                Err(StateMismatch::Account { at, address, field, proved, found })
            };
            field("balance", account.balance.to_string(), found.balance.to_string())?;
            field("nonce", account.nonce.to_string(), found.nonce.to_string())?;
            field("codeHash", account.code_hash.to_string(), found.code_hash.to_string())?;
            for slot in &answer.storage_proof {
                let proved = witness.storage(address, slot.key).map_err(fail)?;
                if proved != slot.value {
                    return Err(StateMismatch::Answer { at, address });
                }
                let found = self.slot(address, slot.key)?;
                if proved != found {
                    let slot = slot.key;
                    return Err(StateMismatch::Slot { at, address, slot, proved, found });
                }
            }
        }
        Ok(())
    }
}

/// The nodes of all answers as one witness.
fn witness(root: B256, answers: &[AccountProof]) -> Result<WitnessState, WitnessError> {
    let nodes = answers.iter().flat_map(|answer| {
        let slots = answer.storage_proof.iter().flat_map(|slot| &slot.proof);
        answer.account_proof.iter().chain(slots).cloned()
    });
    WitnessState::new(nodes.collect(), [], root)
}

/// Every change must be among the proved accounts and slots.
fn all_proved(changes: &StateChanges, answers: &[AccountProof]) -> Result<(), StateMismatch> {
    let answers: BTreeMap<_, _> = answers.iter().map(|answer| (answer.address, answer)).collect();
    for change in &changes.accounts {
        let address = change.address;
        let Some(answer) = answers.get(&address) else {
            return Err(StateMismatch::Unproved { address, slot: None });
        };
        for (slot, _) in &change.storage {
            if !answer.storage_proof.iter().any(|proof| proof.key == *slot) {
                return Err(StateMismatch::Unproved { address, slot: Some(*slot) });
            }
        }
    }
    Ok(())
}

impl AccountProof {
    /// Whether the answer says what the nodes prove; an absent account may be given with zeros.
    fn states(&self, account: &TrieAccount) -> bool {
        let or = |hash: B256, empty| if hash.is_zero() { empty } else { hash };
        self.balance == account.balance
            && self.nonce == account.nonce
            && or(self.code_hash, KECCAK256_EMPTY) == account.code_hash
            && or(self.storage_hash, EMPTY_ROOT_HASH) == account.storage_root
    }
}

impl Proofs {
    pub(super) fn parse(from: &Fields<'_>) -> Result<Self, Problem> {
        let answers = |key| {
            let list = from.list(key, |item, path| parse_answer(&Fields::new(item, path)?))?;
            list.ok_or_else(|| from.missing(key))
        };
        Ok(Self { parent: answers("parent")?, block: answers("block")? })
    }

    pub(super) fn emit(&self) -> Value {
        let all = |answers: &[AccountProof]| answers.iter().map(emit_answer).collect::<Value>();
        json!({ "parent": all(&self.parent), "block": all(&self.block) })
    }
}

fn parse_answer(from: &Fields<'_>) -> Result<AccountProof, Problem> {
    let slots = from.list("storageProof", |item, path| {
        let from = Fields::new(item, path)?;
        Ok(SlotProof {
            key: from.required("key")?,
            value: from.required("value")?,
            proof: from.values("proof")?.ok_or_else(|| from.missing("proof"))?,
        })
    })?;
    Ok(AccountProof {
        address: from.required("address")?,
        balance: from.required("balance")?,
        nonce: from.required("nonce")?,
        code_hash: from.required("codeHash")?,
        storage_hash: from.required("storageHash")?,
        account_proof: from.values("accountProof")?.ok_or_else(|| from.missing("accountProof"))?,
        storage_proof: slots.unwrap_or_default(),
    })
}

fn emit_answer(answer: &AccountProof) -> Value {
    let slots: Value = answer
        .storage_proof
        .iter()
        .map(|slot| json!({ "key": hex(slot.key), "value": hex(slot.value), "proof": slot.proof }))
        .collect();
    json!({
        "address": answer.address,
        "balance": hex(answer.balance),
        "nonce": hex(answer.nonce),
        "codeHash": answer.code_hash,
        "storageHash": answer.storage_hash,
        "accountProof": answer.account_proof,
        "storageProof": slots,
    })
}
