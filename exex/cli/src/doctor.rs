//! `braid doctor`: whether a client and this machine suit the shadow, and what to change.
//!
//! Role: one line for each check, with what was found and, where it is not as it should be, the
//! next step. Nothing is changed.

use crate::{
    exit::{EXIT_CODES, Exit},
    replay::report::line,
    rpc::{Client, RpcError, chain},
};
use braid_shadow::Settings;
use clap::Args;
use serde_json::{Value, json};
use std::{fs, path::Path, path::PathBuf, thread, time::Duration};

/// reth warns above so many files of an ExEx's write-ahead log: finished heights do not come in.
const MANY_FILES: usize = 128;

/// Arguments of `braid doctor`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_CODES)]
pub struct DoctorArgs {
    /// The client's HTTP endpoint; without it only this machine is looked at.
    #[arg(long, env = "ETH_RPC_URL", value_name = "URL")]
    pub rpc_url: Option<String>,
    /// A geth genesis file with the chain's rules.
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// The data folder of a reth node with the shadow inside: its ExEx files are looked at.
    #[arg(long, value_name = "FOLDER")]
    pub datadir: Option<PathBuf>,
    /// How long one request may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// How a check ended; the order is that of gravity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As it should be.
    Good,
    /// It works, but not as well as it could.
    Warning,
    /// It does not work.
    Bad,
}

impl Grade {
    const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

/// One check's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it ended.
    pub grade: Grade,
    /// What was found.
    pub found: String,
    /// What to change; empty where nothing is.
    pub advice: String,
}

impl Finding {
    fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, grade: Grade::Good, found: found.into(), advice: String::new() }
    }

    fn warning(check: &'static str, found: impl Into<String>, advice: &str) -> Self {
        let advice = advice.to_owned();
        Self { check, grade: Grade::Warning, found: found.into(), advice }
    }

    fn bad(check: &'static str, found: impl Into<String>, advice: &str) -> Self {
        Self { grade: Grade::Bad, ..Self::warning(check, found, advice) }
    }
}

/// Runs every check and prints the findings.
pub fn run(args: &DoctorArgs) -> Exit {
    let mut findings = machine();
    if let Some(url) = &args.rpc_url {
        let rpc = Client::new(url, Duration::from_secs(args.timeout), 1, 1);
        findings.extend(client(&rpc, args.genesis.as_deref()));
    }
    if let Some(datadir) = &args.datadir {
        findings.push(exex_files(datadir));
    }
    for Finding { check, grade, found, advice } in &findings {
        let word = grade.word();
        if args.json {
            line(json!({ "check": check, "grade": word, "found": found, "advice": advice }));
        } else {
            line(format_args!("{word:>7}  {check}: {found}"));
            if !advice.is_empty() {
                line(format_args!("         -> {advice}"));
            }
        }
    }
    let worst = findings.iter().map(|finding| finding.grade).max();
    if worst == Some(Grade::Bad) { Exit::Unreadable } else { Exit::Fine }
}

fn machine() -> Vec<Finding> {
    vec![cores(), memory()]
}

fn cores() -> Finding {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = Settings::default().threads;
    let found = format!("{cores} cores, of which the shadow uses {threads}");
    if cores >= 4 {
        return Finding::good("threads", found);
    }
    let advice = "beside a node, the shadow competes with it for so few cores: it runs at a lower \
                  priority and skips blocks when it lags; give the machine 4 cores or more";
    Finding::warning("threads", found, advice)
}

fn memory() -> Finding {
    let cap = Settings::default().memory_cap as u64;
    let Some(free) = available_memory() else {
        return Finding::good("memory", "how much is available is only known on Linux");
    };
    let found = format!("{} MiB available, {} MiB is the shadow's cap", free >> 20, cap >> 20);
    if free >= 2 * cap {
        return Finding::good("memory", found);
    }
    Finding::warning(
        "memory",
        found,
        "lower the cap, or free memory: a full block reads some 30 MiB",
    )
}

/// Bytes that may still be taken: of the machine, or of the control group where that is less.
fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024;
    let read = |name: &str| {
        let text = fs::read_to_string(Path::new("/sys/fs/cgroup").join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let group = read("memory.max").zip(read("memory.current"));
    let group = group.map(|(most, used)| most.saturating_sub(used));
    Some(group.map_or(machine, |group| group.min(machine)))
}

fn client(client: &Client, genesis: Option<&Path>) -> Vec<Finding> {
    let none = json!([]);
    let mut findings = Vec::new();
    match client.call("web3_clientVersion", &none) {
        Ok(version) => findings.push(version_finding(version.as_str().unwrap_or("unnamed"))),
        Err(error) if error.is_unsupported() => {
            findings.push(Finding::good("client", "reachable; it does not tell its version"));
        }
        Err(error) => {
            let advice = "start the client with its HTTP interface (reth, geth: --http), or mend \
                          the URL";
            findings.push(Finding::bad("client", format!("{}: {error}", client.url()), advice));
            return findings;
        }
    }
    findings.push(match chain::rules(client, genesis) {
        Ok(rules) => Finding::good("chain", format!("id {}", rules.chain.id())),
        Err(error) => Finding::bad(
            "chain",
            error.to_string(),
            "give the chain's rules with --genesis FILE, or let the client tell them (reth, geth: \
             --http.api admin,debug,eth)",
        ),
    });
    findings.push(syncing(client));
    findings.extend(state(client));
    findings
}

/// Versions of reth for which the shadow inside the node is built.
fn version_finding(version: &str) -> Finding {
    let is_reth = version.to_lowercase().starts_with("reth/");
    if !is_reth || version.contains("v2.5.") {
        return Finding::good("client", version);
    }
    let advice = "by RPC this is fine; the shadow inside the node (braid-reth) is built for reth \
                  v2.5.1";
    Finding::warning("client", version, advice)
}

fn syncing(client: &Client) -> Finding {
    match client.call("eth_syncing", &json!([])) {
        Ok(Value::Bool(false)) => Finding::good("sync", "the client is at its tip"),
        Ok(_) => Finding::warning(
            "sync",
            "the client is still syncing",
            "wait: until then blocks come in batches and are skipped",
        ),
        Err(error) => Finding::warning("sync", format!("unknown: {error}"), "none needed"),
    }
}

/// Whether the client has state for its newest block, and by which method.
fn state(client: &Client) -> Vec<Finding> {
    let head = client.call("eth_getBlockByNumber", &json!(["latest", false]));
    let head = match head {
        Ok(head) => head,
        Err(error) => {
            let advice = "let the client serve eth (reth, geth: --http.api eth)";
            return vec![Finding::bad("state", format!("no newest block: {error}"), advice)];
        }
    };
    let part = |key: &str| head.get(key).cloned().unwrap_or_default();
    let (number, hash, parent) = (part("number"), part("hash"), part("parentHash"));
    if chain::number(&number) == Some(0) {
        let advice = "ask again when there is a block";
        return vec![Finding::warning("state", "the chain has no block yet", advice)];
    }
    let probe = |method: &str, params: Value| client.call(method, &params).map(drop);
    let witness = probe("debug_executionWitness", json!([number]));
    let tracer = json!([hash, { "tracer": "prestateTracer" }]);
    let tracer = probe("debug_traceBlockByHash", tracer);
    let zero = alloy_primitives::Address::ZERO;
    let reads = probe("eth_getBalance", json!([zero, { "blockHash": parent }]));
    let receipts = probe("eth_getBlockReceipts", json!([hash]));
    let best = [&witness, &tracer, &reads].iter().position(|served| served.is_ok());
    let mut findings = vec![match best {
        Some(0) => Finding::good("state", "execution witnesses: complete and proved"),
        Some(1) => Finding::warning(
            "state",
            "the prestate tracer, single reads for the rest; state roots are not proved",
            "for proofs use a client with debug_executionWitness (reth, geth: --http.api debug)",
        ),
        Some(_) => Finding::warning(
            "state",
            "single reads only: one request for each account and slot",
            "enable the debug interface (reth, geth: --http.api debug)",
        ),
        None => Finding::bad(
            "state",
            "the state before the newest block cannot be had",
            "enable the debug interface (reth, geth: --http.api debug)",
        ),
    }];
    findings.push(served("debug_executionWitness", &witness));
    findings.push(served("debug_traceBlockByHash", &tracer));
    findings.push(served("state of the parent", &reads));
    findings.push(served("eth_getBlockReceipts", &receipts));
    findings
}

fn served(method: &'static str, result: &Result<(), RpcError>) -> Finding {
    match result {
        Ok(()) => Finding::good(method, "served"),
        Err(error) => Finding::warning(method, error.to_string(), ""),
    }
}

/// The write-ahead log of reth's execution extensions: how long it is, and whether it has a hole,
/// with which reth v2.5.1 does not start (paradigmxyz/reth issue 26813).
fn exex_files(datadir: &Path) -> Finding {
    let folder = datadir.join("exex").join("wal");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => {
            let found = format!("{}: {error}", folder.display());
            return Finding::warning("exex files", found, "give the chain's own data folder");
        }
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut ids: Vec<u64> =
        names.filter_map(|name| name.to_str()?.strip_suffix(".wal")?.parse().ok()).collect();
    ids.sort_unstable();
    let count = ids.len();
    let hole = ids.windows(2).find(|pair| pair[0] + 1 != pair[1]);
    if let Some(hole) = hole {
        let found = format!("{count} files, none between {} and {}", hole[0], hole[1]);
        let advice = "reth v2.5.1 does not start over such a hole: stop the node and move the \
                      folder away; the shadow loses nothing by it";
        return Finding::bad("exex files", found, advice);
    }
    if count > MANY_FILES {
        let advice = "an extension does not say how far it is: look for one that hangs";
        return Finding::warning("exex files", format!("{count} files"), advice);
    }
    Finding::good("exex files", format!("{count} files, without a hole"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_in_the_log_and_a_long_log_are_found() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(exex_files(folder.path()).grade, Grade::Warning);
        let wal = folder.path().join("exex/wal");
        fs::create_dir_all(&wal).unwrap();
        let write = |id: usize| fs::write(wal.join(format!("{id}.wal")), "").unwrap();
        (3..6).for_each(write);
        assert_eq!(exex_files(folder.path()).grade, Grade::Good);
        write(8);
        let finding = exex_files(folder.path());
        assert_eq!(finding.grade, Grade::Bad);
        assert!(finding.found.contains("between 5 and 8"), "{}", finding.found);
        (6..200).for_each(write);
        assert_eq!(exex_files(folder.path()).grade, Grade::Warning);
    }
}
