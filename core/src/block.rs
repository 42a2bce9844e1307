//! The block to execute.
//!
//! Role: hold one block with recovered senders, in exactly the types that reth uses, so that a node
//! hands its own values over without conversion. [`Block::recover`] recovers all senders on the
//! rayon pool; [`Block::with_senders`] takes them from a caller who knows them.

use crate::chain::Chain;
use alloy_consensus::{
    BlockBody, EthereumReceipt, EthereumTxEnvelope, Header, TxEip4844, TxType,
    transaction::{Recovered, SignerRecoverable},
};
use alloy_eips::{eip4895::Withdrawals, eip7928::BlockAccessList};
use alloy_hardforks::EthereumHardforks;
use alloy_primitives::{Address, B256};
use alloy_rlp::Decodable;
use rayon::prelude::*;

/// A signed transaction of any type from legacy to EIP-7702, without blob sidecar.
pub type Transaction = EthereumTxEnvelope<TxEip4844>;

/// The receipt of one transaction; its bloom is computed when the receipt is encoded.
pub type Receipt = EthereumReceipt<TxType>;

/// The consensus encoding of a block as it travels between peers.
pub type SignedBlock = alloy_consensus::Block<Transaction>;

/// A block whose senders are known: everything that execution needs beside the parent state.
#[derive(Debug, Clone, Default)]
pub struct Block {
    /// The block's own header. Execution reads its environment from here; the results in it (gas
    /// used, roots, bloom) are compared only where a caller asks for that.
    pub header: Header,
    /// The transactions with their recovered senders, in block order.
    pub transactions: Vec<Recovered<Transaction>>,
    /// The ommer headers (before the merge).
    pub ommers: Vec<Header>,
    /// The withdrawals (EIP-4895), `None` before Shanghai.
    pub withdrawals: Option<Withdrawals>,
    /// The block access list (EIP-7928) where the block came with one. Execution does not look at
    /// it by itself; [`crate::Engine::execute_with_access_list`] takes it as a hint.
    pub access_list: Option<BlockAccessList>,
}

/// Why a [`Block`] could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The bytes are not the RLP of a block.
    #[error("block RLP: {0}")]
    Rlp(#[from] alloy_rlp::Error),
    /// Bytes follow the block.
    #[error("block RLP: {0} bytes follow the block")]
    TrailingBytes(usize),
    /// A signature from which no sender can be recovered.
    #[error("transaction {index} ({hash}): the signature recovers to no sender")]
    Signature {
        /// The transaction's index in the block.
        index: usize,
        /// The transaction's hash.
        hash: B256,
    },
    /// The caller's list of senders has another length than the list of transactions.
    #[error("{senders} senders for {transactions} transactions")]
    SenderCount {
        /// How many senders were given.
        senders: usize,
        /// How many transactions the block has.
        transactions: usize,
    },
}

/// Decodes a block from its RLP; recovers nothing.
///
/// # Errors
/// [`BlockError::Rlp`] or [`BlockError::TrailingBytes`].
pub fn decode_signed(mut rlp: &[u8]) -> Result<SignedBlock, BlockError> {
    let block = SignedBlock::decode(&mut rlp)?;
    if rlp.is_empty() { Ok(block) } else { Err(BlockError::TrailingBytes(rlp.len())) }
}

/// The senders of all transactions, where each has one.
pub(crate) fn all_senders(
    block: &SignedBlock,
    senders: Vec<Option<Address>>,
) -> Result<Vec<Address>, BlockError> {
    if let Some(index) = senders.iter().position(Option::is_none) {
        let hash = *block.body.transactions[index].tx_hash();
        return Err(BlockError::Signature { index, hash });
    }
    Ok(senders.into_iter().flatten().collect())
}

impl Block {
    /// The block without its senders, as it travels between peers.
    pub fn to_signed(&self) -> SignedBlock {
        let body = BlockBody {
            transactions: self.transactions.iter().map(|tx| tx.inner().clone()).collect(),
            ommers: self.ommers.clone(),
            withdrawals: self.withdrawals.clone(),
        };
        SignedBlock { header: self.header.clone(), body }
    }

    /// Decodes a block from its RLP and recovers its senders, by the rules from Homestead on.
    ///
    /// # Errors
    /// [`BlockError`] where the bytes are no block, or a signature is bad.
    pub fn decode(rlp: &[u8]) -> Result<Self, BlockError> {
        Self::recover(decode_signed(rlp)?)
    }

    /// As [`Self::decode`], by the signature rules of `chain`.
    ///
    /// # Errors
    /// As for [`Self::decode`].
    pub fn decode_for(chain: &Chain, rlp: &[u8]) -> Result<Self, BlockError> {
        Self::recover_for(chain, decode_signed(rlp)?)
    }

    /// Recovers every sender in parallel (25 to 35 microseconds of work each), by the rules from
    /// Homestead on (EIP-2: no signature with a high `s`).
    ///
    /// # Errors
    /// [`BlockError::Signature`] with the first transaction whose signature is bad.
    pub fn recover(block: SignedBlock) -> Result<Self, BlockError> {
        Self::recover_by(block, |tx| tx.recover_signer().ok())
    }

    /// As [`Self::recover`], by the rules of `chain`: before Homestead a high `s` is valid too.
    ///
    /// # Errors
    /// As for [`Self::recover`].
    pub fn recover_for(chain: &Chain, block: SignedBlock) -> Result<Self, BlockError> {
        if chain.rules(&block.header).is_homestead_active_at_block(block.header.number) {
            Self::recover(block)
        } else {
            Self::recover_by(block, |tx| tx.recover_signer_unchecked().ok())
        }
    }

    fn recover_by(
        block: SignedBlock,
        recover: impl Fn(&Transaction) -> Option<Address> + Send + Sync,
    ) -> Result<Self, BlockError> {
        let senders: Vec<Option<Address>> =
            block.body.transactions.par_iter().map(recover).collect();
        let senders = all_senders(&block, senders)?;
        Self::with_senders(block, senders)
    }

    /// Takes the senders from the caller, who has verified them.
    ///
    /// # Errors
    /// [`BlockError::SenderCount`] where the two lists differ in length.
    pub fn with_senders(block: SignedBlock, senders: Vec<Address>) -> Result<Self, BlockError> {
        let SignedBlock { header, body } = block;
        if senders.len() != body.transactions.len() {
            return Err(BlockError::SenderCount {
                senders: senders.len(),
                transactions: body.transactions.len(),
            });
        }
        let transactions = body
            .transactions
            .into_iter()
            .zip(senders)
            .map(|(tx, sender)| Recovered::new_unchecked(tx, sender))
            .collect();
        Ok(Self {
            header,
            transactions,
            ommers: body.ommers,
            withdrawals: body.withdrawals,
            access_list: None,
        })
    }
}
