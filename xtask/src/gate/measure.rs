//! Finds the figures: by a program of `tests/examples` itself, and by callgrind, which counts its
//! instructions.

use super::super::{native, replay::BLOCKS};
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// How often each side is counted: the seeds of its maps differ from process to process.
const PROCESSES: usize = 3;
/// Counted are a mix of everything, and payments, beside which the engine's own work is largest.
const WORKLOADS: [(&str, &str); 2] = [("all kinds", "all"), ("payments", "transfers=1")];
const SIDES: [&str; 2] = ["bare", "engine"];
/// The function whose instructions are counted, with all that it calls.
const COUNTED: &str = "gate::instructions::counted*";
/// The C library chooses its copying by the processor, which changes counts by 4 %: here it is to
/// take the plainest, so that the figures of one machine hold on another.
const PLAIN_COPYING: &str =
    "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-ERMS,-FSRM,-AVX_Fast_Unaligned_Load";

/// What was found of one figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) largest: f64,
}

impl Figure {
    pub(crate) fn new(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |index: usize| samples.get(index).copied().unwrap_or(f64::NAN);
        Self {
            median: at(samples.len() / 2),
            least: at(0),
            largest: at(samples.len().saturating_sub(1)),
        }
    }
}

/// All that was found, and what was not, with the reasons.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Measured {
    pub(crate) figures: BTreeMap<String, Figure>,
    /// A group of figures, or a part of their names, and why they are left out.
    pub(crate) skipped: Vec<(String, String)>,
}

impl Measured {
    pub(crate) fn skip_group(&mut self, what: &str, reason: &str) {
        if self.skipped.iter().all(|(skipped, _)| skipped != what) {
            self.skipped.push((what.to_owned(), reason.to_owned()));
        }
    }

    /// Why this figure is left out, if it is.
    pub(crate) fn skipped(&self, name: &str) -> Option<&str> {
        let skips =
            |(what, _): &&(String, String)| name.split([':', ',']).any(|part| part.trim() == what);
        self.skipped.iter().find(skips).map(|(_, reason)| reason.as_str())
    }
}

/// What counts of instructions depend on.
pub(crate) struct Toolchain {
    pub(crate) compiler: String,
}

impl Toolchain {
    pub(crate) fn find() -> Self {
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let text = native::output(Command::new(rustc).arg("-vV")).unwrap_or_default();
        let line = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        let release = line("release: ").unwrap_or("an unknown compiler");
        Self { compiler: format!("rustc {release} for {}", line("host: ").unwrap_or("this host")) }
    }
}

/// Builds the program and finds every figure.
pub(crate) fn all(root: &Path) -> Result<Measured, String> {
    let build = ["build", "--release", "--package", "braid-tests", "--example", "gate"];
    if !native::cargo(&build) {
        return Err("the program that measures does not compile".to_owned());
    }
    let program = native::target(root).join("release/examples/gate");
    let mut measured = Measured::default();
    figures(root, &program, &mut measured)?;
    if native::is_there("valgrind") {
        instructions(root, &program, &mut measured)?;
    } else {
        measured.skip_group("instructions", "valgrind is not installed");
    }
    Ok(measured)
}

fn figures(root: &Path, program: &Path, measured: &mut Measured) -> Result<(), String> {
    let mut command = Command::new(program);
    command.arg("figures");
    let recorded = root.join(BLOCKS);
    if recorded.is_dir() {
        command.arg(&recorded);
    } else {
        let reason = format!("{BLOCKS} is not there; recorded blocks are not part of a clone");
        measured.skip_group("mainnet", &reason);
    }
    let text = native::output(&mut command)?;
    let found: BTreeMap<String, Vec<f64>> =
        serde_json::from_str(&text).map_err(|error| format!("{command:?}: {error}: {text}"))?;
    measured.figures.extend(found.into_iter().map(|(name, all)| (name, Figure::new(all))));
    Ok(())
}

/// For each workload the instructions per transaction of both sides, and of one over the other.
fn instructions(root: &Path, program: &Path, measured: &mut Measured) -> Result<(), String> {
    let folder = native::workspace(root);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let file = folder.join("callgrind.out");
    for (name, workload) in WORKLOADS {
        let mut medians = Vec::new();
        for side in SIDES {
            let samples = (0..PROCESSES).map(|_| count(program, side, workload, &file));
            let figure = Figure::new(samples.collect::<Result<_, _>>()?);
            medians.push(figure.median);
            measured.figures.insert(format!("instructions: {name}, {side}"), figure);
        }
        let ratio = Figure::new(vec![medians[1] / medians[0]]);
        measured.figures.insert(format!("instructions: {name}, engine over bare"), ratio);
    }
    Ok(())
}

/// One process under callgrind; instructions per transaction.
fn count(program: &Path, side: &str, workload: &str, file: &PathBuf) -> Result<f64, String> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet"]).arg(format!("--toggle-collect={COUNTED}"));
    command.arg(format!("--callgrind-out-file={}", file.display()));
    command.arg(program).args(["instructions", side, workload]);
    command.env("GLIBC_TUNABLES", PLAIN_COPYING).stdin(Stdio::null());
    let text = native::output(&mut command)?;
    let transactions: f64 =
        text.trim().parse().map_err(|error| format!("{command:?}: {error}: {text}"))?;
    let profile = fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let counted = total(&profile).filter(|counted| *counted > 0.0);
    let counted = counted.ok_or_else(|| {
        format!("{}: nothing was counted: is {COUNTED} still a function?", file.display())
    })?;
    Ok(counted / transactions)
}

/// What a profile of callgrind sums up to.
fn total(profile: &str) -> Option<f64> {
    profile.lines().find_map(|line| line.strip_prefix("summary: "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_a_profile_is_found() {
        assert_eq!(total("version: 1\nevents: Ir\nsummary: 34800645\n"), Some(34_800_645.0));
        assert_eq!(total("version: 1\n"), None);
    }

    #[test]
    fn medians_and_spread() {
        let figure = Figure::new(vec![3.0, 1.0, 2.0]);
        assert_eq!(figure, Figure { median: 2.0, least: 1.0, largest: 3.0 });
        assert!(Figure::new(Vec::new()).median.is_nan());
    }

    #[test]
    fn what_is_skipped_is_named_whole() {
        let mut measured = Measured::default();
        measured.skip_group("mainnet", "not there");
        measured.skip_group("instructions", "no valgrind");
        measured.skip_group("instructions", "another compiler");
        assert_eq!(measured.skipped("schedule: mainnet, cores 2"), Some("not there"));
        assert_eq!(measured.skipped("instructions: payments, bare"), Some("no valgrind"));
        assert_eq!(measured.skipped("executions: contention 0"), None);
    }
}
