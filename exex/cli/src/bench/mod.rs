//! `braid bench`: the block's time on more cores than the machine has; where its time goes here.
//!
//! Role: measure what each transaction costs here ([`mod@measure`]), let the engine's own scheduler
//! run in virtual time on any number of cores ([`braid_core::engine::simulate`]), and report it
//! beside the least that the dependencies allow ([`mod@report`]). What it predicts for two cores is
//! checked against a real run on two threads, and the error is printed. With `--costs` each part of
//! a transaction's way through the engine is timed instead ([`mod@costs`]).

pub mod costs;
pub mod measure;
pub mod report;

use crate::{
    exit::{EXIT_CODES, Exit},
    replay::{
        input::{self, WorkloadArgs},
        latency,
        machine::Machine,
        report::Printer,
    },
};
use clap::Args;
use indicatif::ProgressBar;
use measure::{Bench, Measured};
use report::Summary;
use std::path::PathBuf;

/// Arguments of `braid bench`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_CODES)]
pub struct BenchArgs {
    /// Recorded blocks: files, or folders of `*.json.zst`. Without any, a built-in workload is
    /// generated.
    pub paths: Vec<PathBuf>,
    /// Numbers of cores to simulate.
    #[arg(
        long,
        value_name = "CORES,...",
        required_unless_present = "costs",
        value_delimiter = ',',
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    pub simulate: Vec<u16>,
    /// What the parts of a transaction's way through the engine cost, on one thread and on two:
    /// of a block of payments that have nothing in common, and of the blocks.
    #[arg(long, conflicts_with_all = ["simulate", "read_latency"])]
    pub costs: bool,
    /// How often each block is executed on each side; of all rounds the least time counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Each read of the parent state takes at least this many microseconds, on every side; the
    /// cores are then as many workers, who leave theirs to others while they wait.
    #[arg(
        long,
        value_name = "MICROSECONDS",
        default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(..=1_000_000)
    )]
    pub read_latency: u64,
    /// One JSON object a line instead of a table.
    #[arg(long)]
    pub json: bool,
    /// What to generate where no path is given.
    #[command(flatten)]
    pub workload: WorkloadArgs,
}

/// Runs the command. Everything that goes wrong is reported; the result is the exit code.
pub fn run(args: &BenchArgs) -> Exit {
    if args.costs {
        return costs::run(args);
    }
    let printer = Printer::new(args.json);
    let mut exit = Exit::Fine;
    let records = input::load(&args.paths, &args.workload, &printer, &mut exit);
    let latency = latency::from_micros(args.read_latency);
    let bench = Bench::new(args.rounds as usize, latency);
    let progress = ProgressBar::new(records.len() as u64);
    let mut measured: Vec<Measured<'_>> = Vec::with_capacity(records.len());
    for (origin, record) in &records {
        match bench.measure(record) {
            Ok(block) => measured.push(block),
            Err(error) => {
                let error = format!("{origin}: block {}: {error}", record.number());
                progress.suspend(|| printer.unreadable(origin, &error));
                exit = exit.max(Exit::Unreadable);
            }
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    let mut cores: Vec<usize> = args.simulate.iter().map(|cores| usize::from(*cores)).collect();
    cores.sort_unstable();
    cores.dedup();
    let wake_ns = measure::wake_ns(&measured);
    let rows: Vec<_> =
        measured.iter().map(|block| block.simulate(&bench, &cores, wake_ns)).collect();
    let mut summary = Summary::new(&rows, &cores, args.rounds, wake_ns);
    summary.latency = latency;
    summary.machine_check = Machine::check(&records).throughput;
    report::print(&rows, &summary, args.json);
    exit
}
