//! Every recorded block, forced parallel, at many thread counts and with both outputs, equals the
//! stock reference; the stock reference equals the header.

mod common;

use braid_core::{
    Engine, Optimisations, Options, OutputKind,
    sequential::{execute_bare, execute_stock},
};
use braid_shadow::recorded::RecordedBlock;

const THREADS: [usize; 6] = [1, 2, 3, 4, 8, 16];

fn check(records: &[RecordedBlock], output: OutputKind) {
    let engine = |threads, forced, optimisations| {
        Engine::new(Options { threads, output, forced, optimisations })
    };
    let mut engines: Vec<_> =
        THREADS.into_iter().map(|threads| engine(threads, true, Optimisations::ALL)).collect();
    engines.push(engine(4, true, Optimisations::NONE));
    let engine = engine(2, false, Optimisations::ALL);
    for record in records {
        let number = record.number();
        let source = record.state.source();
        let stock = execute_stock(&record.chain, &record.block, source, output)
            .unwrap_or_else(|error| panic!("{number}, stock: {error}"));
        let header = &record.block.header;
        let byzantium = record.chain.rules(header).has_status_receipts(header);
        stock.check_header(&record.block, byzantium).unwrap_or_else(|e| panic!("{number}: {e}"));
        record.check_state(&stock.state.to_flat()).unwrap_or_else(|e| panic!("{number}: {e}"));
        let bare = execute_bare(&record.chain, &record.block, source, output)
            .unwrap_or_else(|error| panic!("{number}, bare: {error}"));
        common::assert_same(&format!("{number}, bare"), &stock, &bare);
        for engine in engines.iter().chain([&engine]) {
            let what = format!("{number}, {:?}", engine.options());
            let outcome = engine
                .execute(&record.chain, &record.block, source)
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            common::assert_same(&what, &stock, &outcome);
        }
    }
}

#[test]
fn mainnet_blocks_with_flat_output() {
    check(&common::recorded_blocks("mainnet"), OutputKind::Flat);
}

#[test]
fn mainnet_blocks_with_bundle_output() {
    check(&common::recorded_blocks("mainnet"), OutputKind::Bundle);
}

#[test]
fn witness_blocks_with_flat_output() {
    check(&common::recorded_blocks("witness"), OutputKind::Flat);
}

#[test]
fn witness_blocks_with_bundle_output() {
    check(&common::recorded_blocks("witness"), OutputKind::Bundle);
}
