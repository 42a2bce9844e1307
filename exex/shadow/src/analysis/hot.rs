//! The slots and contracts that serialise a block.
//!
//! Role: rank what the dependencies lead through. A location's chain is the heaviest chain of
//! transactions that this location alone puts one after the other; what the block would win
//! without it is by how much the block's own heaviest chain gets shorter. A hot location wins
//! nothing where another one serialises the same transactions.

use super::{
    graph::Graph,
    path::{Path, critical_path},
};
use alloy_primitives::{Address, map::HashMap};
use braid_core::{
    Trace,
    trace::{Location, RunOutcome},
};
use std::{cmp::Reverse, hash::Hash};

/// Of how many candidates, by the gas behind them, chains are computed.
const CANDIDATES: usize = 64;

/// One location or one contract, with what it costs the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hot<K> {
    /// Which.
    pub key: K,
    /// Transactions that depend on an earlier one through it.
    pub dependent: usize,
    /// The gas of its own heaviest chain.
    pub chain_gas: Path,
    /// The nanoseconds of its own heaviest chain by time.
    pub chain_ns: u64,
    /// By how much gas the block's heaviest chain were shorter without it.
    pub won_gas: u64,
    /// The same in nanoseconds.
    pub won_ns: u64,
    /// Runs that were stale because of it.
    pub stale: usize,
}

/// The locations, by the gas of their chains; `limit` of them at most.
pub fn hot_locations(
    trace: &Trace,
    graph: &Graph,
    nanos: &[u64],
    limit: usize,
) -> Vec<Hot<Location>> {
    ranked(trace, graph, nanos, limit, |location| location)
}

/// The accounts that own them, by the gas of their chains; `limit` of them at most.
pub fn hot_contracts(
    trace: &Trace,
    graph: &Graph,
    nanos: &[u64],
    limit: usize,
) -> Vec<Hot<Address>> {
    ranked(trace, graph, nanos, limit, |location| location.address)
}

fn ranked<K: Hash + Eq + Ord + Copy>(
    trace: &Trace,
    graph: &Graph,
    nanos: &[u64],
    limit: usize,
    group: impl Fn(Location) -> K,
) -> Vec<Hot<K>> {
    let gas: Vec<u64> = trace.transactions.iter().map(|tx| tx.gas_used).collect();
    let all_gas = critical_path(graph, &gas, |_| true).weight;
    let all_ns = critical_path(graph, nanos, |_| true).weight;
    let of = |number: usize| group(graph.location(number));
    let hot = |(key, dependent): (K, usize)| {
        let within = |number| of(number) == key;
        let without = |number| of(number) != key;
        let stale = trace.runs.iter().filter(|run| match run.outcome {
            RunOutcome::Stale { location: Some(location), .. } => group(location) == key,
            _ => false,
        });
        let involved = involved(graph, within);
        let only = |weights: &[u64]| -> Vec<u64> {
            let pairs = weights.iter().zip(&involved);
            pairs.map(|(weight, involved)| if *involved { *weight } else { 0 }).collect()
        };
        Hot {
            key,
            dependent,
            chain_gas: critical_path(graph, &only(&gas), within),
            chain_ns: critical_path(graph, &only(nanos), within).weight,
            won_gas: all_gas - critical_path(graph, &gas, without).weight,
            won_ns: all_ns - critical_path(graph, nanos, without).weight,
            stale: stale.count(),
        }
    };
    let mut all: Vec<Hot<K>> = candidates(graph, &gas, of).into_iter().map(hot).collect();
    all.sort_by_key(|hot| (Reverse((hot.chain_gas.weight, hot.won_gas)), hot.key));
    all.truncate(limit);
    all
}

/// The transactions at either end of a dependency through these locations.
fn involved(graph: &Graph, within: impl Fn(usize) -> bool) -> Vec<bool> {
    let mut involved = vec![false; graph.len()];
    for index in 0..graph.len() {
        for edge in graph.before(index).iter().filter(|edge| within(edge.location)) {
            involved[index] = true;
            involved[edge.from] = true;
        }
    }
    involved
}

/// The groups through which the most gas depends on something earlier, with the number of their
/// dependent transactions.
fn candidates<K: Hash + Eq + Ord + Copy>(
    graph: &Graph,
    gas: &[u64],
    of: impl Fn(usize) -> K,
) -> Vec<(K, usize)> {
    let mut sums = HashMap::<K, (u64, usize)>::default();
    for index in 0..graph.len() {
        let mut groups: Vec<K> = graph.before(index).iter().map(|edge| of(edge.location)).collect();
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            let (sum, count) = sums.entry(group).or_default();
            *sum += gas.get(index).copied().unwrap_or_default();
            *count += 1;
        }
    }
    let mut all: Vec<(K, (u64, usize))> = sums.into_iter().collect();
    all.sort_by_key(|(key, (sum, _))| (Reverse(*sum), *key));
    all.truncate(CANDIDATES);
    all.into_iter().map(|(key, (_, count))| (key, count)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{
        graph::Rules,
        samples::{BOB, CONTRACT, COUNTER, count, hard, slot, tx},
    };
    use super::*;
    use braid_core::trace::{Run, RunKind};

    fn trace() -> Trace {
        // Two chains of the contract, and one slot of another account beside the first of them.
        let other = slot(BOB, 7);
        let both = tx(100, &[hard(COUNTER), hard(other)], &[COUNTER, other]);
        let mut transactions = vec![both.clone(), both.clone(), both];
        // The last one is the longest and depends on nothing.
        transactions.extend([count(90, 1), count(60, 1), count(5, 2)]);
        let stale = RunOutcome::Stale { location: Some(COUNTER), writer: Some(0) };
        let (kind, outcome) = (RunKind::Speculative, stale);
        let run = Run { transaction: 1, worker: 0, start: 0, end: 1, kind, outcome };
        Trace { runs: vec![run], transactions, ..Trace::default() }
    }

    #[test]
    fn locations_are_ranked_by_what_they_serialise() {
        let trace = trace();
        let graph = Graph::new(&trace.transactions, Rules::Engine);
        let nanos = [10, 10, 10, 50, 50, 80];
        let hot = hot_locations(&trace, &graph, &nanos, 10);
        let keys: Vec<_> = hot.iter().map(|hot| hot.key).collect();
        assert_eq!(keys, [slot(BOB, 7), COUNTER, slot(CONTRACT, 1)]);
        assert_eq!(hot[1].chain_gas, Path { weight: 300, transactions: vec![0, 1, 2] });
        assert_eq!((hot[1].dependent, hot[1].stale, hot[0].stale), (2, 1, 0));
        assert_eq!((hot[1].won_gas, hot[1].won_ns), (0, 0), "the other slot remains");
        assert_eq!((hot[2].won_gas, hot[2].chain_ns, hot[2].won_ns), (0, 100, 20));
        assert_eq!((hot[0].chain_ns, hot[1].chain_ns), (30, 30));
        assert_eq!(hot_locations(&trace, &graph, &nanos, 1).len(), 1);
    }

    #[test]
    fn a_contract_stands_for_all_its_slots() {
        let trace = trace();
        let graph = Graph::new(&trace.transactions, Rules::Engine);
        let hot = hot_contracts(&trace, &graph, &[10, 10, 10, 50, 50, 80], 10);
        assert_eq!(hot.len(), 2);
        assert_eq!((hot[0].key, hot[0].chain_gas.weight, hot[0].dependent), (BOB, 300, 2));
        assert_eq!((hot[1].key, hot[1].chain_gas.weight, hot[1].dependent), (CONTRACT, 300, 3));
        assert_eq!((hot[1].won_gas, hot[1].won_ns, hot[1].stale), (0, 20, 1));
    }
}
