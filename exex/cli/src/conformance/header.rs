//! Rules for a block's header and body that need no execution.
//!
//! Role: reject what a client's consensus engine rejects before it executes, so that the tests of
//! invalid headers mean something. Sources: Yellow Paper 4.3.4; EIP-1559, 3675, 4399, 4788, 4844,
//! 4895, 7685, 7928, 7934 and the DAO fork's extra data (EIP-779).

use super::network::Network;
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header, Transaction, proofs};
use alloy_eips::{eip1559::BaseFeeParams, eip4844::DATA_GAS_PER_BLOB};
use alloy_hardforks::EthereumHardforks;
use alloy_primitives::{B64, U256};
use braid_core::{Block, chain::Rules};

/// Base fee of the first London block, wei (EIP-1559).
const INITIAL_BASE_FEE: u64 = 1_000_000_000;
/// Least gas limit (Yellow Paper, 4.3.4).
const MIN_GAS_LIMIT: u64 = 5000;
/// A block in RLP from Osaka on, bytes (EIP-7934).
const MAX_BLOCK_SIZE: usize = 8 * 1024 * 1024;
/// Blocks from the DAO fork on that carry its extra data (EIP-779).
const DAO_EXTRA_BLOCKS: u64 = 10;

/// A rule was broken; in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("header: {0}")]
pub struct HeaderError(String);

type Check = Result<(), HeaderError>;

fn must(holds: bool, message: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(HeaderError(message())) }
}

fn equal<T: PartialEq + std::fmt::Debug>(field: &str, actual: T, expected: T) -> Check {
    must(actual == expected, || format!("{field} is {actual:?}, expected {expected:?}"))
}

/// The header against its parent and against the block's body. `merged`: the parent's total
/// difficulty has reached the terminal one.
///
/// # Errors
/// [`HeaderError`] with the first rule that is broken.
pub fn check(
    network: &Network,
    merged: bool,
    parent: &Header,
    block: &Block,
    size: usize,
) -> Check {
    let header = &block.header;
    let rules = network.chain.rules(header);
    equal("number", header.number, parent.number + 1)?;
    must(header.timestamp > parent.timestamp, || "timestamp is not above its parent's".into())?;
    must(header.extra_data.len() <= 32, || "extraData is longer than 32 bytes".into())?;
    must(header.gas_used <= header.gas_limit, || "gasUsed is above gasLimit".into())?;
    if rules.is_osaka_active_at_timestamp(header.timestamp) {
        must(size <= MAX_BLOCK_SIZE, || format!("block of {size} bytes exceeds {MAX_BLOCK_SIZE}"))?;
    }
    gas_limit_and_base_fee(rules, parent, header)?;
    seal(network, merged, parent, header)?;
    optional_fields(rules, header)?;
    blobs(network, rules, parent, block)?;
    body(block)
}

/// An ommer's header against its parent (Yellow Paper, 11.1).
///
/// # Errors
/// [`HeaderError`] with the first rule that is broken.
pub fn check_ommer(network: &Network, parent: &Header, ommer: &Header) -> Check {
    let rules = network.chain.rules(ommer);
    equal("number", ommer.number, parent.number + 1)?;
    must(ommer.timestamp > parent.timestamp, || "timestamp is not above its parent's".into())?;
    must(ommer.extra_data.len() <= 32, || "extraData is longer than 32 bytes".into())?;
    must(ommer.gas_used <= ommer.gas_limit, || "gasUsed is above gasLimit".into())?;
    gas_limit_and_base_fee(rules, parent, ommer)?;
    seal(network, false, parent, ommer)?;
    optional_fields(rules, ommer)
}

fn gas_limit_and_base_fee(rules: Rules<'_>, parent: &Header, header: &Header) -> Check {
    let london = rules.is_london_active_at_block(header.number);
    let first = london && parent.base_fee_per_gas.is_none();
    let elasticity = BaseFeeParams::ethereum().elasticity_multiplier as u64;
    let parent_limit = if first { parent.gas_limit * elasticity } else { parent.gas_limit };
    let limit = header.gas_limit;
    must(limit.abs_diff(parent_limit) < parent_limit / 1024, || {
        format!("gasLimit {limit} is too far from its parent's {parent_limit}")
    })?;
    must(limit >= MIN_GAS_LIMIT, || format!("gasLimit {limit} is below {MIN_GAS_LIMIT}"))?;
    must(i64::try_from(limit).is_ok(), || format!("gasLimit {limit} is above 2^63 - 1"))?;
    let base_fee = match (london, first) {
        (false, _) => None,
        (true, true) => Some(INITIAL_BASE_FEE),
        (true, false) => parent.next_block_base_fee(BaseFeeParams::ethereum()),
    };
    equal("baseFeePerGas", header.base_fee_per_gas, base_fee)
}

/// Proof of work or proof of stake, whichever the block must be.
fn seal(network: &Network, merged: bool, parent: &Header, header: &Header) -> Check {
    let rules = network.chain.rules(header);
    let merged = match network.terminal {
        Some(_) => merged,
        None => rules.is_paris_active_at_block(header.number),
    };
    if merged {
        equal("difficulty", header.difficulty, U256::ZERO)?;
        equal("nonce", header.nonce, B64::ZERO)?;
        return equal("sha3Uncles", header.ommers_hash, EMPTY_OMMER_ROOT_HASH);
    }
    equal("difficulty", header.difficulty, difficulty(rules, parent, header))?;
    let dao =
        network.dao.is_some_and(|first| (first..first + DAO_EXTRA_BLOCKS).contains(&header.number));
    must(!dao || header.extra_data[..] == b"dao-hard-fork"[..], || {
        "extraData is not the DAO fork's".into()
    })
}

/// The difficulty of a proof-of-work block (Yellow Paper 4.3.4, EIP-2, 100, 649, 1234, 3554). The
/// tests' chains are too short for the delays of the glacier forks to differ from these.
fn difficulty(rules: Rules<'_>, parent: &Header, header: &Header) -> U256 {
    const MINIMUM: u64 = 131_072;
    let number = header.number;
    let elapsed = header.timestamp - parent.timestamp;
    let step = parent.difficulty / U256::from(2048);
    let (up, steps) = if rules.is_byzantium_active_at_block(number) {
        let base = if parent.ommers_hash == EMPTY_OMMER_ROOT_HASH { 1 } else { 2 };
        (base, elapsed / 9)
    } else if rules.is_homestead_active_at_block(number) {
        (1, elapsed / 10)
    } else {
        (1, if elapsed < 13 { 0 } else { 2 })
    };
    let changed = if steps <= up {
        parent.difficulty + step * U256::from(up - steps)
    } else {
        parent.difficulty.saturating_sub(step * U256::from((steps - up).min(99)))
    };
    let delay = if rules.is_london_active_at_block(number) {
        9_700_000
    } else if rules.is_constantinople_active_at_block(number) {
        5_000_000
    } else if rules.is_byzantium_active_at_block(number) {
        3_000_000
    } else {
        0
    };
    let changed = changed.max(U256::from(MINIMUM));
    match (number.saturating_sub(delay) / 100_000).checked_sub(2) {
        Some(exponent) if exponent < 256 => changed + (U256::from(1) << exponent),
        _ => changed,
    }
}

/// Fields that begin with a fork: there from it on, absent before it.
fn optional_fields(rules: Rules<'_>, header: &Header) -> Check {
    let time = header.timestamp;
    let shanghai = rules.is_shanghai_active_at_timestamp(time);
    let cancun = rules.is_cancun_active_at_timestamp(time);
    let prague = rules.is_prague_active_at_timestamp(time);
    let amsterdam = rules.is_amsterdam_active_at_timestamp(time);
    for (field, present, expected) in [
        ("withdrawalsRoot", header.withdrawals_root.is_some(), shanghai),
        ("blobGasUsed", header.blob_gas_used.is_some(), cancun),
        ("excessBlobGas", header.excess_blob_gas.is_some(), cancun),
        ("parentBeaconBlockRoot", header.parent_beacon_block_root.is_some(), cancun),
        ("requestsHash", header.requests_hash.is_some(), prague),
        ("blockAccessListHash", header.block_access_list_hash.is_some(), amsterdam),
    ] {
        must(present == expected, || {
            format!("{field} is {}", if present { "there before its fork" } else { "missing" })
        })?;
    }
    Ok(())
}

fn blobs(network: &Network, rules: Rules<'_>, parent: &Header, block: &Block) -> Check {
    let header = &block.header;
    if !rules.is_cancun_active_at_timestamp(header.timestamp) {
        return Ok(());
    }
    let Some(params) = network.chain.blob_params(header.timestamp) else { return Ok(()) };
    let used: u64 = block.transactions.iter().filter_map(|tx| tx.blob_gas_used()).sum();
    equal("blobGasUsed", header.blob_gas_used, Some(used))?;
    must(used <= params.max_blob_count * DATA_GAS_PER_BLOB, || {
        format!("blobGasUsed {used} is above {} blobs", params.max_blob_count)
    })?;
    let (excess, before) =
        (parent.excess_blob_gas.unwrap_or_default(), parent.blob_gas_used.unwrap_or_default());
    let base_fee = parent.base_fee_per_gas.unwrap_or_default();
    let expected = if rules.is_osaka_active_at_timestamp(header.timestamp) {
        params.next_block_excess_blob_gas_osaka(excess, before, base_fee)
    } else {
        let target = params.target_blob_count * DATA_GAS_PER_BLOB;
        excess.saturating_add(before).saturating_sub(target)
    };
    equal("excessBlobGas", header.excess_blob_gas, Some(expected))
}

/// The header's commitments to the body.
fn body(block: &Block) -> Check {
    let header = &block.header;
    let transactions: Vec<_> = block.transactions.iter().map(|tx| tx.inner()).collect();
    let root = proofs::calculate_transaction_root(&transactions);
    equal("transactionsRoot", header.transactions_root, root)?;
    let ommers = proofs::calculate_ommers_root(&block.ommers);
    equal("sha3Uncles", header.ommers_hash, ommers)?;
    let withdrawals =
        block.withdrawals.as_ref().map(|list| proofs::calculate_withdrawals_root(list));
    equal("withdrawalsRoot", header.withdrawals_root, withdrawals)
}
