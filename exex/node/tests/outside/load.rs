//! Transactions of the built-in workload, sent to a node.

use crate::{
    node::{Node, quantity},
    shared::{PATIENCE, generator},
};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::hex;
use braid_workload::Generator;
use serde_json::{Value, json};
use std::time::Instant;

/// A stream of signed transactions, valid on a chain that starts from [`Self::genesis`].
pub(crate) struct Load {
    generator: Generator,
    pub(crate) genesis: Value,
    /// What the node refused, to be sent again: a transaction that is missing holds up all later
    /// ones of its sender.
    refused: Vec<String>,
    pub(crate) sent: u64,
}

impl Load {
    /// So many senders, one transaction of each in a batch.
    pub(crate) fn new(senders: usize, seed: u64) -> Self {
        let generator = generator(senders, seed);
        let genesis = generator.genesis();
        Self { generator, genesis, refused: Vec::new(), sent: 0 }
    }

    /// The next batch, raw.
    pub(crate) fn batch(&mut self) -> Vec<String> {
        let block = self.generator.next_block().expect("a block").record.block;
        let raw = block.transactions.iter().map(|tx| hex::encode_prefixed(tx.encoded_2718()));
        raw.collect()
    }

    /// Sends one batch, after what was refused before.
    pub(crate) fn send(&mut self, node: &Node) {
        let mut batch = std::mem::take(&mut self.refused);
        batch.extend(self.batch());
        self.deliver(node, &batch);
    }

    fn deliver(&mut self, node: &Node, batch: &[String]) {
        let refused = node.rpc.send(batch);
        self.sent += (batch.len() - refused.len()) as u64;
        // What arrived before, in a request whose answer was lost, is in the chain or on its way.
        let again = refused
            .into_iter()
            .filter(|(_, why)| !why.contains("already known") && !why.contains("nonce too low"));
        self.refused = again.map(|(raw, _)| raw).collect();
    }

    /// Waits until the node has nothing left to do.
    pub(crate) fn settle(&mut self, node: &Node) {
        let start = Instant::now();
        loop {
            let again = std::mem::take(&mut self.refused);
            if !again.is_empty() {
                self.deliver(node, &again);
            }
            let pool = node.rpc.must("txpool_status", json!([]));
            let waiting = quantity(&pool["pending"]) + quantity(&pool["queued"]);
            if waiting == 0 && self.refused.is_empty() {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{waiting} transactions wait: {pool}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}
