//! A node with the shadow inside, as its own process, and what talks to it.
//!
//! Everything listens on loopback, on ports that were free a moment before.

use crate::shared::{PATIENCE, wait_for};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// What RocksDB, whose threads outlive what they use, says where it aborts a process that has
/// ended, within its first seconds mostly: reth v2.5.1 itself, with `--braid.off` too.
const ABORTED: &str = "pthread lock: Invalid argument";

/// A port of the loopback interface that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Where a node answers, as long as it is not told to do so elsewhere.
pub(crate) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// A running node. Dropping it kills it.
pub(crate) struct Node {
    child: Child,
    pub(crate) rpc: Rpc,
    pub(crate) log: PathBuf,
    pub(crate) reports: PathBuf,
}

impl Node {
    /// Starts the node in `folder`, which keeps its data, and waits until it answers.
    pub(crate) fn start(folder: &Path, genesis: &Value, more: &[&str]) -> Self {
        Self::start_at(folder, genesis, free_port(), more)
    }

    /// As [`Self::start`], at a port that is known to others.
    pub(crate) fn start_at(folder: &Path, genesis: &Value, http: u16, more: &[&str]) -> Self {
        let mut node = Self::spawn(folder, genesis, http, more);
        wait_for("the node's first answer", || {
            let ended = node.child.try_wait().expect("the process is ours");
            assert!(ended.is_none(), "the node ended: {ended:?}\n{}", node.last_lines());
            node.rpc.call("eth_blockNumber", json!([])).ok()
        });
        node
    }

    fn spawn(folder: &Path, genesis: &Value, http: u16, more: &[&str]) -> Self {
        let file = folder.join("genesis.json");
        fs::write(&file, genesis.to_string()).expect("a writable folder");
        let log = folder.join("node.log");
        let out = File::options().create(true).append(true).open(&log).expect("a writable folder");
        let reports = folder.join("reports");
        let [auth, peers] = [free_port(), free_port()];
        let mut command = Command::new(env!("CARGO_BIN_EXE_braid-reth"));
        command
            .args(["node", "--dev", "--ipcdisable", "--disable-discovery", "--no-persist-peers"])
            .args(["--http", "--http.addr", "127.0.0.1", "--http.api", "eth,net,web3,txpool,debug"])
            .args(["--authrpc.addr", "127.0.0.1", "--addr", "127.0.0.1", "--color", "never"])
            .args(["--txpool.max-account-slots", "4096", "--txpool.pending-max-count", "100000"])
            .args(["--txpool.queued-max-count", "100000", "--rpc.max-request-size", "100"])
            .args(["--log.file.max-files", "0"])
            .arg("--http.port")
            .arg(http.to_string())
            .arg("--authrpc.port")
            .arg(auth.to_string())
            .arg("--port")
            .arg(peers.to_string())
            .arg("--datadir")
            .arg(folder.join("data"))
            .arg("--chain")
            .arg(&file)
            .arg("--braid.report-dir")
            .arg(&reports)
            .args(more)
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a file handle"))
            .stderr(out);
        let child = command.spawn().expect("the node's binary");
        Self { child, rpc: Rpc::new(http), log, reports }
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the shadow last wrote about itself.
    pub(crate) fn status(&self) -> Option<Value> {
        status(&self.reports)
    }

    /// The number of the node's newest block.
    pub(crate) fn height(&self) -> u64 {
        quantity(&self.rpc.must("eth_blockNumber", json!([])))
    }

    /// Asks the node to end, and waits until it has, without an error.
    pub(crate) fn terminate(mut self) {
        let sent = Command::new("kill").args(["-TERM", &self.id().to_string()]).status();
        assert!(sent.expect("kill").success());
        let child = &mut self.child;
        let status = wait_for("the node's end", || child.try_wait().expect("the process is ours"));
        let said = self.last_lines();
        let excused = said.ends_with(ABORTED);
        assert!(status.success() || excused, "the node ended with {status}:\n{said}");
    }

    /// Ends the node at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the process is ours");
        self.child.wait().expect("the process is ours");
    }

    /// The end of the node's log.
    pub(crate) fn last_lines(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

/// What a shadow wrote about itself into its report folder.
pub(crate) fn status(reports: &Path) -> Option<Value> {
    let text = fs::read_to_string(reports.join("status.json")).ok()?;
    Some(serde_json::from_str(&text).expect("the status is never half written"))
}

/// A JSON-RPC client.
pub(crate) struct Rpc {
    client: reqwest::blocking::Client,
    url: String,
}

impl Rpc {
    fn new(port: u16) -> Self {
        let client = reqwest::blocking::Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            .build()
            .expect("a client");
        Self { client, url: url(port) }
    }

    fn post(&self, body: &Value) -> Result<Value, String> {
        let sent = self.client.post(&self.url).json(body).send();
        sent.and_then(reqwest::blocking::Response::json).map_err(|error| error.to_string())
    }

    /// One call.
    pub(crate) fn call(&self, method: &str, params: Value) -> Result<Value, String> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut answer = self.post(&request)?;
        match answer.get("error") {
            Some(error) => Err(error.to_string()),
            None => Ok(answer["result"].take()),
        }
    }

    /// One call that has to succeed.
    pub(crate) fn must(&self, method: &str, params: Value) -> Value {
        self.call(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Sends raw transactions in one request; gives those that were refused, with the reason.
    pub(crate) fn send(&self, raw: &[String]) -> Vec<(String, String)> {
        let calls: Vec<Value> = raw
            .iter()
            .enumerate()
            .map(|(id, raw)| {
                let method = "eth_sendRawTransaction";
                json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": [raw] })
            })
            .collect();
        let answers = self.post(&Value::Array(calls)).expect("the node answers");
        let answers = answers.as_array().expect("an answer for each call");
        answers
            .iter()
            .filter_map(|answer| {
                let reason = answer.get("error")?["message"].to_string();
                let id = answer["id"].as_u64().expect("the call's id");
                Some((raw[usize::try_from(id).expect("a small number")].clone(), reason))
            })
            .collect()
    }
}

/// A hexadecimal quantity.
pub(crate) fn quantity(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_else(|| panic!("no quantity: {value}"));
    u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("a quantity")
}
