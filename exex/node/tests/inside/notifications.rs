//! Random sequences of notifications with real execution: commits, reorgs, reverts, batches. Every
//! block is accounted for, and none is taken for a divergence.
//!
//! Full size: `BRAID_NODE_SEQUENCES=1000`.

use crate::{
    chain::TestChain,
    shared::{PATIENCE, amount, tape, wait_for},
};
use braid_reth::{Braid, Settings};
use braid_shadow::{Counters, Reason, Reports};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reth_ethereum::{
    chainspec::ChainSpec,
    exex::{ExExEvent, ExExNotification},
};
use reth_exex_test_utils::{TestExExHandle, test_exex_context_with_chain_spec};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;

/// A chain, and a shadow that follows it.
struct Rig {
    chain: TestChain,
    braid: Braid,
    handle: TestExExHandle,
    committed: u64,
    reverted: u64,
    _reports: TempDir,
}

impl Rig {
    async fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let (genesis, tape) = tape(40, 12, 5);
        let genesis: alloy_genesis::Genesis = serde_json::from_value(genesis).expect("a genesis");
        let spec = Arc::new(ChainSpec::from(genesis));
        let (ctx, handle) =
            test_exex_context_with_chain_spec(spec.clone()).await.expect("a context");
        let chain = TestChain::new(ctx.components.provider.clone(), spec, tape, 6);
        let reports = tempfile::tempdir().expect("a folder");
        let mut settings = Settings::default();
        settings.shadow.reports = Some(Reports::new(reports.path()));
        settings.shadow.deadline = Duration::from_secs(60);
        settings.shadow.max_failures = 0;
        change(&mut settings);
        let braid = Braid::new(settings);
        tokio::spawn(braid.launch(ctx).expect("a future"));
        Self { chain, braid, handle, committed: 0, reverted: 0, _reports: reports }
    }

    async fn send(&mut self, notification: ExExNotification) {
        let blocks = |chain: Option<Arc<reth_ethereum::provider::Chain>>| {
            chain.map_or(0, |chain| chain.blocks().len() as u64)
        };
        self.committed += blocks(notification.committed_chain());
        self.reverted += blocks(notification.reverted_chain());
        self.handle.notifications_tx.send(notification).await.expect("the ExEx listens");
    }

    /// Waits until the shadow has dealt with everything that was sent.
    fn settle(&self) -> Counters {
        let (committed, reverted) = (self.committed, self.reverted);
        wait_for("the notifications to arrive", || {
            let progress = self.braid.progress();
            (progress.committed == committed && progress.reverted == reverted).then_some(())
        });
        assert!(self.braid.wait_idle(PATIENCE));
        let counters = self.braid.counters().expect("a shadow");
        assert_eq!(counters.done(), committed, "every block is accounted for: {counters:?}");
        assert_eq!(counters.diverged, 0, "{counters:?}");
        counters
    }

    /// One random step; how many blocks came at once.
    async fn step(&mut self, rng: &mut StdRng, max_batch: usize) -> usize {
        let height = usize::try_from(self.chain.height()).expect("a short chain");
        let drop = rng.random_range(0..=height.min(4));
        let (notification, came) = match rng.random_range(0..10) {
            0..5 => {
                let count = rng.random_range(1..4);
                (self.chain.commit(count), count)
            }
            5 => {
                let count = max_batch + rng.random_range(1..3);
                (self.chain.commit(count), count)
            }
            6..8 if drop > 0 => {
                let count = rng.random_range(1..5);
                (self.chain.reorg(drop, count), count)
            }
            _ if drop > 0 => (self.chain.revert(drop), 0),
            _ => (self.chain.commit(1), 1),
        };
        self.send(notification).await;
        came
    }
}

/// Steps in each sequence.
const STEPS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn no_sequence_loses_a_block_or_reports_a_divergence() {
    let sequences = amount("BRAID_NODE_SEQUENCES", 30);
    let mut rig = Rig::new(|_| ()).await;
    let max_batch = rig.braid.settings().shadow.max_batch;
    let mut rng = StdRng::seed_from_u64(1);
    let (mut expected, mut batched) = (0, 0);
    for sequence in 0..sequences {
        // Every other sequence gives the shadow time: then nothing but batches may be skipped.
        let patient = sequence % 2 == 0;
        let before = rig.braid.counters().map_or(0, |counters| counters.matched);
        for _ in 0..STEPS {
            let came = rig.step(&mut rng, max_batch).await;
            if patient {
                let counters = rig.settle();
                if came > max_batch {
                    batched += came as u64;
                } else {
                    expected += came as u64;
                }
                assert!(counters.skipped.get(&Reason::Batch) >= Some(&batched) || batched == 0);
                let matched = counters.matched - before;
                assert_eq!(matched, expected, "sequence {sequence}: {counters:?}");
            }
        }
        let counters = rig.settle();
        expected = 0;
        batched = counters.skipped.get(&Reason::Batch).copied().unwrap_or_default();
        let all = usize::try_from(rig.chain.height()).expect("a short chain");
        let notification = rig.chain.revert(all);
        rig.send(notification).await;
    }
    let counters = rig.settle();
    println!("{sequences} sequences: {counters:?}");
    assert!(counters.matched > sequences, "{counters:?}");
    assert_eq!(rig.braid.progress().errors, 0);
    assert_eq!(rig.braid.progress().gaps, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_changes_of_each_block_are_compared_also_where_several_come_at_once() {
    let mut rig = Rig::new(|_| ()).await;
    for count in [1, 2, 3, 5, 8] {
        let notification = rig.chain.commit(count);
        rig.send(notification).await;
        rig.settle();
    }
    let counters = rig.settle();
    assert_eq!(counters.matched, 19, "{counters:?}");
    println!("{} of 19 blocks with their state", counters.state_checked);
    assert!(counters.state_checked >= 15, "{counters:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_finished_height_lags_so_that_a_reorg_is_never_withheld() {
    let mut rig = Rig::new(|_| ()).await;
    let mut reported = 0;
    let mut rng = StdRng::seed_from_u64(2);
    for _ in 0..60 {
        let drop = usize::try_from(rig.chain.height()).expect("short").min(20);
        let notification = if drop == 20 && rng.random_bool(0.3) {
            let (drop, count) = (rng.random_range(1..20), rng.random_range(1..20));
            rig.chain.reorg(drop, count)
        } else {
            let count = rng.random_range(1..5);
            rig.chain.commit(count)
        };
        let tip = rig.chain.height();
        rig.send(notification).await;
        rig.settle();
        while let Ok(ExExEvent::FinishedHeight(height)) = rig.handle.events_rx.try_recv() {
            assert!(height.number >= reported, "it never falls");
            // A reorg to a lower tip does not take a report back; it is only repeated.
            let lags = height.number + 64 <= tip || height.number == reported;
            assert!(lags, "height {} at tip {tip}", height.number);
            reported = height.number;
        }
    }
    // What the last notification led to may still be on its way.
    wait_for("the last report", || {
        while let Ok(ExExEvent::FinishedHeight(height)) = rig.handle.events_rx.try_recv() {
            reported = height.number;
        }
        (rig.braid.progress().finished == Some(reported)).then_some(())
    });
    assert!(reported > 0, "the chain is long enough");
}
