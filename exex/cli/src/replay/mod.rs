//! `braid replay`: recorded or generated blocks through stock, bare and parallel execution.
//!
//! Role: get the blocks ([`mod@input`]), measure and compare each ([`mod@measure`]), check it
//! against its header, report it ([`mod@report`]). Results go to standard output, progress to
//! standard error. With `--range` the parallel side takes all blocks as one range ([`mod@range`]).
//! With `--only` one side runs alone ([`mod@only`]), so that its memory can be told. `sides` holds
//! the ways of executing a block.

pub mod input;
pub mod latency;
pub mod machine;
pub mod measure;
pub mod only;
pub mod predictions;
pub mod range;
pub mod report;
mod sides;

use crate::exit::{EXIT_CODES, Exit};
use braid_core::{Engine, Optimisations, Options, OutputKind};
use braid_shadow::recorded::RecordedBlock;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use input::{Origin, WorkloadArgs};
use machine::Machine;
use measure::{BlockReport, How, measure, measure_by_pass};
use predictions::Learned;
use report::{Printer, Summary};
use sides::Task;
use std::path::PathBuf;

/// The form of the changed state on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Sorted account and slot changes.
    Flat,
    /// revm's bundle with reverts.
    Bundle,
}

/// Optimisations that can be turned off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Without {
    /// All of them.
    All,
    /// Commuting balances and predicted nonces.
    CommutativeBalances,
    /// Accounts that many payments share are looked at as the parent state has them.
    HotAccounts,
    /// The few long transactions start first.
    LongFirst,
    /// A sender's calls of one contract wait for each other.
    SenderChains,
    /// Payments are handed out several at once.
    PaymentRuns,
    /// Blocks that look like one chain run on the calling thread.
    ChainPrediction,
    /// What calls took, and whether they conflicted, is remembered from block to block.
    Learning,
    /// What an access list names is read ahead where reads are slow.
    Prefetch,
    /// Where reads are slow, long transactions learn what they will read, and all threads read it.
    RunAhead,
    /// Idle workers execute once more, ahead of its turn, what has become stale.
    Revalidate,
    /// A bundle is made from the block's net changes instead of by revm's `State`.
    DirectBundle,
    /// In a range, workers go ahead with the next block.
    Pipelining,
    /// Threads that find nothing to do take part in checks of pairings and point evaluations.
    SharedChecks,
    /// Points of alt_bn128 are multiplied with the curve's endomorphism.
    Endomorphism,
    /// Each EVM remembers the last hashes of two words.
    Hashes,
}

/// One side alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Only {
    /// alloy-evm's block executor over revm's `State`.
    Stock,
    /// The fastest sequential execution.
    Bare,
    /// The parallel engine.
    Parallel,
}

/// Arguments of `braid replay`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_CODES)]
pub struct ReplayArgs {
    /// Recorded blocks: files, or folders of `*.json.zst`. Without any, a built-in workload is
    /// generated.
    pub paths: Vec<PathBuf>,
    /// Threads of the parallel side, the calling one included (default: all cores; more pay only
    /// with --read-latency).
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// How often each block is executed on each side; times are medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// No sequential short cut of any kind.
    #[arg(long)]
    pub forced: bool,
    /// In each round every side executes all blocks in a row, as in a catch-up, instead of all
    /// sides one block after the other.
    #[arg(long, conflicts_with_all = ["only", "range"])]
    pub by_pass: bool,
    /// The engine keeps what it has learned of contracts from round to round, as of contracts that
    /// are called in every block. Without it a block's calls are known only from blocks before it.
    #[arg(long, conflicts_with_all = ["only", "range"])]
    pub warm: bool,
    /// Starts from the predictions in this file, where it exists, and saves there what the engine
    /// has learned.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["only", "range"])]
    pub predictions: Option<PathBuf>,
    /// The form of the changed state.
    #[arg(long, value_enum, default_value = "flat")]
    pub output: Output,
    /// Turns an optimisation off, to measure what it gives.
    #[arg(long, value_enum, value_name = "OPTIMISATION")]
    pub without: Vec<Without>,
    /// Each read of the parent state takes at least this many microseconds, on every side.
    #[arg(
        long,
        value_name = "MICROSECONDS",
        default_value_t = 0,
        conflicts_with = "only",
        value_parser = clap::value_parser!(u64).range(..=1_000_000)
    )]
    pub read_latency: u64,
    /// On every side the block starts as RLP and ends verified: senders are recovered, body,
    /// receipts root and bloom compared with the header.
    #[arg(long, conflicts_with_all = ["only", "range"])]
    pub import: bool,
    /// Executes the blocks, which must be consecutive, as one range on the parallel side.
    #[arg(long, conflicts_with_all = ["only", "keep_going"])]
    pub range: bool,
    /// Gives the parallel side each block's access list (EIP-7928), as stock execution produces it;
    /// every side produces one.
    #[arg(long, conflicts_with_all = ["only", "range", "import"])]
    pub access_list: bool,
    /// Runs one side alone, block after block, and reports the peak of the process's memory.
    #[arg(long, value_enum, value_name = "SIDE")]
    pub only: Option<Only>,
    /// One JSON object a line instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Go on after a mismatch.
    #[arg(long)]
    pub keep_going: bool,
    /// What to generate where no path is given.
    #[command(flatten)]
    pub workload: WorkloadArgs,
}

impl ReplayArgs {
    fn task(&self) -> Task {
        match (self.import, self.access_list) {
            (true, _) => Task::Import,
            (false, true) => Task::AccessList,
            (false, false) => Task::Execute,
        }
    }

    fn optimisations(&self) -> Optimisations {
        let mut optimisations = Optimisations::ALL;
        for without in &self.without {
            match without {
                Without::All => optimisations = Optimisations::NONE,
                Without::CommutativeBalances => optimisations.commutative_balances = false,
                Without::HotAccounts => optimisations.hot_accounts = false,
                Without::LongFirst => optimisations.long_first = false,
                Without::SenderChains => optimisations.sender_chains = false,
                Without::PaymentRuns => optimisations.payment_runs = false,
                Without::ChainPrediction => optimisations.chain_prediction = false,
                Without::Learning => optimisations.learning = false,
                Without::Prefetch => optimisations.prefetch = false,
                Without::Revalidate => optimisations.revalidate = false,
                Without::DirectBundle => optimisations.direct_bundle = false,
                Without::RunAhead => optimisations.run_ahead = false,
                Without::Pipelining => optimisations.pipelining = false,
                Without::SharedChecks => optimisations.shared_checks = false,
                Without::Endomorphism => optimisations.endomorphism = false,
                Without::Hashes => optimisations.hashes = false,
            }
        }
        optimisations
    }

    fn options(&self) -> Options {
        let output = match self.output {
            Output::Flat => OutputKind::Flat,
            Output::Bundle => OutputKind::Bundle,
        };
        let defaults = Options::default();
        let threads = self.threads.map_or(defaults.threads, usize::from);
        let optimisations = Learned::switches(self, self.optimisations());
        Options { threads, output, forced: self.forced, optimisations }
    }
}

/// Runs the command. Everything that goes wrong is reported; the result is the exit code.
pub fn run(args: &ReplayArgs) -> Exit {
    if let Some(side) = args.only {
        return only::run(args, side);
    }
    if args.range {
        return range::run(args);
    }
    let printer = Printer::new(args.json);
    let mut exit = Exit::Fine;
    let records = input::load(&args.paths, &args.workload, &printer, &mut exit);
    let options = args.options();
    let engine = Engine::new(options.clone());
    let how = How {
        rounds: args.rounds as usize,
        latency: latency::from_micros(args.read_latency),
        task: args.task(),
    };
    let learned = match Learned::begin(&engine, args) {
        Ok(learned) => learned,
        Err(error) => {
            printer.unreadable(&error.path().display(), &error);
            return Exit::Unreadable;
        }
    };
    let progress = progress(&records);
    if !records.is_empty() {
        printer.header();
    }
    let mut reports: Vec<BlockReport> = Vec::with_capacity(records.len());
    let measured: Box<dyn Iterator<Item = BlockReport>> = if args.by_pass {
        let blocks: Vec<_> = records.iter().map(|(_, record)| record).collect();
        let begin = || learned.reset(&engine);
        let done = |gas| progress.inc(gas);
        Box::new(measure_by_pass(&engine, &blocks, how, begin, done).into_iter())
    } else {
        Box::new(records.iter().map(|(_, record)| {
            let report = measure(&engine, record, how);
            progress.inc(record.block.header.gas_used);
            report
        }))
    };
    for ((origin, _), report) in records.iter().zip(measured) {
        if let Some(reason) = &report.unreadable {
            let error = format!("{origin}: block {}: {reason}", report.number);
            progress.suspend(|| printer.unreadable(origin, &error));
            exit = exit.max(Exit::Unreadable);
            continue;
        }
        progress.suspend(|| printer.block(origin, &report));
        let matched = report.matched();
        reports.push(report);
        if !matched {
            exit = exit.max(Exit::Mismatch);
            if !args.keep_going {
                break;
            }
        }
    }
    progress.finish_and_clear();
    if let Err(error) = learned.end(&engine) {
        printer.unreadable(&error.path().display(), &error);
        exit = exit.max(Exit::Unreadable);
    }
    let machine = Machine::check(&records);
    let summary = Summary::new(&reports, options.threads, args.rounds as usize, machine);
    printer.summary(&summary);
    exit
}

/// A bar by gas, hidden where standard error is no terminal.
fn progress(records: &[(Origin, RecordedBlock)]) -> ProgressBar {
    let gas = records.iter().map(|(_, record)| record.block.header.gas_used).sum();
    let bar = ProgressBar::new(gas);
    let style = ProgressStyle::with_template("{wide_bar} {percent} % of the gas, {eta} left");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}
