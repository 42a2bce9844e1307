//! What `braid shadow` prints: a line for each block and the totals, for people or as JSON.

use crate::{replay::report::line, rpc::Fetcher};
use braid_shadow::{Counters, Event};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};
use std::{
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Prints events as they come; totals so far stand below them on a terminal.
#[derive(Debug)]
pub(super) struct Reporter {
    json: bool,
    bar: ProgressBar,
    totals: Mutex<Totals>,
}

#[derive(Debug, Default)]
struct Totals {
    matched: u64,
    diverged: u64,
    skipped: u64,
    gas: u64,
    elapsed: Duration,
}

impl Reporter {
    pub(super) fn new(json: bool) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { json, bar, totals: Mutex::default() }
    }

    /// The table's first lines.
    pub(super) fn header(&self, url: &str, chain: u64) {
        if !self.json {
            self.print(format!(
                "shadowing chain {chain} at {url}\n{:>10} {:>5} {:>11} {:>10} {:>7} {:>6}  result",
                "block", "txs", "gas", "par. us", "/stock", "runs"
            ));
        }
    }

    fn print(&self, text: String) {
        self.bar.suspend(|| line(text));
    }

    /// Something that is no block's result.
    pub(super) fn note(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// One event.
    pub(super) fn event(&self, event: &Event) {
        self.print(if self.json { event_json(event).to_string() } else { row(event) });
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Matched(matched) => {
                totals.matched += 1;
                totals.gas += matched.gas;
                totals.elapsed += matched.elapsed;
            }
            Event::Diverged(_) => totals.diverged += 1,
            Event::Skipped { .. } => totals.skipped += 1,
            Event::Disabled { .. } => {}
        }
        let Totals { matched, diverged, skipped, gas, elapsed } = &*totals;
        let rate = per_second(*gas, *elapsed) / 1e6;
        self.bar.set_message(format!(
            "{matched} equal, {diverged} different, {skipped} skipped, {rate:.0} Mgas/s"
        ));
    }

    /// The totals.
    pub(super) fn summary(&self, counters: &Counters, reorgs: u64, fetcher: &Fetcher) {
        self.bar.finish_and_clear();
        let skipped: Map<String, Value> = counters
            .skipped
            .iter()
            .map(|(reason, count)| (reason.label().to_owned(), json!(count)))
            .collect();
        let requests = fetcher.client().requests();
        if self.json {
            return line(json!({
                "summary": true,
                "blocks": counters.done(),
                "matched": counters.matched,
                "mismatched": counters.diverged,
                "skipped": skipped,
                "roots_proved": counters.roots_proved,
                "transactions": counters.transactions,
                "gas": counters.gas,
                "executions": counters.executions,
                "parallel_ns": nanos(counters.elapsed),
                "ratio_stock": counters.ratio().map(rounded),
                "reorgs": reorgs,
                "requests": requests,
            }));
        }
        let mut text = format!(
            "\n{} blocks: {} equal ({} with the state root proved), {} different, {} skipped",
            counters.done(),
            counters.matched,
            counters.roots_proved,
            counters.diverged,
            counters.skipped_total()
        );
        for (reason, count) in &counters.skipped {
            let _infallible = write!(text, "\n  skipped, {}: {count}", reason.label());
        }
        let _infallible = write!(
            text,
            "\n{} transactions, {} executions, {reorgs} reorganisations, {requests} requests",
            counters.transactions, counters.executions
        );
        if let Some(ratio) = counters.ratio() {
            let _infallible = write!(
                text,
                "\nstock / parallel on the same state in memory: {ratio:.2} ({} blocks)",
                counters.samples
            );
        }
        line(text);
    }
}

fn row(event: &Event) -> String {
    match event {
        Event::Matched(matched) => format!(
            "{:>10} {:>5} {:>11} {:>10.1} {:>7} {:>6}  equal{}",
            matched.number,
            matched.transactions,
            matched.gas,
            matched.elapsed.as_secs_f64() * 1e6,
            matched.speed.map_or_else(|| "-".to_owned(), |speed| format!("{:.2}", speed.ratio())),
            matched.statistics.executions,
            if matched.root_proved { ", state root proved" } else { "" }
        ),
        Event::Diverged(divergence) => {
            let report = match &divergence.report {
                Ok(path) => format!("again: braid replay --forced {}", path.display()),
                Err(error) => format!("not recorded: {error}"),
            };
            format!(
                "{:>10} DIFFERENT: {}\n           {}\n           {report}",
                divergence.number, divergence.difference, divergence.sequential
            )
        }
        Event::Skipped { number, skip, .. } => format!("{number:>10} skipped, {skip}"),
        Event::Disabled { failures, last } => {
            format!("disabled after {failures} failures in a row, the last one {last}")
        }
    }
}

fn event_json(event: &Event) -> Value {
    match event {
        Event::Matched(matched) => json!({
            "block": matched.number,
            "hash": matched.hash,
            "result": "match",
            "txs": matched.transactions,
            "gas": matched.gas,
            "parallel_ns": nanos(matched.elapsed),
            "ratio_stock": matched.speed.map(|speed| rounded(speed.ratio())),
            "executions": matched.statistics.executions,
            "state_checked": matched.state_checked,
            "state_root": matched.root_proved.then_some(true),
        }),
        Event::Diverged(divergence) => json!({
            "block": divergence.number,
            "hash": divergence.hash,
            "result": "mismatch",
            "difference": divergence.difference.to_string(),
            "sequential": divergence.sequential.to_string(),
            "report": divergence.report.as_ref().ok(),
            "report_error": divergence.report.as_ref().err(),
        }),
        Event::Skipped { number, hash, skip } => json!({
            "block": number,
            "hash": hash,
            "result": "skipped",
            "reason": skip.reason.label(),
            "detail": skip.detail,
        }),
        Event::Disabled { failures, last } => json!({
            "disabled": true,
            "failures": failures,
            "reason": last.reason.label(),
            "detail": last.detail,
        }),
    }
}

fn per_second(count: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
