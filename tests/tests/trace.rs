//! The trace of an execution: it changes no result, says what the statistics say, and names reads
//! and writes that do not depend on the schedule.

mod common;

use alloy_consensus::Transaction as _;
use braid_core::{
    Engine, ExecuteError, Optimisations, Options, Outcome, OutputKind, Trace,
    engine::Limits,
    sequential::execute_stock,
    source::StateSource,
    trace::{Dependence, Location, Part, Run, RunKind, RunOutcome},
};
use braid_shadow::{
    analysis::{Graph, Rules},
    recorded::RecordedBlock,
};
use braid_workload::{Settings, generate};
use common::jittery::Jittery;

fn engine(threads: usize, forced: bool, optimisations: Optimisations) -> Engine {
    Engine::new(Options { threads, output: OutputKind::Flat, forced, optimisations })
}

fn traced(engine: &Engine, record: &RecordedBlock, source: &dyn StateSource) -> (Outcome, Trace) {
    engine
        .execute_traced(&record.chain, &record.block, source, &Limits::default())
        .expect("a valid block")
}

/// What must hold of every trace.
fn check(what: &str, engine: &Engine, (outcome, trace): &(Outcome, Trace)) {
    let statistics = &outcome.statistics;
    let count = |is: &dyn Fn(RunKind, RunOutcome) -> bool| {
        trace.runs.iter().filter(|run| is(run.kind, run.outcome)).count() as u64
    };
    assert_eq!(trace.runs.len() as u64, statistics.executions, "{what}");
    let again = |kind| matches!(kind, RunKind::Repeated | RunKind::RepeatedAhead);
    let repeated = count(&|kind, _| again(kind));
    assert_eq!(repeated, statistics.reexecutions, "{what}");
    assert_eq!(count(&|kind, _| kind == RunKind::Direct), statistics.direct, "{what}");
    let discarded = count(&|_, outcome| outcome == RunOutcome::Discarded);
    assert_eq!(discarded, statistics.discarded, "{what}");
    let stale = count(&|_, outcome| matches!(outcome, RunOutcome::Stale { .. }));
    assert_eq!(stale + discarded, repeated, "{what}: what came to nothing was repeated");

    assert_eq!(trace.transactions.len(), outcome.receipts.len(), "{what}");
    let gas: u64 = trace.transactions.iter().map(|tx| tx.gas_used).sum();
    assert_eq!(gas, outcome.receipts.last().map_or(0, |last| last.cumulative_gas_used), "{what}");
    let mut committed = vec![0; trace.transactions.len()];
    for run in &trace.runs {
        assert!(run.worker < engine.options().threads, "{what}: {run:?}");
        assert!(run.start <= run.end && run.end <= trace.nanos, "{what}: {run:?}");
        let at = trace.transactions[run.transaction].at;
        match run.outcome {
            RunOutcome::Committed => {
                committed[run.transaction] += 1;
                assert!(run.end <= at && at <= trace.nanos, "{what}: {run:?}");
            }
            RunOutcome::Stale { location: Some(location), writer: Some(writer) } => {
                assert!(writer < run.transaction, "{what}: {run:?}");
                let writes = &trace.transactions[writer].writes;
                assert!(writes.contains(&location), "{what}: {run:?} {writes:?}");
            }
            RunOutcome::Stale { .. } | RunOutcome::Discarded => {}
        }
    }
    assert!(committed.iter().all(|count| *count == 1), "{what}: {committed:?}");
    check_graph(what, trace);
    assert!(trace.transactions.is_sorted_by_key(|tx| tx.at), "{what}: committed in order");
    for tx in &trace.transactions {
        assert!(tx.reads.is_sorted_by(|a, b| a.location < b.location), "{what}");
        assert!(tx.writes.is_sorted_by(|a, b| a < b), "{what}");
    }
}

/// A run that began when everything was committed that the graph says it depends on has come to
/// something: the graph leaves no dependency out. But for one that may have read what a run wrote
/// that came to nothing itself: such a write is in no graph.
fn check_graph(what: &str, trace: &Trace) {
    let before = Graph::new(&trace.transactions, Rules::Engine).predecessors();
    // Rewards reach the beneficiary's cell late: a run may have missed what was committed.
    let excused = |outcome: RunOutcome| match outcome {
        RunOutcome::Committed => true,
        RunOutcome::Stale { location: Some(location), .. } => location.address == trace.beneficiary,
        _ => false,
    };
    let withdrawn = |run: &&Run| matches!(run.outcome, RunOutcome::Stale { .. });
    let withdrawn: Vec<usize> =
        trace.runs.iter().filter(withdrawn).map(|run| run.transaction).collect();
    for run in trace.runs.iter().filter(|run| !excused(run.outcome)) {
        let late = |of: &usize| trace.transactions[*of].at > run.start;
        let after = &before[run.transaction];
        let misled = || withdrawn.iter().any(|of| *of < run.transaction && late(of));
        assert!(
            after.iter().any(late) || misled(),
            "{what}: {run:?} depends on {after:?}, which were there"
        );
    }
}

/// Traces of all engines agree on everything that the block determines.
fn compare(what: &str, engines: &[Engine], record: &RecordedBlock) {
    let source = record.state.source();
    let stock = execute_stock(&record.chain, &record.block, source, OutputKind::Flat);
    let stock = stock.expect("a valid block");
    let mut first: Option<Trace> = None;
    for (seed, engine) in engines.iter().enumerate() {
        let what = format!("{what}, {:?}", engine.options());
        let jittery = Jittery::new(source, 32, seed as u64);
        let traced = traced(engine, record, &jittery);
        common::assert_same(&what, &stock, &traced.0);
        check(&what, engine, &traced);
        let first = first.get_or_insert_with(|| traced.1.clone());
        for (index, (a, b)) in first.transactions.iter().zip(&traced.1.transactions).enumerate() {
            assert_eq!(a.gas_used, b.gas_used, "{what}: transaction {index}");
            assert_eq!(a.reads, b.reads, "{what}: transaction {index}");
            assert_eq!(a.writes, b.writes, "{what}: transaction {index}");
        }
    }
}

fn engines() -> Vec<Engine> {
    [(1, false), (1, true), (2, false), (4, true)]
        .map(|(threads, forced)| engine(threads, forced, Optimisations::ALL))
        .into()
}

#[test]
fn recorded_blocks_have_the_same_trace_on_any_number_of_threads() {
    let engines = engines();
    for record in common::recorded_blocks("mainnet") {
        compare(&record.number().to_string(), &engines, &record);
    }
}

#[test]
fn generated_blocks_have_the_same_trace_on_any_number_of_threads() {
    let engines = engines();
    for contention in [0.0, 0.4, 1.0] {
        let settings = Settings { blocks: 2, transactions: 60, contention, ..Settings::default() };
        for record in generate(&settings, &mut |_, _| {}).expect("a workload") {
            compare(&format!("contention {contention}"), &engines, &record);
        }
    }
}

/// Mints that share one counter.
fn mints(contention: f64) -> RecordedBlock {
    let mix = "mints=1".parse().expect("a mix");
    let settings = Settings { blocks: 1, transactions: 40, contention, mix, seed: 3 };
    generate(&settings, &mut |_, _| {}).expect("a workload").remove(0)
}

#[test]
fn a_shared_counter_is_read_hard_and_named_where_a_run_was_stale() {
    let record = mints(1.0);
    let counter = |trace: &Trace| {
        let target = record.block.transactions[1].to();
        let location = Location::new(target.expect("a call"), Part::Slot(Default::default()));
        let touching = trace.transactions.iter().filter(|tx| {
            let hard = |read: &&_| read_hard(read, location);
            tx.writes.contains(&location) && tx.reads.iter().any(|read| hard(&read))
        });
        assert_eq!(touching.count(), record.block.transactions.len());
        location
    };
    // Delays in the source make it all but certain that some of the runs overlap; which do is up
    // to the machine, so several rounds are made.
    let engine = engine(4, true, Optimisations::ALL);
    let source = record.state.source();
    for seed in 0..50 {
        let (_, trace) = traced(&engine, &record, &Jittery::new(source, 2, seed));
        let counter = counter(&trace);
        let stale = trace.runs.iter().filter_map(|run| match run.outcome {
            RunOutcome::Stale { location, writer } => Some((run.transaction, location, writer)),
            _ => None,
        });
        let stale: Vec<_> = stale.collect();
        if stale.iter().any(|(index, location, writer)| {
            *location == Some(counter) && *writer == index.checked_sub(1)
        }) {
            return;
        }
    }
    panic!("no run of 50 blocks was stale at the counter");
}

fn read_hard(read: &braid_core::trace::Read, location: Location) -> bool {
    read.location == location && read.dependence == Dependence::Hard
}

#[test]
fn softness_is_told_apart() {
    let record = mints(0.0);
    let soft = engine(2, true, Optimisations::ALL);
    let hard = engine(2, true, Optimisations::NONE);
    let source = record.state.source();
    let dependence = |trace: &Trace, index: usize, address, part| {
        let reads = &trace.transactions[index].reads;
        reads.iter().find(|read| read.location == Location::new(address, part)).unwrap().dependence
    };
    let (_, trace) = traced(&soft, &record, source);
    let (_, basic) = traced(&hard, &record, source);
    for (index, tx) in record.block.transactions.iter().enumerate() {
        let of = |trace, part| dependence(trace, index, tx.signer(), part);
        assert_eq!(of(&trace, Part::Nonce), Dependence::Predicted);
        assert_eq!(of(&trace, Part::Balance), Dependence::Soft);
        assert_eq!(of(&trace, Part::Existence), Dependence::Hard);
        assert_eq!(of(&basic, Part::Nonce), Dependence::Hard);
        assert_eq!(of(&basic, Part::Balance), Dependence::Hard);
    }
}

#[test]
fn an_invalid_block_gives_its_error_and_leaves_the_engine_usable() {
    let record = mints(0.0);
    let mut broken = record.clone();
    broken.block.transactions[1] = broken.block.transactions[0].clone();
    let engine = engine(2, true, Optimisations::ALL);
    let run = |record: &RecordedBlock| {
        let source = record.state.source();
        engine.execute_traced(&record.chain, &record.block, source, &Limits::default())
    };
    match run(&broken) {
        Err(ExecuteError::Invalid(error)) => assert_eq!(error.index, Some(1)),
        other => panic!("{other:?}"),
    }
    let (outcome, trace) = run(&record).expect("a valid block");
    assert_eq!(outcome.receipts.len(), trace.transactions.len());
}
