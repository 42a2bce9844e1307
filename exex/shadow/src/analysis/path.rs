//! The longest chain of dependent transactions.

use super::graph::Graph;

/// A chain of transactions, each of which depends on the one before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path {
    /// The sum of the weights on it.
    pub weight: u64,
    /// Its transactions, in block order.
    pub transactions: Vec<usize>,
}

/// The chain with the greatest weight: no schedule of whole transactions takes less. `weights` has
/// one for each transaction (gas or nanoseconds; a missing one counts as 0); only locations that
/// `counts` says yes to make dependencies. Of equal chains the one through the earliest
/// transactions.
pub fn critical_path(graph: &Graph, weights: &[u64], counts: impl Fn(usize) -> bool) -> Path {
    let mut ends: Vec<(u64, Option<usize>)> = Vec::with_capacity(graph.len());
    let mut longest: Option<usize> = None;
    for index in 0..graph.len() {
        let mut start = (0, None);
        for edge in graph.before(index).iter().filter(|edge| counts(edge.location)) {
            if start.1.is_none() || ends[edge.from].0 > start.0 {
                start = (ends[edge.from].0, Some(edge.from));
            }
        }
        let weight = weights.get(index).copied().unwrap_or_default();
        ends.push((start.0.saturating_add(weight), start.1));
        if longest.is_none_or(|longest| ends[longest].0 < ends[index].0) {
            longest = Some(index);
        }
    }
    let weight = longest.map_or(0, |index| ends[index].0);
    let mut transactions: Vec<usize> =
        std::iter::successors(longest, |index| ends[*index].1).collect();
    transactions.reverse();
    Path { weight, transactions }
}

#[cfg(test)]
mod tests {
    use super::super::{graph::Rules, samples::count};
    use super::*;

    #[test]
    fn the_heaviest_chain_counts_and_not_the_longest() {
        let block = [count(10, 0), count(90, 1), count(10, 0), count(90, 1), count(10, 0)];
        let graph = Graph::new(&block, Rules::Engine);
        let gas: Vec<u64> = block.iter().map(|tx| tx.gas_used).collect();
        let path = critical_path(&graph, &gas, |_| true);
        assert_eq!(path, Path { weight: 180, transactions: vec![1, 3] });
        let heavy = graph.before(3)[0].location;
        let without = critical_path(&graph, &gas, |location| location != heavy);
        assert_eq!(without, Path { weight: 90, transactions: vec![1] }, "the first of the longest");
    }

    #[test]
    fn an_empty_block_has_an_empty_path() {
        assert_eq!(critical_path(&Graph::default(), &[], |_| true), Path::default());
    }
}
