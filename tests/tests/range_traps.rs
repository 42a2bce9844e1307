//! What one block of a range leaves for the next one, where the next one was executed first.
//!
//! In each story something in the first block is held up until the last transaction of the second
//! block has been executed. So the second block runs early, on a state that the first one changes
//! afterwards.

mod common;

use alloy_eips::eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE};
use alloy_hardforks::{EthereumHardfork as Fork, ForkCondition};
use alloy_primitives::{Address, U256};
use braid_core::{Outcome, OutputKind};
use common::{
    asm::{Code, asm, init_code, part},
    line::{ENGINES, Gate, HELD, KEY, Story, pipelines},
    scene::Scene,
    tx::{Tx, sender},
};
use revm::bytecode::opcode as op;

const A: Address = Address::repeat_byte(0xa1);
const B: Address = Address::repeat_byte(0xb2);
const C: Address = Address::repeat_byte(0xc3);
const X: Address = Address::repeat_byte(0xe5);

/// Looks at an account's balance and drops it.
fn look(code: &mut Code, at: Address) -> &mut Code {
    code.address(at).op(op::BALANCE).op(op::POP)
}

/// A program that is held up before it does anything.
fn held(write: impl FnOnce(&mut Code) -> &mut Code) -> Vec<u8> {
    asm(|code| write(look(code, HELD)))
}

/// Contract `C` is read by the last transaction of the second block, which lets the first go on.
fn story(fork: Fork) -> Story {
    on(Scene::new(fork))
}

fn on(mut scene: Scene) -> Story {
    scene.contract(C, asm(|code| look(code, KEY)), 0);
    Story::new(scene)
}

/// Ends the second block, runs everything; gives what block after block gives.
fn check(mut story: Story) -> Vec<Outcome> {
    story.scene.send(7, Tx::to(C));
    let line = story.line();
    let expected = [OutputKind::Flat, OutputKind::Bundle].map(|output| line.sequential(output));
    for engine in ENGINES.iter() {
        let of = usize::from(engine.options().output == OutputKind::Bundle);
        let (outcomes, failure) = &expected[of];
        assert!(failure.is_none(), "{failure:?}");
        line.compare_with("plain", engine, &line.state, outcomes, None);
        if !pipelines(engine) {
            continue;
        }
        for _ in 0..3 {
            let gate = Gate::new(&line.state);
            let outcomes = line.compare_with("held up", engine, &gate, outcomes, None);
            assert!(gate.worked(), "the second block waits for the first: {:?}", engine.options());
            assert!(outcomes[1].statistics.early > 0, "{:?}", outcomes[1].statistics);
        }
    }
    let [(flat, _), _] = expected;
    flat
}

/// Which transactions of a block succeeded.
fn successes(outcome: &Outcome) -> Vec<bool> {
    outcome.receipts.iter().map(|receipt| receipt.success).collect()
}

/// A slot that a block changed.
fn written(outcome: &Outcome, address: Address, slot: u64) -> Option<U256> {
    let flat = outcome.state.to_flat();
    let change = flat.accounts.iter().find(|change| change.address == address)?;
    let found = change.storage.iter().find(|(key, _)| *key == U256::from(slot));
    found.map(|(_, value)| *value)
}

/// With data it adds slot 0 and 5 into slot 1; without it destroys itself, late.
fn mortal() -> Vec<u8> {
    let destroy = part(|code| look(code, HELD).address(X).op(op::SELFDESTRUCT));
    let work = part(|code| code.load(0).push(5).op(op::ADD).store(1));
    asm(|code| code.if_data(&destroy, &work))
}

#[test]
fn a_contract_that_the_block_before_destroyed() {
    let mut story = story(Fork::Shanghai);
    let size = asm(|code| code.address(A).op(op::EXTCODESIZE).store_at_arg());
    story.scene.contract(A, mortal(), 3).slot(A, 0, 7).contract(B, size, 0);
    story.scene.send(1, Tx::to(B).arg(1)).send(0, Tx::to(A));
    story.next();
    story.scene.send(2, Tx::to(A).arg(1)).send(3, Tx::to(B).arg(2)).send(4, Tx::to(B).arg(1));
    let outcomes = check(story);
    assert_eq!(written(&outcomes[1], A, 1), None, "there is no code to run");
    assert_eq!(written(&outcomes[1], B, 1), Some(U256::ZERO), "nor any size");
}

#[test]
fn a_contract_destroyed_and_made_again_has_no_old_storage() {
    let mut story = story(Fork::Shanghai);
    let init = init_code(&mortal());
    // The factory's own address and the code fix where the contract is.
    let made = B.create2([0; 32], alloy_primitives::keccak256(&init));
    story.scene.contract(B, common::asm::factory(), 0).contract(made, mortal(), 3);
    story.scene.slot(made, 0, 7).slot(made, 1, 9);
    story.scene.send(0, Tx::to(made)).send(1, Tx::to(B).data(init));
    story.next();
    story.scene.send(2, Tx::to(made).arg(1));
    let outcomes = check(story);
    assert_eq!(written(&outcomes[1], made, 1), Some(U256::from(5)), "slot 0 is zero");
}

#[test]
fn a_contract_that_the_block_before_created() {
    let mut story = story(Fork::Prague);
    let runtime = asm(|code| code.load(0).push(5).op(op::ADD).store(0));
    // The constructor is held up too.
    let mut init = part(|code| look(code, HELD)).0;
    let at = init.len() as u8;
    let mut rest = init_code(&runtime);
    rest[5] += at;
    init.extend(rest);
    let made = sender(0).create(0);
    story.scene.send(0, Tx::create(init));
    story.next();
    story.scene.send(1, Tx::to(made)).send(2, Tx::to(made));
    story.next();
    story.scene.send(3, Tx::to(made));
    // The key is in the second block here.
    let mut blocks = story.line();
    let keyed = {
        let mut scene = Scene::new(Fork::Prague);
        scene.send(7, Tx::to(C));
        scene.block.transactions.remove(0)
    };
    blocks.blocks[1].transactions.push(keyed);
    blocks.blocks[2].header.parent_hash = blocks.blocks[1].header.hash_slow();
    let (expected, failure) = blocks.sequential(OutputKind::Flat);
    assert!(failure.is_none(), "{failure:?}");
    assert_eq!(written(&expected[1], made, 0), Some(U256::from(10)));
    assert_eq!(written(&expected[2], made, 0), Some(U256::from(15)));
    for engine in ENGINES.iter().filter(|engine| pipelines(engine)) {
        let gate = Gate::new(&blocks.state);
        let (expected, _) = blocks.sequential(engine.options().output);
        blocks.compare_with("created", engine, &gate, &expected, None);
        assert!(gate.worked());
    }
}

#[test]
fn a_sender_who_lives_on_the_withdrawal_of_the_block_before() {
    let mut story = story(Fork::Prague);
    story.scene.contract(A, held(|code| code.count(0)), 0);
    story.scene.send(0, Tx::to(A)).withdraw(sender(9), 1_000_000_000);
    story.next();
    story.scene.send(9, Tx::to(X).value(1_000)).send(9, Tx::to(X).value(1_000));
    let outcomes = check(story);
    assert_eq!(successes(&outcomes[1]), [true; 3]);
}

#[test]
fn a_beneficiary_who_spends_the_rewards_of_the_block_before() {
    let mut story = story(Fork::Prague);
    story.scene.block.header.beneficiary = sender(9);
    story.scene.contract(A, held(|code| code.count(0)), 0);
    story.scene.send(0, Tx::to(A).price(1_000_000_000)).send(1, Tx::to(X).price(1_000_000_000));
    story.next();
    story.scene.send(9, Tx::to(X).value(1)).send(1, Tx::to(sender(9)).value(5));
    let balance = asm(|code| code.address(sender(9)).op(op::BALANCE).store(0));
    story.scene.contract(B, balance, 0).send(2, Tx::to(B));
    let outcomes = check(story);
    assert_eq!(successes(&outcomes[1]), [true; 4]);
}

#[test]
fn hashes_of_blocks_of_the_range() {
    let mut story = story(Fork::Prague);
    let hash = |back: u8| {
        // Number minus `back`, by opcode and by the history contract.
        asm(|code| {
            code.push(back).op(op::NUMBER).op(op::SUB).op(op::BLOCKHASH).store(0);
            code.push(back).op(op::NUMBER).op(op::SUB).push(0).op(op::MSTORE);
            code.push(32).push(64).push(32).push(0).address(HISTORY_STORAGE_ADDRESS);
            code.op(op::GAS).op(op::STATICCALL).op(op::POP).push(64).op(op::MLOAD).store(1)
        })
    };
    story.scene.contract(HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE.to_vec(), 0);
    story.scene.contract(A, hash(1), 0).contract(B, hash(2), 0);
    let slow = Address::repeat_byte(0x51);
    story.scene.contract(slow, held(|code| code.count(0)), 0);
    story.scene.state.insert_block_hash(0, story.scene.block.header.parent_hash);
    story.scene.send(0, Tx::to(slow));
    story.next();
    let first = story.scene.block.header.parent_hash;
    story.scene.send(1, Tx::to(A)).send(2, Tx::to(B)).send(7, Tx::to(C));
    story.next();
    let second = story.scene.block.header.parent_hash;
    story.scene.send(3, Tx::to(A)).send(4, Tx::to(B));
    let outcomes = check(story);
    let word = |hash: alloy_primitives::B256| Some(U256::from_be_bytes(hash.0));
    for slot in [0, 1] {
        assert_eq!(written(&outcomes[1], A, slot), word(first), "parent, {slot}");
        assert_eq!(written(&outcomes[2], A, slot), word(second), "parent, {slot}");
        assert_eq!(written(&outcomes[2], B, slot), word(first), "grandparent, {slot}");
    }
}

#[test]
fn a_slot_that_was_written_and_written_back() {
    let mut story = story(Fork::Prague);
    story.scene.contract(A, asm(|code| code.arg(0).store(0)), 0).slot(A, 0, 5);
    story.scene.contract(
        X,
        held(|code| {
            code.push(5)
                .push(0)
                .op(op::MSTORE)
                .push(0)
                .push(0)
                .push(32)
                .push(0)
                .push(0)
                .address(A)
                .op(op::GAS)
                .op(op::CALL)
        }),
        0,
    );
    story.scene.contract(B, asm(|code| code.load(0).store(1)), 0);
    story.scene.send(0, Tx::to(A).arg(6)).send(1, Tx::to(X));
    story.next();
    let copy = asm(|code| code.load(0).store(1));
    story.scene.contract(Address::repeat_byte(0x77), copy, 0);
    // It adds what it finds to slot 0 of its own.
    let reader = Address::repeat_byte(0x78);
    let read = asm(|code| {
        code.push(0).push(0).push(0).push(0).push(0).address(A).op(op::GAS).op(op::CALL).store(3)
    });
    story.scene.contract(reader, read, 0);
    story.scene.send(2, Tx::to(A).arg(7)).send(3, Tx::to(reader));
    let outcomes = check(story);
    assert_eq!(written(&outcomes[0], A, 0), None, "back where it was");
    assert_eq!(written(&outcomes[1], A, 0), Some(U256::ZERO), "the last call has no data");
}

#[test]
fn a_counter_in_every_block() {
    let mut story = story(Fork::Prague);
    story.scene.contract(A, held(|code| code.count(0)), 0).contract(
        B,
        asm(|code| code.count(0)),
        0,
    );
    story.scene.send(0, Tx::to(A)).send(1, Tx::to(B)).send(2, Tx::to(B));
    story.next();
    story.scene.send(0, Tx::to(B)).send(1, Tx::to(B)).send(2, Tx::to(B));
    story.scene.send(7, Tx::to(C));
    for block in 0..4 {
        story.next();
        story.scene.send(block % 3, Tx::to(A)).send(3, Tx::to(B)).send(4, Tx::to(B));
    }
    let outcomes = check(story);
    let counts: Vec<_> = outcomes.iter().map(|outcome| written(outcome, B, 0)).collect();
    assert_eq!(counts, [2, 5, 7, 9, 11, 13].map(|count| Some(U256::from(count))));
}

#[test]
fn a_delegation_of_the_block_before() {
    let mut story = story(Fork::Prague);
    story.scene.contract(A, asm(|code| code.count(0)), 0);
    story.scene.contract(B, held(|code| code.count(0)), 0);
    let authority = 5;
    story.scene.send(0, Tx::to(B).authorize(authority, A, 0));
    story.next();
    story.scene.send(1, Tx::to(sender(authority))).send(2, Tx::to(sender(authority)));
    story.scene.send(7, Tx::to(C));
    story.next();
    // It takes the delegation back, and pays by itself.
    story.scene.send(3, Tx::to(X).authorize(authority, Address::ZERO, 1));
    story.next();
    story.scene.skip_nonces(authority, 2);
    story.scene.send(4, Tx::to(sender(authority))).send(authority, Tx::to(X).value(1));
    let outcomes = check(story);
    let counts: Vec<_> =
        outcomes.iter().map(|outcome| written(outcome, sender(authority), 0)).collect();
    assert_eq!(counts, [None, Some(U256::from(2)), None, None]);
}

#[test]
fn a_fork_between_the_blocks() {
    let shanghai = (Fork::Shanghai, ForkCondition::Timestamp(2));
    let mut story = on(Scene::with_forks(Fork::Paris, &[shanghai]));
    let push0 = asm(|code| code.push(1).op(op::PUSH0).op(op::SSTORE));
    story.scene.contract(A, held(|code| code.count(0)), 0).contract(B, push0, 0);
    story.scene.send(0, Tx::to(A)).send(1, Tx::to(B));
    story.next();
    story.scene.send(1, Tx::to(B)).send(2, Tx::to(B));
    let outcomes = check(story);
    assert_eq!(successes(&outcomes[0]), [true, false]);
    assert_eq!(successes(&outcomes[1]), [true; 3]);
}

#[test]
fn an_account_emptied_by_the_block_before() {
    let mut story = story(Fork::Prague);
    // The target of a payment that the block before makes exist, and one that it empties.
    let pay = held(|code| code.call(X, 9).op(op::POP));
    let exists = asm(|code| code.address(X).op(op::EXTCODEHASH).store_at_arg());
    story.scene.contract(A, pay, 100).contract(B, exists, 0);
    story.scene.send(0, Tx::to(A)).send(1, Tx::to(B).arg(1));
    story.next();
    story.scene.send(2, Tx::to(B).arg(2)).send(3, Tx::to(X).value(1));
    let outcomes = check(story);
    let empty = U256::from_be_bytes(alloy_primitives::KECCAK256_EMPTY.0);
    assert_eq!(written(&outcomes[1], B, 2), Some(empty), "it exists by now");
}

/// Rewards at the block's end, empty accounts, access lists: what forks differ in.
#[test]
fn the_same_story_on_many_forks() {
    for fork in [
        Fork::Frontier,
        Fork::SpuriousDragon,
        Fork::London,
        Fork::Paris,
        Fork::Shanghai,
        Fork::Cancun,
        Fork::Prague,
        Fork::Osaka,
        Fork::Amsterdam,
    ] {
        let mut story = story(fork);
        let miner = story.scene.block.header.beneficiary;
        let balance = asm(|code| code.address(miner).op(op::BALANCE).store_at_arg());
        story.scene.contract(A, held(|code| code.count(0)), 0).contract(B, balance, 0);
        story.scene.send(0, Tx::to(A)).send(1, Tx::to(X).value(5)).send(2, Tx::to(B).arg(1));
        story.next();
        story.scene.send(0, Tx::to(B).arg(2)).send(1, Tx::to(X)).send(2, Tx::to(miner).value(1));
        story.scene.send(3, Tx::to(B).arg(3)).send(4, Tx::to(X).value(2));
        let outcomes = check(story);
        let seen = [2, 3].map(|slot| written(&outcomes[1], B, slot).expect("a balance"));
        assert!(seen[0] > U256::ZERO && seen[1] > seen[0], "{fork:?}: {seen:?}");
    }
}
