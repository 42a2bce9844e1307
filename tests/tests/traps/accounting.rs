//! Traps 30 to 36, 47, 49, 51 and 52: gas, receipts, blobs, block hashes, access lists.

use super::{
    A, B, C, X,
    common::{
        asm::{asm, part},
        scene::{BASE_FEE, Scene},
        tx::{PRICE, Tx, sender},
    },
};
use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_hardforks::EthereumHardfork as Fork;
use alloy_primitives::{Address, B256, U256, address, keccak256};
use braid_core::{Engine, Options};
use revm::bytecode::opcode as op;

#[test]
fn t30_gas_is_admitted_by_what_earlier_transactions_used() {
    let mut scene = Scene::new(Fork::Shanghai);
    for from in 0..3 {
        scene.send(from, Tx::to(X).gas(100_000));
    }
    scene.block.header.gas_limit = 2 * 21_000 + 100_000;
    assert_eq!(scene.run().outcome.gas_used, 63_000);
    scene.block.header.gas_limit -= 1;
    let (index, error) = scene.refused();
    assert_eq!(index, Some(2));
    assert!(error.contains("gas limit 100000 is more than blocks available gas 99999"), "{error}");
}

#[test]
fn t30_a_transaction_that_uses_more_in_order_than_ahead_leaves_no_room() {
    // With data: burns all gas where slot 0 is set.
    let set = part(|code| code.count(0));
    let burn = part(|code| code.load(0).push(0).op(op::MSTORE8).load(0).op(op::JUMP));
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.if_data(&set, &burn)), 0);
    scene.contract(B, asm(|code| code.call(A, 0)), 0);
    scene.send(0, Tx::to(B)).send(1, Tx::to(A).arg(1)).send(2, Tx::to(X).gas(21_000));
    let used: u64 = scene.run().gas()[..2].iter().sum();
    scene.block.header.gas_limit = used + 20_999;
    let (index, error) = scene.refused();
    assert_eq!(index, Some(2));
    assert!(error.contains("available gas 20999"), "{error}");
}

#[test]
fn t30_on_amsterdam_the_block_uses_the_larger_of_regular_and_state_gas() {
    // EIP-8037.
    let mut scene = Scene::new(Fork::Amsterdam);
    scene.contract(A, asm(|code| code.push(1).store_at_arg()), 0);
    for index in 0..4 {
        scene.send(index, Tx::to(A).arg(index.into()));
    }
    let post = scene.run();
    assert_eq!(post.successes(), [true; 4]);
    let receipts: u64 = post.gas().iter().sum();
    assert!(post.outcome.gas_used < receipts, "{} of {receipts}", post.outcome.gas_used);
}

#[test]
fn t31_cumulative_gas_and_logs_follow_the_order_of_the_block() {
    let mut scene = Scene::new(Fork::Shanghai);
    let log = part(|code| code.arg(0).push(0).op(op::MSTORE).push(32).push(0).op(op::LOG0));
    let mut reverting = log.clone();
    reverting.push(0).push(0).op(op::REVERT);
    scene.contract(A, log.build(), 0).contract(B, reverting.build(), 0);
    for index in 0..6 {
        scene.send(index, Tx::to(if index == 3 { B } else { A }).arg(index.into()));
    }
    let post = scene.run();
    let receipts = &post.outcome.receipts;
    assert!(receipts.windows(2).all(|two| two[0].cumulative_gas_used < two[1].cumulative_gas_used));
    assert_eq!(receipts.last().map(|last| last.cumulative_gas_used), Some(post.outcome.gas_used));
    let logs: Vec<u64> = receipts
        .iter()
        .flat_map(|receipt| &receipt.logs)
        .map(|log| U256::from_be_slice(&log.data.data).to())
        .collect();
    assert_eq!(logs, [0, 1, 2, 4, 5]);
}

#[test]
fn t32_the_floor_of_calldata_gas_holds() {
    // EIP-7623: 10 gas a token, four tokens a byte that is not zero.
    let mut scene = Scene::new(Fork::Prague);
    scene.send(0, Tx::to(X)).send(1, Tx::to(X).data(vec![1; 1000]));
    assert_eq!(scene.run().gas(), [21_000, 21_000 + 10 * 4 * 1000]);
    scene.send(2, Tx::to(X).data(vec![1; 1000]).gas(60_999));
    let (index, error) = scene.refused();
    assert_eq!(index, Some(2));
    assert!(error.contains("gas floor"), "{error}");
}

#[test]
fn t32_the_cap_of_a_transactions_gas_holds_from_osaka_on() {
    // EIP-7825.
    let cap = 1 << 24;
    for (fork, refused) in [(Fork::Prague, false), (Fork::Osaka, true)] {
        let mut scene = Scene::new(fork);
        scene.send(0, Tx::to(X).gas(cap)).send(1, Tx::to(X).gas(cap + 1).price(7));
        scene.block.header.gas_limit = 60_000_000;
        if refused {
            let (index, error) = scene.refused();
            assert_eq!(index, Some(1));
            assert!(error.contains("16777217"), "{error}");
        } else {
            assert_eq!(scene.run().outcome.gas_used, 42_000);
        }
    }
}

#[test]
fn t32_init_code_of_more_than_two_codes_is_refused_at_its_index() {
    // EIP-3860.
    let mut scene = Scene::new(Fork::Shanghai);
    let create = |bytes| Tx::create(vec![0; bytes]).gas(2_000_000);
    scene.send(0, Tx::to(X)).send(1, create(49_152)).send(2, create(49_153));
    let (index, error) = scene.refused();
    assert_eq!(index, Some(2));
    assert!(error.contains("initcode"), "{error}");
}

#[test]
fn t33_blob_fees_are_burned_and_part_of_the_funds_check() {
    let blob_fee = 2 * DATA_GAS_PER_BLOB;
    let needed = 21_000 * PRICE as u64 + blob_fee + 1;
    let scene = |funds| {
        let mut scene = Scene::new(Fork::Cancun);
        scene.send(0, Tx::to(sender(8)).value(funds)).send(1, Tx::to(X).blobs(3));
        scene.send(8, Tx::to(X).gas(21_000).value(1).fees(PRICE, 0).blobs(2));
        scene
    };
    let post = scene(needed).run();
    assert_eq!(post.outcome.blob_gas_used, 5 * DATA_GAS_PER_BLOB);
    assert_eq!(post.balance(sender(8)), 21_000 * (PRICE - BASE_FEE) as u64);
    let (index, error) = scene(needed - 1).refused();
    assert_eq!(index, Some(2));
    assert!(error.contains("lack of funds"), "{error}");
}

#[test]
fn t33_too_many_blobs_are_refused_at_their_index() {
    let mut scene = Scene::new(Fork::Cancun);
    scene.send(0, Tx::to(X).blobs(6)).send(1, Tx::to(X).blobs(7));
    let (index, error) = scene.refused();
    assert_eq!(index, Some(1));
    assert!(error.contains("blob"), "{error}");
}

#[test]
fn t34_block_hashes_are_constants() {
    let mut scene = Scene::new(Fork::Prague);
    scene.block.header.number = 10;
    scene.state.insert_block_hash(9, B256::repeat_byte(9));
    scene.state.insert_block_hash(7, B256::repeat_byte(7));
    scene.contract(A, asm(|code| code.arg(0).op(op::BLOCKHASH).store_at_arg()), 0);
    for (from, number) in [9, 7, 10, 11, 9].into_iter().enumerate() {
        scene.send(from as u8, Tx::to(A).arg(number));
    }
    let post = scene.run();
    let hashes = [9, 7, 10, 11].map(|number| post.slot(A, number));
    let word = |byte: u8| U256::from_be_bytes([byte; 32]);
    assert_eq!(hashes, [word(9), word(7), U256::ZERO, U256::ZERO]);
}

#[test]
fn t35_the_gas_of_a_write_depends_on_the_value_before_the_transaction() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(A, asm(|code| code.arg(0).store(0)), 0);
    // Writes without a look: each one's gas depends on the one before.
    for (from, value) in [1, 2, 2, 0, 0, 3].into_iter().enumerate() {
        scene.send(from as u8, Tx::to(A).arg(value));
    }
    let post = scene.run();
    let gas = post.gas();
    // EIP-2929 and 2200, a cold slot: 22,100 to set, 5,000 to change, 2,200 to leave.
    assert_eq!(gas[0] - gas[2], 22_100 - 2200);
    assert_eq!(gas[1] - gas[2], 5000 - 2200);
    // EIP-3529: 4,800 back for clearing; a zero byte of data is 12 cheaper.
    assert_eq!(gas[3], gas[1] - 12 - 4800);
    assert_eq!(gas[4], gas[2] - 12);
    assert_eq!(gas[5], gas[0], "set once more");
    assert_eq!(post.slot(A, 0), U256::from(3));
}

#[test]
fn t36_transient_storage_and_warm_slots_end_with_the_transaction() {
    let mut scene = Scene::new(Fork::Cancun);
    scene.contract(
        A,
        asm(|code| {
            code.push(0).op(op::TLOAD).push(1).op(op::ADD).store_at_arg();
            code.push(5).push(0).op(op::TSTORE).load(9).op(op::POP)
        }),
        0,
    );
    for from in 0..6 {
        scene.send(from, Tx::to(A).arg(1 + u64::from(from)));
    }
    let post = scene.run();
    for slot in 1..=6 {
        assert_eq!(post.slot(A, slot), U256::ONE, "slot {slot}");
    }
    assert_eq!(post.gas(), [post.gas()[0]; 6], "every transaction pays for a cold slot");
}

#[test]
fn t47_the_error_of_gas_admission_comes_before_the_transactions_own() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.block.header.gas_limit = 100_000;
    scene.send(0, Tx::to(X)).block.transactions.clear();
    scene.send(0, Tx::to(X).nonce(0).gas(50_000)).send(0, Tx::to(X).nonce(7).gas(90_000));
    let (index, error) = scene.refused();
    assert_eq!(index, Some(1));
    assert!(error.contains("available gas 79000"), "{error}");
}

#[test]
fn t49_blocks_too_small_to_gain_run_on_the_callers_thread() {
    let engine = Engine::new(Options { threads: 4, ..Options::default() });
    for count in [0, 1, 3] {
        let mut scene = Scene::new(Fork::Shanghai);
        for _ in 0..count {
            scene.send(0, Tx::to(X).value(1));
        }
        scene.run();
        let outcome = engine.execute(&scene.chain, &scene.block, &scene.state).expect("valid");
        let statistics = outcome.statistics;
        assert_eq!((statistics.workers, statistics.executions), (1, count));
        let stock = scene.stock(engine.options().output).expect("valid");
        super::common::assert_same("inline", &stock, &outcome);
    }
}

#[test]
fn t49_a_block_of_one_sender_is_executed_once() {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.fund(C, 1);
    for _ in 0..40 {
        scene.send(0, Tx::to(C).value(1));
    }
    assert_eq!(scene.run().balance(C), 41);
    let statistics = scene.overtaken(4).statistics;
    assert_eq!((statistics.executions, statistics.reexecutions), (40, 0), "{statistics:?}");
}

#[test]
fn t51_the_access_list_holds_the_accesses_of_in_order_execution_only() {
    // With data: looks at X while slot 0 is zero, else at address zero.
    let set = part(|code| code.count(0));
    let look =
        part(|code| code.load(0).op(op::ISZERO).address(X).op(op::MUL).op(op::BALANCE).op(op::POP));
    let mut scene = Scene::new(Fork::Amsterdam);
    scene.contract(A, asm(|code| code.if_data(&set, &look)), 0);
    scene.contract(B, asm(|code| code.call(A, 0)), 0);
    scene.send(0, Tx::to(B)).send(1, Tx::to(A).arg(1)).send(2, Tx::to(A).arg(2));
    let post = scene.run();
    let list = post.outcome.access_list.expect("an access list");
    let has = |address: Address| list.iter().any(|account| account.address == address);
    assert!(!has(X), "only who runs too early looks there");
    assert!(has(Address::ZERO) && has(A) && has(B));
    assert!(list.windows(2).all(|two| two[0].address < two[1].address), "sorted");
}

#[test]
fn t51_an_account_that_is_only_loaded_brings_no_older_balance_into_the_access_list() {
    // The second transaction only looks at the code of whom the first one pays. Executed before it,
    // it has an older balance of that account, on which it does not depend.
    let mut scene = Scene::new(Fork::Amsterdam);
    scene.contract(A, vec![op::STOP], 3);
    scene.contract(B, asm(|code| code.address(A).op(op::EXTCODESIZE).store(0)), 0);
    scene.send(0, Tx::to(A).value(5)).send(1, Tx::to(B));
    scene.late = vec![sender(0)];
    let list = scene.run().outcome.access_list.expect("an access list");
    let paid = list.iter().find(|account| account.address == A).expect("loaded");
    let changes = paid.balance_changes.iter();
    let balances: Vec<_> = changes.map(|c| (c.block_access_index.get(), c.post_balance)).collect();
    assert_eq!(balances, [(1, U256::from(8))]);
}

#[test]
fn t52_plain_payments_leave_a_log_on_amsterdam() {
    // EIP-7708.
    let mut scene = Scene::new(Fork::Amsterdam);
    scene.contract(A, asm(|code| code.call(C, 2)), 10);
    scene.send(0, Tx::to(X).value(5)).send(1, Tx::to(X)).send(2, Tx::to(A).value(1));
    let post = scene.run();
    let logs: Vec<usize> = post.outcome.receipts.iter().map(|receipt| receipt.logs.len()).collect();
    assert_eq!(logs, [1, 0, 2]);
    let log = &post.outcome.receipts[0].logs[0];
    assert_eq!(log.address, address!("fffffffffffffffffffffffffffffffffffffffe"));
    let topics =
        [keccak256("Transfer(address,address,uint256)"), sender(0).into_word(), X.into_word()];
    assert_eq!(log.topics(), topics);
    assert_eq!(U256::from_be_slice(&log.data.data), U256::from(5));
}
