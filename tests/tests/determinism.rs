//! The same block, many runs, many thread counts, random delays in the source: the same bytes.
//!
//! The short form runs here; `BRAID_DETERMINISM_RUNS=100` is the long one.

mod common;

use braid_core::{Engine, Options, OutputKind, sequential::execute_stock};
use common::jittery::Jittery;

#[test]
fn twenty_blocks_give_the_same_bytes_in_every_run() {
    let runs = std::env::var("BRAID_DETERMINISM_RUNS").ok().and_then(|runs| runs.parse().ok());
    let runs: usize = runs.unwrap_or(4);
    let mut records = common::recorded_blocks("mainnet");
    records.retain(|record| record.block.transactions.len() >= 15);
    records.truncate(20);
    for output in [OutputKind::Flat, OutputKind::Bundle] {
        let engines = [1, 2, 3, 5, 8, 16].map(|threads| {
            Engine::new(Options { threads, output, forced: true, ..Options::default() })
        });
        for record in &records {
            let source = record.state.source();
            let stock = execute_stock(&record.chain, &record.block, source, output).unwrap();
            for run in 0..runs {
                let engine = &engines[run % engines.len()];
                let jittery = Jittery::new(source, 64, run as u64);
                let outcome = engine.execute(&record.chain, &record.block, &jittery).unwrap();
                let what = format!("{}, run {run}, {:?}", record.number(), engine.options());
                common::assert_same(&what, &stock, &outcome);
            }
        }
    }
}
