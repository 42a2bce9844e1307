//! `braid replay --only SIDE`: one side alone, for its memory.
//!
//! Each block is read when its turn comes and dropped after it, so that the peak of the process's
//! memory is that of one record and one execution, not of all records. The header is checked,
//! nothing is compared; two runs are compared by their peaks (`cargo xtask memory`).

use super::{
    Only, ReplayArgs,
    input::files,
    measure::incomplete,
    report::{Printer, line},
};
use crate::exit::Exit;
use braid_core::{
    Engine, ExecuteError, HostError, Outcome,
    sequential::{execute_bare, execute_stock},
};
use braid_shadow::recorded::RecordedBlock;
use serde_json::json;
use std::{fs, path::Path};

/// What the run adds up.
#[derive(Debug, Default)]
struct Total {
    blocks: usize,
    matched: usize,
    /// The largest growth of the process's memory while a block was executed, bytes.
    growth: Option<u64>,
    peak: Option<u64>,
}

/// Runs one side alone. Everything that goes wrong is reported; the result is the exit code.
pub(super) fn run(args: &ReplayArgs, side: Only) -> Exit {
    let printer = Printer::new(args.json);
    let mut exit = Exit::Fine;
    let engine = Engine::new(args.options());
    let mut total = Total::default();
    if args.paths.is_empty() {
        let records = super::input::load(&args.paths, &args.workload, &printer, &mut exit);
        for (origin, record) in &records {
            exit = exit.max(block(args, side, &engine, record, &origin.to_string(), &mut total));
        }
    }
    for path in &args.paths {
        for file in files(path, &printer, &mut exit) {
            exit = exit.max(one_file(args, side, &engine, &file, &mut total));
        }
    }
    report(args, side, &engine, &total);
    exit
}

fn one_file(
    args: &ReplayArgs,
    side: Only,
    engine: &Engine,
    file: &Path,
    total: &mut Total,
) -> Exit {
    match RecordedBlock::read(file) {
        Ok(record) => block(args, side, engine, &record, &file.display().to_string(), total),
        Err(error) => {
            Printer::new(args.json).unreadable(&file.display(), &error);
            Exit::Unreadable
        }
    }
}

fn block(
    args: &ReplayArgs,
    side: Only,
    engine: &Engine,
    record: &RecordedBlock,
    origin: &str,
    total: &mut Total,
) -> Exit {
    let before = memory("VmRSS:");
    // From here on the peak is that of the execution; where that is not allowed, of the process.
    let _allowed = fs::write("/proc/self/clear_refs", "5");
    let mut last = None;
    for _ in 0..args.rounds {
        last = Some(execute(side, engine, record));
    }
    let peak = memory("VmHWM:");
    total.peak = total.peak.max(peak);
    let growth = peak.zip(before).map(|(peak, before)| peak.saturating_sub(before));
    total.growth = total.growth.max(growth);
    let problem = match last {
        Some(Ok(outcome)) => mismatch(record, &outcome),
        Some(Err(ExecuteError::Host(HostError::Source(error)))) => {
            let error = incomplete(record, &error);
            let error = format!("{origin}: block {}: {error}", record.number());
            Printer::new(args.json).unreadable(&origin, &error);
            return Exit::Unreadable;
        }
        Some(Err(error)) => Some(error.to_string()),
        None => None,
    };
    total.blocks += 1;
    if args.json {
        line(json!({
            "block": record.number(),
            "txs": record.block.transactions.len(),
            "growth_bytes": growth,
            "match": problem.is_none(),
        }));
    }
    match problem {
        None => {
            total.matched += 1;
            Exit::Fine
        }
        Some(problem) => {
            eprintln!("{origin}: block {}: {problem}", record.number());
            Exit::Mismatch
        }
    }
}

fn execute(side: Only, engine: &Engine, record: &RecordedBlock) -> Result<Outcome, ExecuteError> {
    let output = engine.options().output;
    let (chain, block, source) = (&record.chain, &record.block, record.state.source());
    match side {
        Only::Stock => execute_stock(chain, block, source, output),
        Only::Bare => execute_bare(chain, block, source, output),
        Only::Parallel => engine.execute(chain, block, source),
    }
}

/// What contradicts the header, in words.
fn mismatch(record: &RecordedBlock, outcome: &Outcome) -> Option<String> {
    let header = &record.block.header;
    let byzantium = record.chain.rules(header).has_status_receipts(header);
    outcome.check_header(&record.block, byzantium).err().map(|error| error.to_string())
}

fn report(args: &ReplayArgs, side: Only, engine: &Engine, total: &Total) {
    let Total { blocks, matched, growth, peak } = total;
    let threads = if side == Only::Parallel { engine.options().threads } else { 1 };
    let name = match side {
        Only::Stock => "stock",
        Only::Bare => "bare",
        Only::Parallel => "parallel",
    };
    if args.json {
        return line(json!({
            "summary": true,
            "only": name,
            "blocks": blocks,
            "matched": matched,
            "threads": threads,
            "peak_bytes": peak,
            "growth_bytes": growth,
        }));
    }
    line(format_args!("{blocks} blocks by {name}, {matched} as their headers say"));
    match peak.zip(*growth) {
        Some((peak, growth)) => line(format_args!(
            "peak memory {:.1} MiB; largest growth in one block {:.1} MiB",
            mebibytes(peak),
            mebibytes(growth)
        )),
        None => line("memory: only known on Linux"),
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// A line of Linux's `/proc/self/status`, bytes; `None` elsewhere.
fn memory(key: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
