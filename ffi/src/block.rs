//! A block from the caller: as one RLP, or as header and transactions.

use crate::{
    entry::{self, SizedStruct},
    error::Failure,
    status::{BRAID_BAD_ACCESS_LIST, BRAID_BAD_BLOCK_RLP, BRAID_BAD_TRANSACTION},
    types::{BraidAddress, BraidBytes},
};
use alloy_consensus::{BlockBody, Header};
use alloy_eips::{eip2718::Decodable2718, eip4895::Withdrawals, eip7928::BlockAccessList};
use alloy_primitives::Address;
use alloy_rlp::Decodable;
use braid_core::{
    Block, Chain, Engine, Transaction,
    block::{SignedBlock, decode_signed},
};

/// A block to execute. All bytes are borrowed.
///
/// Either `rlp` is the whole block as peers exchange it, or `header_rlp` and the fields after it
/// are its parts.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct BraidBlock {
    /// The size of this struct.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// The whole block; NULL where it is given in parts.
    pub rlp: BraidBytes,
    /// The header.
    pub header_rlp: BraidBytes,
    /// The transactions, each as in EIP-2718: type and payload, or a legacy transaction's RLP;
    /// without blob sidecar.
    pub transactions: *const BraidBytes,
    /// How many transactions there are.
    pub transactions_count: u64,
    /// The list of ommer headers; NULL where there are none.
    pub ommers_rlp: BraidBytes,
    /// The list of withdrawals; NULL before Shanghai.
    pub withdrawals_rlp: BraidBytes,
    /// The senders, one per transaction, for either form. The caller has verified them. NULL: the
    /// library recovers them, in parallel.
    pub senders: *const BraidAddress,
    /// How many senders there are.
    pub senders_count: u64,
    /// The block access list (EIP-7928), for either form; NULL where there is none. A hint, but for
    /// `braid_execute_with_access_list`, which compares it.
    pub access_list_rlp: BraidBytes,
}

// SAFETY: `repr(C)`, integers and pointers, NULL allowed; the first field is the size.
unsafe impl SizedStruct for BraidBlock {}

impl BraidBlock {
    /// Decodes the block; the senders are the caller's or recovered.
    ///
    /// # Safety
    /// Every field describes readable memory that nobody changes during the call.
    pub(crate) unsafe fn decode(&self, chain: &Chain) -> Result<Block, Failure> {
        // SAFETY: the contract of this function.
        let (signed, list) = unsafe { self.signed() }?;
        let block = if self.has_senders() {
            // SAFETY: the contract of this function.
            let senders =
                unsafe { entry::array(self.senders, self.senders_count, "block.senders") }?;
            Block::with_senders(signed, senders.iter().copied().map(Address::from).collect())?
        } else {
            Block::recover_for(chain, signed)?
        };
        Ok(Block { access_list: list, ..block })
    }

    /// Decodes the block, recovers the senders and compares the body with the header, on the
    /// engine's threads.
    ///
    /// # Safety
    /// As for [`Self::decode`].
    pub(crate) unsafe fn verify(&self, engine: &Engine, chain: &Chain) -> Result<Block, Failure> {
        if self.has_senders() {
            let message = "`block.senders` is given; an import recovers them itself";
            return Err(Failure::argument(message));
        }
        // SAFETY: the contract of this function.
        let (signed, list) = unsafe { self.signed() }?;
        Ok(Block { access_list: list, ..engine.verify_body(chain, signed)? })
    }

    const fn has_senders(&self) -> bool {
        !self.senders.is_null() || self.senders_count != 0
    }

    /// The block without its senders, and the access list that came with it.
    ///
    /// # Safety
    /// As for [`Self::decode`].
    unsafe fn signed(&self) -> Result<(SignedBlock, Option<BlockAccessList>), Failure> {
        if self.reserved != 0 {
            return Err(Failure::argument("`block.reserved` is not 0"));
        }
        // SAFETY: the contract of this function.
        let (signed, list) = unsafe {
            let signed = match (self.rlp.ptr.is_null(), self.header_rlp.ptr.is_null()) {
                (false, true) => self.whole()?,
                (true, false) => self.parts()?,
                (true, true) => return Err(Failure::null("block.rlp` and `block.header_rlp")),
                (false, false) => {
                    let message = "`block.rlp` and `block.header_rlp` are both given";
                    return Err(Failure::argument(message));
                }
            };
            (signed, entry::bytes(self.access_list_rlp, "block.access_list_rlp")?)
        };
        let list = match list {
            [] => None,
            rlp => Some(exact::<BlockAccessList>(rlp, BRAID_BAD_ACCESS_LIST, "access list")?),
        };
        Ok((signed, list))
    }

    /// # Safety
    /// As for [`Self::decode`].
    unsafe fn whole(&self) -> Result<SignedBlock, Failure> {
        let others = [self.ommers_rlp, self.withdrawals_rlp];
        if self.transactions_count != 0 || others.iter().any(|part| !part.ptr.is_null()) {
            return Err(Failure::argument("`block.rlp` is given, and parts of a block beside it"));
        }
        // SAFETY: the contract of this function.
        let rlp = unsafe { entry::bytes(self.rlp, "block.rlp") }?;
        Ok(decode_signed(rlp)?)
    }

    /// # Safety
    /// As for [`Self::decode`].
    unsafe fn parts(&self) -> Result<SignedBlock, Failure> {
        // SAFETY: the contract of this function.
        let (header, parts, ommers, withdrawals) = unsafe {
            (
                entry::bytes(self.header_rlp, "block.header_rlp")?,
                entry::array(self.transactions, self.transactions_count, "block.transactions")?,
                entry::bytes(self.ommers_rlp, "block.ommers_rlp")?,
                entry::bytes(self.withdrawals_rlp, "block.withdrawals_rlp")?,
            )
        };
        let header = exact::<Header>(header, BRAID_BAD_BLOCK_RLP, "header")?;
        let mut transactions = Vec::with_capacity(parts.len().min(1 << 16));
        for (index, part) in parts.iter().enumerate() {
            // SAFETY: the contract of this function.
            let bytes = unsafe { entry::bytes(*part, "block.transactions[i]") };
            let bytes = bytes.map_err(|failure| failure.at(index))?;
            let transaction = Transaction::decode_2718_exact(bytes).map_err(|error| {
                let message = format!("transaction {index}: {error}");
                Failure::new(BRAID_BAD_TRANSACTION, message).at(index)
            })?;
            transactions.push(transaction);
        }
        let ommers = match ommers {
            [] => Vec::new(),
            rlp => exact::<Vec<Header>>(rlp, BRAID_BAD_BLOCK_RLP, "ommers")?,
        };
        let withdrawals = match withdrawals {
            [] => None,
            rlp => Some(exact::<Withdrawals>(rlp, BRAID_BAD_BLOCK_RLP, "withdrawals")?),
        };
        Ok(SignedBlock { header, body: BlockBody { transactions, ommers, withdrawals } })
    }
}

fn exact<T: Decodable>(rlp: &[u8], status: i32, what: &str) -> Result<T, Failure> {
    alloy_rlp::decode_exact(rlp)
        .map_err(|error| Failure::new(status, format!("{what} RLP: {error}")))
}
