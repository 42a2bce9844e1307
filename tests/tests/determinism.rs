//! The same block, many runs, many thread counts, random delays in the source: the same bytes.
//!
//! The short form runs here; `BRAID_DETERMINISM_RUNS=100` is the long one.

mod common;

use alloy_primitives::{Address, B256, U256};
use braid_core::{
    Engine, Options, OutputKind, SourceError, StateReader, StateSource, sequential::execute_stock,
};
use revm::{bytecode::Bytecode, state::AccountInfo};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Delays reads by a pseudo-random time, so that every run meets another schedule.
struct Jittery<'a> {
    inner: &'a dyn StateSource,
    state: AtomicU64,
}

struct JitteryReader<'a> {
    inner: Box<dyn StateReader + 'a>,
    source: &'a Jittery<'a>,
}

impl StateSource for Jittery<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(JitteryReader { inner: self.inner.reader()?, source: self }))
    }
}

impl JitteryReader<'_> {
    fn delay(&self) {
        let step = 0x9e37_79b9_7f4a_7c15;
        let mut x = self.source.state.fetch_add(step, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^= x >> 27;
        match x % 64 {
            0 => std::thread::sleep(Duration::from_micros(x >> 8 & 63)),
            1..8 => std::thread::yield_now(),
            _ => {}
        }
    }
}

impl StateReader for JitteryReader<'_> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        self.delay();
        self.inner.account(address)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        self.delay();
        self.inner.storage(address, slot)
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError> {
        self.delay();
        self.inner.code(hash)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        self.delay();
        self.inner.block_hash(number)
    }
}

#[test]
fn twenty_blocks_give_the_same_bytes_in_every_run() {
    let runs = std::env::var("BRAID_DETERMINISM_RUNS").ok().and_then(|runs| runs.parse().ok());
    let runs: usize = runs.unwrap_or(4);
    let mut records = common::recorded_blocks("mainnet");
    records.retain(|record| record.block.transactions.len() >= 15);
    records.truncate(20);
    for output in [OutputKind::Flat, OutputKind::Bundle] {
        let engines = [1, 2, 3, 5, 8, 16].map(|threads| {
            Engine::new(Options { threads, output, forced: true, ..Options::default() })
        });
        for record in &records {
            let source = record.state.source();
            let stock = execute_stock(&record.chain, &record.block, source, output).unwrap();
            for run in 0..runs {
                let engine = &engines[run % engines.len()];
                let jittery = Jittery { inner: source, state: AtomicU64::new(run as u64) };
                let outcome = engine.execute(&record.chain, &record.block, &jittery).unwrap();
                let what = format!("{}, run {run}, {:?}", record.number(), engine.options());
                common::assert_same(&what, &stock, &outcome);
            }
        }
    }
}
