//! Everything that `braid explain` has to say about a block.
//!
//! Invariant: times of single transactions are those of bare sequential execution, the least of all
//! rounds, so that they tell what a transaction costs and not what went on beside it; times of runs
//! and workers are those of one traced parallel execution.

use crate::replay::measure::{incomplete, least, median, nanos};
use alloy_primitives::{Address, TxHash};
use braid_core::{
    Engine, ExecuteError, HostError, Options, Outcome, Trace,
    engine::Limits,
    sequential::execute_bare_timed,
    trace::{Location, Part, Run, RunOutcome},
};
use braid_shadow::{
    analysis::{
        Figures, Graph, Hot, Rules, hot_contracts, hot_locations,
        names::{self, SlotName},
    },
    recorded::RecordedBlock,
};
use std::time::Instant;

/// How a report is made.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Threads of the parallel execution; `None`: all cores.
    pub threads: Option<usize>,
    /// How often each side executes the block; at least once.
    pub rounds: usize,
    /// How many slots, contracts and repeated runs are listed.
    pub top: usize,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The record lacks something.
    #[error("{0}")]
    Unreadable(String),
    /// The block is invalid, or contradicts its header.
    #[error("{0}")]
    Mismatch(String),
}

/// A hot location, with what it probably is in its contract's source.
#[derive(Debug, Clone)]
pub struct HotLocation {
    /// What it costs the block.
    pub hot: Hot<Location>,
    /// What it probably is, where it is a slot.
    pub name: Option<SlotName>,
}

/// What is known of a transaction beside its trace.
#[derive(Debug, Clone, Copy)]
pub struct Transaction {
    /// Its hash.
    pub hash: TxHash,
    /// Its sender.
    pub from: Address,
    /// Its target; `None` where it creates a contract.
    pub to: Option<Address>,
    /// How long it takes alone, nanoseconds.
    pub nanos: u64,
}

/// The whole report.
#[derive(Debug, Clone)]
pub struct Report {
    /// The block's number.
    pub number: u64,
    /// Threads of the parallel execution.
    pub threads: usize,
    /// Rounds on each side.
    pub rounds: usize,
    /// The transactions, in block order.
    pub transactions: Vec<Transaction>,
    /// Median time of bare sequential execution, nanoseconds.
    pub bare_ns: u64,
    /// The parallel execution with the median time.
    pub trace: Trace,
    /// The dependencies under the engine's rules.
    pub graph: Graph,
    /// The four numbers.
    pub figures: Figures,
    /// What serialises the most gas.
    pub locations: Vec<HotLocation>,
    /// Which contracts do.
    pub contracts: Vec<Hot<Address>>,
    /// How many rows a list of runs shows.
    pub top: usize,
}

impl Report {
    /// Executes the block and puts the figures together.
    ///
    /// # Errors
    /// [`Problem`] where the block cannot be executed or is not what its header says.
    pub fn of(record: &RecordedBlock, settings: &Settings) -> Result<Self, Problem> {
        let rounds = settings.rounds.max(1);
        let (bare_ns, times) = bare(record, rounds)?;
        let defaults = Options::default();
        let threads = settings.threads.unwrap_or(defaults.threads);
        let engine = Engine::new(Options { threads, ..defaults });
        let trace = traced(&engine, record, rounds)?;
        let graph = Graph::new(&trace.transactions, Rules::Engine);
        let figures = Figures::new(&trace, &graph, &times);
        let name = |hot: Hot<Location>| HotLocation { name: name(record, &trace, &hot.key), hot };
        let locations = hot_locations(&trace, &graph, &times, settings.top);
        let block = record.block.transactions.iter().zip(&times);
        let transactions = block.map(|(tx, nanos)| Transaction {
            hash: *tx.tx_hash(),
            from: tx.signer(),
            to: alloy_consensus::Transaction::to(tx.inner()),
            nanos: *nanos,
        });
        Ok(Self {
            number: record.number(),
            threads,
            rounds,
            transactions: transactions.collect(),
            bare_ns,
            locations: locations.into_iter().map(name).collect(),
            contracts: hot_contracts(&trace, &graph, &times, settings.top),
            figures,
            graph,
            trace,
            top: settings.top,
        })
    }

    /// Sequential time over parallel time.
    pub fn speedup(&self) -> f64 {
        crate::replay::report::ratio(self.bare_ns, self.trace.nanos)
    }

    /// The runs that came to nothing, in block order.
    pub fn lost_runs(&self) -> Vec<&Run> {
        let lost = |run: &&Run| run.outcome != RunOutcome::Committed;
        let mut runs: Vec<&Run> = self.trace.runs.iter().filter(lost).collect();
        runs.sort_by_key(|run| run.transaction);
        runs
    }
}

/// The median time of the whole block and the least time of each transaction, nanoseconds.
fn bare(record: &RecordedBlock, rounds: usize) -> Result<(u64, Vec<u64>), Problem> {
    let (chain, block, source) = (&record.chain, &record.block, record.state.source());
    let run = || execute_bare_timed(chain, block, source, Default::default());
    // The first one warms up.
    let (outcome, _) = run().map_err(|error| problem(record, error))?;
    check(record, &outcome)?;
    let mut totals = Vec::with_capacity(rounds);
    let mut times = vec![Vec::with_capacity(rounds); block.transactions.len()];
    for _ in 0..rounds {
        let start = Instant::now();
        let (_, laps) = run().map_err(|error| problem(record, error))?;
        totals.push(nanos(start.elapsed()));
        times.iter_mut().zip(laps).for_each(|(all, lap)| all.push(lap));
    }
    Ok((median(totals), times.into_iter().map(least).collect()))
}

/// The parallel execution with the median time.
fn traced(engine: &Engine, record: &RecordedBlock, rounds: usize) -> Result<Trace, Problem> {
    let mut traces = Vec::with_capacity(rounds + 1);
    for _ in 0..=rounds {
        let source = record.state.source();
        let limits = Limits::default();
        let (outcome, trace) = engine
            .execute_traced(&record.chain, &record.block, source, &limits)
            .map_err(|error| problem(record, error))?;
        check(record, &outcome)?;
        traces.push(trace);
    }
    // The first one warms up.
    traces.remove(0);
    traces.sort_by_key(|trace| trace.nanos);
    Ok(traces.swap_remove(traces.len() / 2))
}

fn problem(record: &RecordedBlock, error: ExecuteError) -> Problem {
    match &error {
        ExecuteError::Host(HostError::Source(source)) => {
            Problem::Unreadable(incomplete(record, source))
        }
        ExecuteError::Host(_) => Problem::Unreadable(error.to_string()),
        ExecuteError::Invalid(_) => Problem::Mismatch(error.to_string()),
    }
}

fn check(record: &RecordedBlock, outcome: &Outcome) -> Result<(), Problem> {
    let header = &record.block.header;
    let byzantium = record.chain.rules(header).has_status_receipts(header);
    outcome
        .check_header(&record.block, byzantium)
        .map_err(|mismatch| Problem::Mismatch(mismatch.to_string()))
}

/// What a slot is, by the keys of the transactions that touch it.
fn name(record: &RecordedBlock, trace: &Trace, location: &Location) -> Option<SlotName> {
    let Part::Slot(slot) = location.part else { return None };
    let touching =
        trace.transactions.iter().enumerate().filter(|(_, tx)| {
            tx.reads.binary_search_by_key(location, |read| read.location).is_ok()
        });
    let touching = touching.map(|(index, _)| index);
    names::name(slot, &names::keys(&record.block, &trace.transactions, touching))
}
