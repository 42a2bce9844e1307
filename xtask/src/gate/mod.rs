//! `cargo xtask gate [--bless] [--json]`: has the engine become slower, by what a busy machine does
//! not disturb: executions, reads, the schedule in virtual time, instructions.
//!
//! [`mod@measure`] runs the program that finds the figures, [`mod@compare`] holds them against
//! those of `tests/gate.json`. A time on a clock is in none of them: `cargo xtask bench` has those.

mod compare;
mod measure;

use compare::{Committed, Compared, compare};
use measure::{Measured, Toolchain};
use serde_json::json;
use std::{fs, path::Path};

const USAGE: &str = "usage: cargo xtask gate [--bless] [--json]

  --bless  writes what was found to tests/gate.json, and prints old and new
  --json   one JSON object a figure";
/// Where the committed figures stand.
const COMMITTED: &str = "tests/gate.json";

/// Measures, compares, prints; false where a figure got worse.
pub(crate) fn run(root: &Path, args: &[&str]) -> bool {
    let (mut bless, mut as_json) = (false, false);
    for arg in args {
        match *arg {
            "--bless" => bless = true,
            "--json" => as_json = true,
            other => {
                eprintln!("{other}: no such option\n\n{USAGE}");
                return false;
            }
        }
    }
    match gate(root, bless, as_json) {
        Ok(passed) => passed,
        Err(error) => {
            eprintln!("gate: {error}");
            false
        }
    }
}

fn gate(root: &Path, bless: bool, as_json: bool) -> Result<bool, String> {
    let file = root.join(COMMITTED);
    let committed = match fs::read_to_string(&file) {
        Ok(text) => Committed::parse(&text).map_err(|error| format!("{COMMITTED}: {error}"))?,
        Err(_) if bless => Committed::default(),
        Err(error) => {
            return Err(format!("{COMMITTED}: {error}; `cargo xtask gate --bless` writes it"));
        }
    };
    let toolchain = Toolchain::find();
    let mut measured = measure::all(root)?;
    if !bless && toolchain.compiler != committed.compiler {
        let reason = format!(
            "the committed figures are of {}, this is {}",
            committed.compiler, toolchain.compiler
        );
        measured.skip_group("instructions", &reason);
    }
    let compared = compare(&committed, &measured);
    if as_json {
        compared.iter().for_each(|figure| println!("{}", figure.json()));
    } else {
        print!("{}", table(&compared));
    }
    // Objects are for programs, what is said to people goes beside them.
    let say = |text: String| if as_json { eprintln!("{text}") } else { println!("{text}") };
    for (group, reason) in &measured.skipped {
        say(format!("== gate: {group}: SKIPPED: {reason}"));
    }
    if bless {
        return write(&file, committed, &measured, toolchain, &compared);
    }
    compared.iter().filter_map(Compared::message).for_each(say);
    Ok(compared.iter().all(Compared::passes))
}

/// Writes the figures; those of a skipped group stay. What the engine promises cannot be blessed.
fn write(
    file: &Path,
    mut committed: Committed,
    measured: &Measured,
    toolchain: Toolchain,
    compared: &[Compared],
) -> Result<bool, String> {
    for figure in compared {
        if let Some(line) = figure.change() {
            println!("{line}");
        }
    }
    if measured.skipped.iter().all(|(group, _)| group != "instructions") {
        committed.compiler = toolchain.compiler;
    }
    committed.take(measured);
    let json = json!({ "compiler": committed.compiler, "figures": committed.figures });
    let text = serde_json::to_string_pretty(&json).map_err(|error| error.to_string())?;
    fs::write(file, text + "\n").map_err(|error| format!("{}: {error}", file.display()))?;
    println!("{COMMITTED} is written: commit it, and say why the figures changed");
    let broken = compared.iter().filter(|figure| figure.breaks_promise());
    let messages: Vec<String> = broken.filter_map(Compared::message).collect();
    messages.iter().for_each(|message| println!("{message}"));
    Ok(messages.is_empty())
}

fn table(compared: &[Compared]) -> String {
    let row = |name: &str, rest: [&str; 4]| {
        let [committed, found, limit, verdict] = rest;
        format!("{name:<58} {committed:>12} {found:>12} {limit:>12}  {verdict}\n")
    };
    let mut table = row("figure (less is better)", ["committed", "found", "limit", ""]);
    for figure in compared {
        let show = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), compare::short);
        let [committed, found, limit] = [figure.committed, figure.found(), figure.limit].map(show);
        table += &row(&figure.name, [&committed, &found, &limit, figure.verdict.name()]);
    }
    table
}
