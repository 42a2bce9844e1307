//! The commit hook: every step once, in block order, with the receipts of the outcome; a database
//! that is fed from it ends with the outcome's state.

mod common;

use braid_core::{
    Engine, ExecuteError, HostError, Options, OutputKind, StateOutput,
    engine::{CancelToken, Commit, Limits, Step},
    sequential::execute_stock,
    source::ReaderDatabase,
};
use revm::{
    DatabaseCommit,
    database::{State, states::bundle_state::BundleRetention},
};

fn engine(threads: usize) -> Engine {
    Engine::new(Options { threads, output: OutputKind::Bundle, ..Options::default() })
}

#[test]
fn a_database_fed_by_the_hook_ends_with_the_blocks_state() {
    let engines = [engine(1), engine(2), engine(4)];
    let mut records = common::recorded_blocks("mainnet");
    records.extend(common::recorded_blocks("witness"));
    for record in &records {
        let source = record.state.source();
        let stock = execute_stock(&record.chain, &record.block, source, OutputKind::Bundle)
            .expect("a valid block");
        for engine in &engines {
            let database = ReaderDatabase(source.reader().expect("a reader"));
            let mut state = State::builder().with_database(database).with_bundle_update().build();
            let (mut steps, mut receipts, mut states) = (Vec::new(), Vec::new(), Vec::new());
            let mut hook = |commit: Commit<'_>| {
                steps.push(commit.step);
                receipts.extend(commit.receipt.cloned());
                states.push(commit.state.clone());
            };
            let limits = Limits::default();
            let outcome = engine
                .execute_streaming(&record.chain, &record.block, source, &limits, &mut hook)
                .expect("a valid block");
            let what = format!("{}, {:?}", record.number(), engine.options());
            common::assert_same(&what, &stock, &outcome);
            assert_eq!(receipts, outcome.receipts, "{what}");
            assert!(steps.is_sorted(), "{what}: {steps:?}");
            let indices: Vec<_> = steps
                .iter()
                .filter_map(|step| if let Step::Transaction(i) = step { Some(*i) } else { None })
                .collect();
            assert!(indices.into_iter().eq(0..record.block.transactions.len()), "{what}");
            for committed in states {
                // A database of one's own reads what it has not seen before committing to it.
                for address in committed.keys() {
                    state.load_cache_account(*address).expect("the account is in the record");
                }
                state.commit(committed);
            }
            state.merge_transitions(BundleRetention::Reverts);
            let fed = StateOutput::Bundle(Box::new(state.take_bundle())).to_flat();
            assert_eq!(fed, outcome.state.to_flat(), "{what}");
        }
    }
}

#[test]
fn a_hook_that_panics_or_cancels_ends_the_block_and_leaves_the_engine_usable() {
    let engine = engine(2);
    let records = common::recorded_blocks("mainnet");
    let Some(record) = records.iter().find(|record| record.block.transactions.len() > 20) else {
        return;
    };
    let source = record.state.source();
    let run = |limits: &Limits, hook: &mut (dyn FnMut(Commit<'_>) + Send)| {
        engine.execute_streaming(&record.chain, &record.block, source, limits, hook)
    };
    let outcome = run(&Limits::default(), &mut |commit| {
        assert_ne!(commit.step, Step::Transaction(3), "planted");
    });
    match outcome {
        Err(ExecuteError::Host(HostError::Panic { message, .. })) => {
            assert!(message.contains("planted"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    let cancel = CancelToken::default();
    let limits = Limits { cancel: Some(cancel.clone()), ..Limits::default() };
    let outcome = run(&limits, &mut |commit| {
        if commit.step == Step::Transaction(5) {
            cancel.cancel();
        }
    });
    assert!(matches!(outcome, Err(ExecuteError::Host(HostError::Cancelled))), "{outcome:?}");
    run(&Limits::default(), &mut |_| {}).expect("the engine is as good as new");
}
