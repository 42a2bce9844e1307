//! Block access lists (EIP-7928): produced on every way through the engine, given to it right and
//! wrong. A right list makes every transaction run once; no list ever changes an outcome.

#[path = "../common/mod.rs"]
mod common;

mod ahead;
mod produced;
mod right;
mod wrong;

use alloy_eips::eip7928::BlockAccessList;
use braid_core::{
    AccessListCheck, Block, Chain, Engine, Optimisations, Options, Outcome, OutputKind,
    StateSource, engine::Limits, sequential::execute_stock_with_access_list,
};
use braid_shadow::recorded::RecordedBlock;
use braid_workload::{Settings, generate};
use std::sync::LazyLock;

const THREADS: [usize; 4] = [1, 2, 4, 8];

fn engine(threads: usize, output: OutputKind, optimisations: Optimisations) -> Engine {
    Engine::new(Options { threads, output, forced: true, optimisations })
}

/// Forced engines of every number of threads; two more with other options.
static FORCED: LazyLock<Vec<Engine>> = LazyLock::new(|| {
    let mut engines: Vec<_> = THREADS
        .into_iter()
        .map(|threads| engine(threads, OutputKind::Flat, Optimisations::ALL))
        .collect();
    engines.push(engine(4, OutputKind::Flat, Optimisations::NONE));
    engines.push(engine(4, OutputKind::Bundle, Optimisations::ALL));
    engines
});

/// A block with what stock execution makes of it, list included, in both outputs.
struct Known<'a> {
    what: String,
    chain: &'a Chain,
    block: &'a Block,
    source: &'a dyn StateSource,
    stock: [Outcome; 2],
}

impl<'a> Known<'a> {
    fn new(what: String, chain: &'a Chain, block: &'a Block, source: &'a dyn StateSource) -> Self {
        let stock = [OutputKind::Flat, OutputKind::Bundle].map(|output| {
            execute_stock_with_access_list(chain, block, source, output)
                .unwrap_or_else(|error| panic!("{what}, stock: {error}"))
        });
        Self { what, chain, block, source, stock }
    }

    fn recorded(record: &'a RecordedBlock) -> Self {
        let what = format!("block {}", record.number());
        Self::new(what, &record.chain, &record.block, record.state.source())
    }

    fn list(&self) -> &BlockAccessList {
        self.stock[0].access_list.as_ref().expect("an access list")
    }

    fn stock(&self, output: OutputKind) -> &Outcome {
        &self.stock[usize::from(output == OutputKind::Bundle)]
    }

    /// Executes with this list; the outcome must be stock's.
    fn run(&self, engine: &Engine, list: &BlockAccessList) -> (Outcome, AccessListCheck) {
        let what = format!("{}, {:?}", self.what, engine.options());
        let (chain, block, source) = (self.chain, self.block, self.source);
        let (outcome, check) = engine
            .execute_with_access_list(chain, block, source, &Limits::default(), list)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        common::assert_same(&what, self.stock(engine.options().output), &outcome);
        (outcome, check)
    }
}

/// Generated blocks of every contention; at 1 each transaction depends on the one before.
fn generated(transactions: usize) -> Vec<RecordedBlock> {
    let contentions = [0.0, 0.3, 0.7, 1.0].into_iter().enumerate();
    let blocks = contentions.flat_map(|(seed, contention)| {
        let seed = 40 + seed as u64;
        let settings =
            Settings { blocks: 2, transactions, contention, seed, ..Settings::default() };
        generate(&settings, &mut |_, _| {}).expect("a workload")
    });
    blocks.collect()
}
