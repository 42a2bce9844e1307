//! A block's number in, everything that executing and comparing it needs out.
//!
//! Where the state comes from, best first: an execution witness, which is complete and proved;
//! the prestate tracer, whose gaps are read key by key; reads alone. What a client turns out not
//! to serve is not asked for again.

use super::{
    chain::{Rules, number},
    client::{Client, RpcError},
    remote::RemoteState,
};
use alloy_consensus::{Header, TxType};
use alloy_hardforks::EthereumHardforks;
use alloy_primitives::{Address, B256, Bytes, Log};
use braid_core::{Block, Engine, ExecuteError, HostError, Options, Receipt};
use braid_shadow::{
    Noted, ParentState, Reason, Reference, Skip, Work,
    recorded::{Problem, RecordedBlock, read_header},
};
use clap::ValueEnum;
use serde_json::{Map, Value, json};
use std::{
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// The most bytes of state that a block may read key by key.
pub const MAX_STATE: usize = 1 << 30;

/// Where the state before a block comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// The best that the client serves.
    Auto,
    /// `debug_executionWitness`: complete, and proved against the parent's state root.
    Witness,
    /// `debug_traceBlockByHash` with the prestate tracer, and single reads for what it leaves out.
    Prestate,
    /// Single reads of each key, several at once: slow, but every archive node serves them.
    Reads,
}

/// A block as the client gave it, not checked yet.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its number.
    pub number: u64,
    /// The hash that the client claims.
    pub hash: B256,
    /// The hash of its parent.
    pub parent: B256,
    /// The block with its transactions.
    pub json: Value,
}

impl Listed {
    fn parse(json: Value) -> Result<Self, RpcError> {
        let hash = |key: &str| B256::from_str(json.get(key)?.as_str()?).ok();
        let found = json.get("number").and_then(number).zip(hash("hash")).zip(hash("parentHash"));
        match found {
            Some(((number, hash), parent)) => Ok(Self { number, hash, parent, json }),
            None => {
                let reason = "a block without number, hash and parentHash".to_owned();
                let body = json.to_string().chars().take(120).collect();
                Err(RpcError::NotJson { reason, body })
            }
        }
    }
}

/// Fetches blocks of one chain from one client. May be shared by threads.
#[derive(Debug)]
pub struct Fetcher {
    client: Arc<Client>,
    /// The same client, for the data of blocks that it has announced.
    patient: Arc<Client>,
    rules: Rules,
    /// The method in use; with [`Method::Auto`] it goes down the list.
    method: Mutex<Method>,
    auto: bool,
    /// Whether the client serves `eth_getBlockReceipts`, as far as is known.
    receipts: AtomicBool,
}

impl Fetcher {
    /// Nothing is sent yet. A client that goes away after it has announced a block is waited for
    /// as long as `patience`, for each request.
    pub fn new(client: Client, rules: Rules, method: Method, patience: Duration) -> Self {
        let patient = Arc::new(client.patient(patience));
        let client = Arc::new(client);
        let auto = method == Method::Auto;
        let first = if auto { Method::Witness } else { method };
        let receipts = AtomicBool::new(true);
        Self { client, patient, rules, method: Mutex::new(first), auto, receipts }
    }

    /// The client.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The chain's rules.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Where the state comes from at present.
    pub fn method(&self) -> Method {
        *self.method.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client's newest block.
    ///
    /// # Errors
    /// The client's.
    pub fn head(&self) -> Result<Listed, RpcError> {
        self.listed("latest")
    }

    /// The block with this number.
    ///
    /// # Errors
    /// The client's; [`RpcError::Null`] where it has none.
    pub fn block(&self, number: u64) -> Result<Listed, RpcError> {
        self.listed(&format!("{number:#x}"))
    }

    fn listed(&self, tag: &str) -> Result<Listed, RpcError> {
        Listed::parse(self.client.call("eth_getBlockByNumber", &json!([tag, true]))?)
    }

    /// Everything that executing and comparing the block needs. Blocks for some requests.
    ///
    /// # Errors
    /// Why the block is skipped.
    pub fn work(&self, block: &Listed) -> Result<Work, Skip> {
        loop {
            let method = self.method();
            let work = match method {
                Method::Auto | Method::Witness => self.by_witness(block),
                Method::Prestate => self.by_reads(block, true),
                Method::Reads => self.by_reads(block, false),
            };
            match work {
                Ok(work) => return Ok(work),
                Err(Failed::Skip(skip)) => return Err(skip),
                Err(Failed::Unsupported(error)) => self.step_down(method, &error)?,
            }
        }
    }

    /// Goes to the next method, if the user leaves the choice.
    fn step_down(&self, from: Method, error: &RpcError) -> Result<(), Skip> {
        let next = match from {
            Method::Auto | Method::Witness => Method::Prestate,
            Method::Prestate | Method::Reads => Method::Reads,
        };
        if !self.auto || from == next {
            let detail = format!("the client does not serve what --state asks for: {error}");
            return Err(Skip::new(Reason::Feed, detail));
        }
        let mut method = self.method.lock().unwrap_or_else(PoisonError::into_inner);
        if *method == from {
            *method = next;
        }
        Ok(())
    }

    fn by_witness(&self, block: &Listed) -> Result<Work, Failed> {
        let params = json!([format!("{:#x}", block.number)]);
        let witness = self.patient.call("debug_executionWitness", &params);
        let witness = witness.map_err(|error| failed("debug_executionWitness", error))?;
        let witness =
            normal_witness(&witness).map_err(|error| Skip::new(Reason::BadWitness, error))?;
        let mut document = self.document(block)?;
        document.insert("parent".to_owned(), self.parent(block)?);
        document.insert("complete".to_owned(), json!(true));
        document.insert("witness".to_owned(), witness);
        let mut record = self.record(document, block)?;
        record.reference = Some(self.reference(block)?);
        Ok(Work::from_record(Arc::new(record)))
    }

    fn by_reads(&self, block: &Listed, traced: bool) -> Result<Work, Failed> {
        let mut document = self.document(block)?;
        document.insert("complete".to_owned(), json!(true));
        document.insert("prestate".to_owned(), json!({}));
        document.insert("parent".to_owned(), self.parent(block)?);
        let record = self.record(document, block)?;
        let state = RemoteState::new(self.patient.clone(), block.number, block.parent);
        if traced && !record.block.transactions.is_empty() {
            let params = json!([block.hash, { "tracer": "prestateTracer" }]);
            let trace = self.patient.call("debug_traceBlockByHash", &params);
            let trace = trace.map_err(|error| failed("debug_traceBlockByHash", error))?;
            let bad = |error| Skip::new(Reason::Feed, format!("debug_traceBlockByHash: {error}"));
            state.add_trace(&trace).map_err(bad)?;
        }
        self.read_together(&record.block, &state)?;
        Ok(Work {
            chain: self.rules.chain.clone(),
            config: self.rules.config.clone(),
            block: record.block,
            parent: record.parent,
            state: ParentState::Source(Box::new(state)),
            // A tracer decides for itself what it shows: where sequential execution over its
            // answer differs from the node too, the answer is at fault.
            complete: !traced,
            reference: self.reference(block)?,
        })
    }

    /// Lets many threads ask for what the block reads, each thing once. The state remembers the
    /// answers; what comes of the execution does not matter.
    fn read_together(&self, block: &Block, state: &RemoteState) -> Result<(), Skip> {
        let threads = self.client.connections();
        let engine = Engine::new(Options { threads, ..Options::default() });
        let bounded = Noted::new(state, MAX_STATE);
        let outcome = engine.execute(&self.rules.chain, block, &bounded);
        state.complete();
        match outcome {
            Err(ExecuteError::Host(HostError::Source(_))) if bounded.is_full() => {
                let detail = format!("the block reads more than {MAX_STATE} bytes of state");
                Err(Skip::new(Reason::Memory, detail))
            }
            Err(ExecuteError::Host(error @ HostError::Source(_))) => {
                Err(Skip::new(Reason::Source, error))
            }
            _ => Ok(()),
        }
    }

    /// The part of a recorded block that does not depend on where the state comes from.
    fn document(&self, block: &Listed) -> Result<Map<String, Value>, Skip> {
        if block.number == 0 {
            return Err(Skip::new(Reason::MissingParent, "the genesis block has no parent"));
        }
        let mut document = Map::new();
        document.insert("chainId".to_owned(), json!(self.rules.chain.id()));
        if let Some(config) = &self.rules.config {
            document.insert("config".to_owned(), (**config).clone());
        }
        document.insert("block".to_owned(), block.json.clone());
        // The hash that BLOCKHASH asks for most is in the header itself.
        let parent = (block.number - 1).to_string();
        document.insert("blockHashes".to_owned(), json!({ parent: block.parent }));
        Ok(document)
    }

    fn parent(&self, block: &Listed) -> Result<Value, Skip> {
        let parent = self.patient.call("eth_getBlockByHash", &json!([block.parent, false]));
        parent.map_err(|error| match error {
            RpcError::Null => Skip::new(Reason::MissingParent, block.parent),
            error => feed("eth_getBlockByHash", &error),
        })
    }

    /// Checks the block and puts it together.
    fn record(&self, document: Map<String, Value>, block: &Listed) -> Result<RecordedBlock, Skip> {
        let record = RecordedBlock::from_value(&Value::Object(document)).map_err(|error| {
            let reason = match &error.problem {
                Problem::Witness(_) => Reason::BadWitness,
                Problem::Malformed { key, .. } | Problem::Missing { key }
                    if key.starts_with("witness") =>
                {
                    Reason::BadWitness
                }
                Problem::Malformed { key, .. } if key.ends_with("].type") => Reason::UnknownFork,
                Problem::UnknownChain(_) => Reason::UnknownChain,
                _ => Reason::BadBlock,
            };
            match unknown_keys(&block.json) {
                keys if reason == Reason::BadBlock && !keys.is_empty() => {
                    let keys = keys.join(", ");
                    Skip::new(Reason::UnknownFork, format!("{error}; unknown keys: {keys}"))
                }
                _ => Skip::new(reason, error),
            }
        })?;
        self.fits(&record.block.header)?;
        Ok(record)
    }

    /// The header must have the fields that the chain's rules ask for, and no later fork's.
    fn fits(&self, header: &Header) -> Result<(), Skip> {
        let rules = self.rules.chain.rules(header);
        let time = header.timestamp;
        let fields = [
            (
                "withdrawalsRoot",
                header.withdrawals_root.is_some(),
                rules.is_shanghai_active_at_timestamp(time),
            ),
            (
                "parentBeaconBlockRoot",
                header.parent_beacon_block_root.is_some(),
                rules.is_cancun_active_at_timestamp(time),
            ),
            (
                "requestsHash",
                header.requests_hash.is_some(),
                rules.is_prague_active_at_timestamp(time),
            ),
            (
                "blockAccessListHash",
                header.block_access_list_hash.is_some(),
                rules.is_amsterdam_active_at_timestamp(time),
            ),
        ];
        match fields.into_iter().find(|(_, there, wanted)| there != wanted) {
            None => Ok(()),
            Some((field, there, _)) => {
                let has = if there { "has" } else { "lacks" };
                let detail = format!("the block {has} `{field}`, against the rules known here");
                Err(Skip::new(Reason::UnknownFork, detail))
            }
        }
    }

    /// The receipts, where the client serves them; else the header alone tells.
    fn reference(&self, block: &Listed) -> Result<Reference, Skip> {
        const METHOD: &str = "eth_getBlockReceipts";
        if !self.receipts.load(Ordering::Relaxed) {
            return Ok(Reference::default());
        }
        let answer = match self.patient.call(METHOD, &json!([block.hash])) {
            Ok(answer) => answer,
            Err(error) if error.is_unsupported() => {
                self.receipts.store(false, Ordering::Relaxed);
                return Ok(Reference::default());
            }
            Err(error) => return Err(feed(METHOD, &error)),
        };
        let receipts = answer.as_array().into_iter().flatten();
        let mut parsed = Vec::new();
        for (index, receipt) in receipts.enumerate() {
            if receipt.get("status").is_none_or(Value::is_null) {
                // Before Byzantium a receipt has a root, which execution alone does not give.
                return Ok(Reference::default());
            }
            let bad = || Skip::new(Reason::Feed, format!("{METHOD}: receipt {index} is malformed"));
            parsed.push(parse_receipt(receipt).ok_or_else(bad)?);
        }
        Ok(Reference { receipts: Some(parsed), ..Reference::default() })
    }
}

enum Failed {
    Skip(Skip),
    Unsupported(RpcError),
}

impl From<Skip> for Failed {
    fn from(skip: Skip) -> Self {
        Self::Skip(skip)
    }
}

fn failed(method: &str, error: RpcError) -> Failed {
    if error.is_unsupported() { Failed::Unsupported(error) } else { feed(method, &error).into() }
}

/// Why a block is skipped whose data could not be had.
fn feed(method: &str, error: &RpcError) -> Skip {
    let reason = match error {
        error if error.is_pruned() => Reason::Pruned,
        RpcError::Null => Reason::NotExecuted,
        _ => Reason::Feed,
    };
    Skip::new(reason, format!("{method}: {error}"))
}

/// The keys of a block that no fork known here has.
fn unknown_keys(block: &Value) -> Vec<&str> {
    const KNOWN: [&str; 30] = [
        "author",
        "baseFeePerGas",
        "blobGasUsed",
        "blockAccessList",
        "blockAccessListHash",
        "difficulty",
        "excessBlobGas",
        "extraData",
        "gasLimit",
        "gasUsed",
        "hash",
        "logsBloom",
        "miner",
        "mixHash",
        "nonce",
        "number",
        "parentBeaconBlockRoot",
        "parentHash",
        "receiptsRoot",
        "requestsHash",
        "sha3Uncles",
        "size",
        "slotNumber",
        "stateRoot",
        "timestamp",
        "totalDifficulty",
        "transactions",
        "transactionsRoot",
        "uncles",
        "withdrawals",
    ];
    let keys = block.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
    keys.filter(|key| !KNOWN.contains(key) && *key != "withdrawalsRoot").collect()
}

/// Clients differ: lists or maps of nodes and codes, headers in RLP or as objects.
fn normal_witness(witness: &Value) -> Result<Value, String> {
    let list = |key: &str| match witness.get(key) {
        Some(Value::Array(items)) => Ok(items.clone()),
        Some(Value::Object(items)) => Ok(items.values().cloned().collect()),
        Some(Value::Null) | None if key != "state" => Ok(Vec::new()),
        _ => Err(format!("`{key}` is no list")),
    };
    let headers = list("headers")?.into_iter().map(|header| match header {
        Value::Object(_) => {
            let header = read_header(&header).map_err(|error| format!("headers: {error}"))?;
            Ok(json!(Bytes::from(alloy_rlp::encode(header))))
        }
        header => Ok(header),
    });
    let headers = headers.collect::<Result<Vec<_>, String>>()?;
    Ok(json!({ "state": list("state")?, "codes": list("codes")?, "headers": headers }))
}

fn parse_receipt(receipt: &Value) -> Option<Receipt> {
    let kind = receipt.get("type").map_or(Some(0), number)?;
    let logs = receipt.get("logs")?.as_array()?.iter().map(parse_log);
    Some(Receipt {
        tx_type: TxType::try_from(u8::try_from(kind).ok()?).ok()?,
        success: number(receipt.get("status")?)? == 1,
        cumulative_gas_used: number(receipt.get("cumulativeGasUsed")?)?,
        logs: logs.collect::<Option<_>>()?,
    })
}

fn parse_log(log: &Value) -> Option<Log> {
    let address = Address::from_str(log.get("address")?.as_str()?).ok()?;
    let topics = log.get("topics")?.as_array()?.iter();
    let topics = topics.map(|topic| B256::from_str(topic.as_str()?).ok());
    let data = Bytes::from_str(log.get("data")?.as_str()?).ok()?;
    Log::new(address, topics.collect::<Option<_>>()?, data)
}
