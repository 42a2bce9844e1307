//! Threads that take part in a transaction's precompiles change nothing.
//!
//! Contracts hand their data to a precompile that checks pairings or evaluates points, and keep
//! what it said, how much, and how much gas is left. The engine shares the checks, and takes for
//! granted that they come to what they promise; data that is right, wrong, none at all, and gas
//! that is too little must give what sequential execution gives.

mod common;

use alloy_hardforks::EthereumHardfork as Fork;
use alloy_primitives::{Address, B256, U256};
use braid_core::{Engine, Optimisations};
use common::{
    asm::{asm, part},
    line::Story,
    scene::Scene,
    tx::Tx,
};
use rand::{Rng, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use revm::{bytecode::opcode as op, precompile::kzg_point_evaluation::kzg_to_versioned_hash};

const MULTIPLICATION: u8 = 0x07;
const PAIRING: u8 = 0x08;
const EVALUATION: u8 = 0x0a;

/// The contract that calls the precompile with this address.
const fn verifier(precompile: u8) -> Address {
    Address::repeat_byte(0xb0 + precompile)
}

/// Calls the precompile with its data, keeps the answer; then works as hard as the answer is high.
fn code(precompile: u8) -> Vec<u8> {
    let again = part(|code| code.load(7).push(1).op(op::ADD).store(7).load(8).store(9));
    asm(|code| {
        code.op(op::CALLDATASIZE).push(0).push(0).op(op::CALLDATACOPY);
        // Threads share an execution's multiplications from the second one on.
        let times = if precompile == MULTIPLICATION { 4 } else { 1 };
        for time in 0..times {
            code.push(64).push(0).op(op::CALLDATASIZE).push(0);
            code.push(precompile).op(op::GAS).op(op::STATICCALL).store(0);
            code.push(0).op(op::MLOAD).store(100 + time).op(op::GAS).store(110 + time);
        }
        code.push(0).op(op::MLOAD).store(1).push(32).op(op::MLOAD).store(2);
        code.op(op::RETURNDATASIZE).store(3).op(op::GAS).store(4);
        code.load(0).store(5);
        code.if_data(&part(|code| code.op(op::STOP)), &again)
    })
}

fn word(value: &str) -> U256 {
    value.parse().unwrap()
}

/// Pairs over alt_bn128 of the generators, the first one taken as often, or as often negated.
fn pairs(factors: &[i8]) -> Vec<u8> {
    let modulus = word("0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47");
    // The generator of the second group, imaginary parts first (EIP-197).
    let second = [
        "0x198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2",
        "0x1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed",
        "0x090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b",
        "0x12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa",
    ];
    let one = |factor: &i8| {
        let (x, y) = match factor {
            0 => (U256::ZERO, U256::ZERO),
            1.. => (U256::from(1), U256::from(2)),
            _ => (U256::from(1), modulus - U256::from(2)),
        };
        let words = [x, y].into_iter().chain(second.map(word));
        words.flat_map(|word| word.to_be_bytes::<32>()).collect::<Vec<u8>>()
    };
    factors.iter().flat_map(one).collect()
}

/// A multiple of a point on alt_bn128, or of none.
fn multiple(scalar: U256, is_point: bool) -> Vec<u8> {
    let [x, y] = [U256::from(1), U256::from(if is_point { 2 } else { 3 })];
    [x, y, scalar].map(|word| word.to_be_bytes::<32>()).concat()
}

/// An evaluation of the polynomial zero at any point, said to give this.
fn evaluation(value: u8) -> Vec<u8> {
    let mut infinity = [0; 48];
    infinity[0] = 0xc0;
    let [mut at, mut gives] = [[0; 32]; 2];
    (at[31], gives[31]) = (77, value);
    [&kzg_to_versioned_hash(&infinity)[..], &at, &gives, &infinity, &infinity].concat()
}

/// Right and wrong data for each of them.
fn samples() -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    for factors in
        [&[1, -1][..], &[1, 1], &[1, -1, 1, -1], &[1, 1, -1, -1, 0, 1], &[0, 0], &[0, 1, -1], &[1]]
    {
        all.push((PAIRING, pairs(factors)));
    }
    for scalar in [U256::ZERO, U256::from(9), U256::MAX / U256::from(3), U256::MAX] {
        all.extend([true, false].map(|is_point| (MULTIPLICATION, multiple(scalar, is_point))));
    }
    all.push((MULTIPLICATION, Vec::new()));
    all.push((MULTIPLICATION, multiple(U256::MAX, true)[..70].to_vec()));
    all.push((PAIRING, Vec::new()));
    all.push((PAIRING, pairs(&[1, -1])[1..].to_vec()));
    all.extend([0, 1].map(|value| (EVALUATION, evaluation(value))));
    all.push((EVALUATION, evaluation(0)[..191].to_vec()));
    all.push((EVALUATION, B256::ZERO.repeat(6)));
    all
}

/// A state with a contract for each of them.
fn start(fork: Fork) -> Scene {
    let mut scene = Scene::new(fork);
    for precompile in [MULTIPLICATION, PAIRING, EVALUATION] {
        scene.contract(verifier(precompile), code(precompile), 0);
    }
    scene
}

/// A block of such calls; some data is damaged, some gas is too little.
fn send(scene: &mut Scene, count: u8, rng: &mut SmallRng) {
    let samples = samples();
    for sender in 0..count {
        let (precompile, mut data) = samples.choose(rng).unwrap().clone();
        if rng.random_ratio(1, 6) && !data.is_empty() {
            let at = rng.random_range(0..data.len());
            data[at] ^= 1 << rng.random_range(0..8);
        }
        let gas = if rng.random_ratio(1, 5) { rng.random_range(110_000..400_000) } else { 900_000 };
        // Now and then the precompile itself is what is called.
        let to = if rng.random_ratio(1, 6) {
            Address::with_last_byte(precompile)
        } else {
            verifier(precompile)
        };
        scene.send(sender % 6, Tx::to(to).data(data).gas(gas));
    }
}

fn engines() -> Vec<Engine> {
    let only = Optimisations { shared_checks: true, ..Optimisations::NONE };
    let without = Optimisations { shared_checks: false, ..Optimisations::ALL };
    let endomorphism = Optimisations { endomorphism: true, ..Optimisations::NONE };
    let bitwise = Optimisations { endomorphism: false, ..Optimisations::ALL };
    common::engines(&[
        (1, true, Optimisations::ALL),
        (2, true, Optimisations::ALL),
        (2, false, Optimisations::ALL),
        (3, true, only),
        (8, true, Optimisations::ALL),
        (8, true, only),
        (3, true, without),
        (2, true, endomorphism),
        (3, true, bitwise),
    ])
}

#[test]
fn whoever_takes_part_the_block_is_the_same() {
    let engines = engines();
    let forks = [Fork::Byzantium, Fork::Istanbul, Fork::Cancun, Fork::Osaka, Fork::Amsterdam];
    for fork in forks {
        for seed in 0..18 {
            // The shortest blocks run on the calling thread, whom the others help all the same.
            let count = [24, 2, 1][seed as usize % 3];
            let mut scene = start(fork);
            send(&mut scene, count, &mut SmallRng::seed_from_u64(seed));
            scene.compare(&format!("{fork:?}, seed {seed}"), &engines);
        }
    }
}

#[test]
fn ranges_are_the_same() {
    let mut story = Story::new(start(Fork::Osaka));
    let mut rng = SmallRng::seed_from_u64(99);
    for count in [16, 3, 1, 24, 8] {
        send(&mut story.scene, count, &mut rng);
        story.next();
    }
    let line = story.line();
    for engine in engines() {
        line.compare("as a range", &engine, &line.state);
    }
}

/// The samples are what they are called: else the test above would compare failures.
#[test]
fn the_samples_are_right_and_wrong() {
    let answer = |(precompile, data): &(u8, Vec<u8>)| {
        let mut scene = Scene::new(Fork::Osaka);
        scene.contract(verifier(*precompile), code(*precompile), 0);
        scene.send(0, Tx::to(verifier(*precompile)).data(data.clone()).gas(900_000));
        let run = scene.run();
        [0, 1].map(|slot| run.slot(verifier(*precompile), slot).wrapping_to::<u64>())
    };
    let of = |precompile: u8| {
        let samples = samples().into_iter().filter(move |(of, _)| *of == precompile);
        samples.map(|sample| answer(&sample)).collect::<Vec<_>>()
    };
    let (yes, no, failed) = ([1, 1], [1, 0], 0);
    let multiples: Vec<u64> = of(MULTIPLICATION).iter().map(|[said, _]| *said).collect();
    assert_eq!(multiples, [1, failed, 1, failed, 1, failed, 1, failed, 1, 1]);
    let pairings = of(PAIRING);
    assert_eq!(pairings[..7], [yes, no, yes, no, yes, yes, no]);
    assert_eq!((pairings[7], pairings[8][0]), (yes, failed));
    let evaluations: Vec<u64> = of(EVALUATION).iter().map(|[said, _]| *said).collect();
    assert_eq!(evaluations, [1, failed, failed, failed]);
}
