//! What both test programs use: patience, sizes, and the workload.

use alloy_consensus::transaction::Recovered;
use braid_core::Transaction;
use braid_workload::{Generator, Settings};
use serde_json::Value;
use std::time::{Duration, Instant};

/// How long anything may take before a test fails; never a measure of speed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// A number from the environment, or the short form's.
pub(crate) fn amount(name: &str, short: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}: not a number: {text}")),
        Err(_) => short,
    }
}

/// Waits until `ask` has an answer.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The workload: so many senders with one transaction each in a block, of every kind but blobs,
/// whose sidecars it does not make.
pub(crate) fn generator(senders: usize, seed: u64) -> Generator {
    let mix = "transfers=24,erc20=24,swaps=16,liquidity=3,orders=5,mints=6,scores=4,supply=4,\
               consents=4,lifecycle=3,delegations=3,tips=2,deploys=2,requests=1";
    let mix = mix.parse().expect("a mix");
    let settings = Settings { transactions: senders, seed, mix, ..Settings::default() };
    Generator::new(&settings).expect("a workload")
}

/// A genesis file, and transactions that are valid on its chain in their order.
#[allow(dead_code)]
pub(crate) fn tape(
    senders: usize,
    batches: usize,
    seed: u64,
) -> (Value, Vec<Recovered<Transaction>>) {
    let mut generator = generator(senders, seed);
    let genesis = generator.genesis();
    let mut tape = Vec::with_capacity(senders * batches);
    for _ in 0..batches {
        tape.extend(generator.next_block().expect("a block").record.block.transactions);
    }
    (genesis, tape)
}
