//! What must not happen to the node: a dev node in this process goes on committing blocks while the
//! shadow's state panics, fails, hangs, or its results are wrong.

use crate::shared::{PATIENCE, tape, wait_for};
use alloy_primitives::U256;
use braid_core::{
    Engine, Options, SourceError, StateReader, StateSource,
    source::{HookedReader, Location},
};
use braid_reth::{Braid, Settings};
use braid_shadow::{
    Counters, Reason, Reference, Reports, compare,
    recorded::{RecordedBlock, files},
};
use reth_ethereum::{
    chainspec::ChainSpec,
    node::{
        EthereumNode,
        builder::{NodeBuilder, NodeHandle},
        core::node_config::NodeConfig,
    },
    storage::BlockNumReader,
    tasks::Runtime,
};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// What a faulty state does at a read; gets the number of the read since the node's start.
type Fault = Arc<dyn Fn(u64) -> Result<(), SourceError> + Send + Sync>;

struct Faulty {
    inner: Box<dyn StateSource + Send>,
    reads: Arc<AtomicU64>,
    fault: Fault,
}

impl StateSource for Faulty {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        let strike = |_| (self.fault)(self.reads.fetch_add(1, Ordering::Relaxed));
        Ok(Box::new(HookedReader::new(self.inner.reader()?, strike)))
    }
}

/// Runs a dev node with this fault until `done` says so of the shadow's counters; then the node
/// must go on, and still be running.
async fn node_outlives(
    reports: &Path,
    change: impl FnOnce(&mut Settings),
    done: impl Fn(&Counters) -> bool + Send + 'static,
) -> Counters {
    let (genesis, _) = tape(4, 0, 11);
    let genesis: alloy_genesis::Genesis = serde_json::from_value(genesis).expect("a genesis");
    let mut config = NodeConfig::test().dev().with_chain(Arc::new(ChainSpec::from(genesis)));
    config.dev.block_time = Some(Duration::from_millis(50));
    let mut settings = Settings::default();
    settings.shadow.reports = Some(Reports::new(reports));
    change(&mut settings);
    let braid = Braid::new(settings);
    let shadow = braid.clone();
    let NodeHandle { node, node_exit_future } = NodeBuilder::new(config)
        .testing_node(Runtime::test())
        .node(EthereumNode::default())
        .install_exex("braid", move |ctx| async move { shadow.launch(ctx) })
        .launch_with_debug_capabilities()
        .await
        .expect("a node");
    let provider = node.provider.clone();
    let watched = braid.clone();
    let watch = tokio::task::spawn_blocking(move || {
        let height = || provider.best_block_number().expect("a height");
        let counters =
            wait_for("the fault to show", || watched.counters().filter(|counters| done(counters)));
        let before = height();
        wait_for("blocks after the fault", || (height() > before + 5).then_some(()));
        wait_for("the shadow to be told of these blocks", || {
            (watched.progress().committed >= before).then_some(())
        });
        counters
    });
    let counters = tokio::select! {
        ended = node_exit_future => panic!("the node ended: {ended:?}"),
        counters = watch => counters.expect("the watch"),
    };
    let stopped = tokio::task::spawn_blocking(move || braid.stop());
    assert!(tokio::time::timeout(PATIENCE, stopped).await.is_ok(), "a stop ends");
    println!("{counters:?}");
    counters
}

fn with_fault(settings: &mut Settings, fault: Fault) {
    let reads = Arc::new(AtomicU64::new(0));
    settings.wrap = Some(Arc::new(move |inner| {
        Box::new(Faulty { inner, reads: reads.clone(), fault: fault.clone() })
    }));
}

fn count(counters: &Counters, reason: Reason) -> u64 {
    counters.skipped.get(&reason).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_worker_disables_the_shadow_and_not_the_node() {
    let reports = tempfile::tempdir().expect("a folder");
    let counters = node_outlives(
        reports.path(),
        |settings| {
            settings.shadow.max_failures = 8;
            with_fault(settings, Arc::new(|read| panic!("planted at read {read}")));
        },
        |counters| counters.disabled && count(counters, Reason::Disabled) > 0,
    )
    .await;
    assert_eq!(counters.matched + counters.diverged, 0);
    assert_eq!(count(&counters, Reason::Panic), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_at_every_seventh_read_costs_blocks_and_reports_no_divergence() {
    let reports = tempfile::tempdir().expect("a folder");
    let counters = node_outlives(
        reports.path(),
        |settings| {
            settings.shadow.max_failures = 0;
            let fault = |read: u64| {
                let error = || SourceError::new(Location::BlockHash(read), "planted");
                if read % 7 == 6 { Err(error()) } else { Ok(()) }
            };
            with_fault(settings, Arc::new(fault));
        },
        |counters| count(counters, Reason::Source) >= 10,
    )
    .await;
    assert_eq!(counters.diverged, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_hangs_costs_blocks_and_holds_nothing_up() {
    let hangs = Arc::new(AtomicBool::new(true));
    let release = hangs.clone();
    let reports = tempfile::tempdir().expect("a folder");
    let counters = node_outlives(
        reports.path(),
        |settings| {
            settings.shadow.deadline = Duration::from_millis(100);
            settings.shadow.shutdown_wait = Duration::from_millis(200);
            let fault = move |_| {
                while hangs.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(())
            };
            with_fault(settings, Arc::new(fault));
        },
        |counters| count(counters, Reason::Stalled) >= 5,
    )
    .await;
    release.store(false, Ordering::Relaxed);
    assert_eq!(counters.diverged, 0);
    assert!(counters.running.is_some(), "the first block is still inside its read");
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_divergences_are_found_and_recorded_and_the_node_goes_on() {
    let reports = tempfile::tempdir().expect("a folder");
    let counters = node_outlives(
        reports.path(),
        |settings| settings.shadow.alter = Some(Arc::new(|_, _, reference| plant(reference))),
        |counters| counters.diverged >= 20,
    )
    .await;
    assert_eq!(counters.matched, 0, "each of them is found");
    assert_eq!(counters.reports_lost, 0);
    let files = files(reports.path()).expect("a folder");
    assert!(files.len() as u64 >= counters.reports_written, "{} files", files.len());
    let engine = Engine::new(Options { threads: 2, ..Options::default() });
    for file in files {
        let record = RecordedBlock::read(&file).expect("a recorded block");
        let source = record.state.source();
        let outcome = engine.execute(&record.chain, &record.block, source).expect("a valid block");
        let reference = record.reference.as_ref().expect("the node's result");
        let difference = compare(&record.chain, &record.block, &outcome, reference);
        let difference = difference.expect_err("the planted difference is in the file");
        assert_eq!(&*difference.field, "balance", "{difference}");
    }
}

/// One wei more than the node has, in the first account that the block changed.
fn plant(reference: &mut Reference) {
    let accounts = reference.state.iter_mut().flat_map(|state| &mut state.accounts);
    if let Some(info) = accounts.filter_map(|change| change.after.as_mut()).next() {
        info.balance += U256::from(1);
    }
}
