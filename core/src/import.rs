//! A block as it travels, verified: its RLP in, block and outcome out.
//!
//! Role: everything that a node does with a block between the network and its tries: decode it,
//! recover the senders, compare the body with the header, execute it, compare the results with the
//! header. What is left to the caller is the header against its parent and the state root.
//!
//! Actors: the calling thread and the engine's own threads, which share the signatures and the
//! body's root, then the transactions, then the receipts' encodings and most of their root. Nothing
//! else is used, so the engine's number of threads and their priority hold for all of it.
//!
//! Invariant: a share that a thread left undone is done by the caller, so a result never depends on
//! which threads came.

use crate::{
    block::{Block, BlockError, Receipt, SignedBlock, Transaction, all_senders, decode_signed},
    chain::Chain,
    engine::{Engine, Limits},
    error::ExecuteError,
    ordered_trie::{self, PIECE, Piece},
    outcome::{HeaderMismatch, Outcome},
    source::StateSource,
};
use alloy_consensus::{
    TxReceipt,
    proofs::{calculate_ommers_root, calculate_transaction_root, calculate_withdrawals_root},
    transaction::SignerRecoverable,
};
use alloy_eips::eip2718::Encodable2718;
use alloy_hardforks::EthereumHardforks;
use alloy_primitives::{Address, B256, Bloom};
use std::sync::OnceLock;

/// How many signatures make one share: enough work to be worth a hand-over, and few enough that
/// nobody waits long for the last share.
const SHARE: usize = 8;

/// So many pieces of the receipts' trie, of some 20 microseconds each, are worth waking a thread.
const MANY: usize = 8;

/// A block that agrees with its header in everything but the state root, which was not looked at.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The block, with its senders.
    pub block: Block,
    /// The result of executing it.
    pub outcome: Outcome,
}

/// Why a block was not imported. All but [`ExecuteError::Host`] say that the block is invalid.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The bytes are no block, or a signature is bad.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The header does not belong to the body.
    #[error(transparent)]
    Body(#[from] BodyMismatch),
    /// A transaction or a block rule failed, or the host did.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// Execution gives something else than the header says.
    #[error(transparent)]
    Header(#[from] HeaderMismatch),
}

/// The header says one thing, the body another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field}: the header says {header}, the body gives {body}")]
pub struct BodyMismatch {
    /// The header's field, in JSON-RPC spelling.
    pub field: &'static str,
    /// The header's value.
    pub header: B256,
    /// The body's value.
    pub body: B256,
}

impl Engine {
    /// Decodes a block from its RLP, recovers its senders by the rules of `chain`, executes it on
    /// the state of its parent, and compares it with its header: transactions root, ommers hash,
    /// withdrawals root, gas used, blob gas used, receipts root and logs bloom (from Byzantium on),
    /// requests hash, and the hash of the block access list where execution yields one.
    ///
    /// Not compared: the state root, and what relates the header to its parent.
    ///
    /// # Errors
    /// [`ImportError`], with what is wrong and where.
    pub fn import(
        &self,
        chain: &Chain,
        rlp: &[u8],
        source: &dyn StateSource,
        limits: &Limits,
    ) -> Result<Imported, ImportError> {
        let block = decode_signed(rlp)?;
        self.import_decoded(chain, block, source, limits)
    }

    /// As [`Self::import`], for a block that has been decoded.
    ///
    /// # Errors
    /// As for [`Self::import`].
    pub fn import_decoded(
        &self,
        chain: &Chain,
        block: SignedBlock,
        source: &dyn StateSource,
        limits: &Limits,
    ) -> Result<Imported, ImportError> {
        let block = self.verify_body(chain, block)?;
        let outcome = self.execute_within(chain, &block, source, limits)?;
        let status = chain.rules(&block.header).has_status_receipts(&block.header);
        let roots = status.then(|| self.receipts_root_and_bloom(&outcome));
        outcome.check_header_with(&block, roots)?;
        Ok(Imported { block, outcome })
    }

    /// The first half of [`Self::import_decoded`], for a caller who has something to do before the
    /// block is executed: recovers the senders by the rules of `chain`, and compares the body with
    /// the header. The second half is an execution and [`Outcome::check_header_with`].
    ///
    /// # Errors
    /// [`ImportError::Block`] where a signature is bad, [`ImportError::Body`].
    pub fn verify_body(&self, chain: &Chain, block: SignedBlock) -> Result<Block, ImportError> {
        let rules = chain.rules(&block.header);
        let homestead = rules.is_homestead_active_at_block(block.header.number);
        let (senders, root) = self.senders_and_root(&block.body.transactions, homestead);
        let senders = all_senders(&block, senders)?;
        check_body(&block, root)?;
        Ok(Block::with_senders(block, senders)?)
    }

    fn senders_and_root(
        &self,
        transactions: &[Transaction],
        homestead: bool,
    ) -> (Vec<Option<Address>>, B256) {
        let root = OnceLock::new();
        let compute_root = || *root.get_or_init(|| calculate_transaction_root(transactions));
        let shares: Vec<&[Transaction]> = transactions.chunks(SHARE).collect();
        let recover = |tx: &Transaction| {
            let sender =
                if homestead { tx.recover_signer() } else { tx.recover_signer_unchecked() };
            sender.ok()
        };
        let one = |share: usize| {
            // The root is the longest piece that cannot be shared, so it is the first one.
            let Some(share) = share.checked_sub(1) else {
                compute_root();
                return Vec::new();
            };
            shares[share].iter().map(recover).collect()
        };
        let senders = self.share_out(true, shares.len() + 1, &one);
        (senders.into_iter().flatten().collect(), compute_root())
    }

    /// The receipts root and the logs bloom of an outcome, computed as in
    /// [`Self::receipts_root_and_blooms`]; equal to [`Outcome::receipts_root`] and
    /// [`Outcome::logs_bloom`].
    pub fn receipts_root_and_bloom(&self, outcome: &Outcome) -> (B256, Bloom) {
        let (root, blooms) = self.receipts_root_and_blooms(&outcome.receipts);
        (root, blooms.into_iter().fold(Bloom::ZERO, |all, one| all | one))
    }

    /// The root of these receipts and the bloom of each, computed on the engine's threads; while
    /// they are at a block, on the calling thread alone.
    pub fn receipts_root_and_blooms(&self, receipts: &[Receipt]) -> (B256, Vec<Bloom>) {
        let shares: Vec<_> = receipts.chunks(PIECE).collect();
        let one = |share: usize| {
            let receipts: Vec<_> = shares[share].iter().map(TxReceipt::with_bloom_ref).collect();
            let encoded = receipts.iter().map(Encodable2718::encoded_2718).collect();
            let blooms: Vec<_> = receipts.iter().map(|receipt| receipt.logs_bloom).collect();
            (Piece::new(share, encoded), blooms)
        };
        let (pieces, blooms): (Vec<_>, Vec<_>) =
            self.share_out(shares.len() >= MANY, shares.len(), &one).into_iter().unzip();
        (ordered_trie::root(pieces), blooms.concat())
    }

    /// Computes `one(0)` to `one(count - 1)` on the engine's threads, as [`Self::beside`] does.
    fn share_out<T: Send + Sync>(
        &self,
        wake: bool,
        count: usize,
        one: &(dyn Fn(usize) -> T + Sync),
    ) -> Vec<T> {
        let results: Vec<OnceLock<T>> = (0..count).map(|_| OnceLock::new()).collect();
        self.beside(wake, count, &|share| {
            results[share].get_or_init(|| one(share));
        });
        // A panic in another thread leaves its share undone.
        let done = |(share, result): (usize, OnceLock<T>)| {
            result.into_inner().unwrap_or_else(|| one(share))
        };
        results.into_iter().enumerate().map(done).collect()
    }
}

/// Compares a header with its body: transactions root (`transactions_root` is the body's), ommers
/// hash, withdrawals root.
///
/// # Errors
/// The first field that differs.
pub fn check_body(block: &SignedBlock, transactions_root: B256) -> Result<(), BodyMismatch> {
    let (header, body) = (&block.header, &block.body);
    let check = |field, header: B256, body: B256| {
        if header == body { Ok(()) } else { Err(BodyMismatch { field, header, body }) }
    };
    check("transactionsRoot", header.transactions_root, transactions_root)?;
    check("sha3Uncles", header.ommers_hash, calculate_ommers_root(&body.ommers))?;
    let withdrawals = body.withdrawals.as_ref().map(|list| calculate_withdrawals_root(list));
    match (header.withdrawals_root, withdrawals) {
        (None, None) => Ok(()),
        (header, body) => {
            check("withdrawalsRoot", header.unwrap_or_default(), body.unwrap_or_default())
        }
    }
}
