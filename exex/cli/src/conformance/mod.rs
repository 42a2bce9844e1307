//! `braid test`: the published blockchain tests through the parallel engine.
//!
//! Role: read files of tests ([`input`]), run each case ([`chain`]), report. Actors: the calling
//! thread reads; `--jobs` threads, each with an engine of its own, run; results are printed in the
//! order of the input. A case that the engine fails is run again on sequential revm: where that
//! fails in the same way, the case says nothing about parallel execution and is skipped.

pub mod case;
pub mod chain;
pub mod header;
pub mod input;
pub mod network;
mod report;

use crate::exit::{EXIT_CODES, Exit};
use braid_core::{Engine, Options};
use case::{Case, File};
use chain::Executor;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use input::TestFile;
use report::Report;
use serde::Deserialize;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Mutex, mpsc},
};

/// Files that are read ahead of the threads that run them.
const READ_AHEAD: usize = 16;

/// Arguments of `braid test`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_CODES)]
pub struct TestArgs {
    /// Blockchain tests: `.json` files, `.tar.zst` archives, folders of both.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Threads of one execution, the calling one included (default: all cores).
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// No sequential short cut of any kind.
    #[arg(long)]
    pub forced: bool,
    /// Cases that run at the same time (default: all cores).
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Only cases whose name contains this text.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// One JSON object a line instead of text.
    #[arg(long)]
    pub json: bool,
}

/// What became of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was as the case expects.
    Passed,
    /// Parallel execution differs from what the case expects; why.
    Failed(String),
    /// The case cannot tell; why.
    Skipped(String),
}

/// One case's verdict. Where a file as a whole is skipped, its name stands for its cases.
#[derive(Debug)]
pub struct CaseResult {
    /// The file.
    pub file: String,
    /// The case.
    pub case: String,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of one file.
struct FileResult {
    index: usize,
    cases: Vec<CaseResult>,
    unreadable: Option<String>,
}

/// Runs the command. Everything that goes wrong is reported; the result is the exit code.
pub fn run(args: &TestArgs) -> Exit {
    let cores = Options::default().threads;
    let jobs = args.jobs.map_or(cores, usize::from);
    let total = args.paths.iter().map(|path| input::size(path)).sum();
    let progress = progress(total);
    let (sender, receiver) = mpsc::sync_channel::<(usize, TestFile)>(READ_AHEAD);
    let receiver = Mutex::new(receiver);
    let results = Mutex::new(Vec::new());
    let mut unreadable = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..jobs).map(|_| scope.spawn(|| work(args, &receiver, &results))).collect();
        let mut index = 0;
        for path in &args.paths {
            let mut take = |file| {
                index += 1;
                sender.send((index, file)).is_ok()
            };
            input::each(path, &progress, &mut take, &mut |error| {
                unreadable.push(error.to_string());
            });
        }
        drop(sender);
        for worker in workers {
            if worker.join().is_err() {
                unreadable.push("a test thread panicked outside of any case".to_owned());
            }
        }
    });
    progress.finish_and_clear();
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|file| file.index);
    let mut report = Report::new(args.json);
    unreadable.iter().for_each(|error| report.unreadable(error));
    for file in results {
        file.unreadable.iter().for_each(|error| report.unreadable(error));
        file.cases.iter().for_each(|case| report.case(case));
    }
    report.finish()
}

fn work(
    args: &TestArgs,
    receiver: &Mutex<mpsc::Receiver<(usize, TestFile)>>,
    results: &Mutex<Vec<FileResult>>,
) {
    let threads = args.threads.map_or(Options::default().threads, usize::from);
    let options = Options { threads, forced: args.forced, ..Options::default() };
    let engine = Engine::new(options);
    loop {
        let Ok(Ok((index, file))) = receiver.lock().map(|receiver| receiver.recv()) else { return };
        let result = run_file(args, &engine, index, &file);
        if let Ok(mut results) = results.lock() {
            results.push(result);
        }
    }
}

fn run_file(args: &TestArgs, engine: &Engine, index: usize, file: &TestFile) -> FileResult {
    let mut result = FileResult { index, cases: Vec::new(), unreadable: None };
    let skip = |reason: &str| CaseResult {
        file: file.name.clone(),
        case: "*".to_owned(),
        verdict: Verdict::Skipped(reason.to_owned()),
    };
    if file.is_pointer() {
        result.cases.push(skip("the file is a Git LFS pointer, its content is not there"));
        return result;
    }
    let cases: File = match serde_json::from_slice(&file.text) {
        Ok(cases) => cases,
        Err(error) => {
            result.unreadable = Some(format!("{}: {error}", file.name));
            return result;
        }
    };
    for (name, value) in cases {
        if args.filter.as_ref().is_some_and(|filter| !name.contains(filter)) {
            continue;
        }
        if value.get("blocks").is_none() {
            result.cases.push(skip("not a blockchain test: no `blocks`"));
            continue;
        }
        match Case::deserialize(value) {
            Ok(case) => {
                let verdict = verdict(&case, engine);
                result.cases.push(CaseResult { file: file.name.clone(), case: name, verdict });
            }
            Err(error) => {
                result.unreadable = Some(format!("{}: case {name}: {error}", file.name));
            }
        }
    }
    result
}

fn verdict(case: &Case, engine: &Engine) -> Verdict {
    let attempt = |executor| {
        catch_unwind(AssertUnwindSafe(|| chain::run(case, executor)))
            .unwrap_or_else(|_| Err("a panic".to_owned()))
    };
    let Err(reason) = attempt(Executor::Engine(engine)) else { return Verdict::Passed };
    match attempt(Executor::Stock) {
        Err(stock) if stock == reason => {
            Verdict::Skipped(format!("sequential revm fails too: {reason}"))
        }
        Err(stock) => Verdict::Failed(format!("{reason}; sequential revm: {stock}")),
        Ok(()) => Verdict::Failed(reason),
    }
}

/// A bar by bytes of input, hidden where standard error is no terminal.
fn progress(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    let style = ProgressStyle::with_template("{wide_bar} {percent} % of the input, {eta} left");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}
