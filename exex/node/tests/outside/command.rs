//! The command line beside a real node: `braid shadow` through restarts, `braid record`, `braid
//! explain`, `braid doctor`.
//!
//! `BRAID_CLI` names the `braid` binary; without it these tests are skipped. Full size:
//! `BRAID_NODE_RPC_BLOCKS=200 BRAID_NODE_RECORDS=50`.

use crate::{
    load::Load,
    node::{Node, free_port, url},
    shared::amount,
};
use serde_json::Value;
use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Blocks come this often.
const BLOCKS: [&str; 2] = ["--dev.block-time", "300ms"];

/// The command line, where there is one.
pub(crate) fn binary() -> Option<PathBuf> {
    let path = env::var_os("BRAID_CLI").map(PathBuf::from);
    if path.is_none() {
        println!("SKIPPED: set BRAID_CLI to the `braid` binary");
    }
    path
}

/// A `braid` command about the node at this port, whose chain starts from `folder`'s genesis.
pub(crate) fn braid(binary: &Path, name: &str, port: u16, folder: &Path) -> Command {
    let mut command = Command::new(binary);
    command.args([name, "--rpc-url", &url(port), "--genesis"]).arg(folder.join("genesis.json"));
    command.current_dir(folder).stdin(Stdio::null());
    command
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn done(output: &Output) -> Vec<Value> {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    lines(&String::from_utf8_lossy(&output.stdout))
}

#[test]
fn braid_shadow_follows_the_node_through_two_restarts() {
    let Some(binary) = binary() else { return };
    let blocks = amount("BRAID_NODE_RPC_BLOCKS", 24);
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let mut load = Load::new(30, 31);
    let genesis = load.genesis.clone();
    let start = || Node::start_at(folder.path(), &genesis, port, &BLOCKS);
    let mut node = start();
    let out = folder.path().join("shadow.out");
    let mut shadow = braid(&binary, "shadow", port, folder.path());
    shadow.args(["--json", "--from", "1", "--poll", "100", "--blocks", &blocks.to_string()]);
    shadow.stdout(File::create(&out).expect("a writable folder"));
    let mut shadow = shadow.spawn().expect("the command line");
    let mut restarts = 0;
    while node.height() < blocks {
        load.send(&node);
        load.settle(&node);
        if node.height() > (restarts + 1) * blocks / 3 && restarts < 2 {
            restarts += 1;
            node.terminate();
            node = start();
        }
    }
    let ended = shadow.wait().expect("the command line ends");
    let lines = lines(&fs::read_to_string(&out).expect("its output"));
    let summary = lines.last().expect("a summary");
    println!("{restarts} restarts: {summary}");
    assert!(ended.success(), "{ended}: {summary}");
    assert_eq!(restarts, 2);
    assert_eq!(summary["blocks"], blocks);
    assert_eq!(summary["mismatched"], 0);
    assert_eq!(summary["matched"], blocks, "{:?}", summary["skipped"]);
    assert_eq!(summary["roots_proved"], blocks);
    assert!(summary["transactions"].as_u64() > Some(blocks), "the blocks are not empty");
}

#[test]
fn recorded_blocks_replay_and_explain_and_doctor_say_something() {
    let Some(binary) = binary() else { return };
    let records = amount("BRAID_NODE_RECORDS", 8);
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let mut load = Load::new(30, 32);
    let node = Node::start_at(folder.path(), &load.genesis.clone(), port, &BLOCKS);
    while node.height() < records {
        load.send(&node);
        load.settle(&node);
    }
    let run = |name: &str, more: &[&str]| {
        let output = braid(&binary, name, port, folder.path()).args(more).output();
        done(&output.expect("the command line"))
    };
    let range = format!("1..{records}");
    let recorded = run("record", &["--json", "--block", &range, "--out", "records"]);
    assert_eq!(recorded.len() as u64, records);
    for line in &recorded {
        assert_eq!((&line["proved"], &line["complete"]), (&"root".into(), &true.into()), "{line}");
    }
    let mut replay = Command::new(&binary);
    replay.args(["replay", "--forced", "--threads", "2", "--rounds", "1", "--json"]);
    let replayed = done(&replay.arg(folder.path().join("records")).output().expect("the replay"));
    let (summary, blocks) = replayed.split_last().expect("a summary");
    println!("{summary}");
    assert_eq!(summary["matched"], records);
    for block in blocks {
        for check in ["match", "gas_used", "receipts_root", "logs_bloom", "state_root"] {
            assert_eq!(block[check], true, "{check}: {block}");
        }
    }
    let number = (records / 2).to_string();
    let explained = run("explain", &["--json", "--block", &number, "--html", "page.html"]);
    assert_eq!(explained[0]["block"], records / 2);
    assert!(fs::metadata(folder.path().join("page.html")).is_ok_and(|page| page.len() > 1000));
    let doctor = run("doctor", &["--json"]);
    println!("{doctor:?}");
    assert!(!doctor.is_empty());
    node.terminate();
}
