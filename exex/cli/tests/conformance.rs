//! `braid test` from outside: verdicts, skips with reasons, bad inputs, and a part of the published
//! archives.

mod common;

use alloy_consensus::{BlockBody, EMPTY_OMMER_ROOT_HASH, Header};
use alloy_primitives::{Address, U256, hex};
use braid_core::{
    block::SignedBlock,
    source::{MemoryState, decode_code},
};
use common::lines;
use revm::state::AccountInfo;
use serde_json::{Value, json};
use std::{fs, path::Path, process::Output};

fn braid(args: &[&str]) -> Output {
    common::braid(&[&["test"], args].concat())
}

/// A Frontier case with one account and one empty block, which pays its beneficiary.
fn case(reward: u64, exception: Option<&str>) -> Value {
    let (holder, beneficiary) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let code = decode_code(vec![0x60, 0x00].into());
    let info = |balance: U256, code| {
        let mut info = AccountInfo::default().with_balance(balance);
        if let Some(code) = code {
            info = info.with_code(code);
        }
        info
    };
    let mut state = MemoryState::default();
    state.insert_account(holder, info(U256::from(7), Some(code)));
    let genesis = Header {
        state_root: state.state_root(),
        difficulty: U256::from(131_072),
        gas_limit: 5_000_000,
        ..Header::default()
    };
    state.insert_account(beneficiary, info(U256::from(5_000_000_000_000_000_000_u64), None));
    let header = Header {
        parent_hash: genesis.hash_slow(),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary,
        state_root: state.state_root(),
        difficulty: U256::from(131_136),
        number: 1,
        gas_limit: 5_000_000,
        timestamp: 10,
        ..Header::default()
    };
    let hash = header.hash_slow();
    let encode = |header: Header| {
        hex::encode_prefixed(alloy_rlp::encode(SignedBlock::new(header, BlockBody::default())))
    };
    let account = |balance: String, code: &str| {
        let storage = json!({});
        json!({"nonce": "0x00", "balance": balance, "code": code, "storage": storage})
    };
    let mut block = json!({"rlp": encode(header)});
    if let Some(exception) = exception {
        block["expectException"] = exception.into();
    }
    json!({
        "network": "Frontier",
        "genesisRLP": encode(genesis),
        "pre": {holder.to_string(): account("0x07".to_owned(), "0x6000")},
        "postState": {
            holder.to_string(): account("0x07".to_owned(), "0x6000"),
            beneficiary.to_string(): account(format!("{reward:#x}"), "0x"),
        },
        "lastblockhash": hash,
        "blocks": [block],
    })
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

const REWARD: u64 = 5_000_000_000_000_000_000;

#[test]
fn a_case_that_holds_passes() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "a.json", &json!({"good": case(REWARD, None)}).to_string());
    let output = braid(&[&path, "--forced", "--threads", "4", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let expected = json!({"summary": true, "cases": 1, "passed": 1, "failed": 0, "skipped": 0});
    assert_eq!(lines(&output), [expected]);
}

#[test]
fn a_case_that_sequential_revm_fails_too_is_skipped_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let cases = json!({
        "wrong balance": case(REWARD - 1, None),
        "wrong verdict": case(REWARD, Some("BlockException.INVALID_STATE_ROOT")),
    });
    let path = write(folder.path(), "a.json", &cases.to_string());
    let output = braid(&[&path, "--forced", "--json"]);
    let lines = lines(&output);
    assert_eq!(lines.len(), 3);
    let reason = |index: usize| lines[index]["reason"].as_str().unwrap();
    assert!(reason(0).contains("balance 5000000000000000000"), "{}", reason(0));
    assert!(reason(1).contains("accepted, expected BlockException"), "{}", reason(1));
    assert_eq!((&lines[2]["passed"], &lines[2]["skipped"]), (&json!(0), &json!(2)));
    let output = braid(&[&path]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("2 cases: 0 passed, 0 failed, 2 skipped\n"), "{text}");
}

#[test]
fn bad_inputs_are_named_and_the_others_still_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut incomplete = case(REWARD, None);
    incomplete.as_object_mut().unwrap().remove("lastblockhash");
    write(folder.path(), "1-broken.json", "{\"a\":");
    write(folder.path(), "2-incomplete.json", &json!({"no end": incomplete}).to_string());
    write(folder.path(), "3-pointer.json", "version https://git-lfs.github.com/spec/v1\n");
    write(folder.path(), "4-other.json", "{\"state test\": {\"post\": {}}}");
    write(folder.path(), "5-good.json", &json!({"good": case(REWARD, None)}).to_string());
    write(folder.path(), "6-foreign.tar.zst", "no archive");
    let path = folder.path().to_str().unwrap();
    let output = braid(&[path, "/nonexistent/tests.json", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    for part in ["1-broken.json: EOF", "missing field `lastblockhash`", "6-foreign", "/nonexistent"]
    {
        assert!(errors.contains(part), "{part} in {errors}");
    }
    let lines = lines(&output);
    assert!(lines[0]["reason"].as_str().unwrap().contains("Git LFS"));
    assert!(lines[1]["reason"].as_str().unwrap().contains("not a blockchain test"));
    assert_eq!((&lines[2]["passed"], &lines[2]["skipped"]), (&json!(1), &json!(2)));
}

#[test]
fn transitions_ommers_and_forks_of_the_published_archive() {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/fixtures/ethereum-tests.tar.zst");
    if !archive.is_file() {
        println!("SKIPPED: {} is not there", archive.display());
        return;
    }
    let archive = archive.to_str().unwrap();
    // Transition networks, and cases about ommers.
    for (filter, least) in [("To", 480), ("ncle", 40)] {
        let args = [archive, "--forced", "--threads", "4", "--json", "--filter", filter];
        let output = braid(&args);
        assert_eq!(output.status.code(), Some(0), "{filter}");
        let lines = lines(&output);
        let summary = lines.last().unwrap();
        assert_eq!(summary["failed"], 0, "{filter}");
        assert!(summary["passed"].as_u64().unwrap() >= least, "{summary}");
    }
}
