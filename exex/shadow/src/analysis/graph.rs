//! The dependencies between a block's transactions.
//!
//! Role: from each committed run's reads and writes, tell which earlier transactions it had to wait
//! for. An edge leads from the transaction that wrote a location to a later one that depends on
//! the value it left there.
//!
//! Invariant: a transaction that starts after all its predecessors have finished reads what
//! sequential execution reads. So for each location on which it depends the edges reach back to the
//! last writer whose value follows from nothing before it, or that depends itself on the writers
//! before it. A balance that was moved without being looked at is neither: its change is added to
//! whatever was there, so whoever looks at the balance depends on all who moved it.

use alloy_primitives::map::HashMap;
use braid_core::trace::{Committed, Dependence, Location, Part, Read};

/// What counts as a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// As the engine validates: balances that nobody looks at commute, a sender's nonce is known
    /// from its transaction.
    Engine,
    /// An account's balance, nonce and code are one value, and loading the account is reading it;
    /// slots stand for themselves; the beneficiary's rewards are deferred. So do executors that
    /// have no softer reads.
    WholeAccount,
}

impl Rules {
    /// The location as these rules tell it apart.
    const fn fold(self, location: Location) -> Location {
        match (self, location.part) {
            (Self::WholeAccount, Part::Balance | Part::Nonce) => {
                Location::new(location.address, Part::Existence)
            }
            _ => location,
        }
    }

    fn binds(self, read: &Read) -> bool {
        self == Self::WholeAccount || read.dependence == Dependence::Hard
    }
}

/// One dependency of a transaction on an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The earlier transaction's index.
    pub from: usize,
    /// The number of the location, for [`Graph::location`].
    pub location: usize,
}

/// All dependencies of one block.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    locations: Vec<Location>,
    before: Vec<Vec<Edge>>,
}

/// Who wrote a location.
struct Writer {
    index: usize,
    /// What it left there depends on no earlier writer, or it depends on them itself.
    settles: bool,
}

impl Graph {
    /// Finds all dependencies.
    pub fn new(transactions: &[Committed], rules: Rules) -> Self {
        let mut graph = Self::default();
        let mut numbers = HashMap::<Location, usize>::default();
        let mut writers: Vec<Vec<Writer>> = Vec::new();
        for (index, tx) in transactions.iter().enumerate() {
            let mut edges = Vec::new();
            for read in tx.reads.iter().filter(|read| rules.binds(read)) {
                let Some(&location) = numbers.get(&rules.fold(read.location)) else { continue };
                for writer in writers[location].iter().rev() {
                    edges.push(Edge { from: writer.index, location });
                    if writer.settles {
                        break;
                    }
                }
            }
            edges.sort_unstable();
            edges.dedup();
            graph.before.push(edges);
            for written in &tx.writes {
                let location = rules.fold(*written);
                let number = *numbers.entry(location).or_insert_with(|| {
                    graph.locations.push(location);
                    writers.push(Vec::new());
                    graph.locations.len() - 1
                });
                let settles = settles(tx, *written, rules);
                match writers[number].last_mut() {
                    // Two parts of one account, written by one transaction.
                    Some(last) if last.index == index => last.settles |= settles,
                    _ => writers[number].push(Writer { index, settles }),
                }
            }
        }
        graph
    }

    /// How many transactions there are.
    pub const fn len(&self) -> usize {
        self.before.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.before.is_empty()
    }

    /// What a transaction depends on, ascending; empty beyond the last one.
    pub fn before(&self, index: usize) -> &[Edge] {
        self.before.get(index).map_or(&[], Vec::as_slice)
    }

    /// The location with this number.
    pub fn location(&self, number: usize) -> Location {
        self.locations[number]
    }

    /// How many locations have a number: every one that was written.
    pub const fn locations(&self) -> usize {
        self.locations.len()
    }

    /// How many transactions depend on an earlier one.
    pub fn dependent(&self) -> usize {
        self.before.iter().filter(|edges| !edges.is_empty()).count()
    }

    /// The transactions that each one depends on, ascending, each once.
    pub fn predecessors(&self) -> Vec<Vec<usize>> {
        let once = |edges: &Vec<Edge>| {
            let mut all: Vec<usize> = edges.iter().map(|edge| edge.from).collect();
            all.dedup();
            all
        };
        self.before.iter().map(once).collect()
    }

    /// How many pairs of transactions depend directly on each other.
    pub fn pairs(&self) -> usize {
        self.predecessors().iter().map(Vec::len).sum()
    }
}

fn settles(tx: &Committed, written: Location, rules: Rules) -> bool {
    if written.part != Part::Balance {
        return true;
    }
    tx.reads.iter().any(|read| read.location == written && rules.binds(read))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{BOB, CALLER, COUNTER, balance, hard, nonce, soft, tx};
    use super::*;

    fn froms(graph: &Graph) -> Vec<Vec<usize>> {
        graph.predecessors()
    }

    #[test]
    fn a_slot_depends_on_its_last_writer() {
        let step = || tx(100, &[hard(COUNTER)], &[COUNTER]);
        let looks = tx(100, &[hard(COUNTER)], &[]);
        let graph = Graph::new(&[step(), looks.clone(), step(), looks], Rules::Engine);
        assert_eq!(froms(&graph), [vec![], vec![0], vec![0], vec![2]]);
        assert_eq!(graph.location(graph.before(3)[0].location), COUNTER);
        assert_eq!((graph.dependent(), graph.pairs()), (3, 3));
    }

    #[test]
    fn moved_balances_commute_until_somebody_looks() {
        let pay = || tx(100, &[soft(balance(BOB))], &[balance(BOB)]);
        let look = || tx(100, &[hard(balance(BOB))], &[]);
        let spend_all = tx(100, &[hard(balance(BOB))], &[balance(BOB)]);
        let block = [pay(), pay(), look(), pay(), spend_all, look()];
        let graph = Graph::new(&block, Rules::Engine);
        assert_eq!(
            froms(&graph),
            [vec![], vec![], vec![0, 1], vec![], vec![0, 1, 3], vec![4]],
            "who spends all settles the balance for those behind it"
        );
        let graph = Graph::new(&block, Rules::WholeAccount);
        assert_eq!(froms(&graph), [vec![], vec![0], vec![1], vec![1], vec![3], vec![4]]);
    }

    #[test]
    fn a_predicted_nonce_is_no_dependency_of_the_engine() {
        let sent = || {
            let predicted = Read { dependence: Dependence::Predicted, ..soft(nonce(CALLER)) };
            tx(100, &[predicted], &[nonce(CALLER)])
        };
        let creates = tx(100, &[hard(nonce(CALLER))], &[nonce(CALLER)]);
        let block = [sent(), sent(), creates];
        assert_eq!(froms(&Graph::new(&block, Rules::Engine)), [vec![], vec![], vec![1]]);
        let whole = Graph::new(&block, Rules::WholeAccount);
        assert_eq!(froms(&whole), [vec![], vec![0], vec![1]]);
    }

    #[test]
    fn rewards_bind_only_who_looks_at_the_beneficiary() {
        // A reward is written without a read.
        let rewarded = || tx(100, &[], &[balance(BOB)]);
        let looks = tx(100, &[hard(balance(BOB))], &[balance(BOB)]);
        let block = [rewarded(), rewarded(), looks, rewarded()];
        for rules in [Rules::Engine, Rules::WholeAccount] {
            let graph = Graph::new(&block, rules);
            assert_eq!(froms(&graph), [vec![], vec![], vec![0, 1], vec![]], "{rules:?}");
        }
    }
}
