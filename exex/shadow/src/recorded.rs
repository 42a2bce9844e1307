//! The recorded block: one file per block, `<number>.json.zst`, with everything that executing the
//! block again needs.
//!
//! Role: what `braid record` and a divergence write, and what `braid replay` reads. The document is
//! an object with `block` (as `eth_getBlockByNumber(n, true)` gives it), `chainId` (absent: 1) or a
//! geth genesis `config`, the parent state as `prestate` or `witness`, `blockHashes`, `complete`,
//! and optionally `parent`, `proofs`, `parentStateRoot`, `blockAccessList` and `reference`. Unknown
//! keys are ignored.
//!
//! Invariants: whatever the document says twice agrees, or reading fails: the block's hash with
//! its header, the transactions and withdrawals with their roots, each transaction with its `hash`,
//! each sender with the signature. The block access list is only a hint and is not checked.
//!
//! An RPC block holds only the hashes of its ommers. Where their headers are not added (`ommers`
//! in `block`), [`RecordedBlock::ommers_known`] is false: the rewards of ommers cannot be paid
//! then, and [`RecordedBlock::check_state`] checks nothing. Gas, receipts and bloom do not depend
//! on them.

mod ancestors;
mod error;
mod fields;
mod header;
mod joined;
mod proofs;
mod reference;
mod state;
#[cfg(test)]
mod tests;
mod transaction;

pub use error::{Problem, RecordedError, TransactionProblem};
pub use joined::{JoinError, joined_state};
pub use proofs::{AccountProof, At, Proofs, SlotProof, StateCheck, StateMismatch};
pub use reference::Reference;
pub use state::Prestate;

use alloy_consensus::{
    BlockBody, Header,
    constants::EMPTY_OMMER_ROOT_HASH,
    proofs::{calculate_ommers_root, calculate_transaction_root, calculate_withdrawals_root},
};
use alloy_primitives::{Address, B256};
use braid_core::{
    Block, Chain, Transaction,
    block::{BlockError, SignedBlock},
};
use fields::Fields;
use serde_json::{Map, Value, json};
use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

/// The largest decompressed file that [`RecordedBlock::read`] takes.
pub const MAX_BYTES: u64 = 1 << 30;

/// The compression level of written files.
const LEVEL: i32 = 6;

/// A block with everything that executing it needs.
#[derive(Debug, Clone)]
pub struct RecordedBlock {
    /// The block with its senders, each one recovered from its signature.
    pub block: Block,
    /// The chain's rules.
    pub chain: Chain,
    /// The geth genesis `config` that `chain` came from, where it is none of the known chains.
    pub config: Option<Value>,
    /// The parent state.
    pub state: Prestate,
    /// Whether `state` covers system calls, withdrawals and rewards too, not only what the
    /// transactions touch.
    pub complete: bool,
    /// The recorded hash of the block; equal to that of the header.
    pub block_hash: Option<B256>,
    /// The hashes of the ommers, whose headers may be unknown.
    pub ommer_hashes: Vec<B256>,
    /// The parent's header.
    pub parent: Option<Header>,
    /// Proofs of the state before and after the block.
    pub proofs: Option<Proofs>,
    /// What a node says the result is, where it is more than the header says.
    pub reference: Option<Reference>,
}

impl RecordedBlock {
    /// A record of a block of a known chain; for any other chain, set `config` too.
    pub fn new(block: Block, chain: Chain, state: Prestate, complete: bool) -> Self {
        Self {
            block_hash: Some(block.header.hash_slow()),
            ommer_hashes: block.ommers.iter().map(Header::hash_slow).collect(),
            block,
            chain,
            config: None,
            state,
            complete,
            parent: None,
            proofs: None,
            reference: None,
        }
    }

    /// The block's number.
    pub const fn number(&self) -> u64 {
        self.block.header.number
    }

    /// Whether the headers of all ommers are known, so that their rewards are paid.
    pub fn ommers_known(&self) -> bool {
        self.block.ommers.len() == self.ommer_hashes.len()
    }

    /// Reads a `.json.zst` file of at most [`MAX_BYTES`].
    ///
    /// # Errors
    /// [`RecordedError`] names the file, the key and the reason.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, RecordedError> {
        Self::read_limited(path, MAX_BYTES)
    }

    /// Reads a `.json.zst` file of at most `limit` bytes after decompression.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn read_limited(path: impl AsRef<Path>, limit: u64) -> Result<Self, RecordedError> {
        let path = path.as_ref();
        let read = || {
            let file = File::open(path).map_err(Problem::File)?;
            let decoder = zstd::Decoder::new(file).map_err(Problem::Compression)?;
            let mut text = Vec::new();
            decoder
                .take(limit.saturating_add(1))
                .read_to_end(&mut text)
                .map_err(Problem::Compression)?;
            if text.len() as u64 > limit {
                return Err(Problem::TooLarge { limit });
            }
            Ok(serde_json::from_slice(&text)?)
        };
        let fail = |block, problem| RecordedError { file: Some(path.into()), block, problem };
        let value: Value = read().map_err(|problem| fail(None, problem))?;
        Self::parse(&value).map_err(|problem| fail(number(&value), problem))
    }

    /// Reads the JSON text of a recorded block.
    ///
    /// # Errors
    /// As for [`Self::read`], without a file.
    pub fn from_json(text: &[u8]) -> Result<Self, RecordedError> {
        Self::from_value(&serde_json::from_slice(text).map_err(Problem::from)?)
    }

    /// Reads the JSON of a recorded block.
    ///
    /// # Errors
    /// As for [`Self::read`], without a file.
    pub fn from_value(value: &Value) -> Result<Self, RecordedError> {
        let fail = |problem| RecordedError { file: None, block: number(value), problem };
        Self::parse(value).map_err(fail)
    }

    /// The JSON of this record.
    ///
    /// # Errors
    /// [`Problem::ConfigNeeded`] where the chain is not known and `config` is `None`.
    pub fn to_value(&self) -> Result<Value, RecordedError> {
        Ok(self.emit()?)
    }

    /// Writes `<number>.json.zst` into an existing folder and gives its path. A file of that name
    /// is replaced, never left half written. What [`Self::read`] would refuse for its size is not
    /// written: at most [`MAX_BYTES`].
    ///
    /// # Errors
    /// [`RecordedError`] where the file cannot be written; also as for [`Self::to_value`].
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<PathBuf, RecordedError> {
        self.write_limited(folder, MAX_BYTES)
    }

    /// Writes the same, of at most `limit` bytes before compression.
    ///
    /// # Errors
    /// As for [`Self::write`].
    pub fn write_limited(
        &self,
        folder: impl AsRef<Path>,
        limit: u64,
    ) -> Result<PathBuf, RecordedError> {
        let name = format!("{}.json.zst", self.number());
        let path = folder.as_ref().join(&name);
        let partial = folder.as_ref().join(format!(".{name}.{}.partial", std::process::id()));
        let write = || {
            let text = serde_json::to_vec(&self.emit()?)?;
            if text.len() as u64 > limit {
                return Err(Problem::TooLarge { limit });
            }
            let bytes = zstd::encode_all(text.as_slice(), LEVEL).map_err(Problem::File)?;
            fs::write(&partial, bytes).map_err(Problem::File)?;
            fs::rename(&partial, &path).map_err(Problem::File)
        };
        match write() {
            Ok(()) => Ok(path),
            Err(problem) => {
                // Nothing more can be done where even this fails.
                let _ = fs::remove_file(&partial);
                Err(RecordedError { file: Some(path.into()), block: Some(self.number()), problem })
            }
        }
    }

    fn parse(value: &Value) -> Result<Self, Problem> {
        let document = Fields::new(value, "")?;
        let (chain, config) = parse_chain(&document)?;
        let from = document.object("block")?.ok_or_else(|| document.missing("block"))?;
        let complete = document.required("complete")?;
        let (block_hash, mut block) = parse_block(&from, &chain)?;
        if let Some(list) = document.value("blockAccessList") {
            let list = serde_json::from_value(list.clone())
                .map_err(|_| document.malformed("blockAccessList", "a block access list"))?;
            block.access_list = Some(list);
        }
        let ommer_hashes = ommer_hashes(&from, &block)?;
        let parent = document.object("parent")?.map(|from| header::parse(&from)).transpose()?;
        if let Some(parent) = &parent {
            agree("block.parentHash", block.header.parent_hash, parent.hash_slow())?;
        }
        let mut state = Prestate::parse(&document, &block, parent.as_ref())?;
        let recorded = state.block_hashes();
        for (number, hash) in ancestors::known(chain.id(), block.header.number) {
            if recorded.iter().all(|(known, _)| *known != number) {
                state.insert_block_hash(number, hash);
            }
        }
        let proofs = document.object("proofs")?.map(|from| Proofs::parse(&from)).transpose()?;
        let reference =
            document.object("reference")?.map(|from| Reference::parse(&from)).transpose()?;
        Ok(Self {
            block,
            chain,
            config,
            state,
            complete,
            block_hash,
            ommer_hashes,
            parent,
            proofs,
            reference,
        })
    }

    fn emit(&self) -> Result<Value, Problem> {
        let mut document = Map::new();
        document.insert("chainId".to_owned(), json!(self.chain.id()));
        match &self.config {
            Some(config) => {
                document.insert("config".to_owned(), config.clone());
            }
            None if Chain::by_id(self.chain.id()).is_none() => {
                return Err(Problem::ConfigNeeded(self.chain.id()));
            }
            None => {}
        }
        document.insert("block".to_owned(), self.emit_block());
        document.insert("complete".to_owned(), json!(self.complete));
        self.state.emit(&mut document);
        if let Some(list) = &self.block.access_list {
            document.insert("blockAccessList".to_owned(), serde_json::to_value(list)?);
        }
        if let Some(parent) = &self.parent {
            document.insert("parent".to_owned(), emit_header(parent));
        }
        if let Some(proofs) = &self.proofs {
            document.insert("proofs".to_owned(), proofs.emit());
        }
        if let Some(reference) = &self.reference {
            document.insert("reference".to_owned(), reference.emit());
        }
        Ok(Value::Object(document))
    }

    fn emit_block(&self) -> Value {
        let block = &self.block;
        let mut map = header::emit(&block.header);
        map.insert("hash".to_owned(), json!(block.header.hash_slow()));
        map.insert("uncles".to_owned(), json!(self.ommer_hashes));
        if !block.ommers.is_empty() {
            let ommers = block.ommers.iter().map(emit_header).collect();
            map.insert("ommers".to_owned(), ommers);
        }
        if let Some(withdrawals) = &block.withdrawals {
            map.insert("withdrawals".to_owned(), header::emit_withdrawals(withdrawals));
        }
        let transactions =
            block.transactions.iter().map(|tx| transaction::emit(tx.inner(), tx.signer()));
        map.insert("transactions".to_owned(), transactions.collect());
        Value::Object(map)
    }
}

/// A header in the form of `eth_getBlockByNumber`, checked against its `hash` where it has one.
///
/// # Errors
/// [`RecordedError`] names the key and the reason.
pub fn read_header(value: &Value) -> Result<Header, RecordedError> {
    let from = Fields::new(value, "")?;
    let header = header::parse(&from)?;
    if let Some(hash) = from.optional("hash")? {
        agree("hash", hash, header.hash_slow())?;
    }
    Ok(header)
}

/// The recorded blocks in a folder (`*.json.zst`), ascending by number.
///
/// # Errors
/// [`RecordedError`] where the folder cannot be listed.
pub fn files(folder: impl AsRef<Path>) -> Result<Vec<PathBuf>, RecordedError> {
    let folder = folder.as_ref();
    let fail = |error| RecordedError {
        file: Some(folder.into()),
        block: None,
        problem: Problem::File(error),
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_suffix(".json.zst"));
        if let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) {
            files.push((number, path));
        }
    }
    files.sort_unstable();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

fn emit_header(from: &Header) -> Value {
    let mut map = header::emit(from);
    map.insert("hash".to_owned(), json!(from.hash_slow()));
    Value::Object(map)
}

/// The number of a block that may be wrong otherwise, for error messages.
fn number(document: &Value) -> Option<u64> {
    let document = Fields::new(document, "").ok()?;
    document.object("block").ok()??.optional("number").ok()?
}

fn agree(key: &str, recorded: B256, computed: B256) -> Result<(), Problem> {
    if recorded == computed {
        Ok(())
    } else {
        Err(Problem::Mismatch { key: key.into(), recorded, computed })
    }
}

fn parse_chain(document: &Fields<'_>) -> Result<(Chain, Option<Value>), Problem> {
    let id = document.optional::<u64>("chainId")?;
    let Some(config) = document.value("config") else {
        let id = id.unwrap_or(1);
        return Ok((Chain::by_id(id).ok_or(Problem::UnknownChain(id))?, None));
    };
    let chain = Chain::from_genesis_config(config)?;
    match id {
        Some(chain_id) if chain_id != chain.id() => {
            Err(Problem::ChainId { chain_id, config: chain.id() })
        }
        _ => Ok((chain, Some(config.clone()))),
    }
}

fn parse_block(from: &Fields<'_>, chain: &Chain) -> Result<(Option<B256>, Block), Problem> {
    let header = header::parse(from)?;
    let hash = from.optional("hash")?;
    if let Some(hash) = hash {
        agree("block.hash", hash, header.hash_slow())?;
    }
    let mut index = 0;
    let parsed = from.list("transactions", |item, path| {
        index += 1;
        transaction::parse(index - 1, &Fields::new(item, path)?)
    })?;
    let (transactions, recorded): (Vec<Transaction>, Vec<Option<Address>>) =
        parsed.ok_or_else(|| from.missing("transactions"))?.into_iter().unzip();
    let root = calculate_transaction_root(&transactions);
    let withdrawals = match (header.withdrawals_root, header::parse_withdrawals(from)?) {
        (Some(root), Some(list)) => {
            agree("block.withdrawalsRoot", root, calculate_withdrawals_root(&list))?;
            Some(list)
        }
        (Some(_), None) => return Err(from.missing("withdrawals")),
        (None, Some(list)) if !list.is_empty() => return Err(from.missing("withdrawalsRoot")),
        (None, _) => None,
    };
    let ommers = from.list("ommers", |item, path| header::parse(&Fields::new(item, path)?))?;
    if let Some(ommers) = &ommers {
        agree("block.sha3Uncles", header.ommers_hash, calculate_ommers_root(ommers))?;
    }
    let body = BlockBody { transactions, ommers: ommers.unwrap_or_default(), withdrawals };
    // A bad transaction is named before the root that it spoils.
    let block = recover(chain, SignedBlock { header, body }, &recorded)?;
    agree("block.transactionsRoot", block.header.transactions_root, root)?;
    Ok((hash, block))
}

/// Recovers the senders and compares them with the recorded ones.
fn recover(
    chain: &Chain,
    block: SignedBlock,
    recorded: &[Option<Address>],
) -> Result<Block, Problem> {
    let block = Block::recover_for(chain, block).map_err(|error| match error {
        BlockError::Signature { index, .. } => {
            Problem::Transaction { index, problem: TransactionProblem::Signature }
        }
        error => Problem::Block(error),
    })?;
    for (index, (transaction, recorded)) in block.transactions.iter().zip(recorded).enumerate() {
        let recovered = transaction.signer();
        if let Some(recorded) = recorded.filter(|recorded| *recorded != recovered) {
            let problem = TransactionProblem::Sender { recorded, recovered };
            return Err(Problem::Transaction { index, problem });
        }
    }
    Ok(block)
}

fn ommer_hashes(from: &Fields<'_>, block: &Block) -> Result<Vec<B256>, Problem> {
    let hashes = from.values("uncles")?;
    let computed: Vec<B256> = block.ommers.iter().map(Header::hash_slow).collect();
    match hashes {
        None if computed.is_empty() && block.header.ommers_hash != EMPTY_OMMER_ROOT_HASH => {
            Err(from.missing("uncles"))
        }
        None => Ok(computed),
        Some(hashes) if computed.is_empty() || computed == hashes => {
            let empty = block.header.ommers_hash == EMPTY_OMMER_ROOT_HASH;
            if empty == hashes.is_empty() {
                Ok(hashes)
            } else {
                Err(from.malformed("uncles", "the hashes of the ommers in `sha3Uncles`"))
            }
        }
        Some(_) => Err(from.malformed("uncles", "the hashes of `ommers`")),
    }
}
