//! The report as text for a terminal.

use super::report::{HotLocation, Report};
use crate::replay::report::{line, micros, ratio};
use alloy_primitives::Address;
use braid_core::trace::{Part, RunOutcome};
use braid_shadow::analysis::{Dependencies, Hot, Path};

/// Prints everything.
pub fn print(report: &Report) {
    heading(report);
    if report.transactions.is_empty() {
        return line("the block has no transactions: there is nothing to explain");
    }
    numbers(report);
    chain(report);
    locations(report);
    contracts(report);
    lost(report);
}

/// A number with separated thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A part of a whole, in percent.
pub(super) fn percent(part: u64, whole: u64) -> f64 {
    100.0 * ratio(part, whole)
}

/// In words: what the engine does with this block of its own accord.
pub(super) fn inline_note(report: &Report) -> Option<&'static str> {
    report.trace.inline.then_some(
        "Untraced, the engine runs this block on the calling thread: it is too small, or likely to \
         be one chain.",
    )
}

/// What a hot location is called.
pub(super) fn title(location: &HotLocation) -> String {
    let part = location.hot.key.part;
    match (part, &location.name) {
        (Part::Slot(_), Some(name)) => name.to_string(),
        (Part::Slot(_), None) => "a slot of unknown meaning".to_owned(),
        (Part::Balance, _) => "balance".to_owned(),
        (Part::Nonce, _) => "nonce".to_owned(),
        (Part::Existence, _) => "existence or code".to_owned(),
    }
}

/// Why a run came to nothing.
pub(super) fn reason(report: &Report, outcome: RunOutcome) -> String {
    match outcome {
        RunOutcome::Stale { location: Some(location), writer } => {
            let named = report.locations.iter().find(|hot| hot.hot.key == location);
            let name = named.and_then(|hot| hot.name).map(|name| format!(" ({name})"));
            let by = match writer {
                Some(writer) => format!("which #{writer} wrote"),
                None => "which was guessed wrong".to_owned(),
            };
            format!("it had read {location}{}, {by}", name.unwrap_or_default())
        }
        RunOutcome::Stale { location: None, .. } => "a balance did not suffice any more".to_owned(),
        RunOutcome::Discarded => "it failed on values of before its turn".to_owned(),
        RunOutcome::Committed => "it was committed".to_owned(),
    }
}

fn heading(report: &Report) {
    let (number, threads, rounds) = (report.number, report.threads, report.rounds);
    let (txs, gas) = (report.transactions.len(), grouped(report.figures.gas));
    line(format_args!("block {number}: {txs} transactions, {gas} gas"));
    line(format_args!(
        "{threads} threads, {rounds} rounds: sequential {:.1} us, parallel {:.1} us, {:.2} times \
         as fast",
        micros(report.bare_ns),
        micros(report.trace.nanos),
        report.speedup()
    ));
    if let Some(note) = inline_note(report) {
        line(note);
    }
}

fn numbers(report: &Report) {
    let figures = &report.figures;
    let txs = figures.transactions as u64;
    let of =
        |part: usize| format!("{part} of {txs} transactions ({:.0} %)", percent(part as u64, txs));
    line("");
    line(format_args!(
        "key overlap            {} load what another one loads",
        of(figures.overlapping)
    ));
    let sides =
        [("", &figures.engine), (" if accounts conflict as a whole", &figures.whole_account)];
    for (note, side) in sides {
        line(format_args!(
            "write dependencies     {} in {} pairs{note}",
            of(side.dependent),
            grouped(side.pairs as u64)
        ));
    }
    for (note, side) in sides {
        let Dependencies { gas, time, .. } = side;
        line(format_args!(
            "critical path          {} gas ({:.1} %, at most {:.2} times as fast){note}",
            grouped(gas.weight),
            percent(gas.weight, figures.gas),
            ratio(figures.gas, gas.weight)
        ));
        line(format_args!(
            "                       {:.1} us ({:.1} %, at most {:.2} times as fast){note}",
            micros(time.weight),
            percent(time.weight, figures.nanos),
            ratio(figures.nanos, time.weight)
        ));
    }
    let done = &figures.scheduling;
    line(format_args!(
        "what the scheduler did {} runs on {} workers, {} stale, {} failed, {:.1} % of their time \
         lost",
        done.runs,
        done.workers,
        done.stale,
        done.discarded,
        percent(done.wasted_ns, done.busy_ns)
    ));
    line(format_args!("                       {:.2} useful runs at once", done.parallelism()));
}

fn chain(report: &Report) {
    let path = &report.figures.engine.time;
    line(format_args!("\ncritical path by time: {} transactions", path.transactions.len()));
    line(format_args!("{:>6} {:>12} {:>10}  {}", "tx", "gas", "us", "target"));
    for index in path.transactions.iter().take(report.top) {
        let tx = &report.transactions[*index];
        let gas = grouped(report.trace.transactions[*index].gas_used);
        let to = tx.to.map_or_else(|| "(creation)".to_owned(), |to| to.to_string());
        line(format_args!("{:>6} {gas:>12} {:>10.1}  {to}", format!("#{index}"), micros(tx.nanos)));
    }
    more(path.transactions.len(), report.top);
}

fn more(all: usize, shown: usize) {
    if all > shown {
        line(format_args!("       and {} more (--top)", all - shown));
    }
}

const COLUMNS: &str = "   chain gas  chain us   txs stale    won gas    won us";

fn row(chain: &Path, chain_ns: u64, dependent: usize, stale: usize, won: (u64, u64)) -> String {
    format!(
        "{:>12} {:>9.1} {:>5} {:>5} {:>10} {:>9.1}",
        grouped(chain.weight),
        micros(chain_ns),
        dependent + 1,
        stale,
        grouped(won.0),
        micros(won.1)
    )
}

fn locations(report: &Report) {
    if report.locations.is_empty() {
        return line("\nno transaction depends on another one");
    }
    line("\nhot slots: their chains, and what the block would win without them");
    line(format_args!("{COLUMNS}  slot"));
    for location in &report.locations {
        let hot = &location.hot;
        let won = (hot.won_gas, hot.won_ns);
        let figures = row(&hot.chain_gas, hot.chain_ns, hot.dependent, hot.stale, won);
        line(format_args!("{figures}  {} of {}", title(location), hot.key.address));
        if let (Part::Slot(slot), false) = (hot.key.part, is_variable(location)) {
            line(format_args!("{:57}{slot:#x}", ""));
        }
    }
}

fn is_variable(location: &HotLocation) -> bool {
    use braid_shadow::analysis::names::{Root, SlotName};
    matches!(location.name, Some(SlotName::Variable(Root::Slot(_))))
}

fn contracts(report: &Report) {
    if report.contracts.is_empty() {
        return;
    }
    line("\nhot contracts: the same, for all slots and the account together");
    line(format_args!("{COLUMNS}  contract"));
    for hot in &report.contracts {
        let Hot::<Address> { key, dependent, chain_gas, chain_ns, won_gas, won_ns, stale } = hot;
        let figures = row(chain_gas, *chain_ns, *dependent, *stale, (*won_gas, *won_ns));
        line(format_args!("{figures}  {key}"));
    }
}

fn lost(report: &Report) {
    let lost = report.lost_runs();
    if lost.is_empty() {
        return line("\nno run came to nothing");
    }
    line("\nwhat ran again, and why");
    for run in lost.iter().take(report.top) {
        line(format_args!(
            "{:>6} {:>8.1} us lost: {}",
            format!("#{}", run.transaction),
            micros(run.end.saturating_sub(run.start)),
            reason(report, run.outcome)
        ));
    }
    more(lost.len(), report.top);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        let all = [0, 12, 999, 1_000, 45_678, 1_234_567].map(grouped);
        assert_eq!(all, ["0", "12", "999", "1,000", "45,678", "1,234,567"]);
    }
}
