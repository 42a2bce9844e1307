//! `braid shadow`, `record` and `doctor` against clients: one in this process that does everything
//! wrong that clients do, and a real second client where one is installed.

mod anvil;
mod commands;
mod mock;
mod weather;

use braid_shadow::recorded::RecordedBlock;
use mock::World;
use serde_json::Value;
use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
};

/// What the blocks do. Requests read slots that are zero, and their absence is not in the proofs
/// that the mock client makes its witnesses of; others read hashes of ancestors, which a fork has
/// other ones of.
const MIX: &str = "transfers=4,erc20=4,swaps=3,liquidity=1,mints=2,delegations=1,deploys=1";

/// Generated blocks with their proofs.
fn blocks(count: usize, seed: u64) -> Vec<RecordedBlock> {
    let settings = braid_workload::Settings {
        blocks: count,
        transactions: 8,
        seed,
        mix: MIX.parse().expect("a mix"),
        ..braid_workload::Settings::default()
    };
    braid_workload::generate(&settings, &mut |_, _| {}).expect("a workload")
}

fn world(count: usize, seed: u64) -> World {
    World::new(blocks(count, seed))
}

fn braid(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_braid"));
    command.args(args).env_remove("ETH_RPC_URL").stdin(Stdio::null());
    command
}

/// A `braid shadow` over the whole chain, with reports in `folder`.
fn shadow(url: &str, from: u64, blocks: usize, folder: &Path) -> Command {
    let (from, blocks) = (from.to_string(), blocks.to_string());
    let mut command = braid(&["shadow", "--json", "--poll", "20", "--threads", "2"]);
    command.args(["--rpc-url", url, "--from", &from, "--blocks", &blocks, "--retries", "3"]);
    command.arg("--report-dir").arg(folder);
    command
}

/// What a run of `braid shadow --json` has printed.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    blocks: Vec<Value>,
    summary: Value,
    stderr: String,
}

impl Run {
    fn of(command: &mut Command) -> Self {
        Self::read(&command.output().expect("braid starts"))
    }

    fn wait(child: Child) -> Self {
        Self::read(&child.wait_with_output().expect("braid ends"))
    }

    fn read(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("a JSON line"));
        let (summary, blocks): (Vec<Value>, Vec<Value>) =
            lines.partition(|line: &Value| line["summary"] == true);
        Self {
            code: output.status.code(),
            blocks,
            summary: summary.into_iter().next().unwrap_or_default(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn results(&self) -> Vec<&str> {
        let result = |block: &Value| match block["reason"].as_str() {
            Some(_) => "reason",
            None => "result",
        };
        self.blocks.iter().filter_map(|block| block[result(block)].as_str()).collect()
    }
}
