//! `braid replay` as a process of its own, for the tasks that measure.

use serde_json::Value;
use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Recorded blocks, where they are there.
pub(crate) const BLOCKS: &str = "../shared/mainnet";

/// Builds the release binary; false where that fails, which cargo has told.
pub(crate) fn build() -> bool {
    super::cargo(&["build", "--release", "-p", "braid-cli"], ("RUSTDOCFLAGS", ""))
}

/// The binary that [`build`] makes.
pub(crate) fn program() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    PathBuf::from(target).join("release/braid")
}

/// Runs the binary of [`build`] with `--json` and these arguments; gives its summary. What it
/// complains of goes to `complaints`.
pub(crate) fn summary(args: &[&str], complaints: Stdio) -> Result<Value, String> {
    let braid = program();
    let mut command = Command::new(&braid);
    command.args(["replay", "--json"]).args(args).stderr(complaints);
    let output = command.output().map_err(|error| format!("{}: {error}", braid.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    if !output.status.success() {
        return Err(format!("braid replay {}: {}\n{last}", args.join(" "), output.status));
    }
    serde_json::from_str(last).map_err(|error| format!("{last}: {error}"))
}
