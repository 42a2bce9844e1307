//! A header and its withdrawals in the form of `eth_getBlockByNumber`.

use super::{
    error::Problem,
    fields::{Fields, hex},
};
use alloy_consensus::Header;
use alloy_eips::eip4895::{Withdrawal, Withdrawals};
use serde_json::{Map, Value, json};

pub(super) fn parse(from: &Fields<'_>) -> Result<Header, Problem> {
    Ok(Header {
        parent_hash: from.required("parentHash")?,
        ommers_hash: from.required("sha3Uncles")?,
        beneficiary: from.required("miner")?,
        state_root: from.required("stateRoot")?,
        transactions_root: from.required("transactionsRoot")?,
        receipts_root: from.required("receiptsRoot")?,
        logs_bloom: from.required("logsBloom")?,
        difficulty: from.required("difficulty")?,
        number: from.required("number")?,
        gas_limit: from.required("gasLimit")?,
        gas_used: from.required("gasUsed")?,
        timestamp: from.required("timestamp")?,
        extra_data: from.required("extraData")?,
        mix_hash: from.required("mixHash")?,
        nonce: from.required("nonce")?,
        base_fee_per_gas: from.optional("baseFeePerGas")?,
        withdrawals_root: from.optional("withdrawalsRoot")?,
        blob_gas_used: from.optional("blobGasUsed")?,
        excess_blob_gas: from.optional("excessBlobGas")?,
        parent_beacon_block_root: from.optional("parentBeaconBlockRoot")?,
        requests_hash: from.optional("requestsHash")?,
        block_access_list_hash: from.optional("blockAccessListHash")?,
        slot_number: from.optional("slotNumber")?,
    })
}

/// The header's keys, without `hash`.
pub(super) fn emit(header: &Header) -> Map<String, Value> {
    let mut map = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(key.to_owned(), value);
        }
    };
    put("parentHash", Some(json!(header.parent_hash)));
    put("sha3Uncles", Some(json!(header.ommers_hash)));
    put("miner", Some(json!(header.beneficiary)));
    put("stateRoot", Some(json!(header.state_root)));
    put("transactionsRoot", Some(json!(header.transactions_root)));
    put("receiptsRoot", Some(json!(header.receipts_root)));
    put("logsBloom", Some(json!(header.logs_bloom)));
    put("difficulty", Some(hex(header.difficulty)));
    put("number", Some(hex(header.number)));
    put("gasLimit", Some(hex(header.gas_limit)));
    put("gasUsed", Some(hex(header.gas_used)));
    put("timestamp", Some(hex(header.timestamp)));
    put("extraData", Some(json!(header.extra_data)));
    put("mixHash", Some(json!(header.mix_hash)));
    put("nonce", Some(json!(header.nonce)));
    put("baseFeePerGas", header.base_fee_per_gas.map(hex));
    put("withdrawalsRoot", header.withdrawals_root.map(|root| json!(root)));
    put("blobGasUsed", header.blob_gas_used.map(hex));
    put("excessBlobGas", header.excess_blob_gas.map(hex));
    put("parentBeaconBlockRoot", header.parent_beacon_block_root.map(|root| json!(root)));
    put("requestsHash", header.requests_hash.map(|hash| json!(hash)));
    put("blockAccessListHash", header.block_access_list_hash.map(|hash| json!(hash)));
    put("slotNumber", header.slot_number.map(hex));
    map
}

pub(super) fn parse_withdrawals(block: &Fields<'_>) -> Result<Option<Withdrawals>, Problem> {
    let list = block.list("withdrawals", |item, path| {
        let from = Fields::new(item, path)?;
        Ok(Withdrawal {
            index: from.required("index")?,
            validator_index: from.required("validatorIndex")?,
            address: from.required("address")?,
            amount: from.required("amount")?,
        })
    })?;
    Ok(list.map(Withdrawals::new))
}

pub(super) fn emit_withdrawals(withdrawals: &Withdrawals) -> Value {
    let emit = |withdrawal: &Withdrawal| {
        json!({
            "index": hex(withdrawal.index),
            "validatorIndex": hex(withdrawal.validator_index),
            "address": withdrawal.address,
            "amount": hex(withdrawal.amount),
        })
    };
    withdrawals.iter().map(emit).collect()
}
