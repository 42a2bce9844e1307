//! The small protocols under loom: every interleaving of two or three threads.

use super::super::{
    Optimisations,
    cells::SlotCell,
    index::Index,
    revalidate::Scans,
    schedule::{Claim, Schedule, Taken},
    versions::{Chain, Stamp},
};
use crate::{
    Block,
    pool::{Pool, Work},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        thread,
    },
};
use alloy_consensus::{SignableTransaction, TxLegacy, transaction::Recovered};
use alloy_primitives::{Address, Signature, U256};
use loom::model::Builder;
use std::sync::Arc;

/// Explores all schedules with at most this many forced switches (three find most faults, says
/// loom's own documentation).
fn explore(test: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}

const fn value(stamp: Stamp) -> U256 {
    U256::from_limbs([stamp.position() as u64 + 100, 0, 0, 0])
}

/// A reader below a position sees the base or a version of a lower position, each with its own
/// value; where the committed stamp is the one it saw, the committed value is the one it saw.
#[test]
fn a_stamp_names_its_value() {
    explore(|| {
        let cell = Arc::new(Chain::default());
        let (first, second) = (Stamp::new(1, 1), Stamp::new(2, 1));
        let workers = [first, second].map(|stamp| {
            let cell = cell.clone();
            thread::spawn(move || cell.publish(stamp, value(stamp)))
        });
        let reader = {
            let cell = cell.clone();
            thread::spawn(move || {
                let seen = cell.below(3);
                if let Some((stamp, seen)) = seen {
                    assert_eq!(seen, value(stamp));
                }
                // The next transaction's reader never sees less than the one before.
                let later = cell.below(4).map(|(stamp, _)| stamp);
                assert!(later >= seen.map(|(stamp, _)| stamp));
                seen
            })
        };
        let [one, two] = workers;
        one.join().unwrap();
        // The token's holder knows from the record that version one is published.
        cell.promote(first);
        two.join().unwrap();
        cell.promote(second);
        let seen = reader.join().unwrap();
        assert_eq!(cell.committed_stamp(), second);
        let (stamp, committed) = cell.committed().unwrap();
        assert_eq!((stamp, committed), (second, value(second)));
        if let Some((stamp, seen)) = seen.filter(|(stamp, _)| *stamp == second) {
            assert_eq!(seen, value(stamp));
        }
    });
}

/// A withdrawn version is gone for readers that begin afterwards, a re-executed one replaces it.
#[test]
fn a_withdrawn_version_is_replaced() {
    explore(|| {
        let cell = Arc::new(Chain::default());
        let (stale, fresh) = (Stamp::new(1, 1), Stamp::new(1, 2));
        cell.publish(stale, value(stale));
        let reader = {
            let cell = cell.clone();
            thread::spawn(move || cell.below(2).map(|(stamp, _)| stamp))
        };
        cell.withdraw(stale);
        cell.commit(fresh, U256::from(7));
        let seen = reader.join().unwrap();
        assert!([None, Some(stale), Some(fresh)].contains(&seen));
        assert_eq!(cell.below(2), Some((fresh, U256::from(7))));
    });
}

/// Whoever leaves last has looked at what everybody made ready, although nobody waits to look.
#[test]
fn the_last_scan_sees_what_was_made_ready() {
    explore(|| {
        let ready = Arc::new([(); 3].map(|()| AtomicUsize::new(0)));
        let scans = Arc::new(Scans::<usize>::default());
        let leave = |of: usize, ready: &[AtomicUsize; 3], scans: &Scans<usize>| {
            ready[of].store(1, Ordering::Release);
            let count = || ready.iter().map(|one| one.load(Ordering::Acquire)).sum();
            let none = scans.last(|seen| {
                *seen = count();
                None::<()>
            });
            assert!(none.is_none());
        };
        let others = [1, 2].map(|of| {
            let (ready, scans) = (ready.clone(), scans.clone());
            thread::spawn(move || leave(of, &ready, &scans))
        });
        leave(0, &ready, &scans);
        others.into_iter().for_each(|other| other.join().unwrap());
        scans.last(|seen| {
            assert_eq!(*seen, 3);
            Some(())
        });
    });
}

/// Each location is read from the source once, whoever asks.
#[test]
fn a_base_value_is_read_once() {
    explore(|| {
        let cell = Arc::new(SlotCell::default());
        let reads = Arc::new(AtomicUsize::new(0));
        let ask = |cell: &SlotCell, reads: &AtomicUsize| {
            let read = || {
                reads.fetch_add(1, Ordering::Relaxed);
                Ok::<_, ()>(U256::from(9))
            };
            assert_eq!(cell.base(read), Ok(U256::from(9)));
        };
        let other = {
            let (cell, reads) = (cell.clone(), reads.clone());
            thread::spawn(move || ask(&cell, &reads))
        };
        ask(&cell, &reads);
        other.join().unwrap();
        assert_eq!(reads.load(Ordering::Relaxed), 1);
    });
}

/// When `run` returns no thread holds the job, and a second job runs on the same threads.
#[test]
fn the_gate_lets_nobody_stay_inside() {
    explore(|| {
        let mut pool = Pool::new(1);
        for _ in 0..2 {
            let inside = AtomicUsize::new(0);
            let runs = AtomicUsize::new(0);
            pool.run(&|_worker| {
                inside.fetch_add(1, Ordering::Relaxed);
                runs.fetch_add(1, Ordering::Relaxed);
                inside.fetch_sub(1, Ordering::Relaxed);
            });
            assert_eq!(inside.load(Ordering::Relaxed), 0);
            assert!((1..=2).contains(&runs.load(Ordering::Relaxed)));
        }
    });
}

/// A thread between two blocks may help; the owner has everything either way.
#[test]
fn work_is_shared_with_a_thread_that_may_sleep() {
    struct Sum;
    impl Work for Sum {
        type Part = usize;

        fn len(&self) -> usize {
            2
        }

        fn part(&self, numbers: &mut dyn Iterator<Item = usize>) -> usize {
            numbers.map(|number| number + 1).sum()
        }

        fn merge(&self, one: usize, other: usize) -> usize {
            one + other
        }
    }
    explore(|| {
        let pool = Pool::new(1);
        let helpers = pool.helpers().unwrap();
        assert_eq!(helpers.share(Sum), Some(3));
        assert!(!helpers.help_idle(), "nothing is left behind");
    });
}

/// Two workers are handed every transaction exactly once.
#[test]
fn every_transaction_is_handed_out_once() {
    // loom's threads live as long as the program as far as the compiler knows.
    let block: &'static Block = Box::leak(Box::new(chain_of(3)));
    explore(|| {
        let schedule = Arc::new(Schedule::new(block, Optimisations::NONE, None));
        let handed = Arc::new(Mutex::new(Vec::new()));
        let work = |schedule: &Schedule<'_>, handed: &Mutex<Vec<usize>>| {
            let (mut last, mut idle) = (None, 0);
            loop {
                match schedule.claim(last, idle) {
                    Claim::Run(indices) => {
                        last = indices.clone().last();
                        for index in indices {
                            handed.lock().push(index);
                            schedule.set_ready(index, 1);
                        }
                        idle = 0;
                    }
                    Claim::Wait => {
                        idle += 1;
                        thread::yield_now();
                    }
                    Claim::Finished => return,
                }
            }
        };
        let other = {
            let (schedule, handed) = (schedule.clone(), handed.clone());
            thread::spawn(move || work(&schedule, &handed))
        };
        work(&schedule, &handed);
        other.join().unwrap();
        let mut handed = handed.lock().clone();
        handed.sort_unstable();
        assert_eq!(handed, [0, 1, 2]);
    });
}

/// Of the holder of the commit token and a worker that retracts, one gets the record; the holder
/// who comes second knows that there will be another one.
#[test]
fn a_record_is_taken_once() {
    let block: &'static Block = Box::leak(Box::new(chain_of(1)));
    explore(|| {
        let schedule = Arc::new(Schedule::new(block, Optimisations::ALL, None));
        schedule.put(0, Box::default());
        schedule.set_ready(0, 1);
        let other = {
            let schedule = schedule.clone();
            thread::spawn(move || {
                let record = schedule.retract(0, |_| true);
                let retracted = record.is_some();
                if let Some(mut record) = record {
                    record.incarnation += 1;
                    schedule.put(0, record);
                    schedule.set_ready(0, 2);
                }
                retracted
            })
        };
        let mut taken = Taken::Retracted;
        while let Taken::Retracted = taken {
            thread::yield_now();
            if schedule.is_ready(0) {
                taken = schedule.take(0);
            }
        }
        let retracted = other.join().unwrap();
        let Taken::Record(record) = taken else { panic!("the record is gone") };
        assert_eq!(record.incarnation, 1 + u8::from(retracted));
        assert!(schedule.retract(0, |_| true).is_none(), "what was taken is not retracted");
    });
}

/// Transactions of which the first and the last share a sender.
fn chain_of(len: u8) -> Block {
    let transactions = (0..len).map(|index| {
        let signed = TxLegacy::default().into_signed(Signature::test_signature());
        Recovered::new_unchecked(signed.into(), Address::repeat_byte(index % 2))
    });
    Block { transactions: transactions.collect(), ..Block::default() }
}

/// A location has one index, whoever asks first, and whoever finds it sees its key.
#[test]
fn a_location_has_one_index() {
    explore(|| {
        let index = Arc::new(Index::new());
        let keys: Arc<[AtomicUsize; 4]> = Arc::default();
        let count = Arc::new(AtomicUsize::new(0));
        let ask = |index: &Index, keys: &[AtomicUsize; 4], count: &AtomicUsize, key: usize| {
            let push = || {
                let id = count.fetch_add(1, Ordering::Relaxed);
                keys[id].store(key, Ordering::Relaxed);
                id as u32
            };
            let is = |id: u32| keys[id as usize].load(Ordering::Relaxed) == key;
            // Both keys fall into the same bucket and differ in nothing that a bucket holds.
            index.find_or_insert(7, is, push)
        };
        let other = {
            let (index, keys, count) = (index.clone(), keys.clone(), count.clone());
            thread::spawn(move || [1, 2].map(|key| ask(&index, &keys, &count, key)))
        };
        let mine = [2, 1].map(|key| ask(&index, &keys, &count, key));
        let other = other.join().unwrap();
        assert_eq!([mine[1], mine[0]], other);
        assert_ne!(mine[0], mine[1]);
        // A cell that was prepared in vain is nobody's.
        assert!((2..=4).contains(&count.load(Ordering::Relaxed)));
        assert_eq!(ask(&index, &keys, &count, 1), mine[1]);
        assert_eq!(ask(&index, &keys, &count, 2), mine[0]);
    });
}
