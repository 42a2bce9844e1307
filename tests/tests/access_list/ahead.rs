//! What a list names is read ahead where reads are slow: by another thread, no more than sequential
//! execution reads, and without any effect on the outcome, whatever the list says.

use super::{
    Known,
    common::{
        self,
        asm::asm,
        late::{Trouble, Troubled},
        scene::Scene,
        tx::Tx,
    },
    engine, generated,
};
use alloy_eips::eip7928::AccountChanges;
use alloy_hardforks::EthereumHardfork as Fork;
use alloy_primitives::{Address, U256};
use braid_core::{
    Optimisations, OutputKind, SourceError, StateReader, StateSource,
    source::{HookedReader, Location},
};
use revm::bytecode::opcode as op;
use std::{
    collections::HashMap,
    sync::Mutex,
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

/// A source that says that it is slow, and notes who reads what.
struct Watched<'a> {
    inner: &'a dyn StateSource,
    seen: Mutex<Vec<(Location, ThreadId)>>,
    /// This thread's reads of storage wait until other threads have read so many places.
    patient: Option<(ThreadId, usize)>,
}

impl<'a> Watched<'a> {
    fn new(inner: &'a dyn StateSource) -> Self {
        Self { inner, seen: Mutex::default(), patient: None }
    }

    fn others(&self, than: ThreadId) -> usize {
        self.seen.lock().unwrap().iter().filter(|(_, thread)| *thread != than).count()
    }

    fn note(&self, location: Location) {
        let me = thread::current().id();
        if let Some((patient, count)) = self.patient
            && patient == me
            && matches!(location, Location::Storage(STORE, _))
        {
            let start = Instant::now();
            while self.others(me) < count && start.elapsed() < Duration::from_secs(20) {
                thread::yield_now();
            }
        }
        self.seen.lock().unwrap().push((location, me));
    }

    fn reads(&self) -> HashMap<Location, usize> {
        let mut reads = HashMap::new();
        for (location, _) in self.seen.lock().unwrap().drain(..) {
            *reads.entry(location).or_default() += 1;
        }
        reads
    }
}

impl StateSource for Watched<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        let note = |location| {
            self.note(location);
            Ok(())
        };
        Ok(Box::new(HookedReader::new(self.inner.reader()?, note)))
    }

    fn is_slow(&self) -> bool {
        true
    }
}

const STORE: Address = Address::repeat_byte(0xa1);
const SLOTS: u8 = 30;

/// One transaction that reads many slots of one contract.
fn scene() -> Scene {
    let mut scene = Scene::new(Fork::Osaka);
    let code = asm(|code| {
        for slot in 0..SLOTS {
            code.load(slot).op(op::POP);
        }
        code
    });
    scene.contract(STORE, code, 0);
    for slot in 0..SLOTS {
        scene.slot(STORE, slot.into(), 5);
    }
    scene.send(0, Tx::to(STORE));
    scene
}

#[test]
fn another_thread_reads_what_the_only_transaction_will_need() {
    let scene = scene();
    let mut watched = Watched::new(&scene.state);
    let known = Known::new("one".to_owned(), &scene.chain, &scene.block, &scene.state);
    let list = known.list().clone();
    // The transaction's own reads wait for that thread, so it must be there and do all of them.
    let me = thread::current().id();
    watched.patient = Some((me, usize::from(SLOTS)));
    let known = Known { source: &watched, ..known };
    known.run(&engine(2, OutputKind::Flat, Optimisations::ALL), &list);
    assert!(watched.others(me) >= usize::from(SLOTS));
    let impatient = Watched::new(&scene.state);
    let known = Known { source: &impatient, ..known };
    let off = Optimisations { prefetch: false, run_ahead: false, ..Optimisations::ALL };
    known.run(&engine(2, OutputKind::Flat, off), &list);
    assert_eq!(impatient.others(me), 0, "nobody else has anything to execute");
}

#[test]
fn each_place_is_read_once_and_hardly_any_that_execution_does_not_read() {
    let mut records = common::recorded_blocks("mainnet");
    records.extend(generated(80));
    let engines = [2, 4, 16].map(|count| engine(count, OutputKind::Flat, Optimisations::ALL));
    let (mut sequential, mut parallel) = (0, 0);
    for record in &records {
        let known = Known::recorded(record);
        let list = known.list().clone();
        for engine in &engines {
            let watched = Watched::new(record.state.source());
            let alone = Known::new(known.what.clone(), known.chain, known.block, &watched);
            // Both outputs of stock execution.
            sequential += watched.seen.lock().unwrap().drain(..).count() / 2;
            alone.run(engine, &list);
            for (location, count) in watched.reads() {
                assert_eq!(count, 1, "{}: {location}", known.what);
                parallel += count;
            }
        }
    }
    assert!(parallel * 100 <= sequential * 101, "{parallel} reads, sequentially {sequential}");
}

#[test]
fn superfluous_places_that_fail_or_panic_change_nothing() {
    let scene = scene();
    let known = Known::new("one".to_owned(), &scene.chain, &scene.block, &scene.state);
    for trouble in [Trouble::Error, Trouble::Panic, Trouble::Delay] {
        let mut list = known.list().clone();
        let mut places = Vec::new();
        for byte in 1..40 {
            let address = Address::repeat_byte(byte);
            if list.iter().any(|entry| entry.address == address) {
                continue;
            }
            places.push((Location::Account(address), trouble));
            list.push(AccountChanges::new(address).with_storage_read(U256::from(byte)));
        }
        list.sort_by_key(|entry| entry.address);
        let troubled = Troubled::new(&scene.state, places.clone());
        let watched = Watched::new(&troubled);
        let known = Known {
            source: &watched,
            ..Known::new("trouble".to_owned(), &scene.chain, &scene.block, &scene.state)
        };
        for threads in [1, 2, 4, 8] {
            let (_, check) =
                known.run(&engine(threads, OutputKind::Flat, Optimisations::ALL), &list);
            assert_eq!(check.mismatches, 2 * places.len(), "{trouble:?}, {threads}");
        }
    }
}

#[test]
fn a_list_with_more_places_than_the_gas_pays_for_is_not_read_ahead() {
    let scene = scene();
    let known = Known::new("one".to_owned(), &scene.chain, &scene.block, &scene.state);
    let mut list = known.list().clone();
    let entry = list.iter_mut().find(|entry| entry.address == STORE).expect("the contract");
    entry.storage_reads.extend((100..200_000).map(U256::from));
    let watched = Watched::new(&scene.state);
    let known = Known { source: &watched, ..known };
    known.run(&engine(2, OutputKind::Flat, Optimisations::ALL), &list);
    assert!(watched.seen.lock().unwrap().len() < 100);
}
