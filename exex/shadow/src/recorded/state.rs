//! The parent state of a recorded block: a pre-state or an execution witness.
//!
//! A pre-state has the form of geth's `prestateTracer`. Every code is put under the Keccak-256 of
//! its bytes, so no code can stand under a hash that is not its own. An entry without balance,
//! nonce and code is kept as an empty account.

use super::{
    error::Problem,
    fields::{Fields, hex, parse_number},
};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use braid_core::{
    Block,
    source::{MemoryState, StateSource, WitnessState, decode_code},
};
use revm::state::AccountInfo;
use serde_json::{Map, Value, json};
use std::str::FromStr;

/// The parent state, as far as the block needs it.
#[derive(Debug, Clone)]
pub enum Prestate {
    /// Accounts and slots (`prestate`). What is not there does not exist.
    Memory(MemoryState),
    /// Trie nodes and codes (`witness`). What is not proved is an error.
    Witness(WitnessState),
}

impl Prestate {
    /// What execution reads from.
    pub fn source(&self) -> &dyn StateSource {
        match self {
            Self::Memory(state) => state,
            Self::Witness(state) => state,
        }
    }

    /// The known block hashes, ascending.
    pub fn block_hashes(&self) -> Vec<(u64, B256)> {
        let mut hashes: Vec<_> = match self {
            Self::Memory(state) => state.block_hashes().collect(),
            Self::Witness(state) => state.block_hashes().collect(),
        };
        hashes.sort_unstable();
        hashes
    }

    pub(super) fn insert_block_hash(&mut self, number: u64, hash: B256) {
        match self {
            Self::Memory(state) => state.insert_block_hash(number, hash),
            Self::Witness(state) => state.insert_block_hash(number, hash),
        }
    }

    /// Reads `prestate` or `witness`, and `blockHashes`.
    pub(super) fn parse(
        document: &Fields<'_>,
        block: &Block,
        parent: Option<&Header>,
    ) -> Result<Self, Problem> {
        let mut state = if let Some(witness) = document.object("witness")? {
            Self::Witness(parse_witness(document, &witness, block, parent)?)
        } else if let Some(accounts) = document.object("prestate")? {
            Self::Memory(parse_accounts(&accounts)?)
        } else {
            return Err(document.missing("prestate"));
        };
        let Some(hashes) = document.object("blockHashes")? else {
            return Err(document.missing("blockHashes"));
        };
        for (key, _) in hashes.entries() {
            let number = parse_number(key).and_then(|number| u64::try_from(number).ok());
            let number =
                number.ok_or_else(|| hashes.malformed(key, "a hash under a block number"))?;
            state.insert_block_hash(number, hashes.required(key)?);
        }
        Ok(state)
    }

    /// Puts the state's keys into the document.
    pub(super) fn emit(&self, document: &mut Map<String, Value>) {
        let hashes: Map<String, Value> = self
            .block_hashes()
            .into_iter()
            .map(|(number, hash)| (number.to_string(), json!(hash)))
            .collect();
        document.insert("blockHashes".to_owned(), Value::Object(hashes));
        match self {
            Self::Memory(state) => {
                document.insert("prestate".to_owned(), emit_accounts(state));
            }
            Self::Witness(state) => {
                let mut codes: Vec<_> = state.codes().collect();
                codes.sort_unstable_by_key(|(hash, _)| *hash);
                let codes: Vec<Bytes> =
                    codes.into_iter().map(|(_, code)| code.original_bytes()).collect();
                let witness = json!({ "state": state.nodes(), "codes": codes });
                document.insert("witness".to_owned(), witness);
                document.insert("parentStateRoot".to_owned(), json!(state.root()));
            }
        }
    }
}

fn parse_witness(
    document: &Fields<'_>,
    witness: &Fields<'_>,
    block: &Block,
    parent: Option<&Header>,
) -> Result<WitnessState, Problem> {
    let nodes: Vec<Bytes> = witness.values("state")?.ok_or_else(|| witness.missing("state"))?;
    let codes: Vec<Bytes> = witness.values("codes")?.ok_or_else(|| witness.missing("codes"))?;
    let ancestors = witness.list("headers", |item, path| {
        let rlp = item.as_str().and_then(|text| Bytes::from_str(text).ok());
        rlp.and_then(|rlp| alloy_rlp::decode_exact::<Header>(&rlp).ok())
            .ok_or(Problem::Malformed { key: path, expected: "the RLP of a header in hex" })
    })?;
    let ancestors = ancestors.unwrap_or_default();
    let parent = parent.or_else(|| {
        ancestors.iter().find(|ancestor| ancestor.hash_slow() == block.header.parent_hash)
    });
    let recorded = document.optional::<B256>("parentStateRoot")?;
    let proved = parent.map(|parent| parent.state_root);
    if let (Some(recorded), Some(computed)) = (recorded, proved)
        && recorded != computed
    {
        return Err(Problem::Mismatch { key: "parentStateRoot".into(), recorded, computed });
    }
    let mut state = match proved.or(recorded) {
        Some(root) => WitnessState::new(nodes, codes, root)?,
        None => {
            // Whoever pays for a transaction exists before the block.
            let senders: Vec<_> = block.transactions.iter().map(|tx| tx.signer()).collect();
            WitnessState::with_found_root(nodes, codes, &senders)?
        }
    };
    ancestors.iter().for_each(|ancestor| state.insert_ancestor(ancestor));
    Ok(state)
}

fn parse_accounts(accounts: &Fields<'_>) -> Result<MemoryState, Problem> {
    let mut state = MemoryState::default();
    for (key, value) in accounts.entries() {
        let address = Address::from_str(key)
            .map_err(|_| accounts.malformed(key, "an account under its address"))?;
        let from = Fields::new(value, accounts.path(key))?;
        let code = from.optional::<Bytes>("code")?.filter(|code| !code.is_empty());
        let computed = code.as_ref().map(keccak256);
        let recorded = from.optional::<B256>("codeHash")?;
        if let (Some(recorded), Some(computed)) = (recorded, computed)
            && recorded != computed
        {
            return Err(Problem::Mismatch {
                key: from.path("codeHash").into(),
                recorded,
                computed,
            });
        }
        let info = AccountInfo {
            balance: from.optional("balance")?.unwrap_or_default(),
            nonce: from.optional("nonce")?.unwrap_or_default(),
            code_hash: computed.or(recorded).unwrap_or(KECCAK256_EMPTY),
            ..AccountInfo::default()
        };
        if let Some(code) = code {
            state.insert_code(info.code_hash, decode_code(code));
        }
        state.insert_account(address, info.without_code());
        if let Some(slots) = from.object("storage")? {
            for (key, _) in slots.entries() {
                let slot = parse_number(key)
                    .ok_or_else(|| slots.malformed(key, "a value under its slot"))?;
                state
                    .insert_storage(address, slot, slots.required(key)?)
                    .map_err(|_| slots.malformed(key, "a slot of a known account"))?;
            }
        }
    }
    Ok(state)
}

fn emit_accounts(state: &MemoryState) -> Value {
    let mut accounts: Vec<_> = state.accounts().collect();
    accounts.sort_unstable_by_key(|(address, ..)| *address);
    let emit = |(address, info, storage): (Address, &AccountInfo, _)| {
        let mut account = Map::new();
        account.insert("balance".to_owned(), hex(info.balance));
        account.insert("nonce".to_owned(), json!(info.nonce));
        if !info.is_empty_code_hash() {
            match state.code(&info.code_hash) {
                Some(code) => account.insert("code".to_owned(), json!(code.original_bytes())),
                None => account.insert("codeHash".to_owned(), json!(info.code_hash)),
            };
        }
        let slots = emit_slots(storage);
        if !slots.is_empty() {
            account.insert("storage".to_owned(), Value::Object(slots));
        }
        (format!("{address:#x}"), Value::Object(account))
    };
    Value::Object(accounts.into_iter().map(emit).collect())
}

fn emit_slots<'a>(storage: impl IntoIterator<Item = (&'a U256, &'a U256)>) -> Map<String, Value> {
    let mut slots: Vec<_> = storage.into_iter().collect();
    slots.sort_unstable();
    slots
        .into_iter()
        .map(|(slot, value)| (B256::from(*slot).to_string(), json!(B256::from(*value))))
        .collect()
}
