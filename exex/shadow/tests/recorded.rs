//! Reads, executes and proves the recorded blocks under `shared/` beside the repository, where
//! they are, and checks that damaged records are refused for the right reason.

use braid_core::{Outcome, OutputKind, sequential::execute_stock};
use braid_shadow::recorded::{
    Prestate, Problem, RecordedBlock, RecordedError, StateCheck, StateMismatch, TransactionProblem,
    files,
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The recorded blocks in a folder of `shared/`, or the reason why there are none.
fn recorded(folder: &str) -> Option<Vec<PathBuf>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(folder);
    match files(&path) {
        Ok(files) if !files.is_empty() => Some(files),
        Ok(_) => {
            println!("SKIPPED: no recorded blocks in {}", path.display());
            None
        }
        Err(error) => {
            println!("SKIPPED: {error}");
            None
        }
    }
}

fn find(folder: &str, number: u64) -> Option<PathBuf> {
    let name = format!("{number}.json.zst");
    let found = recorded(folder)?.into_iter().find(|path| path.ends_with(&name));
    if found.is_none() {
        println!("SKIPPED: no block {number} in shared/{folder}");
    }
    found
}

/// Reads a recorded block.
fn read(path: &Path) -> RecordedBlock {
    RecordedBlock::read(path).unwrap_or_else(|error| panic!("{error}"))
}

fn execute(record: &RecordedBlock) -> Outcome {
    let number = record.number();
    let outcome =
        execute_stock(&record.chain, &record.block, record.state.source(), OutputKind::Flat)
            .unwrap_or_else(|error| panic!("block {number}: {error}"));
    let header = &record.block.header;
    let byzantium = record.chain.rules(header).has_status_receipts(header);
    outcome
        .check_header(&record.block, byzantium)
        .unwrap_or_else(|error| panic!("block {number}: {error}"));
    outcome
}

fn check_all(folder: &str, expected: impl Fn(&RecordedBlock) -> StateCheck) {
    let Some(files) = recorded(folder) else { return };
    for path in &files {
        let record = read(path);
        let outcome = execute(&record);
        let check = record
            .check_state(&outcome.state.to_flat())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(check, expected(&record), "{}", path.display());
    }
    println!("{} blocks in shared/{folder}", files.len());
}

#[test]
fn mainnet_blocks_execute_as_their_headers_say() {
    check_all("mainnet", |record| match record.proofs {
        Some(_) => StateCheck::Proofs,
        None => StateCheck::Unchecked,
    });
}

#[test]
fn witness_blocks_give_their_state_root() {
    check_all("witness", |_| StateCheck::Root);
}

#[test]
fn found_roots_are_those_of_the_parents() {
    let Some(files) = recorded("witness") else { return };
    let records: Vec<_> = files.iter().map(|path| RecordedBlock::read(path).unwrap()).collect();
    for pair in records.windows(2).filter(|pair| pair[0].number() + 1 == pair[1].number()) {
        let Prestate::Witness(witness) = &pair[1].state else {
            panic!("block {}: no witness", pair[1].number());
        };
        assert_eq!(witness.root(), pair[0].block.header.state_root);
    }
}

#[test]
fn wrong_changes_are_found() {
    for (folder, number) in [("mainnet", 18_884_864), ("witness", 2_965_788)] {
        let Some(path) = find(folder, number) else { continue };
        let record = RecordedBlock::read(path).unwrap();
        let right = execute(&record).state.to_flat();

        let mut wrong = right.clone();
        let info = wrong.accounts.iter_mut().find_map(|change| change.after.as_mut()).unwrap();
        info.nonce += 1;
        assert!(record.check_state(&wrong).is_err(), "nonce");

        let mut wrong = right.clone();
        let slots = wrong.accounts.iter_mut().find(|change| !change.storage.is_empty()).unwrap();
        slots.storage[0].1 ^= alloy_primitives::U256::ONE;
        assert!(record.check_state(&wrong).is_err(), "slot");

        let mut wrong = right.clone();
        wrong.accounts.remove(0);
        assert!(record.check_state(&wrong).is_err(), "missing change");
    }
}

#[test]
fn false_proofs_are_found() {
    let Some(path) = find("mainnet", 18_884_864) else { return };
    let record = RecordedBlock::read(path).unwrap();
    let changes = execute(&record).state.to_flat();

    let mut claimed = record.clone();
    claimed.proofs.as_mut().unwrap().block[0].balance += alloy_primitives::U256::ONE;
    let error = claimed.check_state(&changes).unwrap_err();
    assert!(matches!(error, StateMismatch::Answer { .. }), "{error}");

    let mut cut = record.clone();
    cut.proofs.as_mut().unwrap().parent.iter_mut().for_each(|answer| {
        answer.account_proof.pop();
    });
    let error = cut.check_state(&changes).unwrap_err();
    assert!(matches!(error, StateMismatch::Witness { .. }), "{error}");

    let mut fewer = record;
    fewer.proofs.as_mut().unwrap().block.clear();
    let error = fewer.check_state(&changes).unwrap_err();
    assert!(matches!(error, StateMismatch::Unproved { .. }), "{error}");
}

#[test]
fn what_is_written_reads_back_equal() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["mainnet", "witness"] {
        for path in recorded(name).unwrap_or_default() {
            let first = RecordedBlock::read(&path).unwrap();
            let written = first.write(folder.path()).unwrap();
            assert_eq!(written.file_name(), path.file_name());
            let second = RecordedBlock::read(&written).unwrap();
            assert_eq!(first.block.header, second.block.header);
            assert_eq!(first.block.transactions, second.block.transactions);
            assert_eq!(first.block.withdrawals, second.block.withdrawals);
            assert_eq!(first.ommer_hashes, second.ommer_hashes);
            assert_eq!(first.proofs, second.proofs);
            assert_eq!(first.parent, second.parent);
            assert_eq!(first.to_value().unwrap(), second.to_value().unwrap());
        }
    }
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("partial"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A small recorded block as JSON.
fn sample() -> Option<Value> {
    let path = find("mainnet", 930_196)?;
    let text = zstd::decode_all(fs::File::open(path).unwrap()).unwrap();
    Some(serde_json::from_slice(&text).unwrap())
}

fn refused(value: &Value) -> Problem {
    let error = RecordedBlock::from_value(value).unwrap_err();
    assert_eq!(error.file, None);
    if let Some(number) = value.pointer("/block/number").and_then(Value::as_str) {
        let block = u64::from_str_radix(&number[2..], 16).unwrap();
        assert!(error.to_string().starts_with(&format!("block {block}: ")), "{error}");
    }
    let RecordedError { problem, .. } = error;
    problem
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1.json.zst");
    let problem = |bytes: &[u8], limit: u64| {
        fs::write(&path, bytes).unwrap();
        let error = RecordedBlock::read_limited(&path, limit).unwrap_err();
        assert_eq!(error.file.as_deref(), Some(path.as_path()));
        assert!(error.to_string().contains("1.json.zst"), "{error}");
        error.problem
    };
    let good = zstd::encode_all(vec![b' '; 5000].as_slice(), 3).unwrap();
    assert!(matches!(problem(b"", 9999), Problem::Json(_) | Problem::Compression(_)));
    assert!(matches!(problem(b"no zstd at all", 9999), Problem::Compression(_)));
    assert!(matches!(problem(&good[..good.len() - 3], 9999), Problem::Compression(_)));
    assert!(matches!(problem(&good, 4999), Problem::TooLarge { limit: 4999 }));
    assert!(matches!(problem(&good, 5000), Problem::Json(_)));
    let absent = RecordedBlock::read(folder.path().join("2.json.zst")).unwrap_err();
    assert!(matches!(absent.problem, Problem::File(_)), "{absent}");
}

#[test]
fn foreign_json_is_refused() {
    for (text, key) in [("[]", ""), ("{}", "block"), (r#"{"block":1}"#, "block")] {
        let error = RecordedBlock::from_json(text.as_bytes()).unwrap_err();
        match error.problem {
            Problem::Missing { key: missing } => assert_eq!(missing, key),
            Problem::Malformed { key: bad, .. } => assert_eq!(bad, key),
            other => panic!("{text}: {other}"),
        }
    }
    let unknown = RecordedBlock::from_json(br#"{"chainId":"0x539"}"#).unwrap_err();
    assert!(matches!(unknown.problem, Problem::UnknownChain(1337)));
}

#[test]
fn missing_keys_are_named() {
    let Some(good) = sample() else { return };
    RecordedBlock::from_value(&good).unwrap();
    for key in ["/prestate", "/blockHashes", "/complete", "/block", "/block/stateRoot"] {
        let (parent, name) = key.rsplit_once('/').unwrap();
        let mut value = good.clone();
        value.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        let expected = key[1..].replace('/', ".");
        match refused(&value) {
            Problem::Missing { key } => assert_eq!(key, expected),
            other => panic!("{key}: {other}"),
        }
    }
    let mut value = good;
    value["block"]["transactions"][1].as_object_mut().unwrap().remove("gasPrice");
    match refused(&value) {
        Problem::Missing { key } => assert_eq!(key, "block.transactions[1].gasPrice"),
        other => panic!("{other}"),
    }
}

#[test]
fn contradictions_are_refused() {
    let Some(good) = sample() else { return };
    let with = |key: &str, change: &dyn Fn(&mut Value)| {
        let mut value = good.clone();
        change(value.pointer_mut(key).unwrap());
        refused(&value)
    };
    let zeros = json!(alloy_primitives::B256::ZERO);
    let key = |problem| match problem {
        Problem::Mismatch { key, .. } => key.into_string(),
        other => panic!("{other}"),
    };
    assert_eq!(key(with("/block/hash", &|hash| *hash = zeros.clone())), "block.hash");
    assert_eq!(
        key(with("/block", &|block| {
            block.as_object_mut().unwrap().remove("hash");
            block["transactions"].as_array_mut().unwrap().pop();
        })),
        "block.transactionsRoot"
    );

    let transaction = |problem| match problem {
        Problem::Transaction { index: 1, problem } => problem,
        other => panic!("{other}"),
    };
    let problem = with("/block/transactions/1/hash", &|hash| *hash = zeros.clone());
    assert!(matches!(transaction(problem), TransactionProblem::Hash { .. }));
    let problem = with("/block/transactions/1/value", &|value| *value = json!("0x1"));
    assert!(matches!(transaction(problem), TransactionProblem::Hash { .. }));
    let problem = with("/block/transactions/1/from", &|from| {
        *from = json!(alloy_primitives::Address::ZERO);
    });
    assert!(matches!(transaction(problem), TransactionProblem::Sender { .. }));
    let problem = with("/block/transactions/1", &|transaction| {
        transaction.as_object_mut().unwrap().remove("hash");
        transaction["r"] = json!("0x0");
    });
    assert_eq!(transaction(problem), TransactionProblem::Signature);
}

#[test]
fn numbers_and_nulls_are_read_in_every_form() {
    let Some(good) = sample() else { return };
    let expected = RecordedBlock::from_value(&good).unwrap();
    let mut value = good;
    let number = expected.number();
    value["block"]["number"] = json!(number);
    value["block"]["gasLimit"] = json!(expected.block.header.gas_limit.to_string());
    value["block"]["baseFeePerGas"] = Value::Null;
    value["chainId"] = json!("0x1");
    value["unknown"] = json!({ "ignored": true });
    for transaction in value["block"]["transactions"].as_array_mut().unwrap() {
        transaction.as_object_mut().unwrap().remove("type");
    }
    let read = RecordedBlock::from_value(&value).unwrap();
    assert_eq!(read.to_value().unwrap(), expected.to_value().unwrap());
}
