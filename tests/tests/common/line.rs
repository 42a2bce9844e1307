//! Consecutive blocks, and their run as a range.

use super::scene::{Scene, assert_same};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256};
use braid_core::{
    Block, Chain, Engine, ExecuteError, Optimisations, Options, Outcome, OutputKind, SourceError,
    StateReader, StateSource,
    engine::{Limits, RangeError},
    sequential::execute_stock,
    source::{HookedReader, Location, MemoryState},
};
use braid_shadow::recorded::joined_state;
use braid_workload::{Settings, generate};
use std::{
    ops::ControlFlow,
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Consecutive blocks and the state before the first.
#[derive(Debug, Clone)]
pub struct Line {
    pub chain: Chain,
    pub state: MemoryState,
    pub blocks: Vec<Block>,
}

/// Every kind of engine that a range may run on.
pub static ENGINES: LazyLock<Vec<Engine>> = LazyLock::new(|| {
    let mut engines = Vec::new();
    let few = Optimisations { pipelining: true, ..Optimisations::NONE };
    let off = Optimisations { pipelining: false, ..Optimisations::ALL };
    for output in [OutputKind::Flat, OutputKind::Bundle] {
        for (threads, forced, optimisations) in [
            (1, true, Optimisations::ALL),
            (2, true, Optimisations::ALL),
            (2, false, Optimisations::ALL),
            (2, true, off),
            (2, false, off),
            (4, true, few),
            (8, true, Optimisations::ALL),
        ] {
            engines.push(Engine::new(Options { threads, output, forced, optimisations }));
        }
    }
    engines
});

/// Whether the engine goes ahead of the current block.
pub fn pipelines(engine: &Engine) -> bool {
    engine.options().threads > 1 && engine.options().optimisations.pipelining
}

/// What a range gave: an outcome for each block that the caller saw, and how it ended.
pub type Ran = (Vec<Outcome>, Result<usize, RangeError>);

impl Line {
    /// Blocks of the workload.
    pub fn generated(settings: &Settings) -> Self {
        let records = generate(settings, &mut |_, _| {}).expect("a workload");
        let refs: Vec<_> = records.iter().collect();
        let state = joined_state(&refs).expect("records with pre-states");
        let chain = records[0].chain.clone();
        Self { chain, state, blocks: records.into_iter().map(|record| record.block).collect() }
    }

    /// Stock execution, block after block: the outcomes up to the first failure.
    pub fn sequential(&self, output: OutputKind) -> (Vec<Outcome>, Option<ExecuteError>) {
        let mut state = self.state.clone();
        let mut outcomes = Vec::new();
        for block in &self.blocks {
            match execute_stock(&self.chain, block, &state, output) {
                Ok(outcome) => {
                    state.apply(&outcome.state.to_flat());
                    let header = &block.header;
                    state.insert_block_hash(header.number, header.hash_slow());
                    outcomes.push(outcome);
                }
                Err(error) => return (outcomes, Some(error)),
            }
        }
        (outcomes, None)
    }

    pub fn run_within(&self, engine: &Engine, source: &dyn StateSource, limits: &Limits) -> Ran {
        let blocks: Vec<&Block> = self.blocks.iter().collect();
        let mut outcomes = Vec::new();
        let ended = engine.execute_range(&self.chain, &blocks, source, limits, |index, outcome| {
            assert_eq!(index, outcomes.len(), "in order");
            outcomes.push(outcome);
            ControlFlow::Continue(())
        });
        (outcomes, ended)
    }

    pub fn run(&self, engine: &Engine, source: &dyn StateSource) -> Ran {
        self.run_within(engine, source, &Limits::default())
    }

    /// Runs the range; panics where it differs from block after block. Gives the outcomes.
    pub fn compare(&self, what: &str, engine: &Engine, source: &dyn StateSource) -> Vec<Outcome> {
        let (expected, failure) = self.sequential(engine.options().output);
        self.compare_with(what, engine, source, &expected, failure)
    }

    pub fn compare_with(
        &self,
        what: &str,
        engine: &Engine,
        source: &dyn StateSource,
        expected: &[Outcome],
        failure: Option<ExecuteError>,
    ) -> Vec<Outcome> {
        let what = format!("{what}, {:?}", engine.options());
        let (outcomes, ended) = self.run(engine, source);
        for (index, (expected, outcome)) in expected.iter().zip(&outcomes).enumerate() {
            let what = format!("block {index}: {what}");
            super::assert_same(&what, expected, outcome);
            let (statistics, count) = (outcome.statistics, outcome.receipts.len() as u64);
            let first = statistics.executions - statistics.reexecutions;
            assert!(first <= count, "{what}: {statistics:?} of {count}");
        }
        assert_eq!(outcomes.len(), expected.len(), "{what}: {ended:?}");
        match (ended, failure) {
            (Ok(given), None) => assert_eq!(given, self.blocks.len()),
            (Err(RangeError::Block { index, error }), Some(failure)) => {
                assert_eq!(index, expected.len(), "{what}");
                assert_same(&what, &Err(failure), &Err(error));
            }
            (ended, failure) => panic!("{what}: {ended:?}, not {failure:?}"),
        }
        outcomes
    }
}

/// Blocks in the making, one after the other.
pub struct Story {
    pub scene: Scene,
    blocks: Vec<Block>,
}

/// Whoever reads this account is held up until somebody reads [`KEY`].
pub const HELD: Address = Address::repeat_byte(0x4e);
/// Read by the last transaction of the second block.
pub const KEY: Address = Address::repeat_byte(0x4b);

impl Story {
    pub fn new(scene: Scene) -> Self {
        Self { scene, blocks: Vec::new() }
    }

    /// Ends the block in the making and begins the next one.
    pub fn next(&mut self) {
        let block = &mut self.scene.block;
        let before = &block.header;
        let header = Header {
            number: before.number + 1,
            timestamp: before.timestamp + 1,
            parent_hash: before.hash_slow(),
            ..before.clone()
        };
        let next = Block { header, withdrawals: None, ..Block::default() };
        self.blocks.push(std::mem::replace(block, next));
    }

    pub fn line(mut self) -> Line {
        self.next();
        Line { chain: self.scene.chain, state: self.scene.state, blocks: self.blocks }
    }
}

/// Holds up the first block until the second one, which follows it, is under way.
pub struct Gate<'a> {
    inner: &'a dyn StateSource,
    open: AtomicBool,
    too_late: AtomicBool,
}

impl<'a> Gate<'a> {
    pub fn new(inner: &'a dyn StateSource) -> Self {
        Self { inner, open: AtomicBool::new(false), too_late: AtomicBool::new(false) }
    }

    /// Whether the second block was under way in time.
    pub fn worked(&self) -> bool {
        self.open.load(Ordering::Relaxed) && !self.too_late.load(Ordering::Relaxed)
    }

    fn pass(&self, location: Location) {
        if location == Location::Account(KEY) {
            self.open.store(true, Ordering::Relaxed);
        }
        if location != Location::Account(HELD) {
            return;
        }
        let start = Instant::now();
        while !self.open.load(Ordering::Relaxed) {
            if start.elapsed() > Duration::from_secs(20) {
                return self.too_late.store(true, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

impl StateSource for Gate<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(HookedReader::new(self.inner.reader()?, |location| {
            self.pass(location);
            Ok(())
        })))
    }
}

/// Settings of a short chain.
pub fn settings(blocks: usize, transactions: usize, contention: f64, seed: u64) -> Settings {
    Settings { blocks, transactions, contention, seed, ..Settings::default() }
}

/// A hash that no block has.
pub const NO_HASH: B256 = B256::repeat_byte(0x66);
