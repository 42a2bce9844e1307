//! How often a transaction is executed on two threads: what wrong guesses about the order cost.
//!
//! It depends on how the threads meet, so that several rounds are made and the median counts; the
//! number of threads is fixed, whatever the machine has.

use super::{Failure, transactions};
use braid_core::{Engine, Options};
use braid_shadow::recorded::RecordedBlock;

const THREADS: usize = 2;
const ROUNDS: usize = 15;

/// Executions per transaction in each round. Short cuts are taken: what they save counts.
pub(crate) fn samples(records: &[RecordedBlock]) -> Result<Vec<f64>, Failure> {
    let engine = Engine::new(Options { threads: THREADS, ..Options::default() });
    let round = |_| {
        let mut executions = 0;
        for record in records {
            let outcome = engine.execute(&record.chain, &record.block, record.state.source())?;
            executions += outcome.statistics.executions;
        }
        Ok(executions as f64 / transactions(records) as f64)
    };
    (0..ROUNDS).map(round).collect()
}
