//! The shadow beside a real, unrelated client: anvil, restarted on the way.
//!
//! Anvil is found as `BRAID_ANVIL` or on the path; npm carries it as `@foundry-rs/anvil`.
//! `BRAID_ANVIL_BLOCKS` sets how many blocks are made (default 30).

use super::{Run, braid, shadow};
use braid_shadow::recorded::files;
use serde_json::{Value, json};
use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Creates a contract that counts its calls in slot 0 and logs each.
const COUNTER: &str = "0x600b8060095f395ff35f546001015f555f5fa000";

fn binary() -> Option<PathBuf> {
    if let Some(path) = env::var_os("BRAID_ANVIL") {
        return Some(path.into());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join("anvil")).find(|path| path.is_file())
}

struct Anvil {
    child: Child,
    url: String,
}

impl Anvil {
    fn start(binary: &Path, port: u16, state: &Path) -> Self {
        let child = Command::new(binary)
            .args(["--port", &port.to_string(), "--silent", "--no-mining"])
            .args(["--preserve-historical-states", "--state"])
            .arg(state)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("anvil starts");
        let anvil = Self { child, url: format!("http://127.0.0.1:{port}") };
        let start = Instant::now();
        while anvil.try_call("eth_chainId", &json!([])).is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "anvil does not answer");
            thread::sleep(Duration::from_millis(50));
        }
        anvil
    }

    fn try_call(&self, method: &str, params: &Value) -> Option<Value> {
        let client = braid_cli::rpc::Client::new(&self.url, Duration::from_secs(10), 0, 1);
        client.call(method, params).ok()
    }

    fn call(&self, method: &str, params: &Value) -> Value {
        self.try_call(method, params).unwrap_or_else(|| panic!("anvil refuses {method} {params}"))
    }

    /// One block with payments, a deployment and calls, by anvil's own accounts.
    fn mine(&self, turn: u64, counter: Option<&Value>) {
        let accounts = self.call("eth_accounts", &json!([]));
        let accounts = accounts.as_array().unwrap();
        for (index, from) in accounts.iter().enumerate() {
            let to = match counter {
                Some(counter) if index % 2 == 0 => counter,
                _ => &accounts[(index + 1) % accounts.len()],
            };
            let value = if index % 2 == 0 { 0 } else { turn + 1 };
            let value = format!("{value:#x}");
            let tx = json!([{ "from": from, "to": to, "value": value, "gas": "0x30d40" }]);
            self.call("eth_sendTransaction", &tx);
        }
        self.call("evm_mine", &json!([]));
    }

    fn deploy(&self) -> Value {
        let from = self.call("eth_accounts", &json!([]))[0].clone();
        let tx = json!([{ "from": from, "data": COUNTER, "gas": "0x30d40" }]);
        let hash = self.call("eth_sendTransaction", &tx);
        self.call("evm_mine", &json!([]));
        self.call("eth_getTransactionReceipt", &json!([hash]))["contractAddress"].clone()
    }

    /// Ends it as its user would, so that it writes its state.
    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap();
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // Already ended where it was stopped.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn every_block_of_anvil_matches_over_two_restarts_and_is_recorded() {
    let Some(binary) = binary() else {
        println!("SKIPPED: no anvil; `npm install @foundry-rs/anvil` and set BRAID_ANVIL");
        return;
    };
    let asked = env::var("BRAID_ANVIL_BLOCKS").ok().and_then(|count| count.parse().ok());
    let blocks: u64 = asked.unwrap_or(30).max(4);
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut anvil = Anvil::start(&binary, port, &state);
    let mut command = shadow(&anvil.url, 1, blocks as usize, folder.path());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let counter = anvil.deploy();
    for turn in 1..blocks {
        if turn == blocks / 3 || turn == 2 * blocks / 3 {
            anvil.stop();
            thread::sleep(Duration::from_millis(300));
            assert!(fs::metadata(&state).is_ok(), "anvil wrote no state");
            anvil = Anvil::start(&binary, port, &state);
        }
        anvil.mine(turn, Some(&counter));
    }
    let run = Run::wait(child);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.results(), vec!["match"; blocks as usize], "{run:?}");
    println!("anvil: {}", run.summary);

    let records = folder.path().join("records");
    let range = format!("{}..{blocks}", blocks - 2);
    let mut command = braid(&["record", "--rpc-url", &anvil.url, "--block", &range, "--out"]);
    let output = command.arg(&records).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let files = files(&records).unwrap();
    assert_eq!(files.len(), 3);
    let replay = braid(&["replay", "--rounds", "1"]).args(&files).output().unwrap();
    assert_eq!(replay.status.code(), Some(0), "{}", String::from_utf8_lossy(&replay.stderr));
}
