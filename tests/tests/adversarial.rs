//! Generated blocks that try to break what the engine assumes about balances, nonces, existence and
//! order: few accounts, tiny balances at the edge of every funds check, contracts that look at
//! balances, move them, create, destroy and revert, the beneficiary among them.
//!
//! Some have so many transactions without data that the few accounts are hot for the engine.
//!
//! Each block, valid or not, gives the same outcome or error as stock, at 1 to 4 threads, with both
//! outputs, each optimisation on and off. `BRAID_ADVERSARIAL_BLOCKS` sets how many blocks.

mod common;

use alloy_consensus::{Header, TxEip7702, TxLegacy, transaction::Recovered};
use alloy_hardforks::EthereumHardfork as Fork;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use braid_core::{
    Block, Chain, Engine, Optimisations, Options, OutputKind, Transaction,
    sequential::{execute_bare, execute_stock},
    source::{MemoryState, decode_code},
};
use common::{
    asm::Code,
    chains::chain,
    jittery::Jittery,
    scene::assert_same,
    tx::{authorize, sign},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use revm::{bytecode::opcode as op, state::AccountInfo};

const SENDERS: u8 = 4;
const CONTRACTS: u8 = 4;
/// Addresses that transactions and contracts name: senders, contracts, missing accounts, an empty
/// one, a precompile, the beneficiary.
const NAMED: u8 = SENDERS + CONTRACTS + 5;
const FEE: u128 = 10;

fn named(index: u8) -> Address {
    match index {
        0..SENDERS => common::tx::sender(index),
        12 => Address::with_last_byte(4),
        index => Address::repeat_byte(0x30 + index),
    }
}

fn beneficiary() -> Address {
    named(11)
}

/// A contract of a few random steps.
fn contract(rng: &mut StdRng) -> Vec<u8> {
    let mut code = Code::default();
    for _ in 0..rng.random_range(1..5) {
        step(&mut code, rng);
    }
    match rng.random_range(0..8) {
        0 | 2 => drop(code.address(named(rng.random_range(0..NAMED))).op(op::SELFDESTRUCT)),
        1 => drop(code.push(0).push(0).op(op::REVERT)),
        _ => drop(code.op(op::STOP)),
    }
    code.0
}

fn step(code: &mut Code, rng: &mut StdRng) {
    let slot = rng.random_range(0..3);
    let address = named(rng.random_range(0..NAMED));
    let value = rng.random_range(0..4);
    match rng.random_range(0..11) {
        0 => code.address(address).op(op::BALANCE).store(slot),
        1 => code.op(op::SELFBALANCE).store(slot),
        2 => code.address(address).op(op::EXTCODEHASH).store(slot),
        3 => code.push(slot).op(op::SLOAD).push(1).op(op::ADD).store(rng.random_range(0..3)),
        4 => {
            for _ in 0..4 {
                code.push(0);
            }
            let kind = if rng.random_range(0..4) == 0 { op::CALLCODE } else { op::CALL };
            code.push(value).address(address).op(op::GAS).op(kind);
            if rng.random_range(0..2) == 0 { code.store(slot) } else { code.op(op::POP) }
        }
        5 => code.push(0).push(0).push(value).op(op::CREATE).store(slot),
        6 => code.push(slot).push(0).push(0).push(value).op(op::CREATE2).store(slot),
        // Returns where what was sent is odd.
        7 => {
            let end = code.0.len() as u8 + 8;
            code.op(op::CALLVALUE).push(1).op(op::AND).push(end).op(op::JUMPI);
            code.op(op::STOP).op(op::JUMPDEST)
        }
        8 => code.op(op::CALLVALUE).store(slot),
        9 => {
            for _ in 0..4 {
                code.push(0);
            }
            code.address(address).op(op::GAS).op(op::DELEGATECALL).op(op::POP)
        }
        _ => code.address(address).op(op::EXTCODESIZE).store(slot),
    };
}

/// What blocks are like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Plain,
    Delegations,
    /// Longer ones, whose senders have sent before.
    Hot,
}

fn state(rng: &mut StdRng, shape: Shape) -> MemoryState {
    let mut state = MemoryState::default();
    for sender in 0..SENDERS {
        // Enough for a few transactions; sometimes for too few.
        let most = if shape == Shape::Hot { 40 } else { 9 };
        let funds = rng.random_range(1..most) * 400_000 * FEE as u64 + rng.random_range(0..5);
        let info = AccountInfo::default().with_balance(U256::from(funds));
        let nonce = rng.random_range(u64::from(shape == Shape::Hot)..2);
        state.insert_account(named(sender), info.with_nonce(nonce));
    }
    for index in SENDERS..SENDERS + CONTRACTS {
        let code = decode_code(contract(rng).into());
        let info = AccountInfo::default()
            .with_balance(U256::from(rng.random_range(0..6)))
            .with_nonce(rng.random_range(0..2))
            .with_code(code);
        state.insert_account(named(index), info);
        for slot in 0..3 {
            let value = U256::from(rng.random_range(0..2));
            state.insert_storage(named(index), U256::from(slot), value).expect("just added");
        }
    }
    state.insert_account(named(8), AccountInfo::default());
    if rng.random_range(0..4) == 0 {
        let nearly_all = AccountInfo::default().with_balance(U256::MAX - U256::from(3));
        state.insert_account(named(9), nearly_all);
    }
    state
}

fn transaction(rng: &mut StdRng, nonces: &mut [u64], delegations: bool) -> Recovered<Transaction> {
    let sender = rng.random_range(0..SENDERS);
    let nonce = &mut nonces[sender as usize];
    // Now and then a wrong nonce makes the block invalid.
    let claimed = if rng.random_range(0..120) == 0 { *nonce + 1 } else { *nonce };
    *nonce += 1;
    let target = named(rng.random_range(0..NAMED));
    let value = U256::from(rng.random_range(0..4));
    let gas_limit = 300_000;
    if delegations && rng.random_range(0..6) == 0 {
        let authority = rng.random_range(0..SENDERS);
        let delegate = named(rng.random_range(SENDERS..SENDERS + CONTRACTS + 1));
        let nonce = nonces[authority as usize] + rng.random_range(0..2);
        nonces[authority as usize] += 1;
        let authorization = authorize(authority, delegate, nonce);
        return sign(
            TxEip7702 {
                chain_id: 1,
                nonce: claimed,
                gas_limit,
                max_fee_per_gas: FEE,
                max_priority_fee_per_gas: rng.random_range(0..3),
                to: target,
                value,
                authorization_list: vec![authorization],
                ..TxEip7702::default()
            },
            sender,
        );
    }
    let creates = rng.random_range(0..12) == 0;
    let to = if creates { TxKind::Create } else { TxKind::Call(target) };
    let input = if creates { Bytes::from(contract(rng)) } else { Bytes::new() };
    let gas_price = if rng.random_range(0..3) == 0 { 7 } else { FEE };
    sign(
        TxLegacy { chain_id: None, nonce: claimed, gas_price, gas_limit, to, value, input },
        sender,
    )
}

fn block(rng: &mut StdRng, state: &MemoryState, shape: Shape) -> Block {
    let prague = shape == Shape::Delegations;
    let mut nonces: Vec<u64> = (0..SENDERS)
        .map(|sender| state.account(&named(sender)).map_or(0, |info| info.nonce))
        .collect();
    let count =
        if shape == Shape::Hot { rng.random_range(20..60) } else { rng.random_range(4..24) };
    let header = Header {
        number: 1,
        timestamp: 1,
        gas_limit: 300_000 * 70,
        beneficiary: if rng.random_range(0..2) == 0 {
            beneficiary()
        } else {
            named(rng.random_range(0..NAMED))
        },
        base_fee_per_gas: Some(7),
        excess_blob_gas: prague.then_some(0),
        blob_gas_used: prague.then_some(0),
        parent_beacon_block_root: prague.then_some(B256::ZERO),
        ..Header::default()
    };
    let transactions = (0..count).map(|_| transaction(rng, &mut nonces, prague)).collect();
    Block { header, transactions, ..Block::default() }
}

struct Engines {
    flat: Vec<Engine>,
    bundle: Vec<Engine>,
}

impl Engines {
    fn new() -> Self {
        let engine = |threads, output, optimisations| {
            Engine::new(Options { threads, output, forced: true, optimisations })
        };
        let all = |output| {
            vec![
                engine(1, output, Optimisations::ALL),
                engine(2, output, Optimisations::ALL),
                engine(4, output, Optimisations::ALL),
                engine(3, output, Optimisations::NONE),
            ]
        };
        Self { flat: all(OutputKind::Flat), bundle: all(OutputKind::Bundle) }
    }

    /// Whether the block is valid.
    fn check(&self, what: &str, chain: &Chain, block: &Block, state: &MemoryState) -> bool {
        let flat = execute_stock(chain, block, state, OutputKind::Flat);
        let bundle = execute_stock(chain, block, state, OutputKind::Bundle);
        let bare = execute_bare(chain, block, state, OutputKind::Flat);
        assert_same(&format!("{what}, bare"), &flat, &bare);
        for (engines, stock) in [(&self.flat, &flat), (&self.bundle, &bundle)] {
            for engine in engines {
                // Delays make later transactions overtake earlier ones, so that guesses are wrong.
                let source = Jittery::new(state, 3, what.len() as u64);
                let outcome = engine.execute(chain, block, &source);
                assert_same(&format!("{what}, {:?}", engine.options()), stock, &outcome);
            }
        }
        flat.is_ok()
    }
}

fn blocks(default: u64) -> u64 {
    let asked = std::env::var("BRAID_ADVERSARIAL_BLOCKS").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(default)
}

fn run(name: &str, chain: &Chain, shape: Shape, seeds: std::ops::Range<u64>) {
    let engines = Engines::new();
    let count = seeds.end - seeds.start;
    let mut valid = 0;
    for seed in seeds {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut state = state(&mut rng, shape);
        if shape == Shape::Delegations {
            add_system_contracts(&mut state);
        }
        let block = block(&mut rng, &state, shape);
        valid += u64::from(engines.check(&format!("{name}, seed {seed}"), chain, &block, &state));
    }
    assert!(valid * 4 > count, "{name}: only {valid} of {count} blocks are valid");
    assert!(valid < count, "{name}: no block is invalid");
}

/// Stand-ins for the system contracts (EIP-7002, EIP-7251) that return nothing.
fn add_system_contracts(state: &mut MemoryState) {
    for address in
        ["00000961Ef480Eb55e80D19ad83579A64c007002", "0000BBdDc7CE488642fb579F8B00f3a590007251"]
    {
        let code = decode_code(vec![op::STOP].into());
        let info = AccountInfo::default().with_nonce(1).with_code(code);
        state.insert_account(address.parse().expect("an address"), info);
    }
}

#[test]
fn frontier() {
    run("Frontier", &chain(Fork::Frontier), Shape::Plain, 0..blocks(60));
}

#[test]
fn spurious_dragon() {
    run("Spurious Dragon", &chain(Fork::SpuriousDragon), Shape::Plain, 1000..1000 + blocks(60));
}

#[test]
fn istanbul() {
    run("Istanbul", &chain(Fork::Istanbul), Shape::Plain, 2000..2000 + blocks(60));
}

#[test]
fn shanghai() {
    run("Shanghai", &chain(Fork::Shanghai), Shape::Plain, 3000..3000 + blocks(120));
}

#[test]
fn shanghai_with_hot_accounts() {
    run("Shanghai, hot", &chain(Fork::Shanghai), Shape::Hot, 5000..5000 + blocks(120));
}

#[test]
fn frontier_with_hot_accounts() {
    run("Frontier, hot", &chain(Fork::Frontier), Shape::Hot, 6000..6000 + blocks(60));
}

#[test]
fn prague_with_delegations() {
    run("Prague", &chain(Fork::Prague), Shape::Delegations, 4000..4000 + blocks(150));
}

#[test]
fn named_addresses_are_distinct() {
    let mut all: Vec<_> = (0..NAMED).map(named).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), NAMED as usize);
}
