//! The generated chains: the same every time, mostly successful, of every kind, and the same for
//! the parallel engine as for the sequential reference.

use alloy_consensus::{TxReceipt, TxType, Typed2718};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use braid_core::{
    Chain, Engine, Options, Outcome, OutputKind, StateChanges, StateOutput,
    outcome::AccountChange,
    sequential::{execute_bare, execute_stock},
    source::MemoryState,
};
use braid_shadow::recorded::{RecordedBlock, StateCheck, files};
use braid_workload::{Generated, Generator, Kind, Settings, generate};
use revm::{database::BundleState, state::AccountInfo};
use serde_json::Value;
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
    assert!(json(&first) == json(&blocks(&settings(0.3))));
    let other = Settings { seed: 2, ..settings(0.3) };
    assert!(json(&first) != json(&blocks(&other)));
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
fn without_contention_all_senders_are_apart() {
    for record in blocks(&settings(0.0)) {
        let senders: HashSet<_> = record.block.transactions.iter().map(|tx| tx.signer()).collect();
        assert_eq!(senders.len(), record.block.transactions.len());
    }
}

#[test]
fn at_full_contention_each_transaction_depends_on_the_one_before() {
    for Generated { record, kinds } in generated(&settings(1.0)) {
        let senders: Vec<_> = record.block.transactions.iter().map(|tx| tx.signer()).collect();
        for index in 1..senders.len() {
            let same_sender = senders[index] == senders[index - 1];
            assert!(same_sender || kinds[index].meets(kinds[index - 1]), "{index}");
        }
    }
}

/// What each transaction touches when it runs alone on the parent state; `None` where it fails,
/// because it builds on an earlier one.
fn touched_alone(record: &RecordedBlock) -> Vec<Option<HashSet<Touched>>> {
    let beneficiary = record.block.header.beneficiary;
    let empty = {
        let mut block = record.clone();
        block.block.transactions.clear();
        stock(&block, OutputKind::Flat).state.to_flat()
    };
    let before: HashSet<_> = touched(&empty).into_iter().collect();
    let alone = |tx: &_| {
        let mut alone = record.clone();
        alone.block.transactions = vec![Clone::clone(tx)];
        let (chain, block, source) = (&alone.chain, &alone.block, alone.state.source());
        let outcome = execute_stock(chain, block, source, OutputKind::Flat).ok()?;
        let all = touched(&outcome.state.to_flat()).into_iter();
        let own = all.filter(|at| at.0 != beneficiary && !before.contains(at));
        Some(own.collect())
    };
    record.block.transactions.iter().map(alone).collect()
}

/// An account, or one of its slots.
type Touched = (Address, Option<U256>);

fn touched(changes: &StateChanges) -> Vec<Touched> {
    let touched = |change: &AccountChange| {
        let account = (change.before != change.after).then_some((change.address, None));
        let slot = |slot: &(U256, U256)| (change.address, Some(slot.0));
        account.into_iter().chain(change.storage.iter().map(slot)).collect::<Vec<_>>()
    };
    changes.accounts.iter().flat_map(touched).collect()
}

#[test]
fn without_contention_no_two_transactions_write_the_same() {
    for record in blocks(&settings(0.0)) {
        let mut seen = HashSet::new();
        for (index, touched) in touched_alone(&record).into_iter().enumerate() {
            for at in touched.expect("nothing builds on an earlier transaction") {
                assert!(seen.insert(at), "block {}, {index}: {at:?}", record.number());
            }
        }
    }
}

/// At full contention kinds that claim to meet do so: both write the same account or slot.
#[test]
fn kinds_that_meet_write_the_same() {
    for kind in Kind::ALL.into_iter().filter(|kind| kind.meets(*kind)) {
        let mix = format!("{kind}=1").parse().unwrap();
        let settings = Settings { transactions: 12, mix, ..settings(1.0) };
        for Generated { record, .. } in generated(&settings) {
            let alone = touched_alone(&record);
            for pair in alone.windows(2) {
                let [Some(one), Some(another)] = pair else { continue };
                // Payments to the beneficiary are left out above, with the fees.
                let meet = !one.is_disjoint(another) || kind == Kind::Tips;
                assert!(meet, "{kind}, block {}", record.number());
            }
            assert!(alone.iter().flatten().count() > 1, "{kind}");
        }
    }
}

/// The events of each contract: the workload reaches what the contracts are there for.
#[test]
fn contracts_do_what_they_are_there_for() {
    let settings = Settings { blocks: 12, ..Settings::default() };
    let mut seen: BTreeSet<(B256, bool)> = BTreeSet::new();
    for record in blocks(&settings) {
        for log in stock(&record, OutputKind::Flat).receipts.iter().flat_map(|one| &one.logs) {
            let first = log.data.topics().first().copied().unwrap_or_default();
            let last = log.data.data.last().is_some_and(|byte| *byte == 1);
            seen.insert((first, last));
        }
    }
    let has = |event: &str| {
        let topic = keccak256(event);
        seen.iter().any(|(seen, _)| *seen == topic)
    };
    for event in [
        "Approval(address,address,uint256)",
        "Swap(address,bool,uint256,uint256)",
        "Liquidity(address,bool,uint256,uint256)",
        "Placed(address,uint256,bool,uint8,uint256)",
        "Filled(address,address,uint8,uint256)",
        "Round(uint256,address,uint256)",
        "Ranked(uint256,address,uint256)",
        "Step(uint256,address,uint8,bytes32)",
        "Granted(address,address,uint64)",
        "Revoked(address,address)",
        "Accessed(address,address,bytes32)",
        "Made(address)",
        "Poked(address,uint256)",
        "Rung(address,address,uint256)",
        "Paid(address,uint256)",
    ] {
        assert!(has(event), "no {event}");
    }
    // A factory's poke found a contract, and found none.
    let poked = keccak256("Poked(address,bool)");
    assert!(seen.contains(&(poked, true)) && seen.contains(&(poked, false)));
}

#[test]
fn parallel_equals_sequential() {
    for contention in [0.0, 0.3, 1.0] {
        for output in [OutputKind::Flat, OutputKind::Bundle] {
            let engine =
                Engine::new(Options { threads: 4, forced: true, output, ..Options::default() });
            for record in blocks(&settings(contention)) {
                let what = format!("contention {contention}, {output:?}, {}", record.number());
                let expected = stock(&record, output);
                expected.check_header(&record.block, true).unwrap();
                let changes = expected.state.to_flat();
                assert_eq!(record.check_state(&changes).unwrap(), StateCheck::Proofs, "{what}");
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
        // Not `assert_eq`: nobody wants to read two whole blocks.
        assert!(read.to_value().unwrap() == record.to_value().unwrap(), "{}", record.number());
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

/// The state that a node would start from is the one before the next block.
#[test]
fn the_genesis_file_holds_the_state_before_the_next_block() {
    let few = Settings { blocks: 2, transactions: 3, ..Settings::default() };
    let mut generator = Generator::new(&few).unwrap();
    for _ in 0..few.blocks {
        let genesis = generator.genesis();
        let mut state = MemoryState::default();
        for (address, account) in genesis["alloc"].as_object().unwrap() {
            let address: Address = address.parse().unwrap();
            let number = |value: &Value| -> U256 { value.as_str().unwrap().parse().unwrap() };
            let mut info = AccountInfo {
                balance: number(&account["balance"]),
                nonce: number(&account["nonce"]).to(),
                ..AccountInfo::default()
            };
            if let Some(code) = account["code"].as_str() {
                let code: Bytes = code.parse().unwrap();
                info.code_hash = keccak256(&code);
            }
            state.insert_account(address, info);
            for (slot, value) in account["storage"].as_object().into_iter().flatten() {
                state.insert_storage(address, slot.parse().unwrap(), number(value)).unwrap();
            }
        }
        let next = generator.next_block().unwrap().record;
        assert_eq!(state.state_root(), next.parent.unwrap().state_root);
        let chain = Chain::from_genesis_config(&genesis["config"]).unwrap();
        assert_eq!(format!("{chain:?}"), format!("{:?}", next.chain));
    }
}
