//! What a storage slot probably is in the contract's source.
//!
//! Role: a compiler puts plain variables into small slots and the entries of a mapping under the
//! Keccak-256 of key and slot, so a slot's number tells nothing by itself; but the keys of a
//! mapping are seldom secret. With candidate keys from the transactions that touch a slot, its
//! preimage can be guessed. A guess that fits is right, since nobody finds collisions.
//!
//! Layouts: Solidity's and Vyper's documented ones for variables, mappings, mappings of mappings
//! and dynamic arrays; the fixed slots of proxies (EIP-1967); namespaces (ERC-7201) as
//! OpenZeppelin's upgradeable contracts name them.

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, U256, keccak256, map::HashMap};
use braid_core::{Block, trace::Committed};
use std::fmt;

/// The highest slot of a mapping that is guessed.
const SLOTS: u64 = 32;
/// How far the fields of a struct reach from its first slot.
const FIELDS: u64 = 8;
/// A number below this is taken for a plain variable.
const PLAIN: u64 = 1 << 16;
/// How many elements of a dynamic array are looked for.
const ELEMENTS: u64 = 1 << 16;
/// Small numbers that are tried as keys: identifiers of pools, tokens, rounds.
const SMALL_KEYS: u64 = 32;
/// How many keys are tried at most.
const KEYS: usize = 256;
/// The same for each of the two keys of a mapping of mappings.
const NESTED_KEYS: usize = 40;
/// The roots of mappings of mappings that are tried: plain slots, and the tokens' namespace.
const NESTED_ROOTS: usize = SLOTS as usize + 1 + NAMESPACE_SLOTS as usize;
/// How many slots a namespace has that are tried as roots of mappings.
const NAMESPACE_SLOTS: u64 = 8;

/// Namespaces of ERC-7201, as OpenZeppelin's upgradeable contracts 5.x name them.
const NAMESPACES: [&str; 10] = [
    "openzeppelin.storage.ERC20",
    "openzeppelin.storage.ERC721",
    "openzeppelin.storage.ERC1155",
    "openzeppelin.storage.ERC4626",
    "openzeppelin.storage.Ownable",
    "openzeppelin.storage.AccessControl",
    "openzeppelin.storage.Nonces",
    "openzeppelin.storage.Pausable",
    "openzeppelin.storage.ReentrancyGuard",
    "openzeppelin.storage.Initializable",
];

/// The fixed slots of EIP-1967.
const PROXIES: [&str; 3] =
    ["eip1967.proxy.implementation", "eip1967.proxy.admin", "eip1967.proxy.beacon"];

/// Where a variable stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// The slot with this number.
    Slot(u64),
    /// This slot of a namespace.
    Namespace(&'static str, u64),
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slot(slot) => write!(f, "slot {slot}"),
            Self::Namespace(name, 0) => f.write_str(name),
            Self::Namespace(name, slot) => write!(f, "{name} + {slot}"),
        }
    }
}

/// What a slot probably is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotName {
    /// A plain variable.
    Variable(Root),
    /// A fixed slot with a name.
    Fixed(&'static str),
    /// An entry of a mapping.
    Mapping {
        /// Where the mapping stands.
        root: Root,
        /// Its key.
        key: B256,
        /// The key within that entry, for a mapping of mappings.
        inner: Option<B256>,
        /// The slot within the value.
        field: u64,
    },
    /// An element, or a part of one, of a dynamic array.
    Array {
        /// Where the array stands.
        root: Root,
        /// Slots from its first element.
        offset: u64,
    },
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(root) => write!(f, "variable at {root}"),
            Self::Fixed(name) => f.write_str(name),
            Self::Mapping { root, key, inner, field } => {
                write!(f, "mapping at {root}, key {}", Key(key))?;
                if let Some(inner) = inner {
                    write!(f, ", then {}", Key(inner))?;
                }
                if *field > 0 { write!(f, ", field {field}") } else { Ok(()) }
            }
            Self::Array { root, offset } => write!(f, "array at {root}, slot {offset} of it"),
        }
    }
}

/// A key as an address or a number, where it can be one.
struct Key<'a>(&'a B256);

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = U256::from_be_bytes(self.0.0);
        if number < U256::from(1u64 << 32) {
            write!(f, "{number}")
        } else if self.0[..12].iter().all(|byte| *byte == 0) {
            write!(f, "{}", Address::from_word(*self.0))
        } else {
            write!(f, "{}", self.0)
        }
    }
}

/// Keys that mappings may have where these transactions touch them: senders, targets, the words
/// of the calls' data, and the accounts that were loaded, each once, the likeliest first.
pub fn keys(
    block: &Block,
    transactions: &[Committed],
    touching: impl IntoIterator<Item = usize>,
) -> Vec<B256> {
    let (mut likely, mut others) = (Vec::new(), Vec::new());
    for index in touching {
        let Some(tx) = block.transactions.get(index) else { continue };
        likely.push(tx.signer().into_word());
        likely.extend(tx.to().map(|to| to.into_word()));
        let arguments = tx.input().get(4..).unwrap_or_default().chunks_exact(32);
        likely.extend(arguments.map(B256::from_slice));
        let reads = transactions.get(index).map_or(&[][..], |tx| &tx.reads);
        others.extend(reads.iter().map(|read| read.location.address.into_word()));
    }
    let mut seen = alloy_primitives::map::HashSet::<B256>::default();
    let mut all: Vec<B256> = likely.into_iter().chain(others).collect();
    all.retain(|key| seen.insert(*key));
    all.truncate(KEYS);
    all
}

/// Guesses what a slot is; `keys` are what mappings may have for keys.
pub fn name(slot: U256, keys: &[B256]) -> Option<SlotName> {
    let roots = roots();
    if slot < U256::from(PLAIN) {
        return Some(SlotName::Variable(Root::Slot(slot.to::<u64>())));
    }
    if let Some(name) = PROXIES.into_iter().find(|name| slot == proxy(name)) {
        return Some(SlotName::Fixed(name));
    }
    if let Some((root, _)) = roots.iter().find(|(_, at)| *at == slot) {
        return Some(SlotName::Variable(*root));
    }
    for (root, at) in &roots {
        let offset = slot.wrapping_sub(keccak256(B256::from(*at)).into());
        if offset < U256::from(ELEMENTS) {
            return Some(SlotName::Array { root: *root, offset: offset.to::<u64>() });
        }
    }
    entry(slot, &roots, keys)
}

fn entry(slot: U256, roots: &[(Root, U256)], keys: &[B256]) -> Option<SlotName> {
    let small = (0..SMALL_KEYS).map(|key| B256::from(U256::from(key)));
    let all: Vec<B256> = keys.iter().copied().chain(small).collect();
    // The slots that the value of an entry may begin at.
    let mut begins = HashMap::<U256, u64>::default();
    begins.extend((0..FIELDS).map(|field| (slot.wrapping_sub(U256::from(field)), field)));
    for order in [solidity, vyper] {
        for (root, at) in roots {
            for key in &all {
                if let Some(field) = begins.get(&order(key, *at)) {
                    let (root, key, field) = (*root, *key, *field);
                    return Some(SlotName::Mapping { root, key, inner: None, field });
                }
            }
        }
    }
    let few = &keys[..keys.len().min(NESTED_KEYS)];
    for order in [solidity, vyper] {
        for (root, at) in roots.iter().take(NESTED_ROOTS) {
            for key in few {
                let outer = order(key, *at);
                let inner = few.iter().find_map(|inner| {
                    begins.get(&order(inner, outer)).map(|field| (Some(*inner), *field))
                });
                if let Some((inner, field)) = inner {
                    return Some(SlotName::Mapping { root: *root, key: *key, inner, field });
                }
            }
        }
    }
    None
}

/// Where variables may stand that are no plain values.
fn roots() -> Vec<(Root, U256)> {
    let plain = (0..=SLOTS).map(|slot| (Root::Slot(slot), U256::from(slot)));
    let spaces = NAMESPACES.into_iter().flat_map(|name| {
        let base = namespace(name);
        (0..NAMESPACE_SLOTS).map(move |slot| (Root::Namespace(name, slot), base + U256::from(slot)))
    });
    plain.chain(spaces).collect()
}

/// Solidity: the hash of the key, then the slot.
fn solidity(key: &B256, slot: U256) -> U256 {
    pair(key, &B256::from(slot))
}

/// Vyper: the hash of the slot, then the key.
fn vyper(key: &B256, slot: U256) -> U256 {
    pair(&B256::from(slot), key)
}

fn pair(first: &B256, second: &B256) -> U256 {
    let mut both = [0; 64];
    both[..32].copy_from_slice(first.as_slice());
    both[32..].copy_from_slice(second.as_slice());
    keccak256(both).into()
}

/// ERC-7201: the hash of the name's hash less one, with the last byte cleared.
fn namespace(name: &str) -> U256 {
    let hash: U256 = keccak256(name).into();
    let base: U256 = keccak256(B256::from(hash.wrapping_sub(U256::ONE))).into();
    base & !U256::from(0xff)
}

/// EIP-1967: the name's hash less one.
fn proxy(name: &str) -> U256 {
    let hash: U256 = keccak256(name).into();
    hash.wrapping_sub(U256::ONE)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{BOB, CALLER};
    use super::*;
    use alloy_primitives::{b256, uint};

    fn key(number: u64) -> B256 {
        B256::from(U256::from(number))
    }

    #[test]
    fn published_slots_are_met() {
        // The values that EIP-1967 and ERC-7201 state for themselves.
        let implementation =
            uint!(0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc_U256);
        assert_eq!(name(implementation, &[]), Some(SlotName::Fixed(PROXIES[0])));
        let example = b256!("0x183a6125c38840424c4a85fa12bab2ab606c4b6d0e7cc73c0c06ba5300eab500");
        assert_eq!(namespace("example.main"), U256::from_be_bytes(example.0));
    }

    #[test]
    fn variables_and_namespaces_are_named() {
        let variable = SlotName::Variable(Root::Slot(3));
        assert_eq!(name(U256::from(3), &[]), Some(variable));
        assert_eq!(variable.to_string(), "variable at slot 3");
        let supply = namespace(NAMESPACES[0]) + U256::from(2);
        let found = name(supply, &[]).unwrap();
        assert_eq!(found.to_string(), "variable at openzeppelin.storage.ERC20 + 2");
    }

    #[test]
    fn entries_of_mappings_are_found_by_their_keys() {
        let keys = [CALLER.into_word(), BOB.into_word()];
        let slot = solidity(&keys[1], U256::from(4));
        let found = name(slot, &keys).unwrap();
        let root = Root::Slot(4);
        let expected = SlotName::Mapping { root, key: keys[1], inner: None, field: 0 };
        assert_eq!(found, expected);
        assert_eq!(found.to_string(), format!("mapping at slot 4, key {BOB}"));
        assert_eq!(name(slot, &keys[..1]), None, "without the key there is nothing to guess");
        let field = name(slot + U256::from(2), &keys).unwrap();
        assert_eq!(field.to_string(), format!("mapping at slot 4, key {BOB}, field 2"));
        let small = name(solidity(&key(7), U256::from(1)), &[]).unwrap();
        assert_eq!(small.to_string(), "mapping at slot 1, key 7");
        let other = name(vyper(&keys[0], U256::from(5)), &keys).unwrap();
        assert_eq!(other.to_string(), format!("mapping at slot 5, key {CALLER}"));
    }

    #[test]
    fn allowances_and_arrays_are_found() {
        let keys = [CALLER.into_word(), BOB.into_word()];
        let slot = solidity(&keys[1], solidity(&keys[0], U256::from(3)));
        let found = name(slot, &keys).unwrap();
        assert_eq!(found.to_string(), format!("mapping at slot 3, key {CALLER}, then {BOB}"));
        let element = U256::from_be_bytes(keccak256(key(6)).0) + U256::from(5);
        let found = name(element, &[]).unwrap();
        assert_eq!(found.to_string(), "array at slot 6, slot 5 of it");
    }
}
