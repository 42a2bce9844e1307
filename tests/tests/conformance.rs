//! The published conformance archives, differentially: every block of every case, valid or not,
//! gives the same outcome or the same error in stock, bare and forced parallel execution, with
//! both outputs; where the header agrees with stock, it agrees with all of them. Where a block
//! comes with an access list (EIP-7928), the engine also runs with that list: nothing changes, and
//! the check finds a mismatch exactly where the list is not the one that stock produces.
//!
//! The short form takes every 20th file; `BRAID_CONFORMANCE_STEP=1` takes all.

mod common;

use alloy_eips::{eip7840::BlobParams, eip7928::compute_block_access_list_hash};
use alloy_hardforks::{EthereumHardfork as Fork, ForkCondition};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use braid_core::{
    Block, Chain, Engine, ExecuteError, Optimisations, Options, Outcome, OutputKind,
    engine::Limits,
    sequential::{execute_bare, execute_stock},
    source::{MemoryState, decode_code},
};
use revm::state::AccountInfo;
use serde_json::Value;
use std::{fs::File, io::Read, ops::AddAssign};

const BY_BLOCK: [Fork; 10] = [
    Fork::Frontier,
    Fork::Homestead,
    Fork::Tangerine,
    Fork::SpuriousDragon,
    Fork::Byzantium,
    Fork::Constantinople,
    Fork::Petersburg,
    Fork::Istanbul,
    Fork::Berlin,
    Fork::London,
];

const BY_TIME: [(&str, Fork); 7] = [
    ("Shanghai", Fork::Shanghai),
    ("Cancun", Fork::Cancun),
    ("Prague", Fork::Prague),
    ("Osaka", Fork::Osaka),
    ("BPO1", Fork::Bpo1),
    ("BPO2", Fork::Bpo2),
    ("Amsterdam", Fork::Amsterdam),
];

/// The chain of a network name without a transition; `None` for the others.
fn chain(network: &str) -> Option<Chain> {
    let blocks = match network {
        "Frontier" => 1,
        "Homestead" => 2,
        "EIP150" => 3,
        "EIP158" => 4,
        "Byzantium" => 5,
        "Constantinople" => 6,
        "ConstantinopleFix" => 7,
        "Istanbul" => 8,
        "Berlin" => 9,
        _ => 10,
    };
    let mut forks: Vec<_> =
        BY_BLOCK[..blocks].iter().map(|fork| (*fork, ForkCondition::Block(0))).collect();
    let mut blobs = Vec::new();
    let time = BY_TIME.iter().position(|(name, _)| *name == network);
    if time.is_some() || network == "Merge" || network == "Paris" {
        let condition = ForkCondition::TTD {
            activation_block_number: 0,
            fork_block: None,
            total_difficulty: U256::ZERO,
        };
        forks.push((Fork::Paris, condition));
    } else if blocks == 10 && network != "London" {
        return None;
    }
    for (_, fork) in time.map_or(&BY_TIME[..0], |last| &BY_TIME[..=last]) {
        forks.push((*fork, ForkCondition::Timestamp(0)));
        let params = match fork {
            Fork::Cancun => BlobParams::cancun(),
            Fork::Prague => BlobParams::prague(),
            Fork::Osaka => BlobParams::osaka(),
            Fork::Bpo1 => BlobParams::bpo1(),
            Fork::Bpo2 | Fork::Amsterdam => BlobParams::bpo2(),
            _ => continue,
        };
        blobs = vec![(0, params)];
    }
    let deposit = "00000000219ab540356cbb839cbe05303d7705fa".parse().ok();
    Some(Chain::custom(1, forks, blobs, deposit))
}

fn hex<T: std::str::FromStr>(value: &Value) -> T
where
    T::Err: std::fmt::Debug,
{
    value.as_str().expect("a string").parse().expect("a hex value")
}

fn state(pre: &Value) -> MemoryState {
    let mut state = MemoryState::default();
    for (address, account) in pre.as_object().expect("accounts") {
        let address: Address = address.parse().expect("an address");
        let code: Bytes = hex(&account["code"]);
        let code_hash = keccak256(&code);
        let nonce: U256 = hex(&account["nonce"]);
        let info = AccountInfo {
            balance: hex(&account["balance"]),
            nonce: nonce.to(),
            code_hash,
            code: Some(decode_code(code)),
            account_id: None,
        };
        state.insert_account(address, info);
        for (slot, value) in account["storage"].as_object().expect("storage") {
            let slot: U256 = slot.parse().expect("a slot");
            state.insert_storage(address, slot, hex(value)).expect("the account is there");
        }
    }
    state
}

type Execution = Result<Outcome, ExecuteError>;

fn assert_same(what: &str, stock: &Execution, other: &Execution) {
    match (stock, other) {
        (Ok(stock), Ok(other)) => common::assert_same(what, stock, other),
        (Err(stock), Err(other)) => assert_eq!(stock.to_string(), other.to_string(), "{what}"),
        (stock, other) => panic!("{what}: stock {stock:?}, other {other:?}"),
    }
}

/// How many blocks of which kind there were.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    /// Compared.
    blocks: usize,
    /// Agree with their header.
    agreeing: usize,
    /// Valid, with an access list.
    listed: usize,
    /// Of these, use as much gas as their header says.
    same_gas: usize,
    /// Of these, give the list that their header commits to.
    same_hash: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.agreeing += other.agreeing;
        self.listed += other.listed;
        self.same_gas += other.same_gas;
        self.same_hash += other.same_hash;
    }
}

/// Runs the engine with the list that came with the block.
fn run_listed(engine: &Engine, stock: &Outcome, chain: &Chain, block: &Block, state: &MemoryState) {
    let Some(list) = &block.access_list else { return };
    let ran = engine.execute_with_access_list(chain, block, state, &Limits::default(), list);
    let what = format!("with list, {:?}", engine.options());
    let (outcome, check) = ran.unwrap_or_else(|error| panic!("{what}: {error}"));
    common::assert_same(&what, stock, &outcome);
    assert_eq!(check.is_match(), stock.access_list.as_ref() == Some(list), "{what}: {check:?}");
    if check.is_match() {
        assert_eq!(outcome.statistics.reexecutions, 0, "{what}");
    }
}

fn run_case(engines: &[Engine; 3], name: &str, case: &Value) -> Counts {
    let mut counts = Counts::default();
    let Some(chain) = case["network"].as_str().and_then(chain) else { return counts };
    let mut state = state(&case["pre"]);
    let genesis = &case["genesisBlockHeader"];
    state.insert_block_hash(0, hex::<B256>(&genesis["hash"]));
    let mut parent: B256 = hex(&genesis["hash"]);
    for (index, entry) in case["blocks"].as_array().into_iter().flatten().enumerate() {
        let Some(rlp) = entry["rlp"].as_str().and_then(|text| text.parse::<Bytes>().ok()) else {
            continue;
        };
        let Ok(mut block) = Block::decode_for(&chain, &rlp) else { continue };
        block.access_list = serde_json::from_value(entry["blockAccessList"].clone()).ok();
        // Side chains are left to a runner that keeps every state.
        if block.header.parent_hash != parent {
            continue;
        }
        counts.blocks += 1;
        let what = format!("{name}, block {index}");
        let flat = execute_stock(&chain, &block, &state, OutputKind::Flat);
        let bundle = execute_stock(&chain, &block, &state, OutputKind::Bundle);
        let bare = execute_bare(&chain, &block, &state, OutputKind::Flat);
        assert_same(&format!("{what}, bare"), &flat, &bare);
        for engine in engines {
            let stock = if engine.options().output == OutputKind::Flat { &flat } else { &bundle };
            let outcome = engine.execute(&chain, &block, &state);
            assert_same(&format!("{what}, {:?}", engine.options()), stock, &outcome);
            if let Ok(stock) = stock {
                run_listed(engine, stock, &chain, &block, &state);
            }
        }
        let Ok(outcome) = flat else { continue };
        let header = &block.header;
        let hash = outcome.access_list.as_deref().map(compute_block_access_list_hash);
        if block.access_list.is_some() {
            let same_gas = outcome.gas_used == header.gas_used;
            counts.listed += 1;
            counts.same_gas += usize::from(same_gas);
            counts.same_hash += usize::from(same_gas && hash == header.block_access_list_hash);
        }
        let byzantium = chain.rules(header).has_status_receipts(header);
        if outcome.check_header(&block, byzantium).is_ok() {
            counts.agreeing += 1;
            state.apply(&outcome.state.to_flat());
            parent = header.hash_slow();
            state.insert_block_hash(header.number, parent);
        }
    }
    counts
}

fn run_archive(archive: &str, agreement: bool) -> Counts {
    let Some(folder) = common::shared("fixtures") else { return Counts::default() };
    let step = std::env::var("BRAID_CONFORMANCE_STEP").ok().and_then(|step| step.parse().ok());
    let step: usize = step.unwrap_or(20);
    let file = File::open(folder.join(archive)).expect("the archive opens");
    let mut decoder = zstd::stream::read::Decoder::new(file).expect("zstd");
    decoder.window_log_max(31).expect("a long window");
    let engine = |threads, output, optimisations| {
        Engine::new(Options { threads, output, forced: true, optimisations })
    };
    let engines = [
        engine(4, OutputKind::Flat, Optimisations::ALL),
        engine(2, OutputKind::Bundle, Optimisations::ALL),
        engine(1, OutputKind::Flat, Optimisations::NONE),
    ];
    let mut archive_reader = tar::Archive::new(decoder);
    let (mut cases, mut seen, mut counts) = (0, 0, Counts::default());
    for entry in archive_reader.entries().expect("a tar archive") {
        let mut entry = entry.expect("a tar entry");
        let path = entry.path().expect("a path").display().to_string();
        if !path.ends_with(".json") {
            continue;
        }
        seen += 1;
        if seen % step != 0 {
            continue;
        }
        let mut text = Vec::new();
        entry.read_to_end(&mut text).expect("the entry reads");
        let Ok(Value::Object(file)) = serde_json::from_slice(&text) else { continue };
        for (name, case) in &file {
            if case["blocks"].is_array() {
                counts += run_case(&engines, name, case);
                cases += 1;
            }
        }
    }
    let Counts { blocks, agreeing, listed, same_gas, same_hash } = counts;
    println!("{archive}: {cases} cases, {blocks} blocks equal, {agreeing} agree with their header");
    println!(
        "access lists: {listed} blocks came with one, {same_gas} of them use their header's gas, \
         {same_hash} of these give the very list"
    );
    assert!(blocks > 0, "no block was compared");
    assert!(!agreement || agreeing * 10 > blocks * 9, "too few blocks agree with their header");
    counts
}

#[test]
fn eest_stable() {
    run_archive("eest-stable.tar.zst", true);
}

#[test]
fn eest_amsterdam() {
    // The archive is of a later devnet than revm 42: stock execution itself disagrees with it.
    let counts = run_archive("eest-amsterdam.tar.zst", false);
    assert!(counts.listed * 2 >= counts.blocks, "{counts:?}");
}

#[test]
fn eest_benchmark() {
    run_archive("eest-benchmark.tar.zst", true);
}

#[test]
fn ethereum_tests() {
    run_archive("ethereum-tests.tar.zst", true);
}
