//! What an engine has learned, rightly or wrongly, decides when something runs and never what it
//! gives.

mod common;

use alloy_hardforks::EthereumHardfork as Fork;
use alloy_primitives::{Address, U256};
use braid_core::{
    Engine, Optimisations, Options, OutputKind, SourceError, StateReader, StateSource,
    engine::PredictionsError,
    sequential::execute_stock,
    source::{HookedReader, Location, MemoryState},
};
use braid_workload::Settings;
use common::{asm::asm, line::Line, scene::Scene, tx::Tx};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::{
    sync::{Condvar, Mutex},
    time::Duration,
};

/// Forced, since a fallback would hide faults; engines that learn and one that does not.
fn engines() -> Vec<Engine> {
    let without = Optimisations { learning: false, ..Optimisations::ALL };
    let only = Optimisations { learning: true, ..Optimisations::NONE };
    [(2, Optimisations::ALL), (2, only), (3, Optimisations::ALL), (8, only), (2, without)]
        .map(|(threads, optimisations)| {
            Engine::new(Options { threads, optimisations, forced: true, ..Options::default() })
        })
        .into()
}

fn line(contention: f64, seed: u64) -> Line {
    Line::generated(&Settings {
        blocks: 6,
        transactions: 60,
        contention,
        seed,
        ..Settings::default()
    })
}

/// Executes the blocks one after the other, each on what those before it left, and compares.
fn compare(engine: &Engine, line: &Line, what: &str) {
    let mut state = line.state.clone();
    for (index, block) in line.blocks.iter().enumerate() {
        let stock = execute_stock(&line.chain, block, &state, OutputKind::Flat).unwrap();
        for run in 0..2 {
            let outcome = engine.execute(&line.chain, block, &state).unwrap();
            let what = format!("{what}, block {index}, run {run}, {:?}", engine.options());
            common::assert_same(&what, &stock, &outcome);
        }
        state.apply(&stock.state.to_flat());
    }
}

#[test]
fn learning_over_many_blocks_changes_nothing() {
    for engine in engines() {
        for (seed, contention) in [(1, 0.0), (2, 0.3), (3, 0.8), (4, 1.0)] {
            compare(&engine, &line(contention, seed), &format!("contention {contention}"));
        }
    }
}

#[test]
fn any_predictions_change_nothing() {
    let blocks = line(0.5, 5);
    for engine in engines().into_iter().filter(|engine| engine.options().optimisations.learning) {
        compare(&engine, &blocks, "untaught");
        let learned = engine.save_predictions();
        assert!(learned.len() > 100, "the engine has learned something");
        let mut rng = SmallRng::seed_from_u64(6);
        for round in 0..4 {
            // The keys stay what they are, costs, scores and uses become anything.
            let mut wrong = learned.clone();
            let entries = wrong.len() % 16;
            for value in wrong[entries..].chunks_exact_mut(16) {
                rng.fill(&mut value[8..]);
            }
            engine.load_predictions(&wrong).unwrap();
            compare(&engine, &blocks, &format!("wrong predictions {round}"));
        }
        engine.forget_predictions();
        assert!(engine.save_predictions().len() < 100);
    }
}

#[test]
fn ranges_learn_too() {
    let blocks = line(0.5, 7);
    for engine in engines() {
        for _run in 0..2 {
            blocks.compare("as a range", &engine, &blocks.state);
        }
        let learned = engine.save_predictions().len() > 100;
        assert_eq!(learned, engine.options().optimisations.learning);
    }
}

#[test]
fn an_engine_goes_on_from_what_another_one_saved() {
    let blocks = line(0.3, 8);
    let all = engines();
    compare(&all[0], &blocks, "the first engine");
    let saved = all[0].save_predictions();
    all[1].load_predictions(&saved).unwrap();
    assert_eq!(all[1].save_predictions().len(), saved.len());
    compare(&all[1], &blocks, "the second engine");
    for damaged in [&b""[..], b"braid predictions 0\n", &saved[..saved.len() - 3]] {
        let error = all[1].load_predictions(damaged).unwrap_err();
        assert!(matches!(error, PredictionsError::Format | PredictionsError::Length(_)));
    }
    compare(&all[1], &blocks, "after damaged predictions");
}

/// A call of `FIRST` reads a slot of its own, then counts in `SHARED`; one of `SECOND` only counts.
const FIRST: Address = Address::repeat_byte(0xa1);
const SECOND: Address = Address::repeat_byte(0xa2);
const SHARED: Address = Address::repeat_byte(0xa3);

/// Lets the read of `FIRST`'s slot wait until the counter is read, or nobody will.
struct Overtaken<'s> {
    state: &'s MemoryState,
    counter_read: Mutex<bool>,
    changed: Condvar,
    patience: Duration,
}

impl<'s> Overtaken<'s> {
    fn new(state: &'s MemoryState, patience: Duration) -> Self {
        let (counter_read, changed) = (Mutex::new(false), Condvar::new());
        Self { state, counter_read, changed, patience }
    }

    fn reads(&self, location: Location) {
        if location == Location::Storage(SHARED, U256::ZERO) {
            *self.counter_read.lock().unwrap() = true;
            self.changed.notify_all();
        }
        if location == Location::Storage(FIRST, U256::from(1)) {
            let waits = |read: &mut bool| !*read;
            let read = self.counter_read.lock().unwrap();
            let (_read, _late) =
                self.changed.wait_timeout_while(read, self.patience, waits).unwrap();
        }
    }
}

impl StateSource for Overtaken<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(HookedReader::new(self.state.reader()?, |location| {
            self.reads(location);
            Ok(())
        })))
    }
}

fn two_calls() -> Scene {
    let mut scene = Scene::new(Fork::Shanghai);
    scene.contract(FIRST, asm(|code| code.load(1).call(SHARED, 0)), 0);
    scene.contract(SECOND, asm(|code| code.call(SHARED, 0)), 0);
    scene.contract(SHARED, asm(|code| code.count(0)), 0);
    scene.send(0, Tx::to(FIRST).arg(1));
    scene.send(1, Tx::to(SECOND).arg(1));
    scene
}

#[test]
fn a_call_waits_in_later_blocks_for_the_one_of_another_contract_that_it_had_overtaken() {
    let scene = two_calls();
    let stock = scene.stock(OutputKind::Flat).expect("a valid block");
    let without = Optimisations { learned_dependencies: false, ..Optimisations::ALL };
    let engine = |optimisations| {
        Engine::new(Options { threads: 2, optimisations, forced: true, ..Options::default() })
    };
    let execute = |engine: &Engine, patience: Duration| {
        let source = Overtaken::new(&scene.state, patience);
        let outcome = engine.execute(&scene.chain, &scene.block, &source).expect("a valid block");
        common::assert_same(&format!("{:?}", engine.options()), &stock, &outcome);
        outcome.statistics.reexecutions
    };
    // Long where the second call is to come, short where it is not.
    let (long, short) = (Duration::from_secs(20), Duration::from_millis(100));
    let (learns, does_not) = (engine(Optimisations::ALL), engine(without));
    assert_eq!(execute(&learns, long), 1);
    assert_eq!(execute(&learns, short), 0, "it waits");
    assert_eq!(execute(&learns, short), 0, "and that says little against it");
    assert_eq!(execute(&does_not, long), 1);
    assert_eq!(execute(&does_not, long), 1, "calls of its own contract are not what it reads");
    let told = engine(Optimisations::ALL);
    told.load_predictions(&learns.save_predictions()).unwrap();
    assert_eq!(execute(&told, short), 0, "it is saved and loaded");
}
