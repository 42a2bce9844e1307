//! `braid record`: blocks of a client as files that `braid replay` reads.
//!
//! Role: fetch a block with its state, execute it sequentially to note what it reads, add proofs
//! where the client gives them, and write the file after replaying what would be in it.
//!
//! Invariant: no file is written that could not be replayed: the record is turned into JSON and
//! read back, executed sequentially and in parallel, compared, and checked against its header and
//! proofs, before it gets its name.

use crate::{
    exit::{EXIT_CODES, Exit},
    replay::report::line,
    rpc::{
        Fetcher, RpcArgs, RpcError, RpcOptions,
        fetch::{Listed, MAX_STATE},
    },
};
use alloy_primitives::B256;
use braid_core::{
    Engine, Options, Outcome, OutputKind, StateChanges, outcome::AccountChange,
    sequential::execute_stock,
};
use braid_shadow::{
    Noted, ParentState, Reference, Work, compare,
    recorded::{Prestate, RecordedBlock, StateCheck},
};
use clap::Args;
use serde_json::{Value, json};
use std::{
    collections::VecDeque, fs, ops::RangeInclusive, panic::resume_unwind, path::PathBuf,
    str::FromStr, thread, time::Duration,
};

/// How many blocks are fetched at once, the one that is replayed included.
const AHEAD: usize = 4;

/// Which blocks to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocks {
    /// The client's newest block.
    Latest,
    /// These, both ends included.
    Range(RangeInclusive<u64>),
}

impl FromStr for Blocks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.parse::<u64>().map_err(|_| format!("`{text}` is neither a number nor `latest`"))
        };
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let (first, last) = match text.split_once("..") {
            Some((first, last)) => (number(first)?, number(last.trim_start_matches('='))?),
            None => (number(text)?, number(text)?),
        };
        if first > last {
            return Err(format!("{first} is after {last}"));
        }
        if first == 0 {
            return Err("the genesis block executes nothing".to_owned());
        }
        Ok(Self::Range(first..=last))
    }
}

/// Arguments of `braid record`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_CODES)]
pub struct RecordArgs {
    /// How to reach the client.
    #[command(flatten)]
    pub rpc: RpcArgs,
    /// Which blocks: a number, a range N..M with both ends, or `latest`.
    #[arg(long, value_name = "N|N..M|latest")]
    pub block: Blocks,
    /// The folder for `<number>.json.zst`; made where it is missing.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub out: PathBuf,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command. Every block that could not be recorded is reported; the others are.
pub fn run(args: &RecordArgs) -> Exit {
    let fetcher = match args.rpc.options.fetcher(&args.rpc.rpc_url, Duration::ZERO) {
        Ok(fetcher) => fetcher,
        Err(error) => return complain(&error),
    };
    if let Err(error) = fs::create_dir_all(&args.out) {
        return complain(&format!("{}: {error}", args.out.display()));
    }
    let blocks = match numbers(&fetcher, &args.block) {
        Ok(blocks) => blocks,
        Err(error) => return complain(&error),
    };
    let engine = Engine::new(Options { forced: true, ..Options::default() });
    let mut exit = Exit::Fine;
    each_fetched(&fetcher, blocks, |number, fetched| {
        match fetched.and_then(|fetched| fetched.verify(&engine)) {
            Ok((block, check)) => match block.write(&args.out) {
                Ok(path) => report(args.json, &block, check, &path.display().to_string()),
                Err(error) => exit = exit.max(complain(&error)),
            },
            Err(refusal) => {
                let reason = &refusal.reason;
                if args.json {
                    line(json!({ "block": number, "error": reason }));
                }
                eprintln!("block {number} is not recorded: {reason}");
                exit = exit.max(refusal.exit());
            }
        }
    });
    exit
}

/// Fetches these blocks, a few of them at once, and gives them to `then` in their order.
fn each_fetched(
    fetcher: &Fetcher,
    mut numbers: RangeInclusive<u64>,
    mut then: impl FnMut(u64, Result<Fetched, Refusal>),
) {
    thread::scope(|scope| {
        let mut ahead = VecDeque::new();
        loop {
            while ahead.len() < AHEAD
                && let Some(number) = numbers.next()
            {
                ahead.push_back((number, scope.spawn(move || Fetched::new(fetcher, number))));
            }
            let Some((number, thread)) = ahead.pop_front() else { return };
            then(number, thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
    });
}

fn complain(error: &dyn std::fmt::Display) -> Exit {
    eprintln!("{error}");
    Exit::Unreadable
}

fn numbers(fetcher: &Fetcher, blocks: &Blocks) -> Result<RangeInclusive<u64>, RpcError> {
    match blocks {
        Blocks::Range(range) => Ok(range.clone()),
        Blocks::Latest => fetcher.head().map(|head| head.number..=head.number),
    }
}

/// Fetches the first of these blocks, whose record replays. What goes wrong is reported; the error
/// is the exit code.
pub(crate) fn fetch(
    url: &str,
    options: &RpcOptions,
    blocks: &Blocks,
) -> Result<RecordedBlock, Exit> {
    let fetcher = options.fetcher(url, Duration::ZERO).map_err(|error| complain(&error))?;
    let number = *numbers(&fetcher, blocks).map_err(|error| complain(&error))?.start();
    let engine = Engine::new(Options { forced: true, ..Options::default() });
    let fetched = Fetched::new(&fetcher, number);
    let record = fetched.and_then(|fetched| fetched.verify(&engine));
    record.map(|(record, _)| record).map_err(|refusal| {
        eprintln!("block {number} cannot be explained: {}", refusal.reason);
        refusal.exit()
    })
}

fn report(json: bool, record: &RecordedBlock, check: StateCheck, path: &str) {
    let proved = match check {
        StateCheck::Root => "root",
        StateCheck::Proofs => "proofs",
        StateCheck::Unchecked => "none",
    };
    let (number, txs) = (record.number(), record.block.transactions.len());
    let witness = matches!(record.state, Prestate::Witness(_));
    if json {
        let state = if witness { "witness" } else { "prestate" };
        return line(json!({
            "block": number,
            "txs": txs,
            "file": path,
            "state": state,
            "complete": record.complete,
            "proved": proved,
        }));
    }
    let state = match check {
        StateCheck::Root => "state root proved",
        StateCheck::Proofs => "changes proved",
        StateCheck::Unchecked => "state not proved: the client gives no proofs",
    };
    line(format_args!("{path}: {txs} transactions, replayed, {state}"));
}

/// Why a block is not recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whether its replay differs from the header or between the two ways of execution.
    pub mismatch: bool,
    /// The reason.
    pub reason: String,
}

impl Refusal {
    fn unreadable(reason: impl std::fmt::Display) -> Self {
        Self { mismatch: false, reason: reason.to_string() }
    }

    fn mismatch(reason: impl std::fmt::Display) -> Self {
        Self { mismatch: true, reason: reason.to_string() }
    }

    fn exit(&self) -> Exit {
        if self.mismatch { Exit::Mismatch } else { Exit::Unreadable }
    }
}

/// A block as its record would be written, not replayed yet.
#[derive(Debug)]
struct Fetched {
    document: Value,
    receipts: Reference,
}

impl Fetched {
    /// Fetches a block, with what it reads and with proofs.
    fn new(fetcher: &Fetcher, number: u64) -> Result<Self, Refusal> {
        let listed = fetcher.block(number).map_err(Refusal::unreadable)?;
        let work = fetcher.work(&listed).map_err(Refusal::unreadable)?;
        let document = document(fetcher, &listed, &work)?;
        Ok(Self { document, receipts: work.reference })
    }

    /// Proves that the record replays; nothing is written.
    fn verify(self, engine: &Engine) -> Result<(RecordedBlock, StateCheck), Refusal> {
        let record = RecordedBlock::from_value(&self.document).map_err(Refusal::unreadable)?;
        let check = verify(engine, &record, &self.receipts)?;
        Ok((record, check))
    }
}

/// The JSON of the record.
fn document(fetcher: &Fetcher, listed: &Listed, work: &Work) -> Result<Value, Refusal> {
    let source = match &work.state {
        ParentState::Record(record) => {
            let record = RecordedBlock { reference: None, ..(**record).clone() };
            return record.to_value().map_err(Refusal::unreadable);
        }
        ParentState::Source(source) => source,
    };
    let noted = Noted::new(&**source, MAX_STATE);
    let (chain, block) = (&work.chain, &work.block);
    let outcome =
        execute_stock(chain, block, &noted, OutputKind::Flat).map_err(Refusal::unreadable)?;
    let state = Prestate::Memory(noted.state());
    let mut record = RecordedBlock::new(block.clone(), (**chain).clone(), state, true);
    record.config = work.config.as_deref().cloned();
    record.parent.clone_from(&work.parent);
    let mut document = record.to_value().map_err(Refusal::unreadable)?;
    if let Some(proofs) = proofs(fetcher, listed, &outcome.state.to_flat())? {
        document["proofs"] = proofs;
    }
    Ok(document)
}

/// Proofs of everything that the block changed, before and after it; `None` where the client gives
/// none.
fn proofs(
    fetcher: &Fetcher,
    listed: &Listed,
    changes: &StateChanges,
) -> Result<Option<Value>, Refusal> {
    let at = |hash: B256| {
        let params = |change: &AccountChange| {
            let slots = change.storage.iter().map(|(slot, _)| B256::from(*slot));
            json!([change.address, slots.collect::<Vec<_>>(), { "blockHash": hash }])
        };
        let params: Vec<_> = changes.accounts.iter().map(params).collect();
        fetcher.client().call_each("eth_getProof", &params).map(Value::Array)
    };
    let both = at(listed.parent)
        .and_then(|parent| Ok(json!({ "parent": parent, "block": at(listed.hash)? })));
    match both {
        Ok(proofs) => Ok(Some(proofs)),
        Err(error) if RpcError::is_unsupported(&error) || RpcError::is_pruned(&error) => Ok(None),
        Err(error) => Err(Refusal::unreadable(format!("eth_getProof: {error}"))),
    }
}

/// Replays a record: both ways, against each other, the header, the receipts and the proofs.
fn verify(
    engine: &Engine,
    record: &RecordedBlock,
    receipts: &Reference,
) -> Result<StateCheck, Refusal> {
    let (chain, block, source) = (&record.chain, &record.block, record.state.source());
    let stock = execute_stock(chain, block, source, OutputKind::Flat)
        .map_err(|error| Refusal::unreadable(format!("its replay fails: {error}")))?;
    let parallel = engine
        .execute(chain, block, source)
        .map_err(|error| Refusal::mismatch(format!("its parallel replay fails: {error}")))?;
    let against = |outcome: &Outcome, reference: &Reference| {
        compare(chain, block, outcome, reference).map_err(Refusal::mismatch)
    };
    against(&stock, &Reference::default())?;
    against(&stock, receipts)?;
    let state = Some(stock.state.to_flat());
    let sequential = Reference { receipts: Some(stock.receipts), state, note: None };
    against(&parallel, &sequential)?;
    record.check_state(&parallel.state.to_flat()).map_err(Refusal::mismatch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_a_number_a_range_or_the_latest() {
        assert_eq!("7".parse(), Ok(Blocks::Range(7..=7)));
        assert_eq!("7..9".parse(), Ok(Blocks::Range(7..=9)));
        assert_eq!("7..=9".parse(), Ok(Blocks::Range(7..=9)));
        assert_eq!("latest".parse(), Ok(Blocks::Latest));
        for bad in ["", "0", "9..7", "x", "1..", "..2", "1..x", "-1"] {
            assert!(bad.parse::<Blocks>().is_err(), "{bad}");
        }
    }
}
