//! The shadow's metrics, through the `metrics` facade: they appear wherever the host's recorder
//! puts them (in reth on the node's own endpoint, as `reth_braid_...`), and cost next to nothing
//! where there is none. No series is labelled by address, hash or block.

use crate::event::Event;
use metrics::{Unit, counter, gauge, histogram};

/// What a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// One series, as operators see it.
#[derive(Debug, Clone, Copy)]
pub struct Series {
    /// Its name, without the prefix that a host's recorder puts before it.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it is measured in.
    pub unit: Unit,
    /// What it says.
    pub help: &'static str,
}

const fn series(name: &'static str, kind: Kind, unit: Unit, help: &'static str) -> Series {
    Series { name, kind, unit, help }
}

const BLOCKS: &str = "braid_blocks_total";
const SKIPPED: &str = "braid_blocks_skipped_total";
const TRANSACTIONS: &str = "braid_transactions_total";
const GAS: &str = "braid_gas_total";
const EXECUTIONS: &str = "braid_executions_total";
const REEXECUTIONS: &str = "braid_reexecutions_total";
const FALLBACKS: &str = "braid_fallbacks_total";
const STATES_CHECKED: &str = "braid_states_checked_total";
const ROOTS_PROVED: &str = "braid_roots_proved_total";
const REPORTS: &str = "braid_reports_total";
const REPORTS_LOST: &str = "braid_reports_lost_total";
const BLOCK_SECONDS: &str = "braid_block_seconds";
const LAST_BLOCK_SECONDS: &str = "braid_last_block_seconds";
const STOCK_SECONDS: &str = "braid_sample_stock_seconds";
const PARALLEL_SECONDS: &str = "braid_sample_parallel_seconds";
const SPEEDUP: &str = "braid_speedup";
const LAST_BLOCK: &str = "braid_last_block";
const WAITING: &str = "braid_waiting_blocks";
const STATE_BYTES: &str = "braid_state_bytes";
const DISABLED: &str = "braid_disabled";

/// Every series of the shadow.
pub const SERIES: &[Series] = &[
    series(
        BLOCKS,
        Kind::Counter,
        Unit::Count,
        "Blocks dealt with, by result: match, mismatch or skipped. Any mismatch needs a look.",
    ),
    series(SKIPPED, Kind::Counter, Unit::Count, "Blocks that were not compared, by reason."),
    series(TRANSACTIONS, Kind::Counter, Unit::Count, "Transactions of the matched blocks."),
    series(GAS, Kind::Counter, Unit::Count, "Gas used by the matched blocks."),
    series(
        EXECUTIONS,
        Kind::Counter,
        Unit::Count,
        "Executions of transactions, repeated ones included. Over braid_transactions_total: how \
         often a transaction is executed.",
    ),
    series(
        REEXECUTIONS,
        Kind::Counter,
        Unit::Count,
        "Speculative results that failed validation and were executed again in order.",
    ),
    series(
        FALLBACKS,
        Kind::Counter,
        Unit::Count,
        "Blocks on which the engine stopped speculating because it kept failing.",
    ),
    series(
        STATES_CHECKED,
        Kind::Counter,
        Unit::Count,
        "Matched blocks whose changed accounts and slots were compared too, not only receipts.",
    ),
    series(
        ROOTS_PROVED,
        Kind::Counter,
        Unit::Count,
        "Matched blocks whose state root was computed from a witness and is the header's.",
    ),
    series(REPORTS, Kind::Counter, Unit::Count, "Recorded blocks written for mismatches."),
    series(
        REPORTS_LOST,
        Kind::Counter,
        Unit::Count,
        "Mismatches that could not be recorded: no report folder, no permission or a full disk.",
    ),
    series(
        BLOCK_SECONDS,
        Kind::Histogram,
        Unit::Seconds,
        "Parallel execution of a block on the node's state, reads included.",
    ),
    series(
        LAST_BLOCK_SECONDS,
        Kind::Gauge,
        Unit::Seconds,
        "As braid_block_seconds, for the last matched block.",
    ),
    series(
        STOCK_SECONDS,
        Kind::Histogram,
        Unit::Seconds,
        "Sequential execution of a sampled block from memory, as reth runs it.",
    ),
    series(
        PARALLEL_SECONDS,
        Kind::Histogram,
        Unit::Seconds,
        "Parallel execution of the same block from the same memory.",
    ),
    series(
        SPEEDUP,
        Kind::Gauge,
        Unit::Count,
        "Sequential over parallel time of the last sampled block: above 1, parallel is faster.",
    ),
    series(LAST_BLOCK, Kind::Gauge, Unit::Count, "Number of the last block that was compared."),
    series(
        WAITING,
        Kind::Gauge,
        Unit::Count,
        "Blocks that wait for their turn. At its limit, the oldest are skipped as lag.",
    ),
    series(
        STATE_BYTES,
        Kind::Gauge,
        Unit::Bytes,
        "Parent state that the last matched block read; the memory cap limits it.",
    ),
    series(
        DISABLED,
        Kind::Gauge,
        Unit::Count,
        "1 after the shadow has disabled itself because of repeated failures.",
    ),
];

/// Tells the recorder what every series means. [`crate::Shadow::start`] does it.
pub fn describe() {
    for Series { name, kind, unit, help } in SERIES {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *unit, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *unit, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *unit, *help),
        }
    }
    gauge!(DISABLED).set(0.0);
    for result in ["match", "mismatch", "skipped"] {
        counter!(BLOCKS, "result" => result).absolute(0);
    }
}

/// Counts an event; `waiting` blocks wait behind it.
pub(crate) fn observe(event: &Event, waiting: usize) {
    gauge!(WAITING).set(waiting as f64);
    match event {
        Event::Matched(matched) => {
            counter!(BLOCKS, "result" => "match").increment(1);
            counter!(TRANSACTIONS).increment(matched.transactions as u64);
            counter!(GAS).increment(matched.gas);
            counter!(EXECUTIONS).increment(matched.statistics.executions);
            counter!(REEXECUTIONS).increment(matched.statistics.reexecutions);
            counter!(FALLBACKS).increment(u64::from(matched.statistics.fell_back));
            counter!(STATES_CHECKED).increment(u64::from(matched.state_checked));
            counter!(ROOTS_PROVED).increment(u64::from(matched.root_proved));
            histogram!(BLOCK_SECONDS).record(matched.elapsed);
            gauge!(LAST_BLOCK_SECONDS).set(matched.elapsed);
            gauge!(LAST_BLOCK).set(matched.number as f64);
            gauge!(STATE_BYTES).set(matched.memory as f64);
            if let Some(speed) = matched.speed {
                histogram!(STOCK_SECONDS).record(speed.stock);
                histogram!(PARALLEL_SECONDS).record(speed.parallel);
                gauge!(SPEEDUP).set(speed.ratio());
            }
        }
        Event::Diverged(divergence) => {
            counter!(BLOCKS, "result" => "mismatch").increment(1);
            gauge!(LAST_BLOCK).set(divergence.number as f64);
            let report = if divergence.report.is_ok() { REPORTS } else { REPORTS_LOST };
            counter!(report).increment(1);
        }
        Event::Skipped { skip, .. } => {
            counter!(BLOCKS, "result" => "skipped").increment(1);
            counter!(SKIPPED, "reason" => skip.reason.label()).increment(1);
        }
        Event::Disabled { .. } => gauge!(DISABLED).set(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compare::{Difference, Place},
        event::{Divergence, Matched, Sequential, Speed},
        job::{Reason, Skip},
    };
    use alloy_primitives::B256;
    use braid_core::Statistics;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use std::{collections::BTreeSet, time::Duration};

    fn events() -> Vec<Event> {
        let skip = Skip::new(Reason::Lag, "");
        let diverged = |report| {
            Event::Diverged(Divergence {
                number: 2,
                hash: B256::ZERO,
                difference: Difference::new(Place::Block, "gasUsed", 1, 2),
                sequential: Sequential::AgreesWithReference,
                report,
            })
        };
        vec![
            Event::Matched(Matched {
                number: 1,
                hash: B256::ZERO,
                transactions: 3,
                gas: 63_000,
                elapsed: Duration::from_millis(2),
                statistics: Statistics { executions: 4, reexecutions: 1, ..Statistics::default() },
                memory: 1_000,
                state_checked: true,
                root_proved: true,
                speed: Some(Speed {
                    stock: Duration::from_millis(4),
                    parallel: Duration::from_millis(2),
                }),
            }),
            diverged(Ok("2.json.zst".into())),
            diverged(Err("disk full".to_owned())),
            Event::Skipped { number: 3, hash: B256::ZERO, skip: skip.clone() },
            Event::Disabled { failures: 16, last: skip },
        ]
    }

    fn render() -> String {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe();
            events().iter().for_each(|event| observe(event, 5));
        });
        recorder.handle().render()
    }

    #[test]
    fn every_series_is_emitted_with_its_help_and_none_beside_them() {
        let text = render();
        let emitted: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        let listed: BTreeSet<&str> = SERIES.iter().map(|series| series.name).collect();
        assert_eq!(emitted, listed);
        for series in SERIES {
            assert!(text.contains(&format!("# HELP {} ", series.name)), "{}", series.name);
        }
    }

    #[test]
    fn values_are_those_of_the_events() {
        let text = render();
        for line in [
            "braid_blocks_total{result=\"match\"} 1",
            "braid_blocks_total{result=\"mismatch\"} 2",
            "braid_blocks_skipped_total{reason=\"lag\"} 1",
            "braid_executions_total 4",
            "braid_reports_lost_total 1",
            "braid_speedup 2",
            "braid_waiting_blocks 5",
            "braid_disabled 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn labels_are_few_and_never_addresses() {
        let text = render();
        let labels: BTreeSet<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('{')?.1.split_once('='))
            .map(|(label, _)| label)
            .collect();
        assert_eq!(labels, BTreeSet::from(["quantile", "reason", "result"]));
    }
}
