//! Traps 9 to 14: chains of one sender's transactions.

use super::{
    A, B, X,
    common::{
        asm::asm,
        scene::{FUNDS, Scene},
        tx::{PRICE, Tx, sender},
    },
};
use alloy_hardforks::EthereumHardfork as Fork;
use alloy_primitives::U256;
use braid_core::source::decode_code;
use revm::{bytecode::opcode as op, state::AccountInfo};

/// What a plain payment costs at the usual price.
const PAYMENT: u64 = 21_000 * PRICE as u64;

#[test]
fn t09_consecutive_transactions_of_one_sender_depend_on_each_other() {
    let mut scene = Scene::new(Fork::Shanghai);
    for value in 1..=12 {
        scene.send(0, Tx::to(X).value(value));
    }
    let post = scene.run();
    assert_eq!((post.nonce(sender(0)), post.balance(X)), (12, 78));
    assert_eq!(post.balance(sender(0)), FUNDS - 78 - 12 * PAYMENT);
}

#[test]
fn t09_a_gap_in_the_nonces_is_found_where_it_is() {
    let mut scene = Scene::new(Fork::Shanghai);
    for (from, nonce) in [(0, 0), (1, 0), (0, 1), (0, 3), (1, 1), (0, 2)] {
        scene.send(from, Tx::to(X).nonce(nonce));
    }
    let (index, error) = scene.refused();
    assert_eq!(index, Some(3));
    assert!(error.contains("nonce 3 too high, expected 2"), "{error}");
}

#[test]
fn t09_somebody_elses_authorisation_raises_the_senders_nonce() {
    let mut scene = Scene::new(Fork::Prague);
    scene.contract(A, vec![op::STOP], 0);
    scene.send(0, Tx::to(X).authorize(1, A, 0)).send(1, Tx::to(X).nonce(1).value(3));
    let post = scene.run();
    assert_eq!((post.nonce(sender(1)), post.balance(X)), (2, 3));
    let mut stale = scene.clone();
    stale.block.transactions.pop();
    stale.send(1, Tx::to(X).nonce(0));
    let (index, error) = stale.refused();
    assert_eq!(index, Some(1));
    assert!(error.contains("nonce 0 too low, expected 1"), "{error}");
}

#[test]
fn t09_a_delegated_account_that_creates_raises_its_own_nonce() {
    let mut scene = Scene::new(Fork::Prague);
    scene.contract(A, asm(|code| code.push(0).push(0).push(0).op(op::CREATE).store(0)), 0);
    scene.send(0, Tx::to(X).authorize(1, A, 0));
    scene.send(2, Tx::to(sender(1)));
    scene.send(1, Tx::to(X).nonce(2).value(1));
    let post = scene.run();
    assert_eq!((post.nonce(sender(1)), post.balance(X)), (3, 1));
    let made = sender(1).create(1);
    assert_eq!(post.slot(sender(1), 0), U256::from_be_slice(made.as_slice()));
}

#[test]
fn t10_the_funds_check_is_by_the_largest_fee_and_the_charge_by_the_effective_one() {
    let spent = |funds| {
        let mut scene = Scene::new(Fork::Shanghai);
        // Funded in the block, so that whoever looks too early sees nothing.
        scene.send(0, Tx::to(sender(8)).value(funds));
        scene.send(8, Tx::to(X).gas(21_000).fees(100, 2).value(5));
        scene
    };
    let needed = 21_000 * 100 + 5;
    let post = spent(needed).run();
    assert_eq!(post.balance(sender(8)), needed - 21_000 * (7 + 2) - 5, "base fee and tip");
    let (index, error) = spent(needed - 1).refused();
    assert_eq!(index, Some(1));
    assert!(error.contains("lack of funds (2100004) for max fee (2100005)"), "{error}");
}

#[test]
fn t11_lack_of_funds_ahead_of_its_turn_is_no_verdict() {
    let mut scene = Scene::new(Fork::Shanghai);
    for index in 0..4 {
        scene.send(index, Tx::to(sender(8 + index)).value(2 * PAYMENT * 300_000));
        scene.send(8 + index, Tx::to(X).value(1));
    }
    let post = scene.run();
    assert_eq!(post.balance(X), 4);
    assert_eq!(post.successes(), [true; 8]);
}

#[test]
fn t11_a_nonce_that_is_too_high_ahead_of_its_turn_is_no_verdict() {
    let mut scene = Scene::new(Fork::Shanghai);
    for (from, nonce) in [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)] {
        scene.send(from, Tx::to(X).nonce(nonce).value(1));
    }
    assert_eq!(scene.run().balance(X), 6);
}

#[test]
fn t11_a_sender_whose_code_an_earlier_transaction_destroys_is_accepted() {
    let mut scene = Scene::new(Fork::Shanghai);
    // No contract has a key; the rule is revm's all the same.
    scene.contract(sender(8), asm(|code| code.address(X).op(op::SELFDESTRUCT)), 9);
    scene.send(0, Tx::to(sender(8)));
    scene.send(1, Tx::to(sender(8)).value(FUNDS / 2));
    scene.send(8, Tx::to(B).nonce(0).value(7));
    let post = scene.run();
    assert_eq!((post.balance(X), post.balance(B), post.nonce(sender(8))), (9, 7, 1));
    let mut alone = scene.clone();
    alone.block.transactions.drain(..2);
    let (index, error) = alone.refused();
    assert_eq!(index, Some(0));
    assert!(error.contains("senders with deployed code"), "{error}");
}

#[test]
fn t11_a_payment_that_overflows_is_a_verdict_at_its_turn_only() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.send(0, Tx::to(X)).send(1, Tx::to(X).gas(21_000).price(u128::MAX).value(1));
    let (index, error) = scene.refused();
    assert_eq!(index, Some(1));
    assert!(error.contains("overflow payment"), "{error}");
}

#[test]
fn t12_a_sender_with_code_is_refused_and_one_with_a_delegation_is_not() {
    let mut scene = Scene::new(Fork::Prague);
    scene.contract(A, vec![op::STOP], 0);
    let delegated = [&[0xef, 0x01, 0x00][..], A.as_slice()].concat();
    for (index, code) in [(1, delegated), (2, vec![op::STOP])] {
        let info = AccountInfo::default()
            .with_balance(U256::from(FUNDS))
            .with_code(decode_code(code.into()));
        scene.state.insert_account(sender(index), info);
    }
    scene.send(0, Tx::to(X).value(1)).send(1, Tx::to(X).value(1));
    assert_eq!(scene.run().balance(X), 2);
    scene.send(2, Tx::to(X).value(1));
    let (index, error) = scene.refused();
    assert_eq!(index, Some(2));
    assert!(error.contains("reject transactions from senders with deployed code"), "{error}");
}

#[test]
fn t13_a_delegated_sender_is_drained_by_somebody_elses_transaction() {
    let mut scene = Scene::new(Fork::Prague);
    scene.contract(
        A,
        asm(|code| {
            code.push(0).push(0).push(0).push(0).op(op::SELFBALANCE).address(B);
            code.op(op::GAS).op(op::CALL)
        }),
        0,
    );
    scene.send(0, Tx::to(X).authorize(1, A, 0)).send(2, Tx::to(sender(1)));
    let post = scene.run();
    assert_eq!((post.balance(sender(1)), post.balance(B)), (0, FUNDS));
    scene.send(1, Tx::to(X).nonce(1));
    let (index, error) = scene.refused();
    assert_eq!(index, Some(2));
    assert!(error.contains("lack of funds (0)"), "{error}");
}

#[test]
fn t14_senders_that_the_block_itself_funds_in_a_chain() {
    let mut scene = Scene::new(Fork::Shanghai);
    let cost = PRICE as u64 * 21_000;
    scene.send(0, Tx::to(sender(10)).value(10 * cost));
    for index in 10..14 {
        let left = 10 * cost - u64::from(index - 9) * cost;
        scene.send(index, Tx::to(sender(index + 1)).gas(21_000).value(left));
    }
    let post = scene.run();
    assert_eq!(post.balance(sender(14)), 6 * cost);
    for index in 10..14 {
        assert_eq!((post.balance(sender(index)), post.nonce(sender(index))), (0, 1));
    }
}
