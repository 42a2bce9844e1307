//! The root of a list's trie, in pieces that need nothing of one another.
//!
//! Role: hashing the trie of a block's receipts takes longer than executing many a block, so its
//! lowest branches, which are nearly all of it, are made by all threads. Actors: whoever wants the
//! root, and threads that make a [`Piece`] each.
//!
//! The trie's keys are the indices as RLP. Sixteen of them from a multiple of sixteen on have a
//! path in common but for its last nibble, so they are the children of one branch, and nothing else
//! is. Index 0 alone is elsewhere: its RLP is 0x80.
//!
//! Invariant: [`root`] gives what [`alloy_trie::root::ordered_trie_root_encoded`] gives of the same
//! values. A branch is hashed on its own only where it is one that its parent names by its hash: it
//! has two children or more, and none is so short that the branch could be (a node of less than 32
//! bytes stands in its parent itself).

use alloy_primitives::B256;
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles};

/// How many values make one piece.
pub(crate) const PIECE: usize = 16;
/// Values of this length have a hash of their own in their branch, bytes.
const LONG: usize = 32;

/// What a piece comes to, by its path in the trie.
#[derive(Debug)]
enum Node {
    Branch(B256),
    Leaf(Vec<u8>),
}

/// The nodes of one piece.
#[derive(Debug, Default)]
pub(crate) struct Piece(Vec<(Nibbles, Node)>);

fn path(index: usize) -> Nibbles {
    Nibbles::unpack(alloy_rlp::encode_fixed_size(&index))
}

impl Piece {
    /// Of the values from index `PIECE * number` on, as many as there are up to [`PIECE`].
    pub(crate) fn new(number: usize, mut values: Vec<Vec<u8>>) -> Self {
        debug_assert!(values.len() <= PIECE, "{} values in a piece", values.len());
        let mut nodes = Vec::with_capacity(2);
        let mut first = number * PIECE;
        if first == 0 && !values.is_empty() {
            nodes.push((path(0), Node::Leaf(values.remove(0))));
            first = 1;
        }
        if values.len() > 1 && values.iter().all(|value| value.len() >= LONG) {
            nodes.push(branch(first, &values));
        } else {
            let leaf = |(at, value)| (path(first + at), Node::Leaf(value));
            nodes.extend(values.into_iter().enumerate().map(leaf));
        }
        Self(nodes)
    }
}

/// The branch of these values, with its path.
fn branch(first: usize, values: &[Vec<u8>]) -> (Nibbles, Node) {
    let mut builder = HashBuilder::default();
    let mut common = Nibbles::default();
    for (at, value) in values.iter().enumerate() {
        let path = path(first + at);
        let last = path.len() - 1;
        common = path.slice(..last);
        builder.add_leaf(path.slice(last..), value);
    }
    (common, Node::Branch(builder.root()))
}

/// The root of the trie of all pieces' values.
pub(crate) fn root(pieces: impl IntoIterator<Item = Piece>) -> B256 {
    let mut nodes: Vec<_> = pieces.into_iter().flat_map(|piece| piece.0).collect();
    if nodes.is_empty() {
        return EMPTY_ROOT_HASH;
    }
    nodes.sort_unstable_by_key(|(path, _)| *path);
    let mut builder = HashBuilder::default();
    for (path, node) in nodes {
        match node {
            Node::Branch(hash) => builder.add_branch(path, hash, false),
            Node::Leaf(value) => builder.add_leaf(path, &value),
        }
    }
    builder.root()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::splitmix::SplitMix64;
    use alloy_trie::root::ordered_trie_root_encoded;

    fn in_pieces(values: &[Vec<u8>]) -> B256 {
        let pieces = values.chunks(PIECE).enumerate();
        root(pieces.map(|(number, values)| Piece::new(number, values.to_vec())))
    }

    fn check(values: &[Vec<u8>]) {
        let expected = ordered_trie_root_encoded(values);
        assert_eq!(in_pieces(values), expected, "{} values", values.len());
    }

    /// Values of `shortest` to `longest` bytes.
    fn values(count: usize, shortest: u64, longest: u64) -> Vec<Vec<u8>> {
        let mut random = SplitMix64(count as u64);
        let mut value = || {
            let len = shortest + random.below(longest - shortest + 1);
            (0..len).map(|_| random.next() as u8).collect()
        };
        (0..count).map(|_| value()).collect()
    }

    #[test]
    fn the_root_is_that_of_the_whole_list_whatever_its_length() {
        for count in 0..600 {
            check(&values(count, 40, 70));
        }
        for count in [1_000, 4_095, 4_096, 4_097, 65_535, 65_536, 65_537, 70_000] {
            check(&values(count, 32, 36));
        }
    }

    #[test]
    fn short_values_stand_in_their_branch() {
        for count in 0..300 {
            check(&values(count, 1, 3));
            check(&values(count, 1, 40));
            check(&values(count, 28, 33));
        }
        check(&vec![Vec::new(); 40]);
    }

    #[test]
    fn every_value_counts() {
        let values = values(300, 40, 70);
        let whole = in_pieces(&values);
        for at in 0..values.len() {
            let mut other = values.clone();
            other[at][39] ^= 1;
            assert_ne!(in_pieces(&other), whole, "value {at}");
        }
    }
}
