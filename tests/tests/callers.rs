//! Several callers of one engine: who needs its threads takes turns, who does not need not wait.

mod common;

use braid_core::{
    Engine, Options, Outcome, OutputKind, SourceError, StateReader, StateSource,
    sequential::execute_stock, source::MemoryState,
};
use braid_workload::Settings;
use common::line::Line;
use std::{
    sync::{Barrier, mpsc},
    thread,
    time::Duration,
};

/// A state whose first reader waits until the test goes on.
struct Stalled<'a> {
    state: &'a MemoryState,
    met: &'a Barrier,
    go_on: &'a Barrier,
    first: std::sync::Once,
}

impl StateSource for Stalled<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        self.first.call_once(|| {
            self.met.wait();
            self.go_on.wait();
        });
        self.state.reader()
    }
}

fn line(transactions: usize) -> Line {
    Line::generated(&Settings { blocks: 1, transactions, ..Settings::default() })
}

/// A block that has system calls and withdrawals, and no transactions.
fn empty() -> Line {
    let mut line = line(1);
    line.blocks[0].transactions.clear();
    line
}

fn stock(line: &Line, output: OutputKind) -> Outcome {
    execute_stock(&line.chain, &line.blocks[0], &line.state, output).unwrap()
}

/// What `other` comes to while the engine is at a block that stalls; it must not wait for that one.
fn beside_a_stalled_block<T: Send>(
    engine: &Engine,
    large: &Line,
    what: &str,
    other: impl FnOnce() -> T + Send,
) -> T {
    let (met, go_on) = (Barrier::new(2), Barrier::new(2));
    let first = std::sync::Once::new();
    let stalled = Stalled { state: &large.state, met: &met, go_on: &go_on, first };
    thread::scope(|scope| {
        let slow = scope.spawn(|| engine.execute(&large.chain, &large.blocks[0], &stalled));
        met.wait();
        let (done, result) = mpsc::channel();
        scope.spawn(move || done.send(other()).unwrap());
        let result = result.recv_timeout(Duration::from_secs(60));
        go_on.wait();
        let result = result.unwrap_or_else(|_| panic!("{what} waits for the large block"));
        let outcome = slow.join().unwrap().unwrap();
        common::assert_same("large", &stock(large, OutputKind::Flat), &outcome);
        result
    })
}

#[test]
fn a_small_block_does_not_wait_for_a_stalled_large_one() {
    let large = line(400);
    for (name, small) in [("one transaction", line(1)), ("no transaction", empty())] {
        let engine = Engine::new(Options { threads: 2, ..Options::default() });
        let outcome = beside_a_stalled_block(&engine, &large, name, || {
            engine.execute(&small.chain, &small.blocks[0], &small.state)
        });
        common::assert_same(name, &stock(&small, OutputKind::Flat), &outcome.unwrap());
    }
}

#[test]
fn roots_do_not_wait_for_a_stalled_block() {
    let large = line(400);
    let engine = Engine::new(Options { threads: 2, ..Options::default() });
    let done = stock(&large, OutputKind::Flat);
    let roots = beside_a_stalled_block(&engine, &large, "a receipts root", || {
        engine.receipts_root_and_bloom(&done)
    });
    assert_eq!(roots, (done.receipts_root(), done.logs_bloom()));
}

#[test]
fn a_block_without_transactions_gives_the_same_whichever_way_it_takes() {
    let (empty, large) = (empty(), line(400));
    for output in [OutputKind::Flat, OutputKind::Bundle] {
        let expected = stock(&empty, output);
        for (threads, forced) in [(1, false), (1, true), (2, false), (2, true), (4, false)] {
            let engine = Engine::new(Options { threads, forced, output, ..Options::default() });
            for line in [&empty, &large, &empty] {
                let outcome = engine.execute(&line.chain, &line.blocks[0], &line.state).unwrap();
                if std::ptr::eq(line, &empty) {
                    let what = format!("{output:?}, {threads} threads, forced: {forced}");
                    common::assert_same(&what, &expected, &outcome);
                    assert_eq!(outcome.statistics.executions, 0);
                }
            }
        }
    }
}
