//! The `braid` binary: arguments in, exit code out.

use braid_cli::{
    bench::{self, BenchArgs},
    conformance::{self, TestArgs},
    doctor::{self, DoctorArgs},
    explain::{self, ExplainArgs},
    record::{self, RecordArgs},
    replay::{self, ReplayArgs},
    shadow::{self, ShadowArgs},
};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Blocks are executed on several threads that allocate all the time, and what one of them has
/// allocated another one frees: the system's allocator makes them wait for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Executes Ethereum blocks in parallel, byte for byte equal to sequential execution.
#[derive(Debug, Parser)]
#[command(name = "braid", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Execute recorded blocks, or a built-in workload, sequentially and in parallel; compare,
    /// check, measure.
    Replay(ReplayArgs),
    /// Run published blockchain tests through the parallel engine.
    Test(TestArgs),
    /// Show what ran in parallel in a recorded block, what ran again and why, and what held the
    /// block back.
    Explain(ExplainArgs),
    /// Simulate the engine's schedule on any number of cores, from costs measured here.
    Bench(BenchArgs),
    /// Record blocks of a client, with everything that replaying them needs.
    Record(RecordArgs),
    /// Follow a client: execute every block again in parallel, compare, count.
    Shadow(ShadowArgs),
    /// Check what a client serves and what this machine allows, and say what to change.
    Doctor(DoctorArgs),
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    match command {
        Command::Replay(args) => replay::run(&args).into(),
        Command::Test(args) => conformance::run(&args).into(),
        Command::Explain(args) => explain::run(&args).into(),
        Command::Bench(args) => bench::run(&args).into(),
        Command::Record(args) => record::run(&args).into(),
        Command::Shadow(args) => shadow::run(&args).into(),
        Command::Doctor(args) => doctor::run(&args).into(),
    }
}
