//! Traps 27, 28, 48, 50 and 61: what runs before and after the transactions.

use super::{
    A, B, C, X,
    common::{
        asm::{asm, part},
        scene::{FUNDS, MINER, Scene},
        tx::Tx,
    },
};
use alloy_consensus::{Header, constants::ETH_TO_WEI};
use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS,
    eip4788::{BEACON_ROOTS_ADDRESS, SYSTEM_ADDRESS},
    eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
};
use alloy_hardforks::{EthereumHardfork as Fork, ForkCondition};
use alloy_primitives::{Address, U256, address, b256};
use revm::bytecode::opcode as op;

/// Stores its data in slot 0; without data returns slot 0.
fn keeper() -> Vec<u8> {
    let give = part(|code| code.load(0).push(0).op(op::MSTORE).push(32).push(0).op(op::RETURN));
    let keep = part(|code| code.arg(0).store(0));
    asm(|code| code.if_data(&give, &keep))
}

/// Stores what a call of `of` without data returns in the slot that the data names.
fn asker(of: Address) -> Vec<u8> {
    asm(|code| {
        code.push(32).push(0).push(0).push(0).push(0).address(of).op(op::GAS).op(op::CALL);
        code.op(op::POP).push(0).op(op::MLOAD).store_at_arg()
    })
}

/// Counts calls in slot 0; gives the count to the system and starts again.
fn queue() -> Vec<u8> {
    asm(|code| {
        code.op(op::CALLER).address(SYSTEM_ADDRESS).op(op::EQ);
        let count = part(|code| code.count(0));
        let target = code.0.len() + 3 + count.0.len() + 1;
        code.push(target as u8).op(op::JUMPI);
        code.0.extend(count.0);
        code.op(op::STOP).op(op::JUMPDEST).load(0).push(0).op(op::MSTORE).push(0).store(0);
        code.push(32).push(0).op(op::RETURN)
    })
}

#[test]
fn t27_transactions_see_and_change_what_the_system_calls_before_them_wrote() {
    let mut scene = Scene::new(Fork::Prague);
    scene.contract(HISTORY_STORAGE_ADDRESS, keeper(), 0);
    scene.contract(BEACON_ROOTS_ADDRESS, keeper(), 0);
    scene.contract(A, asker(HISTORY_STORAGE_ADDRESS), 0);
    scene.contract(B, asker(BEACON_ROOTS_ADDRESS), 0);
    scene.send(0, Tx::to(A).arg(1)).send(1, Tx::to(B).arg(1));
    scene.send(2, Tx::to(BEACON_ROOTS_ADDRESS).arg(99)).send(3, Tx::to(B).arg(2));
    let post = scene.run();
    assert_eq!(post.slot(A, 1), U256::from_be_bytes([0xaa; 32]), "the parent's hash (EIP-2935)");
    assert_eq!(post.slot(B, 1), U256::from_be_bytes([0xbb; 32]), "the beacon root (EIP-4788)");
    assert_eq!(post.slot(B, 2), U256::from(99), "a transaction wrote it over");
}

#[test]
fn t27_the_call_after_the_transactions_sees_the_whole_queue() {
    let mut scene = Scene::new(Fork::Prague);
    scene.contract(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, queue(), 0);
    scene.slot(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, 0, 100);
    scene.contract(A, asm(|code| code.call(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, 0)), 0);
    for from in 0..6 {
        let to = if from % 2 == 0 { A } else { WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS };
        scene.send(from, Tx::to(to));
    }
    let post = scene.run();
    let mut request = U256::from(106).to_be_bytes::<32>().to_vec();
    request.insert(0, 1);
    let requests: Vec<_> = post.outcome.requests.iter().map(|one| one.to_vec()).collect();
    assert_eq!(requests, [request], "type 1 and the count");
    assert_eq!(post.slot(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, 0), U256::ZERO);
}

/// The data of a deposit event (EIP-6110) with this index.
fn deposit(index: u8) -> Vec<u8> {
    let mut data = Vec::new();
    let word = |value: usize| U256::from(value).to_be_bytes::<32>();
    for offset in [160, 256, 320, 384, 512] {
        data.extend(word(offset));
    }
    for (length, padded) in [(48, 64), (32, 32), (8, 32), (96, 96), (8, 32)] {
        data.extend(word(length));
        data.extend([index].repeat(length));
        data.extend([0].repeat(padded - length));
    }
    data
}

#[test]
fn t28_deposits_come_in_the_order_of_receipts_and_only_from_what_succeeded() {
    let topic = b256!("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");
    let mut scene = Scene::new(Fork::Prague);
    scene.contract(
        MAINNET_DEPOSIT_CONTRACT_ADDRESS,
        asm(|code| code.word(topic.into()).data_to_memory().push(0).op(op::LOG1)),
        0,
    );
    // Hands its data on, then reverts.
    scene.contract(
        A,
        asm(|code| {
            code.push(0).push(0).data_to_memory().push(0).push(0);
            code.address(MAINNET_DEPOSIT_CONTRACT_ADDRESS).op(op::GAS).op(op::CALL);
            code.push(0).push(0).op(op::REVERT)
        }),
        0,
    );
    for (from, index) in [(0, 4), (1, 2), (2, 9), (3, 1)] {
        let to = if index == 9 { A } else { MAINNET_DEPOSIT_CONTRACT_ADDRESS };
        scene.send(from, Tx::to(to).data(deposit(index)));
    }
    let post = scene.run();
    assert_eq!(post.successes(), [true, true, false, true]);
    let mut expected = vec![0];
    for index in [4, 2, 1] {
        expected.extend([index].repeat(48 + 32 + 8 + 96 + 8));
    }
    let requests: Vec<_> = post.outcome.requests.iter().map(|one| one.to_vec()).collect();
    assert_eq!(requests, [expected]);
}

#[test]
fn t48_the_dao_fork_moves_balances_after_the_transactions_as_in_reth() {
    let drained = address!("bb9bc244d798123fde783fcc1c72d3bb8c189413");
    let refund = address!("bf4ed7b27f1d666546e30d74d50d173d20bca754");
    let mut scene = Scene::with_forks(Fork::Homestead, &[(Fork::Dao, ForkCondition::Block(1))]);
    scene.fund(drained, 1000);
    scene.contract(A, asm(|code| code.address(drained).op(op::BALANCE).store_at_arg()), 0);
    scene.send(0, Tx::to(A).arg(0)).send(1, Tx::to(drained).value(11)).send(2, Tx::to(A).arg(2));
    let post = scene.run();
    assert_eq!([post.slot(A, 0), post.slot(A, 2)], [1000, 1011].map(U256::from));
    assert_eq!((post.balance(drained), post.balance(refund)), (0, 1011));
}

#[test]
fn t50_a_block_without_transactions_still_has_its_system_calls_and_withdrawals() {
    let mut scene = Scene::new(Fork::Prague);
    scene.contract(HISTORY_STORAGE_ADDRESS, keeper(), 0);
    scene.contract(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, queue(), 0);
    scene.slot(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, 0, 3);
    scene.withdraw(X, 2).withdraw(C, 0).fund(C, 0);
    let post = scene.run();
    assert_eq!(post.slot(HISTORY_STORAGE_ADDRESS, 0), U256::from_be_bytes([0xaa; 32]));
    assert_eq!(post.outcome.requests.len(), 1);
    assert_eq!(post.balance(X), 2_000_000_000);
    assert!(post.outcome.receipts.is_empty());
}

#[test]
fn t50_a_block_without_transactions_still_pays_its_ommers() {
    let mut scene = Scene::new(Fork::Byzantium);
    scene.block.header.number = 10;
    scene.block.ommers = vec![Header { number: 8, beneficiary: X, ..Header::default() }];
    let post = scene.run();
    let finney = ETH_TO_WEI as u64 / 1000;
    assert_eq!(post.balance(X), 3000 * finney / 8 * 6);
    assert_eq!(post.balance(MINER), 3000 * finney + 3000 * finney / 32);
}

#[test]
fn t61_system_calls_pay_nobody_and_leave_no_trace_of_their_caller() {
    let mut scene = Scene::new(Fork::Prague);
    scene.contract(HISTORY_STORAGE_ADDRESS, keeper(), 0);
    scene.contract(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, queue(), 0);
    scene.send(0, Tx::to(X).value(1).price(7));
    let post = scene.run();
    assert!(!post.exists(SYSTEM_ADDRESS) && !post.bundle.state.contains_key(&SYSTEM_ADDRESS));
    assert!(!post.exists(MINER), "a reward of zero to a missing account");
    let cost = 21_000 * 7 + 1;
    assert_eq!(post.balance(super::common::tx::sender(0)), FUNDS - cost);
    assert_eq!(post.slot(HISTORY_STORAGE_ADDRESS, 0), U256::from_be_bytes([0xaa; 32]));
}
