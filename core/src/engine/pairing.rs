//! The pairing check (EIP-197) in pieces.
//!
//! Role: check whether a product of pairings over alt_bn128 is one, with the pairs dealt among
//! threads. A check of four pairs takes one to two milliseconds, as much as hundreds of payments,
//! and a transaction that verifies a proof is often the longest one of its block: the block cannot
//! end before it, however many cores there are. Actors: the thread whose transaction calls the
//! precompile, and those that help ([`crate::pool::Helpers`]).
//!
//! What is dealt: for each pair, decoding, the check that the points are on their curves and in the
//! right subgroup, and the Miller loop, which each participant makes for all its pairs together.
//! The product of the loops then goes through one final exponentiation. (Miller loops are
//! multiplicative: the product over all pairs is that of the participants' products, and the
//! arithmetic is exact, so that the order does not matter.)
//!
//! Invariants: the answer is a function of the input. Input that the precompile refuses gives none,
//! and is left to the EVM's own precompile, which then names the fault. Nothing is known here of
//! gas and lengths: who asks has had them checked ([`super::precompiles`]).

use crate::pool::Work;
use alloy_primitives::{Bytes, U256};
use ark_bn254::{Bn254, Fq, Fq2, Fq12, G1Affine, G2Affine};
use ark_ec::{
    AffineRepr,
    pairing::{MillerLoopOutput, Pairing},
};
use ark_ff::{AdditiveGroup, BigInt, Field, One, PrimeField};

/// A field element, bytes, big-endian.
pub(super) const WORD: usize = 32;
/// A point of the first curve, bytes.
pub(super) const POINT: usize = 2 * WORD;
/// A pair: a point of the first curve, then one of the second.
pub(crate) const PAIR: usize = POINT + 4 * WORD;

/// The pairs of one call of the precompile.
pub(crate) struct Pairs(pub(crate) Bytes);

/// The product of some pairs' Miller loops; `None` where one of them is not valid.
pub(crate) type Product = Option<Fq12>;

impl Work for Pairs {
    type Part = Product;

    fn len(&self) -> usize {
        self.0.len() / PAIR
    }

    fn part(&self, numbers: &mut dyn Iterator<Item = usize>) -> Product {
        let (mut first, mut second, mut valid) = (Vec::new(), Vec::new(), true);
        for number in numbers {
            match pair(&self.0[number * PAIR..][..PAIR]) {
                Some((g1, g2)) if g1.is_zero() || g2.is_zero() => {}
                Some((g1, g2)) => {
                    first.push(g1);
                    second.push(g2);
                }
                None => valid = false,
            }
        }
        valid.then(|| {
            if first.is_empty() { Fq12::ONE } else { Bn254::multi_miller_loop(first, second).0 }
        })
    }

    fn merge(&self, one: Product, other: Product) -> Product {
        Some(one? * other?)
    }
}

/// Whether the pairings of which this is the product of Miller loops have the product one; `None`
/// where a pair was not valid.
pub(crate) fn is_one(product: Product) -> Option<bool> {
    let paired = Bn254::final_exponentiation(MillerLoopOutput(product?))?;
    Some(paired.0.is_one())
}

fn pair(bytes: &[u8]) -> Option<(G1Affine, G2Affine)> {
    let (g1, g2) = bytes.split_at_checked(POINT)?;
    let g1 = point(g1)?;
    let (x, y) = g2.split_at_checked(2 * WORD)?;
    let (x, y) = (field2(x)?, field2(y)?);
    let g2 = if x == Fq2::ZERO && y == Fq2::ZERO {
        G2Affine::identity()
    } else {
        let point = G2Affine::new_unchecked(x, y);
        (point.is_on_curve() && point.is_in_correct_subgroup_assuming_on_curve())
            .then_some(point)?
    };
    Some((g1, g2))
}

/// A point of the first curve.
pub(super) fn point(bytes: &[u8]) -> Option<G1Affine> {
    let (x, y) = bytes.split_at_checked(WORD)?;
    let (x, y) = (field(x)?, field(y)?);
    if x == Fq::ZERO && y == Fq::ZERO {
        return Some(G1Affine::identity());
    }
    let point = G1Affine::new_unchecked(x, y);
    // The whole curve is the subgroup: its cofactor is one.
    point.is_on_curve().then_some(point)
}

/// A field element in bytes.
pub(super) fn word(element: Fq) -> [u8; WORD] {
    U256::from_limbs(element.into_bigint().0).to_be_bytes()
}

/// An element of the quadratic extension: the imaginary part stands first.
fn field2(bytes: &[u8]) -> Option<Fq2> {
    let (imaginary, real) = bytes.split_at_checked(WORD)?;
    Some(Fq2::new(field(real)?, field(imaginary)?))
}

/// An element of the base field; `None` where the number is not below the field's modulus.
fn field(bytes: &[u8]) -> Option<Fq> {
    let mut limbs = [0; WORD / 8];
    for (limb, bytes) in limbs.iter_mut().rev().zip(bytes.chunks_exact(8)) {
        *limb = u64::from_be_bytes(bytes.try_into().ok()?);
    }
    Fq::from_bigint(BigInt::new(limbs))
}

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests {
    use super::*;
    use alloy_primitives::hex;
    use ark_bn254::Fr;
    use ark_ec::CurveGroup;
    use revm::precompile::bn254::pair::ISTANBUL;

    /// The modulus of the base field.
    const MODULUS: U256 = U256::from_be_bytes(hex!(
        "30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47"
    ));

    /// Of these multiples of the generators; nothing is the point at infinity.
    fn encoded(g1: u64, g2: i64) -> Vec<u8> {
        let first = (G1Affine::generator() * Fr::from(g1)).into_affine();
        let second = (G2Affine::generator() * Fr::from(g2)).into_affine();
        let (x, y) = first.xy().unwrap_or_default();
        let (u, v) = second.xy().unwrap_or_default();
        [x, y, u.c1, u.c0, v.c1, v.c0].map(word).concat()
    }

    /// What revm says; `None` where it refuses the points.
    fn revm(input: &[u8]) -> Option<bool> {
        let output = ISTANBUL.execute(input, u64::MAX, 0).unwrap();
        output.is_success().then(|| output.bytes[31] == 1)
    }

    /// Dealt to this many participants in turn.
    fn dealt(input: &[u8], among: usize) -> Option<bool> {
        let pairs = Pairs(Bytes::copy_from_slice(input));
        let part = |first: usize| pairs.part(&mut (first..pairs.len()).step_by(among));
        is_one((1..among).map(part).fold(part(0), |one, other| pairs.merge(one, other)))
    }

    fn check(input: &[u8], expected: Option<bool>, what: &str) {
        assert_eq!(revm(input), expected, "revm: {what}");
        for among in 1..=4 {
            assert_eq!(dealt(input, among), expected, "{what}, among {among}");
        }
    }

    #[test]
    fn products_that_are_one_and_others() {
        let pairs = |factors: &[(u64, i64)]| -> Vec<u8> {
            factors.iter().flat_map(|(g1, g2)| encoded(*g1, *g2)).collect()
        };
        check(&pairs(&[(6, 1), (2, -3)]), Some(true), "6 - 2 * 3");
        check(&pairs(&[(6, 1), (2, -4)]), Some(false), "6 - 2 * 4");
        check(&pairs(&[(5, 7), (11, 2), (19, -3), (1, 0)]), Some(true), "35 + 22 - 57");
        check(&pairs(&[(5, 7), (0, 2), (35, -1), (1, 0)]), Some(true), "points at infinity");
        check(&pairs(&[(0, 2), (1, 0), (0, 0)]), Some(true), "nothing else");
        check(&pairs(&[(1, 1), (1, 1), (1, 1), (1, 1)]), Some(false), "4");
    }

    #[test]
    fn points_that_are_none() {
        let good = [encoded(6, 1), encoded(2, -3)].concat();
        let at = |word: usize| word * WORD..(word + 1) * WORD;
        for word in 0..good.len() / WORD {
            let replaced = |value: U256| {
                let mut bad = good.clone();
                bad[at(word)].copy_from_slice(&value.to_be_bytes::<WORD>());
                bad
            };
            let old = U256::from_be_slice(&good[at(word)]);
            check(&replaced(old + U256::ONE), None, "not on the curve");
            check(&replaced(old + MODULUS), None, "not below the modulus");
            check(&replaced(MODULUS), None, "the modulus");
            check(&replaced(U256::MAX), None, "the largest word");
            check(&replaced(U256::ZERO), None, "zero");
        }
    }

    #[test]
    fn points_of_the_second_curve_outside_the_subgroup() {
        let mut found = 0;
        for x in 0..20u64 {
            let points = G2Affine::get_point_from_x_unchecked(Fq2::new(Fq::from(x), Fq::ONE), true);
            let Some(point) = points else { continue };
            assert!(!point.is_in_correct_subgroup_assuming_on_curve());
            let (u, v) = point.xy().unwrap();
            let mut bad = encoded(6, 1);
            bad[POINT..].copy_from_slice(&[u.c1, u.c0, v.c1, v.c0].map(word).concat());
            check(&[bad, encoded(2, -3)].concat(), None, "not in the subgroup");
            found += 1;
        }
        assert!(found > 3);
    }
}
