//! The list that an execution produces is stock's, byte by byte, whatever the way.

use super::{FORCED, Known, THREADS, common, generated};
use braid_core::{
    AccessListCheck, Engine, Options, engine::Limits, sequential::execute_bare_with_access_list,
};
use braid_shadow::recorded::RecordedBlock;

fn check(records: &[RecordedBlock]) {
    let unforced = THREADS.map(|threads| Engine::new(Options { threads, ..Options::default() }));
    for record in records {
        let known = Known::recorded(record);
        let expected = alloy_rlp::encode(known.list());
        assert!(!known.list().is_empty(), "{}", known.what);
        let (chain, block, source) = (known.chain, known.block, known.source);
        for engine in FORCED.iter().chain(&unforced) {
            let what = format!("{}, {:?}", known.what, engine.options());
            let output = engine.options().output;
            let outcome = engine
                .produce_access_list(chain, block, source, &Limits::default())
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            let list = outcome.access_list.as_ref().expect("an access list");
            let check = AccessListCheck::new(list, known.list());
            assert!(check.is_match(), "{what}: {check:?}");
            assert_eq!(alloy_rlp::encode(list), expected, "{what}");
            common::assert_same(&what, known.stock(output), &outcome);
            let bare = execute_bare_with_access_list(chain, block, source, output);
            let bare = bare.unwrap_or_else(|error| panic!("{what}, bare: {error}"));
            common::assert_same(&format!("{what}, bare"), known.stock(output), &bare);
        }
    }
}

#[test]
fn mainnet_blocks() {
    check(&common::recorded_blocks("mainnet"));
}

#[test]
fn witness_blocks() {
    check(&common::recorded_blocks("witness"));
}

#[test]
fn generated_blocks_of_every_contention() {
    check(&generated(60));
}

#[test]
fn only_who_asks_gets_a_list_before_amsterdam() {
    let records = generated(5);
    let record = &records[0];
    let source = record.state.source();
    let outcome = FORCED[1].execute(&record.chain, &record.block, source).expect("a valid block");
    assert!(outcome.access_list.is_none());
}
