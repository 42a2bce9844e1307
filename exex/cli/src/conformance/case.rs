//! The published format of a blockchain test, as far as it is used.
//!
//! Format: <https://eest.ethereum.org/main/consuming_tests/blockchain_test/>. Unknown keys are
//! ignored; a missing one that is needed is an error that names it.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use braid_core::source::{MemoryState, decode_code};
use revm::state::AccountInfo;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One file: cases by name.
pub type File = BTreeMap<String, serde_json::Value>;

/// One case.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Case {
    /// The network's name.
    pub network: String,
    /// The genesis block.
    #[serde(rename = "genesisRLP")]
    pub genesis_rlp: Bytes,
    /// The state before the first block.
    pub pre: BTreeMap<Address, Account>,
    /// The state after the last block of the canonical chain.
    pub post_state: Option<BTreeMap<Address, Account>>,
    /// Its root, where the state itself is not given.
    pub post_state_hash: Option<B256>,
    /// The last block of the canonical chain.
    pub lastblockhash: B256,
    /// The blocks in the order in which they arrive.
    pub blocks: Vec<Arrival>,
    /// Chain id and blob parameters.
    pub config: Option<Config>,
}

/// One block as it arrives.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Arrival {
    /// The block.
    pub rlp: Bytes,
    /// Why it is invalid; absent where it is valid.
    pub expect_exception: Option<String>,
}

/// Settings of a case's chain.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The chain id.
    pub chainid: Option<U256>,
    /// Blob parameters by fork.
    pub blob_schedule: Option<BTreeMap<String, Blobs>>,
}

/// The blob parameters of one fork (EIP-7840).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blobs {
    /// Blobs a block that leave the fee as it is.
    pub target: U256,
    /// Blobs a block at most.
    pub max: U256,
    /// How slowly the fee moves.
    pub base_fee_update_fraction: U256,
}

/// One account.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// Its nonce.
    pub nonce: U256,
    /// Its balance, wei.
    pub balance: U256,
    /// Its code.
    pub code: Bytes,
    /// Its storage.
    pub storage: BTreeMap<U256, U256>,
}

/// The accounts as a state.
pub fn state(accounts: &BTreeMap<Address, Account>) -> MemoryState {
    let mut state = MemoryState::default();
    for (address, account) in accounts {
        let info = AccountInfo {
            balance: account.balance,
            nonce: account.nonce.saturating_to(),
            code_hash: keccak256(&account.code),
            code: Some(decode_code(account.code.clone())),
            account_id: None,
        };
        state.insert_account(*address, info);
        for (slot, value) in &account.storage {
            // The account was added just above.
            let _known = state.insert_storage(*address, *slot, *value);
        }
    }
    state
}

/// The first difference between a state and what it should be, in words.
pub fn difference(state: &MemoryState, expected: &BTreeMap<Address, Account>) -> Option<String> {
    for (address, account) in expected {
        let Some(info) = state.account(address) else {
            return Some(format!("post-state: account {address} is missing"));
        };
        let (nonce, balance) = (U256::from(info.nonce), info.balance);
        if (nonce, balance, info.code_hash)
            != (account.nonce, account.balance, keccak256(&account.code))
        {
            return Some(format!(
                "post-state: account {address} has nonce {nonce}, balance {balance}, code {}; \
                 expected nonce {}, balance {}, code {}",
                info.code_hash,
                account.nonce,
                account.balance,
                keccak256(&account.code)
            ));
        }
        for (slot, value) in &account.storage {
            let actual = state.storage(address, slot);
            if actual != *value {
                return Some(format!(
                    "post-state: account {address} slot {slot:#x} is {actual:#x}, \
                     expected {value:#x}"
                ));
            }
        }
    }
    for (address, _, storage) in state.accounts() {
        let Some(account) = expected.get(&address) else {
            return Some(format!("post-state: account {address} should not exist"));
        };
        if let Some(slot) = storage.keys().find(|slot| !account.storage.contains_key(*slot)) {
            return Some(format!("post-state: account {address} slot {slot:#x} should be zero"));
        }
    }
    None
}
