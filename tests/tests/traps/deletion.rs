//! Traps 19 to 22: SELFDESTRUCT, before and from Cancun on.

use super::{
    A, B, X,
    accounts::made,
    common::{
        asm::{asm, factory, init_code, part},
        scene::{Post, Scene},
        tx::Tx,
    },
};
use alloy_hardforks::EthereumHardfork as Fork;
use alloy_primitives::{Address, U256};
use revm::bytecode::opcode as op;

/// Without data it destroys itself in favour of `X`; with data it stores slot 0 plus 5 in slot 1
/// and raises slot 0.
fn mortal() -> Vec<u8> {
    let destroy = part(|code| code.address(X).op(op::SELFDESTRUCT));
    let work = part(|code| code.load(0).push(5).op(op::ADD).store(1).count(0));
    asm(|code| code.if_data(&destroy, &work))
}

/// A deployed [`mortal`] with 7 in slot 0 and 9 in slot 2, its factory at `A`.
fn scene(fork: Fork) -> (Scene, Address, Vec<u8>) {
    let init = init_code(&mortal());
    let mortal_address = made(&init);
    let mut scene = Scene::new(fork);
    scene.contract(A, factory(), 0).contract(mortal_address, mortal(), 3);
    scene.slot(mortal_address, 0, 7).slot(mortal_address, 2, 9);
    (scene, mortal_address, init)
}

fn slots(post: &Post, address: Address) -> [u64; 3] {
    [0, 1, 2].map(|slot| post.slot(address, slot).to())
}

#[test]
fn t19_storage_of_a_destroyed_account_reads_as_zero() {
    let (mut scene, mortal, init) = scene(Fork::Shanghai);
    scene.send(0, Tx::to(mortal).arg(1)).send(1, Tx::to(mortal));
    scene.send(2, Tx::to(A).data(init)).send(3, Tx::to(mortal).arg(1));
    let post = scene.run();
    assert_eq!(slots(&post, mortal), [1, 5, 0], "neither the base value nor the first write");
    let flat = post.outcome.state.to_flat();
    let change = flat.accounts.iter().find(|change| change.address == mortal).expect("changed");
    assert!(change.wiped && change.before.is_some() && change.after.is_some());
}

#[test]
fn t19_a_destroyed_account_is_missing_for_later_transactions() {
    let (mut scene, mortal, _) = scene(Fork::Shanghai);
    scene.contract(B, asm(|code| code.address(mortal).op(op::EXTCODESIZE).store_at_arg()), 0);
    scene.send(0, Tx::to(B).arg(0)).send(1, Tx::to(mortal)).send(2, Tx::to(B).arg(2));
    scene.send(3, Tx::to(mortal).arg(1));
    let post = scene.run();
    assert_eq!(post.slot(B, 0), U256::from(super::deletion::mortal().len()));
    assert_eq!(post.slot(B, 2), U256::ZERO);
    assert!(!post.exists(mortal), "a call without value does not revive it");
    assert_eq!(post.balance(X), 3);
}

#[test]
fn t20_destroyed_and_created_again_several_times() {
    let (mut scene, mortal, init) = scene(Fork::Shanghai);
    for round in 0..2 {
        scene.send(round, Tx::to(mortal));
        scene.send(2 + round, Tx::to(A).data(init.clone()));
        scene.send(4 + round, Tx::to(mortal).arg(1));
        scene.send(6, Tx::to(mortal).arg(1).value(1));
    }
    let post = scene.run();
    assert_eq!(post.successes(), [true; 8]);
    assert_eq!(slots(&post, mortal), [2, 6, 0], "each life begins with empty storage");
    assert_eq!((post.balance(mortal), post.balance(X)), (1, 3 + 1));
    assert_eq!(post.nonce(mortal), 1);
}

#[test]
fn t20_destroyed_and_paid_again_in_one_block() {
    let (mut scene, mortal, init) = scene(Fork::Shanghai);
    scene.send(0, Tx::to(mortal)).send(1, Tx::to(mortal).value(8)).send(2, Tx::to(A).data(init));
    scene.send(3, Tx::to(mortal).arg(1));
    let post = scene.run();
    assert_eq!((post.balance(mortal), post.balance(X)), (8, 3));
    assert_eq!(slots(&post, mortal), [1, 5, 0]);
}

#[test]
fn t21_from_cancun_on_only_the_balance_of_an_older_account_moves() {
    let (mut scene, mortal, _) = scene(Fork::Cancun);
    scene.send(0, Tx::to(mortal)).send(1, Tx::to(mortal).arg(1)).send(2, Tx::to(mortal));
    let post = scene.run();
    assert_eq!((post.balance(mortal), post.balance(X), post.nonce(mortal)), (0, 3, 1));
    assert_eq!(slots(&post, mortal), [8, 12, 9]);
}

#[test]
fn t21_created_and_destroyed_in_one_transaction_over_an_older_balance() {
    let init = asm(|code| code.push(1).store(0).address(X).op(op::SELFDESTRUCT));
    let made = made(&init);
    let mut scene = Scene::new(Fork::Cancun);
    scene.contract(A, factory(), 0).fund(made, 6);
    scene.contract(B, asm(|code| code.address(made).op(op::BALANCE).store_at_arg()), 0);
    scene.send(0, Tx::to(made).value(1)).send(1, Tx::to(B).arg(1));
    scene.send(2, Tx::to(A).data(init)).send(3, Tx::to(B).arg(3));
    let post = scene.run();
    assert!(!post.exists(made));
    assert_eq!(post.balance(X), 7);
    assert_eq!([post.slot(B, 1), post.slot(B, 3)], [U256::from(7), U256::ZERO]);
}

/// Destroys an account, then pays it 5 wei in the same transaction.
fn paid_after_destruction(fork: Fork) -> (Post, Address) {
    let mut scene = Scene::new(fork);
    // The victim is made and destroyed in one transaction, so that EIP-6780 lets it die.
    let init = asm(|code| code.address(X).op(op::SELFDESTRUCT));
    let made = B.create2(alloy_primitives::B256::ZERO, alloy_primitives::keccak256(&init));
    let payer = asm(|code| {
        code.push(0).data_to_memory().push(0).push(2).op(op::CREATE2).op(op::POP);
        code.call(made, 5).store(0)
    });
    scene.contract(B, payer, 100);
    scene.send(0, Tx::to(made).value(1)).send(1, Tx::to(B).data(init).gas(2_000_000));
    scene.send(2, Tx::to(X).value(4));
    (scene.run(), made)
}

#[test]
fn t22_value_sent_to_a_destroyed_account_is_burned() {
    for fork in [Fork::Shanghai, Fork::Cancun, Fork::Osaka] {
        let (post, made) = paid_after_destruction(fork);
        assert_eq!(post.slot(B, 0), U256::ONE, "the payment itself succeeds");
        assert!(!post.exists(made), "{fork}");
        assert_eq!((post.balance(B), post.balance(X)), (93, 7), "{fork}: 5 wei are gone");
    }
}

#[test]
fn t22_on_amsterdam_value_sent_to_a_destroyed_account_is_kept() {
    // EIP-8246.
    let (post, made) = paid_after_destruction(Fork::Amsterdam);
    assert_eq!((post.balance(made), post.balance(B), post.balance(X)), (5, 93, 7));
}
