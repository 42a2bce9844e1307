//! What the commands do in fair weather.

use super::{
    Run, blocks, braid,
    mock::{Fault, Mock, World},
    shadow, world,
};
use braid_shadow::recorded::{RecordedBlock, StateCheck, files};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
    thread,
    time::Duration,
};

#[test]
fn blocks_match_by_every_method_and_roots_are_proved_by_witness() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start(world(4, 1));
    for method in ["witness", "prestate", "reads", "auto"] {
        let first = mock.world().first();
        let run = Run::of(shadow(&mock.url(), first, 4, folder.path()).args(["--state", method]));
        assert_eq!(run.code, Some(0), "{method}: {run:?}");
        assert_eq!(run.results(), ["match"; 4], "{method}: {run:?}");
        let proved = if matches!(method, "witness" | "auto") { 4 } else { 0 };
        assert_eq!(run.summary["roots_proved"], proved, "{method}");
        assert!(run.summary["ratio_stock"].is_number());
    }
}

#[test]
fn a_client_without_witness_tracer_or_receipts_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world(3, 2);
    world.without =
        vec!["debug_executionWitness", "debug_traceBlockByHash", "eth_getBlockReceipts"];
    let first = world.first();
    let mock = Mock::start(world);
    let run = Run::of(&mut shadow(&mock.url(), first, 3, folder.path()));
    assert_eq!(run.results(), ["match"; 3], "{run:?}");
}

#[test]
fn recorded_witnesses_of_a_real_chain_match() {
    let folder = tempfile::tempdir().unwrap();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/witness");
    let Ok(files) = files(&path) else {
        println!("SKIPPED: {} is not there", path.display());
        return;
    };
    let records: Vec<_> = files.iter().map(|file| RecordedBlock::read(file).unwrap()).collect();
    for record in records {
        let number = record.number();
        let has_parent = record.parent.is_some();
        let mock = Mock::start(World::new(vec![record]));
        let run = Run::of(&mut shadow(&mock.url(), number, 1, folder.path()));
        // Without the parent's header there is nothing to prove the witness against.
        let expected = if has_parent { "match" } else { "missing_parent" };
        assert_eq!(run.results(), [expected], "{run:?}");
    }
}

#[test]
fn a_false_receipt_is_a_mismatch_whose_record_replays() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world(2, 3);
    let first = world.first();
    world.alter = |method, result| {
        if method == "eth_getBlockReceipts" {
            let gas = result[1]["cumulativeGasUsed"].as_str().unwrap().to_owned();
            let gas = u64::from_str_radix(gas.trim_start_matches("0x"), 16).unwrap();
            result[1]["cumulativeGasUsed"] = json!(format!("{:#x}", gas + 1));
        }
    };
    let mock = Mock::start(world);
    let run = Run::of(&mut shadow(&mock.url(), first, 2, folder.path()));
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(run.results(), ["mismatch"; 2]);
    let difference = run.blocks[0]["difference"].as_str().unwrap();
    assert!(difference.starts_with("transaction 1 ("), "{difference}");
    let report = run.blocks[0]["report"].as_str().unwrap();
    let replay = braid(&["replay", "--rounds", "1", report]).output().unwrap();
    assert_eq!(replay.status.code(), Some(1));
    let said = String::from_utf8_lossy(&replay.stderr);
    assert!(said.contains(difference), "{said} lacks {difference}");
}

#[test]
fn records_are_written_proved_and_replayable() {
    let mock = Mock::start(world(3, 4));
    let first = mock.world().first();
    let range = format!("{first}..{}", first + 2);
    for (method, check) in [("witness", "root"), ("prestate", "proofs"), ("reads", "proofs")] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = braid(&["record", "--json", "--rpc-url", &mock.url()]);
        command.args(["--block", &range, "--state", method, "--out"]).arg(folder.path());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{method}: {said}");
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["proved"], check, "{method}: {line}");
        }
        let files = files(folder.path()).unwrap();
        assert_eq!(files.len(), 3);
        let replay = braid(&["replay", "--json", "--rounds", "1"]).args(&files).output().unwrap();
        assert_eq!(replay.status.code(), Some(0), "{}", String::from_utf8_lossy(&replay.stderr));
        for file in &files {
            let record = RecordedBlock::read(file).unwrap();
            assert!(record.complete && record.reference.is_none());
            let outcome = braid_core::sequential::execute_stock(
                &record.chain,
                &record.block,
                record.state.source(),
                braid_core::OutputKind::Flat,
            );
            let check = record.check_state(&outcome.unwrap().state.to_flat()).unwrap();
            assert_ne!(check, StateCheck::Unchecked);
        }
    }
}

#[test]
fn the_next_blocks_are_fetched_while_one_is_executed() {
    let shadow = |ahead: &str| {
        let mut world = world(8, 9);
        world.delay = Duration::from_millis(20);
        let mock = Mock::start(world);
        let folder = tempfile::tempdir().unwrap();
        let first = mock.world().first();
        let run = Run::of(shadow(&mock.url(), first, 8, folder.path()).args(["--ahead", ahead]));
        assert_eq!(run.results(), ["match"; 8], "{run:?}");
        let numbers: Vec<_> = run.blocks.iter().map(|block| block["block"].as_u64()).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        mock.world().most_at_once
    };
    // The next block's header is asked for beside what the one at hand needs.
    assert!(shadow("0") <= 2);
    assert!((3..=6).contains(&shadow("4")));
}

#[test]
fn what_is_refused_ahead_of_its_turn_is_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world(4, 11);
    let first = world.first();
    world.fault("debug_executionWitness", [Fault::Error(-32_603, "the task was cancelled")]);
    let mock = Mock::start(world);
    let run = Run::of(&mut shadow(&mock.url(), first, 4, folder.path()));
    assert_eq!(run.results(), ["match"; 4], "{run:?}");
}

#[test]
fn keys_are_read_several_at_once_and_the_record_is_the_same() {
    let record = |connections: &str| {
        let mut world = world(2, 7);
        world.delay = Duration::from_millis(3);
        let mock = Mock::start(world);
        let folder = tempfile::tempdir().unwrap();
        let mut command = braid(&["record", "--rpc-url", &mock.url(), "--state", "reads"]);
        command.args(["--block", "latest", "--connections", connections, "--out"]);
        assert_eq!(command.arg(folder.path()).status().unwrap().code(), Some(0));
        let files = files(folder.path()).unwrap();
        let record = RecordedBlock::read(&files[0]).unwrap().to_value().unwrap();
        let world = mock.world();
        (record, world.most_at_once, world.requests)
    };
    let (one, most, requests) = record("1");
    assert_eq!(most, 1);
    let (many, most, asked) = record("16");
    assert!((4..=16).contains(&most), "{most}");
    assert_eq!(many, one);
    // What threads guess to be read, and is not, is little.
    assert!(asked >= requests && asked <= requests + requests / 4, "{asked}, {requests}");
}

#[test]
fn blocks_are_recorded_in_order_within_the_limit_of_requests() {
    let mut world = world(6, 10);
    world.delay = Duration::from_millis(20);
    let mock = Mock::start(world);
    let first = mock.world().first();
    let range = format!("{first}..{}", first + 5);
    let folder = tempfile::tempdir().unwrap();
    let mut command = braid(&["record", "--json", "--rpc-url", &mock.url(), "--block", &range]);
    command.args(["--state", "prestate", "--connections", "3", "--out"]).arg(folder.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = |line: &str| serde_json::from_str::<Value>(line).unwrap()["block"].as_u64();
    let numbers: Vec<_> = lines.lines().map(|line| number(line).unwrap()).collect();
    assert_eq!(numbers, (first..first + 6).collect::<Vec<_>>());
    assert_eq!(mock.world().most_at_once, 3);
}

#[test]
fn one_failed_proof_ends_the_record() {
    let mut world = world(1, 8);
    world.fault("eth_getProof", [Fault::Error(-32_000, "no such proof today")]);
    let mock = Mock::start(world);
    let folder = tempfile::tempdir().unwrap();
    let mut command = braid(&["record", "--rpc-url", &mock.url(), "--state", "reads"]);
    command.args(["--block", "latest", "--out"]);
    let output = command.arg(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no such proof today"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_newest_block_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start(world(2, 5));
    let mut command = braid(&["record", "--rpc-url", &mock.url(), "--block", "latest", "--out"]);
    assert_eq!(command.arg(folder.path()).status().unwrap().code(), Some(0));
    let head = mock.world().head;
    assert!(folder.path().join(format!("{head}.json.zst")).is_file());
}

#[test]
fn the_doctor_tells_what_is_served_and_what_to_change() {
    let mock = Mock::start(World::new(blocks(1, 6)));
    let doctor = |url: &str| {
        let output = braid(&["doctor", "--json", "--rpc-url", url]).output().unwrap();
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let findings: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (output.status.code(), findings)
    };
    let find = |findings: &[Value], check: &str| {
        findings.iter().find(|finding| finding["check"] == check).cloned().unwrap()
    };
    let (code, findings) = doctor(&mock.url());
    assert_eq!(code, Some(0), "{findings:?}");
    assert_eq!(find(&findings, "client")["found"], "mock/v1.0.0");
    assert_eq!(find(&findings, "state")["grade"], "good");
    mock.world().without = vec!["debug_executionWitness"];
    let (code, findings) = doctor(&mock.url());
    assert_eq!((code, find(&findings, "state")["grade"].as_str()), (Some(0), Some("warning")));
    assert!(find(&findings, "state")["advice"].as_str().unwrap().contains("--http.api debug"));
    mock.world().config = None;
    let (code, findings) = doctor(&mock.url());
    assert_eq!((code, find(&findings, "chain")["grade"].as_str()), (Some(3), Some("bad")));
    let url = mock.url();
    drop(mock);
    let (code, findings) = doctor(&url);
    assert_eq!((code, find(&findings, "client")["grade"].as_str()), (Some(3), Some("bad")));
}

#[test]
fn metrics_are_served_on_loopback() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start(world(3, 7));
    let first = mock.world().first();
    // The port is free now; should somebody take it meanwhile, the command says so and ends.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = shadow(&mock.url(), first, 4, folder.path());
    command.args(["--metrics", &port.to_string()]).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    // Only 3 of the 4 blocks exist, so the command waits for the last one.
    let wanted = "braid_blocks_total{result=\"match\"} 3";
    let page = (0..600).find_map(|_| {
        thread::sleep(Duration::from_millis(50));
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.contains(wanted).then_some(text)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(page.is_some(), "{wanted} was never served");
}

#[test]
fn explain_takes_a_block_of_a_client_as_it_takes_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start(world(2, 11));
    let number = (mock.world().first() + 1).to_string();
    let explain = |more: &[&str]| {
        let args = ["explain", "--json", "--rounds", "1", "--threads", "2"];
        braid(&args).args(more).output().unwrap()
    };
    let json = |more: &[&str]| -> Value {
        let output = explain(more);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let url = mock.url();
    let fetched = json(&["--rpc-url", &url, "--block", &number]);
    let latest = json(&["--rpc-url", &url, "--block", "latest"]);
    let out = folder.path().display().to_string();
    let record = braid(&["record", "--rpc-url", &url, "--block", &number, "--out", &out]).output();
    assert_eq!(record.unwrap().status.code(), Some(0));
    let file = format!("{out}/{number}.json.zst");
    let recorded = json(&[&file]);
    for key in ["block", "txs", "gas", "key_overlap", "hot_slots", "hot_contracts"] {
        assert!(!recorded[key].is_null(), "{key}: {recorded}");
        assert_eq!(fetched[key], recorded[key], "{key}");
        assert_eq!(latest[key], recorded[key], "{key}");
    }

    for (wrong, part) in [
        (&[][..], "--block"),
        (&["--block", "1"], "--rpc-url"),
        (&["--rpc-url", &url, "--block", "1..2"], "one block at a time"),
        (&[&file, "--rpc-url", &url, "--block", "1"], "cannot be used with"),
    ] {
        let output = explain(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(part), "{wrong:?}: {said}");
    }
    let output = explain(&["--rpc-url", &url, "--block", "999999"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("999999"), "{output:?}");
}
