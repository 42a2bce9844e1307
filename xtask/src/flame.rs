//! `cargo xtask bench flame [OPTION...]`: where the time of one side goes, as a flame graph.
//!
//! perf samples the release binary of `braid replay --only SIDE` as it is, and finds callers by its
//! debug information, so that what is drawn is what is measured elsewhere. Stacks without a
//! function of `braid_core` (reading files, the command line) are left out.

use crate::{
    native,
    replay::{self, BLOCKS},
};
use inferno::{
    collapse::{Collapse, perf},
    flamegraph,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const USAGE: &str = "usage: cargo xtask bench flame [OPTION...]

  --side SIDE    engine (without short cuts), bare or stock (engine)
  --blocks PATH  recorded blocks: a file or a folder; without one those of ../shared/mainnet where
                 they are there, else the built-in workload
  --threads N    threads of the engine (2)
  --rounds N     how often each block is executed (40)
  --out FILE     the SVG (target/flame/SIDE.svg)";
/// Samples a second; no divisor of what timers do a thousand times a second.
const FREQUENCY: &str = "997";
/// How callers are found, and how many bytes of each stack are kept for it.
const CALLERS: &str = "dwarf,16384";
/// A function of the engine or of the references.
const OURS: &str = "braid_core::";
const NO_PERF: &str = "perf is not installed: it is in Debian's package linux-perf, Ubuntu's \
                       linux-tools-generic, Fedora's and Arch's perf";
const NOT_ALLOWED: &str = "perf could not record; where it says that it is not permitted, \
                           `sudo sysctl kernel.perf_event_paranoid=1` permits it until the next \
                           start";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    side: String,
    blocks: Option<String>,
    threads: String,
    rounds: String,
    out: Option<PathBuf>,
}

impl Plan {
    fn parse(args: &[&str]) -> Result<Self, String> {
        let mut plan = Self {
            side: "engine".to_owned(),
            blocks: None,
            threads: "2".to_owned(),
            rounds: "40".to_owned(),
            out: None,
        };
        let mut args = args.iter().copied();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} wants a value"));
            match arg {
                "--side" => plan.side = value()?.to_owned(),
                "--blocks" => plan.blocks = Some(value()?.to_owned()),
                "--threads" => plan.threads = value()?.to_owned(),
                "--rounds" => plan.rounds = value()?.to_owned(),
                "--out" => plan.out = Some(value()?.into()),
                "--help" | "-h" => return Err("draws where the time goes".to_owned()),
                other => return Err(format!("{other}: no such option")),
            }
        }
        if !["engine", "bare", "stock"].contains(&plan.side.as_str()) {
            return Err(format!("--side {}: engine, bare or stock is wanted", plan.side));
        }
        Ok(plan)
    }

    /// The arguments of the program that is sampled.
    fn arguments(&self, recorded_are_there: bool) -> Vec<&str> {
        let side = if self.side == "engine" { "parallel" } else { &self.side };
        let mut args = vec!["replay", "--forced", "--only", side];
        args.extend(["--threads", &self.threads, "--rounds", &self.rounds]);
        args.extend(self.blocks.as_deref().or(recorded_are_there.then_some(BLOCKS)));
        args
    }
}

/// Samples and draws; false where that fails, which is told.
pub(crate) fn run(root: &Path, args: &[&str]) -> bool {
    let plan = match Plan::parse(args) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            return false;
        }
    };
    draw(root, &plan).inspect_err(|error| eprintln!("bench flame: {error}")).is_ok()
}

fn draw(root: &Path, plan: &Plan) -> Result<(), String> {
    if !native::is_there("perf") {
        return Err(NO_PERF.to_owned());
    }
    if !replay::build() {
        return Err("braid does not compile".to_owned());
    }
    let folder = native::target(root).join("flame");
    fs::create_dir_all(&folder).map_err(|error| named(&folder, &error))?;
    let data = folder.join("perf.data");
    let mut record = Command::new("perf");
    // The clock is there also where a virtual machine hides the processor's counters; its unit is
    // the nanosecond.
    record.args(["record", "--quiet", "--event", "cpu-clock", "--freq", FREQUENCY]);
    record.args(["--call-graph", CALLERS]);
    record.arg("--output").arg(&data).arg("--").arg(replay::program());
    record.args(plan.arguments(Path::new(BLOCKS).is_dir()));
    println!("== sampling: {record:?}");
    if !native::run(&mut record) {
        return Err(NOT_ALLOWED.to_owned());
    }
    println!("== finding callers; this takes as long again");
    let mut script = Command::new("perf");
    // Functions that were compiled into others would be looked up one by one, which takes hours.
    script.args(["script", "--no-inline", "--input"]).arg(&data);
    // Programs without symbols, the C library for one, are complained of again and again.
    let done = script.stdin(Stdio::null()).stderr(Stdio::null()).output();
    let done = done.map_err(|error| format!("{script:?}: {error}"))?;
    if !done.status.success() {
        return Err(format!("{script:?}: {}; run it by hand to see why", done.status));
    }
    let out = plan.out.clone().unwrap_or_else(|| folder.join(format!("{}.svg", plan.side)));
    let (ours, all) = svg(&done.stdout, plan, &out)?;
    let percent = 100.0 * ours as f64 / all as f64;
    println!("{}: {percent:.0} % of the time, what has {OURS} in it", out.display());
    Ok(())
}

/// Draws what perf wrote; gives the time that is drawn, and of which.
fn svg(script: &[u8], plan: &Plan, out: &Path) -> Result<(u64, u64), String> {
    let mut folded = Vec::new();
    perf::Folder::default()
        .collapse(script, &mut folded)
        .map_err(|error| format!("what perf found: {error}"))?;
    let folded = String::from_utf8_lossy(&folded);
    let time = |lines: &[&str]| lines.iter().map(|line| weight(line)).sum::<u64>();
    let all: Vec<&str> = folded.lines().collect();
    let ours: Vec<&str> = all.iter().copied().filter(|line| line.contains(OURS)).collect();
    if ours.is_empty() {
        return Err(format!(
            "nothing of {} ns is of {OURS}: more --rounds, or a binary without symbols",
            time(&all)
        ));
    }
    let mut options = flamegraph::Options::default();
    options.title = format!("{} on {} threads", plan.side, plan.threads);
    if plan.side != "engine" {
        options.title = format!("{}, sequential", plan.side);
    }
    options.count_name = "ns".to_owned();
    let mut drawn = Vec::new();
    flamegraph::from_lines(&mut options, ours.iter().copied(), &mut drawn)
        .map_err(|error| format!("{}: {error}", out.display()))?;
    fs::write(out, drawn).map_err(|error| named(out, &error))?;
    Ok((time(&ours), time(&all)))
}

/// How much a folded stack stands for: what is behind its last space.
fn weight(line: &str) -> u64 {
    line.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or_default()
}

fn named(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two samples, as `perf script` writes them.
    const SCRIPT: &str = "\
braid  5782 14427.255651:    1003009 cpu-clock:ppp: 
\t          4a2bcd braid_core::engine::run::work+0x13 (/braid)
\t          4a5fbb main+0x2b (/braid)

braid  5782 14427.257251:    1003009 cpu-clock:ppp: 
\t           f82ec read+0x4c (/libc.so.6)
\t          4a5fbb main+0x2b (/braid)

";

    fn plan(args: &[&str]) -> Plan {
        Plan::parse(args).expect("right arguments")
    }

    #[test]
    fn arguments_are_checked_and_handed_on() {
        for wrong in [&["--side"][..], &["--side", "other"], &["--sides"], &["--help"]] {
            assert!(Plan::parse(wrong).is_err(), "{wrong:?}");
        }
        let engine = plan(&[]);
        assert!(engine.arguments(true).ends_with(&["--rounds", "40", BLOCKS]));
        assert!(engine.arguments(false).ends_with(&["--rounds", "40"]));
        let bare = plan(&["--side", "bare", "--blocks", "here", "--rounds", "3"]);
        assert!(bare.arguments(true).ends_with(&["--rounds", "3", "here"]));
        assert!(bare.arguments(true).contains(&"bare"));
    }

    #[test]
    fn stacks_of_the_engine_are_drawn_and_others_left_out() {
        let out = std::env::temp_dir().join(format!("braid-flame-{}.svg", std::process::id()));
        let found = svg(SCRIPT.as_bytes(), &plan(&[]), &out);
        let drawn = fs::read_to_string(&out).unwrap_or_default();
        let _gone = fs::remove_file(&out);
        assert_eq!(found.as_ref().map(|(ours, all)| ours * 2 == *all), Ok(true), "{found:?}");
        assert!(drawn.contains("<svg") && drawn.contains("braid_core::engine::run::work"));
        assert!(!drawn.contains("read ("), "not of the engine");
        let nothing = SCRIPT.replace(OURS, "other::");
        let error = svg(nothing.as_bytes(), &plan(&[]), &out).expect_err("nothing to draw");
        assert!(error.contains("more --rounds"), "{error}");
    }

    #[test]
    fn weights_are_read() {
        assert_eq!(weight("a;b c;d 17"), 17);
        assert_eq!(weight("a;b"), 0);
    }
}
