//! The ways of executing one block that are measured against each other.
//!
//! Role: run stock, bare and parallel execution on the same source, either on a block whose senders
//! are known, or as a node imports one: from the block's RLP, with senders recovered, and body,
//! receipts root and bloom compared with the header. The sequential sides then do all of that in
//! sequence.

use super::latency::Slow;
use alloy_consensus::{
    BlockBody,
    proofs::{calculate_ommers_root, calculate_transaction_root},
    transaction::SignerRecoverable,
};
use braid_core::{
    Block, Engine, ExecuteError, ImportError, Outcome, OutputKind,
    block::{BlockError, SignedBlock, Transaction, decode_signed},
    engine::Limits,
    import::check_body,
    sequential::{execute_bare, execute_stock},
};
use braid_shadow::recorded::RecordedBlock;

/// What one run gives.
pub(crate) type Execution = Result<Outcome, ImportError>;

type Sequential<'s> = fn(
    &braid_core::Chain,
    &Block,
    &'s dyn braid_core::StateSource,
    OutputKind,
) -> Result<Outcome, ExecuteError>;

/// One block, ready to be executed in each way.
pub(crate) struct Sides<'a> {
    engine: &'a Engine,
    record: &'a RecordedBlock,
    source: &'a Slow<'a>,
    /// The block as it travels, where the sides start from there.
    rlp: Option<Vec<u8>>,
}

impl<'a> Sides<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        record: &'a RecordedBlock,
        source: &'a Slow<'a>,
        import: bool,
    ) -> Self {
        let rlp = import.then(|| alloy_rlp::encode(signed(&record.block)));
        Self { engine, record, source, rlp }
    }

    pub(crate) fn stock(&self) -> Execution {
        self.sequential(|chain, block, source, output| execute_stock(chain, block, source, output))
    }

    pub(crate) fn bare(&self) -> Execution {
        self.sequential(|chain, block, source, output| execute_bare(chain, block, source, output))
    }

    pub(crate) fn parallel(&self) -> Execution {
        let RecordedBlock { chain, block, .. } = self.record;
        match &self.rlp {
            None => Ok(self.engine.execute(chain, block, self.source)?),
            Some(rlp) => {
                let imported = self.engine.import(chain, rlp, self.source, &Limits::default())?;
                Ok(imported.outcome)
            }
        }
    }

    fn sequential(&self, execute: Sequential<'a>) -> Execution {
        let RecordedBlock { chain, block, .. } = self.record;
        let output = self.engine.options().output;
        let Some(rlp) = &self.rlp else {
            return Ok(execute(chain, block, self.source, output)?);
        };
        let signed = decode_signed(rlp)?;
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
    let body = BlockBody {
        transactions: block.transactions.iter().map(|tx| tx.inner().clone()).collect(),
        ommers: block.ommers.clone(),
        withdrawals: block.withdrawals.clone(),
    };
    let mut header = block.header.clone();
    header.ommers_hash = calculate_ommers_root(&body.ommers);
    SignedBlock { header, body }
}

fn senders(transactions: &[Transaction]) -> Result<Vec<alloy_primitives::Address>, BlockError> {
    let recover = |(index, tx): (usize, &Transaction)| {
        // A high `s` was valid before Homestead; no block that was mined later has one.
        let sender = tx.recover_signer_unchecked();
        sender.map_err(|_| BlockError::Signature { index, hash: *tx.tx_hash() })
    };
    transactions.iter().enumerate().map(recover).collect()
}
