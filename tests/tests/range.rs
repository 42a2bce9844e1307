//! Ranges of blocks: the outcomes are those of block after block, whatever was executed early.

mod common;

use braid_core::{
    Engine, ExecuteError, HostError, Optimisations, Options, OutputKind, SourceError, StateReader,
    StateSource,
    engine::{CancelToken, Limits, RangeError},
    source::{HookedReader, Location},
};
use braid_workload::{Kind, Mix};
use common::{
    jittery::Jittery,
    line::{ENGINES, Line, NO_HASH, pipelines, settings},
};
use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

fn engine(threads: usize) -> Engine {
    Engine::new(Options { threads, forced: true, ..Options::default() })
}

/// Outcomes of both kinds, block after block.
fn check_everywhere(what: &str, line: &Line, jitter: u64) {
    let flat = line.sequential(OutputKind::Flat).0;
    let bundle = line.sequential(OutputKind::Bundle).0;
    assert_eq!(flat.len(), line.blocks.len(), "valid blocks");
    let (mut early, mut executions) = (0, 0);
    for (seed, engine) in ENGINES.iter().enumerate() {
        let output = engine.options().output;
        let expected = if output == OutputKind::Flat { &flat } else { &bundle };
        let jittery = Jittery::new(&line.state, jitter, seed as u64);
        for source in [&line.state as &dyn StateSource, &jittery] {
            let outcomes = line.compare_with(what, engine, source, expected, None);
            let sum: u64 = outcomes.iter().map(|outcome| outcome.statistics.early).sum();
            assert!(sum == 0 || pipelines(engine), "{what}: early without a pipeline");
            early += sum;
            executions += outcomes.iter().map(|outcome| outcome.statistics.executions).sum::<u64>();
        }
    }
    println!("{what}: {executions} executions, {early} of them early");
    assert!(early > 0, "{what}: nothing was executed early");
}

#[test]
fn generated_chains_of_every_contention() {
    for (seed, contention) in [0.0, 0.3, 0.7, 1.0].into_iter().enumerate() {
        let line = Line::generated(&settings(6, 40, contention, seed as u64 + 1));
        check_everywhere(&format!("contention {contention}"), &line, 48);
    }
}

#[test]
fn chains_of_one_kind_each() {
    for kind in Kind::ALL {
        let mix: Mix = format!("{kind}=1").parse().unwrap();
        let mut settings = settings(4, 12, 0.5, 5);
        settings.mix = mix;
        let line = Line::generated(&settings);
        let (expected, _) = line.sequential(OutputKind::Bundle);
        for (seed, engine) in ENGINES.iter().enumerate() {
            if engine.options().output == OutputKind::Bundle {
                let jittery = Jittery::new(&line.state, 16, seed as u64);
                line.compare_with(&kind.to_string(), engine, &jittery, &expected, None);
            }
        }
    }
}

#[test]
fn many_schedules_of_one_chain() {
    let runs = std::env::var("BRAID_DETERMINISM_RUNS").ok().and_then(|runs| runs.parse().ok());
    let runs: u64 = runs.unwrap_or(12);
    let line = Line::generated(&settings(8, 16, 0.4, 3));
    let expected = [OutputKind::Flat, OutputKind::Bundle].map(|output| line.sequential(output).0);
    for seed in 0..runs {
        for engine in ENGINES.iter().filter(|engine| pipelines(engine)) {
            let expected = &expected[usize::from(engine.options().output == OutputKind::Bundle)];
            let jittery = Jittery::new(&line.state, 4 + seed % 60, seed);
            line.compare_with(&format!("run {seed}"), engine, &jittery, expected, None);
        }
    }
}

#[test]
fn empty_ranges_and_empty_blocks() {
    let mut line = Line::generated(&settings(3, 6, 0.3, 9));
    for engine in ENGINES.iter() {
        let none = Line { blocks: Vec::new(), ..line.clone() };
        assert!(matches!(none.run(engine, &none.state), (outcomes, Ok(0)) if outcomes.is_empty()));
    }
    // Without transactions every block is valid; hashes have to be made anew.
    let mut hash = line.blocks[0].header.parent_hash;
    for (index, block) in line.blocks.iter_mut().enumerate() {
        if index != 1 {
            block.transactions.clear();
        }
        block.header.parent_hash = hash;
        hash = block.header.hash_slow();
    }
    line.blocks[1].transactions.clear();
    for engine in ENGINES.iter() {
        line.compare("empty blocks", engine, &line.state);
    }
}

#[test]
fn a_range_may_begin_anywhere_and_be_given_in_parts() {
    let line = Line::generated(&settings(5, 20, 0.5, 4));
    for engine in ENGINES.iter() {
        let (expected, _) = line.sequential(engine.options().output);
        let mut state = line.state.clone();
        let mut blocks = line.blocks.as_slice();
        let mut expected = expected.as_slice();
        for length in [1, 3, 1] {
            let part = Line { blocks: blocks[..length].to_vec(), state, ..line.clone() };
            part.compare_with("a part", engine, &part.state, &expected[..length], None);
            state = part.state;
            for (outcome, block) in expected[..length].iter().zip(blocks) {
                state.apply(&outcome.state.to_flat());
                state.insert_block_hash(block.header.number, block.header.hash_slow());
            }
            (blocks, expected) = (&blocks[length..], &expected[length..]);
        }
    }
}

/// Links the blocks anew, so that only what was damaged is wrong.
fn relink(line: &mut Line) {
    for index in 1..line.blocks.len() {
        line.blocks[index].header.parent_hash = line.blocks[index - 1].header.hash_slow();
    }
}

#[test]
fn an_invalid_block_ends_the_range_with_its_index() {
    let whole = Line::generated(&settings(4, 12, 0.3, 6));
    for at in 0..4 {
        for (place, damage) in [(0, "moved"), (5, "twice"), (11, "moved"), (0, "tight")] {
            let mut line = whole.clone();
            let block = &mut line.blocks[at];
            match damage {
                "twice" => {
                    let again = block.transactions[place].clone();
                    block.transactions.insert(place, again);
                }
                "moved" => {
                    block.transactions[place] = whole.blocks[(at + 1) % 4].transactions[0].clone()
                }
                _ => block.header.gas_limit = block.header.gas_used / 2,
            }
            relink(&mut line);
            let (expected, failure) = line.sequential(OutputKind::Flat);
            let what = format!("{damage} {place} in block {at}: {failure:?}");
            for engine in ENGINES.iter() {
                let (expected, failure) = line.sequential(engine.options().output);
                let jittery = Jittery::new(&line.state, 8, at as u64);
                line.compare_with(&what, engine, &jittery, &expected, failure);
            }
            assert!(failure.is_some() && expected.len() >= at, "{what}");
        }
    }
}

#[test]
fn a_block_that_does_not_follow_is_told_when_its_turn_comes() {
    let whole = Line::generated(&settings(4, 8, 0.3, 7));
    for at in 1..4 {
        for wrong_number in [false, true] {
            let mut line = whole.clone();
            let header = &mut line.blocks[at].header;
            if wrong_number {
                header.number += 1;
            } else {
                header.parent_hash = NO_HASH;
            }
            for engine in ENGINES.iter() {
                let (outcomes, ended) = line.run(engine, &line.state);
                assert_eq!(outcomes.len(), at);
                let Err(error @ RangeError::Link { .. }) = ended else { panic!("{ended:?}") };
                assert_eq!(error.index(), at);
                let hash = whole.blocks[at - 1].header.hash_slow().to_string();
                assert!(error.to_string().contains(&hash), "{error}");
            }
        }
    }
}

/// What happens at the chosen read, and at those after it where it stays so.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Error,
    ErrorFromHere,
    Panic,
    Stall,
}

struct Faulty<'a> {
    inner: &'a dyn StateSource,
    fault: Fault,
    at: u64,
    reads: AtomicU64,
}

impl<'a> Faulty<'a> {
    fn new(inner: &'a dyn StateSource, fault: Fault, at: u64) -> Self {
        Self { inner, fault, at, reads: AtomicU64::new(0) }
    }

    fn count(&self, location: Location) -> Result<(), SourceError> {
        let read = self.reads.fetch_add(1, Ordering::Relaxed);
        let later = matches!(self.fault, Fault::ErrorFromHere) && read > self.at;
        if read != self.at && !later {
            return Ok(());
        }
        match self.fault {
            Fault::Error | Fault::ErrorFromHere => Err(SourceError::new(location, "planted")),
            Fault::Panic => panic!("planted"),
            Fault::Stall => {
                std::thread::sleep(Duration::from_millis(5));
                Ok(())
            }
        }
    }
}

impl StateSource for Faulty<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(HookedReader::new(self.inner.reader()?, |location| self.count(location))))
    }
}

#[test]
fn a_source_that_fails_panics_or_stalls_at_every_kth_read() {
    let line = Line::generated(&settings(3, 10, 0.5, 8));
    let (expected, _) = line.sequential(OutputKind::Flat);
    let engine = engine(3);
    let counting = Faulty::new(&line.state, Fault::Stall, u64::MAX);
    line.compare_with("counting", &engine, &counting, &expected, None);
    let reads = counting.reads.load(Ordering::Relaxed);
    let (mut failed, mut passed) = (0, 0);
    for (fault, step) in
        [(Fault::Error, 2), (Fault::ErrorFromHere, 5), (Fault::Panic, 3), (Fault::Stall, 11)]
    {
        for at in (0..reads).step_by(step) {
            let faulty = Faulty::new(&line.state, fault, at);
            let (outcomes, ended) = line.run(&engine, &faulty);
            let what = format!("{fault:?} at read {at} of {reads}");
            for (expected, outcome) in expected.iter().zip(&outcomes) {
                common::assert_same(&what, expected, outcome);
            }
            match ended {
                Ok(given) => {
                    assert_eq!((given, outcomes.len()), (3, 3), "{what}");
                    passed += 1;
                }
                Err(RangeError::Block { index, error: ExecuteError::Host(error) }) => {
                    assert_eq!(index, outcomes.len(), "{what}: every block before the failed one");
                    assert!(error.to_string().contains("planted"), "{what}: {error}");
                    failed += 1;
                }
                Err(error) => panic!("{what}: {error}"),
            }
        }
        line.compare_with("after a fault", &engine, &line.state, &expected, None);
    }
    println!("{reads} reads, {failed} ranges failed, {passed} did not");
    assert!(failed > 0 && passed > 0);
}

#[test]
fn limits_hold_for_the_whole_range() {
    let line = Line::generated(&settings(4, 10, 0.3, 10));
    let blocks: Vec<_> = line.blocks.iter().collect();
    for engine in ENGINES.iter() {
        let cancel = CancelToken::default();
        cancel.cancel();
        let limits = Limits { cancel: Some(cancel), deadline: None };
        let (outcomes, ended) = line.run_within(engine, &line.state, &limits);
        assert!(outcomes.is_empty());
        assert!(
            matches!(
                ended,
                Err(RangeError::Block {
                    index: 0,
                    error: ExecuteError::Host(HostError::Cancelled)
                })
            ),
            "{ended:?}"
        );
        let limits = Limits { cancel: None, deadline: Some(Instant::now()) };
        let (_, ended) = line.run_within(engine, &line.state, &limits);
        let Err(RangeError::Block { error: ExecuteError::Host(error), .. }) = ended else {
            panic!("{ended:?}")
        };
        assert!(matches!(error, HostError::DeadlineExceeded), "{error}");
        // Cancelled on the way: blocks that are complete by then may still be given.
        let cancel = CancelToken::default();
        let limits = Limits { cancel: Some(cancel.clone()), deadline: None };
        let mut given = 0;
        let ended = engine.execute_range(&line.chain, &blocks, &line.state, &limits, |_, _| {
            cancel.cancel();
            given += 1;
            ControlFlow::Continue(())
        });
        match ended {
            Err(error) => assert_eq!(error.index(), given),
            Ok(all) => assert_eq!((all, given), (4, 4)),
        }
    }
}

#[test]
fn the_caller_may_end_the_range_be_slow_or_panic() {
    let line = Line::generated(&settings(6, 10, 0.3, 11));
    let blocks: Vec<_> = line.blocks.iter().collect();
    let limits = Limits::default();
    for engine in ENGINES.iter() {
        for last in [0, 2, 5] {
            let mut seen = Vec::new();
            let ended =
                engine.execute_range(&line.chain, &blocks, &line.state, &limits, |index, _| {
                    seen.push(index);
                    std::thread::sleep(Duration::from_millis(2));
                    if index == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
            assert_eq!(ended.unwrap(), last + 1);
            assert_eq!(seen, (0..=last).collect::<Vec<_>>());
        }
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            engine.execute_range(&line.chain, &blocks, &line.state, &limits, |index, _| {
                assert!(index < 1, "planted");
                ControlFlow::Continue(())
            })
        }));
        assert!(panicked.is_err(), "the caller's panic goes on to it");
        line.compare("after a panic", engine, &line.state);
    }
}

#[test]
fn a_slow_caller_holds_the_range_back() {
    let line = Line::generated(&settings(8, 6, 0.0, 12));
    let engine = engine(2);
    let read = AtomicU64::new(0);
    struct Counting<'a>(&'a dyn StateSource, &'a AtomicU64);
    impl StateSource for Counting<'_> {
        fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
            Ok(Box::new(HookedReader::new(self.0.reader()?, |_| {
                self.1.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })))
        }
    }
    let blocks: Vec<_> = line.blocks.iter().collect();
    let source = Counting(&line.state, &read);
    let mut at_first = 0;
    let limits = Limits::default();
    let ended = engine.execute_range(&line.chain, &blocks, &source, &limits, |index, _| {
        if index == 0 {
            std::thread::sleep(Duration::from_millis(300));
            at_first = read.load(Ordering::Relaxed);
        }
        ControlFlow::Continue(())
    });
    assert_eq!(ended.unwrap(), 8);
    let all = read.load(Ordering::Relaxed);
    assert!(at_first * 4 < all * 3, "{at_first} of {all} reads while the caller slept");
}

#[test]
fn no_place_is_read_again_that_the_range_has_changed() {
    let line = Line::generated(&settings(5, 20, 0.4, 13));
    let (expected, _) = line.sequential(OutputKind::Flat);
    let changed: Vec<Vec<Location>> = expected
        .iter()
        .map(|outcome| {
            let flat = outcome.state.to_flat();
            let places = flat.accounts.iter().flat_map(|change| {
                let slots = change.storage.iter();
                let slots = slots.map(|(slot, _)| Location::Storage(change.address, *slot));
                slots.chain([Location::Account(change.address)]).collect::<Vec<_>>()
            });
            places.collect()
        })
        .collect();
    struct Seen<'a>(&'a dyn StateSource, &'a std::sync::Mutex<Vec<Location>>);
    impl StateSource for Seen<'_> {
        fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
            Ok(Box::new(HookedReader::new(self.0.reader()?, |location| {
                self.1.lock().unwrap().push(location);
                Ok(())
            })))
        }
    }
    let options = |pipelining| {
        let optimisations = Optimisations { pipelining, ..Optimisations::ALL };
        Options { threads: 2, forced: true, optimisations, ..Options::default() }
    };
    for pipelining in [false, true] {
        let engine = Engine::new(options(pipelining));
        let seen = std::sync::Mutex::new(Vec::new());
        line.compare_with("reads", &engine, &Seen(&line.state, &seen), &expected, None);
        let seen = seen.into_inner().unwrap();
        let asked = |place: &Location| seen.iter().filter(|other| *other == place).count();
        for (block, places) in changed.iter().enumerate() {
            for place in places {
                // Each block up to the one that changed it may have asked once.
                assert!(asked(place) <= block + 1, "{place}: asked {} times", asked(place));
            }
        }
    }
}
