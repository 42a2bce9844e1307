//! The execution extension: reth's notifications in, jobs for the shadow out.
//!
//! Actors: the ExEx's future, on reth's runtime, takes every notification at once and turns its
//! blocks into jobs that hold no copies; the shadow opens and executes them on its own threads.
//!
//! Invariants:
//! - the future never ends, never returns an error and never panics: reth takes each of them for
//!   the end of the node (a critical task). What goes wrong is logged and counted;
//! - it never waits for the shadow, except with a backfilled batch and then only for a bounded
//!   time, since the backfill stream holds live notifications meanwhile;
//! - the reported height lags (`heights`), so that no reorg's blocks are withheld;
//! - a notification is held only by the jobs made of it, and of those at most `max_lag` wait.

use crate::{
    chain::{chain_of, genesis_config},
    heights::{DEPTH, Heights, Link},
    keeper::Braid,
    open::{Batch, Common, open},
    settings::Settings,
};
use alloy_eips::BlockNumHash;
use alloy_primitives::B256;
use braid_shadow::{Job, Reason, Skip};
use futures_util::StreamExt;
use reth_ethereum::{
    EthPrimitives,
    chainspec::ChainSpec,
    exex::{ExExContext, ExExEvent, ExExHead, ExExNotification, ExExNotificationsStream},
    node::api::{FullNodeComponents, FullNodeTypes, NodeTypes},
    provider::Chain as Blocks,
    provider::ChainSpecProvider,
    storage::BlockHashReader,
};
use reth_stages_types::ExecutionStageThresholds;
use std::{
    future::{Future, pending},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long the stream is left alone after it gave an error.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// How often a backfilled batch looks whether there is room for it.
const ROOM_EVERY: Duration = Duration::from_millis(10);

/// The types of an Ethereum node. Holds of every node whose chain specification and primitives are
/// reth's own for Ethereum.
pub trait EthereumTypes: NodeTypes<ChainSpec = ChainSpec, Primitives = EthPrimitives> {}

impl<T: NodeTypes<ChainSpec = ChainSpec, Primitives = EthPrimitives>> EthereumTypes for T {}

/// Installs a shadow in a node: `.install_exex("braid", |ctx| braid_reth::launch(ctx, settings))`.
/// Keep a [`Braid`] instead where its counters are wanted.
///
/// # Errors
/// None: a shadow that cannot start leaves the node as it is.
pub async fn launch<Node>(
    ctx: ExExContext<Node>,
    settings: Settings,
) -> eyre::Result<impl Future<Output = eyre::Result<()>> + Send>
where
    Node: FullNodeComponents<Types: EthereumTypes>,
{
    Braid::new(settings).launch(ctx)
}

impl Braid {
    /// Starts the shadow and gives the ExEx's future.
    ///
    /// # Errors
    /// None: a shadow that cannot start leaves the node as it is.
    pub fn launch<Node>(
        &self,
        mut ctx: ExExContext<Node>,
    ) -> eyre::Result<impl Future<Output = eyre::Result<()>> + Send + use<Node>>
    where
        Node: FullNodeComponents<Types: EthereumTypes>,
    {
        let spec = ctx.provider().chain_spec();
        self.begin(spec.chain.id(), ctx.config.datadir().data_dir());
        let follower = Follower::new(self.clone(), &ctx);
        match self.settings().backfill_from {
            Some(first) => backfill(&mut ctx, first, self.settings().shadow.max_batch),
            None => ctx.set_notifications_without_head(),
        }
        Ok(follow(ctx, follower))
    }
}

/// Asks for what was committed before, from `first` on, in batches that the shadow takes.
fn backfill<Node>(ctx: &mut ExExContext<Node>, first: u64, max_batch: usize)
where
    Node: FullNodeComponents<Types: EthereumTypes>,
{
    let parent = first.saturating_sub(1);
    match ctx.provider().block_hash(parent) {
        Ok(Some(hash)) => {
            let block = BlockNumHash::new(parent, hash);
            ctx.set_notifications_with_head(ExExHead { block });
            ctx.notifications.set_backfill_thresholds(ExecutionStageThresholds {
                max_blocks: Some(max_batch as u64),
                ..ExecutionStageThresholds::default()
            });
        }
        Ok(None) => {
            tracing::warn!(target: "braid", first, "the node has no block before it: no backfill");
        }
        Err(error) => tracing::warn!(target: "braid", first, %error, "no backfill"),
    }
}

/// The ExEx's future.
async fn follow<Node>(
    mut ctx: ExExContext<Node>,
    mut follower: Follower<Node::Provider>,
) -> eyre::Result<()>
where
    Node: FullNodeComponents<Types: EthereumTypes>,
{
    loop {
        match ctx.notifications.next().await {
            Some(Ok(notification)) => {
                if let Some(deadline) = follower.patience(&notification) {
                    while !follower.has_room(&notification) && Instant::now() < deadline {
                        tokio::time::sleep(ROOM_EVERY).await;
                    }
                }
                follower.guarded(|follower| follower.handle(&notification));
                if let Some(height) = follower.heights.due() {
                    follower.braid.tell(|progress| progress.finished = Some(height.number));
                }
                if let Some(height) = follower.heights.reported() {
                    // Also where it has not risen: reth's manager hands out one notification each
                    // time that something wakes it, and an event does. Without, what came in a
                    // burst would stay behind by as many blocks for good. A closed channel means
                    // that the node ends.
                    let _closed = ctx.events.send(ExExEvent::FinishedHeight(height));
                }
            }
            Some(Err(error)) => {
                // The stream would give the same error again; without a head it has none to give.
                tracing::warn!(target: "braid", %error, "backfill ended; following the tip");
                follower.braid.tell(|progress| progress.errors += 1);
                ctx.set_notifications_without_head();
                tokio::time::sleep(AFTER_ERROR).await;
            }
            // The node ends; the future must not end before it.
            None => pending().await,
        }
    }
}

/// Turns notifications into jobs. Dropped with the ExEx's future, when the node ends: the shadow
/// ends too then, and nobody waits for it here.
struct Follower<P> {
    braid: Braid,
    /// What opens the blocks, or why none can be.
    common: Result<Arc<Common<P>>, String>,
    heights: Heights,
    /// The newest block that a backfill brings; 0 without one.
    backfilled: u64,
}

impl<P> Drop for Follower<P> {
    fn drop(&mut self) {
        self.braid.end();
    }
}

impl<P> Follower<P> {
    fn new<Node>(braid: Braid, ctx: &ExExContext<Node>) -> Self
    where
        Node: FullNodeComponents<Types: EthereumTypes> + FullNodeTypes<Provider = P>,
        P: Clone + BlockHashReader + ChainSpecProvider<ChainSpec = ChainSpec>,
    {
        // The provider's own specification: the configuration is not what a test's node runs on.
        let spec = ctx.provider().chain_spec();
        let common = chain_of(&spec).map_err(|error| {
            tracing::error!(target: "braid", %error, "no block of this chain is shadowed");
            error.to_string()
        });
        let common = common.map(|chain| {
            Arc::new(Common {
                provider: ctx.provider().clone(),
                chain: Arc::new(chain),
                config: genesis_config(&spec).map(Arc::new),
                wrap: braid.settings().wrap.clone(),
            })
        });
        let first = braid.settings().backfill_from;
        let backfilled = first.map_or(0, |_| ctx.head.number);
        let finished = ctx.head.number.saturating_sub(DEPTH);
        let finished = first.map_or(finished, |first| finished.min(first.saturating_sub(1)));
        // Where there is no such block, the first report comes with the blocks.
        let hash = ctx.provider().block_hash(finished).ok().flatten();
        let heights = Heights::new(hash.map(|hash| BlockNumHash::new(finished, hash)));
        Self { braid, common, heights, backfilled }
    }

    /// Runs a step; a panic in it costs the step.
    fn guarded(&mut self, step: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| step(self))).is_err() {
            tracing::error!(target: "braid", "a notification's handling panicked; going on");
            self.braid.tell(|progress| progress.errors += 1);
        }
    }

    /// Until when a notification may wait for room: not at all, unless it is backfilled.
    fn patience(&self, notification: &ExExNotification) -> Option<Instant> {
        let ExExNotification::ChainCommitted { new } = notification else { return None };
        let blocks = new.blocks();
        let newest = *blocks.keys().next_back()?;
        let deadline = self.braid.settings().shadow.deadline;
        let whole = deadline.saturating_mul(u32::try_from(blocks.len()).unwrap_or(u32::MAX));
        (newest <= self.backfilled).then(|| Instant::now() + whole)
    }

    /// Whether a notification's blocks displace no others.
    fn has_room(&self, notification: &ExExNotification) -> bool {
        let Some(counters) = self.braid.counters() else { return true };
        let blocks = notification.committed_chain().map_or(0, |chain| chain.blocks().len());
        let limit = self.braid.settings().shadow.max_lag;
        counters.disabled || counters.waiting == 0 || counters.waiting + blocks <= limit
    }
}

impl<P> Follower<P>
where
    P: reth_ethereum::storage::StateProviderFactory
        + reth_ethereum::storage::HeaderProvider<Header = alloy_consensus::Header>
        + Clone
        + Send
        + Sync
        + 'static,
{
    fn handle(&mut self, notification: &ExExNotification) {
        if let Some(old) = notification.reverted_chain() {
            self.revert(&old);
        }
        if let Some(new) = notification.committed_chain() {
            self.commit(new);
        }
    }

    fn revert(&mut self, old: &Blocks) {
        let blocks = old.blocks();
        let Some(first) = blocks.keys().next() else { return };
        self.heights.revert(*first);
        let hashes: Vec<B256> = blocks.values().map(|block| block.hash()).collect();
        if let Some(shadow) = self.braid.shadow() {
            shadow.withdraw(&hashes);
        }
        self.braid.tell(|progress| {
            progress.reverted += hashes.len() as u64;
            progress.head = first.saturating_sub(1);
        });
    }

    fn commit(&mut self, new: Arc<Blocks>) {
        let mut gaps = 0;
        for block in new.blocks().values() {
            let parent = block.header().parent_hash;
            if self.heights.commit(block.num_hash(), parent) == Link::Gap {
                gaps += 1;
                let number = block.header().number;
                tracing::warn!(target: "braid", number, "blocks before it were not announced");
            }
        }
        if let Some(shadow) = self.braid.shadow() {
            shadow.submit_batch(self.jobs(new.clone()));
        }
        // After the hand-over: whoever has seen this count may wait for these blocks.
        self.braid.tell(|progress| {
            progress.gaps += gaps;
            progress.committed += new.blocks().len() as u64;
            progress.head = new.blocks().keys().next_back().copied().unwrap_or(progress.head);
        });
    }

    fn jobs(&self, new: Arc<Blocks>) -> Vec<Job> {
        let names: Vec<BlockNumHash> = new.blocks().values().map(|b| b.num_hash()).collect();
        let common = match &self.common {
            Ok(common) => common,
            Err(why) => {
                let skip = Skip::new(Reason::UnknownFork, why);
                let skipped =
                    |name: BlockNumHash| Job::skipped(name.number, name.hash, skip.clone());
                return names.into_iter().map(skipped).collect();
            }
        };
        let backfilled = names.last().is_some_and(|name| name.number <= self.backfilled);
        let settings = self.braid.settings();
        // The node may store a block before its child's turn has come; a few blocks of history cost
        // little, and no more than may wait are ever needed at the tip.
        let recent = settings.shadow.max_lag as u64 + 1;
        let depth = if settings.history || backfilled { u64::MAX } else { recent };
        let batch = Arc::new(Batch::new(new, depth));
        let job = |name: BlockNumHash| {
            let (common, batch) = (common.clone(), batch.clone());
            Job::new(name.number, name.hash, move || open(&common, &batch, name.number))
        };
        names.into_iter().map(job).collect()
    }
}
