//! The report as one JSON object; `docs/explain.md` lists its keys.
//!
//! Times are nanoseconds, transactions are indices in the block, slots are hexadecimal words.

use super::report::{HotLocation, Report};
use crate::replay::report::rounded;
use alloy_primitives::Address;
use braid_core::trace::{Location, Part, Run, RunKind, RunOutcome};
use braid_shadow::analysis::{Dependencies, Hot, Scheduling};
use serde_json::{Value, json};

/// The whole report.
pub fn document(report: &Report) -> Value {
    let figures = &report.figures;
    let done = &figures.scheduling;
    json!({
        "block": report.number,
        "txs": figures.transactions,
        "gas": figures.gas,
        "threads": report.threads,
        "rounds": report.rounds,
        "bare_ns": report.bare_ns,
        "parallel_ns": report.trace.nanos,
        "speedup": rounded(report.speedup()),
        "inline": report.trace.inline,
        "key_overlap": figures.overlapping,
        "engine": dependencies(&figures.engine),
        "whole_account": dependencies(&figures.whole_account),
        "scheduler": scheduler(done),
        "hot_slots": report.locations.iter().map(hot_location).collect::<Vec<_>>(),
        "hot_contracts": report.contracts.iter().map(hot_contract).collect::<Vec<_>>(),
        "runs": report.trace.runs.iter().map(run).collect::<Vec<_>>(),
        "transactions": transactions(report),
    })
}

fn dependencies(side: &Dependencies) -> Value {
    json!({
        "dependent": side.dependent,
        "pairs": side.pairs,
        "path_gas": side.gas.weight,
        "path_gas_txs": side.gas.transactions,
        "path_ns": side.time.weight,
        "path_ns_txs": side.time.transactions,
    })
}

fn scheduler(done: &Scheduling) -> Value {
    json!({
        "workers": done.workers,
        "runs": done.runs,
        "direct": done.direct,
        "stale": done.stale,
        "discarded": done.discarded,
        "busy_ns": done.busy_ns,
        "wasted_ns": done.wasted_ns,
        "span_ns": done.span_ns,
        "parallelism": rounded(done.parallelism()),
    })
}

fn location(location: &Location) -> Value {
    let (part, slot) = match location.part {
        Part::Existence => ("existence", None),
        Part::Balance => ("balance", None),
        Part::Nonce => ("nonce", None),
        Part::Slot(slot) => ("slot", Some(format!("{slot:#066x}"))),
    };
    json!({ "address": location.address, "part": part, "slot": slot })
}

fn hot_location(location: &HotLocation) -> Value {
    let mut value = hot(&location.hot);
    value["location"] = self::location(&location.hot.key);
    value["name"] = location.name.map(|name| name.to_string()).into();
    value
}

fn hot_contract(contract: &Hot<Address>) -> Value {
    let mut value = hot(contract);
    value["address"] = json!(contract.key);
    value
}

fn hot<K>(hot: &Hot<K>) -> Value {
    json!({
        "dependent": hot.dependent,
        "chain_gas": hot.chain_gas.weight,
        "chain_txs": hot.chain_gas.transactions,
        "chain_ns": hot.chain_ns,
        "won_gas": hot.won_gas,
        "won_ns": hot.won_ns,
        "stale": hot.stale,
    })
}

fn run(run: &Run) -> Value {
    let kind = match run.kind {
        RunKind::Speculative => "speculative",
        RunKind::RepeatedAhead => "repeated_ahead",
        RunKind::Repeated => "repeated",
        RunKind::Direct => "direct",
    };
    let (outcome, at, writer) = match &run.outcome {
        RunOutcome::Committed => ("committed", None, None),
        RunOutcome::Stale { location, writer } => ("stale", location.as_ref(), *writer),
        RunOutcome::Discarded => ("discarded", None, None),
    };
    json!({
        "tx": run.transaction,
        "worker": run.worker,
        "start": run.start,
        "end": run.end,
        "kind": kind,
        "outcome": outcome,
        "location": at.map(location),
        "writer": writer,
    })
}

fn transactions(report: &Report) -> Vec<Value> {
    let after = report.graph.predecessors();
    let all = report.transactions.iter().zip(&report.trace.transactions).zip(after);
    all.map(|((tx, committed), after)| {
        json!({
            "hash": tx.hash,
            "from": tx.from,
            "to": tx.to,
            "gas": committed.gas_used,
            "ns": tx.nanos,
            "committed_at": committed.at,
            "committed_by": committed.by,
            "after": after,
        })
    })
    .collect()
}
