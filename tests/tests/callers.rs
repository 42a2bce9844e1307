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

#[test]
fn a_small_block_does_not_wait_for_a_stalled_large_one() {
    let large = line(400);
    for (name, small) in [("one transaction", line(1)), ("no transaction", empty())] {
        let engine = Engine::new(Options { threads: 2, ..Options::default() });
        let (met, go_on) = (Barrier::new(2), Barrier::new(2));
        let first = std::sync::Once::new();
        let stalled = Stalled { state: &large.state, met: &met, go_on: &go_on, first };
        thread::scope(|scope| {
            let slow = scope.spawn(|| engine.execute(&large.chain, &large.blocks[0], &stalled));
            met.wait();
            let (done, outcome) = mpsc::channel();
            let (engine, of_small) = (&engine, &small);
            scope.spawn(move || {
                let block = &of_small.blocks[0];
                done.send(engine.execute(&of_small.chain, block, &of_small.state)).unwrap();
            });
            let outcome = outcome.recv_timeout(Duration::from_secs(60));
            go_on.wait();
            let outcome = outcome.expect("the small block waits for the large one").unwrap();
            common::assert_same(name, &stock(&small, OutputKind::Flat), &outcome);
            let outcome = slow.join().unwrap().unwrap();
            common::assert_same("large", &stock(&large, OutputKind::Flat), &outcome);
        });
    }
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
