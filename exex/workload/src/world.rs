//! The chain under construction: its rules, its state, its newest header.
//!
//! Role: turn a list of signed transactions into a block. The sequential reference executes it;
//! what it yields goes into the header and, as changes, into the state.
//!
//! Invariants: block `n + 1` names the hash of block `n` as its parent, and its base fee and
//! excess blob gas follow from it. Every header commits to its state, and each recorded block
//! carries proofs of what it reads and changes.

use crate::{
    error::Error,
    keys::Fees,
    recording::Recording,
    trie::{self, StorageRoots, Targets},
};
use alloy_consensus::{
    Header, Transaction as _, TxReceipt,
    proofs::{calculate_transaction_root, calculate_withdrawals_root},
    transaction::Recovered,
};
use alloy_eips::{
    eip1559::BaseFeeParams,
    eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE},
    eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE},
    eip4895::{Withdrawal, Withdrawals},
    eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_PREDEPLOY_CODE},
    eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_CODE},
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use braid_core::{
    Block, Chain, Outcome, OutputKind, StateSource, Transaction,
    sequential::execute_stock,
    source::{MemoryState, decode_code},
};
use braid_shadow::recorded::{AccountProof, Prestate, Proofs, RecordedBlock};
use revm::state::AccountInfo;
use serde_json::{Value, json};
use std::collections::HashMap;

/// The chain id of the built-in workload.
pub const CHAIN_ID: u64 = 0xb7a1d;
/// The least gas limit of a block, as on mainnet.
const GAS_LIMIT: u64 = 60_000_000;
/// The most gas that a transaction may ask for (EIP-7825).
pub(crate) const MAX_TRANSACTION_GAS: u64 = 1 << 24;

const START: u64 = 1_800_000_000;
const SLOT_SECONDS: u64 = 12;
const FIRST_BASE_FEE: u64 = 1_000_000_000;
const WITHDRAWALS: u64 = 4;

/// The chain under construction.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) chain: Chain,
    config: Value,
    state: MemoryState,
    storage_roots: StorageRoots,
    head: Header,
    nonces: HashMap<Address, u64>,
    seed: u64,
}

/// The geth genesis `config`: every fork up to Osaka from the start, and the blob schedule that
/// mainnet has since its second blob-parameter fork.
fn config() -> Value {
    let blobs = json!({ "target": 14, "max": 21, "baseFeeUpdateFraction": 11_684_671 });
    json!({
        "chainId": CHAIN_ID,
        "homesteadBlock": 0,
        "eip150Block": 0,
        "eip155Block": 0,
        "eip158Block": 0,
        "byzantiumBlock": 0,
        "constantinopleBlock": 0,
        "petersburgBlock": 0,
        "istanbulBlock": 0,
        "berlinBlock": 0,
        "londonBlock": 0,
        "mergeNetsplitBlock": 0,
        "terminalTotalDifficulty": 0,
        "shanghaiTime": 0,
        "cancunTime": 0,
        "pragueTime": 0,
        "osakaTime": 0,
        "blobSchedule": { "cancun": blobs, "prague": blobs, "osaka": blobs },
        "depositContractAddress": "0x00000000219ab540356cbb839cbe05303d7705fa",
    })
}

/// The contracts that the protocol itself calls.
fn system_contracts() -> [(Address, Bytes); 4] {
    [
        (BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE.clone()),
        (HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE.clone()),
        (WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_PREDEPLOY_CODE.clone()),
        (CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_CODE.clone()),
    ]
}

impl World {
    /// A chain with its genesis block, in which `funded` hold `balance` each.
    pub(crate) fn genesis(
        seed: u64,
        funded: impl IntoIterator<Item = Address>,
        balance: U256,
    ) -> Result<Self, Error> {
        let config = config();
        let chain = Chain::from_genesis_config(&config)?;
        let mut state = MemoryState::default();
        for address in funded {
            state.insert_account(address, AccountInfo { balance, ..AccountInfo::default() });
        }
        for (address, code) in system_contracts() {
            let code_hash = keccak256(&code);
            let code = Some(decode_code(code));
            let info = AccountInfo { nonce: 1, code_hash, code, ..AccountInfo::default() };
            state.insert_account(address, info);
        }
        let mut storage_roots = StorageRoots::default();
        let (state_root, _) = trie::prove(&state, &mut storage_roots, &Targets::new());
        let head = Header {
            state_root,
            timestamp: START,
            gas_limit: GAS_LIMIT,
            base_fee_per_gas: Some(FIRST_BASE_FEE),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            ..Header::default()
        };
        state.insert_block_hash(0, head.hash_slow());
        Ok(Self { chain, config, state, storage_roots, head, nonces: HashMap::new(), seed })
    }

    /// The nonce that the account's next transaction or authorization has; counts it as used.
    pub(crate) fn take_nonce(&mut self, address: Address) -> u64 {
        let nonce = self.nonces.entry(address).or_default();
        *nonce += 1;
        *nonce - 1
    }

    /// The nonce that [`Self::take_nonce`] gives next.
    pub(crate) fn nonce(&self, address: Address) -> u64 {
        self.nonces.get(&address).copied().unwrap_or_default()
    }

    /// What a transaction of the next block pays, with this tip.
    pub(crate) fn fees(&self, tip: u128) -> Fees {
        let base_fee = self.head.next_block_base_fee(BaseFeeParams::ethereum());
        Fees { base_fee: base_fee.unwrap_or(FIRST_BASE_FEE), tip }
    }

    /// How many blobs the next block takes.
    pub(crate) fn max_blobs(&self) -> u64 {
        let params = self.chain.blob_params(self.head.timestamp + SLOT_SECONDS);
        params.map_or(0, |params| params.max_blob_count)
    }

    /// Appends a block that prepares the chain; all its transactions must succeed.
    pub(crate) fn prepare(&mut self, list: Vec<Recovered<Transaction>>) -> Result<(), Error> {
        let mut block = self.compose(list);
        let outcome = execute(&self.chain, &block, &self.state)?;
        let failed = outcome.receipts.iter().position(|receipt| !receipt.status());
        if let Some(tx) = failed.and_then(|index| block.transactions.get(index)) {
            let number = block.header.number;
            return Err(Error::Preparation { number, hash: *tx.tx_hash() });
        }
        self.append(&mut block, &outcome, &Targets::new());
        Ok(())
    }

    /// Appends a block and records it with its own pre-state.
    pub(crate) fn seal(
        &mut self,
        list: Vec<Recovered<Transaction>>,
    ) -> Result<RecordedBlock, Error> {
        let mut block = self.compose(list);
        let recording = Recording::new(&self.state);
        let outcome = execute(&self.chain, &block, &recording)?;
        let seen = recording.into_seen();
        let changes = outcome.state.to_flat();
        let read = trie::targets(Some(&seen), &changes);
        let (_, before) = trie::prove(&self.state, &mut self.storage_roots, &read);
        let parent = self.head.clone();
        let after = self.append(&mut block, &outcome, &trie::targets(None, &changes));
        let state = Prestate::Memory(seen);
        let mut record = RecordedBlock::new(block, self.chain.clone(), state, true);
        record.config = Some(self.config.clone());
        record.parent = Some(parent);
        record.proofs = Some(Proofs { parent: before, block: after });
        Ok(record)
    }

    /// A geth genesis file whose state is the one after the newest block.
    pub(crate) fn as_genesis(&self) -> Value {
        let alloc = self.state.accounts().map(|(address, info, storage)| {
            let mut account = json!({
                "balance": info.balance,
                "nonce": format!("{:#x}", info.nonce),
            });
            if let Some(code) = self.state.code(&info.code_hash) {
                account["code"] = json!(code.original_bytes());
            }
            if !storage.is_empty() {
                let slots = storage.iter().map(|(slot, value)| {
                    (B256::from(*slot).to_string(), json!(B256::from(*value)))
                });
                account["storage"] = Value::Object(slots.collect());
            }
            (address.to_string(), account)
        });
        json!({
            "config": self.config,
            "timestamp": "0x0",
            "gasLimit": format!("{GAS_LIMIT:#x}"),
            "difficulty": "0x0",
            // The least that the rules of EIP-1559 lead to, so that every fee is high enough.
            "baseFeePerGas": "0x7",
            "blobGasUsed": "0x0",
            "excessBlobGas": "0x0",
            "alloc": Value::Object(alloc.collect()),
        })
    }

    /// A block on top of the newest one, without the results of its execution.
    fn compose(&self, transactions: Vec<Recovered<Transaction>>) -> Block {
        let parent = &self.head;
        let number = parent.number + 1;
        let timestamp = parent.timestamp + SLOT_SECONDS;
        let asked: u64 = transactions.iter().map(|tx| tx.gas_limit()).sum();
        let blobs = self.chain.blob_params(timestamp);
        let withdrawals = self.withdrawals(number);
        let list: Vec<&Transaction> = transactions.iter().map(Recovered::inner).collect();
        let header = Header {
            parent_hash: parent.hash_slow(),
            beneficiary: Address::from_word(self.draw("beneficiary", 0)),
            transactions_root: calculate_transaction_root(&list),
            withdrawals_root: Some(calculate_withdrawals_root(&withdrawals)),
            number,
            timestamp,
            // All transactions fit, whatever they use.
            gas_limit: GAS_LIMIT.max(asked),
            base_fee_per_gas: parent.next_block_base_fee(BaseFeeParams::ethereum()),
            excess_blob_gas: blobs.and_then(|blobs| parent.next_block_excess_blob_gas(blobs)),
            mix_hash: self.draw("randao", number),
            parent_beacon_block_root: Some(self.draw("beacon", number)),
            ..Header::default()
        };
        Block {
            header,
            transactions,
            withdrawals: Some(Withdrawals::new(withdrawals)),
            ..Block::default()
        }
    }

    /// Fills in the results and makes the block the newest one; proves the targets after it.
    fn append(
        &mut self,
        block: &mut Block,
        outcome: &Outcome,
        targets: &Targets,
    ) -> Vec<AccountProof> {
        let changes = outcome.state.to_flat();
        self.state.apply(&changes);
        self.storage_roots.forget(&changes);
        let (state_root, proofs) = trie::prove(&self.state, &mut self.storage_roots, targets);
        let header = &mut block.header;
        header.gas_used = outcome.gas_used;
        header.receipts_root = outcome.receipts_root();
        header.logs_bloom = outcome.logs_bloom();
        header.blob_gas_used = Some(outcome.blob_gas_used);
        header.requests_hash = Some(outcome.requests_hash());
        header.state_root = state_root;
        self.state.insert_block_hash(header.number, header.hash_slow());
        self.head = header.clone();
        proofs
    }

    /// A few withdrawals, each to a validator of its own.
    fn withdrawals(&self, number: u64) -> Vec<Withdrawal> {
        let withdrawal = |place| {
            let index = number * WITHDRAWALS + place;
            Withdrawal {
                index,
                validator_index: index,
                address: Address::from_word(self.draw("validator", index)),
                amount: 1_000_000 + index,
            }
        };
        (0..WITHDRAWALS).map(withdrawal).collect()
    }

    /// A value that follows from the seed.
    fn draw(&self, role: &str, number: u64) -> B256 {
        let parts = [&self.seed.to_be_bytes()[..], role.as_bytes(), &number.to_be_bytes()];
        keccak256(parts.concat())
    }

    /// The code of a contract, as it is after the newest block.
    #[cfg(test)]
    pub(crate) fn code(&self, address: &Address) -> Option<Bytes> {
        let info = self.state.account(address).filter(|info| !info.is_empty_code_hash())?;
        self.state.code(&info.code_hash).map(|code| code.original_bytes())
    }
}

fn execute(chain: &Chain, block: &Block, source: &dyn StateSource) -> Result<Outcome, Error> {
    execute_stock(chain, block, source, OutputKind::Flat)
        .map_err(|error| Error::Execute { number: block.header.number, error: Box::new(error) })
}
