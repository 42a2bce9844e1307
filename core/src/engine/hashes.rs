//! Hashes of two words, remembered.
//!
//! Role: spare an EVM most of the hashes of its contracts. Nine of ten are of two words, the key of
//! a mapping and where the mapping stands (Solidity and Vyper alike), and a contract that looks at
//! a value and then changes it asks for the same hash twice: of the hashes of mainnet blocks six of
//! ten repeat one of the same block. Actors: the EVM that owns the memory; no other thread.
//!
//! Each pair of words has one place, and takes it from whatever pair was there before. Who chooses
//! keys so that all of them share a place gains nothing by it, and makes an EVM compute hashes that
//! it is paid for.
//!
//! Invariant: every entry is true, also those of a fresh memory, so an answer never depends on what
//! has been executed before.

use alloy_primitives::{B256, U256, keccak256};
use std::sync::LazyLock;

/// Two words of the EVM's memory, in the order of their bytes.
pub(crate) const PAIR: usize = 64;

/// Pairs that are remembered: 24 KiB. Half as many would be right a hundredth less often, and
/// four times as many a fiftieth more.
const PLACES: usize = 256;

/// Numbers without a pattern, one for each limb: the digits of pi, made odd.
const FACTORS: [u64; 8] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7345,
    0xa409_3822_299f_31d1,
    0x082e_fa98_ec4e_6c89,
    0x4528_21e6_38d0_1377,
    0xbe54_66cf_34e9_0c6d,
    0xc0ac_29b7_c97c_50dd,
    0x3f84_d5b5_b547_0917,
];

/// What a place holds before anything is remembered there.
static FIRST: LazyLock<Entry> =
    LazyLock::new(|| Entry { limbs: [0; 8], hash: keccak256([0; PAIR]).into() });

#[derive(Debug, Clone)]
struct Entry {
    limbs: [u64; 8],
    hash: U256,
}

/// A pair of words, and its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    limbs: [u64; 8],
    place: usize,
}

impl Pair {
    /// `None` where these are not two words.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let (chunks, []) = bytes.as_chunks::<8>() else { return None };
        let chunks: &[[u8; 8]; 8] = chunks.try_into().ok()?;
        let limbs = chunks.map(u64::from_le_bytes);
        let sum = limbs.iter().zip(FACTORS).fold(0u64, |sum, (limb, factor)| {
            sum.wrapping_add((limb ^ (limb >> 32)).wrapping_mul(factor))
        });
        // The highest bits of a product depend on all of its factors' bits.
        Some(Self { limbs, place: (sum >> (u64::BITS - PLACES.ilog2())) as usize })
    }
}

/// The hashes that one EVM remembers; it takes no memory before the first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hashes {
    entries: Vec<Entry>,
}

impl Hashes {
    /// The pair's hash, where it is remembered.
    pub(crate) fn get(&self, pair: &Pair) -> Option<U256> {
        let entry = self.entries.get(pair.place)?;
        (entry.limbs == pair.limbs).then_some(entry.hash)
    }

    /// Remembers what the pair's hash was found to be.
    pub(crate) fn insert(&mut self, pair: &Pair, hash: U256) {
        if self.entries.is_empty() {
            self.entries.resize(PLACES, FIRST.clone());
        }
        debug_assert_eq!(
            keccak256(pair.limbs.map(u64::to_le_bytes).as_flattened()),
            B256::from(hash)
        );
        self.entries[pair.place] = Entry { limbs: pair.limbs, hash };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: u64, place: u8) -> [u8; PAIR] {
        let mut bytes = [0; PAIR];
        bytes[24..32].copy_from_slice(&key.to_be_bytes());
        bytes[63] = place;
        bytes
    }

    fn hash(bytes: &[u8; PAIR]) -> U256 {
        keccak256(bytes).into()
    }

    #[test]
    fn nothing_is_remembered_at_first_and_then_the_last_of_each_place() {
        let mut hashes = Hashes::default();
        let zero = Pair::new(&[0; PAIR]).unwrap();
        assert_eq!(hashes.get(&zero), None);
        let mut held = vec![None; PLACES];
        for key in 0..2_000 {
            let bytes = pair(key, 3);
            let one = Pair::new(&bytes).unwrap();
            assert_eq!(hashes.get(&one), None, "{key}");
            hashes.insert(&one, hash(&bytes));
            held[one.place] = Some(bytes);
        }
        assert!(held.iter().all(Option::is_some), "keys leave places empty");
        for bytes in held.into_iter().flatten() {
            assert_eq!(hashes.get(&Pair::new(&bytes).unwrap()), Some(hash(&bytes)));
        }
    }

    #[test]
    fn what_a_fresh_place_holds_is_true() {
        let mut hashes = Hashes::default();
        let bytes = pair(1, 0);
        hashes.insert(&Pair::new(&bytes).unwrap(), hash(&bytes));
        let zero = Pair::new(&[0; PAIR]).unwrap();
        assert!(hashes.get(&zero).is_none_or(|found| found == hash(&[0; PAIR])));
    }

    #[test]
    fn pairs_that_differ_in_any_byte_are_told_apart() {
        let mut hashes = Hashes::default();
        let bytes = pair(7, 7);
        hashes.insert(&Pair::new(&bytes).unwrap(), hash(&bytes));
        for at in 0..PAIR {
            let mut other = bytes;
            other[at] ^= 0x40;
            assert_eq!(hashes.get(&Pair::new(&other).unwrap()), None, "byte {at}");
        }
    }

    #[test]
    fn only_two_words_are_a_pair() {
        for len in (0..=3 * PAIR).filter(|len| *len != PAIR) {
            assert!(Pair::new(&vec![0; len]).is_none(), "{len} bytes");
        }
    }
}
