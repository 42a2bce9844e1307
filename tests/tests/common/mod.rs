//! What the differential tests share: recorded blocks, and what "equal" means.

#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod asm;
pub mod chains;
pub mod feed;
pub mod host;
pub mod jittery;
pub mod late;
pub mod line;
pub mod scene;
pub mod tx;

use alloy_primitives::Address;
use braid_core::{Engine, Optimisations, Options, Outcome, StateOutput};
use braid_shadow::recorded::{self, RecordedBlock};
use revm::database::{AccountRevert, BundleState};
use std::path::{Path, PathBuf};

/// An engine for each of these: threads, whether it is forced, optimisations.
pub fn engines(all: &[(usize, bool, Optimisations)]) -> Vec<Engine> {
    let engine = |&(threads, forced, optimisations): &_| {
        Engine::new(Options { threads, forced, optimisations, ..Options::default() })
    };
    all.iter().map(engine).collect()
}

/// The folder of shared data, or `None` with the reason printed.
pub fn shared(part: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(part);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED: {} is not there; recorded blocks are not part of a clone", folder.display());
    None
}

/// Every recorded block of one folder.
pub fn recorded_blocks(part: &str) -> Vec<RecordedBlock> {
    let Some(folder) = shared(part) else { return Vec::new() };
    let files = recorded::files(&folder).expect("the folder is readable");
    files.iter().map(|file| RecordedBlock::read(file).expect("a recorded block")).collect()
}

/// Panics with the first difference between two outcomes, statistics apart.
pub fn assert_same(what: &str, expected: &Outcome, actual: &Outcome) {
    assert_eq!(expected.gas_used, actual.gas_used, "{what}: gas used");
    assert_eq!(expected.blob_gas_used, actual.blob_gas_used, "{what}: blob gas used");
    assert_eq!(expected.requests, actual.requests, "{what}: requests");
    assert_eq!(expected.receipts.len(), actual.receipts.len(), "{what}: number of receipts");
    for (index, pair) in expected.receipts.iter().zip(&actual.receipts).enumerate() {
        assert_eq!(pair.0, pair.1, "{what}: receipt {index}");
    }
    assert_eq!(expected.access_list, actual.access_list, "{what}: access list");
    match (&expected.state, &actual.state) {
        (StateOutput::Flat(expected), StateOutput::Flat(actual)) => {
            for pair in expected.accounts.iter().zip(&actual.accounts) {
                assert_eq!(pair.0, pair.1, "{what}: account change");
            }
            assert_eq!(expected.accounts.len(), actual.accounts.len(), "{what}: changed accounts");
            assert_eq!(expected.codes, actual.codes, "{what}: codes");
        }
        (StateOutput::Bundle(expected), StateOutput::Bundle(actual)) => {
            assert_same_bundle(what, expected, actual);
        }
        _ => panic!("{what}: outputs of different kinds"),
    }
}

fn assert_same_bundle(what: &str, expected: &BundleState, actual: &BundleState) {
    assert_eq!(expected.state, actual.state, "{what}: bundle state");
    assert_eq!(expected.contracts, actual.contracts, "{what}: bundle contracts");
    assert_eq!(expected.state_size, actual.state_size, "{what}: state size");
    assert_eq!(expected.reverts_size, actual.reverts_size, "{what}: reverts size");
    assert!(sorted(expected) == sorted(actual), "{what}: reverts");
}

/// The order inside one block's reverts is unspecified.
fn sorted(bundle: &BundleState) -> Vec<Vec<&(Address, AccountRevert)>> {
    let blocks = bundle.reverts.iter().map(|block| {
        let mut rows: Vec<_> = block.iter().collect();
        rows.sort_by_key(|(address, _)| *address);
        rows
    });
    blocks.collect()
}
