//! The report as one HTML page: styles and drawings inside, no script, no network.
//!
//! Role: turn figures into positions and words; `templates/explain.html` arranges them and escapes
//! every text. Positions are percentages, so that the page fits any width.

use super::{
    report::{HotLocation, Report},
    table::{grouped, inline_note, percent, reason, title},
};
use crate::replay::report::{micros, ratio};
use askama::Template;
use braid_core::trace::{Part, Run, RunKind, RunOutcome};
use braid_shadow::analysis::{Dependencies, Path};
use std::fmt::Write as _;

/// More arcs than this are hardly told apart: each transaction then shows only its nearest one.
const MANY_ARCS: usize = 1_500;
/// The drawing's own units.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 170.0;

/// Draws the page.
///
/// # Errors
/// Where the template cannot be filled, which no report makes happen.
pub fn render(report: &Report) -> Result<String, askama::Error> {
    Page::new(report).render()
}

#[derive(Template)]
#[template(path = "explain.html")]
struct Page {
    number: u64,
    summary: String,
    verdict: String,
    inline_note: &'static str,
    cards: Vec<Card>,
    lanes: Vec<Lane>,
    ticks: Vec<Tick>,
    bars: Vec<Bar>,
    arcs: Vec<Arc>,
    arcs_note: String,
    height: f64,
    chain: Vec<Step>,
    chain_length: String,
    locations: Vec<HotItem>,
    contracts: Vec<HotItem>,
    lost: Vec<Lost>,
    lost_more: usize,
}

/// One of the four numbers.
struct Card {
    title: &'static str,
    value: String,
    lines: Vec<String>,
}

/// A worker's row of the timeline.
struct Lane {
    worker: usize,
    share: String,
    boxes: Vec<RunBox>,
}

struct RunBox {
    class: &'static str,
    left: String,
    width: String,
    tip: String,
}

/// A mark on the timeline's axis.
struct Tick {
    left: String,
    label: String,
}

/// A transaction below the arcs.
struct Bar {
    x: String,
    width: String,
    height: String,
    critical: bool,
    tip: String,
}

struct Arc {
    path: String,
    critical: bool,
}

/// A transaction of the critical path.
struct Step {
    index: usize,
    gas: String,
    time: String,
    target: String,
}

struct HotItem {
    title: String,
    address: String,
    slot: String,
    share: String,
    facts: Vec<String>,
}

struct Lost {
    index: usize,
    time: String,
    reason: String,
}

impl Page {
    fn new(report: &Report) -> Self {
        let figures = &report.figures;
        let path = &figures.engine.time;
        let lost = report.lost_runs();
        let (arcs, arcs_note) = arcs(report);
        Self {
            number: report.number,
            summary: format!(
                "{}, {} gas, {}",
                transactions(figures.transactions),
                grouped(figures.gas),
                counted(report.threads, "thread", "threads")
            ),
            verdict: verdict(report),
            inline_note: inline_note(report).unwrap_or_default(),
            cards: cards(report),
            lanes: lanes(report),
            ticks: ticks(report.trace.nanos),
            bars: bars(report),
            arcs,
            arcs_note,
            height: HEIGHT,
            chain_length: transactions(path.transactions.len()),
            chain: path.transactions.iter().map(|index| step(report, *index)).collect(),
            locations: report.locations.iter().map(|hot| hot_location(report, hot)).collect(),
            contracts: contracts(report),
            lost: lost.iter().take(report.top).map(|run| lost_run(report, run)).collect(),
            lost_more: lost.len().saturating_sub(report.top),
        }
    }
}

fn time(nanos: u64) -> String {
    if nanos < 10_000_000 {
        format!("{:.1} µs", micros(nanos))
    } else {
        format!("{:.2} ms", micros(nanos) / 1000.0)
    }
}

fn verdict(report: &Report) -> String {
    let most = ratio(report.figures.nanos, report.figures.engine.time.weight);
    format!(
        "Sequentially the block took {}, in parallel {}: {:.2} times as fast. Its dependencies \
         would allow {most:.2} times on any number of cores.",
        time(report.bare_ns),
        time(report.trace.nanos),
        report.speedup()
    )
}

fn cards(report: &Report) -> Vec<Card> {
    let figures = &report.figures;
    let txs = figures.transactions as u64;
    let share = |part: usize| format!("{:.0} %", percent(part as u64, txs));
    let (engine, whole) = (&figures.engine, &figures.whole_account);
    let pairs = |side: &Dependencies| {
        format!("{} of {txs}, in {} pairs", side.dependent, grouped(side.pairs as u64))
    };
    let ceiling = |path: &Path, all: u64| format!("{:.2}×", ratio(all, path.weight));
    let done = &figures.scheduling;
    vec![
        Card {
            title: "Key overlap",
            value: share(figures.overlapping),
            lines: vec![format!(
                "{} of {txs} transactions load an account or slot that another one loads too",
                figures.overlapping
            )],
        },
        Card {
            title: "Write dependencies",
            value: share(engine.dependent),
            lines: vec![
                pairs(engine),
                format!("if accounts conflict as a whole: {}", pairs(whole)),
            ],
        },
        Card {
            title: "Critical path",
            value: format!("at most {}", ceiling(&engine.gas, figures.gas)),
            lines: vec![
                format!(
                    "{} gas in {} ({:.1} %)",
                    grouped(engine.gas.weight),
                    transactions(engine.gas.transactions.len()),
                    percent(engine.gas.weight, figures.gas)
                ),
                format!(
                    "by time {}: at most {}",
                    time(engine.time.weight),
                    ceiling(&engine.time, figures.nanos)
                ),
                format!("whole accounts: at most {}", ceiling(&whole.gas, figures.gas)),
            ],
        },
        Card {
            title: "What the scheduler did",
            value: format!("{:.2} at once", done.parallelism()),
            lines: vec![
                format!(
                    "{} runs, {} stale, {} failed, on {} workers",
                    done.runs, done.stale, done.discarded, done.workers
                ),
                format!("{:.1} % of run time lost", percent(done.wasted_ns, done.busy_ns)),
            ],
        },
    ]
}

fn lanes(report: &Report) -> Vec<Lane> {
    let trace = &report.trace;
    let workers = trace.runs.iter().map(|run| run.worker + 1).max().unwrap_or_default();
    let lane = |worker| {
        let runs = trace.runs.iter().filter(|run| run.worker == worker);
        let busy: u64 = runs.clone().map(|run| run.end.saturating_sub(run.start)).sum();
        Lane {
            worker,
            share: format!("{:.0} % busy", percent(busy, trace.nanos)),
            boxes: runs.map(|run| run_box(report, run)).collect(),
        }
    };
    (0..workers).map(lane).collect()
}

fn run_box(report: &Report, run: &Run) -> RunBox {
    let class = match (run.outcome, run.kind) {
        (RunOutcome::Stale { .. }, _) => "stale",
        (RunOutcome::Discarded, _) => "failed",
        (RunOutcome::Committed, RunKind::Repeated | RunKind::RepeatedAhead) => "again",
        (RunOutcome::Committed, RunKind::Direct) => "direct",
        (RunOutcome::Committed, RunKind::Speculative) => "ahead",
    };
    let length = run.end.saturating_sub(run.start);
    let mut tip = format!(
        "#{}, {}, {} gas",
        run.transaction,
        time(length),
        grouped(report.trace.transactions[run.transaction].gas_used)
    );
    if run.outcome != RunOutcome::Committed {
        let _infallible = write!(tip, ", lost: {}", reason(report, run.outcome));
    }
    RunBox {
        class,
        left: format!("{:.3}", percent(run.start, report.trace.nanos)),
        width: format!("{:.3}", percent(length, report.trace.nanos)),
        tip,
    }
}

/// Four to eight round steps.
fn ticks(nanos: u64) -> Vec<Tick> {
    let step =
        (0..).map(|power| 10u64.saturating_pow(power)).flat_map(|one| [one, 2 * one, 5 * one]);
    let Some(step) = step.into_iter().find(|step| nanos / step <= 7) else { return Vec::new() };
    let whole = nanos >= 2_000_000;
    let label = |at: u64| match (at, whole) {
        (0, _) => "0".to_owned(),
        (_, true) => format!("{} ms", micros(at) / 1000.0),
        (_, false) => format!("{} µs", micros(at)),
    };
    let tick = |at| Tick { left: format!("{:.3}", percent(at, nanos)), label: label(at) };
    (0..=nanos / step).map(|count| tick(count * step)).collect()
}

/// Where a transaction stands on the line.
fn place(report: &Report, index: usize) -> f64 {
    let count = report.transactions.len().max(1) as f64;
    (index as f64 + 0.5) * WIDTH / count
}

fn bars(report: &Report) -> Vec<Bar> {
    let longest = report.transactions.iter().map(|tx| tx.nanos).max().unwrap_or_default();
    let slot = WIDTH / report.transactions.len().max(1) as f64;
    let path = &report.figures.engine.time.transactions;
    let bar = |(index, tx): (usize, &super::report::Transaction)| Bar {
        x: format!("{:.2}", place(report, index) - slot * 0.4),
        width: format!("{:.2}", slot * 0.8),
        height: format!("{:.1}", (40.0 * ratio(tx.nanos, longest)).max(1.0)),
        critical: path.binary_search(&index).is_ok(),
        tip: format!("#{index}, {}", time(tx.nanos)),
    };
    report.transactions.iter().enumerate().map(bar).collect()
}

fn arcs(report: &Report) -> (Vec<Arc>, String) {
    let before = report.graph.predecessors();
    let all: usize = before.iter().map(Vec::len).sum();
    let nearest = all > MANY_ARCS;
    let path = &report.figures.engine.time.transactions;
    let lengths = before.iter().enumerate();
    let lengths = lengths.filter_map(|(to, from)| Some(to - from.first()?));
    let longest = place(report, lengths.max().unwrap_or(1)) - place(report, 0);
    let mut arcs = Vec::new();
    for (to, from) in before.iter().enumerate() {
        let shown = if nearest { &from[from.len().saturating_sub(1)..] } else { from };
        let critical = |from: &usize| path.windows(2).any(|pair| pair == [*from, to]);
        // The critical path is always whole.
        let hidden = from.iter().filter(|from| critical(from) && !shown.contains(from));
        for from in shown.iter().chain(hidden) {
            let (left, right) = (place(report, *from), place(report, to));
            let top = HEIGHT - (HEIGHT - 6.0) * ((right - left) / longest).min(1.0).sqrt();
            // A cubic's top is at three quarters of its control points' height.
            let control = HEIGHT - (HEIGHT - top) / 0.75;
            let path = format!(
                "M{left:.1} {HEIGHT} C{left:.1} {control:.1} {right:.1} {control:.1} \
                 {right:.1} {HEIGHT}"
            );
            arcs.push(Arc { path, critical: critical(from) });
        }
    }
    // Drawn last, the critical path lies on top.
    arcs.sort_by_key(|arc| arc.critical);
    let note = if nearest {
        format!("Of {} dependencies, each transaction's nearest one.", grouped(all as u64))
    } else {
        format!("{} dependencies.", grouped(all as u64))
    };
    (arcs, note)
}

fn step(report: &Report, index: usize) -> Step {
    let tx = &report.transactions[index];
    Step {
        index,
        gas: grouped(report.trace.transactions[index].gas_used),
        time: time(tx.nanos),
        target: tx.to.map_or_else(|| "contract creation".to_owned(), |to| to.to_string()),
    }
}

fn transactions(count: usize) -> String {
    counted(count, "transaction", "transactions")
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn facts(
    dependent: usize,
    chain: &Path,
    chain_ns: u64,
    won: (u64, u64),
    stale: usize,
) -> Vec<String> {
    let mut facts = vec![
        format!(
            "{} on an earlier one through it",
            counted(dependent, "transaction depends", "transactions depend")
        ),
        format!("{} gas, {} one after the other", grouped(chain.weight), time(chain_ns)),
    ];
    facts.push(match won {
        (0, 0) => "the block wins nothing without it alone".to_owned(),
        (gas, nanos) => {
            format!("without it the critical path is {} gas, {} shorter", grouped(gas), time(nanos))
        }
    });
    if stale > 0 {
        let runs = counted(stale, "run was", "runs were");
        facts.push(format!("{runs} stale because of it"));
    }
    facts
}

fn hot_location(report: &Report, location: &HotLocation) -> HotItem {
    let hot = &location.hot;
    let slot = match hot.key.part {
        Part::Slot(slot) => format!("{slot:#x}"),
        _ => String::new(),
    };
    let won = (hot.won_gas, hot.won_ns);
    HotItem {
        title: title(location),
        address: hot.key.address.to_string(),
        slot,
        share: format!("{:.2}", percent(hot.chain_gas.weight, report.figures.gas)),
        facts: facts(hot.dependent, &hot.chain_gas, hot.chain_ns, won, hot.stale),
    }
}

fn contracts(report: &Report) -> Vec<HotItem> {
    let item = |hot: &braid_shadow::analysis::Hot<alloy_primitives::Address>| HotItem {
        title: String::new(),
        address: hot.key.to_string(),
        slot: String::new(),
        share: format!("{:.2}", percent(hot.chain_gas.weight, report.figures.gas)),
        facts: facts(
            hot.dependent,
            &hot.chain_gas,
            hot.chain_ns,
            (hot.won_gas, hot.won_ns),
            hot.stale,
        ),
    };
    report.contracts.iter().map(item).collect()
}

fn lost_run(report: &Report, run: &Run) -> Lost {
    Lost {
        index: run.transaction,
        time: time(run.end.saturating_sub(run.start)),
        reason: reason(report, run.outcome),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_has_round_steps() {
        let labels = |nanos| ticks(nanos).into_iter().map(|tick| tick.label).collect::<Vec<_>>();
        assert_eq!(labels(3_100_000), ["0", "0.5 ms", "1 ms", "1.5 ms", "2 ms", "2.5 ms", "3 ms"]);
        assert_eq!(labels(45_000), ["0", "10 µs", "20 µs", "30 µs", "40 µs"]);
        assert_eq!(labels(0), ["0"]);
    }
}
