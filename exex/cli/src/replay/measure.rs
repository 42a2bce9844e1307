//! One block: interleaved rounds of every side, comparison with stock, checks against the header.
//!
//! Each side of a round starts from the same source in the same process; the order of the sides is
//! fixed and interleaved, by blocks or by passes over many of them, so that a slow phase of the
//! machine hits all of them. Timed is the
//! execution up to receipts, requests and changed state; roots and blooms are computed afterwards.

use super::{
    latency::Slow,
    sides::{Execution, Sides, Task},
};
use braid_core::{
    Engine, ExecuteError, HostError, ImportError, Outcome, SourceError, StateOutput,
    source::Location,
};
use braid_shadow::{
    compare,
    recorded::{Prestate, RecordedBlock, StateCheck},
};
use revm::database::BundleState;
use std::time::{Duration, Instant};

/// What was found out about one block.
#[derive(Debug, Clone, Default)]
pub struct BlockReport {
    /// The block's number.
    pub number: u64,
    /// How many transactions it has.
    pub txs: usize,
    /// Gas used, by the header.
    pub gas: u64,
    /// Median time of stock execution, nanoseconds.
    pub stock_ns: u64,
    /// Median time of bare execution, nanoseconds.
    pub bare_ns: u64,
    /// Median time of a second bare execution in the same rounds: the noise floor.
    pub bare_again_ns: u64,
    /// Median time of parallel execution, nanoseconds.
    pub parallel_ns: u64,
    /// Executions of the last parallel run, repeated ones included.
    pub executions: u64,
    /// Runs of the block's longest transaction that came to nothing, where they were counted.
    pub longest_wasted: Option<u64>,
    /// Reads of the parent state in the last stock and the last parallel run, where they have a
    /// latency.
    pub reads: Option<(u64, u64)>,
    /// The first difference, if there is one.
    pub difference: Option<String>,
    /// Why no side could execute the block, where the record lacks something.
    pub unreadable: Option<String>,
    /// Checks against the header; `None` where the data cannot answer.
    pub checks: Checks,
}

/// Checks of the parallel result against the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checks {
    /// Gas used.
    pub gas_used: Option<bool>,
    /// The receipts root, from Byzantium on.
    pub receipts_root: Option<bool>,
    /// The logs bloom, from Byzantium on.
    pub logs_bloom: Option<bool>,
    /// The requests hash, from Prague on.
    pub requests_hash: Option<bool>,
    /// The state root, or the proofs, where the record has what it takes.
    pub state_root: Option<bool>,
}

impl Checks {
    fn all(self) -> [Option<bool>; 5] {
        [self.gas_used, self.receipts_root, self.logs_bloom, self.requests_hash, self.state_root]
    }
}

impl BlockReport {
    /// Every comparison held and no check failed.
    pub fn matched(&self) -> bool {
        self.difference.is_none() && !self.checks.all().contains(&Some(false))
    }
}

/// How a block is measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    /// How often each side runs.
    pub rounds: usize,
    /// What each read of the parent state takes at least.
    pub latency: Duration,
    /// What the sides start from and produce.
    pub task: Task,
}

/// The sides of a round, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Stock,
    Bare,
    Parallel,
    /// The noise floor.
    BareAgain,
}

impl Side {
    const ALL: [Self; 4] = [Self::Stock, Self::Bare, Self::Parallel, Self::BareAgain];
}

/// Blocks that each side executes in a row, where sides take turns by passes.
const PASS: usize = 64;

/// Measures and checks one block: in each round every side executes it once.
pub fn measure(engine: &Engine, record: &RecordedBlock, how: How) -> BlockReport {
    let source = Slow::new(record.state.source(), how.latency);
    let mut block = match Measurement::begin(engine, record, &source, how) {
        Ok(block) => block,
        Err(report) => return *report,
    };
    for _ in 0..how.rounds {
        for side in Side::ALL {
            block.run(side);
            block.settle(side);
        }
    }
    block.finish()
}

/// Measures and checks many blocks: in each round every side executes all of them in a row, as in a
/// catch-up, up to 64 at a time. No side finds in the caches what the one before it has read.
/// `begin` is called before each pass of the parallel side, `done` with the gas that a round has
/// done of what all rounds do.
pub fn measure_by_pass(
    engine: &Engine,
    records: &[&RecordedBlock],
    how: How,
    begin: impl Fn(),
    done: impl Fn(u64),
) -> Vec<BlockReport> {
    let sources: Vec<Slow<'_>> =
        records.iter().map(|record| Slow::new(record.state.source(), how.latency)).collect();
    let mut reports = Vec::with_capacity(records.len());
    for (records, sources) in records.chunks(PASS).zip(sources.chunks(PASS)) {
        let begun = records.iter().zip(sources);
        let mut blocks: Vec<_> =
            begun.map(|(record, source)| Measurement::begin(engine, record, source, how)).collect();
        for round in 0..how.rounds {
            for side in Side::ALL {
                if side == Side::Parallel {
                    begin();
                }
                blocks.iter_mut().flatten().for_each(|block| block.run(side));
                blocks.iter_mut().flatten().for_each(|block| block.settle(side));
            }
            // Rounded so that all rounds together make the whole.
            let gas: u64 = records.iter().map(|record| record.block.header.gas_used).sum();
            let part = |round: usize| u128::from(gas) * round as u128 / how.rounds as u128;
            done((part(round + 1) - part(round)) as u64);
        }
        let finish = |block: Result<Measurement<'_>, Box<BlockReport>>| match block {
            Ok(block) => block.finish(),
            Err(report) => *report,
        };
        reports.extend(blocks.into_iter().map(finish));
    }
    reports
}

/// A block that is being measured.
struct Measurement<'a> {
    record: &'a RecordedBlock,
    source: &'a Slow<'a>,
    slow: bool,
    sides: Sides<'a>,
    /// What stock execution gives.
    oracle: Execution,
    /// Of each side, nanoseconds.
    times: [Vec<u64>; 4],
    /// What the side gave that ran last, until it is looked at.
    outcome: Option<Execution>,
    /// The last parallel outcome.
    parallel: Option<Execution>,
    /// Reads of the parent state by the last stock and the last parallel run.
    reads: (u64, u64),
    report: BlockReport,
}

impl<'a> Measurement<'a> {
    /// The warm-up, which is also the oracle. A report where the block cannot be executed for lack
    /// of data.
    fn begin(
        engine: &'a Engine,
        record: &'a RecordedBlock,
        source: &'a Slow<'a>,
        how: How,
    ) -> Result<Self, Box<BlockReport>> {
        let mut sides = Sides::new(engine, record, source, how.task);
        let mut report = BlockReport {
            number: record.number(),
            txs: record.block.transactions.len(),
            gas: record.block.header.gas_used,
            ..BlockReport::default()
        };
        let oracle = sides.stock();
        if let Err(ImportError::Execute(ExecuteError::Host(HostError::Source(error)))) = &oracle {
            report.unreadable = Some(incomplete(record, error));
            return Err(Box::new(report));
        }
        report.difference = difference("bare", &oracle, &sides.bare());
        if let Ok(outcome) = &oracle {
            sides.learn(outcome);
        }
        let (times, slow) = (Default::default(), !how.latency.is_zero());
        let (outcome, parallel, reads) = (None, None, (0, 0));
        Ok(Self { record, source, slow, sides, oracle, times, outcome, parallel, reads, report })
    }

    /// Executes the block once on this side.
    fn run(&mut self, side: Side) {
        self.source.take_reads();
        let (outcome, nanos) = match side {
            Side::Stock => timed(|| self.sides.stock()),
            Side::Bare | Side::BareAgain => timed(|| self.sides.bare()),
            Side::Parallel => timed(|| self.sides.parallel()),
        };
        self.times[side as usize].push(nanos);
        self.outcome = Some(outcome);
    }

    /// Looks at what the run gave.
    fn settle(&mut self, side: Side) {
        let Some(outcome) = self.outcome.take() else { return };
        match side {
            Side::Stock => self.reads.0 = self.source.take_reads(),
            Side::Parallel => {
                self.reads.1 = self.source.take_reads();
                let difference = || difference("parallel", &self.oracle, &outcome);
                self.report.difference = self.report.difference.take().or_else(difference);
                self.parallel = Some(outcome);
            }
            Side::Bare | Side::BareAgain => {}
        }
    }

    fn finish(self) -> BlockReport {
        let Self { record, slow, oracle, times, parallel, reads, mut report, sides, .. } = self;
        report.longest_wasted = if slow { None } else { sides.wasted_on_longest() };
        if let Err(error) = &oracle {
            report.difference.get_or_insert_with(|| format!("rejected on every side: {error}"));
        }
        report.reads = slow.then_some(reads);
        let [stock_ns, bare_ns, parallel_ns, bare_again_ns] = times.map(median);
        if let Some(Ok(outcome)) = &parallel {
            report.executions = outcome.statistics.executions;
            report.checks = checks(record, outcome, &mut report.difference);
            // A divergence that the shadow recorded carries what the node said.
            if let Some(reference) = &record.reference
                && let Err(found) = compare(&record.chain, &record.block, outcome, reference)
            {
                report.difference.get_or_insert_with(|| found.to_string());
            }
        }
        BlockReport { stock_ns, bare_ns, parallel_ns, bare_again_ns, ..report }
    }
}

/// What a record lacks, in words.
pub(crate) fn incomplete(record: &RecordedBlock, error: &SourceError) -> String {
    let owner = match (error.location, &record.state) {
        (Location::Code(hash), Prestate::Memory(state)) => {
            let owners = state.accounts().filter(|(_, info, _)| info.code_hash == hash);
            owners.map(|(address, ..)| address).min()
        }
        _ => None,
    };
    let owner = owner.map(|address| format!(" (the code of account {address})"));
    format!("the record is not complete: {error}{}", owner.unwrap_or_default())
}

pub(super) fn timed(side: impl FnOnce() -> Execution) -> (Execution, u64) {
    let start = Instant::now();
    let outcome = side();
    (outcome, nanos(start.elapsed()))
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What a piece of work takes undisturbed: whatever else the machine does only adds.
pub(crate) fn least(times: Vec<u64>) -> u64 {
    times.into_iter().min().unwrap_or_default()
}

pub(crate) fn median(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

pub(super) fn checks(
    record: &RecordedBlock,
    outcome: &Outcome,
    difference: &mut Option<String>,
) -> Checks {
    let header = &record.block.header;
    let byzantium = record.chain.rules(header).has_status_receipts(header);
    let state_root = match record.check_state(&outcome.state.to_flat()) {
        Ok(StateCheck::Unchecked) => None,
        Ok(_) => Some(true),
        Err(error) => {
            difference.get_or_insert_with(|| error.to_string());
            Some(false)
        }
    };
    if let Err(error) = outcome.check_header(&record.block, byzantium) {
        difference.get_or_insert_with(|| error.to_string());
    }
    Checks {
        gas_used: Some(outcome.gas_used == header.gas_used),
        receipts_root: byzantium.then(|| outcome.receipts_root() == header.receipts_root),
        logs_bloom: byzantium.then(|| outcome.logs_bloom() == header.logs_bloom),
        requests_hash: header.requests_hash.map(|hash| hash == outcome.requests_hash()),
        state_root,
    }
}

/// The first difference from stock, in words.
pub(super) fn difference(side: &str, stock: &Execution, other: &Execution) -> Option<String> {
    let (stock, other) = match (stock, other) {
        (Ok(stock), Ok(other)) => (stock, other),
        (Err(stock), Err(other)) if stock.to_string() == other.to_string() => return None,
        (Err(stock), Err(other)) => return Some(format!("stock: {stock}; {side}: {other}")),
        (Err(error), Ok(_)) => return Some(format!("{side} accepts it; stock: {error}")),
        (Ok(_), Err(error)) => return Some(format!("stock accepts it; {side}: {error}")),
    };
    for (index, (expected, actual)) in stock.receipts.iter().zip(&other.receipts).enumerate() {
        if expected != actual {
            return Some(format!(
                "{side}: receipt {index} differs from stock: {actual:?}, not {expected:?}"
            ));
        }
    }
    let unequal = |what: &str| Some(format!("{side}: {what} differ from stock"));
    if stock.receipts.len() != other.receipts.len() {
        return unequal("numbers of receipts");
    }
    if stock.requests != other.requests {
        return unequal("requests");
    }
    if (stock.gas_used, stock.blob_gas_used) != (other.gas_used, other.blob_gas_used) {
        return unequal("gas figures");
    }
    if stock.access_list != other.access_list {
        return unequal("access lists");
    }
    let same = match (&stock.state, &other.state) {
        (StateOutput::Flat(stock), StateOutput::Flat(other)) => {
            let pairs = stock.accounts.iter().zip(&other.accounts);
            if let Some((expected, actual)) = pairs.into_iter().find(|(a, b)| a != b) {
                return Some(format!(
                    "{side}: account change differs from stock: {actual:?}, not {expected:?}"
                ));
            }
            stock == other
        }
        (StateOutput::Bundle(stock), StateOutput::Bundle(other)) => same_bundle(stock, other),
        _ => false,
    };
    if same { None } else { unequal("state changes") }
}

/// Equal in every field; the order inside one block's reverts is unspecified.
fn same_bundle(a: &BundleState, b: &BundleState) -> bool {
    let reverts = |bundle: &BundleState| {
        let mut all = bundle.reverts.to_vec();
        all.iter_mut().for_each(|block| block.sort_by_key(|(address, _)| *address));
        all
    };
    a.state == b.state
        && a.contracts == b.contracts
        && a.state_size == b.state_size
        && a.reverts_size == b.reverts_size
        && reverts(a) == reverts(b)
}
