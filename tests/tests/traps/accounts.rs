//! Traps 15 to 18, 20, 23, 24 and 29: existence, emptiness, creation.

use super::{
    A, B, C, X,
    common::{
        asm::{asm, factory, init_code},
        scene::{Post, Scene},
        tx::{Tx, sender},
    },
};
use alloy_hardforks::EthereumHardfork as Fork;
use alloy_primitives::{Address, B256, U256, keccak256};
use revm::bytecode::opcode as op;

/// Where [`factory`] at `A` puts this init code.
pub(crate) fn made(init: &[u8]) -> Address {
    A.create2(B256::ZERO, keccak256(init))
}

fn changed(post: &Post, address: Address) -> bool {
    post.outcome.state.to_flat().accounts.iter().any(|change| change.address == address)
}

#[test]
fn t15_a_zero_value_call_creates_nothing_and_conflicts_with_nothing() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.call(X, 0)), 0);
    for from in 0..8 {
        scene.send(from, Tx::to(if from % 2 == 0 { A } else { X }));
    }
    let post = scene.run();
    assert!(!post.exists(X) && !changed(&post, X));
    // Nothing was written, so no reader of the missing account is stale.
    for threads in [2, 4, 8] {
        let statistics = scene.overtaken(threads).statistics;
        assert_eq!(statistics.reexecutions, 0, "{statistics:?}");
    }
}

#[test]
fn t15_touching_an_empty_account_deletes_it_from_eip_161_on() {
    let mut scene = Scene::new(Fork::SpuriousDragon);
    scene.contract(A, asm(|code| code.call(C, 0)), 0).fund(C, 0).fund(B, 0);
    for from in 0..3 {
        scene.send(from, Tx::to(A));
    }
    let post = scene.run();
    assert!(!post.exists(C), "touched");
    assert!(post.exists(B), "not touched");
}

#[test]
fn t16_touching_a_missing_account_creates_it_before_eip_161() {
    let mut scene = Scene::new(Fork::Homestead);
    scene.contract(A, asm(|code| code.call_with_little(X, 0)), 0).fund(C, 0);
    scene.contract(B, asm(|code| code.call_with_little(C, 0)), 0);
    scene.send(0, Tx::to(A)).send(1, Tx::to(A)).send(2, Tx::to(B)).send(3, Tx::to(A));
    let post = scene.run();
    let gas = post.gas();
    assert!(post.exists(X) && post.exists(C), "empty accounts stay");
    assert_eq!(gas[0] - gas[1], 25_000, "the second call finds an account");
    assert_eq!([gas[2], gas[3]], [gas[1]; 2], "an empty account is an account");
}

#[test]
fn t16_from_eip_161_on_the_gas_of_a_call_depends_on_emptiness_and_value() {
    let mut scene = Scene::new(Fork::SpuriousDragon);
    scene.contract(A, asm(|code| code.call(X, 0)), 9);
    scene.contract(B, asm(|code| code.call(X, 1)), 9);
    scene.send(0, Tx::to(A)).send(1, Tx::to(B)).send(2, Tx::to(B)).send(3, Tx::to(A));
    let post = scene.run();
    let gas = post.gas();
    assert_eq!(gas[1] - gas[2], 25_000, "the first payment makes the account");
    assert_eq!(gas[0], gas[3], "no value, no surcharge");
    assert_eq!(post.balance(X), 2);
}

#[test]
fn t17_the_touch_of_the_ripemd_precompile_survives_a_revert() {
    let (ripemd, identity) = (Address::with_last_byte(3), Address::with_last_byte(4));
    let mut scene = Scene::new(Fork::SpuriousDragon);
    scene.fund(ripemd, 0).fund(identity, 0);
    scene.contract(A, asm(|code| code.call(ripemd, 0).op(op::INVALID)), 0);
    scene.contract(B, asm(|code| code.call(identity, 0).op(op::INVALID)), 0);
    scene.send(0, Tx::to(A)).send(1, Tx::to(B)).send(2, Tx::to(A));
    let post = scene.run();
    assert_eq!(post.successes(), [false; 3]);
    assert!(!post.exists(ripemd), "the quirk of block 2,675,119");
    assert!(post.exists(identity), "any other touch is reverted");
}

#[test]
fn t18_an_authority_that_an_earlier_transaction_created_gives_a_refund() {
    let gas = |fund: bool| {
        let mut scene = Scene::new(Fork::Prague);
        scene.contract(A, vec![op::STOP], 0);
        scene.send(0, Tx::to(if fund { sender(8) } else { X }).value(1));
        scene.send(1, Tx::to(X).authorize(8, A, 0));
        let post = scene.run();
        assert_eq!(post.nonce(sender(8)), 1);
        post.gas()[1]
    };
    let (missing, existing) = (gas(false), gas(true));
    // 25,000 for the authorisation; 12,500 back where the account existed, a fifth at most.
    assert_eq!(missing, 21_000 + 25_000);
    assert_eq!(existing, missing - missing / 5);
}

#[test]
fn t20_creation_wipes_the_storage_that_was_left_there() {
    let runtime = asm(|code| code.load(0).push(5).op(op::ADD).store(1));
    let init = init_code(&runtime);
    let made = made(&init);
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, factory(), 0).fund(made, 3).slot(made, 0, 7);
    scene.send(0, Tx::to(A).data(init)).send(1, Tx::to(made));
    let post = scene.run();
    assert_eq!(post.slot(made, 1), U256::from(5), "slot 0 reads as zero");
    assert_eq!((post.balance(made), post.nonce(made)), (3, 1));
}

#[test]
fn t23_creation_over_storage_without_code_or_nonce_succeeds_as_in_revm() {
    // EIP-7610 would refuse it; revm looks at nonce and code alone, and reth does as revm.
    let init = init_code(&[op::STOP]);
    let mut scene = Scene::new(Fork::Prague);
    scene.contract(A, factory(), 0).fund(made(&init), 0).slot(made(&init), 1, 1);
    scene.send(0, Tx::to(X)).send(1, Tx::to(A).data(init.clone()));
    assert_eq!(scene.run().made_for(A, 1), made(&init));
}

#[test]
fn t24_a_creation_collides_with_what_an_earlier_transaction_deployed() {
    let init = init_code(&[op::STOP]);
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, factory(), 0);
    for from in 0..4 {
        scene.send(from, Tx::to(A).data(init.clone()));
    }
    let post = scene.run();
    assert_eq!(post.made_for(A, 0), made(&init), "the first one wins");
    for from in 1..4 {
        assert_eq!(post.made_for(A, from), Address::ZERO, "sender {from}");
    }
    let gas = post.gas();
    assert!(gas[1] > gas[0] + 100_000, "a collision burns the gas that it was given: {gas:?}");
}

#[test]
fn t24_a_payment_in_advance_is_no_collision() {
    let init = init_code(&[op::STOP]);
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, factory(), 0);
    scene.send(0, Tx::to(made(&init)).value(4)).send(1, Tx::to(A).data(init.clone()));
    let post = scene.run();
    assert_eq!(post.made_for(A, 1), made(&init));
    assert_eq!(post.balance(made(&init)), 4);
}

#[test]
fn t29_precompiles_hold_balances_like_any_account() {
    let mut scene = Scene::new(Fork::Shanghai);
    let precompile = Address::with_last_byte(4);
    scene.contract(A, asm(|code| code.address(precompile).op(op::BALANCE).store_at_arg()), 0);
    scene.contract(B, asm(|code| code.call(precompile, 6)), 10);
    scene.send(0, Tx::to(A).arg(0)).send(1, Tx::to(precompile).value(5));
    scene.send(2, Tx::to(A).arg(2)).send(3, Tx::to(B)).send(4, Tx::to(A).arg(4));
    let post = scene.run();
    let seen = [0, 2, 4].map(|slot| post.slot(A, slot));
    assert_eq!(seen, [0, 5, 11].map(U256::from));
    assert_eq!(post.balance(precompile), 11);
}
