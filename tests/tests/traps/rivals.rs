//! Faults that other parallel executors shipped, by project and number, where the traps' own tests
//! do not hold them already; `docs/traps.md` has them all.

use super::{
    A, B, C, X,
    accounts::made,
    common::{
        asm::{asm, factory, init_code, part},
        late::{Trouble, Troubled},
        scene::{MINER, Scene, THREADS},
        tx::{Tx, sender},
    },
};
use alloy_hardforks::EthereumHardfork as Fork;
use alloy_primitives::{Address, U256};
use braid_core::{
    Engine, ExecuteError, Optimisations, Options,
    engine::{Limits, Step},
    source::Location,
};
use revm::bytecode::opcode as op;

#[test]
fn besu_9352_the_access_list_has_every_balance_of_the_beneficiary() {
    let mut scene = Scene::new(Fork::Amsterdam);
    for from in 0..4 {
        scene.send(from, Tx::to(X).value(1));
    }
    let post = scene.run();
    let list = post.outcome.access_list.as_ref().expect("an access list");
    let miner = list.iter().find(|account| account.address == MINER).expect("it is paid");
    let balances: Vec<(u64, u64)> = miner
        .balance_changes
        .iter()
        .map(|change| (change.block_access_index.0, change.post_balance.to()))
        .collect();
    let expected: Vec<(u64, u64)> =
        (1..=4).map(|index| (index as u64, post.rewards(0..index))).collect();
    assert_eq!(balances, expected);
}

#[test]
fn besu_7923_writes_to_different_slots_of_one_contract_do_not_conflict() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.push(1).store_at_arg()), 0);
    scene.contract(B, asm(|code| code.call_with_arg(A)), 0);
    scene.send(0, Tx::to(B).arg(0));
    for from in 1..8 {
        scene.send(from, Tx::to(A).arg(from.into()));
    }
    let post = scene.run();
    assert!((0..8).all(|slot| post.slot(A, slot) == U256::ONE));
    for threads in THREADS {
        assert_eq!(scene.overtaken(threads).statistics.reexecutions, 0, "{threads} threads");
    }
}

#[test]
fn grevm_109_the_sizes_of_the_bundle_are_kept() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.count(0)), 0);
    for from in 0..4 {
        scene.send(from, Tx::to(A));
    }
    let stock = scene.run().bundle;
    for threads in THREADS {
        let bundle = scene.bundle(threads);
        assert!(bundle.reverts_size > 0 && bundle.state_size > 0);
        let sizes = (bundle.state_size, bundle.reverts_size, bundle.size_hint());
        assert_eq!(sizes, (stock.state_size, stock.reverts_size, stock.size_hint()));
    }
}

#[test]
fn grevm_block_22546209_a_new_delegation_keeps_the_storage() {
    let mut scene = Scene::new(Fork::Prague);
    scene.contract(A, asm(|code| code.count(0)), 0);
    scene.contract(B, asm(|code| code.load(0).push(10).op(op::ADD).store(1)), 0);
    scene.slot(A, 0, 50);
    let account = sender(1);
    scene.slot(account, 0, 7).slot(account, 5, 5);
    let nonce_one = scene.state.account(&account).expect("funded").clone().with_nonce(1);
    scene.state.insert_account(account, nonce_one);
    scene.send(0, Tx::to(X).authorize(1, A, 1)).send(2, Tx::to(account));
    scene.send(3, Tx::to(X).authorize(1, B, 2)).send(4, Tx::to(account));
    scene.send(5, Tx::to(X).authorize(1, Address::ZERO, 3)).send(6, Tx::to(account));
    let post = scene.run();
    let slots = [0, 1, 5].map(|slot| post.slot(account, slot));
    assert_eq!(slots, [8, 18, 5].map(U256::from));
}

#[test]
fn grevm_pull_97_what_a_lost_execution_wrote_is_withdrawn() {
    // With data: where slot 0 is zero, writes slot 5, pays X and deploys.
    let set = part(|code| code.count(0));
    let act = part(|code| {
        code.load(0).op(op::ISZERO).store(5);
        code.push(0).push(0).push(0).push(0).load(0).op(op::ISZERO).address(X).op(op::GAS);
        code.op(op::CALL).store(6)
    });
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.if_data(&set, &act)), 10);
    scene.contract(B, asm(|code| code.call(A, 0)), 0);
    let look = asm(|code| code.address(X).op(op::BALANCE).push(1).op(op::ADD).store(0));
    scene.contract(C, look, 0);
    scene.send(0, Tx::to(B)).send(1, Tx::to(A).arg(1)).send(2, Tx::to(C));
    let post = scene.run();
    assert_eq!([5, 6].map(|slot| post.slot(A, slot)), [U256::ZERO, U256::ONE]);
    assert!(!post.exists(X), "the payment was of a run that never was");
    assert_eq!(post.slot(C, 0), U256::ONE);
}

#[test]
fn grevm_pull_97_nothing_is_committed_after_a_failure() {
    let mut scene = Scene::new(Fork::Shanghai);
    for at in 0..8 {
        scene.send(at, if at == 4 { Tx::to(X).nonce(1) } else { Tx::to(X).value(1) });
    }
    assert_eq!(scene.refused().0, Some(4));
    for threads in THREADS {
        let engine = Engine::new(Options { threads, forced: true, ..Options::default() });
        let mut steps = Vec::new();
        let mut hook = |commit: braid_core::engine::Commit<'_>| steps.push(commit.step);
        let (limits, state) = (Limits::default(), &scene.state);
        let outcome =
            engine.execute_streaming(&scene.chain, &scene.block, state, &limits, &mut hook);
        assert!(matches!(outcome, Err(ExecuteError::Invalid(_))), "{outcome:?}");
        steps.retain(|step| *step != Step::PreBlock);
        assert_eq!(steps, [0, 1, 2, 3].map(Step::Transaction), "{threads} threads");
    }
}

#[test]
fn gravity_reth_345_a_sender_that_authorises_itself_raises_its_nonce_by_more_than_one() {
    let mut scene = Scene::new(Fork::Prague);
    scene.contract(A, asm(|code| code.count(0)), 0);
    scene.contract(B, asm(|code| code.count(1)), 0);
    scene.send(0, Tx::to(X));
    scene.send(1, Tx::to(sender(1)).authorize(1, A, 1));
    scene.send(1, Tx::to(sender(1)).nonce(2).authorize(1, A, 3).authorize(1, B, 4));
    scene.send(1, Tx::to(X).nonce(5).value(1));
    let post = scene.run();
    assert_eq!((post.nonce(sender(1)), post.balance(X)), (6, 1));
    assert_eq!([0, 1].map(|slot| post.slot(sender(1), slot)), [U256::ONE; 2]);
}

#[test]
fn grevm_45_a_destruction_does_not_end_speculation() {
    let init = init_code(&asm(|code| code.address(X).op(op::SELFDESTRUCT)));
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, factory(), 0);
    scene.send(0, Tx::to(A).data(init.clone())).send(1, Tx::to(made(&init)).value(1));
    for from in 2..8 {
        scene.send(from, Tx::to(Address::repeat_byte(0x90 + from)).value(1));
    }
    assert_eq!(scene.run().balance(X), 1);
    for threads in THREADS {
        let statistics = scene.overtaken(threads).statistics;
        assert!(!statistics.fell_back && statistics.executions >= 8, "{statistics:?}");
    }
}

#[test]
fn grevm_105_destruction_creation_and_delegation_of_one_address_in_one_block() {
    let runtime = asm(|code| code.count(0).address(X).op(op::SELFDESTRUCT));
    let init = init_code(&runtime);
    let made = made(&init);
    let mut scene = Scene::new(Fork::Prague);
    // Made and destroyed in one transaction, called through a delegation before and after.
    scene.contract(
        B,
        asm(|code| {
            code.push(0).data_to_memory().push(0).push(0).op(op::CREATE2).op(op::POP);
            code.call(made, 0).store(7)
        }),
        0,
    );
    scene.contract(A, factory(), 0);
    scene.send(0, Tx::to(X).authorize(1, made, 0)).send(2, Tx::to(sender(1)));
    scene.send(3, Tx::to(A).data(init.clone())).send(4, Tx::to(sender(1)).value(0));
    scene.send(5, Tx::to(made)).send(6, Tx::to(A).data(init)).send(7, Tx::to(sender(1)));
    let post = scene.run();
    // The first call runs no code, the other two count; neither destroys (EIP-6780).
    assert_eq!(post.slot(sender(1), 0), U256::from(2));
    assert_eq!(post.slot(made, 0), U256::ONE);
    assert_eq!(post.made_for(A, 6), Address::ZERO, "it is still there");
    assert_eq!(post.balance(sender(1)), 0, "the balance moved to X");
}

#[test]
fn bor_2270_code_and_code_hash_are_of_one_version() {
    let probe = asm(|code| {
        let account = sender(1);
        code.push(23).push(0).push(0).address(account).op(op::EXTCODECOPY);
        code.push(23).push(0).op(op::KECCAK256).address(account).op(op::EXTCODEHASH).op(op::EQ);
        code.store_at_arg()
    });
    let mut scene = Scene::new(Fork::Prague);
    scene.contract(A, vec![op::STOP], 0).contract(B, vec![op::STOP], 0).contract(C, probe, 0);
    for round in 0..8 {
        let target = if round % 2 == 0 { A } else { B };
        scene.send(2 + round % 3, Tx::to(X).authorize(1, target, round.into()));
        scene.send(5 + round % 3, Tx::to(C).arg(round.into()));
    }
    let post = scene.run();
    assert!((0..8).all(|slot| post.slot(C, slot) == U256::ONE), "a torn read");
}

#[test]
fn bor_2210_a_destruction_is_withdrawn_with_its_execution() {
    // With data: destroys itself where slot 0 is zero, else counts.
    let set = part(|code| code.count(0));
    let mut act = part(|code| code.load(0));
    let target = 4 + set.0.len() + 2 + act.0.len() + 3 + 22;
    act.push(target as u8).op(op::JUMPI).address(X).op(op::SELFDESTRUCT).op(op::JUMPDEST);
    act.count(1);
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.if_data(&set, &act)), 6).slot(A, 3, 3);
    scene.contract(B, asm(|code| code.call(A, 0)), 0);
    scene.send(0, Tx::to(B)).send(1, Tx::to(A).arg(1)).send(2, Tx::to(A).arg(1));
    let post = scene.run();
    assert_eq!([0, 1, 3].map(|slot| post.slot(A, slot)), [1, 2, 3].map(U256::from));
    assert!(!post.exists(X) && post.balance(A) == 6);
    let mut alone = scene.clone();
    alone.block.transactions.remove(0);
    assert_eq!(alone.run().balance(X), 6, "without the first one it is destroyed");
}

#[test]
fn bor_2268_a_balance_in_a_log_after_a_destruction() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.address(X).op(op::SELFDESTRUCT)), 9);
    scene.contract(
        B,
        asm(|code| {
            code.address(A).op(op::BALANCE).push(0).op(op::MSTORE).push(32).push(0).op(op::LOG0)
        }),
        0,
    );
    // Paid after its destruction, and paid once more; each log tells what there is.
    scene.send(0, Tx::to(B)).send(1, Tx::to(A)).send(2, Tx::to(B)).send(3, Tx::to(A).value(7));
    scene.send(4, Tx::to(B)).send(5, Tx::to(A).value(1)).send(6, Tx::to(B));
    let post = scene.run();
    let logged = post.outcome.receipts.iter().flat_map(|receipt| &receipt.logs);
    let logged: Vec<u64> = logged.map(|log| U256::from_be_slice(&log.data.data).to()).collect();
    assert_eq!(logged, [9, 0, 7, 8]);
}

#[test]
fn erigon_21136_a_destroyed_account_is_touched_again_before_eip_161() {
    let mut scene = Scene::new(Fork::Homestead);
    scene.contract(A, asm(|code| code.address(X).op(op::SELFDESTRUCT)), 9);
    scene.contract(B, asm(|code| code.call_with_little(A, 0)), 0);
    scene.send(0, Tx::to(A)).send(1, Tx::to(B)).send(2, Tx::to(B));
    let post = scene.run();
    let gas = post.gas();
    assert_eq!(gas[1] - gas[2], 25_000, "the second call finds the empty account");
    assert!(post.exists(A) && post.balance(A) == 0 && post.nonce(A) == 0);
}

#[test]
fn erigon_21136_a_payment_to_a_destroyed_account_pays_for_a_new_one() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.address(X).op(op::SELFDESTRUCT)), 9);
    scene.contract(B, asm(|code| code.call(A, 1)), 9);
    scene.send(0, Tx::to(A)).send(1, Tx::to(B)).send(2, Tx::to(B));
    let post = scene.run();
    let gas = post.gas();
    assert_eq!(gas[1] - gas[2], 25_000);
    assert_eq!(post.balance(A), 2);
}

#[test]
fn erigon_23967_a_beneficiary_destroyed_on_amsterdam_keeps_its_balance() {
    // EIP-8246. It pays itself, so that the old rule would burn all of it.
    let init = asm(|code| code.op(op::ADDRESS).op(op::SELFDESTRUCT));
    let mut scene = Scene::new(Fork::Amsterdam);
    scene.contract(A, factory(), 0);
    scene.block.header.beneficiary = made(&init);
    scene.send(0, Tx::to(X).value(1)).send(1, Tx::to(A).data(init.clone()));
    scene.send(2, Tx::to(X).value(1));
    let post = scene.run();
    assert_eq!(post.balance(made(&init)), post.rewards(0..3));
}

#[test]
fn op_geth_225_a_serial_block_falls_back_and_stays_right() {
    // Each goes by another contract, so that the schedule cannot tell them by their target.
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.count(0)), 0);
    for index in 0..48 {
        let proxy = Address::repeat_byte(100 + index);
        scene.contract(proxy, asm(|code| code.call(A, 0)), 0);
        scene.send(index % 8, Tx::to(proxy));
    }
    let post = scene.run();
    assert_eq!(post.slot(A, 0), U256::from(48));
    let stock = post.outcome.state.to_flat();
    for switches in [Optimisations::ALL, Optimisations::NONE] {
        let fell_back = (0..200).any(|_| {
            let late = Troubled::new(
                &scene.state,
                (0..48)
                    .map(|index| Location::Account(Address::repeat_byte(100 + index)))
                    .map(|place| (place, Trouble::Delay))
                    .collect(),
            );
            let outcome = scene.engine(8, switches, &late).expect("a valid block");
            assert_eq!(outcome.state.to_flat(), stock);
            outcome.statistics.fell_back
        });
        assert!(fell_back, "{switches:?}: no run of 200 fell back");
    }
}

#[test]
fn sei_1430_receipts_of_contended_transactions_are_those_of_sequential_execution() {
    // Takes one from the pot while there is any, else fails.
    let mut scene = Scene::new(Fork::Shanghai);
    let take = asm(|code| {
        code.load(0).op(op::ISZERO);
        let target = code.0.len() as u8 + 3 + 9;
        code.push(target).op(op::JUMPI).push(1).load(0).op(op::SUB).store(0);
        code.op(op::STOP);
        while code.0.len() < target as usize {
            code.op(op::STOP);
        }
        code.op(op::JUMPDEST).push(0).push(0).op(op::REVERT)
    });
    scene.contract(A, take, 0).slot(A, 0, 10);
    for index in 0..24 {
        scene.send(index % 8, Tx::to(A));
    }
    let successes = scene.run().successes();
    assert_eq!(successes, [[true; 10].as_slice(), &[false; 14]].concat());
}
