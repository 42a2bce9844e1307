//! `braid bench --costs`: where a transaction's time goes, part by part.
//!
//! The engine tells a watcher when a run begins and ends, when it is found valid and when it is
//! committed ([`braid_core::trace`]); what lies between two such moments is a part. The time that
//! the watcher itself takes is told too and left out, and so is what reading the clock takes.
//!
//! On one thread, in index order and without any short cut, every run is committed at once, so that
//! the parts follow each other. On two threads a run waits for its turn, and what it waits cannot
//! be told from what publishing and validating take: both are in the rest.

pub mod report;

use super::BenchArgs;
use crate::{
    exit::Exit,
    replay::{input, machine::Machine, measure::nanos, report::Printer},
};
use braid_core::{
    Engine, ExecuteError, Options, OutputKind, Trace, engine::Limits, sequential::execute_bare,
};
use braid_shadow::recorded::RecordedBlock;
use braid_workload::{Kind, Settings, generate};
use indicatif::ProgressBar;
use std::time::Instant;

/// Transactions of the block of payments.
const PAYMENTS: usize = 2000;

/// The parts of one block, nanoseconds over all its transactions, on all threads together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts {
    /// revm with its reads, and what it changed made a set of writes; repeated runs included.
    pub run: u64,
    /// The writes published, the reads compared with committed state. On one thread only.
    pub settle: Option<u64>,
    /// The writes committed, the reward paid, the receipt made.
    pub commit: u64,
    /// Transactions handed out, and on several threads also what `settle` is, and waiting.
    pub rest: u64,
    /// Before the first run and after the last commit: system calls, requests, the output. On the
    /// calling thread, while others do nothing.
    pub ends: u64,
}

impl Parts {
    /// Takes a trace apart; `clock` is what it takes to read the clock.
    pub fn new(trace: &Trace, threads: u64, clock: u64) -> Self {
        let first = trace.runs.first().map_or(0, |run| run.start);
        let last = trace.transactions.iter().map(|tx| tx.noting.committed).max();
        let span = last.unwrap_or(first).saturating_sub(first);
        let mut parts = Self { ends: trace.nanos.saturating_sub(span), ..Self::default() };
        let (mut settle, mut noting) = (0, 0);
        // Between two looks at the clock lies one reading of it.
        let own = |from: u64, to: u64| to.saturating_sub(from).saturating_sub(clock);
        let mut ended = vec![0; trace.transactions.len()];
        for run in &trace.runs {
            parts.run += own(run.start, run.end);
            noting += clock;
            ended[run.transaction] = run.end.max(ended[run.transaction]);
        }
        for (tx, ran) in trace.transactions.iter().zip(ended) {
            let at = tx.noting;
            settle += own(at.ran, at.valid);
            parts.commit += own(at.commit, tx.at);
            noting += at.ran.saturating_sub(ran) + at.commit.saturating_sub(at.valid);
            // The two parts above, and the hand-over after the last moment.
            noting += at.committed.saturating_sub(tx.at) + 3 * clock;
        }
        let told = parts.run + parts.commit + noting;
        parts.rest = (threads * span).saturating_sub(told);
        if threads == 1 {
            parts.rest = parts.rest.saturating_sub(settle);
            parts.settle = Some(settle);
        }
        parts
    }

    /// All of them.
    pub fn sum(&self) -> u64 {
        self.run + self.settle.unwrap_or_default() + self.commit + self.rest + self.ends
    }
}

/// What was found of one block.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// The block's number; `None` for the block of payments.
    pub number: Option<u64>,
    /// Its transactions.
    pub txs: usize,
    /// Bare execution, nanoseconds.
    pub bare_ns: u64,
    /// Each number of threads.
    pub sides: Vec<Side>,
}

/// One block on one number of threads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Side {
    /// The threads.
    pub threads: u64,
    /// The block with nobody watching, nanoseconds.
    pub whole_ns: u64,
    /// The round with the least time.
    pub parts: Parts,
}

/// Runs the command. Everything that goes wrong is reported; the result is the exit code.
pub(super) fn run(args: &BenchArgs) -> Exit {
    let printer = Printer::new(args.json);
    let mut exit = Exit::Fine;
    let records = input::load(&args.paths, &args.workload, &printer, &mut exit);
    let payments = match payments() {
        Ok(payments) => payments,
        Err(error) => {
            printer.unreadable(&"the block of payments", &error);
            return Exit::Unreadable;
        }
    };
    let progress = ProgressBar::new(1 + records.len() as u64);
    let costs = Costs::new(args.rounds);
    let mut rows = Vec::with_capacity(1 + records.len());
    let named = records.iter().map(|(origin, record)| (origin.to_string(), record));
    for (origin, record) in payments.iter().map(|one| ("payments".to_owned(), one)).chain(named) {
        match costs.measure(record) {
            Ok(row) if rows.is_empty() && origin == "payments" => {
                rows.push(Row { number: None, ..row });
            }
            Ok(row) => rows.push(row),
            Err(error) => {
                let error = format!("{origin}: block {}: {error}", record.number());
                progress.suspend(|| printer.unreadable(&origin, &error));
                exit = exit.max(Exit::Unreadable);
            }
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    report::print(&rows, args.rounds, Machine::check(&records).throughput, args.json);
    exit
}

/// A block of payments that have nothing in common.
fn payments() -> Result<Vec<RecordedBlock>, String> {
    let mix = format!("{}=1", Kind::Transfers).parse().map_err(|error| format!("{error}"))?;
    let settings =
        Settings { blocks: 1, transactions: PAYMENTS, contention: 0.0, mix, ..Settings::default() };
    generate(&settings, &mut |_, _| {}).map_err(|error| error.to_string())
}

/// The engines that measure.
struct Costs {
    rounds: u32,
    clock: u64,
    engines: [Engine; 2],
}

impl Costs {
    fn new(rounds: u32) -> Self {
        // One thread commits every run at once, in index order, so that no wait counts as a part.
        let one = Options { threads: 1, forced: true, ..Options::default() };
        let two = Options { threads: 2, forced: true, ..Options::default() };
        Self { rounds, clock: clock(), engines: [one, two].map(Engine::new) }
    }

    /// The sides take turns, after a round that is not counted.
    fn measure(&self, record: &RecordedBlock) -> Result<Row, ExecuteError> {
        let (chain, block, source) = (&record.chain, &record.block, record.state.source());
        let unlimited = Limits::default();
        let mut row = Row {
            number: Some(record.number()),
            txs: block.transactions.len(),
            bare_ns: u64::MAX,
            sides: Vec::new(),
        };
        let mut least = [(u64::MAX, u64::MAX, Parts::default()); 2];
        for round in 0..=self.rounds {
            let (bare_ns, outcome) = timed(|| execute_bare(chain, block, source, OutputKind::Flat));
            outcome?;
            for (engine, (whole, traced, parts)) in self.engines.iter().zip(&mut least) {
                let (whole_ns, outcome) = timed(|| engine.execute(chain, block, source));
                outcome?;
                let (_, trace) = engine.execute_traced(chain, block, source, &unlimited)?;
                if round == 0 {
                    continue;
                }
                *whole = whole_ns.min(*whole);
                if trace.nanos < *traced {
                    *traced = trace.nanos;
                    *parts = Parts::new(&trace, engine.options().threads as u64, self.clock);
                }
            }
            if round > 0 {
                row.bare_ns = bare_ns.min(row.bare_ns);
            }
        }
        let sides = self.engines.iter().zip(least).map(|(engine, (whole_ns, _, parts))| Side {
            threads: engine.options().threads as u64,
            whole_ns,
            parts,
        });
        row.sides = sides.collect();
        Ok(row)
    }
}

/// What it takes to read the clock, nanoseconds.
fn clock() -> u64 {
    const READINGS: u64 = 10_000;
    let start = Instant::now();
    for _ in 0..READINGS {
        std::hint::black_box(nanos(std::hint::black_box(start).elapsed()));
    }
    nanos(start.elapsed()) / READINGS
}

fn timed<T>(side: impl FnOnce() -> T) -> (u64, T) {
    let start = Instant::now();
    let result = side();
    (nanos(start.elapsed()), result)
}

#[cfg(test)]
mod tests;
