//! A real dev chain with the shadow inside: transactions of every kind over RPC, every block
//! executed again and equal; then SIGTERM, then `kill -9` at random instants.
//!
//! The short form runs in continuous integration where reth can be had. Full size:
//! `BRAID_NODE_TRANSACTIONS=20000 BRAID_NODE_BLOCKS=500 BRAID_NODE_KILLS=50
//! BRAID_NODE_BACKFILL=200`.

use crate::{
    load::Load,
    node::{self, Node, quantity},
    shared::{amount, wait_for},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::{thread, time::Duration};

/// A counter of the status file.
fn counter(status: &Value, name: &str) -> u64 {
    status[name].as_u64().unwrap_or_else(|| panic!("no counter {name}: {status}"))
}

/// The blocks that were skipped, over all reasons.
fn skipped(status: &Value) -> u64 {
    let reasons = status["skipped"].as_object().expect("reasons");
    reasons.values().map(|count| count.as_u64().expect("a count")).sum()
}

/// Waits until the shadow has dealt with every block up to `height`.
fn caught_up(node: &Node, height: u64) -> Value {
    wait_for("the shadow to catch up", || {
        let status = node.status()?;
        let dealt_with =
            counter(&status, "matched") + counter(&status, "mismatched") + skipped(&status);
        (counter(&status, "head") >= height && dealt_with >= counter(&status, "committed"))
            .then_some(status)
    })
}

#[test]
fn every_block_of_a_dev_chain_is_matched() {
    let transactions = amount("BRAID_NODE_TRANSACTIONS", 600);
    let blocks = amount("BRAID_NODE_BLOCKS", 20);
    let folder = tempfile::tempdir().expect("a folder");
    let mut load = Load::new(100, 7);
    let genesis = load.genesis.clone();
    let node = Node::start(folder.path(), &genesis, &["--dev.block-time", "500ms"]);
    while load.sent < transactions || node.height() < blocks {
        load.send(&node);
        load.settle(&node);
    }
    let height = node.height();
    let status = caught_up(&node, height);
    println!("{} transactions, height {height}: {status}", load.sent);
    assert_eq!(counter(&status, "mismatched"), 0, "{status}");
    assert_eq!(counter(&status, "committed"), counter(&status, "head"), "every block was seen");
    assert_eq!(
        counter(&status, "matched") + skipped(&status),
        counter(&status, "committed"),
        "every block is accounted for: {status}"
    );
    // On a busy machine a block may be late; that many are would be a fault.
    assert!(counter(&status, "matched") * 10 >= counter(&status, "committed") * 9, "{status}");
    assert!(successful(&node, height) * 10 >= load.sent * 8, "the load does what it is meant to");
    node.terminate();
    let last = node::status(&folder.path().join("reports")).expect("a status");
    assert!(counter(&last, "head") >= height, "{last}");
}

/// How many transactions of the chain succeeded.
fn successful(node: &Node, height: u64) -> u64 {
    let mut successful = 0;
    for number in 1..=height {
        let receipts = node.rpc.must("eth_getBlockReceipts", json!([format!("{number:#x}")]));
        let receipts = receipts.as_array().expect("receipts");
        successful += receipts.iter().filter(|receipt| quantity(&receipt["status"]) == 1).count();
    }
    successful as u64
}

#[test]
fn the_node_starts_again_after_kills_at_random_instants() {
    let kills = amount("BRAID_NODE_KILLS", 3);
    let folder = tempfile::tempdir().expect("a folder");
    let mut load = Load::new(40, 8);
    let genesis = load.genesis.clone();
    let mut rng = StdRng::seed_from_u64(9);
    let mut matched = 0;
    for round in 0..kills {
        let mut node = Node::start(folder.path(), &genesis, &["--dev.block-time", "200ms"]);
        let before = node.height();
        load.send(&node);
        wait_for("a new block", || (node.height() > before).then_some(()));
        thread::sleep(Duration::from_millis(rng.random_range(0..1500)));
        if let Some(status) = node.status() {
            assert_eq!(counter(&status, "mismatched"), 0, "round {round}: {status}");
            matched += counter(&status, "matched");
        }
        node.kill();
    }
    let node = Node::start(folder.path(), &genesis, &["--dev.block-time", "200ms"]);
    let before = node.height();
    wait_for("blocks after the last kill", || (node.height() > before + 3).then_some(()));
    let status = caught_up(&node, before + 3);
    assert_eq!(counter(&status, "mismatched"), 0, "{status}");
    assert!(counter(&status, "matched") > 0, "{status}");
    println!("{kills} kills, {matched} blocks matched between them");
    node.terminate();
}

#[test]
fn blocks_from_before_the_shadow_are_backfilled() {
    let blocks = amount("BRAID_NODE_BACKFILL", 20);
    let folder = tempfile::tempdir().expect("a folder");
    let mut load = Load::new(30, 12);
    let genesis = load.genesis.clone();
    let node = Node::start(folder.path(), &genesis, &["--dev.block-time", "200ms", "--braid.off"]);
    while node.height() < blocks {
        load.send(&node);
        load.settle(&node);
    }
    let before = node.height();
    node.terminate();
    let more = ["--dev.block-time", "1s", "--braid.backfill-from", "1"];
    let node = Node::start(folder.path(), &genesis, &more);
    let status = caught_up(&node, before);
    println!("{status}");
    assert!(counter(&status, "committed") >= before, "{status}");
    assert_eq!(counter(&status, "mismatched"), 0, "{status}");
    assert_eq!(counter(&status, "matched"), counter(&status, "committed"), "{status}");
    assert!(counter(&status, "transactions") >= blocks, "the blocks are not empty: {status}");
    node.terminate();
}

#[test]
fn a_report_folder_that_cannot_be_written_costs_reports_and_not_blocks() {
    let folder = tempfile::tempdir().expect("a folder");
    let load = Load::new(2, 10);
    // The folder's name is taken by a file: nothing can ever be written there.
    std::fs::write(folder.path().join("reports"), "in the way").expect("a writable folder");
    let node = Node::start(folder.path(), &load.genesis, &["--dev.block-time", "100ms"]);
    wait_for("the log to say what could not be written", || {
        let log = std::fs::read_to_string(&node.log).expect("a log");
        log.contains("status.json").then_some(())
    });
    let before = node.height();
    wait_for("blocks after that", || (node.height() > before + 5).then_some(()));
    node.terminate();
}
