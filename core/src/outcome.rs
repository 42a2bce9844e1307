//! What executing a block yields.
//!
//! Invariant: the order of everything here comes from the block or from sorting, never from a map
//! or from the schedule: the same block gives the same bytes, whatever the threads.

use crate::block::{Block, Receipt};
use alloy_consensus::{TxReceipt, proofs::calculate_receipt_root};
use alloy_eips::{eip7685::Requests, eip7928::BlockAccessList};
use alloy_primitives::{Address, B256, Bloom, KECCAK256_EMPTY, U256, logs_bloom};
use revm::{bytecode::Bytecode, database::BundleState, state::AccountInfo};
use std::borrow::Cow;

/// The form in which the caller wants the changed state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputKind {
    /// [`StateChanges`]: sorted, flat, without history.
    #[default]
    Flat,
    /// revm's [`BundleState`] with reverts, as reth's executor yields it. An account's `code` may
    /// be left out where the block did not give the account that code: it is found by its hash.
    Bundle,
}

/// The changed state in the form that was asked for.
#[derive(Debug, Clone)]
pub enum StateOutput {
    /// For [`OutputKind::Flat`].
    Flat(StateChanges),
    /// For [`OutputKind::Bundle`].
    Bundle(Box<BundleState>),
}

impl StateOutput {
    /// The flat form; derived where the output is a bundle.
    pub fn to_flat(&self) -> StateChanges {
        self.as_flat().into_owned()
    }

    /// The same, borrowed where the output is flat.
    pub fn as_flat(&self) -> Cow<'_, StateChanges> {
        match self {
            Self::Flat(changes) => Cow::Borrowed(changes),
            Self::Bundle(bundle) => Cow::Owned(StateChanges::from_bundle(bundle)),
        }
    }
}

/// The result of a valid block.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// One receipt per transaction, in block order.
    pub receipts: Vec<Receipt>,
    /// Gas used by the block; on Amsterdam the larger of regular and state gas (EIP-8037).
    pub gas_used: u64,
    /// Blob gas used by the block (EIP-4844).
    pub blob_gas_used: u64,
    /// Execution requests (EIP-7685), empty before Prague.
    pub requests: Requests,
    /// The changed state.
    pub state: StateOutput,
    /// The block access list (EIP-7928) that this execution produced: on Amsterdam, and where the
    /// caller asked for one.
    pub access_list: Option<BlockAccessList>,
    /// What the executor did.
    pub statistics: Statistics,
}

/// Counters of one execution. No counter influences a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// How many times a transaction was executed, repeated executions included.
    pub executions: u64,
    /// Speculative results that failed validation and were executed again in order.
    pub reexecutions: u64,
    /// Transactions executed directly on committed state, without speculation.
    pub direct: u64,
    /// Speculative runs that ended in an error or panic and were thrown away.
    pub discarded: u64,
    /// Executions that began while the block before was still being executed, in a range.
    pub early: u64,
    /// Workers that took part, the calling thread included.
    pub workers: u32,
    /// Whether the engine stopped speculating on this block.
    pub fell_back: bool,
}

impl Outcome {
    /// The receipts root. Computed on each call.
    ///
    /// Before Byzantium (EIP-658) the header's root needs the state root after each transaction,
    /// which execution alone does not know; there the value returned is that of status receipts.
    pub fn receipts_root(&self) -> B256 {
        self.receipts_root_and_bloom().0
    }

    /// The union of all receipts' blooms. Computed on each call.
    pub fn logs_bloom(&self) -> Bloom {
        logs_bloom(self.receipts.iter().flat_map(|receipt| receipt.logs.iter()))
    }

    /// Both at once: each receipt's bloom is part of the root.
    fn receipts_root_and_bloom(&self) -> (B256, Bloom) {
        let receipts: Vec<_> = self.receipts.iter().map(TxReceipt::with_bloom_ref).collect();
        let bloom = receipts.iter().fold(Bloom::ZERO, |all, receipt| all | receipt.logs_bloom);
        (calculate_receipt_root(&receipts), bloom)
    }

    /// The hash of the requests (EIP-7685).
    pub fn requests_hash(&self) -> B256 {
        self.requests.requests_hash()
    }

    /// The first field of the header that this outcome contradicts, if any. The state root is
    /// not looked at, the receipts root only where `byzantium` holds.
    pub fn check_header(&self, block: &Block, byzantium: bool) -> Result<(), HeaderMismatch> {
        let roots = byzantium.then(|| self.receipts_root_and_bloom());
        self.check_header_with(block, roots)
    }

    /// As [`Self::check_header`], for a caller who has computed the receipts root and the logs
    /// bloom of this outcome; they are not looked at where they are `None`.
    pub fn check_header_with(
        &self,
        block: &Block,
        roots: Option<(B256, Bloom)>,
    ) -> Result<(), HeaderMismatch> {
        let header = &block.header;
        let check = |field, header: String, executed: String| {
            if header == executed {
                Ok(())
            } else {
                Err(HeaderMismatch { field, header, executed })
            }
        };
        check("gasUsed", header.gas_used.to_string(), self.gas_used.to_string())?;
        if let Some((root, bloom)) = roots {
            check("receiptsRoot", header.receipts_root.to_string(), root.to_string())?;
            check("logsBloom", header.logs_bloom.to_string(), bloom.to_string())?;
        }
        if let Some(blob_gas) = header.blob_gas_used {
            check("blobGasUsed", blob_gas.to_string(), self.blob_gas_used.to_string())?;
        }
        if let Some(hash) = header.requests_hash {
            check("requestsHash", hash.to_string(), self.requests_hash().to_string())?;
        }
        if let (Some(hash), Some(list)) = (header.block_access_list_hash, &self.access_list) {
            let executed = alloy_eips::eip7928::compute_block_access_list_hash(list);
            check("blockAccessListHash", hash.to_string(), executed.to_string())?;
        }
        Ok(())
    }
}

/// The header says one thing, execution another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: the header says {header}, execution gives {executed}")]
pub struct HeaderMismatch {
    /// The header's field, in JSON-RPC spelling.
    pub field: &'static str,
    /// The header's value.
    pub header: String,
    /// The executed value.
    pub executed: String,
}

/// The net effect of a block on the state. Accounts and slots whose value is the same before and
/// after are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StateChanges {
    /// Sorted by address.
    pub accounts: Vec<AccountChange>,
    /// Codes deployed in the block that an account in `accounts` has, sorted by hash.
    pub codes: Vec<(B256, Bytecode)>,
}

/// The net effect of a block on one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountChange {
    /// The account's address.
    pub address: Address,
    /// Balance, nonce and code hash before the block; `None` where it did not exist. Without code.
    pub before: Option<AccountInfo>,
    /// The same after the block. Without code.
    pub after: Option<AccountInfo>,
    /// All storage from before the block is gone: what `storage` does not list is zero.
    pub wiped: bool,
    /// Changed slots with their values after the block, sorted by slot; under `wiped` every
    /// non-zero one.
    pub storage: Vec<(U256, U256)>,
}

impl AccountChange {
    /// The account did not exist before the block and does after it.
    pub const fn created(&self) -> bool {
        self.before.is_none() && self.after.is_some()
    }

    /// The account existed before the block and does not after it.
    pub const fn destroyed(&self) -> bool {
        self.before.is_some() && self.after.is_none()
    }

    /// The hash of the code that the account has after the block and had not before.
    pub(crate) fn new_code(&self) -> Option<B256> {
        new_code(self.before.as_ref(), self.after.as_ref()).filter(|hash| *hash != KECCAK256_EMPTY)
    }

    /// The block leaves the account otherwise than it was.
    pub(crate) fn changes_something(&self) -> bool {
        self.before != self.after || self.wiped || !self.storage.is_empty()
    }
}

/// The hash of the code that an account has now and had not before; the empty one for a new
/// account without code.
pub(crate) fn new_code(before: Option<&AccountInfo>, after: Option<&AccountInfo>) -> Option<B256> {
    let [before, after] = [before, after].map(|info| info.map(|info| info.code_hash));
    after.filter(|_| after != before)
}

/// The first bytes of an address as a number: nearly always they decide its order among others.
pub(crate) fn prefix(address: &Address) -> u64 {
    address.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Addresses in order, each with what belongs to it: something small, since sorting moves it often.
pub(crate) fn in_order<T>(
    accounts: impl Iterator<Item = (Address, T)>,
) -> impl ExactSizeIterator<Item = (Address, T)> {
    let mut all: Vec<_> = accounts.map(|(at, it)| (prefix(&at), at, it)).collect();
    all.sort_unstable_by_key(|(prefix, at, _)| (*prefix, *at));
    all.into_iter().map(|(_, at, it)| (at, it))
}

impl StateChanges {
    /// Drops the history from a bundle.
    pub fn from_bundle(bundle: &BundleState) -> Self {
        let bare = |info: &Option<AccountInfo>| {
            info.as_ref().map(|info| {
                AccountInfo::new(info.balance, info.nonce, info.code_hash, Bytecode::default())
                    .without_code()
            })
        };
        let mut changes = Self::default();
        let state = in_order(bundle.state.iter().map(|(address, account)| (*address, account)));
        changes.accounts.reserve_exact(state.len());
        for (address, account) in state {
            let wiped = account.was_destroyed() && account.original_info.is_some();
            let mut storage: Vec<(U256, U256)> = account
                .storage
                .iter()
                .filter(
                    |(_, slot)| {
                        if wiped { !slot.present_value.is_zero() } else { slot.is_changed() }
                    },
                )
                .map(|(key, slot)| (*key, slot.present_value))
                .collect();
            if account.info.is_none() {
                storage.clear();
            }
            storage.sort_unstable();
            let change = AccountChange {
                address,
                before: bare(&account.original_info),
                after: bare(&account.info),
                wiped,
                storage,
            };
            changes.push(change);
        }
        let codes = changes.accounts.iter().filter_map(AccountChange::new_code).collect();
        changes.set_codes(codes, |hash| bundle.contracts.get(hash).cloned());
        changes
    }

    /// Adds a change unless it changes nothing. The caller sorts.
    pub(crate) fn push(&mut self, change: AccountChange) {
        if change.changes_something() {
            self.accounts.push(change);
        }
    }

    /// Sets the codes that accounts newly have after the block, as far as `code` has them. `hashes`
    /// are those of all changes ([`AccountChange::new_code`]).
    pub(crate) fn set_codes(
        &mut self,
        mut hashes: Vec<B256>,
        code: impl Fn(&B256) -> Option<Bytecode>,
    ) {
        hashes.sort_unstable();
        hashes.dedup();
        self.codes = hashes.into_iter().filter_map(|hash| Some((hash, code(&hash)?))).collect();
    }
}
