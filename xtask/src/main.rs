//! Tasks of this repository: `cargo xtask test [PART]`, `cargo xtask header`, `cargo xtask style`.

mod bench;
mod flame;
mod gate;
mod header;
mod memory;
mod native;
mod node;
mod replay;
mod style;

use std::{
    env,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

const USAGE: &str = "usage: cargo xtask COMMAND

  test [PART]             all tests, or one part: rust; models (loom and shuttle on the concurrency
                          protocol, BRAID_SCHEDULES sets how many schedules); c; cpp; go; node
                          (with reth; skipped where reth cannot be had); gate, as below
  test node --long        the same with lints and every test at its full size
  test go --long          the same with all chains, published tests and soaks in full
  bench [OPTION...]       parallel against sequential execution, over several processes; --help
                          lists the options
  bench c                 what the C ABI costs, on the recorded blocks
  bench go                what Go's callbacks cost, on the recorded blocks; geth's own processor
                          against braid, on generated chains
  bench flame [--side bare|engine] [--blocks PATH]
                          where the time goes, as a flame graph; needs perf; --help lists the rest
  bench node              what the shadow costs a reth node's block import, on a dev chain
  gate [--bless]          executions, reads, schedule and instructions against committed figures;
                          --bless commits new ones, --json prints objects
  soak c BLOCKS           executes that many small blocks through C: memory and threads stay
  memory [PATH...]        peak memory of a replay, parallel against sequential: at most 1.5 times
  style                   the mechanical rules: lengths, no unfinished marks, where unsafe may stand
  header [--check]        write include/braid.h from ffi/; with --check, only look if it is stale
  abi                     write include/braid.abi: layout and symbols, to be read before a commit
  install --prefix DIR    release build with headers, libraries, pkg-config and CMake packages";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let passed = match args.as_slice() {
        ["test"] => test(),
        ["test", "rust"] => steps(true, RUST),
        ["test", "models"] => steps(false, MODELS),
        ["test", "c"] => native::c::test(root()),
        ["test", "cpp"] => native::cpp::test(root()),
        ["test", "go"] => native::go::test(root(), false),
        ["test", "go", "--long"] => native::go::test(root(), true),
        ["test", "gate"] => gate::run(root(), &[]),
        ["test", "node"] => node::test(root(), false),
        ["test", "node", "--long"] => node::test(root(), true),
        ["bench", "go"] => native::go::bench(root()),
        ["bench", "node"] => node::bench(root()),
        ["bench", "flame", args @ ..] => flame::run(root(), args),
        ["bench", "c"] => native::c::bench(root()),
        ["soak", "c", blocks] => native::c::soak(root(), blocks),
        ["gate", args @ ..] => gate::run(root(), args),
        ["style"] => style::check(),
        ["header"] => header::run(root(), false),
        ["header", "--check"] => header::run(root(), true),
        ["abi"] => abi(),
        ["install", "--prefix", prefix] => native::install::run(root(), Path::new(prefix), true),
        ["bench", args @ ..] => bench::run(args),
        ["memory", paths @ ..] => memory::check(paths),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Writes the list of the ABI from a library built for it.
fn abi() -> bool {
    let folder = native::workspace(root());
    let prefix = folder.join("prefix");
    native::install::run(root(), &prefix, false)
        && native::abi::check(root(), &prefix, &folder, true)
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
    ("loom", &["test", "-p", "braid-core", "--features", "loom", "--lib", "models"]),
    ("shuttle", &["test", "-p", "braid-core", "--features", "shuttle", "--lib", "engine::models"]),
];

/// Every part, also after one has failed.
fn test() -> bool {
    let parts = [
        ("rust", steps(true, RUST)),
        ("models", steps(false, MODELS)),
        ("c", native::c::test(root())),
        ("cpp", native::cpp::test(root())),
        ("go", native::go::test(root(), false)),
        ("node", node::test(root(), false)),
        ("gate", gate::run(root(), &[])),
    ];
    for (part, passed) in parts {
        println!("== {part}: {}", if passed { "passed" } else { "FAILED" });
    }
    parts.iter().all(|&(_, passed)| passed)
}

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
