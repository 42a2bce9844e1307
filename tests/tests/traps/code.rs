//! Traps 25 and 26: code, delegations, and accounts whose code nobody loaded.

use super::{
    A, B, C, X,
    accounts::made,
    common::{
        asm::{asm, factory, init_code},
        scene::{MINER, Scene},
        tx::{Tx, sender},
    },
};
use alloy_hardforks::EthereumHardfork as Fork;
use alloy_primitives::{Address, KECCAK256_EMPTY, U256, keccak256};
use revm::bytecode::opcode as op;

fn delegation(to: Address) -> Vec<u8> {
    [&[0xef, 0x01, 0x00][..], to.as_slice()].concat()
}

#[test]
fn t25_code_that_the_block_deployed_is_found_by_everyone() {
    let runtime = asm(|code| code.count(0));
    let init = init_code(&runtime);
    let made = made(&init);
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, factory(), 0);
    scene.contract(
        B,
        asm(|code| {
            code.address(made).op(op::EXTCODEHASH).store(0).address(made).op(op::EXTCODESIZE);
            code.store(1).push(32).push(0).push(0).address(made).op(op::EXTCODECOPY);
            code.push(0).op(op::MLOAD).store(2).call(made, 0).store(3)
        }),
        0,
    );
    scene.send(0, Tx::to(B)).send(1, Tx::to(A).data(init)).send(2, Tx::to(B));
    scene.send(3, Tx::to(made)).send(4, Tx::to(made));
    let post = scene.run();
    assert_eq!(post.slot(B, 0), U256::from_be_bytes(keccak256(&runtime).0));
    assert_eq!(post.slot(B, 1), U256::from(runtime.len()));
    let mut copied = [0; 32];
    copied[..runtime.len()].copy_from_slice(&runtime);
    assert_eq!(post.slot(B, 2), U256::from_be_bytes(copied));
    assert_eq!(post.slot(made, 0), U256::from(3), "the call of B and two transactions");
}

#[test]
fn t25_a_delegation_is_changed_and_cleared_in_the_block() {
    let mut scene = Scene::new(Fork::Prague);
    scene.contract(A, asm(|code| code.count(0)), 0);
    scene.contract(B, asm(|code| code.count(1)), 0);
    scene.contract(C, asm(|code| code.address(sender(1)).op(op::EXTCODEHASH).store_at_arg()), 0);
    let call = |scene: &mut Scene, from| {
        scene.send(from, Tx::to(sender(1)));
    };
    scene.send(2, Tx::to(X).authorize(1, A, 0));
    call(&mut scene, 3);
    scene.send(0, Tx::to(C).arg(0));
    scene.send(4, Tx::to(X).authorize(1, B, 1));
    call(&mut scene, 5);
    scene.send(0, Tx::to(C).arg(1));
    scene.send(6, Tx::to(X).authorize(1, Address::ZERO, 2));
    call(&mut scene, 7);
    scene.send(0, Tx::to(C).arg(2));
    let post = scene.run();
    assert_eq!([0, 1].map(|slot| post.slot(sender(1), slot)), [U256::ONE; 2]);
    let hashes = [0, 1, 2].map(|slot| post.slot(C, slot));
    let expected = [keccak256(delegation(A)), keccak256(delegation(B)), KECCAK256_EMPTY];
    assert_eq!(hashes, expected.map(|hash| U256::from_be_bytes(hash.0)));
    assert_eq!(post.nonce(sender(1)), 3);
}

#[test]
fn t25_the_target_of_a_delegation_is_deployed_after_the_delegation() {
    let init = init_code(&asm(|code| code.count(0)));
    let mut scene = Scene::new(Fork::Prague);
    scene.contract(A, factory(), 0);
    scene.send(0, Tx::to(X).authorize(1, made(&init), 0)).send(2, Tx::to(sender(1)));
    scene.send(3, Tx::to(A).data(init)).send(4, Tx::to(sender(1))).send(5, Tx::to(sender(1)));
    let post = scene.run();
    assert_eq!(post.slot(sender(1), 0), U256::from(2), "only the calls after the deployment");
}

#[test]
fn t25_a_delegation_to_a_delegated_account_runs_no_code() {
    let mut scene = Scene::new(Fork::Prague);
    scene.contract(A, asm(|code| code.count(0)), 0);
    scene.send(0, Tx::to(X).authorize(1, A, 0).authorize(2, sender(1), 0));
    scene.send(3, Tx::to(sender(2))).send(4, Tx::to(sender(1)));
    let post = scene.run();
    assert_eq!(post.successes(), [true, false, true], "0xef is no instruction");
    assert_eq!(post.slot(sender(1), 0), U256::ONE);
    assert_eq!(post.slot(sender(2), 0), U256::ZERO);
}

#[test]
fn t26_a_contract_keeps_the_code_that_nobody_loaded() {
    let mut scene = Scene::new(Fork::Shanghai);
    // Its balance changes by a destruction, a reward and a withdrawal; none of them loads its code.
    scene.contract(A, asm(|code| code.address(MINER).op(op::SELFDESTRUCT)), 5);
    scene.contract(MINER, asm(|code| code.count(0)), 0);
    scene.send(0, Tx::to(A)).send(1, Tx::to(X)).send(2, Tx::to(MINER)).send(3, Tx::to(MINER));
    scene.withdraw(MINER, 1);
    let post = scene.run();
    assert_eq!(post.slot(MINER, 0), U256::from(2));
    let code = asm(|code| code.count(0));
    let hash = keccak256(code);
    assert_eq!(post.state.account(&MINER).map(|info| info.code_hash), Some(hash));
    let info = post.bundle.state[&MINER].info.clone().expect("it exists");
    assert_eq!(info.code_hash, hash);
    assert_ne!(info.code.map(|code| code.is_empty()), Some(true), "never the empty code");
}
