//! `braid explain` and `braid bench` from outside: what they find in blocks whose dependencies are
//! known, the keys of their JSON, bad inputs.

mod common;

use braid_shadow::recorded::RecordedBlock;
use braid_workload::{Settings, generate};
use common::{braid, keys, lines};
use serde_json::Value;
use std::{fs, path::Path};

fn sorted<const N: usize>(mut keys: [&str; N]) -> [&str; N] {
    keys.sort_unstable();
    keys
}

/// A block of mints: with one running number for all, or without.
fn mints(contention: f64) -> RecordedBlock {
    let mix = "mints=1".parse().unwrap();
    let settings = Settings { blocks: 1, transactions: 30, contention, mix, seed: 7 };
    generate(&settings, &mut |_, _| {}).unwrap().remove(0)
}

fn write(record: &RecordedBlock, folder: &Path) -> String {
    record.write(folder).unwrap().display().to_string()
}

fn explain(file: &str, more: &[&str]) -> Value {
    let args = [&["explain", file, "--json", "--rounds", "1", "--threads", "2"], more].concat();
    let output = braid(&args);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    lines(&output).remove(0)
}

#[test]
fn a_counter_is_the_hot_slot_and_without_it_nothing_depends() {
    let folder = tempfile::tempdir().unwrap();
    let report = explain(&write(&mints(1.0), folder.path()), &[]);
    assert_eq!(report["txs"], 30);
    assert_eq!(report["key_overlap"], 30);
    assert_eq!(report["engine"]["dependent"], 29);
    assert_eq!(report["engine"]["path_gas"], report["gas"], "all mints are one chain");
    let hot = &report["hot_slots"][0];
    assert_eq!(hot["name"], "variable at slot 0");
    assert_eq!(hot["location"]["part"], "slot");
    assert_eq!(hot["dependent"], 29);
    assert_eq!(hot["chain_txs"].as_array().unwrap().len(), 30);
    let (won, gas) = (hot["won_gas"].as_u64().unwrap(), report["gas"].as_u64().unwrap());
    assert!(won > gas / 2, "{won} of {gas}");
    assert_eq!(report["hot_contracts"][0]["address"], hot["location"]["address"]);

    let report = explain(&write(&mints(0.0), folder.path()), &[]);
    assert_eq!(report["engine"]["dependent"], 0);
    assert_eq!(report["engine"]["pairs"], 0);
    assert_eq!(report["engine"]["path_gas_txs"].as_array().unwrap().len(), 1);
    assert_eq!(report["hot_slots"].as_array().unwrap().len(), 0);
    assert_eq!(report["key_overlap"], 30, "all call one contract");
}

#[test]
fn the_json_has_all_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let report = explain(&write(&mints(1.0), folder.path()), &["--top", "3"]);
    let expected = sorted([
        "block",
        "txs",
        "gas",
        "threads",
        "rounds",
        "bare_ns",
        "parallel_ns",
        "speedup",
        "inline",
        "key_overlap",
        "engine",
        "whole_account",
        "scheduler",
        "hot_slots",
        "hot_contracts",
        "runs",
        "transactions",
    ]);
    assert_eq!(keys(&report), expected);
    let side = sorted(["dependent", "pairs", "path_gas", "path_gas_txs", "path_ns", "path_ns_txs"]);
    assert_eq!(keys(&report["engine"]), side);
    assert_eq!(keys(&report["whole_account"]), side);
    let scheduler = sorted([
        "workers",
        "runs",
        "direct",
        "stale",
        "discarded",
        "busy_ns",
        "wasted_ns",
        "span_ns",
        "parallelism",
    ]);
    assert_eq!(keys(&report["scheduler"]), scheduler);
    let run = sorted(["tx", "worker", "start", "end", "kind", "outcome", "location", "writer"]);
    assert_eq!(keys(&report["runs"][0]), run);
    let tx = sorted(["hash", "from", "to", "gas", "ns", "committed_at", "committed_by", "after"]);
    assert_eq!(keys(&report["transactions"][0]), tx);
    assert_eq!(report["transactions"][2]["after"], serde_json::json!([1]));
    assert_eq!(report["scheduler"]["runs"], report["runs"].as_array().unwrap().len());
    let hot = sorted([
        "location",
        "name",
        "dependent",
        "chain_gas",
        "chain_txs",
        "chain_ns",
        "won_gas",
        "won_ns",
        "stale",
    ]);
    assert_eq!(keys(&report["hot_slots"][0]), hot);
    assert!(report["hot_slots"].as_array().unwrap().len() <= 3);
}

#[test]
fn the_table_and_the_page_name_the_counter() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(&mints(1.0), folder.path());
    let page = folder.path().join("page.html");
    let page = page.to_str().unwrap();
    let output = braid(&["explain", &file, "--rounds", "1", "--html", page]);
    assert_eq!(output.status.code(), Some(0));
    let table = String::from_utf8(output.stdout).unwrap();
    for part in ["key overlap", "write dependencies", "critical path", "what the scheduler did"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert!(table.contains("variable at slot 0 of 0x"), "{table}");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("variable at slot 0"));
    assert!(page.contains("prefers-color-scheme: dark"));
    for outside in ["<script", "http:", "https:", "url(", "@import"] {
        assert!(!page.contains(outside), "the page needs {outside}");
    }
}

#[test]
fn bad_input_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(braid(&["explain"]).status.code(), Some(2));
    assert_eq!(braid(&["explain", "x", "--rounds", "0"]).status.code(), Some(2));
    let output = braid(&["explain", "nowhere.json.zst"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere.json.zst"));

    let mut record = mints(0.0);
    record.block.header.gas_used += 1;
    record.block_hash = Some(record.block.header.hash_slow());
    record.proofs = None;
    let output = braid(&["explain", &write(&record, folder.path()), "--rounds", "1"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("gasUsed"), "{told}");

    let file = write(&mints(0.0), folder.path());
    let there = folder.path().join("no").join("such.html");
    let there = there.to_str().unwrap();
    let output = braid(&["explain", &file, "--rounds", "1", "--html", there]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains(there));
}

#[test]
fn simulated_times_lie_between_the_bound_and_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    for contention in [0.0, 1.0] {
        let file = write(&mints(contention), folder.path());
        // Costs are the least of the rounds: one interrupted transaction would be the whole path.
        let args = ["bench", "--simulate", "8,1,2", &file, "--json", "--rounds", "15"];
        let output = braid(&args);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = lines(&output);
        assert_eq!(lines.len(), 2);
        let expected = sorted([
            "block",
            "txs",
            "gas",
            "bare_ns",
            "parallel_ns",
            "predicted_ns",
            "error",
            "overhead_ns",
            "simulated",
        ]);
        assert_eq!(keys(&lines[0]), expected);
        let expected = sorted([
            "summary",
            "blocks",
            "txs",
            "rounds",
            "read_latency_us",
            "bare_ns",
            "parallel_ns",
            "predicted_ns",
            "error_total",
            "error_median",
            "overhead_ns_per_tx",
            "wake_ns",
            "machine_check",
            "simulated",
        ]);
        assert_eq!(keys(&lines[1]), expected);
        let points = lines[0]["simulated"].as_array().unwrap();
        let cores: Vec<u64> = points.iter().map(|point| point["cores"].as_u64().unwrap()).collect();
        assert_eq!(cores, [1, 2, 8]);
        assert_eq!(points[0]["ns"], lines[0]["bare_ns"], "one core runs it sequentially");
        assert_eq!(points[1]["ns"], lines[0]["predicted_ns"]);
        for point in &points[1..] {
            let runs = point["executions"].as_u64().unwrap();
            assert!((30..=60).contains(&runs), "{point}");
        }
        let bounds: Vec<u64> =
            points.iter().map(|point| point["bound_ns"].as_u64().unwrap()).collect();
        assert_eq!(bounds[0], lines[0]["bare_ns"].as_u64().unwrap());
        assert_eq!(bounds[1] == bounds[2], contention == 1.0, "a chain gains nothing: {bounds:?}");
    }
    assert_eq!(braid(&["bench"]).status.code(), Some(2));
    assert_eq!(braid(&["bench", "--simulate", "2", "--costs"]).status.code(), Some(2));
    assert_eq!(braid(&["bench", "--simulate", "0"]).status.code(), Some(2));
    let output = braid(&["bench", "--simulate", "2", "nowhere.json.zst"]);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn simulated_costs_contain_the_latency_of_reads() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(&mints(0.0), folder.path());
    let args = ["bench", "--simulate", "2,16", &file, "--json", "--rounds", "2"];
    let output = braid(&[&args[..], &["--read-latency", "1000"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = lines(&output);
    assert_eq!(lines[1]["read_latency_us"], 1000);
    // Each of 30 mints reads at least its sender, with nothing else to make 30 ms of.
    assert!(lines[0]["bare_ns"].as_u64().unwrap() >= 30_000_000, "{}", lines[0]);
    let points = lines[0]["simulated"].as_array().unwrap();
    let ratio = |point: &serde_json::Value| point["ratio_bare"].as_f64().unwrap();
    assert!(ratio(&points[1]) > 1.5 * ratio(&points[0]), "waiting overlaps: {points:?}");
}

#[test]
fn costs_are_told_by_part_of_payments_and_of_each_block() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(&mints(0.0), folder.path());
    let output = braid(&["bench", "--costs", &file, "--json", "--rounds", "2"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = lines(&output);
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[0]["block"], &lines[0]["txs"]), (&serde_json::Value::Null, &2000.into()));
    assert_eq!((&lines[1]["block"], &lines[1]["txs"]), (&2.into(), &30.into()));
    assert_eq!(keys(&lines[1]), sorted(["block", "txs", "bare_ns", "costs"]));
    for row in &lines[..2] {
        let sides = row["costs"].as_array().unwrap();
        let threads: Vec<u64> =
            sides.iter().map(|side| side["threads"].as_u64().unwrap()).collect();
        assert_eq!(threads, [1, 2]);
        for side in sides {
            assert!(side["run_ns"].as_f64().unwrap() > 100.0, "{side}");
            assert!(side["commit_ns"].as_f64().unwrap() > 0.0, "{side}");
        }
        assert!(sides[0]["settle_ns"].as_f64().unwrap() > 0.0, "{row}");
        assert!(sides[1]["settle_ns"].is_null(), "{row}");
    }
    assert_eq!((&lines[2]["summary"], &lines[2]["blocks"]), (&true.into(), &2.into()));
    let table = braid(&["bench", "--costs", &file, "--rounds", "1"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert_eq!(table.matches("payments ").count(), 2, "{table}");
}
