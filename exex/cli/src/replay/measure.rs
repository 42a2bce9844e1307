//! One block: interleaved rounds of every side, comparison with stock, checks against the header.
//!
//! Each side of a round starts from the same source in the same process; the order of the sides is
//! fixed and interleaved, so that a slow phase of the machine hits all of them. Timed is the
//! execution up to receipts, requests and changed state; roots and blooms are computed afterwards.

use super::{
    input::Origin,
    latency::Slow,
    sides::{Execution, Sides, Task},
};
use braid_core::{
    Engine, ExecuteError, HostError, ImportError, Outcome, SourceError, StateOutput,
    sequential::execute_bare, source::Location,
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

/// Measures and checks one block.
pub fn measure(engine: &Engine, record: &RecordedBlock, how: How) -> BlockReport {
    let How { rounds, latency, task } = how;
    let (chain, block) = (&record.chain, &record.block);
    let source = &Slow::new(record.state.source(), latency);
    let mut sides = Sides::new(engine, record, source, task);
    let mut report = BlockReport {
        number: record.number(),
        txs: block.transactions.len(),
        gas: block.header.gas_used,
        ..BlockReport::default()
    };
    // The warm-up is also the oracle.
    let oracle = sides.stock();
    if let Err(ImportError::Execute(ExecuteError::Host(HostError::Source(error)))) = &oracle {
        report.unreadable = Some(incomplete(record, error));
        return report;
    }
    report.difference = difference("bare", &oracle, &sides.bare());
    if let Ok(outcome) = &oracle {
        sides.learn(outcome);
    }
    let (stock, bare, parallel) = (|| sides.stock(), || sides.bare(), || sides.parallel());
    let mut times: [Vec<u64>; 4] = Default::default();
    let (mut last, mut stock_reads, mut parallel_reads) = (None, 0, 0);
    for _ in 0..rounds {
        source.take_reads();
        times[0].push(timed(stock).1);
        stock_reads = source.take_reads();
        times[1].push(timed(bare).1);
        source.take_reads();
        let (outcome, nanos) = timed(parallel);
        parallel_reads = source.take_reads();
        times[2].push(nanos);
        times[3].push(timed(bare).1);
        report.difference =
            report.difference.take().or_else(|| difference("parallel", &oracle, &outcome));
        last = Some(outcome);
    }
    if let Err(error) = &oracle {
        report.difference.get_or_insert_with(|| format!("rejected on every side: {error}"));
    }
    report.reads = (!latency.is_zero()).then_some((stock_reads, parallel_reads));
    let [stock_ns, bare_ns, parallel_ns, bare_again_ns] = times.map(median);
    if let Some(Ok(outcome)) = &last {
        report.executions = outcome.statistics.executions;
        report.checks = checks(record, outcome, &mut report.difference);
        // A divergence that the shadow recorded carries what the node said.
        if let Some(reference) = &record.reference
            && let Err(found) = compare(chain, block, outcome, reference)
        {
            report.difference.get_or_insert_with(|| found.to_string());
        }
    }
    BlockReport { stock_ns, bare_ns, parallel_ns, bare_again_ns, ..report }
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

/// How much work two independent sequential executions get done at once, against one alone: 2 on a
/// quiet machine. `None` without a block to run.
pub fn machine_check(records: &[(Origin, RecordedBlock)]) -> Option<f64> {
    let pass = || {
        for (_, record) in records {
            let source = record.state.source();
            let output = braid_core::OutputKind::Flat;
            let _measured = execute_bare(&record.chain, &record.block, source, output);
        }
    };
    if records.is_empty() {
        return None;
    }
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        pass();
        let alone = start.elapsed().as_secs_f64();
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(pass);
            pass();
        });
        let both = start.elapsed().as_secs_f64();
        ratios.push(2.0 * alone / both);
    }
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied()
}
