//! The generated chains: the same every time, mostly successful, of every kind, and the same for
//! the parallel engine as for the sequential reference.

use alloy_consensus::{Transaction as _, TxReceipt, TxType, Typed2718};
use braid_core::{
    Engine, Options, Outcome, OutputKind, StateOutput,
    sequential::{execute_bare, execute_stock},
};
use braid_shadow::recorded::{RecordedBlock, files};
use braid_workload::{Generated, Generator, Kind, Mix, Settings, generate};
use revm::database::BundleState;
use std::collections::{BTreeMap, BTreeSet, HashSet};

fn settings(contention: f64) -> Settings {
    Settings { blocks: 4, transactions: 60, contention, ..Settings::default() }
}

fn blocks(settings: &Settings) -> Vec<RecordedBlock> {
    generate(settings, &mut |_, _| ()).unwrap()
}

fn json(blocks: &[RecordedBlock]) -> Vec<String> {
    blocks.iter().map(|block| block.to_value().unwrap().to_string()).collect()
}

fn stock(record: &RecordedBlock, output: OutputKind) -> Outcome {
    execute_stock(&record.chain, &record.block, record.state.source(), output).unwrap()
}

/// The blocks of a chain with the kinds of their transactions.
fn generated(settings: &Settings) -> Vec<Generated> {
    let mut generator = Generator::new(settings).unwrap();
    (0..settings.blocks).map(|_| generator.next_block().unwrap()).collect()
}

#[test]
fn the_same_settings_give_the_same_bytes() {
    let first = blocks(&settings(0.3));
    assert_eq!(json(&first), json(&blocks(&settings(0.3))));
    let other = Settings { seed: 2, ..settings(0.3) };
    assert_ne!(json(&first), json(&blocks(&other)));
}

#[test]
fn progress_counts_every_block() {
    let mut seen = Vec::new();
    let few = Settings { blocks: 3, transactions: 2, ..Settings::default() };
    generate(&few, &mut |done, total| seen.push((done, total))).unwrap();
    assert_eq!(seen, [(0, 3), (1, 3), (2, 3), (3, 3)]);
}

/// At every contention; each kind also alone, so that a rare kind cannot hide its failures.
#[test]
fn at_least_nine_tenths_of_each_kind_succeed() {
    let mut counts: BTreeMap<Kind, (usize, usize)> = BTreeMap::new();
    let alone = |kind: Kind| {
        let mix = format!("{kind}=1").parse().unwrap();
        Settings { blocks: 8, transactions: 6, mix, ..Settings::default() }
    };
    let all = [0.0, 0.3, 1.0].map(settings);
    for settings in all.into_iter().chain(Kind::ALL.map(alone)) {
        for Generated { record, kinds } in generated(&settings) {
            let receipts = stock(&record, OutputKind::Flat).receipts;
            assert_eq!(receipts.len(), settings.transactions);
            for (kind, receipt) in kinds.into_iter().zip(&receipts) {
                let (successes, total) = counts.entry(kind).or_default();
                *successes += usize::from(receipt.status());
                *total += 1;
            }
        }
    }
    assert_eq!(counts.len(), Kind::ALL.len(), "every kind appears");
    for (kind, (successes, total)) in counts {
        assert!(successes * 10 >= total * 9, "{kind}: {successes} of {total}");
    }
}

#[test]
fn the_default_mix_has_every_kind_and_transaction_type() {
    let settings = Settings { blocks: 3, ..Settings::default() };
    let chain = generated(&settings);
    let kinds: BTreeSet<Kind> = chain.iter().flat_map(|block| block.kinds.clone()).collect();
    assert_eq!(kinds, BTreeSet::from(Kind::ALL));
    let types = |block: &Generated| -> Vec<u8> {
        block.record.block.transactions.iter().map(|tx| tx.ty()).collect()
    };
    let types: BTreeSet<u8> = chain.iter().flat_map(types).collect();
    assert_eq!(types.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, TxType::Eip7702 as u8]);
    for Generated { record, .. } in &chain {
        let header = &record.block.header;
        assert!((8_000_000..30_000_000).contains(&header.gas_used), "{}", header.gas_used);
    }
    let requests = |block: &Generated| !stock(&block.record, OutputKind::Flat).requests.is_empty();
    assert!(chain.iter().any(requests), "a block yields execution requests");
}

#[test]
fn each_block_builds_on_the_one_before() {
    let chain = blocks(&settings(0.3));
    for pair in chain.windows(2) {
        let [parent, child] = pair else { unreachable!() };
        assert_eq!(child.block.header.parent_hash, parent.block.header.hash_slow());
        assert_eq!(child.block.header.number, parent.block.header.number + 1);
        assert_eq!(child.parent.as_ref(), Some(&parent.block.header));
    }
}

#[test]
fn contention_rules_how_senders_are_shared() {
    let senders = |contention: f64| -> Vec<usize> {
        let senders = |record: &RecordedBlock| {
            let senders: HashSet<_> =
                record.block.transactions.iter().map(|tx| tx.signer()).collect();
            senders.len()
        };
        blocks(&settings(contention)).iter().map(senders).collect()
    };
    assert_eq!(senders(0.0), [60; 4], "all apart");
    assert_eq!(senders(1.0), [1; 4], "all one");
    assert!(senders(0.3).into_iter().all(|count| (30..60).contains(&count)));
}

/// Without contention no account or slot that one transaction writes is read by another, but for
/// the fees: the engine repeats nothing, and a block in reverse order gives the same state.
#[test]
fn without_contention_the_order_does_not_matter() {
    let mix: Mix = "transfers=3,erc20=3,swaps=3,liquidity=1,orders=2,mints=2,scores=1,supply=1,\
                    consents=1,lifecycle=2,delegations=1,deploys=1"
        .parse()
        .unwrap();
    for record in blocks(&Settings { mix, ..settings(0.0) }) {
        let expected = stock(&record, OutputKind::Flat).state.to_flat();
        let mut reversed = record.clone();
        reversed.block.transactions.reverse();
        let actual = stock(&reversed, OutputKind::Flat).state.to_flat();
        assert!(expected == actual, "block {}", record.number());
    }
}

#[test]
fn parallel_equals_sequential() {
    for contention in [0.0, 0.3, 1.0] {
        for output in [OutputKind::Flat, OutputKind::Bundle] {
            let engine = Engine::new(Options { threads: 4, forced: true, output });
            for record in blocks(&settings(contention)) {
                let what = format!("contention {contention}, {output:?}, {}", record.number());
                let expected = stock(&record, output);
                expected.check_header(&record.block, true).unwrap();
                let (chain, block, source) = (&record.chain, &record.block, record.state.source());
                let bare = execute_bare(chain, block, source, output).unwrap();
                assert_same(&format!("{what}, bare"), &expected, &bare);
                let parallel = engine.execute(chain, block, source).unwrap();
                assert_same(&what, &expected, &parallel);
            }
        }
    }
}

#[test]
fn blocks_survive_writing_and_reading() {
    let folder = tempfile::tempdir().unwrap();
    let written = blocks(&settings(0.3));
    for record in &written {
        record.write(folder.path()).unwrap();
    }
    let files = files(folder.path()).unwrap();
    assert_eq!(files.len(), written.len());
    for (record, file) in written.iter().zip(files) {
        let read = RecordedBlock::read(file).unwrap();
        assert_eq!(read.to_value().unwrap(), record.to_value().unwrap());
        assert_same("read", &stock(record, OutputKind::Flat), &stock(&read, OutputKind::Flat));
    }
}

/// Equal in everything but the statistics.
fn assert_same(what: &str, expected: &Outcome, actual: &Outcome) {
    assert_eq!(expected.gas_used, actual.gas_used, "{what}: gas used");
    assert_eq!(expected.blob_gas_used, actual.blob_gas_used, "{what}: blob gas used");
    assert_eq!(expected.requests, actual.requests, "{what}: requests");
    assert_eq!(expected.receipts, actual.receipts, "{what}: receipts");
    match (&expected.state, &actual.state) {
        (StateOutput::Flat(expected), StateOutput::Flat(actual)) => {
            assert_eq!(expected.accounts, actual.accounts, "{what}: account changes");
            assert_eq!(expected.codes, actual.codes, "{what}: codes");
        }
        (StateOutput::Bundle(expected), StateOutput::Bundle(actual)) => {
            assert_eq!(expected.state, actual.state, "{what}: bundle state");
            assert_eq!(expected.contracts, actual.contracts, "{what}: bundle contracts");
            assert_eq!(expected.state_size, actual.state_size, "{what}: state size");
            assert_eq!(expected.reverts_size, actual.reverts_size, "{what}: reverts size");
            assert!(reverts(expected) == reverts(actual), "{what}: reverts");
        }
        _ => panic!("{what}: outputs of different kinds"),
    }
}

/// The order inside one block's reverts is unspecified.
fn reverts(bundle: &BundleState) -> impl PartialEq + use<> {
    let mut all = bundle.reverts.to_vec();
    all.iter_mut().for_each(|block| block.sort_by_key(|(address, _)| *address));
    all
}
