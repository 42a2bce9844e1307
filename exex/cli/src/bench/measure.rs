//! What the transactions of a block cost on this machine.
//!
//! Three sides, in interleaved rounds; of every time the least of all rounds counts, since whatever
//! else the machine does only adds to it. Bare sequential execution gives each transaction's own
//! time. The engine on one thread, everything recorded and validated, gives the time of a run, from
//! when it is handed out, and that of a commit, publishing and validating included; what the
//! watcher took for itself is left out. What remains of its total is the output, which the threads
//! share in parts, and work that no second core shares (system calls, the block's end). The engine
//! on two threads gives what the prediction is checked against.

use crate::replay::{
    latency::Slow,
    measure::{incomplete, least, nanos},
};
use braid_core::{
    Engine, ExecuteError, HostError, Optimisations, Options, Trace,
    engine::{
        Limits,
        simulate::{Cost, Simulated, Simulation, bound},
    },
    sequential::execute_bare_timed,
    trace::{Committed, RunOutcome, Shareable},
};
use braid_shadow::{
    analysis::{Graph, Rules},
    recorded::RecordedBlock,
};
use std::time::{Duration, Instant};

/// The engines that measure.
pub struct Bench {
    rounds: usize,
    /// What each read of the parent state takes at least, on every side.
    latency: Duration,
    recording: Engine,
    parallel: Engine,
}

/// What was measured of one block.
pub struct Measured<'r> {
    record: &'r RecordedBlock,
    /// What bare execution does before and after the transactions, nanoseconds.
    bare_rest_ns: u64,
    /// The engine on two threads, nanoseconds.
    parallel_ns: u64,
    /// Each transaction alone: `run_ns` of bare execution, nothing for commits.
    bare: Vec<Cost>,
    /// Each transaction in the engine.
    costs: Vec<Cost>,
    /// What the engine does before and after the transactions but for the output, nanoseconds.
    rest_ns: u64,
    /// The output, nanoseconds, and its parts.
    output: (u64, usize),
    /// The engine runs the block on the calling thread.
    inline: bool,
    /// How long after the first worker's first run the second one began its own, at best; `None`
    /// where it never ran anything.
    wake_ns: Option<u64>,
}

/// One block's simulated times.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// The block's number.
    pub number: u64,
    /// Its transactions.
    pub txs: usize,
    /// Gas used, by the header.
    pub gas: u64,
    /// Bare execution, nanoseconds.
    pub bare_ns: u64,
    /// The engine on two threads, measured, nanoseconds.
    pub parallel_ns: u64,
    /// The same, predicted.
    pub predicted_ns: u64,
    /// What recording, validating and committing add to the transactions' own times, nanoseconds
    /// over all of them.
    pub overhead_ns: i64,
    /// For each number of cores.
    pub simulated: Vec<Point>,
}

/// One block on one number of cores.
#[derive(Debug, Clone, Copy, Default)]
pub struct Point {
    /// The whole block, nanoseconds.
    pub ns: u64,
    /// The least that the dependencies allow: no overhead, no commits, any order; nanoseconds.
    pub bound_ns: u64,
    /// Runs, repeated ones included.
    pub executions: u64,
}

impl Bench {
    /// Starts the engines, for a parent state whose reads take at least `latency`.
    pub fn new(rounds: usize, latency: Duration) -> Self {
        // One thread commits every run at once, in index order, so that no wait counts as a commit.
        let one = Options { threads: 1, forced: true, ..Options::default() };
        let two = Options { threads: 2, ..Options::default() };
        let (recording, parallel) = (Engine::new(one), Engine::new(two));
        Self { rounds: rounds.max(1), latency, recording, parallel }
    }

    /// Measures one block.
    ///
    /// # Errors
    /// Why it could not be executed.
    pub fn measure<'r>(&self, record: &'r RecordedBlock) -> Result<Measured<'r>, String> {
        let first = self.round(record)?;
        let mut samples = Samples::new(record.block.transactions.len());
        let mut inline = first.two.inline;
        for _ in 0..self.rounds {
            let round = self.round(record)?;
            inline = round.two.inline;
            samples.add(&round);
        }
        let Samples { rests, outputs, parallel, laps, runs, stretches, commits, wakes } = samples;
        let [bare_rest_ns, rest_ns] = rests.map(least);
        let each = |all: Vec<Vec<u64>>| all.into_iter().map(least).collect::<Vec<u64>>();
        let (laps, runs, commits) = (each(laps), each(runs), each(commits));
        let after = Graph::new(&first.recorded.transactions, Rules::Engine).predecessors();
        let gas = first.recorded.transactions.iter().map(|tx| tx.gas_used);
        let costs = |runs: &[u64], commits: &[u64]| -> Vec<Cost> {
            let times = runs.iter().zip(commits).zip(gas.clone()).zip(&after);
            let cost =
                |(((run_ns, commit_ns), gas_used), after): (((&u64, &u64), u64), &Vec<usize>)| {
                    let (run_ns, commit_ns, after) = (*run_ns, *commit_ns, after.clone());
                    Cost { run_ns, commit_ns, gas_used, after, shareable: Vec::new() }
                };
            times.map(cost).collect()
        };
        let mut recorded = costs(&runs, &commits);
        for (cost, (_, shareable)) in recorded.iter_mut().zip(stretches) {
            cost.shareable = shareable;
        }
        Ok(Measured {
            record,
            bare_rest_ns,
            parallel_ns: least(parallel),
            bare: costs(&laps, &vec![0; laps.len()]),
            costs: recorded,
            rest_ns,
            output: outputs.into_iter().min().unwrap_or_default(),
            inline,
            wake_ns: wakes.into_iter().min(),
        })
    }

    /// Every side once.
    fn round(&self, record: &RecordedBlock) -> Result<Round, String> {
        let (chain, block) = (&record.chain, &record.block);
        let source = &Slow::new(record.state.source(), self.latency);
        let failed = |error| reason(record, &error);
        let traced = |engine: &Engine| {
            engine.execute_traced(chain, block, source, &Limits::default()).map_err(failed)
        };
        let (bare_ns, bare) =
            timed(|| execute_bare_timed(chain, block, source, Default::default()));
        let (_, laps) = bare.map_err(failed)?;
        // Before each of the two parallel ones something else runs, long enough for the second
        // worker to fall asleep.
        let (_, two) = traced(&self.parallel)?;
        let (_, recorded) = traced(&self.recording)?;
        let (parallel_ns, outcome) = timed(|| self.parallel.execute(chain, block, source));
        outcome.map_err(failed)?;
        Ok(Round { bare_ns, laps, recorded, parallel_ns, two })
    }
}

/// One round of all sides.
struct Round {
    bare_ns: u64,
    laps: Vec<u64>,
    /// On one thread.
    recorded: Trace,
    parallel_ns: u64,
    /// On two threads, traced: for what no time of a whole block tells.
    two: Trace,
}

/// The times of all rounds.
struct Samples {
    /// What bare and recorded execution do beside the transactions.
    rests: [Vec<u64>; 2],
    /// The output of recorded execution, and its parts.
    outputs: Vec<(u64, usize)>,
    /// On two threads.
    parallel: Vec<u64>,
    /// For each transaction: alone, its run in the engine, its commit.
    laps: Vec<Vec<u64>>,
    runs: Vec<Vec<u64>>,
    /// For each transaction: its least run, and what of it threads can share.
    stretches: Vec<(u64, Vec<Shareable>)>,
    commits: Vec<Vec<u64>>,
    wakes: Vec<u64>,
}

impl Samples {
    fn new(count: usize) -> Self {
        let none = || vec![Vec::new(); count];
        let (laps, runs, commits) = (none(), none(), none());
        let stretches = vec![(u64::MAX, Vec::new()); count];
        let (rests, outputs, parallel, wakes) = Default::default();
        Self { rests, outputs, parallel, laps, runs, stretches, commits, wakes }
    }

    fn add(&mut self, round: &Round) {
        let laps: u64 = round.laps.iter().sum();
        self.rests[0].push(round.bare_ns.saturating_sub(laps));
        self.parallel.push(round.parallel_ns);
        self.laps.iter_mut().zip(&round.laps).for_each(|(all, lap)| all.push(*lap));
        self.add_recorded(&round.recorded);
        self.wakes.extend(wake(&round.two));
    }

    fn add_recorded(&mut self, trace: &Trace) {
        let first = trace.runs.first().map_or(0, |run| run.start);
        let mut before = first;
        for run in trace.runs.iter().filter(|run| run.outcome == RunOutcome::Committed) {
            let Committed { at, noting, shareable, .. } = &trace.transactions[run.transaction];
            let (span, at) = (u64::saturating_sub, *at);
            let took = span(run.end, before);
            self.runs[run.transaction].push(took);
            let least = &mut self.stretches[run.transaction];
            if took < least.0 {
                let from_run = |stretch: &Shareable| Shareable {
                    start: span(stretch.start, before),
                    ..*stretch
                };
                *least = (took, shareable.iter().map(from_run).collect());
            }
            self.commits[run.transaction]
                .push(span(noting.valid, noting.ran) + span(at, noting.commit));
            before = noting.committed;
        }
        let beside = trace.nanos.saturating_sub(before - first);
        self.rests[1].push(beside.saturating_sub(trace.output.0));
        self.outputs.push(trace.output);
    }
}

impl Measured<'_> {
    /// The block on each of these numbers of cores, with what the measured engine knows.
    pub fn simulate(&self, bench: &Bench, cores: &[usize], wake_ns: u64) -> Row {
        let block = &self.record.block;
        let sum =
            |costs: &[Cost]| -> u64 { costs.iter().map(|cost| cost.run_ns + cost.commit_ns).sum() };
        let alone = sum(&self.bare);
        let bare_ns = self.bare_rest_ns + alone;
        let point = |cores: usize| {
            let bound_ns = self.bare_rest_ns + bound(&self.bare, cores);
            let executions = block.transactions.len() as u64;
            if self.inline || cores < 2 {
                return Point { ns: bare_ns, bound_ns, executions };
            }
            let (optimisations, costs) = (Optimisations::ALL, &self.costs);
            let engine = Some(&bench.parallel);
            let simulation = Simulation { block, optimisations, engine, costs, wake_ns };
            let Simulated { nanos, executions, .. } = simulation.run(cores);
            let (output_ns, parts) = self.output;
            let output_ns = output_ns.div_ceil(cores.clamp(1, parts.max(1)) as u64);
            Point { ns: self.rest_ns + nanos + output_ns, bound_ns, executions }
        };
        Row {
            number: self.record.number(),
            txs: block.transactions.len(),
            gas: block.header.gas_used,
            bare_ns,
            parallel_ns: self.parallel_ns,
            predicted_ns: point(2).ns,
            overhead_ns: sum(&self.costs).cast_signed() - alone.cast_signed(),
            simulated: cores.iter().map(|cores| point(*cores)).collect(),
        }
    }
}

/// When the second worker joins, the lower quartile of the blocks; 0 where it never did.
pub fn wake_ns(blocks: &[Measured<'_>]) -> u64 {
    let mut wakes: Vec<u64> = blocks.iter().filter_map(|block| block.wake_ns).collect();
    wakes.sort_unstable();
    wakes.get(wakes.len() / 4).copied().unwrap_or_default()
}

fn wake(trace: &Trace) -> Option<u64> {
    let first = trace.runs.first()?;
    let other = trace.runs.iter().find(|run| run.worker != first.worker)?;
    Some(other.start - first.start)
}

fn timed<T>(side: impl FnOnce() -> T) -> (u64, T) {
    let start = Instant::now();
    let result = side();
    (nanos(start.elapsed()), result)
}

fn reason(record: &RecordedBlock, error: &ExecuteError) -> String {
    match error {
        ExecuteError::Host(HostError::Source(source)) => incomplete(record, source),
        _ => error.to_string(),
    }
}
