//! `braid explain`: what held a block back.
//!
//! Role: execute one block, recorded or fetched from a client, with a trace, put the figures
//! together ([`mod@report`]), and print them as a table ([`mod@table`]), as JSON ([`mod@json`]) or
//! as a page ([`mod@page`]). The three forms show one [`report::Report`], which
//! [`report::Report::of`] makes of any recorded block, wherever it came from.

pub mod json;
pub mod page;
pub mod report;
pub mod table;

use crate::{
    exit::{EXIT_CODES, Exit},
    record::{self, Blocks},
    replay::report::line,
    rpc::RpcOptions,
};
use braid_shadow::recorded::RecordedBlock;
use clap::{ArgGroup, Args};
use report::{Problem, Report, Settings};
use std::{fs, path::PathBuf};

/// Arguments of `braid explain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_CODES, group = ArgGroup::new("what").required(true))]
pub struct ExplainArgs {
    /// A recorded block (`*.json.zst`).
    #[arg(group = "what")]
    pub file: Option<PathBuf>,
    /// A block of the client at --rpc-url instead: its number, or `latest`.
    #[arg(long, value_name = "N|latest", value_parser = one_block, requires = "rpc_url",
        group = "what")]
    pub block: Option<Blocks>,
    /// The client's HTTP endpoint.
    #[arg(long, env = "ETH_RPC_URL", value_name = "URL", help_heading = "Client")]
    pub rpc_url: Option<String>,
    /// How to talk to it.
    #[command(flatten)]
    pub rpc: RpcOptions,
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

fn one_block(text: &str) -> Result<Blocks, String> {
    match text.parse()? {
        Blocks::Range(range) if range.start() != range.end() => {
            Err("one block at a time is explained".to_owned())
        }
        block => Ok(block),
    }
}

/// The block to explain, and what messages call it.
fn find(args: &ExplainArgs) -> Result<(RecordedBlock, String), Exit> {
    match (&args.file, &args.block, &args.rpc_url) {
        (Some(file), ..) => match RecordedBlock::read(file) {
            Ok(record) => Ok((record, file.display().to_string())),
            Err(error) => Err(unreadable(&error.to_string())),
        },
        (None, Some(block), Some(url)) => Ok((record::fetch(url, &args.rpc, block)?, url.clone())),
        _ => Err(unreadable("neither a file nor a block of a client is given")),
    }
}

/// Runs the command. Everything that goes wrong is reported; the result is the exit code.
pub fn run(args: &ExplainArgs) -> Exit {
    let (record, name) = match find(args) {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    let settings = Settings {
        threads: args.threads.map(usize::from),
        rounds: args.rounds as usize,
        top: usize::from(args.top),
    };
    let report = match Report::of(&record, &settings) {
        Ok(report) => report,
        Err(Problem::Unreadable(reason)) => return unreadable(&format!("{name}: {reason}")),
        Err(Problem::Mismatch(reason)) => {
            eprintln!("{name}: block {}: {reason}", record.number());
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
