//! Tasks of this repository: `cargo xtask test [PART]`, `style`, `memory`.

mod memory;
mod style;

use std::{
    env,
    process::{Command, ExitCode, Stdio},
};

const USAGE: &str = "usage: cargo xtask test [rust|models] | style | memory [PATH...]

  test   all tests; with a part's name, that part alone (parts: rust; models: loom and
         shuttle on the concurrency protocol, BRAID_SCHEDULES sets how many schedules)
  style  the mechanical rules: lengths, no unfinished marks, where unsafe may stand
  memory the peak memory of a replay, parallel against sequential; at most 1.5 times";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let passed = match args.as_slice() {
        ["test"] => steps(true, &[RUST, MODELS].concat()),
        ["test", "rust"] => steps(true, RUST),
        ["test", "models"] => steps(false, MODELS),
        ["style"] => style::check(),
        ["memory", paths @ ..] => memory::check(paths),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A step's name and cargo's arguments.
type Step = (&'static str, &'static [&'static str]);

const RUST: &[Step] = &[
    ("formatting", &["fmt", "--all", "--", "--check"]),
    ("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    ("documentation", &["doc", "--workspace", "--no-deps"]),
    ("tests", &["test", "--workspace", "--all-targets"]),
    ("documentation tests", &["test", "--workspace", "--doc"]),
];

const MODELS: &[Step] = &[
    ("loom", &["test", "-p", "braid-core", "--features", "loom", "--lib", "engine::models"]),
    ("shuttle", &["test", "-p", "braid-core", "--features", "shuttle", "--lib", "engine::models"]),
];

/// Runs every step, also after one has failed, so that one run shows all there is to mend.
fn steps(with_style: bool, steps: &[Step]) -> bool {
    let warnings = ("RUSTDOCFLAGS", "-D warnings");
    let mut failed = Vec::new();
    if with_style && !style::check() {
        failed.push("style");
    }
    for &(name, args) in steps {
        println!("== {name}: cargo {}", args.join(" "));
        if !cargo(args, warnings) {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        println!("== all steps passed");
    } else {
        println!("== failed: {}", failed.join(", "));
    }
    failed.is_empty()
}

fn cargo(args: &[&str], (key, value): (&str, &str)) -> bool {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(args).env(key, value).stdin(Stdio::null()).status();
    match status {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("cargo could not be started: {error}");
            false
        }
    }
}
