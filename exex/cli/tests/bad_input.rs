//! `braid replay` on damaged records: each damage is named with file, block, index and field, has
//! the right exit code, and does not keep the other files from their run. A block that is invalid
//! is rejected in the same words at every thread count.

mod common;

use serde_json::{Value, json};
use std::{fs, path::Path, process::Output};

fn braid(args: &[&str]) -> Output {
    common::braid(&[&["replay"], args].concat())
}

/// The JSON of a generated block of several types of transactions.
fn sample(folder: &Path) -> Value {
    let folder = folder.join("sample");
    let write = folder.to_str().unwrap();
    let size = ["--blocks", "1", "--transactions", "12", "--rounds", "1", "--write", write];
    let output = braid(&size);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let text = zstd::decode_all(fs::File::open(file).unwrap()).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn write(folder: &Path, name: &str, value: &Value) -> String {
    let path = folder.join(format!("{name}.json.zst"));
    let text = serde_json::to_vec(value).unwrap();
    fs::write(&path, zstd::encode_all(text.as_slice(), 1).unwrap()).unwrap();
    path.display().to_string()
}

/// Runs the damaged record before a good one; gives the exit code and standard error.
fn run(bad: &str, good: &str, more: &[&str]) -> (i32, String) {
    let args = [&[bad, good, "--json", "--rounds", "1", "--keep-going"], more].concat();
    let output = braid(&args);
    let text = String::from_utf8(output.stdout).unwrap();
    let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(summary["matched"], 1, "the good one still runs: {text}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn without(value: &mut Value, pointer: &str, key: &str) {
    value.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key);
}

/// Changes a header's field and leaves the hash out, so that only execution can tell.
fn with_header(good: &Value, field: &str, to: Value) -> Value {
    let mut value = good.clone();
    without(&mut value, "/block", "hash");
    value["block"][field] = to;
    value
}

/// The sender of a transaction, as a key of the pre-state.
fn sender(good: &Value, index: usize) -> String {
    good["block"]["transactions"][index]["from"].as_str().unwrap().to_lowercase()
}

#[test]
fn what_contradicts_itself_is_unreadable_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = sample(folder.path());
    let block = u64::from_str_radix(&good["block"]["number"].as_str().unwrap()[2..], 16).unwrap();
    let path = write(folder.path(), "good", &good);
    let check = |name: &str, damage: &dyn Fn(&mut Value), expected: &str| {
        let mut value = good.clone();
        damage(&mut value);
        let (code, errors) = run(&write(folder.path(), name, &value), &path, &[]);
        assert_eq!(code, 3, "{name}: {errors}");
        let expected = format!("{name}.json.zst: block {block}: {expected}");
        assert!(errors.contains(&expected), "{name}: {errors}");
    };
    let zeros = json!(format!("0x{:064}", 0));
    let from = |value: &mut Value| {
        value["block"]["transactions"][2]["from"] = json!(format!("0x{:040}", 0));
    };
    check("from", &from, "transaction 2: `from` is 0x0000");
    let signature = |value: &mut Value| {
        without(value, "/block/transactions/3", "hash");
        value["block"]["transactions"][3]["r"] = json!("0x0");
    };
    check("signature", &signature, "transaction 3: the signature recovers to no sender");
    let hash = |value: &mut Value| value["block"]["transactions"][1]["hash"] = zeros.clone();
    check("hash", &hash, "transaction 1: `hash` is 0x0000");
    let own = |value: &mut Value| value["block"]["hash"] = zeros.clone();
    check("block-hash", &own, "`block.hash` is 0x0000");
    let gas = |value: &mut Value| without(value, "/block", "gasUsed");
    check("missing", &gas, "`block.gasUsed` is missing");
    let kind = |value: &mut Value| value["block"]["transactions"][4]["type"] = json!("0x7");
    check("type", &kind, "`block.transactions[4].type` must be a transaction type from 0 to 4");
    let list =
        |value: &mut Value| drop(value["block"]["transactions"].as_array_mut().unwrap().pop());
    check("list", &list, "`block.transactionsRoot` is 0x");
}

#[test]
fn a_pre_state_without_a_code_is_unreadable_and_no_verdict_on_the_block() {
    let folder = tempfile::tempdir().unwrap();
    let good = sample(folder.path());
    let path = write(folder.path(), "good", &good);
    let mut value = good.clone();
    // The first call's target keeps its code hash and loses its code.
    let targets = good["block"]["transactions"].as_array().unwrap().iter();
    let target = targets.filter_map(|tx| tx["to"].as_str()).find_map(|to| {
        let account = to.to_lowercase();
        good["prestate"][&account]["code"].as_str().map(|_| account)
    });
    let account = value["prestate"][target.unwrap()].as_object_mut().unwrap();
    account.remove("code");
    account.insert("codeHash".to_owned(), json!(format!("0x{}", "5c".repeat(32))));
    let bad = write(folder.path(), "bad", &value);
    for threads in ["1", "4"] {
        let (code, errors) = run(&bad, &path, &["--forced", "--threads", threads]);
        assert_eq!(code, 3, "{errors}");
        let parts =
            ["bad.json.zst: block ", "the record is not complete: ", "(the code of account 0x"];
        assert!(parts.iter().all(|part| errors.contains(part)), "{errors}");
    }
}

#[test]
fn a_header_that_disagrees_is_a_mismatch_that_names_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let good = sample(folder.path());
    let path = write(folder.path(), "good", &good);
    for field in ["gasUsed", "receiptsRoot", "logsBloom", "blobGasUsed", "requestsHash"] {
        let to = match field {
            "gasUsed" | "blobGasUsed" => json!("0x1"),
            "logsBloom" => json!(format!("0x{}", "11".repeat(256))),
            _ => json!(format!("0x{}", "11".repeat(32))),
        };
        let bad = write(folder.path(), field, &with_header(&good, field, to));
        let (code, errors) = run(&bad, &path, &[]);
        assert_eq!(code, 1, "{field}: {errors}");
        assert!(errors.contains(&format!("{field}: the header says ")), "{errors}");
        assert!(errors.contains("again: braid replay --forced "), "{errors}");
    }
}

/// The record is rejected at this index for this reason, by every side, at every thread count.
fn rejected(folder: &Path, good: &Value, bad: (&str, &Value), index: usize, reason: &str) {
    let path = write(folder, "good", good);
    let bad = write(folder, bad.0, bad.1);
    for threads in ["1", "2", "4", "8"] {
        let (code, errors) = run(&bad, &path, &["--forced", "--threads", threads]);
        assert_eq!(code, 1, "{errors}");
        let expected = format!("rejected on every side: invalid block, transaction {index}: ");
        let named = errors.contains(&expected) && errors.contains(reason);
        assert!(named, "{threads} threads, {expected}{reason}: {errors}");
    }
}

#[test]
fn an_invalid_transaction_is_rejected_at_its_index_at_every_thread_count() {
    let folder = tempfile::tempdir().unwrap();
    let good = sample(folder.path());
    // A sender's first transaction, not the block's first.
    let first = (3..12).find(|&at| (0..at).all(|other| sender(&good, other) != sender(&good, at)));
    let index = first.unwrap();
    let account = sender(&good, index);
    let mut poor = good.clone();
    poor["prestate"][&account]["balance"] = json!("0x5");
    rejected(folder.path(), &good, ("poor", &poor), index, "lack of funds (5)");
    let mut ahead = good.clone();
    ahead["prestate"][&account]["nonce"] = json!(1000);
    rejected(folder.path(), &good, ("ahead", &ahead), index, "too low, expected 1000");
    let mut coded = good.clone();
    coded["prestate"][&account]["code"] = json!("0x00");
    let reason = "senders with deployed code";
    rejected(folder.path(), &good, ("coded", &coded), index, reason);
}

#[test]
fn a_transaction_type_before_its_fork_is_rejected_at_its_index() {
    let folder = tempfile::tempdir().unwrap();
    let mut good = sample(folder.path());
    // The blob transaction comes first; without it EIP-1559 is the first that Berlin does not know.
    let types = good["block"]["transactions"].as_array().unwrap();
    let types: Vec<_> = types.iter().map(|tx| tx["type"].as_str().unwrap().to_owned()).collect();
    let index = types.iter().position(|kind| kind == "0x2" || kind == "0x3").unwrap();
    let original = good.clone();
    let config = good["config"].as_object_mut().unwrap();
    let later = ["londonBlock", "mergeNetsplitBlock", "terminalTotalDifficulty"];
    let by_time = ["shanghaiTime", "cancunTime", "pragueTime", "osakaTime", "blobSchedule"];
    later.iter().chain(&by_time).for_each(|key| drop(config.remove(*key)));
    good["block"]["difficulty"] = json!("0x1");
    without(&mut good, "/block", "hash");
    rejected(folder.path(), &original, ("early", &good), index, "is not supported");
    let tight = with_header(&original, "gasLimit", json!("0x5000"));
    rejected(
        folder.path(),
        &original,
        ("tight", &tight),
        0,
        "more than blocks available gas 20480",
    );
}

#[test]
fn damaged_files_are_named_and_nothing_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(folder.path(), "good", &sample(folder.path()));
    let whole = fs::read(&good).unwrap();
    let texts: [(&str, &[u8], &str); 4] = [
        ("truncated", &whole[..whole.len() / 2], "not a whole zstd file"),
        ("foreign", b"no recorded block", "not a whole zstd file"),
        ("empty", b"", "not a whole zstd file"),
        ("text", &zstd::encode_all(&b"{\"block\": "[..], 1).unwrap(), "not JSON"),
    ];
    for (name, bytes, expected) in texts {
        let path = folder.path().join(format!("{name}.json.zst"));
        fs::write(&path, bytes).unwrap();
        let output = braid(&[path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(3), "{name}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "no block was replayed\n");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains(&format!("{name}.json.zst: {expected}")), "{errors}");
        assert_eq!(run(path.to_str().unwrap(), &good, &[]).0, 3);
    }
}

#[test]
fn one_side_alone_reports_its_memory_and_checks_the_header() {
    let folder = tempfile::tempdir().unwrap();
    let good = sample(folder.path());
    let path = write(folder.path(), "good", &good);
    for side in ["stock", "bare", "parallel"] {
        let args = [&*path, "--only", side, "--json", "--rounds", "1", "--threads", "2"];
        let output = braid(&args);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!((&summary["only"], &summary["matched"]), (&json!(side), &json!(1)));
        if cfg!(target_os = "linux") {
            assert!(summary["peak_bytes"].as_u64().unwrap() > 1 << 20, "{summary}");
        }
        let bad = write(folder.path(), "bad", &with_header(&good, "gasUsed", json!("0x1")));
        let output = braid(&[&bad, "--only", side]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8(output.stderr).unwrap().contains("gasUsed: the header says 1"));
    }
}
