//! The four numbers of a block: key overlap, write dependencies, critical path, and what the
//! scheduler really did.
//!
//! Each says more than the one before. Most transactions of a real block touch something that
//! another one touches too; fewer depend on what another one wrote; those dependencies form chains,
//! and the heaviest chain bounds every schedule; what an executor made of it is the last number.

use super::{
    graph::{Graph, Rules},
    path::{Path, critical_path},
};
use alloy_primitives::map::HashMap;
use braid_core::{
    Trace,
    trace::{Committed, Location, Part, Run, RunKind, RunOutcome},
};

/// Dependencies and chains under one set of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependencies {
    /// Transactions that depend on an earlier one.
    pub dependent: usize,
    /// Pairs that depend directly on each other.
    pub pairs: usize,
    /// The heaviest chain by gas.
    pub gas: Path,
    /// The heaviest chain by nanoseconds.
    pub time: Path,
}

impl Dependencies {
    /// Of this graph, with each transaction's gas and nanoseconds.
    pub fn new(graph: &Graph, gas: &[u64], nanos: &[u64]) -> Self {
        Self {
            dependent: graph.dependent(),
            pairs: graph.pairs(),
            gas: critical_path(graph, gas, |_| true),
            time: critical_path(graph, nanos, |_| true),
        }
    }
}

/// What the scheduler really did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scheduling {
    /// Workers that ran something.
    pub workers: usize,
    /// All runs.
    pub runs: usize,
    /// Runs in their turn without a speculative one before.
    pub direct: usize,
    /// Runs that were stale when their turn came.
    pub stale: usize,
    /// Speculative runs that ended in an error.
    pub discarded: usize,
    /// The sum of all runs' times, nanoseconds.
    pub busy_ns: u64,
    /// Of these, of runs that came to nothing.
    pub wasted_ns: u64,
    /// From the first run's start to the last commit, nanoseconds.
    pub span_ns: u64,
    /// The whole execution, nanoseconds.
    pub total_ns: u64,
}

impl Scheduling {
    /// What this trace shows.
    pub fn new(trace: &Trace) -> Self {
        let mut workers: Vec<usize> = trace.runs.iter().map(|run| run.worker).collect();
        workers.sort_unstable();
        workers.dedup();
        let count = |is: &dyn Fn(&Run) -> bool| trace.runs.iter().filter(|run| is(run)).count();
        let time = |is: &dyn Fn(&Run) -> bool| {
            let runs = trace.runs.iter().filter(|run| is(run));
            runs.map(|run| run.end.saturating_sub(run.start)).sum()
        };
        let start = trace.runs.first().map_or(0, |run| run.start);
        let end = trace.transactions.last().map_or(0, |tx| tx.at);
        Self {
            workers: workers.len(),
            runs: trace.runs.len(),
            direct: count(&|run| run.kind == RunKind::Direct),
            stale: count(&|run| matches!(run.outcome, RunOutcome::Stale { .. })),
            discarded: count(&|run| run.outcome == RunOutcome::Discarded),
            busy_ns: time(&|_| true),
            wasted_ns: time(&|run| run.outcome != RunOutcome::Committed),
            span_ns: end.saturating_sub(start),
            total_ns: trace.nanos,
        }
    }

    /// How many useful runs were under way at once, on average.
    pub fn parallelism(&self) -> f64 {
        let useful = self.busy_ns.saturating_sub(self.wasted_ns);
        if self.span_ns == 0 { 0.0 } else { useful as f64 / self.span_ns as f64 }
    }
}

/// The four numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// How many transactions there are.
    pub transactions: usize,
    /// How many load an account or a slot that another one loads too.
    pub overlapping: usize,
    /// Gas of all transactions.
    pub gas: u64,
    /// Nanoseconds of all transactions, one after the other.
    pub nanos: u64,
    /// Under the engine's rules.
    pub engine: Dependencies,
    /// Where whole accounts conflict.
    pub whole_account: Dependencies,
    /// What the scheduler did.
    pub scheduling: Scheduling,
}

impl Figures {
    /// Of this trace; `graph` is its graph under the engine's rules, `nanos` how long each
    /// transaction takes alone.
    pub fn new(trace: &Trace, graph: &Graph, nanos: &[u64]) -> Self {
        let gas: Vec<u64> = trace.transactions.iter().map(|tx| tx.gas_used).collect();
        let whole = Graph::new(&trace.transactions, Rules::WholeAccount);
        Self {
            transactions: trace.transactions.len(),
            overlapping: overlapping(&trace.transactions),
            gas: gas.iter().sum(),
            nanos: nanos.iter().sum(),
            engine: Dependencies::new(graph, &gas, nanos),
            whole_account: Dependencies::new(&whole, &gas, nanos),
            scheduling: Scheduling::new(trace),
        }
    }
}

/// An account is loaded where its existence is read.
fn overlapping(transactions: &[Committed]) -> usize {
    let loads = |tx: &Committed| {
        let whole = |location: &Location| !matches!(location.part, Part::Balance | Part::Nonce);
        tx.reads.iter().map(|read| read.location).filter(whole).collect::<Vec<_>>()
    };
    let mut by = HashMap::<Location, usize>::default();
    for location in transactions.iter().flat_map(loads) {
        *by.entry(location).or_default() += 1;
    }
    let shares = |tx: &&Committed| loads(tx).iter().any(|location| by[location] > 1);
    transactions.iter().filter(shares).count()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{BOB, CONTRACT, count, hard, tx};
    use super::*;

    fn run(transaction: usize, worker: usize, start: u64, end: u64) -> Run {
        let (kind, outcome) = (RunKind::Speculative, RunOutcome::Committed);
        Run { transaction, worker, start, end, kind, outcome }
    }

    #[test]
    fn each_number_says_more_than_the_one_before() {
        let existence = |address| hard(Location::new(address, Part::Existence));
        let mut looks = tx(50, &[existence(CONTRACT)], &[]);
        looks.at = 60;
        let alone = tx(50, &[existence(BOB)], &[]);
        let mut first = count(100, 0);
        first.reads.push(existence(CONTRACT));
        let transactions = vec![first, count(100, 0), alone, looks];
        let stale = RunOutcome::Stale { location: None, writer: Some(0) };
        let runs = vec![
            run(0, 0, 10, 20),
            Run { outcome: stale, ..run(1, 1, 12, 20) },
            Run { kind: RunKind::Repeated, ..run(1, 0, 21, 30) },
            run(2, 1, 21, 40),
            Run { kind: RunKind::Direct, ..run(3, 0, 40, 60) },
        ];
        let trace = Trace { runs, transactions, nanos: 70, ..Trace::default() };
        let graph = Graph::new(&trace.transactions, Rules::Engine);
        let figures = Figures::new(&trace, &graph, &[10, 9, 19, 20]);
        assert_eq!((figures.transactions, figures.gas, figures.nanos), (4, 300, 58));
        assert_eq!(figures.overlapping, 3, "all but the one alone");
        assert_eq!((figures.engine.dependent, figures.engine.pairs), (1, 1));
        assert_eq!(figures.engine.gas, Path { weight: 200, transactions: vec![0, 1] });
        assert_eq!(figures.engine.time, Path { weight: 20, transactions: vec![3] });
        assert_eq!(figures.engine, figures.whole_account);
        let scheduling = &figures.scheduling;
        assert_eq!((scheduling.workers, scheduling.runs), (2, 5));
        assert_eq!((scheduling.direct, scheduling.stale, scheduling.discarded), (1, 1, 0));
        assert_eq!((scheduling.busy_ns, scheduling.wasted_ns), (66, 8));
        assert_eq!((scheduling.span_ns, scheduling.total_ns), (50, 70));
        assert!((scheduling.parallelism() - 58.0 / 50.0).abs() < 1e-9);
    }
}
