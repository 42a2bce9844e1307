//! `braid replay --range`: consecutive blocks as one range, against block after block.
//!
//! Role: measure what a chain's blocks gain from being executed as one range. The sequential sides
//! execute each block on its own record, so that they are given every parent state; the range
//! starts from the state before its first block and makes the others itself. In each round every
//! side executes all blocks in a row, as in a catch-up: no side finds in the caches what the side
//! before it has read. Outcomes are dropped as they come.
//!
//! A range has one time: its blocks overlap, and their outcomes come in bursts. That time, the
//! median over the rounds, is split over the blocks in proportion to their bare times, so that each
//! block's ratio to bare is that of the whole range.

use super::{
    ReplayArgs,
    input::load,
    latency::Slow,
    machine::Machine,
    measure::{BlockReport, checks, difference, incomplete, median, nanos, timed},
    report::{Printer, Summary, ratio},
    sides::{Execution, Sides, Task},
};
use crate::exit::Exit;
use braid_core::{
    Block, Engine, ExecuteError, HostError, ImportError, Outcome,
    engine::{Limits, RangeError},
};
use braid_shadow::recorded::{JoinError, RecordedBlock, joined_state};
use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

/// Runs the command with `--range`. Everything that goes wrong is reported.
pub(super) fn run(args: &ReplayArgs) -> Exit {
    let printer = Printer::new(args.json);
    let mut exit = Exit::Fine;
    let records = load(&args.paths, &args.workload, &printer, &mut exit);
    let engine = Engine::new(args.options());
    let blocks: Vec<&RecordedBlock> = records.iter().map(|(_, record)| record).collect();
    let rounds = args.rounds as usize;
    let latency = Duration::from_micros(args.read_latency);
    let reports = match measure_range(&engine, &blocks, rounds, latency) {
        Ok(reports) => reports,
        Err(Problem::Unreadable(error)) => {
            printer.unreadable(&"range", &error);
            return exit.max(Exit::Unreadable);
        }
        Err(Problem::Mismatch(error)) => {
            printer.unreadable(&"range", &error);
            return Exit::Mismatch;
        }
    };
    if !records.is_empty() {
        printer.header();
    }
    for ((origin, _), report) in records.iter().zip(&reports) {
        printer.block(origin, report);
        if !report.matched() {
            exit = exit.max(Exit::Mismatch);
        }
    }
    let machine = Machine::check(&records);
    printer.summary(&Summary::new(&reports, engine.options().threads, rounds, machine));
    exit
}

/// Why there are no figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The records do not make a range, or lack something.
    Unreadable(String),
    /// The range ended where sequential execution goes on, or all sides reject a block.
    Mismatch(String),
}

/// Measures and checks consecutive blocks.
///
/// # Errors
/// [`Problem`], with the block's number.
pub fn measure_range(
    engine: &Engine,
    records: &[&RecordedBlock],
    rounds: usize,
    latency: Duration,
) -> Result<Vec<BlockReport>, Problem> {
    let Some(first) = records.first() else { return Ok(Vec::new()) };
    let state = joined_state(records).map_err(|error| match error {
        JoinError::Execute { error: ExecuteError::Invalid(_), .. } => {
            Problem::Mismatch(error.to_string())
        }
        error => Problem::Unreadable(error.to_string()),
    })?;
    let source = Slow::new(&state, latency);
    let blocks: Vec<&Block> = records.iter().map(|record| &record.block).collect();
    let mut sides: Vec<Times> = Vec::with_capacity(records.len());
    for record in records {
        sides.push(Times::new(engine, record)?);
    }
    // The first one warms up.
    let mut outcomes = Vec::with_capacity(blocks.len());
    range(engine, first, &blocks, &source, |outcome| outcomes.push(outcome))?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        times.push(range(engine, first, &blocks, &source, drop)?);
        for side in [Side::Stock, Side::Bare, Side::Again] {
            for (record, sides) in records.iter().zip(&mut sides) {
                sides.measure(side, engine, record, latency);
            }
        }
    }
    let total = median(times);
    let bare: u64 = sides.iter().map(|sides| median(sides.bare.clone())).sum();
    let share = |sides: &Times| {
        let part = ratio(median(sides.bare.clone()), bare);
        (total as f64 * part) as u64
    };
    let parts = records.iter().zip(sides).zip(outcomes);
    Ok(parts
        .map(|((record, sides), outcome)| {
            let parallel = share(&sides);
            sides.report(record, outcome, parallel)
        })
        .collect())
}

/// One run of the range, in nanoseconds; what becomes of each block goes to `each`.
fn range(
    engine: &Engine,
    first: &RecordedBlock,
    blocks: &[&Block],
    source: &Slow<'_>,
    mut each: impl FnMut(Outcome),
) -> Result<u64, Problem> {
    let start = Instant::now();
    let limits = Limits::default();
    let ended = engine.execute_range(&first.chain, blocks, source, &limits, |_, outcome| {
        each(outcome);
        ControlFlow::Continue(())
    });
    match ended {
        Ok(_) => Ok(nanos(start.elapsed())),
        Err(RangeError::Block { index, error }) => {
            let text = format!("block {}: {error}", blocks[index].header.number);
            Err(match error {
                ExecuteError::Host(HostError::Source(_)) => Problem::Unreadable(text),
                _ => Problem::Mismatch(text),
            })
        }
        Err(error) => Err(Problem::Unreadable(error.to_string())),
    }
}

/// What is measured beside the range; bare twice, which tells the noise.
#[derive(Debug, Clone, Copy)]
enum Side {
    Stock,
    Bare,
    Again,
}

/// The times of one block's sequential sides.
struct Times {
    oracle: Execution,
    difference: Option<String>,
    stock: Vec<u64>,
    bare: Vec<u64>,
    again: Vec<u64>,
}

impl Times {
    fn new(engine: &Engine, record: &RecordedBlock) -> Result<Self, Problem> {
        let source = &Slow::new(record.state.source(), Duration::ZERO);
        let sides = Sides::new(engine, record, source, Task::Execute);
        let oracle = sides.stock();
        if let Err(ImportError::Execute(ExecuteError::Host(HostError::Source(error)))) = &oracle {
            let text = format!("block {}: {}", record.number(), incomplete(record, error));
            return Err(Problem::Unreadable(text));
        }
        let difference = difference("bare", &oracle, &sides.bare());
        Ok(Self { oracle, difference, stock: Vec::new(), bare: Vec::new(), again: Vec::new() })
    }

    fn measure(&mut self, side: Side, engine: &Engine, record: &RecordedBlock, latency: Duration) {
        let source = &Slow::new(record.state.source(), latency);
        let sides = Sides::new(engine, record, source, Task::Execute);
        match side {
            Side::Stock => self.stock.push(timed(|| sides.stock()).1),
            Side::Bare => self.bare.push(timed(|| sides.bare()).1),
            Side::Again => self.again.push(timed(|| sides.bare()).1),
        }
    }

    fn report(self, record: &RecordedBlock, outcome: Outcome, parallel_ns: u64) -> BlockReport {
        let Self { oracle, difference: before, stock, bare, again } = self;
        let executions = outcome.statistics.executions;
        let outcome = Ok(outcome);
        let mut found = before.or_else(|| difference("range", &oracle, &outcome));
        let checks = outcome.as_ref().map(|outcome| checks(record, outcome, &mut found));
        BlockReport {
            number: record.number(),
            txs: record.block.transactions.len(),
            gas: record.block.header.gas_used,
            stock_ns: median(stock),
            bare_ns: median(bare),
            bare_again_ns: median(again),
            parallel_ns,
            executions,
            checks: checks.unwrap_or_default(),
            difference: found,
            ..BlockReport::default()
        }
    }
}
