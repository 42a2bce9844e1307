//! Parts add up to the time of the threads.

use super::Parts;
use braid_core::trace::{Committed, Noting, Run, RunKind, RunOutcome, Trace};

fn run(transaction: usize, start: u64, end: u64) -> Run {
    let (kind, outcome) = (RunKind::Speculative, RunOutcome::Committed);
    Run { transaction, worker: 0, start, end, kind, outcome }
}

/// A transaction whose run was noted at `ran`, with each further moment ten later.
fn tx(ran: u64) -> Committed {
    let noting = Noting { ran, valid: ran + 10, commit: ran + 20, committed: ran + 40 };
    Committed { at: ran + 30, noting, ..Committed::default() }
}

fn trace() -> Trace {
    Trace {
        runs: vec![run(0, 100, 200), run(1, 260, 360)],
        transactions: vec![tx(205), tx(365)],
        nanos: 500,
        ..Trace::default()
    }
}

#[test]
fn parts_of_one_thread_follow_each_other() {
    let parts = Parts::new(&trace(), 1, 0);
    // From 100 to 405 there are two runs, and 5 + 10 + 10 of noting for each.
    let expected = Parts { run: 200, settle: Some(20), commit: 20, rest: 15, ends: 195 };
    assert_eq!(parts, expected);
    assert_eq!(parts.sum(), 500 - 2 * 25);
}

#[test]
fn reading_the_clock_belongs_to_no_part() {
    let parts = Parts::new(&trace(), 1, 2);
    assert_eq!((parts.run, parts.settle, parts.commit), (196, Some(16), 16));
    assert_eq!(parts.rest, 15 - 4, "one reading after each transaction");
}

#[test]
fn on_two_threads_the_rest_is_what_is_left_of_both() {
    let parts = Parts::new(&trace(), 2, 0);
    assert_eq!((parts.run, parts.settle, parts.commit), (200, None, 20));
    assert_eq!(parts.rest, 2 * 305 - 220 - 50);
}

#[test]
fn a_block_without_transactions_has_ends_only() {
    let trace = Trace { nanos: 70, ..Trace::default() };
    let expected = Parts { settle: Some(0), ends: 70, ..Parts::default() };
    assert_eq!(Parts::new(&trace, 1, 20), expected);
}
