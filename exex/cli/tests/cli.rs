//! The built binary from outside: exit codes, JSON keys, bad inputs.

mod common;

use braid_core::{Block, Chain, source::MemoryState};
use braid_shadow::recorded::{Prestate, RecordedBlock};
use common::{braid, keys, lines};
use serde_json::Value;
use std::{fs, path::Path};

/// Writes an empty block of mainnet between Byzantium and the merge.
fn record(folder: &Path, number: u64, gas_used: u64) -> String {
    let mut block = Block::default();
    block.header.number = number;
    block.header.gas_used = gas_used;
    let state = Prestate::Memory(MemoryState::default());
    let record = RecordedBlock::new(block, Chain::mainnet(), state, true);
    record.write(folder).unwrap().display().to_string()
}

#[test]
fn usage_errors_exit_with_2() {
    for args in [
        &[][..],
        &["shadow"],
        &["replay", "--threads", "0", "x"],
        &["replay", "--rounds", "0", "x"],
        &["replay", "--output", "other", "x"],
    ] {
        let output = braid(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    assert_eq!(braid(&["--help"]).status.code(), Some(0));
}

#[test]
fn a_folder_replays_in_both_forms_with_all_json_keys() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 5_000_001, 0);
    record(folder.path(), 5_000_000, 0);
    let path = folder.path().to_str().unwrap();
    for form in ["flat", "bundle"] {
        let output = braid(&["replay", path, "--json", "--rounds", "1", "--output", form]);
        assert_eq!(output.status.code(), Some(0));
        let lines = lines(&output);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["block"], 5_000_000, "folders are replayed by number");
        for key in ["match", "gas_used", "receipts_root", "logs_bloom"] {
            assert_eq!(lines[0][key], true, "{key}");
        }
        assert_eq!(lines[0]["requests_hash"], Value::Null);
        assert_eq!(lines[0]["state_root"], Value::Null);
        let mut block_keys = [
            "block",
            "txs",
            "gas",
            "stock_ns",
            "bare_ns",
            "parallel_ns",
            "ratio_stock",
            "ratio_bare",
            "executions",
            "longest_wasted",
            "match",
            "gas_used",
            "receipts_root",
            "logs_bloom",
            "requests_hash",
            "state_root",
        ];
        block_keys.sort_unstable();
        assert_eq!(keys(&lines[0]), block_keys);
        let mut summary_keys = [
            "summary",
            "blocks",
            "matched",
            "mismatched",
            "threads",
            "rounds",
            "stock_ns",
            "bare_ns",
            "parallel_ns",
            "stock_total",
            "stock_geomean",
            "stock_min",
            "bare_total",
            "bare_geomean",
            "bare_min",
            "executions_per_tx",
            "noise",
            "machine_check",
            "round_trip_ns",
            "longest_wasted",
        ];
        summary_keys.sort_unstable();
        assert_eq!(keys(&lines[2]), summary_keys);
        assert_eq!(lines[2]["matched"], 2);
    }
}

#[test]
fn a_mean_of_no_blocks_is_no_figure() {
    let single = ["replay", "--blocks", "2", "--transactions", "1", "--rounds", "1"];
    let output = braid(&[&single[..], &["--json"]].concat());
    let summary = &lines(&output)[2];
    assert_eq!(summary["matched"], 2);
    for key in ["stock_geomean", "stock_min", "bare_geomean", "bare_min"] {
        assert!(summary[key].is_null(), "{summary}");
    }
    let table = String::from_utf8(braid(&single).stdout).unwrap();
    assert!(table.contains("no block has two transactions"), "{table}");
}

#[test]
fn a_pass_learns_from_a_file_and_saves_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("predictions");
    let file = file.to_str().unwrap();
    let replay = ["replay", "--json", "--rounds", "2", "--threads", "2", "--forced", "--by-pass"];
    let blocks = ["--blocks", "3", "--transactions", "40", "--predictions", file];
    let run = |more: &[&str]| braid(&[&replay[..], &blocks, more].concat());
    for more in [&[][..], &["--warm"], &["--output", "bundle"]] {
        let output = run(more);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let lines = lines(&output);
        assert_eq!((lines.len(), &lines[3]["matched"]), (4, &3.into()));
    }
    let saved = std::fs::read(file).unwrap();
    assert!(saved.len() > 100, "it has learned something");
    std::fs::write(file, &saved[..saved.len() - 1]).unwrap();
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(3));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(file) && error.contains("remove the file"), "{error}");
    let nowhere = folder.path().join("no").join("folder");
    let output = braid(
        &[&replay[..], &["--blocks", "1", "--predictions"], &[nowhere.to_str().unwrap()]].concat(),
    );
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn consecutive_blocks_replay_as_a_range() {
    let settings = ["--blocks", "5", "--transactions", "12"];
    for more in [&[][..], &["--without", "pipelining"], &["--forced", "--output", "bundle"]] {
        let args = ["replay", "--range", "--json", "--rounds", "1", "--threads", "3"];
        let output = braid(&[&args[..], &settings, more].concat());
        assert_eq!(output.status.code(), Some(0), "{more:?}");
        let lines = lines(&output);
        assert_eq!(lines.len(), 6);
        for block in &lines[..5] {
            for check in ["match", "gas_used", "receipts_root", "requests_hash", "state_root"] {
                assert_eq!(block[check], true, "{check}: {block}");
            }
            assert_eq!(block["txs"], 12);
        }
        assert_eq!((&lines[5]["matched"], &lines[5]["threads"]), (&5.into(), &3.into()));
        assert!(lines[5]["bare_total"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn blocks_with_a_gap_are_no_range() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 5_000_000, 0);
    record(folder.path(), 5_000_002, 0);
    let output = braid(&["replay", "--range", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("number 5000002") && text.contains("number 5000000"), "{text}");
    let both = braid(&["replay", "--range", "--only", "bare", "x"]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn a_wrong_header_in_a_range_exits_with_1() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 5_000_000, 1);
    let output = braid(&["replay", "--range", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_read_latency_is_met_by_every_side_and_reads_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 5_000_000, 0);
    let path = folder.path().to_str().unwrap();
    let args = ["replay", path, "--json", "--rounds", "1", "--threads", "4"];
    let output = braid(&[&args[..], &["--read-latency", "200"]].concat());
    assert_eq!(output.status.code(), Some(0));
    let lines = lines(&output);
    let summary = lines.last().unwrap();
    assert!(summary["reads"].as_f64().unwrap() >= 1.0, "{summary}");
    for side in ["stock_ns", "bare_ns", "parallel_ns"] {
        assert!(summary[side].as_u64().unwrap() >= 200_000, "{side} met no latency: {summary}");
    }
}

#[test]
fn an_import_starts_from_the_block_s_bytes_and_compares_the_whole_header() {
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().to_str().unwrap();
    let workload = ["--blocks", "2", "--transactions", "20", "--write", written];
    let args = ["replay", "--json", "--rounds", "1", "--import"];
    let output = braid(&[&args[..], &workload].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(lines(&output).last().unwrap()["matched"], 2);

    let file = braid_shadow::recorded::files(folder.path()).unwrap().remove(0);
    let mut record = RecordedBlock::read(&file).unwrap();
    record.block.header.receipts_root = alloy_primitives::B256::repeat_byte(1);
    let altered = tempfile::tempdir().unwrap();
    let path = record.write(altered.path()).unwrap();
    let imported = braid(&["replay", path.to_str().unwrap(), "--rounds", "1", "--import"]);
    assert_eq!(imported.status.code(), Some(1));
    let said = String::from_utf8_lossy(&imported.stderr);
    assert!(said.contains("rejected on every side: receiptsRoot"), "{said}");
}

#[test]
fn with_access_lists_the_transactions_of_a_serial_workload_run_once() {
    let args = ["replay", "--blocks", "2", "--transactions", "40", "--contention", "1", "--json"];
    let more = ["--access-list", "--forced", "--threads", "4", "--rounds", "2"];
    let output = braid(&[&args[..], &more].concat());
    assert_eq!(output.status.code(), Some(0));
    let lines = lines(&output);
    assert_eq!(lines.len(), 3);
    for block in &lines[..2] {
        assert_eq!((&block["executions"], &block["match"]), (&block["txs"], &true.into()));
    }
    assert_eq!(lines[2]["executions_per_tx"], 1.0);
}

#[test]
fn a_wrong_header_exits_with_1_and_stops_unless_told_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 5_000_000, 1);
    record(folder.path(), 5_000_001, 0);
    let path = folder.path().to_str().unwrap();
    let stopped = braid(&["replay", path, "--json", "--rounds", "1"]);
    assert_eq!(stopped.status.code(), Some(1));
    let lines_stopped = lines(&stopped);
    assert_eq!(lines_stopped[0]["gas_used"], false);
    assert_eq!(lines_stopped.last().unwrap()["blocks"], 1);
    let went_on = braid(&["replay", path, "--json", "--rounds", "1", "--keep-going"]);
    assert_eq!(went_on.status.code(), Some(1));
    let summary = lines(&went_on).pop().unwrap();
    assert_eq!((&summary["blocks"], &summary["mismatched"]), (&2.into(), &1.into()));
}

#[test]
fn unreadable_files_exit_with_3_and_the_others_still_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let good = record(folder.path(), 5_000_000, 0);
    let whole = fs::read(&good).unwrap();
    let truncated = folder.path().join("truncated.json.zst");
    fs::write(&truncated, &whole[..whole.len() / 2]).unwrap();
    let foreign = folder.path().join("foreign.json.zst");
    fs::write(&foreign, "not a recorded block").unwrap();
    let missing = folder.path().join("missing.json.zst");
    for bad in [truncated, foreign, missing] {
        let bad = bad.to_str().unwrap();
        let output = braid(&["replay", bad, &good, "--json", "--rounds", "1"]);
        assert_eq!(output.status.code(), Some(3), "{bad}");
        let lines = lines(&output);
        let error = lines.iter().find(|line| !line["error"].is_null()).unwrap();
        assert_eq!(error["file"], bad);
        assert_eq!(lines.last().unwrap()["matched"], 1, "{bad}");
    }
}

#[test]
fn the_table_fits_100_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = record(folder.path(), 5_000_000, 0);
    let few = ["--blocks", "1", "--transactions", "5"];
    for (input, row) in [(&[&*path][..], "5000000"), (&few, "equal")] {
        let output = braid(&[&["replay", "--rounds", "1"], input].concat());
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(row), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}

const SMALL: [&str; 9] =
    ["replay", "--json", "--rounds", "1", "--blocks", "3", "--transactions", "20", "--keep-going"];

#[test]
fn without_a_path_a_workload_is_generated_and_replayed() {
    let output = braid(&SMALL);
    assert_eq!(output.status.code(), Some(0));
    let lines = lines(&output);
    assert_eq!(lines.len(), 4);
    for line in &lines[..3] {
        assert_eq!((&line["txs"], &line["match"]), (&20.into(), &true.into()));
        for key in ["gas_used", "receipts_root", "logs_bloom", "requests_hash", "state_root"] {
            assert_eq!(line[key], true, "{key}");
        }
    }
    assert_eq!((&lines[3]["blocks"], &lines[3]["matched"]), (&3.into(), &3.into()));
}

#[test]
fn a_written_workload_replays_to_the_same_blocks() {
    let folder = tempfile::tempdir().unwrap();
    // The folder itself is made too.
    let folder = folder.path().join("blocks");
    let folder = folder.to_str().unwrap();
    let options = ["--contention", "0.5", "--seed", "7", "--mix", "swaps=2,transfers=1"];
    let generated = braid(&[&SMALL[..], &options, &["--write", folder]].concat());
    assert_eq!(generated.status.code(), Some(0));
    let read = braid(&["replay", "--json", "--rounds", "1", folder]);
    assert_eq!(read.status.code(), Some(0));
    let (generated, read) = (lines(&generated), lines(&read));
    assert_eq!(generated.len(), 4);
    for (one, other) in generated.iter().zip(&read).take(3) {
        for key in ["block", "txs", "gas", "match"] {
            assert!(!one[key].is_null() && one[key] == other[key], "{key}");
        }
    }
    assert_eq!(read[3]["matched"], 3);
    // The options tell: another seed gives other blocks.
    let other = braid(&[&SMALL[..], &options[..2], &options[4..]].concat());
    assert!((0..3).any(|block| lines(&other)[block]["gas"] != read[block]["gas"]));
}

#[test]
fn a_workload_that_cannot_be_written_exits_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let file = file.to_str().unwrap();
    let output = braid(&[&SMALL[..], &["--write", file]].concat());
    assert_eq!(output.status.code(), Some(3));
    let lines = lines(&output);
    assert!(lines.iter().any(|line| line["file"] == file && !line["error"].is_null()));
    assert_eq!(lines.last().unwrap()["matched"], 3, "the replay itself goes on");
}

#[test]
fn wrong_workload_options_exit_with_2_and_name_what_is_wrong() {
    for (args, named) in [
        (&["--mix", "transfers=1,coffee=2"][..], "coffee"),
        (&["--mix", "transfers=many"], "many"),
        (&["--contention", "1.5"], "1.5"),
        (&["--contention", "-0.5"], "-0.5"),
        (&["--blocks", "0"], "0"),
        (&["--transactions", "0"], "0"),
        (&["--blocks", "3", "some/path"], "--blocks"),
        (&["--seed", "3", "some/path"], "--seed"),
        (&["some/path", "--write", "folder"], "--write"),
    ] {
        let output = braid(&[&["replay"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(complaint.contains(named), "{args:?}: {complaint}");
    }
}
