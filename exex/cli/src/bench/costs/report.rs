//! What `braid bench --costs` prints: a table for people, or one JSON object a line.

use super::{Parts, Row, Side};
use crate::replay::report::{QUIET, line, rounded};
use serde_json::{Value, json};

/// Prints everything.
pub fn print(rows: &[Row], rounds: u32, machine_check: Option<f64>, as_json: bool) {
    if as_json {
        rows.iter().for_each(|row| line(row_json(row)));
        return line(json!({
            "summary": true,
            "blocks": rows.len(),
            "rounds": rounds,
            "machine_check": machine_check.map(rounded),
        }));
    }
    line(format_args!(
        "{:>9} {:>5} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "block",
        "txs",
        "threads",
        "bare",
        "whole",
        "run",
        "settle",
        "commit",
        "rest",
        "ends",
        "sum"
    ));
    rows.iter().for_each(print_row);
    line(format_args!(
        "\nnanoseconds per transaction, on all threads together, the least of {rounds} rounds;\n\
         bare and whole (the engine with nobody watching) are times of the block"
    ));
    line("run: revm with reads, and its changes made a set of writes");
    line("settle: writes published, reads validated");
    line("rest: transactions handed out; on two threads also settling and waiting");
    line("ends: system calls, the block's end and the output");
    if let Some(check) = machine_check {
        let verdict = if check < QUIET { "the machine is LOUD" } else { "the machine is quiet" };
        line(format_args!("machine check: two runs at once do {check:.2} times one: {verdict}"));
    }
}

fn print_row(row: &Row) {
    let name = row.number.map_or_else(|| "payments".to_owned(), |number| number.to_string());
    for side in &row.sides {
        let Parts { run, settle, commit, rest, ends } = side.parts;
        let each = |nanos: u64| format!("{:.0}", per_tx(row, nanos));
        let settle = settle.map_or_else(|| "-".to_owned(), each);
        line(format_args!(
            "{name:>9} {:>5} {:>7} {:>8} {:>8} {:>8} {settle:>8} {:>8} {:>8} {:>8} {:>8}",
            row.txs,
            side.threads,
            each(row.bare_ns),
            each(side.whole_ns),
            each(run),
            each(commit),
            each(rest),
            each(ends),
            each(side.parts.sum())
        ));
    }
}

/// A block without transactions counts as one.
fn per_tx(row: &Row, nanos: u64) -> f64 {
    nanos as f64 / row.txs.max(1) as f64
}

fn row_json(row: &Row) -> Value {
    let each = |nanos: u64| rounded(per_tx(row, nanos));
    let side = |side: &Side| {
        let Parts { run, settle, commit, rest, ends } = side.parts;
        json!({
            "threads": side.threads,
            "whole_ns": each(side.whole_ns),
            "run_ns": each(run),
            "settle_ns": settle.map(each),
            "commit_ns": each(commit),
            "rest_ns": each(rest),
            "ends_ns": each(ends),
        })
    };
    json!({
        "block": row.number,
        "txs": row.txs,
        "bare_ns": each(row.bare_ns),
        "costs": row.sides.iter().map(side).collect::<Vec<_>>(),
    })
}
