//! Speculation and validation as steps of their own: a host that executes one transaction after
//! the other takes what was speculated, and gives exactly what it gives without it.

mod common;

use alloy_primitives::{Address, U256};
use braid_core::{
    Engine, Optimisations, Options, OutputKind,
    engine::{CancelToken, Limits},
    sequential::execute_stock,
    source::Location,
};
use braid_shadow::recorded::RecordedBlock;
use braid_workload::{Kind, Mix, Settings, generate};
use common::{
    host::{self, Habits, HostState, Met, Plain},
    jittery::Jittery,
    late::{Trouble, Troubled},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use revm::{
    Database, DatabaseCommit,
    state::{Account, EvmState, EvmStorageSlot, TransactionId},
};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn engine(threads: usize, optimisations: Optimisations) -> Engine {
    Engine::new(Options { threads, optimisations, ..Options::default() })
}

fn everything() -> Vec<RecordedBlock> {
    let mut records = common::recorded_blocks("mainnet");
    records.extend(common::recorded_blocks("witness"));
    records
}

/// Sequential execution of a block and a host's with a speculation, compared.
fn check(engine: &Engine, record: &RecordedBlock, habits: &mut dyn Habits, seed: u64) -> Met {
    let source = record.state.source();
    let jittery = Jittery::new(source, 32, seed);
    let (chain, block) = (&record.chain, &record.block);
    let limits = Limits::default();
    let (outcome, met) = engine.speculate(chain, block, &jittery, &limits, |speculation| {
        host::execute(record, source, speculation, habits)
    });
    let stock = execute_stock(chain, block, source, OutputKind::Bundle).unwrap();
    common::assert_same(&format!("{} {:?}", record.number(), engine.options()), &stock, &outcome);
    met
}

#[test]
fn a_host_with_speculation_gives_what_it_gives_without() {
    let (all, none) = (Optimisations::ALL, Optimisations::NONE);
    let records = everything();
    for (threads, optimisations) in [(1, all), (2, all), (4, none), (8, all)] {
        let engine = engine(threads, optimisations);
        let mut total = Met::default();
        for record in &records {
            let met = check(&engine, record, &mut Plain, threads as u64);
            total.valid += met.valid;
            total.stale += met.stale;
            total.absent += met.absent;
        }
        println!("{threads} threads: {total:?}");
        let some = total.valid + total.stale + total.absent > 0;
        assert!(!some || (total.valid > 0) == (threads > 1), "{threads}: {total:?}");
    }
}

/// A host that asks only now and then, and at some point forgets to tell what it has committed.
struct Careless(StdRng);

impl Habits for Careless {
    fn asks(&mut self, _index: usize) -> bool {
        self.0.random_range(0..3) > 0
    }

    fn tells(&mut self, index: usize) -> bool {
        index < 40 || self.0.random_range(0..8) > 0
    }
}
#[test]
fn a_careless_host_is_slower_but_never_wrong() {
    let engine = engine(4, Optimisations::ALL);
    for (seed, record) in everything().iter().enumerate() {
        let rng = StdRng::seed_from_u64(seed as u64);
        check(&engine, record, &mut Careless(rng), seed as u64);
    }
}

/// Changes the host's state behind the speculation's back.
struct Tampering {
    rng: StdRng,
    /// What transactions of this block are likely to read.
    places: Vec<(Address, Option<U256>)>,
    tampered: usize,
}

impl Habits for Tampering {
    fn before(&mut self, _index: usize, state: &mut HostState<'_>) {
        if self.rng.random_range(0..2) == 0 {
            return;
        }
        let (address, slot) = self.places[self.rng.random_range(0..self.places.len())];
        let Some(info) = state.basic(address).unwrap() else { return };
        let mut account = Account::from(info);
        account.mark_touch();
        match slot {
            None => account.info.balance += U256::from(self.rng.random_range(1..1_000)),
            Some(slot) => {
                let before = state.storage(address, slot).unwrap();
                let after = before ^ U256::from(self.rng.random_range(1..4));
                let value = EvmStorageSlot::new_changed(before, after, TransactionId::ZERO);
                account.storage.insert(slot, value);
            }
        }
        state.commit(EvmState::from_iter([(address, account)]));
        self.tampered += 1;
    }
}

#[test]
fn a_host_whose_state_differs_gets_what_its_state_gives() {
    // The comparison with the host's own execution is made in `host::execute`, at each index.
    let engine = engine(4, Optimisations::ALL);
    let (mut total, mut tampered) = (Met::default(), 0);
    for kind in [Kind::Transfers, Kind::Erc20, Kind::Swaps, Kind::Scores, Kind::Tips] {
        let mix: Mix = format!("{kind}=1").parse().unwrap();
        let settings = Settings { blocks: 2, transactions: 60, contention: 0.3, seed: 7, mix };
        for record in generate(&settings, &mut |_, _| {}).unwrap() {
            let source = record.state.source();
            let (chain, block) = (&record.chain, &record.block);
            let stock = execute_stock(chain, block, source, OutputKind::Flat).unwrap();
            let mut places = Vec::new();
            for change in &stock.state.to_flat().accounts {
                places.push((change.address, None));
                places.extend(change.storage.iter().map(|(slot, _)| (change.address, Some(*slot))));
            }
            let rng = StdRng::seed_from_u64(record.number());
            let mut habits = Tampering { rng, places, tampered: 0 };
            let limits = Limits::default();
            let (_, met) = engine.speculate(chain, block, source, &limits, |speculation| {
                host::execute(&record, source, speculation, &mut habits)
            });
            tampered += habits.tampered;
            total.valid += met.valid;
            total.stale += met.stale;
        }
    }
    assert!(tampered > 100 && total.stale > 10 && total.valid > 100, "{tampered}, {total:?}");
}

#[test]
fn a_source_that_fails_under_the_speculation_fails_nothing() {
    let engine = engine(4, Optimisations::ALL);
    for record in common::recorded_blocks("mainnet").iter().take(12) {
        let source = record.state.source();
        let (chain, block) = (&record.chain, &record.block);
        let stock = execute_stock(chain, block, source, OutputKind::Bundle).unwrap();
        let accounts: Vec<_> = stock.state.to_flat().accounts;
        for trouble in [Trouble::Error, Trouble::ErrorOnce, Trouble::Panic, Trouble::Delay] {
            for account in accounts.iter().step_by(accounts.len() / 4 + 1) {
                let place = Location::Account(account.address);
                let troubled = Troubled::new(source, vec![(place, trouble)]);
                let limits = Limits::default();
                let (outcome, _) = engine.speculate(chain, block, &troubled, &limits, |ahead| {
                    host::execute(record, source, ahead, &mut Plain)
                });
                common::assert_same(&format!("{} {trouble:?}", record.number()), &stock, &outcome);
            }
        }
    }
}

#[test]
fn limits_and_panics_end_the_speculation_and_nothing_else() {
    let engine = engine(4, Optimisations::ALL);
    let Some(record) = common::recorded_blocks("mainnet").into_iter().last() else { return };
    let source = record.state.source();
    let (chain, block) = (&record.chain, &record.block);
    let cancel = CancelToken::default();
    cancel.cancel();
    let late = Some(std::time::Instant::now());
    for limits in [
        Limits { cancel: Some(cancel), ..Limits::default() },
        Limits { deadline: late, ..Limits::default() },
    ] {
        let stock = execute_stock(chain, block, source, OutputKind::Bundle).unwrap();
        let (outcome, met) = engine.speculate(chain, block, source, &limits, |speculation| {
            let done = host::execute(&record, source, speculation, &mut Plain);
            assert!(!speculation.is_running());
            done
        });
        assert_eq!(met.valid, 0);
        common::assert_same("limited", &stock, &outcome);
    }
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        engine.speculate(chain, block, source, &Limits::default(), |speculation| {
            speculation.take(0);
            panic!("planted")
        })
    }));
    assert!(panicked.is_err(), "the host's panic goes on to the caller");
    // A host that leaves at once.
    let next = engine.speculate(chain, block, source, &Limits::default(), |ahead| ahead.next());
    assert_eq!(next, 0);
    let stock = execute_stock(chain, block, source, OutputKind::Flat).unwrap();
    common::assert_same("after", &stock, &engine.execute(chain, block, source).unwrap());
}
