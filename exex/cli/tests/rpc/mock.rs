//! A client in this process: JSON-RPC on loopback, over recorded blocks, with bad weather on order.

#![allow(missing_docs, unreachable_pub)]

use alloy_primitives::{Address, B256, Bytes, U256};
use braid_core::{OutputKind, sequential::execute_stock};
use braid_shadow::recorded::{Prestate, RecordedBlock};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// What goes wrong with one answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An HTTP status, and what it says about waiting.
    Status(u16),
    /// A page instead of JSON.
    Html,
    /// The answer ends in the middle.
    Truncated,
    /// The connection is closed without an answer.
    Close,
    /// A JSON-RPC error.
    Error(i64, &'static str),
}

/// What the client knows and does.
pub struct World {
    pub chain: u64,
    pub config: Option<Value>,
    pub blocks: BTreeMap<u64, Arc<RecordedBlock>>,
    pub head: u64,
    /// Methods that it does not serve.
    pub without: Vec<&'static str>,
    /// Faults of the next answers, by method.
    pub faults: HashMap<&'static str, VecDeque<Fault>>,
    /// How often it was asked for its newest block.
    pub asked_for_head: u64,
    /// How often it gave the receipts of a block, which are asked for last.
    pub gave_receipts: u64,
    /// Changes a result.
    pub alter: fn(&str, &mut Value),
    /// How long each answer takes.
    pub delay: Duration,
    /// How many requests came, and how many are and at most were under way at once.
    pub requests: usize,
    under_way: usize,
    pub most_at_once: usize,
}

impl World {
    pub fn new(records: Vec<RecordedBlock>) -> Self {
        let config = records.first().and_then(|record| record.config.clone());
        let chain = records.first().map_or(1, |record| record.chain.id());
        let head = records.iter().map(RecordedBlock::number).max().unwrap_or_default();
        let blocks = records.into_iter().map(|record| (record.number(), Arc::new(record)));
        Self {
            chain,
            config,
            blocks: blocks.collect(),
            head,
            without: Vec::new(),
            faults: HashMap::new(),
            asked_for_head: 0,
            gave_receipts: 0,
            alter: |_, _| {},
            delay: Duration::ZERO,
            requests: 0,
            under_way: 0,
            most_at_once: 0,
        }
    }

    pub fn first(&self) -> u64 {
        *self.blocks.keys().next().expect("a block")
    }

    pub fn fault(&mut self, method: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.faults.entry(method).or_default().extend(faults);
    }

    fn answer(&self, method: &str, params: &Value) -> Option<Value> {
        if self.without.contains(&method) {
            return None;
        }
        let mut result = match method {
            "eth_chainId" => json!(format!("{:#x}", self.chain)),
            "web3_clientVersion" => json!("mock/v1.0.0"),
            "eth_syncing" => json!(false),
            "debug_chainConfig" => self.config.clone()?,
            "eth_getBlockByNumber" => self.by_number(&params[0]).map_or(Value::Null, block_json),
            "eth_getBlockByHash" => self.header(hash(&params[0])?),
            "debug_executionWitness" => {
                self.by_number(&params[0]).map_or(Value::Null, |block| self.witness(block))
            }
            "debug_traceBlockByHash" => {
                self.by_hash(hash(&params[0])?).map_or(Value::Null, trace_json)
            }
            "eth_getBlockReceipts" => {
                self.by_hash(hash(&params[0])?).map_or(Value::Null, receipts_json)
            }
            "eth_getProof" => self.proof(params)?,
            "eth_getBalance" | "eth_getTransactionCount" | "eth_getCode" | "eth_getStorageAt" => {
                self.read(method, params)?
            }
            _ => return None,
        };
        (self.alter)(method, &mut result);
        Some(result)
    }

    fn by_number(&self, tag: &Value) -> Option<&RecordedBlock> {
        let number = match tag.as_str()? {
            "latest" => self.head,
            text => u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()?,
        };
        if number > self.head { None } else { self.blocks.get(&number).map(|record| &**record) }
    }

    fn by_hash(&self, hash: B256) -> Option<&RecordedBlock> {
        let mut blocks = self.blocks.values();
        blocks.find(|record| record.block.header.hash_slow() == hash).map(|record| &**record)
    }

    /// The block whose parent has this hash.
    fn child(&self, hash: B256) -> Option<&RecordedBlock> {
        let mut blocks = self.blocks.values();
        blocks.find(|record| record.block.header.parent_hash == hash).map(|record| &**record)
    }

    fn header(&self, hash: B256) -> Value {
        match (self.by_hash(hash), self.child(hash)) {
            (Some(record), _) => block_json(record),
            (None, Some(child)) => child.to_value().expect("a record")["parent"].clone(),
            (None, None) => Value::Null,
        }
    }

    fn read(&self, method: &str, params: &Value) -> Option<Value> {
        let at = params.as_array()?.last()?;
        let record = self.child(hash(&at["blockHash"])?)?;
        let Prestate::Memory(state) = &record.state else { return None };
        let address = Address::from_str(params[0].as_str()?).ok()?;
        let info = state.account(&address).cloned().unwrap_or_default();
        Some(match method {
            "eth_getBalance" => json!(format!("{:#x}", info.balance)),
            "eth_getTransactionCount" => json!(format!("{:#x}", info.nonce)),
            "eth_getCode" => {
                let code = state.code(&info.code_hash).map(|code| code.original_bytes());
                json!(code.unwrap_or_default())
            }
            _ => {
                let slot = U256::from_str(params[1].as_str()?).ok()?;
                json!(B256::from(state.storage(&address, &slot)))
            }
        })
    }

    /// The asked slots from both sets of proofs of this state: that after the block, and that
    /// before its child.
    fn proof(&self, params: &Value) -> Option<Value> {
        let at = hash(&params[2]["blockHash"])?;
        let find = |record: Option<&RecordedBlock>, side: &str| {
            let all = record?.to_value().expect("a record")["proofs"][side].clone();
            let address = params[0].as_str()?.to_lowercase();
            let mut answers = all.as_array()?.iter();
            answers.find(|answer| answer["address"].as_str() == Some(&address)).cloned()
        };
        let sides = [find(self.child(at), "parent"), find(self.by_hash(at), "block")];
        let sides: Vec<Value> = sides.into_iter().flatten().collect();
        let number = |value: &Value| U256::from_str(value.as_str()?).ok();
        let slot = |asked: &Value| {
            let mut all = sides.iter().flat_map(|side| side["storageProof"].as_array().unwrap());
            all.find(|proof| number(&proof["key"]) == number(asked)).cloned()
        };
        let mut answer = sides.first()?.clone();
        let slots: Option<Vec<Value>> = params[1].as_array()?.iter().map(slot).collect();
        answer["storageProof"] = json!(slots?);
        Some(answer)
    }

    /// A witness, with the headers of the ancestors that are known.
    fn witness(&self, record: &RecordedBlock) -> Value {
        let mut witness = witness_json(record);
        let ancestors = self.blocks.range(..record.number()).map(|(_, block)| &block.block.header);
        let headers = record.parent.iter().chain(ancestors);
        witness["headers"] =
            headers.map(|header| json!(Bytes::from(alloy_rlp::encode(header)))).collect();
        witness
    }
}

fn hash(value: &Value) -> Option<B256> {
    B256::from_str(value.as_str()?).ok()
}

fn block_json(record: &RecordedBlock) -> Value {
    record.to_value().expect("a record")["block"].clone()
}

fn witness_json(record: &RecordedBlock) -> Value {
    match &record.state {
        Prestate::Witness(state) => {
            let codes: Vec<_> = state.codes().map(|(_, code)| code.original_bytes()).collect();
            json!({ "state": state.nodes(), "codes": codes, "keys": [] })
        }
        Prestate::Memory(state) => {
            let proofs = record.proofs.as_ref().expect("proofs");
            let nodes: Vec<&Bytes> = proofs
                .parent
                .iter()
                .flat_map(|proof| {
                    let slots = proof.storage_proof.iter().flat_map(|slot| &slot.proof);
                    proof.account_proof.iter().chain(slots)
                })
                .collect();
            let codes = state.accounts().filter_map(|(_, info, _)| state.code(&info.code_hash));
            let codes: Vec<_> = codes.map(|code| code.original_bytes()).collect();
            json!({ "state": nodes, "codes": codes, "keys": [] })
        }
    }
}

/// The state before the block as the trace of its first transaction; what the tracer would not
/// show, since no transaction touches it, is left out.
fn trace_json(record: &RecordedBlock) -> Value {
    let document = record.to_value().expect("a record");
    let mut accounts = document["prestate"].clone();
    if let Some(accounts) = accounts.as_object_mut() {
        let kept = accounts.len() / 2;
        let gone: Vec<String> = accounts.keys().skip(kept).cloned().collect();
        gone.iter().for_each(|key| drop(accounts.remove(key)));
    }
    let rest = record.block.transactions.len().saturating_sub(1);
    let mut traces = vec![json!({ "result": accounts })];
    traces.extend((0..rest).map(|_| json!({ "result": {} })));
    Value::Array(traces)
}

fn receipts_json(record: &RecordedBlock) -> Value {
    let source = record.state.source();
    let outcome = execute_stock(&record.chain, &record.block, source, OutputKind::Flat);
    let receipts = outcome.expect("a valid block").receipts;
    receipts
        .iter()
        .map(|receipt| {
            let logs: Vec<Value> = receipt
                .logs
                .iter()
                .map(|log| {
                    let (topics, data) = (log.topics(), &log.data.data);
                    json!({ "address": log.address, "topics": topics, "data": data })
                })
                .collect();
            json!({
                "type": format!("{:#x}", receipt.tx_type as u8),
                "status": if receipt.success { "0x1" } else { "0x0" },
                "cumulativeGasUsed": format!("{:#x}", receipt.cumulative_gas_used),
                "logs": logs,
            })
        })
        .collect()
}

/// The client's server. Ends when it is dropped.
pub struct Mock {
    pub address: SocketAddr,
    world: Arc<Mutex<World>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Mock {
    pub fn start(world: World) -> Self {
        Self::serve(Arc::new(Mutex::new(world)), "127.0.0.1:0".parse().unwrap())
    }

    fn serve(world: Arc<Mutex<World>>, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (world, stop) = (world.clone(), stop.clone());
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let world = world.clone();
                    // A client that hangs up early is its own affair.
                    thread::spawn(move || talk(&world, stream));
                }
            })
        };
        Self { address, world, stop, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Takes the client down and, after `meanwhile`, brings it up at the same address.
    pub fn restart(self, meanwhile: impl FnOnce()) -> Self {
        let (world, address) = (self.world.clone(), self.address);
        drop(self);
        meanwhile();
        Self::serve(world, address)
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the mock client panicked");
        }
    }
}

/// One request on a connection.
fn talk(world: &Mutex<World>, stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(&stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim().to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let Ok(request) = serde_json::from_slice::<Value>(&body) else { return Ok(()) };
    let calls = match &request {
        Value::Array(calls) => calls.clone(),
        call => vec![call.clone()],
    };
    take_time(world);
    let mut answers = Vec::new();
    for call in &calls {
        let answer = reply(&mut world.lock().unwrap(), call);
        match answer {
            Ok(answer) => answers.push(answer),
            Err(fault) => return spoil(&stream, &fault),
        }
    }
    let batch = Value::Array(answers.clone());
    let answer = if request.is_array() { batch } else { answers.remove(0) };
    send(&stream, 200, &answer.to_string())
}

/// Lets the request's time pass, and counts it.
fn take_time(world: &Mutex<World>) {
    let delay = {
        let mut world = world.lock().unwrap();
        world.requests += 1;
        world.under_way += 1;
        world.most_at_once = world.most_at_once.max(world.under_way);
        world.delay
    };
    thread::sleep(delay);
    world.lock().unwrap().under_way -= 1;
}

fn reply(world: &mut World, call: &Value) -> Result<Value, Fault> {
    let method = call["method"].as_str().unwrap_or_default();
    if call["params"][0] == "latest" {
        world.asked_for_head += 1;
    }
    let fault = world.faults.get_mut(method).and_then(VecDeque::pop_front);
    let mut answer = json!({ "jsonrpc": "2.0", "id": call["id"] });
    match fault {
        Some(Fault::Error(code, message)) => {
            answer["error"] = json!({ "code": code, "message": message });
        }
        Some(fault) => return Err(fault),
        None => match world.answer(method, &call["params"]) {
            Some(result) => {
                world.gave_receipts += u64::from(method == "eth_getBlockReceipts");
                answer["result"] = result;
            }
            None => answer["error"] = json!({ "code": -32_601, "message": "Method not found" }),
        },
    }
    Ok(answer)
}

fn spoil(stream: &TcpStream, fault: &Fault) -> std::io::Result<()> {
    match fault {
        Fault::Status(status) => send(stream, *status, "busy"),
        Fault::Html => send(stream, 200, "<html><body>Log in first</body></html>"),
        Fault::Truncated => send(stream, 200, r#"{"jsonrpc":"2.0","id":1,"result":{"state":["0x"#),
        Fault::Close | Fault::Error(..) => Ok(()),
    }
}

fn send(mut stream: &TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\nretry-after: 0\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}
