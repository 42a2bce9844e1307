//! Whatever happens to the shadow's feed, its state or its disk, the host goes on, and every block
//! is counted once with its reason.

mod common;

use alloy_primitives::B256;
use braid_core::{Block, Outcome};
use braid_shadow::{Event, Job, Reason, Reference, Reports, Settings, Skip, Work};
use common::feed::{Fault, Faulty, Gate, PATIENCE, Stalled, Watched, generated, job_on, patient};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    fs,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

fn reason(event: &Event) -> Option<Reason> {
    match event {
        Event::Skipped { skip, .. } => Some(skip.reason),
        _ => None,
    }
}

fn reasons(events: &[Event]) -> Vec<Option<Reason>> {
    events.iter().map(reason).collect()
}

/// After a fault the next block is compared as if nothing had been.
fn assert_well(watched: &Watched, record: &Arc<braid_shadow::recorded::RecordedBlock>) {
    watched.shadow.submit(Job::recorded(record.clone()));
    let events = watched.events();
    assert!(matches!(events.as_slice(), [Event::Matched(_)]), "{events:?}");
}

#[test]
fn an_error_or_a_panic_at_any_read_is_a_skip_with_its_reason() {
    let record = generated(1, 12, 11).remove(0);
    let watched = Watched::start(patient());
    let (job, reads) = Faulty::job(&record, Fault::Error, usize::MAX);
    watched.shadow.submit(job);
    assert_eq!(reasons(&watched.events()), [None]);
    let reads = reads.load(Ordering::Relaxed);
    for (fault, expected) in [(Fault::Error, Reason::Source), (Fault::Panic, Reason::Panic)] {
        for at in 0..reads {
            watched.shadow.submit(Faulty::job(&record, fault, at).0);
            let events = watched.events();
            // Workers read in an order of their own: the last reads may not be needed at all.
            let fine = matches!(events.as_slice(), [Event::Matched(_)]) && at > 0;
            assert!(fine || reasons(&events) == [Some(expected)], "{fault:?} {at}: {events:?}");
        }
        assert_well(&watched, &record);
    }
    println!("{} faults", 2 * reads);
}

#[test]
fn a_panic_while_the_work_is_opened_and_in_the_listener_stay_inside() {
    let record = generated(1, 5, 12).remove(0);
    let watched = Watched::start(patient());
    watched.shadow.submit(Job::new(1, B256::ZERO, || panic!("the feed is broken")));
    let events = watched.events();
    let [Event::Skipped { skip, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(*skip, Skip::new(Reason::Panic, "the feed is broken"));
    assert_well(&watched, &record);

    let listener = Arc::new(|_: &Event| panic!("the listener is broken"));
    let settings = Settings { listener: Some(listener), ..patient() };
    let shadow = braid_shadow::Shadow::start(settings).unwrap();
    shadow.submit(Job::recorded(record.clone()));
    shadow.submit(Job::recorded(record));
    assert!(shadow.wait_idle(PATIENCE));
    let counters = shadow.counters();
    assert_eq!((counters.matched, counters.listener_panics), (2, 2));
}

#[test]
fn a_stalled_provider_costs_blocks_and_never_the_host() {
    let record = generated(1, 5, 13).remove(0);
    let deadline = Duration::from_millis(20);
    let settings =
        Settings { deadline, max_lag: 2, shutdown_wait: Duration::from_millis(50), ..patient() };
    let watched = Watched::start(settings);
    let gate = Gate::default();
    let stalled = || job_on(&record, Stalled { record: record.clone(), gate: gate.clone() });
    watched.shadow.submit(stalled());
    while watched.shadow.counters().running.is_none_or(|running| running < 3 * deadline) {
        std::thread::sleep(Duration::from_millis(5));
    }
    for _ in 0..5 {
        watched.shadow.submit(Job::recorded(record.clone()));
    }
    let counters = watched.shadow.counters();
    assert_eq!(counters.skipped.get(&Reason::Stalled), Some(&3));
    assert_eq!((counters.waiting, counters.submitted), (2, 6));
    // The thread hangs in the read: it cannot be joined, and nobody waits for it for long.
    assert!(!watched.shadow.shutdown());
    gate.open();
    let events = watched.events();
    assert_eq!(events.len(), 6);
    assert_eq!(watched.shadow.counters().done(), 6);
}

#[test]
fn a_block_beyond_its_deadline_is_given_up() {
    let record = generated(1, 5, 14).remove(0);
    let watched = Watched::start(Settings { deadline: Duration::ZERO, ..patient() });
    watched.shadow.submit(Job::recorded(record));
    assert_eq!(reasons(&watched.events()), [Some(Reason::Deadline)]);
}

#[test]
fn the_memory_cap_is_kept() {
    let record = generated(1, 20, 15).remove(0);
    let watched = Watched::start(Settings { memory_cap: 2_000, ..patient() });
    watched.shadow.submit(Job::recorded(record));
    assert_eq!(reasons(&watched.events()), [Some(Reason::Memory)]);
}

#[test]
fn a_folder_that_cannot_be_written_costs_reports_and_not_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reports");
    fs::write(&file, "a file where the folder should be").unwrap();
    let record = generated(1, 5, 16).remove(0);
    let alter = Arc::new(|_: &Block, outcome: &mut Outcome, _: &mut Reference| {
        outcome.receipts[0].success ^= true;
    });
    let settings = Settings { reports: Some(Reports::new(&file)), alter: Some(alter), ..patient() };
    let watched = Watched::start(settings);
    (0..3).for_each(|_| watched.shadow.submit(Job::recorded(record.clone())));
    let events = watched.events();
    for event in &events {
        let Event::Diverged(divergence) = event else { panic!("{event:?}") };
        let error = divergence.report.as_ref().unwrap_err();
        assert!(error.contains("reports"), "{error}");
    }
    let counters = watched.shadow.counters();
    assert_eq!((counters.diverged, counters.reports_lost, counters.reports_written), (3, 3, 0));
}

#[test]
fn repeated_failures_disable_it_and_it_says_so() {
    let record = generated(1, 5, 17).remove(0);
    let watched = Watched::start(Settings { max_failures: 3, ..patient() });
    let broken = || Job::new(1, B256::ZERO, || panic!("broken"));
    // A good block in between starts the count anew.
    for job in [broken(), broken(), Job::recorded(record.clone()), broken(), broken(), broken()] {
        watched.shadow.submit(job);
    }
    watched.shadow.wait_idle(PATIENCE);
    watched.shadow.submit(Job::recorded(record));
    let events = watched.events();
    let disabled: Vec<_> =
        events.iter().filter(|event| matches!(event, Event::Disabled { .. })).collect();
    assert!(matches!(disabled.as_slice(), [Event::Disabled { failures: 3, .. }]), "{events:?}");
    assert_eq!(events.last().and_then(reason), Some(Reason::Disabled));
    let counters = watched.shadow.counters();
    assert!(counters.disabled);
    assert_eq!((counters.matched, counters.done()), (1, 7));
}

#[test]
fn an_incomplete_state_or_a_false_announcement_is_no_divergence() {
    let record = generated(1, 10, 18).remove(0);
    let hash = record.block.header.hash_slow();
    let watched = Watched::start(patient());
    let lacking = {
        let mut record = (*record).clone();
        record.state = braid_shadow::recorded::Prestate::Memory(Default::default());
        record.complete = false;
        Arc::new(record)
    };
    watched.shadow.submit(Job::recorded(lacking));
    let other = record.clone();
    watched
        .shadow
        .submit(Job::new(record.number() + 1, hash, move || Ok(Work::from_record(other))));
    let expected = [Some(Reason::Incomplete), Some(Reason::BadBlock)];
    assert_eq!(reasons(&watched.events()), expected);
}

#[test]
fn too_many_at_once_are_skipped_and_too_many_waiting_lose_the_oldest() {
    let records = generated(6, 3, 19);
    let gate = Gate::default();
    let watched = Watched::start(Settings { max_lag: 2, max_batch: 3, ..patient() });
    let all = || records.iter().cloned().map(Job::recorded);
    watched.shadow.submit_batch(all().collect());
    assert_eq!(watched.shadow.counters().skipped.get(&Reason::Batch), Some(&6));
    let stalled = Stalled { record: records[0].clone(), gate: gate.clone() };
    watched.shadow.submit(job_on(&records[0], stalled));
    while watched.shadow.counters().running.is_none() {
        std::thread::yield_now();
    }
    all().skip(1).for_each(|job| watched.shadow.submit(job));
    gate.open();
    let events = watched.events();
    let lagging = events.iter().filter_map(|event| match event {
        Event::Skipped { number, skip, .. } if skip.reason == Reason::Lag => Some(*number),
        _ => None,
    });
    let oldest: Vec<_> = records[1..4].iter().map(|record| record.number()).collect();
    assert_eq!(lagging.collect::<Vec<_>>(), oldest);
    assert_eq!(watched.shadow.counters().matched, 3);
}

#[test]
fn a_shutdown_joins_and_counts_what_waited() {
    let record = generated(1, 5, 20).remove(0);
    let watched = Watched::start(patient());
    (0..20).for_each(|_| watched.shadow.submit(Job::recorded(record.clone())));
    let start = Instant::now();
    assert!(watched.shadow.shutdown());
    assert!(start.elapsed() < PATIENCE);
    watched.shadow.submit(Job::recorded(record));
    let counters = watched.shadow.counters();
    assert_eq!((counters.done(), counters.diverged), (21, 0));
    assert!(watched.shadow.shutdown(), "a second one has nothing to wait for");
}

/// Two branches from one ancestor: the feed commits, reverts and reorganises at random; whatever
/// it does, no block is lost and none diverges.
#[test]
fn random_reorganisations_lose_no_block() {
    let branches = [generated(8, 3, 21), generated(8, 3, 22)];
    let mut rng = StdRng::seed_from_u64(23);
    let watched = Watched::start(Settings { max_lag: 4, max_batch: 3, ..patient() });
    let mut submitted = 0;
    for _ in 0..200 {
        let branch = &branches[rng.random_range(0..2)];
        let from = rng.random_range(0..branch.len());
        let until = rng.random_range(from..branch.len());
        let jobs: Vec<_> = branch[from..=until].iter().cloned().map(Job::recorded).collect();
        submitted += jobs.len() as u64;
        if rng.random_bool(0.5) {
            watched.shadow.submit_batch(jobs);
        } else {
            jobs.into_iter().for_each(|job| watched.shadow.submit(job));
        }
        if rng.random_bool(0.3) {
            let gone: Vec<_> =
                branch[from..=until].iter().map(|record| record.block.header.hash_slow()).collect();
            watched.shadow.withdraw(&gone);
        }
        if rng.random_bool(0.2) {
            watched.shadow.wait_idle(PATIENCE);
        }
    }
    let events = watched.events();
    assert_eq!(events.len() as u64, submitted);
    let ordinary = [Reason::Batch, Reason::Lag, Reason::Reorged];
    for event in &events {
        let fine = match event {
            Event::Matched(_) => true,
            Event::Skipped { skip, .. } => ordinary.contains(&skip.reason),
            _ => false,
        };
        assert!(fine, "{event:?}");
    }
    assert_eq!(watched.shadow.counters().done(), submitted);
}

/// A feed and a watcher on threads of their own: what the watcher has seen submitted is counted
/// when nothing is left to do, also what was displaced or withdrawn that very moment.
#[test]
fn idle_means_that_everything_submitted_is_counted() {
    let watched = Watched::start(Settings { max_lag: 1, ..patient() });
    let hash = B256::with_last_byte;
    let job = |number: u8| {
        let refuse = || Err(Skip::new(Reason::Feed, "nothing there"));
        Job::new(number.into(), hash(number), refuse)
    };
    for round in 1..=1_000 {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..4).for_each(|number| watched.shadow.submit(job(number)));
                watched.shadow.withdraw(&[hash(3)]);
            });
            while watched.shadow.counters().submitted < 4 * round {
                std::thread::yield_now();
            }
            assert!(watched.shadow.wait_idle(PATIENCE));
            assert_eq!(watched.shadow.counters().done(), 4 * round, "round {round}");
        });
    }
}
