//! Transactions in the form of `eth_getBlockByNumber(n, true)`.
//!
//! Nodes and their versions differ: `type`, `yParity` and `chainId` may be missing, `v` may be a
//! parity, 27 or 28, or the value of EIP-155. What is read here is what the signature needs; the
//! recorded `hash` tells whether it was understood.

use super::{
    error::{Problem, TransactionProblem},
    fields::{Fields, hex},
};
use alloy_consensus::{
    SignableTransaction, Signed, Transaction as _, TxEip1559, TxEip2930, TxEip4844, TxEip7702,
    TxLegacy,
};
use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Signature, TxKind};
use braid_core::Transaction;
use serde_json::{Map, Value, json};

/// Parses one transaction and checks it against the recorded `hash`, where there is one. Also
/// gives the recorded sender.
pub(super) fn parse(
    index: usize,
    from: &Fields<'_>,
) -> Result<(Transaction, Option<Address>), Problem> {
    let transaction = match kind(from)? {
        0 => legacy(from)?,
        1 => typed(from, eip2930(from)?)?.into(),
        2 => typed(from, eip1559(from)?)?.into(),
        3 => typed(from, eip4844(from)?)?.into(),
        4 => typed(from, eip7702(from)?)?.into(),
        _ => return Err(from.malformed("type", "a transaction type from 0 to 4")),
    };
    let computed = *transaction.tx_hash();
    match from.optional::<B256>("hash")? {
        Some(recorded) if recorded != computed => {
            let problem = TransactionProblem::Hash { recorded, computed };
            Err(Problem::Transaction { index, problem })
        }
        _ => Ok((transaction, from.optional("from")?)),
    }
}

/// The type; where it is missing, the one whose fields are there.
fn kind(from: &Fields<'_>) -> Result<u64, Problem> {
    let by_fields = || match () {
        () if from.has("authorizationList") => 4,
        () if from.has("maxFeePerBlobGas") => 3,
        () if from.has("maxFeePerGas") => 2,
        () if from.has("accessList") => 1,
        () => 0,
    };
    Ok(from.optional("type")?.unwrap_or_else(by_fields))
}

fn legacy(from: &Fields<'_>) -> Result<Transaction, Problem> {
    let recorded_chain = from.optional::<u64>("chainId")?;
    let (parity, chain_id) = match from.optional::<u128>("v")? {
        None => (parity(from)?, recorded_chain),
        Some(v @ (0 | 1)) => (v == 1, recorded_chain),
        Some(v @ (27 | 28)) => (v == 28, None),
        Some(v) if v >= 35 => {
            let chain = u64::try_from((v - 35) / 2)
                .map_err(|_| from.malformed("v", "the value of EIP-155"))?;
            ((v - 35) % 2 == 1, Some(chain))
        }
        Some(_) => return Err(from.malformed("v", "0, 1, 27, 28, or the value of EIP-155")),
    };
    let transaction = TxLegacy {
        chain_id,
        nonce: from.required("nonce")?,
        gas_price: from.required("gasPrice")?,
        gas_limit: gas_limit(from)?,
        to: to(from)?,
        value: from.required("value")?,
        input: input(from)?,
    };
    Ok(transaction.into_signed(signature(from, parity)?).into())
}

fn eip2930(from: &Fields<'_>) -> Result<TxEip2930, Problem> {
    Ok(TxEip2930 {
        chain_id: from.required("chainId")?,
        nonce: from.required("nonce")?,
        gas_price: from.required("gasPrice")?,
        gas_limit: gas_limit(from)?,
        to: to(from)?,
        value: from.required("value")?,
        access_list: access_list(from)?,
        input: input(from)?,
    })
}

fn eip1559(from: &Fields<'_>) -> Result<TxEip1559, Problem> {
    Ok(TxEip1559 {
        chain_id: from.required("chainId")?,
        nonce: from.required("nonce")?,
        gas_limit: gas_limit(from)?,
        max_fee_per_gas: from.required("maxFeePerGas")?,
        max_priority_fee_per_gas: from.required("maxPriorityFeePerGas")?,
        to: to(from)?,
        value: from.required("value")?,
        access_list: access_list(from)?,
        input: input(from)?,
    })
}

fn eip4844(from: &Fields<'_>) -> Result<TxEip4844, Problem> {
    let hashes = from.values("blobVersionedHashes")?;
    Ok(TxEip4844 {
        chain_id: from.required("chainId")?,
        nonce: from.required("nonce")?,
        gas_limit: gas_limit(from)?,
        max_fee_per_gas: from.required("maxFeePerGas")?,
        max_priority_fee_per_gas: from.required("maxPriorityFeePerGas")?,
        to: from.required("to")?,
        value: from.required("value")?,
        access_list: access_list(from)?,
        blob_versioned_hashes: hashes.ok_or_else(|| from.missing("blobVersionedHashes"))?,
        max_fee_per_blob_gas: from.required("maxFeePerBlobGas")?,
        input: input(from)?,
    })
}

fn eip7702(from: &Fields<'_>) -> Result<TxEip7702, Problem> {
    let authorizations = from.list("authorizationList", |item, path| {
        let from = Fields::new(item, path)?;
        let authorization = Authorization {
            chain_id: from.required("chainId")?,
            address: from.required("address")?,
            nonce: from.required("nonce")?,
        };
        let key = if from.has("yParity") { "yParity" } else { "v" };
        let parity = u8::try_from(from.required::<u64>(key)?)
            .map_err(|_| from.malformed(key, "a number of at most 8 bits"))?;
        let (r, s) = (from.required("r")?, from.required("s")?);
        Ok(SignedAuthorization::new_unchecked(authorization, parity, r, s))
    })?;
    Ok(TxEip7702 {
        chain_id: from.required("chainId")?,
        nonce: from.required("nonce")?,
        gas_limit: gas_limit(from)?,
        max_fee_per_gas: from.required("maxFeePerGas")?,
        max_priority_fee_per_gas: from.required("maxPriorityFeePerGas")?,
        to: from.required("to")?,
        value: from.required("value")?,
        access_list: access_list(from)?,
        authorization_list: authorizations.ok_or_else(|| from.missing("authorizationList"))?,
        input: input(from)?,
    })
}

fn typed<T: SignableTransaction<Signature>>(
    from: &Fields<'_>,
    transaction: T,
) -> Result<Signed<T>, Problem> {
    Ok(transaction.into_signed(signature(from, parity(from)?)?))
}

fn gas_limit(from: &Fields<'_>) -> Result<u64, Problem> {
    from.required(if from.has("gas") { "gas" } else { "gasLimit" })
}

fn to(from: &Fields<'_>) -> Result<TxKind, Problem> {
    Ok(from.optional("to")?.map_or(TxKind::Create, TxKind::Call))
}

fn input(from: &Fields<'_>) -> Result<alloy_primitives::Bytes, Problem> {
    from.required(if from.has("data") && !from.has("input") { "data" } else { "input" })
}

fn access_list(from: &Fields<'_>) -> Result<AccessList, Problem> {
    let items = from.list("accessList", |item, path| {
        let from = Fields::new(item, path)?;
        Ok(AccessListItem {
            address: from.required("address")?,
            storage_keys: from.values("storageKeys")?.unwrap_or_default(),
        })
    })?;
    Ok(AccessList(items.unwrap_or_default()))
}

/// The parity of a typed transaction's signature.
fn parity(from: &Fields<'_>) -> Result<bool, Problem> {
    let key = if from.has("yParity") { "yParity" } else { "v" };
    match from.required::<u128>(key)? {
        v @ (0 | 1) => Ok(v == 1),
        v @ (27 | 28) => Ok(v == 28),
        v if v >= 35 => Ok((v - 35) % 2 == 1),
        _ => Err(from.malformed(key, "0, 1, 27, 28, or the value of EIP-155")),
    }
}

fn signature(from: &Fields<'_>, parity: bool) -> Result<Signature, Problem> {
    Ok(Signature::new(from.required("r")?, from.required("s")?, parity))
}

/// The transaction's keys, with `hash` and `from`.
pub(super) fn emit(transaction: &Transaction, sender: Address) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    let signature = transaction.signature();
    let parity = u128::from(signature.v());
    let v = match transaction.chain_id() {
        _ if !transaction.is_legacy() => parity,
        Some(chain_id) => u128::from(chain_id) * 2 + 35 + parity,
        None => 27 + parity,
    };
    put("hash", json!(transaction.tx_hash()));
    put("from", json!(sender));
    put("type", hex(transaction.tx_type() as u8));
    put("nonce", hex(transaction.nonce()));
    put("gas", hex(transaction.gas_limit()));
    put("to", json!(transaction.to()));
    put("value", hex(transaction.value()));
    put("input", json!(transaction.input()));
    put("r", hex(signature.r()));
    put("s", hex(signature.s()));
    put("v", hex(v));
    if let Some(chain_id) = transaction.chain_id() {
        put("chainId", hex(chain_id));
    }
    if let Some(price) = transaction.gas_price() {
        put("gasPrice", hex(price));
    }
    if let Some(list) = transaction.access_list() {
        put("yParity", hex(parity));
        put("accessList", emit_access_list(list));
    }
    if let Some(priority) = transaction.max_priority_fee_per_gas() {
        put("maxFeePerGas", hex(transaction.max_fee_per_gas()));
        put("maxPriorityFeePerGas", hex(priority));
    }
    if let Some(fee) = transaction.max_fee_per_blob_gas() {
        put("maxFeePerBlobGas", hex(fee));
    }
    if let Some(hashes) = transaction.blob_versioned_hashes() {
        put("blobVersionedHashes", json!(hashes));
    }
    if let Some(list) = transaction.authorization_list() {
        put("authorizationList", list.iter().map(emit_authorization).collect());
    }
    Value::Object(map)
}

fn emit_access_list(list: &AccessList) -> Value {
    list.iter()
        .map(|item| json!({ "address": item.address, "storageKeys": item.storage_keys }))
        .collect()
}

fn emit_authorization(authorization: &SignedAuthorization) -> Value {
    json!({
        "chainId": hex(authorization.chain_id),
        "address": authorization.address,
        "nonce": hex(authorization.nonce),
        "yParity": hex(authorization.y_parity()),
        "r": hex(authorization.r()),
        "s": hex(authorization.s()),
    })
}
