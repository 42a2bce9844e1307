//! A Merkle-Patricia trie of which only some nodes are known.
//!
//! Role: read values and compute the root after changes, from nothing but the nodes of a witness.
//! Actors: [`Nodes`] holds the known nodes under their hashes; [`Node`] is one of them, its unknown
//! or not yet needed descendants left as [`Node::Hash`]. An update starts from the root's hash and
//! takes in the nodes on its way.
//!
//! Invariants: an answer "absent" is proved by known nodes, an unknown node is always an error;
//! no input makes this code panic or recurse deeper than a key has nibbles.

use alloy_primitives::{B256, Bytes, keccak256, map::B256Map};
use alloy_rlp::{Decodable, EMPTY_STRING_CODE, Header, PayloadView};
use alloy_trie::{
    EMPTY_ROOT_HASH, TrieMask,
    nodes::{BranchNodeRef, ExtensionNodeRef, LeafNodeRef, RlpNode},
};
use nybbles::Nibbles;

/// The number of nibbles in every key: keys are Keccak-256 hashes.
const KEY_NIBBLES: usize = 64;

/// Why a trie could not be read or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrieError {
    /// The way leads to a node that is not known.
    #[error("the trie node {0} is not in the witness")]
    Missing(B256),
    /// The nodes do not form a trie with keys of 32 bytes.
    #[error("the trie is malformed: {0}")]
    Malformed(&'static str),
}

/// A node with what is known below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Node {
    /// Nothing: the empty trie, or a branch's unused child.
    #[default]
    Empty,
    /// A node of which only the hash has been looked at.
    Hash(B256),
    /// The rest of a key with its value.
    Leaf(Nibbles, Vec<u8>),
    /// A shared part of several keys. Its child is a branch, or a branch's hash.
    Extension(Nibbles, Box<Node>),
    /// One child per nibble, at least two of them not empty.
    Branch(Box<[Node; 16]>),
}

impl Node {
    /// The trie with this root.
    pub(super) fn from_root(root: B256) -> Self {
        if root == EMPTY_ROOT_HASH { Self::Empty } else { Self::Hash(root) }
    }

    /// Decodes one node.
    pub(super) fn decode(rlp: &[u8]) -> Result<Self, alloy_rlp::Error> {
        let mut rest = rlp;
        let view = Header::decode_raw(&mut rest)?;
        if !rest.is_empty() {
            return Err(alloy_rlp::Error::Custom("bytes follow the trie node"));
        }
        match view {
            PayloadView::String([]) => Ok(Self::Empty),
            PayloadView::String(_) => Err(alloy_rlp::Error::UnexpectedString),
            PayloadView::List(items) => match items.as_slice() {
                [path, value] => Self::decode_short(path, value),
                [children @ .., value] if children.len() == 16 => {
                    if **value != [EMPTY_STRING_CODE] {
                        return Err(alloy_rlp::Error::Custom("a branch has a value"));
                    }
                    let mut branch = Box::<[Self; 16]>::default();
                    for (child, item) in branch.iter_mut().zip(children) {
                        *child = Self::decode_child(item)?;
                    }
                    Ok(Self::Branch(branch))
                }
                _ => Err(alloy_rlp::Error::Custom("a trie node has neither 2 nor 17 items")),
            },
        }
    }

    /// A leaf or an extension.
    fn decode_short(mut path: &[u8], mut value: &[u8]) -> Result<Self, alloy_rlp::Error> {
        let path = Header::decode_bytes(&mut path, false)?;
        let Some((flags, packed)) = path.split_first() else {
            return Err(alloy_rlp::Error::Custom("a trie node's path is empty"));
        };
        if packed.len() * 2 + usize::from(flags >> 4 & 1) > KEY_NIBBLES {
            return Err(alloy_rlp::Error::Custom("a trie node's path is longer than a key"));
        }
        let mut nibbles = Nibbles::new();
        match flags >> 4 {
            1 | 3 => nibbles.push_unchecked(flags & 0x0f),
            0 | 2 if flags & 0x0f == 0 => {}
            _ => {
                return Err(alloy_rlp::Error::Custom("a trie node's path has unknown flags"));
            }
        }
        nibbles.extend(&Nibbles::unpack(packed));
        if flags >> 4 >= 2 {
            let bytes = Header::decode_bytes(&mut value, false)?;
            return Ok(Self::Leaf(nibbles, bytes.to_vec()));
        }
        if nibbles.is_empty() {
            return Err(alloy_rlp::Error::Custom("an extension's path is empty"));
        }
        match Self::decode_child(value)? {
            child @ (Self::Hash(_) | Self::Branch(_)) => {
                Ok(Self::Extension(nibbles, Box::new(child)))
            }
            _ => Err(alloy_rlp::Error::Custom("an extension's child is no branch")),
        }
    }

    /// A reference to a node: its hash, or where it is shorter than one, the node itself.
    fn decode_child(item: &[u8]) -> Result<Self, alloy_rlp::Error> {
        match item {
            [EMPTY_STRING_CODE] => Ok(Self::Empty),
            [first, ..] if *first >= 0xc0 && item.len() < 32 => Self::decode(item),
            _ => Ok(Self::Hash(B256::decode(&mut &*item)?)),
        }
    }

    /// Calls `see` with every hash that this node refers to.
    pub(super) fn for_each_reference(&self, see: &mut impl FnMut(Reference<'_>)) {
        match self {
            Self::Empty => {}
            Self::Hash(hash) => see(Reference::Node(*hash)),
            Self::Leaf(_, value) => see(Reference::Value(value)),
            Self::Extension(_, child) => child.for_each_reference(see),
            Self::Branch(children) => {
                children.iter().for_each(|child| child.for_each_reference(see));
            }
        }
    }

    /// The root hash of the trie under this node.
    pub(super) fn root(&self) -> B256 {
        match self {
            Self::Empty => EMPTY_ROOT_HASH,
            Self::Hash(hash) => *hash,
            _ => {
                let mut rlp = Vec::new();
                let reference = self.reference(&mut rlp);
                reference.as_hash().unwrap_or_else(|| keccak256(reference.as_slice()))
            }
        }
    }

    /// How a parent refers to this node. `rlp` is scratch space.
    fn reference(&self, rlp: &mut Vec<u8>) -> RlpNode {
        match self {
            Self::Empty => RlpNode::from_rlp(&[EMPTY_STRING_CODE]),
            Self::Hash(hash) => RlpNode::word_rlp(hash),
            Self::Leaf(path, value) => {
                rlp.clear();
                LeafNodeRef::new(path, value).rlp(rlp)
            }
            Self::Extension(path, child) => {
                let child = child.reference(rlp);
                rlp.clear();
                ExtensionNodeRef::new(path, child.as_slice()).rlp(rlp)
            }
            Self::Branch(children) => {
                let mut stack = Vec::with_capacity(16);
                let mut mask = 0u16;
                for (index, child) in children.iter().enumerate() {
                    if *child != Self::Empty {
                        mask |= 1 << index;
                        stack.push(child.reference(rlp));
                    }
                }
                rlp.clear();
                BranchNodeRef::new(&stack, TrieMask::new(mask)).rlp(rlp)
            }
        }
    }
}

/// What a node refers to.
#[derive(Debug)]
pub(super) enum Reference<'a> {
    /// Another node of the same trie.
    Node(B256),
    /// A leaf's value, which may name another trie's root.
    Value(&'a [u8]),
}

/// The known nodes under their hashes.
#[derive(Debug, Clone, Default)]
pub(super) struct Nodes(B256Map<Node>);

impl Nodes {
    /// Decodes the nodes; an error comes with the index of the bad one.
    pub(super) fn decode(rlp: &[Bytes]) -> Result<Self, (usize, alloy_rlp::Error)> {
        let mut nodes = B256Map::with_capacity_and_hasher(rlp.len(), Default::default());
        for (index, bytes) in rlp.iter().enumerate() {
            let node = Node::decode(bytes).map_err(|error| (index, error))?;
            nodes.insert(keccak256(bytes), node);
        }
        Ok(Self(nodes))
    }

    /// All nodes, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&B256, &Node)> {
        self.0.iter()
    }

    fn resolve(&self, hash: B256) -> Result<&Node, TrieError> {
        self.0.get(&hash).ok_or(TrieError::Missing(hash))
    }

    /// The value under `key` in the trie with this root; `None` where the nodes prove it absent.
    pub(super) fn get(&self, root: B256, key: B256) -> Result<Option<&[u8]>, TrieError> {
        if root == EMPTY_ROOT_HASH {
            return Ok(None);
        }
        let mut rest = Nibbles::unpack_array(&key.0);
        let mut node = self.resolve(root)?;
        loop {
            node = match node {
                Node::Empty => return Ok(None),
                Node::Hash(hash) => self.resolve(*hash)?,
                Node::Leaf(path, value) => return Ok((*path == rest).then_some(value)),
                Node::Extension(path, child) => {
                    if !rest.starts_with(path) {
                        return Ok(None);
                    }
                    rest = rest.slice(path.len()..);
                    child
                }
                Node::Branch(children) => {
                    let (nibble, below) = step(&rest)?;
                    rest = below;
                    &children[nibble]
                }
            };
        }
    }

    /// Sets the value under the rest of a key.
    pub(super) fn insert(
        &self,
        node: Node,
        rest: &Nibbles,
        value: Vec<u8>,
    ) -> Result<Node, TrieError> {
        Ok(match node {
            Node::Empty => Node::Leaf(*rest, value),
            Node::Hash(hash) => self.insert(self.resolve(hash)?.clone(), rest, value)?,
            Node::Leaf(path, _) if path == *rest => Node::Leaf(path, value),
            Node::Leaf(path, old) => {
                let shared = path.common_prefix_length(rest);
                let (nibble, below) = step(&path.slice(shared..))?;
                split(shared, (nibble, Node::Leaf(below, old)), rest, value)?
            }
            Node::Extension(path, child) => {
                let shared = path.common_prefix_length(rest);
                if shared == path.len() {
                    let child = self.insert(*child, &rest.slice(shared..), value)?;
                    return Ok(Node::Extension(path, Box::new(child)));
                }
                let (nibble, below) = step(&path.slice(shared..))?;
                let old = if below.is_empty() { *child } else { Node::Extension(below, child) };
                split(shared, (nibble, old), rest, value)?
            }
            Node::Branch(mut children) => {
                let (nibble, below) = step(rest)?;
                let child = std::mem::take(&mut children[nibble]);
                children[nibble] = self.insert(child, &below, value)?;
                Node::Branch(children)
            }
        })
    }

    /// Removes the value under the rest of a key, if there is one.
    pub(super) fn remove(&self, node: Node, rest: &Nibbles) -> Result<Node, TrieError> {
        Ok(match node {
            Node::Empty => Node::Empty,
            Node::Hash(hash) => self.remove(self.resolve(hash)?.clone(), rest)?,
            Node::Leaf(path, _) if path == *rest => Node::Empty,
            Node::Extension(path, child) if rest.starts_with(&path) => {
                join(path, self.remove(*child, &rest.slice(path.len()..))?)?
            }
            Node::Branch(mut children) => {
                let (nibble, below) = step(rest)?;
                let child = std::mem::take(&mut children[nibble]);
                children[nibble] = self.remove(child, &below)?;
                self.collapse(children)?
            }
            node => node,
        })
    }

    /// A branch with one child left becomes part of that child.
    fn collapse(&self, mut children: Box<[Node; 16]>) -> Result<Node, TrieError> {
        let mut used = (0u8..).zip(children.iter()).filter(|(_, child)| **child != Node::Empty);
        let Some((nibble, _)) = used.next() else {
            return Ok(Node::Empty);
        };
        if used.next().is_some() {
            return Ok(Node::Branch(children));
        }
        let child = match std::mem::take(&mut children[usize::from(nibble)]) {
            Node::Hash(hash) => self.resolve(hash)?.clone(),
            child => child,
        };
        let mut path = Nibbles::new();
        path.push_unchecked(nibble);
        join(path, child)
    }
}

/// Splits off the first nibble.
fn step(rest: &Nibbles) -> Result<(usize, Nibbles), TrieError> {
    let nibble = rest.first().ok_or(TrieError::Malformed("a path is longer than its key"))?;
    Ok((usize::from(nibble), rest.slice(1..)))
}

/// A branch below `shared` nibbles with the old node and a new leaf.
fn split(
    shared: usize,
    old: (usize, Node),
    rest: &Nibbles,
    value: Vec<u8>,
) -> Result<Node, TrieError> {
    let mut children = Box::<[Node; 16]>::default();
    children[old.0] = old.1;
    let (nibble, below) = step(&rest.slice(shared..))?;
    children[nibble] = Node::Leaf(below, value);
    let branch = Node::Branch(children);
    Ok(if shared == 0 { branch } else { Node::Extension(rest.slice(..shared), Box::new(branch)) })
}

/// Puts a path before a node.
fn join(mut path: Nibbles, node: Node) -> Result<Node, TrieError> {
    let mut extend = |below: &Nibbles| {
        if path.len() + below.len() > KEY_NIBBLES {
            return Err(TrieError::Malformed("a path is longer than a key"));
        }
        path.extend(below);
        Ok(path)
    };
    Ok(match node {
        Node::Empty => Node::Empty,
        Node::Leaf(below, value) => Node::Leaf(extend(&below)?, value),
        Node::Extension(below, child) => Node::Extension(extend(&below)?, child),
        child @ (Node::Branch(_) | Node::Hash(_)) => Node::Extension(path, Box::new(child)),
    })
}
