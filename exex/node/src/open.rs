//! From a block in a notification to the shadow's work.
//!
//! Role: everything about a block that costs time, on the shadow's thread: the copy of the block,
//! the probe of its parent's state, the node's receipts and changes. Where the state is not to be
//! had, the reason says which way.

use crate::{
    reexecute::block_of,
    reference::changes_by_block,
    settings::Wrap,
    state::{ParentState, Unavailable},
};
use braid_core::{Chain, StateChanges, StateSource};
use braid_shadow::{ParentState as State, Reason, Reference, Skip, Work};
use reth_ethereum::{
    provider::Chain as Blocks,
    storage::{BlockNumReader, HeaderProvider, StateProviderFactory},
};
use serde_json::Value;
use std::sync::{Arc, OnceLock};

/// What all blocks of a node have in common.
pub(crate) struct Common<P> {
    pub(crate) provider: P,
    pub(crate) chain: Arc<Chain>,
    pub(crate) config: Option<Arc<Value>>,
    pub(crate) wrap: Option<Wrap>,
}

/// The blocks of one notification.
pub(crate) struct Batch {
    pub(crate) blocks: Arc<Blocks>,
    /// How many blocks below the newest stored one a parent state may be read as history.
    pub(crate) depth: u64,
    /// Each block's changes, taken out of the merged bundle when the first one is needed.
    changes: OnceLock<Vec<Option<StateChanges>>>,
}

impl Batch {
    pub(crate) const fn new(blocks: Arc<Blocks>, depth: u64) -> Self {
        Self { blocks, depth, changes: OnceLock::new() }
    }

    fn reference(&self, number: u64) -> Reference {
        let outcome = self.blocks.execution_outcome();
        let count = self.blocks.blocks().len();
        let place = self.blocks.blocks().keys().position(|key| *key == number);
        let changes = self.changes.get_or_init(|| changes_by_block(&outcome.bundle, count));
        Reference {
            receipts: Some(outcome.receipts_by_block(number).to_vec()),
            state: place.and_then(|place| changes.get(place).cloned().flatten()),
            note: None,
        }
    }
}

/// The work for one block of a batch. Blocks; called on the shadow's thread.
pub(crate) fn open<P>(common: &Common<P>, batch: &Batch, number: u64) -> Result<Work, Skip>
where
    P: StateProviderFactory + HeaderProvider<Header = alloy_consensus::Header>,
    P: BlockNumReader + Clone + Send + Sync + 'static,
{
    let Some(block) = batch.blocks.blocks().get(&number) else {
        return Err(Skip::new(Reason::Internal, "the notification lost its block"));
    };
    let parent = block.header().parent_hash;
    let state = ParentState::new(common.provider.clone(), parent);
    let historical = state.probe(number.saturating_sub(1), batch.depth).map_err(skip)?;
    let source: Box<dyn StateSource + Send> = Box::new(state);
    Ok(Work {
        chain: common.chain.clone(),
        config: common.config.clone(),
        block: block_of(block),
        parent: common.provider.header(parent).ok().flatten(),
        state: State::Source(match &common.wrap {
            Some(wrap) => wrap(source),
            None => source,
        }),
        // A read of history looks into an index that moves on while it reads; the newest state
        // comes from one snapshot.
        complete: !historical,
        reference: batch.reference(number),
    })
}

fn skip(error: Unavailable) -> Skip {
    let reason = match error {
        Unavailable::NotCanonical(_) => Reason::MissingParent,
        Unavailable::Pruned(_) => Reason::Pruned,
        Unavailable::NotExecuted { .. } => Reason::NotExecuted,
        Unavailable::Historical { .. } => Reason::Historical,
        Unavailable::Other(_) => Reason::Source,
    };
    Skip::new(reason, error)
}
