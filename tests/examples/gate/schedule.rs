//! The engine's own schedule in virtual time: the same blocks give the same figure on any machine.
//!
//! A transaction costs by its gas here, so that no clock has a part in it; the dependencies are
//! those of the transactions that the engine committed on one thread.

use super::{Failure, forced, transactions};
use braid_core::{
    Optimisations,
    engine::{
        Limits,
        simulate::{Cost, Simulation},
    },
};
use braid_shadow::{
    analysis::{Graph, Rules},
    recorded::RecordedBlock,
};
use serde_json::{Value, json};

const CORES: [usize; 3] = [2, 4, 16];
/// What a payment takes is about two microseconds.
const GAS_PER_NANO: u64 = 10;
const COMMIT_NS: u64 = 300;
const WAKE_NS: u64 = 10_000;

/// For each number of cores: the virtual time over the sum of all costs, and the executions per
/// transaction.
pub(crate) fn samples(
    name: &str,
    records: &[RecordedBlock],
) -> Result<Vec<(String, Value)>, Failure> {
    let engine = forced(1);
    let (mut sum, mut times, mut runs) = (0, CORES.map(|_| 0), CORES.map(|_| 0));
    for record in records {
        let (source, limits) = (record.state.source(), Limits::default());
        let (_, trace) = engine.execute_traced(&record.chain, &record.block, source, &limits)?;
        let after = Graph::new(&trace.transactions, Rules::Engine).predecessors();
        let costs = trace.transactions.iter().zip(after).map(|(tx, after)| Cost {
            run_ns: tx.gas_used / GAS_PER_NANO,
            commit_ns: COMMIT_NS,
            gas_used: tx.gas_used,
            after,
            shareable: Vec::new(),
        });
        let costs: Vec<Cost> = costs.collect();
        sum += costs.iter().map(|cost| cost.run_ns + cost.commit_ns).sum::<u64>();
        let (block, optimisations) = (&record.block, Optimisations::ALL);
        let simulation =
            Simulation { block, optimisations, engine: None, costs: &costs, wake_ns: WAKE_NS };
        for (at, cores) in CORES.into_iter().enumerate() {
            let simulated = simulation.run(cores);
            times[at] += simulated.nanos;
            runs[at] += simulated.executions;
        }
    }
    let mut found = Vec::new();
    for ((cores, time), runs) in CORES.into_iter().zip(times).zip(runs) {
        let name = format!("{name}, cores {cores}");
        found.push((format!("schedule: {name}"), json!([time as f64 / sum as f64])));
        let runs = runs as f64 / transactions(records) as f64;
        found.push((format!("scheduled executions: {name}"), json!([runs])));
    }
    Ok(found)
}
