//! What has become stale is executed once more ahead of its turn, by a worker that has nothing
//! else to do.
//!
//! The first transaction waits until the third one has been executed for the second time, which
//! can only be while it is not the head. The second one writes what the third has read, but only
//! when that one has read it.

mod common;

use alloy_hardforks::EthereumHardfork as Fork;
use alloy_primitives::{Address, U256};
use braid_core::{
    Engine, Optimisations, Options, Outcome, OutputKind, SourceError, StateReader, StateSource,
    engine::Limits,
    source::{HookedReader, Location},
    trace::{Location as Place, Part, RunKind, RunOutcome},
};
use common::{
    asm::{asm, part},
    scene::Scene,
    tx::Tx,
};
use revm::bytecode::opcode as op;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

const FIRST: Address = Address::repeat_byte(0xa1);
const STORE: Address = Address::repeat_byte(0xa2);
/// What the second transaction writes and the third reads.
const WRITTEN: u8 = 0;
/// What the third transaction reads, too early and in time.
const EARLY: u8 = 7;
const IN_TIME: u8 = 9;
/// What the first and the second one read before anything else.
const GATE: u8 = 5;

/// A state in which reads wait for each other.
struct Gates<'a> {
    inner: &'a dyn StateSource,
    early: AtomicUsize,
    in_time: AtomicUsize,
    /// So many of the reads in time panic.
    panics: usize,
}

impl<'a> Gates<'a> {
    fn new(inner: &'a dyn StateSource, panics: usize) -> Self {
        Self { inner, early: AtomicUsize::new(0), in_time: AtomicUsize::new(0), panics }
    }

    fn pass(&self, location: Location) -> Result<(), SourceError> {
        let slot = |address, slot: u8| Location::Storage(address, U256::from(slot));
        if location == slot(STORE, EARLY) {
            self.early.fetch_add(1, Ordering::SeqCst);
        } else if location == slot(STORE, IN_TIME) {
            let before = self.in_time.fetch_add(1, Ordering::SeqCst);
            assert!(before >= self.panics, "planted");
        } else if location == slot(STORE, GATE) {
            return wait(&self.early, location);
        } else if location == slot(FIRST, GATE) {
            return wait(&self.in_time, location);
        }
        Ok(())
    }
}

/// Waits until something was counted.
fn wait(counted: &AtomicUsize, location: Location) -> Result<(), SourceError> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while counted.load(Ordering::SeqCst) == 0 {
        if Instant::now() > deadline {
            return Err(SourceError::new(location, "waited in vain"));
        }
        std::thread::yield_now();
    }
    Ok(())
}

impl StateSource for Gates<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(HookedReader::new(self.inner.reader()?, |location| self.pass(location))))
    }
}

fn scene() -> Scene {
    let mut scene = Scene::new(Fork::Osaka);
    scene.contract(FIRST, asm(|code| code.load(GATE).store(1)), 0);
    let write = part(|code| code.load(GATE).op(op::POP).push(1).store(WRITTEN));
    let read = part(|code| {
        let place = code.load(WRITTEN).push(IN_TIME - EARLY).op(op::MUL).push(EARLY).op(op::ADD);
        place.op(op::SLOAD).store(20)
    });
    scene.contract(STORE, asm(|code| code.if_data(&read, &write)), 0);
    for (slot, value) in [(GATE, 3), (EARLY, 70), (IN_TIME, 90)] {
        scene.slot(STORE, slot.into(), value).slot(FIRST, slot.into(), value);
    }
    scene.send(0, Tx::to(FIRST).gas(200_000));
    scene.send(1, Tx::to(STORE).data(vec![1]).gas(200_000));
    scene.send(2, Tx::to(STORE).gas(200_000));
    scene
}

/// Revalidation alone, and with everything else.
fn engines() -> [Engine; 2] {
    let only = Optimisations { revalidate: true, ..Optimisations::NONE };
    [Optimisations::ALL, only].map(|optimisations| {
        Engine::new(Options { threads: 4, forced: true, optimisations, ..Options::default() })
    })
}

fn check(panics: usize, executions: u64) {
    let scene = scene();
    let stock = scene.stock(OutputKind::Flat);
    for engine in engines() {
        let what = format!("{:?}", engine.options());
        let gates = Gates::new(&scene.state, panics);
        let outcome = engine.execute(&scene.chain, &scene.block, &gates);
        common::scene::assert_same(&what, &stock, &outcome);
        let Outcome { statistics, .. } = outcome.unwrap();
        assert_eq!(statistics.executions, executions, "{what}: {statistics:?}");
        assert_eq!(statistics.reexecutions, executions - 3, "{what}: {statistics:?}");
    }
    assert_eq!(scene.run().slot(STORE, 20), U256::from(90));
}

#[test]
fn a_stale_record_is_replaced_while_the_head_runs() {
    check(0, 4);
}

#[test]
fn a_repeated_run_that_panics_is_repeated_in_order() {
    check(1, 5);
}

#[test]
fn a_trace_tells_what_made_a_run_stale_ahead_of_its_turn() {
    let scene = scene();
    for engine in engines() {
        let gates = Gates::new(&scene.state, 0);
        let limits = Limits::default();
        let (outcome, trace) =
            engine.execute_traced(&scene.chain, &scene.block, &gates, &limits).unwrap();
        assert_eq!(outcome.statistics.executions, 4);
        let runs: Vec<_> = trace.runs.iter().filter(|run| run.transaction == 2).collect();
        let location = Some(Place::new(STORE, Part::Slot(U256::from(WRITTEN))));
        assert_eq!(runs[0].outcome, RunOutcome::Stale { location, writer: Some(1) });
        assert_eq!(runs[1].outcome, RunOutcome::Committed);
        assert_eq!(runs[1].kind, RunKind::RepeatedAhead);
        assert_eq!(runs.len(), 2);
    }
}
