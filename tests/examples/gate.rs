//! What `cargo xtask gate` compares with committed figures.
//!
//! `gate figures [RECORDED]` prints one JSON object: for each figure its name and what each round
//! found. All of them say how much more is done than has to be, so that less is better:
//! `executions` counts the runs of a transaction on several threads, `reads` those of the parent
//! state against sequential execution, `schedule` is the engine's schedule in virtual time.
//!
//! `gate instructions SIDE WORKLOAD` executes a workload for callgrind ([`instructions`]) and
//! prints how many transactions it counts.

#[path = "gate/executions.rs"]
mod executions;
#[path = "gate/instructions.rs"]
mod instructions;
#[path = "gate/reads.rs"]
mod reads;
#[path = "gate/schedule.rs"]
mod schedule;

use braid_core::{Engine, Options};
use braid_shadow::recorded::{self, RecordedBlock};
use braid_workload::{Settings, generate};
use serde_json::{Map, Value, json};
use std::{
    env,
    error::Error,
    io::{IsTerminal, stderr},
    path::{Path, PathBuf},
    process::ExitCode,
};

type Failure = Box<dyn Error>;

/// How much the transactions of the built-in workloads depend on each other.
const CONTENTIONS: [f64; 3] = [0.0, 0.3, 1.0];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["figures"] => figures(None),
        ["figures", recorded] => figures(Some(Path::new(recorded))),
        ["instructions", side, workload] => count(side, workload),
        _ => Err("usage: gate figures [RECORDED] | gate instructions SIDE WORKLOAD".into()),
    };
    if let Err(error) = done {
        eprintln!("gate: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn figures(recorded: Option<&Path>) -> Result<(), Failure> {
    let mut found = Map::new();
    for contention in CONTENTIONS {
        let settings = Settings { blocks: 4, contention, ..Settings::default() };
        let name = format!("contention {contention}");
        progress(&format!("generating blocks of {name}"));
        let records = generate(&settings, &mut |_, _| {})?;
        progress(&format!("executing blocks of {name}"));
        found.insert(format!("executions: {name}"), json!(executions::samples(&records)?));
        found.extend(reads::samples(&name, &records)?);
        found.extend(schedule::samples(&name, &records)?);
    }
    if let Some(folder) = recorded {
        progress("executing recorded blocks");
        let read = |file: &PathBuf| RecordedBlock::read(file);
        let records = recorded::files(folder)?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        found.insert("executions: mainnet".to_owned(), json!(executions::samples(&records)?));
        found.extend(schedule::samples("mainnet", &records)?);
    }
    if stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    println!("{}", Value::Object(found));
    Ok(())
}

fn count(side: &str, workload: &str) -> Result<(), Failure> {
    let side = instructions::Side::named(side).ok_or_else(|| format!("{side}: no such side"))?;
    let settings = instructions::settings(workload)?;
    let records = generate(&settings, &mut |_, _| {})?;
    println!("{}", instructions::run(&side, &records)?);
    Ok(())
}

fn progress(what: &str) {
    if stderr().is_terminal() {
        eprint!("\r\x1b[K{what}");
    }
}

/// An engine without any short cut.
fn forced(threads: usize) -> Engine {
    Engine::new(Options { threads, forced: true, ..Options::default() })
}

fn transactions(records: &[RecordedBlock]) -> usize {
    records.iter().map(|record| record.block.transactions.len()).sum()
}
