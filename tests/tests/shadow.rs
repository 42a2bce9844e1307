//! The shadow over real and generated blocks: what matches matches, and what is altered by one
//! byte is found, recorded, and found again from the record.

mod common;

use alloy_primitives::{B256, Bytes, U256};
use braid_core::{Block, Engine, Options, Outcome, Receipt, StateChanges, StateOutput};
use braid_shadow::{
    Divergence, Event, Job, Reference, Reports, Sequential, Settings, compare,
    recorded::{RecordedBlock, files},
};
use common::feed::{PATIENCE, Watched, generated, patient, with_reference};
use std::{path::Path, sync::Arc};

fn assert_all_match(watched: &Watched, blocks: usize) {
    let events = watched.events();
    assert_eq!(events.len(), blocks);
    for event in &events {
        assert!(matches!(event, Event::Matched(_)), "{event:?}");
    }
    let counters = watched.shadow.counters();
    assert_eq!((counters.matched, counters.done()), (blocks as u64, blocks as u64));
}

#[test]
fn recorded_blocks_match_and_their_proofs_hold() {
    for part in ["mainnet", "witness"] {
        let watched = Watched::start(Settings { sample_every: 4, ..patient() });
        let records: Vec<_> =
            common::recorded_blocks(part).into_iter().map(with_reference).map(Arc::new).collect();
        records.iter().for_each(|record| watched.shadow.submit(Job::recorded(record.clone())));
        assert_all_match(&watched, records.len());
        let counters = watched.shadow.counters();
        assert_eq!(counters.state_checked, records.len() as u64);
        if part == "witness" {
            assert_eq!(counters.roots_proved, records.len() as u64);
        }
        assert_eq!(counters.samples, records.len() as u64 / 4);
        println!("{part}: {} blocks, ratio {:?}", records.len(), counters.ratio());
    }
}

#[test]
fn the_header_alone_is_enough_of_a_reference() {
    let watched = Watched::start(patient());
    for record in generated(3, 20, 7) {
        let bare = RecordedBlock { reference: None, ..(*record).clone() };
        watched.shadow.submit(Job::recorded(Arc::new(bare)));
    }
    assert_all_match(&watched, 3);
}

/// Flips the lowest bit of one byte of something in the receipts or the state, chosen by `turn`;
/// false where this block has no such thing.
fn flip(turn: usize, receipts: &mut [Receipt], state: &mut StateChanges) -> bool {
    let pick = turn / 9;
    let receipt = |receipts: &mut [Receipt]| pick % receipts.len();
    let one = U256::ONE;
    match turn % 9 {
        0 => {
            let at = receipt(receipts);
            receipts[at].cumulative_gas_used ^= 1;
        }
        1 => {
            let at = receipt(receipts);
            receipts[at].success ^= true;
        }
        2..=4 => {
            let logs: Vec<_> = receipts.iter_mut().flat_map(|receipt| &mut receipt.logs).collect();
            let count = logs.len().max(1);
            let Some(log) = logs.into_iter().nth(pick % count) else { return false };
            match turn % 9 {
                2 => log.address.0[7] ^= 1,
                3 => {
                    let mut topics = log.topics().to_vec();
                    let Some(topic) = topics.last_mut() else { return false };
                    topic.0[31] ^= 1;
                    log.data.set_topics_unchecked(topics);
                }
                _ => {
                    let mut data = log.data.data.to_vec();
                    let Some(byte) = data.last_mut() else { return false };
                    *byte ^= 1;
                    log.data.data = Bytes::from(data);
                }
            }
        }
        5..=7 => {
            let all = state.accounts.iter_mut().filter_map(|change| change.after.as_mut());
            let all: Vec<_> = all.collect();
            let count = all.len().max(1);
            let Some(info) = all.into_iter().nth(pick % count) else { return false };
            match turn % 9 {
                5 => info.balance ^= one,
                6 => info.nonce ^= 1,
                _ => info.code_hash = B256::from(U256::from_be_bytes(info.code_hash.0) ^ one),
            }
        }
        _ => {
            let slots: Vec<_> =
                state.accounts.iter_mut().flat_map(|change| &mut change.storage).collect();
            let count = slots.len().max(1);
            let Some((_, value)) = slots.into_iter().nth(pick % count) else { return false };
            *value ^= one;
        }
    }
    true
}

fn flip_reference(turn: usize, reference: &mut Reference) {
    let (Some(receipts), Some(state)) = (&mut reference.receipts, &mut reference.state) else {
        panic!("no reference to alter");
    };
    assert!(flip(turn, receipts, state), "turn {turn}: nothing to alter");
}

fn flip_outcome(turn: usize, outcome: &mut Outcome) {
    let StateOutput::Flat(state) = &mut outcome.state else { panic!("the state is not flat") };
    assert!(flip(turn, &mut outcome.receipts, state), "turn {turn}: nothing to alter");
}

/// The one divergence, with its record read back.
fn divergence(watched: &Watched, folder: &Path) -> (Divergence, RecordedBlock) {
    let events = watched.events();
    let [Event::Diverged(divergence)] = events.as_slice() else { panic!("{events:?}") };
    let path = divergence.report.as_ref().expect("a report");
    assert!(path.starts_with(folder));
    (divergence.clone(), RecordedBlock::read(path).expect("a readable report"))
}

fn replay(record: &RecordedBlock) -> Outcome {
    let engine = Engine::new(Options { threads: 2, ..Options::default() });
    engine.execute(&record.chain, &record.block, record.state.source()).expect("a valid block")
}

type Plant = fn(usize, &Block, &mut Outcome, &mut Reference);

fn planting(folder: &Path, turn: usize, plant: Plant) -> Watched {
    let alter = Arc::new(move |block: &Block, outcome: &mut Outcome, reference: &mut Reference| {
        plant(turn, block, outcome, reference);
    });
    let reports = Some(Reports::new(folder));
    Watched::start(Settings { reports, alter: Some(alter), ..patient() })
}

#[test]
fn a_byte_planted_in_the_reference_is_found_100_of_100_and_reproduced_from_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let records = generated(1, 40, 3);
    for turn in 0..100 {
        let watched =
            planting(folder.path(), turn, |turn, _, _, reference| flip_reference(turn, reference));
        watched.shadow.submit(Job::recorded(records[0].clone()));
        let (divergence, record) = divergence(&watched, folder.path());
        assert_eq!(divergence.sequential, Sequential::AgreesWithParallel, "turn {turn}");
        let reference = record.reference.as_ref().expect("a reference");
        let found = compare(&record.chain, &record.block, &replay(&record), reference);
        assert_eq!(found, Err(divergence.difference.clone()), "turn {turn}");
        assert_eq!(reference.note, Some(divergence.difference.to_string()));
    }
}

#[test]
fn a_byte_planted_in_the_engine_is_found_100_of_100_and_blamed_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let records = generated(1, 40, 4);
    for turn in 0..100 {
        let watched =
            planting(folder.path(), turn, |turn, _, outcome, _| flip_outcome(turn, outcome));
        watched.shadow.submit(Job::recorded(records[0].clone()));
        let (divergence, record) = divergence(&watched, folder.path());
        assert_eq!(divergence.sequential, Sequential::AgreesWithReference, "turn {turn}");
        // The record holds what a faulty engine read, and so brings its fault out again.
        let mut outcome = replay(&record);
        let reference = record.reference.as_ref().expect("a reference");
        assert_eq!(compare(&record.chain, &record.block, &outcome, reference), Ok(()));
        flip_outcome(turn, &mut outcome);
        let found = compare(&record.chain, &record.block, &outcome, reference);
        assert_eq!(found, Err(divergence.difference), "turn {turn}");
    }
}

#[test]
fn a_record_of_a_live_state_holds_what_was_read_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let record = generated(1, 30, 5).remove(0);
    let watched = planting(folder.path(), 0, |turn, _, _, reference| {
        flip_reference(turn, reference);
    });
    // The same state as a live source: nothing but what is read can get into the report.
    let source = (*record).clone();
    let live = braid_shadow::recorded::Prestate::source(&source.state);
    let parts = live.reader().map(drop);
    assert!(parts.is_ok());
    watched.shadow.submit(common::feed::job_on(&record, Live(source)));
    let (divergence, reread) = divergence(&watched, folder.path());
    let found =
        compare(&reread.chain, &reread.block, &replay(&reread), reread.reference.as_ref().unwrap());
    assert_eq!(found, Err(divergence.difference));
    assert!(reread.proofs.is_none());
}

struct Live(RecordedBlock);

impl braid_core::StateSource for Live {
    fn reader(&self) -> Result<Box<dyn braid_core::StateReader + '_>, braid_core::SourceError> {
        self.0.state.source().reader()
    }
}

#[test]
fn reports_keep_to_their_size_and_keep_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let records = generated(6, 10, 6);
    let one = records[0].write(folder.path()).unwrap().metadata().unwrap().len();
    let alter = Arc::new(|_: &Block, outcome: &mut Outcome, _: &mut Reference| {
        outcome.receipts[0].cumulative_gas_used ^= 1;
    });
    let reports = Some(Reports { folder: folder.path().to_owned(), max_bytes: 3 * one });
    let watched = Watched::start(Settings { reports, alter: Some(alter), ..patient() });
    for record in &records {
        watched.shadow.submit(Job::recorded(record.clone()));
        assert!(watched.shadow.wait_idle(PATIENCE));
        let kept = files(folder.path()).unwrap();
        let size: u64 = kept.iter().map(|path| path.metadata().unwrap().len()).sum();
        let newest = folder.path().join(format!("{}.json.zst", record.number()));
        assert!(kept.contains(&newest), "{kept:?}");
        assert!(size <= 3 * one || kept.len() == 1, "{size} of {}", 3 * one);
    }
    assert_eq!(watched.shadow.counters().reports_written, 6);
    assert!(files(folder.path()).unwrap().len() < 6);
}
