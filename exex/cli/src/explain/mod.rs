//! `braid explain`: what held a block back.
//!
//! Role: execute one recorded block with a trace, put the figures together ([`mod@report`]), and
//! print them as a table ([`mod@table`]), as JSON ([`mod@json`]) or as a page ([`mod@page`]). The
//! three forms show one [`report::Report`], which [`report::Report::of`] makes of any recorded
//! block, wherever it came from.

pub mod json;
pub mod page;
pub mod report;
pub mod table;

use crate::{
    exit::{EXIT_CODES, Exit},
    replay::report::line,
};
use braid_shadow::recorded::RecordedBlock;
use clap::Args;
use report::{Problem, Report, Settings};
use std::{fs, path::PathBuf};

/// Arguments of `braid explain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_CODES)]
pub struct ExplainArgs {
    /// A recorded block (`*.json.zst`).
    pub file: PathBuf,
    /// Threads, the calling one included (default: all cores).
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// How often the block is executed on each side. Times of transactions are the least of all
    /// rounds; the schedule is that of the round with the median time.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// How many slots, contracts and repeated runs are listed.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub top: u16,
    /// One JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Write the report as one HTML page that needs no network, too.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Runs the command. Everything that goes wrong is reported; the result is the exit code.
pub fn run(args: &ExplainArgs) -> Exit {
    let record = match RecordedBlock::read(&args.file) {
        Ok(record) => record,
        Err(error) => return unreadable(&error.to_string()),
    };
    let settings = Settings {
        threads: args.threads.map(usize::from),
        rounds: args.rounds as usize,
        top: usize::from(args.top),
    };
    let file = args.file.display();
    let report = match Report::of(&record, &settings) {
        Ok(report) => report,
        Err(Problem::Unreadable(reason)) => return unreadable(&format!("{file}: {reason}")),
        Err(Problem::Mismatch(reason)) => {
            eprintln!("{file}: block {}: {reason}", record.number());
            return Exit::Mismatch;
        }
    };
    if args.json {
        line(json::document(&report));
    } else {
        table::print(&report);
    }
    let Some(path) = &args.html else { return Exit::Fine };
    let written = page::render(&report)
        .map_err(|error| error.to_string())
        .and_then(|page| fs::write(path, page).map_err(|error| error.to_string()));
    match written {
        Ok(()) => Exit::Fine,
        Err(error) => unreadable(&format!("{}: not written: {error}", path.display())),
    }
}

fn unreadable(reason: &str) -> Exit {
    eprintln!("{reason}");
    Exit::Unreadable
}
