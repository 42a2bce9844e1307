//! The multiplication of a point of alt_bn128 (EIP-196), in halves or at once.
//!
//! Role: let two threads multiply one point, or one thread faster than bit by bit. Verifying a
//! proof takes some twenty multiplications, one after the other, of 50 microseconds and more each.
//! Actors: the thread whose transaction calls the precompile, and one that helps
//! ([`crate::pool::Helpers`]).
//!
//! The curve has an endomorphism: a point multiplied by a certain number is the point with another
//! first coordinate. So a scalar is split into two of half the length, one for the point and one
//! for its image, and what the two give is added (Gallant, Lambert and Vanstone, CRYPTO 2001). One
//! half after the other takes one thread as long as the whole scalar, bit by bit; both at once, as
//! arkworks goes about it, two thirds of that.
//!
//! Invariants: the product is a function of the input, and the exact one for whatever two scalars
//! the split gives, as long as they stand for the first one. An input that is no point gives none,
//! and is left to the EVM's own precompile.

use super::pairing::{POINT, WORD, point, word};
use crate::pool::Work;
use ark_bn254::{Fr, G1Affine, G1Projective, g1};
use ark_ec::{AffineRepr, CurveGroup, scalar_mul::glv::GLVConfig};
use ark_ff::{BigInt, PrimeField};

/// A point and a scalar, bytes.
const INPUT: usize = POINT + WORD;

/// The two points, and the scalars of half the length.
pub(crate) struct Halves([(G1Affine, BigInt<4>); 2]);

/// The point and the scalar of the precompile's input, which zeros follow; `None` where there is
/// nothing to multiply.
fn factors(input: &[u8]) -> Option<(G1Affine, Fr)> {
    let mut padded = [0; INPUT];
    let len = input.len().min(INPUT);
    padded[..len].copy_from_slice(&input[..len]);
    let (bytes, scalar) = padded.split_at(POINT);
    let base = point(bytes).filter(|base| !base.is_zero())?;
    Some((base, Fr::from_be_bytes_mod_order(scalar)))
}

/// What the input comes to, by this thread alone; `None` where there is nothing to multiply.
pub(crate) fn product(input: &[u8]) -> Option<G1Projective> {
    let (base, scalar) = factors(input)?;
    Some(g1::Config::glv_mul_projective(base.into(), scalar))
}

impl Halves {
    /// Of the precompile's input; `None` where there is nothing to deal.
    pub(crate) fn of(input: &[u8]) -> Option<Self> {
        let (base, scalar) = factors(input)?;
        let ((first_up, first), (second_up, second)) = g1::Config::scalar_decomposition(scalar);
        let image = g1::Config::endomorphism_affine(&base);
        let signed = |point: G1Affine, up: bool| if up { point } else { -point };
        let first = (signed(base, first_up), first.into_bigint());
        Some(Self([first, (signed(image, second_up), second.into_bigint())]))
    }
}

impl Work for Halves {
    type Part = G1Projective;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn part(&self, numbers: &mut dyn Iterator<Item = usize>) -> G1Projective {
        let products = numbers.map(|number| {
            let (point, scalar) = &self.0[number];
            point.mul_bigint(scalar)
        });
        products.sum()
    }

    fn merge(&self, one: G1Projective, other: G1Projective) -> G1Projective {
        one + other
    }
}

/// The point as the precompile gives it.
pub(crate) fn encoded(point: &G1Projective) -> [u8; POINT] {
    let (x, y) = point.into_affine().xy().unwrap_or_default();
    let mut bytes = [0; POINT];
    bytes[..WORD].copy_from_slice(&word(x));
    bytes[WORD..].copy_from_slice(&word(y));
    bytes
}

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests {
    use super::*;
    use crate::splitmix::SplitMix64;
    use alloy_primitives::U256;
    use revm::precompile::bn254::mul::ISTANBUL;

    /// What revm says; `None` where it refuses the point.
    fn revm(input: &[u8]) -> Option<Vec<u8>> {
        let output = ISTANBUL.execute(input, u64::MAX, 0).unwrap();
        output.is_success().then(|| output.bytes.to_vec())
    }

    fn ours(input: &[u8]) -> Option<Vec<u8>> {
        let Some(halves) = Halves::of(input) else {
            assert!(product(input).is_none());
            return None;
        };
        let whole = encoded(&halves.part(&mut (0..2)));
        let [first, second] = [0, 1].map(|half| halves.part(&mut (half..half + 1)));
        assert_eq!(encoded(&halves.merge(second, first)), whole);
        assert_eq!(product(input).map(|product| encoded(&product)), Some(whole));
        Some(whole.to_vec())
    }

    fn input(base: &G1Affine, scalar: U256) -> Vec<u8> {
        [&encoded(&(*base).into())[..], &scalar.to_be_bytes::<WORD>()].concat()
    }

    #[test]
    fn products_are_revms() {
        let mut random = SplitMix64(7);
        let mut word = || U256::from_limbs([0; 4].map(|_: u64| random.next()));
        let modulus = U256::from_limbs(Fr::MODULUS.0);
        let lambda = U256::from_limbs(g1::Config::LAMBDA.into_bigint().0);
        let one = U256::ONE;
        let edges = [
            U256::ZERO,
            one,
            U256::from(2),
            one << 127,
            one << 128,
            modulus - one,
            modulus,
            modulus + one,
            lambda,
            lambda - one,
            lambda + one,
            modulus - lambda,
            U256::MAX,
        ];
        for round in 0..400 {
            let factor = Fr::from_be_bytes_mod_order(&word().to_be_bytes::<WORD>());
            let base = (G1Affine::generator() * factor).into_affine();
            let scalar = edges.get(round).copied().unwrap_or_else(&mut word);
            // Short ones too.
            let scalar = if round % 5 == 4 { scalar >> (round % 250) } else { scalar };
            let input = input(&base, scalar);
            assert!(revm(&input).is_some());
            assert_eq!(ours(&input), revm(&input), "{scalar}");
        }
    }

    #[test]
    fn inputs_of_any_length() {
        let input = input(&G1Affine::generator(), U256::MAX / U256::from(3));
        for len in 0..=input.len() {
            let ours = ours(&input[..len]);
            assert!(ours.is_none() || ours == revm(&input[..len]), "{len} bytes");
            // Only a point that is one, and not at infinity, is multiplied here.
            assert_eq!(ours.is_some(), len >= POINT, "{len} bytes");
        }
        let longer = [&input[..], &[7; 40]].concat();
        assert_eq!(ours(&longer), revm(&longer));
    }

    #[test]
    fn what_is_no_point_is_not_multiplied() {
        let good = input(&G1Affine::generator(), U256::from(5));
        for at in [0, 31, 32, 63] {
            let mut bad = good.clone();
            bad[at] ^= 0x80;
            assert_eq!((ours(&bad), revm(&bad)), (None, None), "{at}");
        }
    }
}
