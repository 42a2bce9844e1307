//! What simulated blocks of known costs take.

use super::*;
use alloy_consensus::{SignableTransaction, TxLegacy, transaction::Recovered};
use alloy_primitives::{Address, Signature};

/// Calls with data of separate senders to separate contracts, with these gas limits.
fn block(limits: &[u64]) -> Block {
    let transactions = limits.iter().zip(1..).map(|(gas_limit, of)| {
        let (to, input) = (Address::repeat_byte(of).into(), vec![1].into());
        let tx = TxLegacy { to, input, gas_limit: *gas_limit, ..TxLegacy::default() };
        let signed = tx.into_signed(Signature::test_signature());
        Recovered::new_unchecked(signed.into(), Address::repeat_byte(of))
    });
    Block { transactions: transactions.collect(), ..Block::default() }
}

fn cost(run_ns: u64, after: &[usize]) -> Cost {
    Cost { run_ns, commit_ns: 0, gas_used: 50_000, after: after.to_vec(), shareable: vec![] }
}

fn simulate(block: &Block, costs: &[Cost], workers: usize) -> Simulated {
    let optimisations = Optimisations::ALL;
    Simulation { block, optimisations, engine: None, costs, wake_ns: 0 }.run(workers)
}

#[test]
fn independent_transactions_share_the_time() {
    let block = block(&[50_000; 12]);
    let costs = vec![cost(1_000_000, &[]); 12];
    for (workers, expected) in [(1, 12_000_000), (2, 6_000_000), (4, 3_000_000)] {
        let simulated = simulate(&block, &costs, workers);
        assert!(simulated.nanos >= expected, "{workers}: {simulated:?}");
        // Who finds nothing to do at the end looks once more before it leaves.
        assert!(simulated.nanos <= expected + 2 * NAP_NS, "{workers}: {simulated:?}");
        assert_eq!((simulated.executions, simulated.reexecutions), (12, 0), "{workers}");
        assert_eq!(bound(&costs, workers), expected);
    }
    assert_eq!(simulate(&block, &costs, 1).direct, 12);
}

#[test]
fn a_chain_takes_its_length_on_any_number_of_workers() {
    let block = block(&[50_000; 40]);
    let costs: Vec<Cost> =
        (0..40usize).map(|index| cost(100_000, index.checked_sub(1).as_slice())).collect();
    assert_eq!(bound(&costs, 64), 4_000_000);
    for workers in [1, 2, 8, 64] {
        let simulated = simulate(&block, &costs, workers);
        assert!(simulated.nanos >= 4_000_000, "{workers}: {simulated:?}");
        assert!(simulated.nanos <= 5_000_000, "{workers}: {simulated:?}");
        assert_eq!(simulated.executions, 40 + simulated.reexecutions, "{workers}");
        assert_eq!(simulated.fell_back, workers > 1, "{workers}");
    }
}

#[test]
fn a_long_transaction_starts_first_where_its_gas_limit_tells() {
    let mut limits = vec![50_000; 9];
    let mut costs = vec![cost(100_000, &[]); 9];
    costs.push(cost(900_000, &[]));
    limits.push(50_000);
    let late = simulate(&block(&limits), &costs, 2);
    limits[9] = 10_000_000;
    let early = simulate(&block(&limits), &costs, 2);
    assert!(late.nanos > 1_250_000, "{late:?}");
    assert!(early.nanos < 1_100_000, "{early:?}");
}

#[test]
fn a_run_that_begins_before_its_predecessor_ends_is_repeated() {
    let block = block(&[50_000; 4]);
    let costs = [cost(100, &[]), cost(100, &[0]), cost(500, &[]), cost(50, &[])];
    let simulated = simulate(&block, &costs, 2);
    assert_eq!((simulated.executions, simulated.reexecutions), (5, 1), "{simulated:?}");
    // The waiting is longer than everything else here.
    assert!(simulated.nanos < 700 + 3 * LOOK_NS, "{simulated:?}");
}

#[test]
fn a_stale_run_is_repeated_while_an_earlier_one_runs() {
    let block = block(&[50_000; 4]);
    // The third one begins before the second one ends, and both long before the first does.
    let costs = [cost(900_000, &[]), cost(100_000, &[]), cost(300_000, &[1]), cost(1, &[])];
    let without = Optimisations { revalidate: false, ..Optimisations::ALL };
    let [ahead, in_order] = [Optimisations::ALL, without].map(|optimisations| {
        let (block, costs) = (&block, &costs);
        Simulation { block, optimisations, engine: None, costs, wake_ns: 0 }.run(3)
    });
    assert_eq!((ahead.executions, ahead.reexecutions), (5, 1), "{ahead:?}");
    assert_eq!((in_order.executions, in_order.reexecutions), (5, 1), "{in_order:?}");
    assert!(ahead.nanos < 900_000 + 2 * NAP_NS, "{ahead:?}");
    assert!(in_order.nanos >= 1_200_000, "{in_order:?}");
}

#[test]
fn missing_costs_and_later_predecessors_do_no_harm() {
    let block = block(&[50_000; 3]);
    let simulated = simulate(&block, &[cost(100, &[2, 9])], 2);
    assert_eq!((simulated.executions, simulated.reexecutions), (3, 0), "{simulated:?}");
}

#[test]
fn an_empty_block_takes_no_time() {
    assert_eq!(simulate(&Block::default(), &[], 4), Simulated::default());
}

#[test]
fn who_has_nothing_to_do_takes_part_in_a_long_transaction() {
    let block = block(&[50_000; 2]);
    let last = |parts| if parts == 1 { 0 } else { 450_000 };
    let stretch = |parts| Shareable {
        start: 1_000_000,
        nanos: 1_810_000,
        parts,
        last: last(parts),
        short: false,
    };
    let costs = |parts| {
        let long = Cost { shareable: vec![stretch(parts)], ..cost(5_000_000, &[]) };
        [long, cost(10_000, &[])]
    };
    let without = Optimisations { shared_checks: false, ..Optimisations::ALL };
    let time = |parts, workers, optimisations| {
        let costs = &costs(parts);
        let block = &block;
        Simulation { block, optimisations, engine: None, costs, wake_ns: 0 }.run(workers).nanos
    };
    let all = Optimisations::ALL;
    for parts in [1, 4] {
        assert!(time(parts, 2, without) >= 5_000_000);
        // Alone there is nobody to share with.
        assert!(time(parts, 1, all) >= 5_010_000);
    }
    // Four parts take 340,000 each: two of them on each thread, then the rest.
    let shared = 5_000_000 - 2 * 340_000;
    let soon = |end: u64| end..end + 2 * NAP_NS;
    assert!(soon(shared).contains(&time(4, 2, all)), "{}", time(4, 2, all));
    assert!(soon(shared - 340_000).contains(&time(4, 8, all)), "{}", time(4, 8, all));
    // One part goes beside the rest, which takes longer.
    let beside = 5_000_000 - 1_810_000;
    assert!(soon(beside).contains(&time(1, 2, all)), "{}", time(1, 2, all));
}

#[test]
fn short_parts_are_taken_by_those_who_find_nothing_else() {
    let block = block(&[50_000; 3]);
    let stretch = |of: u64| Shareable {
        start: 100_000 + of * 70_000,
        nanos: 60_000,
        parts: 2,
        last: 4_000,
        short: true,
    };
    let long = Cost { shareable: (0..20).map(stretch).collect(), ..cost(1_500_000, &[]) };
    let time = |others| {
        let costs = &[long.clone(), cost(others, &[]), cost(others, &[])];
        let (block, optimisations) = (&block, Optimisations::ALL);
        Simulation { block, optimisations, engine: None, costs, wake_ns: 0 }.run(3).nanos
    };
    // Each takes 28,000 less, but for what it takes until somebody looks.
    let halved = 1_500_000 - 20 * 28_000;
    let soon = time(10_000);
    assert!((halved..halved + 20 * 2 * LOOK_NS).contains(&soon), "{soon}");
    assert!(time(2_000_000) >= 2_000_000, "the others are busy");
    let some = time(750_000);
    assert!(soon < some && some < 1_500_000, "{some}");
}
