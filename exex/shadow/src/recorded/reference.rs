//! What a node says the result of a block is: receipts and changed state.
//!
//! Role: what the shadow compares with, and what a record of a divergence keeps, so that
//! `braid replay` compares with it again. In the document it is the optional key `reference`, with
//! `receipts` (EIP-2718 encodings with bloom), `state` (changed accounts by address) and `note`.

use super::{
    error::Problem,
    fields::{Fields, hex, parse_number},
};
use alloy_consensus::ReceiptWithBloom;
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes, U256};
use braid_core::{Receipt, StateChanges, outcome::AccountChange};
use revm::state::AccountInfo;
use serde_json::{Map, Value, json};
use std::str::FromStr;

/// What a node says the result of a block is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reference {
    /// One receipt per transaction; `None` where only the header tells.
    pub receipts: Option<Vec<Receipt>>,
    /// Exactly the accounts and slots that the block changed; `None` where they are not known.
    /// Codes are not looked at, since accounts name them by their hash; neither is `before`.
    pub state: Option<StateChanges>,
    /// In a record of a divergence: the first difference when it was found.
    pub note: Option<String>,
}

impl Reference {
    pub(super) fn parse(from: &Fields<'_>) -> Result<Self, Problem> {
        let receipts = from.list("receipts", |item, path| {
            let bytes = item.as_str().and_then(|text| Bytes::from_str(text).ok());
            bytes
                .and_then(|bytes| {
                    let mut rest = bytes.as_ref();
                    let receipt = ReceiptWithBloom::<Receipt>::decode_2718(&mut rest).ok()?;
                    rest.is_empty().then_some(receipt.receipt)
                })
                .ok_or(Problem::Malformed { key: path, expected: "an encoded receipt in hex" })
        })?;
        let state = from.object("state")?.map(|state| parse_state(&state)).transpose()?;
        let note = from.value("note").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { receipts, state, note })
    }

    pub(super) fn emit(&self) -> Value {
        let mut map = Map::new();
        if let Some(receipts) = &self.receipts {
            let encode = |receipt: &Receipt| {
                let receipt = ReceiptWithBloom::from(receipt.clone());
                json!(Bytes::from(receipt.encoded_2718()))
            };
            map.insert("receipts".to_owned(), receipts.iter().map(encode).collect());
        }
        if let Some(state) = &self.state {
            let changes = state.accounts.iter().map(emit_change).collect();
            map.insert("state".to_owned(), Value::Object(changes));
        }
        if let Some(note) = &self.note {
            map.insert("note".to_owned(), json!(note));
        }
        Value::Object(map)
    }
}

fn parse_state(from: &Fields<'_>) -> Result<StateChanges, Problem> {
    let mut changes = StateChanges::default();
    for (key, value) in from.entries() {
        let address = Address::from_str(key)
            .map_err(|_| from.malformed(key, "an account under its address"))?;
        let account = Fields::new(value, from.path(key))?;
        let after = match account.optional::<B256>("codeHash")? {
            None => None,
            Some(code_hash) => Some(AccountInfo {
                balance: account.required("balance")?,
                nonce: account.required("nonce")?,
                code_hash,
                ..AccountInfo::default().without_code()
            }),
        };
        let mut storage = Vec::new();
        if let Some(slots) = account.object("storage")? {
            for (key, _) in slots.entries() {
                let slot = parse_number(key)
                    .ok_or_else(|| slots.malformed(key, "a value under its slot"))?;
                storage.push((slot, slots.required::<U256>(key)?));
            }
        }
        storage.sort_unstable();
        let wiped = account.value("wiped").and_then(Value::as_bool).unwrap_or_default();
        changes.accounts.push(AccountChange { address, before: None, after, wiped, storage });
    }
    changes.accounts.sort_unstable_by_key(|change| change.address);
    Ok(changes)
}

fn emit_change(change: &AccountChange) -> (String, Value) {
    let mut map = Map::new();
    if let Some(info) = &change.after {
        map.insert("balance".to_owned(), hex(info.balance));
        map.insert("nonce".to_owned(), json!(info.nonce));
        map.insert("codeHash".to_owned(), json!(info.code_hash));
    }
    if change.wiped {
        map.insert("wiped".to_owned(), json!(true));
    }
    let slots: Map<String, Value> = change
        .storage
        .iter()
        .map(|(slot, value)| (B256::from(*slot).to_string(), json!(B256::from(*value))))
        .collect();
    if !slots.is_empty() {
        map.insert("storage".to_owned(), Value::Object(slots));
    }
    (format!("{:#x}", change.address), Value::Object(map))
}
