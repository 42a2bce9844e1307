//! Committed blocks executed again: in parallel and under an inspector, with the same receipts and
//! the same accesses, and with those that the node itself had.

use crate::{chain::TestChain, shared::tape};
use braid_reth::{Key, Mode, Reexecutor};
use reth_ethereum::chainspec::ChainSpec;
use reth_exex_test_utils::test_exex_context_with_chain_spec;
use revm::{
    inspector::Inspector,
    interpreter::{CallInputs, CallOutcome},
};
use std::{collections::BTreeSet, sync::Arc};

/// Counts calls.
#[derive(Debug, Default)]
struct Calls(u64);

impl<Context> Inspector<Context> for Calls {
    fn call(&mut self, _: &mut Context, _: &mut CallInputs) -> Option<CallOutcome> {
        self.0 += 1;
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_modes_agree_with_each_other_and_with_the_node() {
    let (genesis, tape) = tape(40, 10, 3);
    let genesis: alloy_genesis::Genesis = serde_json::from_value(genesis).expect("a genesis");
    let spec = Arc::new(ChainSpec::from(genesis));
    let (ctx, _handle) = test_exex_context_with_chain_spec(spec.clone()).await.expect("a context");
    let provider = ctx.components.provider.clone();
    let mut chain = TestChain::new(provider.clone(), spec.clone(), tape, 4);
    let again = Reexecutor::new(provider, spec, 2).expect("a known chain");
    let (mut transactions, mut calls) = (0, 0);
    for _ in 0..30 {
        let notification = chain.commit(1);
        let committed = notification.committed_chain().expect("a commit");
        let block = chain.tip();
        let number = block.number;
        let run = again.execute(&block).expect("a valid block");
        let inspected = again.inspect(&block, Calls::default()).expect("a valid block");
        assert_eq!((run.mode, inspected.mode), (Mode::Parallel, Mode::Sequential));
        let outcome = committed.execution_outcome();
        assert_eq!(run.outcome.receipts, outcome.receipts_by_block(number), "block {number}");
        assert_eq!(inspected.receipts, run.outcome.receipts, "block {number}");
        assert_eq!(inspected.gas_used, run.outcome.gas_used, "block {number}");
        assert_eq!(inspected.requests, run.outcome.requests, "block {number}");
        assert_eq!(run.accesses.len(), block.body().transactions.len(), "block {number}");
        for (index, pair) in run.accesses.iter().zip(&inspected.accesses).enumerate() {
            assert_eq!(pair.0, pair.1, "block {number}, transaction {index}");
        }
        for change in run.outcome.state.to_flat().accounts {
            let info = outcome.account(&change.address);
            assert!(info.is_some(), "block {number}: the node changed {} too", change.address);
        }
        for access in &run.accesses {
            let reads: BTreeSet<Key> = access.reads().collect();
            assert!(access.writes().all(|key| reads.contains(&key)), "what is written is loaded");
            assert!(access.writes().count() >= 1, "the sender pays at least");
        }
        transactions += run.accesses.len();
        calls += inspected.inspector.0;
    }
    assert!(transactions > 60, "{transactions} transactions");
    assert!(calls as usize >= transactions / 2, "{calls} calls seen");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_no_longer_canonical_is_an_error_with_its_reason() {
    let (genesis, tape) = tape(10, 4, 3);
    let genesis: alloy_genesis::Genesis = serde_json::from_value(genesis).expect("a genesis");
    let spec = Arc::new(ChainSpec::from(genesis));
    let (ctx, _handle) = test_exex_context_with_chain_spec(spec.clone()).await.expect("a context");
    let provider = ctx.components.provider.clone();
    let mut chain = TestChain::new(provider.clone(), spec.clone(), tape, 4);
    let again = Reexecutor::new(provider, spec, 2).expect("a known chain");
    chain.commit(2);
    let block = chain.tip();
    chain.revert(2);
    let parent = block.parent_hash.to_string();
    let error = again.execute(&block).expect_err("its parent is gone").to_string();
    assert!(error.contains(&parent), "{error}");
    let error = again.inspect(&block, Calls::default()).expect_err("its parent is gone");
    assert!(error.to_string().contains("state of the parent"), "{error}");
}
