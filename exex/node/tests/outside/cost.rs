//! What the shadow costs the node: the time in which reth imports a block, with and without the
//! ExEx, on a dev chain under load, in interleaved rounds. Prints medians and 99th percentiles.
//!
//! Not a test of speed, so it is ignored unless asked for:
//! `cargo test --release --test outside -- --ignored --nocapture`. `BRAID_COST_ROUNDS` and
//! `BRAID_COST_BATCHES` say how long.

use crate::{load::Load, node::Node, shared::amount};
use std::{fs, path::Path};

/// The import times in a node's log, in milliseconds, of blocks with at least so many transactions.
fn imports(log: &Path, at_least: u64) -> Vec<f64> {
    let text = fs::read_to_string(log).expect("a log");
    let lines = text.lines().filter(|line| line.contains("Block added to canonical chain"));
    let field = |line: &str, name: &str| {
        let rest = line.split(name).nth(1)?;
        Some(rest.split_whitespace().next()?.trim_matches('"').to_owned())
    };
    lines
        .filter(|line| {
            let count = field(line, "txs=").and_then(|text| text.parse::<u64>().ok());
            count.is_some_and(|count| count >= at_least)
        })
        .map(|line| millis(&field(line, "elapsed=").expect("a time")))
        .collect()
}

/// A duration as Rust prints it.
fn millis(text: &str) -> f64 {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().unwrap_or_else(|_| panic!("no duration: {text}"));
    match unit {
        "s" => number * 1e3,
        "ms" => number,
        "µs" => number / 1e3,
        "ns" => number / 1e6,
        _ => panic!("no duration: {text}"),
    }
}

/// The value below which this share of the sorted values lies.
fn quantile(values: &[f64], share: f64) -> f64 {
    let at = (values.len() as f64 * share).ceil() as usize;
    values[at.clamp(1, values.len()) - 1]
}

#[test]
fn durations_are_read_as_rust_prints_them() {
    use std::time::Duration;
    for nanos in [7, 1_500, 2_345_678, 3_456_789_012] {
        let duration = Duration::from_nanos(nanos);
        let read = millis(&format!("{duration:?}"));
        assert!((read - duration.as_secs_f64() * 1e3).abs() < 1e-9, "{duration:?}: {read}");
    }
}

#[test]
#[ignore = "a measurement"]
fn the_import_time_with_and_without_the_shadow() {
    let rounds = amount("BRAID_COST_ROUNDS", 4);
    let batches = amount("BRAID_COST_BATCHES", 60);
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        // Which of the two goes first changes from round to round.
        for turn in 0..2 {
            let off = (round + turn) % 2;
            let more = ["--dev.block-time", "500ms", "--braid.off"];
            let folder = tempfile::tempdir().expect("a folder");
            let mut load = Load::new(200, 20 + round);
            let genesis = load.genesis.clone();
            let node = Node::start(folder.path(), &genesis, &more[..2 + off as usize]);
            for _ in 0..batches {
                load.send(&node);
                load.settle(&node);
            }
            if off == 0 {
                println!("{}", node.status().expect("a status"));
            }
            let log = node.log.clone();
            node.terminate();
            times[off as usize].extend(imports(&log, 50));
        }
    }
    for (name, times) in ["with", "without"].into_iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let [median, tail] = [0.5, 0.99].map(|share| quantile(times, share));
        let blocks = times.len();
        println!("{name} the shadow: {blocks} blocks, median {median:.2} ms, p99 {tail:.2} ms");
    }
    let [with, without] = [&times[0], &times[1]].map(|times| quantile(times, 0.5));
    println!("median with over without: {:.3}", with / without);
}
