//! The ways of executing one block that are measured against each other.
//!
//! Role: run stock, bare and parallel execution on the same source, with the same [`Task`].

use super::latency::Slow;
use alloy_consensus::{
    proofs::{calculate_ommers_root, calculate_transaction_root},
    transaction::SignerRecoverable,
};
use alloy_eips::eip7928::BlockAccessList;
use braid_core::{
    Block, Chain, Engine, ExecuteError, ImportError, Outcome, OutputKind, StateSource,
    block::{BlockError, SignedBlock, Transaction, decode_signed},
    engine::Limits,
    import::check_body,
    sequential::{
        execute_bare, execute_bare_with_access_list, execute_stock, execute_stock_with_access_list,
    },
    trace::{Run, RunOutcome},
};
use braid_shadow::recorded::RecordedBlock;

/// What the sides are given and what they have to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Task {
    /// Execute a block whose senders are known.
    #[default]
    Execute,
    /// Import a block as a node does: from its RLP, with senders recovered, and body, receipts root
    /// and bloom compared with the header; on the sequential sides all of that in sequence.
    Import,
    /// Execute, and produce the block's access list (EIP-7928), which the parallel side is given.
    AccessList,
}

/// What one run gives.
pub(crate) type Execution = Result<Outcome, ImportError>;

type Sequential = fn(&Chain, &Block, &dyn StateSource, OutputKind) -> Result<Outcome, ExecuteError>;

/// One block, ready to be executed in each way.
pub(crate) struct Sides<'a> {
    engine: &'a Engine,
    record: &'a RecordedBlock,
    source: &'a Slow<'a>,
    task: Task,
    /// The block as it travels, for an import.
    rlp: Vec<u8>,
    /// The block's access list, once it is known.
    list: Option<BlockAccessList>,
}

impl<'a> Sides<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        record: &'a RecordedBlock,
        source: &'a Slow<'a>,
        task: Task,
    ) -> Self {
        let rlp = match task {
            Task::Import => alloy_rlp::encode(signed(&record.block)),
            Task::Execute | Task::AccessList => Vec::new(),
        };
        Self { engine, record, source, task, rlp, list: None }
    }

    /// Takes what the parallel side is given out of a sequential outcome.
    pub(crate) fn learn(&mut self, outcome: &Outcome) {
        if self.task == Task::AccessList {
            self.list.clone_from(&outcome.access_list);
        }
    }

    pub(crate) fn stock(&self) -> Execution {
        self.sequential(match self.task {
            Task::AccessList => execute_stock_with_access_list,
            Task::Execute | Task::Import => execute_stock,
        })
    }

    pub(crate) fn bare(&self) -> Execution {
        self.sequential(match self.task {
            Task::AccessList => execute_bare_with_access_list,
            Task::Execute | Task::Import => execute_bare,
        })
    }

    pub(crate) fn parallel(&self) -> Execution {
        let RecordedBlock { chain, block, .. } = self.record;
        let (engine, source, limits) = (self.engine, self.source, Limits::default());
        if self.task == Task::Import {
            return Ok(engine.import(chain, &self.rlp, source, &limits)?.outcome);
        }
        let Some(list) = &self.list else { return Ok(engine.execute(chain, block, source)?) };
        let (outcome, _same_as_the_oracles) =
            engine.execute_with_access_list(chain, block, source, &limits, list)?;
        Ok(outcome)
    }

    /// How many runs of the block's longest transaction came to nothing in one more parallel
    /// execution; `None` where that says nothing.
    pub(crate) fn wasted_on_longest(&self) -> Option<u64> {
        if self.task != Task::Execute || self.engine.options().threads < 2 {
            return None;
        }
        let RecordedBlock { chain, block, .. } = self.record;
        let limits = Limits::default();
        let (_, trace) = self.engine.execute_traced(chain, block, self.source, &limits).ok()?;
        let committed = trace.runs.iter().filter(|run| run.outcome == RunOutcome::Committed);
        let longest = committed.max_by_key(|run| run.end - run.start)?.transaction;
        let wasted =
            |run: &&Run| run.transaction == longest && run.outcome != RunOutcome::Committed;
        Some(trace.runs.iter().filter(wasted).count() as u64)
    }

    fn sequential(&self, execute: Sequential) -> Execution {
        let RecordedBlock { chain, block, .. } = self.record;
        let output = self.engine.options().output;
        if self.task != Task::Import {
            return Ok(execute(chain, block, self.source, output)?);
        }
        let signed = decode_signed(&self.rlp)?;
        check_body(&signed, calculate_transaction_root(&signed.body.transactions))?;
        let senders = senders(&signed.body.transactions)?;
        let block = Block::with_senders(signed, senders)?;
        let outcome = execute(chain, &block, self.source, output)?;
        let byzantium = chain.rules(&block.header).has_status_receipts(&block.header);
        outcome.check_header(&block, byzantium)?;
        Ok(outcome)
    }
}

/// The recorded block without its senders. Some records lack the ommers that their header commits
/// to; for those the header is made to agree, since the block's hash plays no part here.
fn signed(block: &Block) -> SignedBlock {
    let mut signed = block.to_signed();
    signed.header.ommers_hash = calculate_ommers_root(&signed.body.ommers);
    signed
}

fn senders(transactions: &[Transaction]) -> Result<Vec<alloy_primitives::Address>, BlockError> {
    let recover = |(index, tx): (usize, &Transaction)| {
        // A high `s` was valid before Homestead; no block that was mined later has one.
        let sender = tx.recover_signer_unchecked();
        sender.map_err(|_| BlockError::Signature { index, hash: *tx.tx_hash() })
    };
    transactions.iter().enumerate().map(recover).collect()
}
