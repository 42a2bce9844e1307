//! The tests of `exex/node`, the one package that needs reth.
//!
//! reth is in no registry: it comes from its repository. Where that cannot be had, the part is
//! SKIPPED with the reason and passes, also in continuous integration. To find out costs at most
//! [`PATIENCE`]; nothing is built or fetched before.

use crate::{
    native::{Part, run},
    replay,
};
use std::{
    env,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Where reth comes from, as in `exex/node/Cargo.toml`.
const REPOSITORY: &str = "https://github.com/paradigmxyz/reth";
const TAG: &str = "refs/tags/v2.5.1";
/// How long the repository may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(10);

/// The long form's sizes, as the tests' environment names them.
const LONG: [(&str, &str); 7] = [
    ("BRAID_NODE_TRANSACTIONS", "20000"),
    ("BRAID_NODE_BLOCKS", "500"),
    ("BRAID_NODE_SEQUENCES", "1000"),
    ("BRAID_NODE_KILLS", "50"),
    ("BRAID_NODE_BACKFILL", "200"),
    ("BRAID_NODE_RPC_BLOCKS", "200"),
    ("BRAID_NODE_RECORDS", "50"),
];

/// Formatting always; the tests where reth can be had; with `long` the lints too, and every test at
/// its full size.
pub(crate) fn test(root: &Path, long: bool) -> bool {
    let mut part = Part::new("node");
    let formatting = run(cargo(root, "fmt").args(["--", "--check"]));
    part.step("formatting", formatting);
    if let Err(reason) = resolves(root) {
        println!("== node: tests: SKIPPED: {reason}");
        return part.passed();
    }
    if long {
        let mut lints = cargo(root, "clippy");
        build_flags(&mut lints, root).args(["--all-targets", "--", "-D", "warnings"]);
        part.step("lints", run(&mut lints));
    }
    let command = part.step("the command line", replay::build());
    let mut tests = cargo(root, "test");
    build_flags(&mut tests, root);
    if command {
        tests.env("BRAID_CLI", crate::native::target(root).join("release/braid"));
    }
    if long {
        // Each node of the long form has the machine to itself.
        tests.envs(LONG).args(["--", "--test-threads", "1"]);
    }
    part.step("tests", run(&mut tests));
    part.passed()
}

/// What the shadow costs the node's block import, and what it needs of memory, by a release build:
/// prints the figures.
pub(crate) fn bench(root: &Path) -> bool {
    if let Err(reason) = resolves(root) {
        println!("== node: bench: SKIPPED: {reason}");
        return true;
    }
    if !replay::build() {
        return false;
    }
    let mut bench = cargo(root, "test");
    build_flags(&mut bench, root).args(["--release", "--test", "outside", "--"]);
    bench.env("BRAID_CLI", crate::native::target(root).join("release/braid"));
    run(bench.args(["--ignored", "--nocapture", "--test-threads", "1"]))
}

fn cargo(root: &Path, command: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg(command).arg("--manifest-path").arg(root.join("exex/node/Cargo.toml"));
    cargo
}

/// The versions of the lock file, in a folder beside the repository's other outputs.
fn build_flags<'c>(command: &'c mut Command, root: &Path) -> &'c mut Command {
    command.arg("--locked").arg("--target-dir").arg(crate::native::target(root).join("node"))
}

/// Whether reth is there already, or its repository answers; else why not.
fn resolves(root: &Path) -> Result<(), String> {
    let mut metadata = cargo(root, "metadata");
    metadata.args(["--locked", "--offline", "--format-version", "1"]);
    metadata.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if metadata.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let mut ask = Command::new("git");
    ask.args(["ls-remote", "--exit-code", REPOSITORY, TAG]).env("GIT_TERMINAL_PROMPT", "0");
    ask.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match within(&mut ask, PATIENCE) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{REPOSITORY} cannot be reached")),
        Err(reason) => Err(format!("{REPOSITORY}: {reason}")),
    }
}

/// Whether a command succeeds; it is ended where it takes longer.
fn within(command: &mut Command, patience: Duration) -> Result<bool, String> {
    let mut child = command.spawn().map_err(|error| format!("git: {error}"))?;
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if start.elapsed() < patience => thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                let _ended_by_itself = child.kill();
                let _reaped = child.wait();
                return Err(format!("no answer within {} s", patience.as_secs()));
            }
            Err(error) => return Err(format!("git: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_ended_and_said() {
        let mut quick = Command::new("true");
        assert_eq!(within(&mut quick, PATIENCE), Ok(true));
        let mut failing = Command::new("false");
        assert_eq!(within(&mut failing, PATIENCE), Ok(false));
        let mut slow = Command::new("sleep");
        let answer = within(slow.arg("1000"), Duration::from_millis(50));
        assert_eq!(answer, Err("no answer within 0 s".to_owned()));
        let missing = within(&mut Command::new("no-such-program"), PATIENCE);
        assert!(missing.is_err_and(|reason| reason.starts_with("git: ")));
    }

    #[test]
    fn repository_and_tag_are_those_of_the_package() {
        let manifest = include_str!("../../exex/node/Cargo.toml");
        let tag = TAG.trim_start_matches("refs/tags/");
        let named = format!("git = \"{REPOSITORY}\", tag = \"{tag}\"");
        let lines = manifest.lines().filter(|line| line.contains("git = "));
        let mut count = 0;
        for line in lines {
            assert!(line.contains(&named), "{line}");
            count += 1;
        }
        assert!(count >= 2, "{count}");
    }
}
