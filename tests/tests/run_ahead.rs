//! Executions that run ahead of slow reads: several threads read what one transaction needs, each
//! place once, and no guess ever shows.

mod common;

use alloy_hardforks::EthereumHardfork as Fork;
use alloy_primitives::{Address, U256};
use braid_core::{
    Engine, ExecuteError, HostError, Optimisations, Options, OutputKind, SourceError, StateReader,
    StateSource,
    engine::{CancelToken, Limits},
    sequential::execute_stock,
    source::{HookedReader, Location},
};
use common::{
    asm::{Code, asm},
    late::{Trouble, Troubled},
    scene::Scene,
    tx::Tx,
};
use revm::bytecode::opcode as op;
use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

const STORE: Address = Address::repeat_byte(0xa1);
const OTHER: Address = Address::repeat_byte(0xa2);

/// A source with reads that take a while. Notes how many threads read at once, and what.
struct Slow<'a> {
    inner: &'a dyn StateSource,
    takes: Duration,
    reading: AtomicUsize,
    most: AtomicUsize,
    seen: Mutex<HashMap<Location, usize>>,
    /// Called before each read with its number.
    hook: Box<dyn Fn(usize) + Sync + 'a>,
}

impl<'a> Slow<'a> {
    fn new(inner: &'a dyn StateSource) -> Self {
        let (reading, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let takes = Duration::from_micros(50);
        Self { inner, takes, reading, most, seen: Mutex::default(), hook: Box::new(|_| {}) }
    }

    fn read(&self, location: Location) {
        let now = self.reading.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let number = {
            let mut seen = self.seen.lock().unwrap();
            *seen.entry(location).or_default() += 1;
            seen.len()
        };
        (self.hook)(number);
        thread::sleep(self.takes);
        self.reading.fetch_sub(1, Ordering::SeqCst);
    }

    /// How many threads have read at once at most.
    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    fn places(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl StateSource for Slow<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        let note = |location| {
            self.read(location);
            Ok(())
        };
        Ok(Box::new(HookedReader::new(self.inner.reader()?, note)))
    }

    fn is_slow(&self) -> bool {
        true
    }
}

fn engine(threads: usize, optimisations: Optimisations) -> Engine {
    Engine::new(Options { threads, forced: true, optimisations, ..Options::default() })
}

/// Run ahead alone, and with everything else.
fn engines() -> Vec<Engine> {
    let only = Optimisations { run_ahead: true, ..Optimisations::NONE };
    let (all, without) =
        (Optimisations::ALL, Optimisations { run_ahead: false, ..Optimisations::ALL });
    [(8, all), (8, only), (3, all), (2, only), (8, without)]
        .map(|(threads, optimisations)| engine(threads, optimisations))
        .into()
}

/// A block in which one transaction runs this code.
fn scene(code: Vec<u8>) -> Scene {
    let mut scene = Scene::new(Fork::Osaka);
    scene.contract(STORE, code, 1_000_000);
    scene.send(0, Tx::to(STORE).gas(8_000_000));
    scene
}

/// Executes the block several times on a slow state and compares it with stock execution; gives
/// the number of places that were read at most, and how many threads have read at once.
fn check(scene: &Scene) -> (usize, usize) {
    let stock = scene.stock(OutputKind::Flat);
    let (mut places, mut most) = (0, 0);
    for engine in engines() {
        for _ in 0..3 {
            let slow = Slow::new(&scene.state);
            let outcome = engine.execute(&scene.chain, &scene.block, &slow);
            common::scene::assert_same(&format!("{:?}", engine.options()), &stock, &outcome);
            let twice = slow.seen.lock().unwrap().iter().find(|(_, count)| **count > 1).is_some();
            assert!(!twice, "a place was read twice");
            places = places.max(slow.places());
            most = most.max(slow.most());
        }
    }
    (places, most)
}

/// Adds `count` slots from `first` on to memory, one after the other.
fn sum(code: &mut Code, first: u8, count: u8) -> &mut Code {
    (first..first + count).for_each(|slot| {
        code.load(slot).push(0).op(op::MLOAD).op(op::ADD).push(0).op(op::MSTORE);
    });
    code
}

#[test]
fn several_threads_read_what_one_transaction_needs() {
    let code = asm(|code| sum(code, 0, 200).push(0).op(op::MLOAD).store(250));
    let mut scene = scene(code);
    (0..200).for_each(|slot| {
        scene.slot(STORE, slot, 7);
    });
    let (places, most) = check(&scene);
    assert!(most > 2, "no more than {most} threads have read at once");
    let stock = Slow { takes: Duration::ZERO, ..Slow::new(&scene.state) };
    execute_stock(&scene.chain, &scene.block, &stock, OutputKind::Flat).unwrap();
    assert!(places <= stock.places() + 8, "{places} places, sequentially {}", stock.places());
}

#[test]
fn a_guess_that_leads_to_a_revert_is_no_result() {
    // Each slot has to be other than zero, which is what an unread one is taken for.
    let mut program = Code::default();
    for slot in 0..100 {
        let after = u16::try_from(program.0.len() + 12).unwrap().to_be_bytes();
        program.load(slot).0.extend([op::PUSH2, after[0], after[1]]);
        program.op(op::JUMPI).push(0).push(0).op(op::REVERT).op(op::JUMPDEST);
    }
    program.push(1).store(200);
    let mut scene = scene(program.build());
    (0..100).for_each(|slot| {
        // No two alike: there is no pattern to go by.
        scene.slot(STORE, slot, slot * slot + 1);
    });
    check(&scene);
    assert_eq!(scene.run().slot(STORE, 200), U256::from(1));
}

#[test]
fn a_guess_that_leads_to_places_without_end_ends() {
    // From slot 0 on, until a slot is other than zero: a guess never ends it, the state does.
    let mut program = Code::default();
    sum(&mut program, 0, 20);
    program.push(20);
    let start = u8::try_from(program.0.len()).unwrap_or_default();
    assert_eq!(usize::from(start), program.0.len());
    program.op(op::JUMPDEST).push(1).op(op::ADD).op(op::DUP1).op(op::SLOAD).op(op::ISZERO);
    program.push(start).op(op::JUMPI).store(255);
    let mut scene = scene(program.build());
    scene.slot(STORE, 23, 9);
    let (places, _) = check(&scene);
    assert!(places < 150, "{places} places");
    assert_eq!(scene.run().slot(STORE, 255), U256::from(23));
}

#[test]
fn a_chain_of_pointers_is_followed_to_its_end() {
    let mut program = Code::default();
    program.push(1);
    (0..120).for_each(|_| {
        program.op(op::SLOAD);
    });
    program.store(0);
    let mut scene = scene(program.build());
    (1..=121).for_each(|slot| {
        scene.slot(STORE, slot, slot + 1);
    });
    check(&scene);
    assert_eq!(scene.run().slot(STORE, 0), U256::from(121));
}

#[test]
fn accounts_that_were_guessed_missing_are_what_they_are() {
    // Pays thirty accounts, some of which exist and one of which has code that refuses.
    let refusing = Address::repeat_byte(30);
    let program = asm(|code| {
        sum(code, 0, 20);
        for byte in 20..50 {
            let account = Address::repeat_byte(byte);
            code.call(account, 1).address(account).op(op::BALANCE).op(op::ADD);
            code.address(account).op(op::EXTCODESIZE).op(op::ADD).store(byte);
        }
        code
    });
    let mut scene = scene(program);
    (20..50).step_by(3).for_each(|byte| {
        scene.fund(Address::repeat_byte(byte), 100 + u64::from(byte));
    });
    scene.contract(refusing, asm(|code| code.push(0).push(0).op(op::REVERT)), 5);
    check(&scene);
    let post = scene.run();
    assert_eq!(post.balance(refusing), 5);
    assert_eq!(post.balance(Address::repeat_byte(21)), 1);
}

#[test]
fn long_transactions_that_conflict_see_each_other() {
    // Each adds the sum of sixty slots to a counter, and moves the slots that the next one reads.
    let program = asm(|code| {
        sum(code, 0, 60).load(200).push(0).op(op::MLOAD).op(op::ADD).store(200);
        (0..60).step_by(7).for_each(|slot| {
            code.count(slot);
        });
        code
    });
    let mut scene = scene(program.clone());
    scene.contract(OTHER, program, 0);
    for from in 1..6 {
        scene.send(from, Tx::to(if from % 2 == 0 { STORE } else { OTHER }).gas(4_000_000));
    }
    (0..60).for_each(|slot| {
        scene.slot(STORE, slot, slot).slot(OTHER, slot, 3);
    });
    check(&scene);
}

#[test]
fn a_read_that_fails_is_the_hosts_failure_and_where_nobody_needs_it_nothing() {
    let code = asm(|code| sum(code, 0, 100).push(0).op(op::MLOAD).store(250));
    let scene = scene(code);
    let stock = scene.stock(OutputKind::Flat);
    for trouble in [Trouble::Error, Trouble::Panic] {
        let needed =
            Troubled::new(&scene.state, vec![(Location::Storage(STORE, U256::from(60)), trouble)]);
        let superfluous =
            Troubled::new(&scene.state, vec![(Location::Storage(STORE, U256::from(160)), trouble)]);
        for engine in engines() {
            let run = |source| engine.execute(&scene.chain, &scene.block, &Slow::new(source));
            let failed = run(&needed).expect_err("a place that is needed");
            assert!(matches!(failed, ExecuteError::Host(_)), "{failed}");
            let what = format!("{trouble:?}, {:?}", engine.options());
            common::scene::assert_same(&what, &stock, &run(&superfluous));
            common::scene::assert_same(&what, &stock, &run(&scene.state));
        }
    }
}

#[test]
fn a_read_that_fails_once_is_made_again() {
    // It fails for whoever reads ahead, or for the execution itself, whose error it then is.
    let code = asm(|code| sum(code, 0, 100).push(0).op(op::MLOAD).store(250));
    let scene = scene(code);
    let stock = scene.stock(OutputKind::Flat);
    let engine = engine(8, Optimisations::ALL);
    for _ in 0..10 {
        let place = Location::Storage(STORE, U256::from(60));
        let once = Troubled::new(&scene.state, vec![(place, Trouble::ErrorOnce)]);
        match engine.execute(&scene.chain, &scene.block, &Slow::new(&once)) {
            Err(ExecuteError::Host(HostError::Source(_))) => {}
            other => common::scene::assert_same("once", &stock, &other),
        }
    }
}

#[test]
fn a_block_that_is_cancelled_sends_everybody_home() {
    let code = asm(|code| sum(code, 0, 200));
    let mut scene = scene(code);
    (1..6).for_each(|from| {
        scene.send(from, Tx::to(STORE).gas(8_000_000));
    });
    let engine = engine(8, Optimisations::ALL);
    for at in [5, 20, 60, 150] {
        let cancel = CancelToken::default();
        let limits = Limits { cancel: Some(cancel.clone()), ..Limits::default() };
        let hook = Box::new(move |number| {
            if number == at {
                cancel.cancel();
            }
        });
        let slow = Slow { hook, ..Slow::new(&scene.state) };
        match engine.execute_within(&scene.chain, &scene.block, &slow, &limits) {
            Err(ExecuteError::Host(HostError::Cancelled)) => {}
            other => panic!("cancelled at read {at}: {other:?}"),
        }
    }
    let stock = scene.stock(OutputKind::Flat);
    let outcome = engine.execute(&scene.chain, &scene.block, &Slow::new(&scene.state));
    common::scene::assert_same("afterwards", &stock, &outcome);
}

#[test]
fn recorded_blocks_are_what_they_were_and_each_place_is_read_once() {
    let records = common::recorded_blocks("mainnet");
    let engines: Vec<Engine> = [4, 16].map(|threads| engine(threads, Optimisations::ALL)).into();
    let (mut sequential, mut parallel) = (0, 0);
    for record in &records {
        let source = record.state.source();
        let slow = || Slow { takes: Duration::from_micros(1), ..Slow::new(source) };
        let counted = slow();
        let stock = execute_stock(&record.chain, &record.block, &counted, OutputKind::Flat);
        for engine in &engines {
            let watched = slow();
            let outcome = engine.execute(&record.chain, &record.block, &watched);
            common::scene::assert_same(&record.number().to_string(), &stock, &outcome);
            assert!(watched.seen.lock().unwrap().values().all(|count| *count == 1));
            sequential += counted.places();
            parallel += watched.places();
        }
    }
    assert!(parallel * 100 <= sequential * 105, "{parallel} places, sequentially {sequential}");
}
