//! With the right list every transaction runs once, however they depend on each other.

use super::{
    FORCED, Known,
    common::{
        self,
        asm::asm,
        jittery::Jittery,
        scene::{MINER, Scene},
        tx::Tx,
    },
    generated,
};
use alloy_hardforks::{EthereumHardfork as Fork, EthereumHardforks};
use alloy_primitives::Address;
use braid_core::{Engine, Options};
use braid_shadow::recorded::RecordedBlock;
use revm::bytecode::opcode as op;

fn runs_once(known: &Known<'_>) {
    for engine in FORCED.iter() {
        let (outcome, check) = known.run(engine, known.list());
        let what = format!("{}, {:?}", known.what, engine.options());
        assert!(check.is_match(), "{what}: {check:?}");
        let (statistics, count) = (outcome.statistics, known.block.transactions.len() as u64);
        assert_eq!(statistics.executions, count + statistics.reexecutions, "{what}");
        // Before EIP-161 an account without anything may exist, and no list can say so.
        let unsaid = if has_empty_accounts(known) { count / 20 } else { 0 };
        assert!(statistics.reexecutions <= unsaid, "{what}: {statistics:?}");
    }
}

fn has_empty_accounts(known: &Known<'_>) -> bool {
    let rules = known.chain.rules(&known.block.header);
    !rules.is_spurious_dragon_active_at_block(known.block.header.number)
}

fn check(records: &[RecordedBlock]) {
    for (seed, record) in records.iter().enumerate() {
        let jittery = Jittery::new(record.state.source(), 8, seed as u64);
        let what = format!("block {}", record.number());
        runs_once(&Known::new(what, &record.chain, &record.block, &jittery));
    }
}

#[test]
fn mainnet_blocks() {
    check(&common::recorded_blocks("mainnet"));
}

#[test]
fn witness_blocks() {
    check(&common::recorded_blocks("witness"));
}

#[test]
fn generated_blocks_of_every_contention() {
    check(&generated(120));
}

/// Each transaction raises the same slot and looks at the beneficiary's balance and its sender's;
/// a few senders take turns.
fn serial_scene() -> Scene {
    const COUNTER: Address = Address::repeat_byte(0xa1);
    let mut scene = Scene::new(Fork::Osaka);
    let code = asm(|code| {
        code.count(0).address(MINER).op(op::BALANCE).store(1);
        code.op(op::CALLER).op(op::BALANCE).store(2).op(op::SELFBALANCE).store(3)
    });
    scene.contract(COUNTER, code, 0);
    for turn in 0..200u64 {
        scene.send((turn % 3) as u8, Tx::to(COUNTER).value(turn));
    }
    scene
}

#[test]
fn a_fully_serial_block_of_three_senders() {
    let scene = serial_scene();
    let jittery = Jittery::new(&scene.state, 2, 1);
    let known = Known::new("serial".to_owned(), &scene.chain, &scene.block, &jittery);
    runs_once(&known);
}

#[test]
fn a_chain_is_no_chain_for_an_engine_with_its_list() {
    let mut scene = serial_scene();
    scene.block.header.gas_used = 20_000_000;
    let known = Known::new("chain".to_owned(), &scene.chain, &scene.block, &scene.state);
    let engine = Engine::new(Options { threads: 2, ..Options::default() });
    let (outcome, check) = known.run(&engine, known.list());
    assert!(check.is_match());
    assert_eq!(outcome.statistics.executions, 200);
}
