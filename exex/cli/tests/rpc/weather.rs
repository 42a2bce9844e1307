//! What clients do wrong: each is borne, skipped or refused with its reason, and never taken for a
//! divergence.

use super::{
    Run, braid,
    mock::{Fault, Mock, World},
    shadow, world,
};
use braid_shadow::recorded::{RecordedBlock, files};
use serde_json::json;
use std::{process::Stdio, thread, time::Duration};

const BLOCK: &str = "eth_getBlockByNumber";
const WITNESS: &str = "debug_executionWitness";

/// One block after the other, so that the first fault is the first block's.
fn run(world: World, blocks: usize) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let first = world.first();
    let mock = Mock::start(world);
    Run::of(shadow(&mock.url(), first, blocks, folder.path()).args(["--ahead", "0"]))
}

#[test]
fn limits_and_broken_connections_are_retried() {
    let mut world = world(3, 11);
    let limited = Fault::Error(-32_005, "daily request count exceeded, request rate limited");
    world.fault(WITNESS, [Fault::Status(429), Fault::Status(503), Fault::Close]);
    world.fault("eth_getBlockReceipts", [limited, Fault::Status(502)]);
    world.fault(BLOCK, [Fault::Status(429), Fault::Close]);
    world.fault("eth_chainId", [Fault::Close]);
    let run = run(world, 3);
    assert_eq!(run.results(), ["match"; 3], "{run:?}");
    assert_eq!(run.code, Some(0));
}

#[test]
fn answers_that_are_none_cost_their_block_only() {
    let faults = [
        (Fault::Html, "feed"),
        (Fault::Truncated, "feed"),
        (Fault::Error(-32_000, "internal error"), "feed"),
        (Fault::Error(-32_000, "missing trie node 0xabc"), "pruned"),
    ];
    for (fault, reason) in faults {
        let mut world = world(3, 12);
        world.fault(WITNESS, [fault.clone()]);
        let run = run(world, 3);
        assert_eq!(run.results(), [reason, "match", "match"], "{fault:?}: {run:?}");
        assert_eq!(run.code, Some(0));
    }
}

#[test]
fn a_request_that_keeps_failing_is_given_up_and_the_next_block_is_tried() {
    let mut world = world(2, 13);
    // One attempt and three retries.
    world.fault(WITNESS, std::iter::repeat_n(Fault::Status(503), 4));
    let run = run(world, 2);
    assert_eq!(run.results(), ["feed", "match"], "{run:?}");
}

#[test]
fn blocks_and_witnesses_that_contradict_themselves_are_skipped() {
    type Alter = fn(&str, &mut serde_json::Value);
    let cases: [(Alter, &str); 6] = [
        (
            |method, result| {
                if method == BLOCK {
                    result["gasUsed"] = json!("0x1");
                }
            },
            "bad_block",
        ),
        (
            |method, result| {
                if method == BLOCK {
                    result["transactions"][0]["value"] = json!("0x1");
                }
            },
            "bad_block",
        ),
        (
            |method, result| {
                if method == WITNESS {
                    result["state"].as_array_mut().unwrap().truncate(3);
                }
            },
            "bad_witness",
        ),
        (
            |method, result| {
                if method == WITNESS {
                    result["codes"] = json!([]);
                }
            },
            "bad_witness",
        ),
        (
            |method, result| {
                if method == BLOCK {
                    result["inclusionListHash"] = json!(alloy_primitives::B256::ZERO);
                    result["hash"] = json!(alloy_primitives::B256::repeat_byte(7));
                }
            },
            "unknown_fork",
        ),
        (
            |method, result| {
                if method == BLOCK {
                    result["transactions"][0]["type"] = json!("0x9");
                }
            },
            "unknown_fork",
        ),
    ];
    for (index, (alter, reason)) in cases.into_iter().enumerate() {
        let mut world = world(1, 14);
        world.alter = alter;
        let run = run(world, 1);
        assert_eq!(run.results(), [reason], "case {index}: {run:?}");
        assert_eq!(run.code, Some(0), "case {index}");
    }
}

#[test]
fn a_witness_without_any_one_node_never_diverges() {
    let record = super::blocks(1, 15).remove(0);
    let nodes = record.proofs.as_ref().unwrap().parent.len();
    let mut world = World::new(vec![record]);
    world.alter = |method, result| {
        if method == WITNESS {
            use std::sync::atomic::{AtomicUsize, Ordering};
            static TURN: AtomicUsize = AtomicUsize::new(0);
            let nodes = result["state"].as_array_mut().unwrap();
            let turn = TURN.fetch_add(1, Ordering::Relaxed) * 7 % nodes.len();
            let gone = nodes[turn].clone();
            nodes.retain(|node| *node != gone);
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let first = world.first();
    let mock = Mock::start(world);
    for turn in 0..nodes.min(8) {
        let run = Run::of(&mut shadow(&mock.url(), first, 1, folder.path()));
        assert_eq!(run.code, Some(0), "turn {turn}: {run:?}");
        assert!(["match", "bad_witness"].contains(&run.results()[0]), "turn {turn}: {run:?}");
    }
}

#[test]
fn an_unknown_chain_is_refused_with_the_next_step() {
    let mut world = world(1, 16);
    world.config = None;
    let run = run(world, 1);
    assert_eq!(run.code, Some(3));
    assert!(run.stderr.contains("--genesis FILE"), "{}", run.stderr);
    assert!(run.blocks.is_empty());
}

#[test]
fn a_damaged_block_is_never_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world(1, 17);
    let first = world.first().to_string();
    world.alter = |method, result| {
        if method == WITNESS {
            result["state"].as_array_mut().unwrap().truncate(3);
        }
    };
    let mock = Mock::start(world);
    let record = || {
        let mut command = braid(&["record", "--rpc-url", &mock.url(), "--block", &first, "--out"]);
        command.arg(folder.path()).output().unwrap()
    };
    let output = record();
    assert_eq!(output.status.code(), Some(3));
    mock.world().alter = |method, result| {
        if method == "eth_getBlockReceipts" {
            result[0]["status"] = json!("0x7");
        }
    };
    let output = record();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(files(folder.path()).unwrap(), Vec::<std::path::PathBuf>::new());
}

/// The same blocks under other hashes from `from` on, as after a reorganisation.
fn fork(records: &[RecordedBlock], from: usize) -> Vec<RecordedBlock> {
    let mut branch = Vec::new();
    let mut parent = records[from].parent.clone().expect("a parent");
    for record in &records[from..] {
        let mut record = record.clone();
        record.block.header.extra_data = b"fork".to_vec().into();
        record.block.header.parent_hash = parent.hash_slow();
        record.parent = Some(parent);
        record.block_hash = Some(record.block.header.hash_slow());
        parent = record.block.header.clone();
        branch.push(record);
    }
    branch
}

#[test]
fn a_reorganisation_is_followed_from_the_last_common_block() {
    let folder = tempfile::tempdir().unwrap();
    let records = super::blocks(6, 18);
    let mut world = World::new(records[..5].to_vec());
    // The fork's state roots are not computed anew, so nothing is proved here.
    world.without = vec![WITNESS];
    let first = world.first();
    let mock = Mock::start(world);
    let mut command = shadow(&mock.url(), first, 9, folder.path());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until_followed(&mock);
    {
        let mut world = mock.world();
        for record in fork(&records, 2) {
            world.head = record.number();
            world.blocks.insert(record.number(), record.into());
        }
    }
    let run = Run::wait(child);
    // Five blocks of the one branch, some of them perhaps too late for their state, and after them
    // the four of the other.
    let mut numbers: Vec<_> =
        run.blocks.iter().map(|block| block["block"].as_u64().unwrap()).collect();
    let fork: Vec<_> = (2..6).map(|offset| first + offset).collect();
    assert_eq!(numbers.split_off(5), fork, "{run:?}");
    numbers.sort_unstable();
    assert_eq!(numbers, (0..5).map(|offset| first + offset).collect::<Vec<_>>(), "{run:?}");
    assert_eq!(run.summary["reorgs"], 1);
    assert_eq!(run.summary["mismatched"], 0);
    assert_eq!(run.results()[5..], ["match"; 4], "{run:?}");
}

/// Until the follower has handed over everything up to the tip and asks for more.
fn wait_until_followed(mock: &Mock) {
    let before = mock.world().asked_for_head;
    while mock.world().asked_for_head < before + 4 {
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_restarted_client_is_waited_for_and_no_block_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world(6, 19);
    let first = world.first();
    let all = world.head;
    world.head = first + 2;
    let mock = Mock::start(world);
    let mut command = shadow(&mock.url(), first, 6, folder.path());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until_followed(&mock);
    let mock = mock.restart(|| thread::sleep(Duration::from_millis(600)));
    mock.world().head = all;
    let run = Run::wait(child);
    assert_eq!(run.results(), ["match"; 6], "{run:?}");
    assert!(run.stderr.contains("the client is back") || run.stderr.is_empty(), "{}", run.stderr);
}

#[test]
fn a_client_that_stays_away_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world(2, 20);
    let first = world.first();
    world.head = first;
    let mock = Mock::start(world);
    let mut command = shadow(&mock.url(), first, 2, folder.path());
    command.args(["--give-up", "1"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    while mock.world().gave_receipts == 0 {
        thread::sleep(Duration::from_millis(10));
    }
    wait_until_followed(&mock);
    drop(mock);
    let run = Run::wait(child);
    assert_eq!((run.code, run.results()), (Some(3), vec!["match"]), "{run:?}");
    assert!(run.stderr.contains("given up"), "{}", run.stderr);
}
