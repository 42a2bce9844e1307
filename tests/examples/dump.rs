//! `dump OUT [RECORDED]`: blocks as flat files for the tests in C and C++.
//!
//! Role: write `OUT/synthetic.block` and `OUT/amsterdam.block`, small blocks made here,
//! `OUT/line-N.block`, four small blocks one after the other, each on the state that the one before
//! leaves, `OUT/deep.block`, whose calls are nested 1024 deep, `OUT/precompiles.block`, which calls
//! the precompiles that have C code behind them, `OUT/withdrawal.rlp`, the plain RLP of a block
//! without transactions that needs no parent state, and for each recorded block in the folder
//! RECORDED `OUT/<number>.block`. What a test expects is in the file too: the header's results, and
//! a digest of the state changes and logs of stock sequential execution.
//!
//! The file is little-endian; `bytes` are a 64-bit length and that many bytes:
//!
//!     "BRAIDBK1", bytes chain: a name, or a genesis `config` in JSON,
//!     bytes expected: u64 gas used, u64 (1: receipts have a status), 32 receipts root,
//!         256 logs bloom, u64 digest, u64 (1: there are requests), 32 requests hash,
//!         u64 n, n times bytes request, bytes block access list RLP (empty: none),
//!         bytes the list that the block yields when it is asked for, whatever its fork,
//!         u64 (1: the body is the one that the header means; some records lack ommers),
//!     bytes block RLP, bytes header RLP, bytes ommers RLP, bytes withdrawals RLP (empty: none),
//!     u64 n, n times (20 sender, bytes transaction as in EIP-2718),
//!     u64 n, n times (20 address, u64 nonce, 32 balance, 32 code hash,
//!                     u64 m, m times (32 slot, 32 value)), sorted,
//!     u64 n, n times (32 hash, bytes code), sorted,
//!     u64 n, n times (u64 number, 32 hash), sorted.

#[path = "dump/special.rs"]
mod special;
#[path = "dump/synthetic.rs"]
mod synthetic;

use alloy_consensus::{Header, proofs::calculate_transaction_root};
use alloy_eips::{eip2718::Encodable2718, eip7685::EMPTY_REQUESTS_HASH};
use alloy_hardforks::EthereumHardforks;
use alloy_primitives::{B256, Bytes, KECCAK256_EMPTY};
use braid_core::{
    Block, Chain, Outcome, OutputKind, StateChanges,
    import::check_body,
    outcome::AccountChange,
    sequential::{execute_stock, execute_stock_with_access_list},
    source::MemoryState,
};
use braid_shadow::recorded::{self, Prestate, RecordedBlock};
use revm::state::AccountInfo;
use std::{collections::BTreeMap, env, error::Error, fs, path::Path, process::ExitCode};

/// How many consecutive blocks there are.
const LINE: u64 = 4;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let done = match args.as_slice() {
        [out] => dump(Path::new(out), None),
        [out, recorded] => dump(Path::new(out), Some(Path::new(recorded))),
        _ => Err("usage: dump OUT [RECORDED]".into()),
    };
    if let Err(error) = done {
        eprintln!("dump: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn dump(out: &Path, recorded: Option<&Path>) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out)?;
    let mainnet = Chain::mainnet();
    let (block, state) = synthetic::block(&mainnet)?;
    fs::write(out.join("synthetic.block"), encode("mainnet", &mainnet, &block, &state)?)?;
    let config = serde_json::from_str(synthetic::AMSTERDAM)?;
    let amsterdam = Chain::from_genesis_config(&config)?;
    let (block, state) = synthetic::block(&amsterdam)?;
    let encoded = encode(synthetic::AMSTERDAM, &amsterdam, &block, &state)?;
    fs::write(out.join("amsterdam.block"), encoded)?;
    for (index, (block, state)) in synthetic::line(&mainnet, LINE)?.iter().enumerate() {
        let encoded = encode("mainnet", &mainnet, block, state)?;
        fs::write(out.join(format!("line-{index}.block")), encoded)?;
    }
    let (block, state) = special::deep(&mainnet)?;
    fs::write(out.join("deep.block"), encode("mainnet", &mainnet, &block, &state)?)?;
    let (block, state) = special::precompiles(&amsterdam)?;
    let encoded = encode(synthetic::AMSTERDAM, &amsterdam, &block, &state)?;
    fs::write(out.join("precompiles.block"), encoded)?;
    fs::write(
        out.join("withdrawal.rlp"),
        alloy_rlp::encode(synthetic::without_transactions()?.to_signed()),
    )?;
    let Some(folder) = recorded else { return Ok(()) };
    for file in recorded::files(folder)? {
        let record = RecordedBlock::read(&file)?;
        let Prestate::Memory(state) = &record.state else {
            return Err(format!("{}: not a pre-state", file.display()).into());
        };
        let path = out.join(format!("{}.block", record.number()));
        if record.chain.id() != mainnet.id() {
            return Err(format!("{}: not a block of mainnet", file.display()).into());
        }
        fs::write(path, encode("mainnet", &record.chain, &record.block, state)?)?;
    }
    Ok(())
}

fn encode(
    name: &str,
    chain: &Chain,
    block: &Block,
    state: &MemoryState,
) -> Result<Vec<u8>, Box<dyn Error>> {
    let outcome = execute_stock(chain, block, state, OutputKind::Flat)?;
    let rules = chain.rules(&block.header);
    let status = rules.has_status_receipts(&block.header);
    outcome.check_header(block, status)?;
    let mut out = b"BRAIDBK1".to_vec();
    bytes(&mut out, name.as_bytes());
    let prague = rules.is_prague_active_at_timestamp(block.header.timestamp);
    let listed = execute_stock_with_access_list(chain, block, state, OutputKind::Flat)?;
    let mut expected = expected(&block.header, &outcome, status, prague);
    bytes(&mut expected, &alloy_rlp::encode(listed.access_list.unwrap_or_default()));
    let signed = block.to_signed();
    let root = calculate_transaction_root(&signed.body.transactions);
    number(&mut expected, check_body(&signed, root).is_ok().into());
    bytes(&mut out, &expected);
    block_bytes(&mut out, block);
    state_bytes(&mut out, state);
    Ok(out)
}

/// What the results must be: the header's, where it says so.
fn expected(header: &Header, outcome: &Outcome, status: bool, requests: bool) -> Vec<u8> {
    let mut out = Vec::new();
    number(&mut out, header.gas_used);
    number(&mut out, status.into());
    out.extend_from_slice(header.receipts_root.as_slice());
    out.extend_from_slice(header.logs_bloom.as_slice());
    number(&mut out, digest(outcome));
    number(&mut out, requests.into());
    out.extend_from_slice(header.requests_hash.unwrap_or(EMPTY_REQUESTS_HASH).as_slice());
    number(&mut out, outcome.requests.len() as u64);
    outcome.requests.iter().for_each(|request| bytes(&mut out, request));
    bytes(&mut out, &outcome.access_list.as_ref().map(alloy_rlp::encode).unwrap_or_default());
    out
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    number(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn block_bytes(out: &mut Vec<u8>, block: &Block) {
    bytes(out, &alloy_rlp::encode(block.to_signed()));
    bytes(out, &alloy_rlp::encode(&block.header));
    let ommers = if block.ommers.is_empty() { vec![] } else { alloy_rlp::encode(&block.ommers) };
    bytes(out, &ommers);
    bytes(out, &block.withdrawals.as_ref().map(alloy_rlp::encode).unwrap_or_default());
    number(out, block.transactions.len() as u64);
    for transaction in &block.transactions {
        out.extend_from_slice(transaction.signer().as_slice());
        bytes(out, &transaction.inner().encoded_2718());
    }
}

fn state_bytes(out: &mut Vec<u8>, state: &MemoryState) {
    let mut accounts: Vec<_> = state.accounts().collect();
    accounts.sort_unstable_by_key(|(address, ..)| *address);
    let mut codes: BTreeMap<B256, Bytes> = BTreeMap::new();
    number(out, accounts.len() as u64);
    for (address, info, storage) in accounts {
        out.extend_from_slice(address.as_slice());
        account_bytes(out, info);
        let mut slots: Vec<_> = storage.iter().collect();
        slots.sort_unstable();
        number(out, slots.len() as u64);
        for (slot, value) in slots {
            out.extend_from_slice(&slot.to_be_bytes::<32>());
            out.extend_from_slice(&value.to_be_bytes::<32>());
        }
        if info.code_hash != KECCAK256_EMPTY
            && let Some(code) = state.code(&info.code_hash)
        {
            codes.insert(info.code_hash, code.original_bytes());
        }
    }
    number(out, codes.len() as u64);
    for (hash, code) in codes {
        out.extend_from_slice(hash.as_slice());
        bytes(out, &code);
    }
    let mut hashes: Vec<_> = state.block_hashes().collect();
    hashes.sort_unstable();
    number(out, hashes.len() as u64);
    for (of, hash) in hashes {
        number(out, of);
        out.extend_from_slice(hash.as_slice());
    }
}

fn account_bytes(out: &mut Vec<u8>, info: &AccountInfo) {
    number(out, info.nonce);
    out.extend_from_slice(&info.balance.to_be_bytes::<32>());
    out.extend_from_slice(info.code_hash.as_slice());
}

/// FNV-1a over the changed accounts, the new codes and the logs, in the order of the result.
fn digest(outcome: &Outcome) -> u64 {
    let changes: StateChanges = outcome.state.to_flat();
    let mut out = Vec::new();
    changes.accounts.iter().for_each(|change| change_bytes(&mut out, change));
    for (hash, code) in &changes.codes {
        out.extend_from_slice(hash.as_slice());
        out.extend_from_slice(code.original_byte_slice());
    }
    for log in outcome.receipts.iter().flat_map(|receipt| &receipt.logs) {
        out.extend_from_slice(log.address.as_slice());
        log.data.topics().iter().for_each(|topic| out.extend_from_slice(topic.as_slice()));
        out.extend_from_slice(&log.data.data);
    }
    out.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The address, a byte of marks, the account after the block, the slots.
fn change_bytes(out: &mut Vec<u8>, change: &AccountChange) {
    out.extend_from_slice(change.address.as_slice());
    let marks = [change.created(), change.destroyed(), change.wiped];
    out.push(marks.iter().enumerate().map(|(bit, mark)| u8::from(*mark) << bit).sum());
    if let Some(after) = &change.after {
        account_bytes(out, after);
    }
    for (slot, value) in &change.storage {
        out.extend_from_slice(&slot.to_be_bytes::<32>());
        out.extend_from_slice(&value.to_be_bytes::<32>());
    }
}
