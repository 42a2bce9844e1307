//! Hashes that an EVM remembers change nothing: neither what they are, nor gas, nor memory.
//!
//! A contract hashes what its data names of its memory, looks at gas and memory after each hash,
//! changes a word and hashes again; places are chosen at the edges of what can be remembered: other
//! lengths, beyond the memory, beyond all memory, and with gas that ends at one of the hashes.

mod common;

use alloy_hardforks::EthereumHardfork as Fork;
use alloy_primitives::{Address, U256};
use braid_core::{Engine, Optimisations, OutputKind};
use common::{
    asm::{Code, asm},
    scene::Scene,
    tx::Tx,
};
use rand::{Rng, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use revm::bytecode::opcode as op;

const HASHER: Address = Address::repeat_byte(0xa5);

/// Hashes what the data's first two words name; keeps the hash, what gas is left, and how much
/// memory there is, in three slots from this one on.
fn hash(code: &mut Code, slot: u8) {
    code.arg(32).arg(0).op(op::KECCAK256).op(op::GAS);
    code.store(slot + 1).store(slot).op(op::MSIZE).store(slot + 2);
}

/// Three times the same, then with another word in it, then as it was.
fn hasher() -> Vec<u8> {
    asm(|code| {
        code.data_to_memory().op(op::POP);
        for time in 0..3 {
            hash(code, 1 + 3 * time);
        }
        let word = |code: &mut Code| {
            code.push(64).op(op::MLOAD).op(op::NOT).push(64).op(op::MSTORE);
        };
        word(code);
        hash(code, 10);
        hash(code, 13);
        word(code);
        hash(code, 16);
        code
    })
}

fn data(rng: &mut SmallRng) -> Vec<u8> {
    let far = [U256::from(u32::MAX), U256::from(u64::MAX - 31), U256::MAX];
    let offset = match rng.random_range(0..12) {
        0 => *far.choose(rng).unwrap(),
        1..4 => U256::from(rng.random_range(0..400)),
        _ => U256::from([0, 32, 64, 96, 128].choose(rng).copied().unwrap()),
    };
    let len = match rng.random_range(0..12) {
        0 => *far.choose(rng).unwrap(),
        1..4 => U256::from([0, 1, 32, 63, 65, 96, 128].choose(rng).copied().unwrap()),
        _ => U256::from(64),
    };
    // Few keys, so that calls of one worker and of others repeat each other's.
    let key = U256::from(rng.random_range(0..3));
    let words = [offset, len, key, U256::from(rng.random_range(0..2)), U256::MAX];
    words.map(|word| word.to_be_bytes::<32>()).concat()
}

fn send(scene: &mut Scene, count: u8, rng: &mut SmallRng) {
    for sender in 0..count {
        // From too little for the first hash up to enough for all that is stored.
        let gas = if rng.random_ratio(1, 3) { rng.random_range(32_500..460_000) } else { 500_000 };
        scene.send(sender % 5, Tx::to(HASHER).data(data(rng)).gas(gas));
    }
}

fn engines() -> Vec<Engine> {
    let only = Optimisations { hashes: true, ..Optimisations::NONE };
    let without = Optimisations { hashes: false, ..Optimisations::ALL };
    common::engines(&[
        (1, true, Optimisations::ALL),
        (1, false, Optimisations::ALL),
        (2, true, Optimisations::ALL),
        (3, true, only),
        (8, true, Optimisations::ALL),
        (2, true, without),
    ])
}

#[test]
fn what_is_remembered_changes_nothing() {
    let engines = engines();
    for fork in [Fork::Frontier, Fork::Homestead, Fork::London, Fork::Cancun, Fork::Amsterdam] {
        for seed in 0..24 {
            let mut scene = Scene::new(fork);
            scene.contract(HASHER, hasher(), 0);
            send(&mut scene, [20, 6, 1][seed as usize % 3], &mut SmallRng::seed_from_u64(seed));
            scene.compare(&format!("{fork:?}, seed {seed}"), &engines);
        }
    }
}

/// With every amount of gas from none left after the first hashes to plenty: wherever it ends, it
/// ends there for everybody.
#[test]
fn gas_ends_where_it_ends() {
    let words = [96u64, 64, 7, 1, 0].map(|word| U256::from(word).to_be_bytes::<32>());
    let mut scene = Scene::new(Fork::London);
    // Nothing but hashes, so that gas ends at one of them most of the time.
    let only = asm(|code| {
        code.data_to_memory().op(op::POP);
        for _ in 0..8 {
            code.arg(32).arg(0).op(op::KECCAK256).op(op::POP);
        }
        code
    });
    scene.contract(HASHER, only, 0);
    for extra in 0..250 {
        scene.send(
            extra % 5,
            Tx::to(HASHER).data(words.concat()).gas(22_000 + 4 * u64::from(extra)),
        );
    }
    let stock = scene.stock(OutputKind::Flat);
    let receipts = &stock.as_ref().unwrap().receipts;
    let failed = receipts.iter().filter(|receipt| !receipt.success).count();
    assert!((20..230).contains(&failed), "{failed} of 250 ran out of gas");
    scene.compare("gas that ends", &engines());
}
