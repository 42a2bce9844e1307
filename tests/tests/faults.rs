//! A source that errors or panics at its k-th read, limits, and invalid blocks: the result is the
//! typed error or the correct block, never a hang, and the next block is fine.

mod common;

use braid_core::{
    Block, Engine, ExecuteError, HostError, Options, OutputKind, SourceError, StateReader,
    StateSource,
    engine::{CancelToken, Limits},
    sequential::{execute_bare, execute_stock},
    source::{HookedReader, Location},
};
use braid_shadow::recorded::RecordedBlock;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// What happens at the chosen read.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Error,
    Panic,
    Stall,
}

/// Fails one read, counted over all readers.
struct Faulty<'a> {
    inner: &'a dyn StateSource,
    fault: Fault,
    at: u64,
    reads: AtomicU64,
    slow: bool,
}

impl<'a> Faulty<'a> {
    /// A slow source takes every block to all threads.
    fn new(inner: &'a dyn StateSource, fault: Fault, at: u64, slow: bool) -> Self {
        Self { inner, fault, at, reads: AtomicU64::new(0), slow }
    }
}

impl StateSource for Faulty<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(HookedReader::new(self.inner.reader()?, |location| self.count(location))))
    }

    fn is_slow(&self) -> bool {
        self.slow
    }
}

impl Faulty<'_> {
    fn count(&self, location: Location) -> Result<(), SourceError> {
        if self.reads.fetch_add(1, Ordering::Relaxed) != self.at {
            return Ok(());
        }
        match self.fault {
            Fault::Error => Err(SourceError::new(location, "planted")),
            Fault::Panic => panic!("planted"),
            Fault::Stall => {
                std::thread::sleep(Duration::from_millis(20));
                Ok(())
            }
        }
    }
}

fn record(number: u64) -> Option<RecordedBlock> {
    common::recorded_blocks("mainnet").into_iter().find(|record| record.number() == number)
}

fn engine(threads: usize) -> Engine {
    Engine::new(Options { threads, forced: true, ..Options::default() })
}

/// Every read of the block fails once, each in a run of its own.
fn fail_every_read(number: u64, fault: Fault, step: usize) {
    let Some(record) = record(number) else { return };
    let source = record.state.source();
    let stock = execute_stock(&record.chain, &record.block, source, OutputKind::Flat).unwrap();
    let engine = engine(3);
    let counting = Faulty::new(source, fault, u64::MAX, false);
    engine.execute(&record.chain, &record.block, &counting).unwrap();
    let reads = counting.reads.load(Ordering::Relaxed);
    let mut failures = 0;
    for at in (0..reads).step_by(step) {
        let faulty = Faulty::new(source, fault, at, at % 2 == 1);
        match engine.execute(&record.chain, &record.block, &faulty) {
            Ok(outcome) => {
                common::assert_same(&format!("{fault:?} at read {at}"), &stock, &outcome)
            }
            Err(ExecuteError::Host(HostError::Source(error))) => {
                assert_eq!(error.reason.to_string(), "planted");
                failures += 1;
            }
            Err(ExecuteError::Host(HostError::Panic { message, .. })) => {
                assert_eq!(message, "planted");
                failures += 1;
            }
            Err(error) => panic!("{fault:?} at read {at}: {error}"),
        }
        let next = engine.execute(&record.chain, &record.block, source).unwrap();
        common::assert_same("the block after a fault", &stock, &next);
    }
    println!("{number}: {reads} reads, every {step}th faulted, {failures} ended in a host error");
}

#[test]
fn an_error_at_every_read() {
    fail_every_read(2_688_148, Fault::Error, 1);
    fail_every_read(19_923_400, Fault::Error, 3);
}

#[test]
fn a_panic_at_every_read() {
    fail_every_read(2_688_148, Fault::Panic, 1);
    fail_every_read(19_923_400, Fault::Panic, 7);
}

#[test]
fn a_stall_at_some_reads() {
    fail_every_read(19_923_400, Fault::Stall, 23);
}

#[test]
fn each_location_is_read_once_whatever_the_threads() {
    let Some(record) = record(17_034_869) else { return };
    let source = record.state.source();
    let reads = |threads, slow| {
        let counting = Faulty::new(source, Fault::Error, u64::MAX, slow);
        let mut most = 0;
        for _ in 0..5 {
            counting.reads.store(0, Ordering::Relaxed);
            engine(threads).execute(&record.chain, &record.block, &counting).unwrap();
            most = most.max(counting.reads.load(Ordering::Relaxed));
        }
        most
    };
    // Speculation may look at a few places that in-order execution never visits; reading each
    // place once per thread would give a multiple.
    let one = reads(1, false);
    for slow in [false, true] {
        let eight = reads(8, slow);
        assert!(eight < one + one / 4, "{one} reads on one thread, {eight} on eight, {slow}");
    }
}

#[test]
fn limits_end_an_execution_with_a_host_error() {
    let Some(record) = record(17_034_869) else { return };
    let source = record.state.source();
    let engine = engine(2);
    let cancel = CancelToken::default();
    cancel.cancel();
    let limits = Limits { cancel: Some(cancel), deadline: None };
    let result = engine.execute_within(&record.chain, &record.block, source, &limits);
    assert!(matches!(result, Err(ExecuteError::Host(HostError::Cancelled))), "{result:?}");
    let limits = Limits { cancel: None, deadline: Some(Instant::now()) };
    let result = engine.execute_within(&record.chain, &record.block, source, &limits);
    assert!(matches!(result, Err(ExecuteError::Host(HostError::DeadlineExceeded))), "{result:?}");
    engine.execute(&record.chain, &record.block, source).unwrap();
}

/// Removes, repeats or moves one transaction, or lowers the block's gas limit.
fn damaged(block: &Block, index: usize) -> Vec<(&'static str, Block)> {
    let mut without = block.clone();
    without.transactions.remove(index);
    let mut twice = block.clone();
    let again = twice.transactions[index].clone();
    twice.transactions.insert(index, again);
    let mut moved = block.clone();
    let tx = moved.transactions.remove(index);
    moved.transactions.push(tx);
    let mut tight = block.clone();
    tight.header.gas_limit = tight.header.gas_used / 2;
    vec![("without", without), ("twice", twice), ("moved", moved), ("tight", tight)]
}

#[test]
fn an_invalid_block_fails_as_it_does_sequentially() {
    for number in [5_891_667, 12_300_570, 19_934_116] {
        let Some(record) = record(number) else { return };
        let source = record.state.source();
        let len = record.block.transactions.len();
        let engines = [1, 2, 4, 8].map(engine);
        for index in [0, 1, len / 2, len - 1] {
            for (what, block) in damaged(&record.block, index) {
                let text = |result: Result<braid_core::Outcome, ExecuteError>| match result {
                    Ok(outcome) => format!("{:?} {:?}", outcome.receipts, outcome.state),
                    Err(error) => error.to_string(),
                };
                let stock = execute_stock(&record.chain, &block, source, OutputKind::Flat);
                // A dropped transaction may leave the reads of the recorded pre-state.
                if matches!(stock, Err(ExecuteError::Host(_))) {
                    continue;
                }
                let stock = text(stock);
                let bare = execute_bare(&record.chain, &block, source, OutputKind::Flat);
                assert_eq!(stock, text(bare), "{number}, bare, {what} {index}");
                for engine in &engines {
                    let outcome = text(engine.execute(&record.chain, &block, source));
                    let threads = engine.options().threads;
                    assert_eq!(stock, outcome, "{number}, {threads} threads, {what} {index}");
                }
            }
        }
    }
}
