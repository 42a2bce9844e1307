//! Traps 1 to 8: the block's beneficiary.

use super::{
    A, B, X,
    common::{
        asm::{asm, init_code},
        scene::{FUNDS, MINER, Scene},
        tx::{Tx, sender},
    },
};
use alloy_consensus::{Header, constants::ETH_TO_WEI};
use alloy_hardforks::EthereumHardfork as Fork;
use alloy_primitives::{Address, KECCAK256_EMPTY, U256};
use revm::bytecode::opcode as op;

/// Stores the balance of `of` in the slot that the data names.
fn balance_probe(of: Address) -> Vec<u8> {
    asm(|code| code.address(of).op(op::BALANCE).store_at_arg())
}

#[test]
fn t01_a_balance_read_sees_the_rewards_of_earlier_transactions_and_not_its_own() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, balance_probe(MINER), 0);
    for index in 0..4 {
        scene.send(index, Tx::to(A).arg(index.into()));
    }
    let post = scene.run();
    for index in 0..4 {
        let expected = U256::from(post.rewards(0..index));
        assert_eq!(post.slot(A, index as u64), expected, "transaction {index}");
    }
    assert_eq!(post.balance(MINER), post.rewards(0..4));
}

#[test]
fn t02_the_beneficiary_is_a_sender_and_keeps_nonce_and_rewards() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.block.header.beneficiary = sender(1);
    for from in [0, 1, 2, 1, 3] {
        scene.send(from, Tx::to(X).value(5));
    }
    let post = scene.run();
    let burned: u64 = [1, 3].map(|index: usize| post.gas()[index] * 7).iter().sum();
    let earned: u64 = [0, 2, 4].map(|index| post.rewards(index..index + 1)).iter().sum();
    assert_eq!(post.balance(sender(1)), FUNDS - burned - 10 + earned);
    assert_eq!(post.nonce(sender(1)), 2);
}

#[test]
fn t02_the_beneficiary_is_a_recipient() {
    let mut scene = Scene::new(Fork::Shanghai);
    for from in 0..4 {
        scene.send(from, Tx::to(if from % 2 == 0 { MINER } else { X }).value(100));
    }
    let post = scene.run();
    assert_eq!(post.balance(MINER), post.rewards(0..4) + 200);
}

#[test]
fn t02_the_beneficiary_is_an_authority() {
    let mut scene = Scene::new(Fork::Prague);
    scene.block.header.beneficiary = sender(1);
    scene.contract(A, asm(|code| code.op(op::SELFBALANCE).store(0)), 0);
    scene.send(0, Tx::to(X)).send(2, Tx::to(X).authorize(1, A, 0)).send(3, Tx::to(sender(1)));
    let post = scene.run();
    assert_eq!(post.nonce(sender(1)), 1);
    assert_eq!(post.slot(sender(1), 0), U256::from(FUNDS + post.rewards(0..2)));
    assert_eq!(post.balance(sender(1)), FUNDS + post.rewards(0..3));
}

#[test]
fn t02_the_beneficiary_is_created_in_the_block() {
    let mut scene = Scene::new(Fork::Shanghai);
    let made = sender(1).create(0);
    scene.block.header.beneficiary = made;
    let runtime = asm(|code| code.op(op::SELFBALANCE).store(0));
    scene.send(0, Tx::to(X)).send(1, Tx::create(init_code(&runtime))).send(2, Tx::to(made));
    let post = scene.run();
    assert_eq!(post.slot(made, 0), U256::from(post.rewards(0..2)));
    assert_eq!((post.balance(made), post.nonce(made)), (post.rewards(0..3), 1));
}

#[test]
fn t02_a_reward_to_a_beneficiary_that_was_destroyed_is_burned_with_it() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(MINER, asm(|code| code.address(X).op(op::SELFDESTRUCT)), 50);
    scene.send(0, Tx::to(A)).send(1, Tx::to(MINER)).send(2, Tx::to(A));
    let post = scene.run();
    assert_eq!(post.balance(X), 50 + post.rewards(0..1));
    assert_eq!(post.balance(MINER), post.rewards(2..3), "the second reward is burned");
    assert_eq!(post.nonce(MINER), 0);
}

#[test]
fn t03_tips_paid_by_call_add_up_with_the_rewards() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.call(MINER, 9)), 1000);
    scene.contract(B, asm(|code| code.call(MINER, 4)), 1000);
    for from in 0..8 {
        scene.send(from, Tx::to(if from % 2 == 0 { A } else { B }));
    }
    let post = scene.run();
    assert_eq!(post.balance(MINER), post.rewards(0..8) + 4 * 9 + 4 * 4);
    assert_eq!(post.balance(A), 1000 - 36);
}

/// The beneficiary's code does something that only works with the reward of the first transaction.
fn funded_by_reward(code: Vec<u8>) {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(MINER, code, 0);
    scene.send(0, Tx::to(A)).send(1, Tx::to(MINER)).send(2, Tx::to(A));
    let post = scene.run();
    assert_eq!(post.slot(MINER, 0), U256::ONE, "the reward pays for it");
    let mut first = scene.clone();
    first.block.transactions.remove(0);
    assert_eq!(first.run().slot(MINER, 0), U256::ZERO, "without the reward it fails");
}

#[test]
fn t04_a_call_with_value_from_the_beneficiary_is_an_observation() {
    funded_by_reward(asm(|code| code.call(X, 1).store(0)));
}

#[test]
fn t04_a_callcode_with_value_from_the_beneficiary_is_an_observation() {
    funded_by_reward(asm(|code| {
        code.push(0).push(0).push(0).push(0).push(1).address(X).op(op::GAS).op(op::CALLCODE);
        code.store(0)
    }));
}

#[test]
fn t04_a_creation_with_value_from_the_beneficiary_is_an_observation() {
    for create in [op::CREATE, op::CREATE2] {
        funded_by_reward(asm(|code| {
            if create == op::CREATE2 {
                code.push(0);
            }
            code.push(0).push(0).push(1).op(create).op(op::ISZERO).op(op::ISZERO).store(0)
        }));
    }
}

#[test]
fn t04_balance_and_selfbalance_of_the_beneficiary_are_observations() {
    funded_by_reward(asm(|code| code.op(op::SELFBALANCE).op(op::ISZERO).op(op::ISZERO).store(0)));
    funded_by_reward(asm(|code| {
        code.op(op::COINBASE).op(op::BALANCE).op(op::ISZERO).op(op::ISZERO).store(0)
    }));
}

#[test]
fn t04_the_funds_check_of_a_sending_beneficiary_is_an_observation() {
    let mut scene = Scene::new(Fork::Shanghai);
    let poor = sender(8);
    scene.block.header.beneficiary = poor;
    scene.send(0, Tx::to(A)).send(8, Tx::to(X).gas(21_000).value(1).fees(7, 0).price(7));
    // The first transaction earns 21,000 times 3, the second one needs 21,000 times 7 and 1.
    let (index, error) = scene.refused();
    assert_eq!(index, Some(1));
    assert!(error.contains("lack of funds (63000) for max fee (147001)"), "{error}");
    scene.fund(poor, 84_001);
    let post = scene.run();
    assert_eq!((post.balance(poor), post.balance(X)), (0, 1));
}

#[test]
fn t05_a_zero_reward_creates_an_empty_beneficiary_before_eip_161() {
    let gas_of_call = |before: u8| {
        let mut scene = Scene::new(Fork::Homestead);
        scene.contract(A, asm(|code| code.call_with_little(MINER, 0)), 0);
        for from in 0..before {
            scene.send(from, Tx::to(B).price(0));
        }
        scene.send(7, Tx::to(A).price(0));
        *scene.run().gas().last().expect("a transaction")
    };
    assert_eq!(gas_of_call(0) - gas_of_call(1), 25_000, "a missing account costs more");
    assert_eq!(gas_of_call(1), gas_of_call(3));
}

#[test]
fn t05_a_zero_reward_deletes_an_empty_beneficiary_from_eip_161_on() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.fund(MINER, 0);
    for from in 0..3 {
        scene.send(from, Tx::to(sender(7)).price(7).value(1));
    }
    assert!(!scene.run().exists(MINER));
    let mut missing = scene.clone();
    missing.block.header.beneficiary = X;
    let post = missing.run();
    assert!(!post.exists(X), "a missing beneficiary stays missing");
    assert!(post.exists(MINER), "nobody touched the empty account");
}

#[test]
fn t06_the_first_reward_makes_the_beneficiary_exist() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.address(MINER).op(op::EXTCODEHASH).store_at_arg()), 0);
    for index in 0..3 {
        scene.send(index, Tx::to(A).arg(index.into()));
    }
    let post = scene.run();
    assert_eq!(post.slot(A, 0), U256::ZERO, "missing");
    assert_eq!(post.slot(A, 1), U256::from_be_bytes(KECCAK256_EMPTY.0), "empty code");
    assert_eq!(post.slot(A, 2), post.slot(A, 1));
}

#[test]
fn t06_a_payment_to_a_beneficiary_with_a_reward_pays_for_no_new_account() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.call(MINER, 1)), 100);
    scene.send(0, Tx::to(A)).send(1, Tx::to(A)).send(2, Tx::to(A));
    let gas = scene.run().gas();
    assert_eq!(gas[0] - gas[1], 25_000);
    assert_eq!(gas[1], gas[2]);
}

#[test]
fn t07_block_reward_ommers_and_fees_meet_at_one_account() {
    let mut scene = Scene::new(Fork::Byzantium);
    scene.block.header.number = 10;
    scene.block.ommers = vec![Header { number: 9, beneficiary: MINER, ..Header::default() }];
    scene.contract(A, balance_probe(MINER), 0);
    scene.send(0, Tx::to(A).arg(0)).send(1, Tx::to(A).arg(1));
    let post = scene.run();
    let gas = post.gas();
    let finney = ETH_TO_WEI as u64 / 1000;
    // 3 ether, a 32nd of it for naming an ommer, 7/8 of it for being one.
    let rewards = 3000 * finney + 3000 * finney / 32 + 3000 * finney / 8 * 7;
    assert_eq!(post.balance(MINER), 10 * (gas[0] + gas[1]) + rewards);
    assert_eq!(post.slot(A, 1), U256::from(10 * gas[0]), "block rewards come last");
}

#[test]
fn t07_a_withdrawal_to_the_beneficiary_comes_after_all_transactions() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, balance_probe(MINER), 0);
    scene.send(0, Tx::to(A).arg(0)).send(1, Tx::to(A).arg(1)).withdraw(MINER, 3).withdraw(A, 0);
    let post = scene.run();
    assert_eq!(post.slot(A, 1), U256::from(post.rewards(0..1)));
    assert_eq!(post.balance(MINER), post.rewards(0..2) + 3_000_000_000);
}

#[test]
fn t08_the_coinbase_opcode_is_a_constant_that_eip_3651_only_warms() {
    let probe = asm(|code| {
        code.op(op::COINBASE).store_at_arg();
        code.op(op::COINBASE).op(op::BALANCE).op(op::POP)
    });
    let gas = |fork| {
        let mut scene = Scene::new(fork);
        scene.contract(A, probe.clone(), 0);
        scene.send(0, Tx::to(A).arg(1)).send(1, Tx::to(A).arg(2));
        let post = scene.run();
        for slot in [1, 2] {
            assert_eq!(post.slot(A, slot), U256::from_be_slice(MINER.as_slice()));
        }
        post.gas()
    };
    let (london, shanghai) = (gas(Fork::London), gas(Fork::Shanghai));
    assert_eq!(london[0] - shanghai[0], 2500, "cold 2600, warm 100");
    assert_eq!(shanghai[0], shanghai[1]);
}
