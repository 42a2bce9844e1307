//! Ranges of consecutive blocks.
//!
//! Role: [`Engine::execute_range`] executes block after block, each on the state that the ones
//! before it have left, and gives the outcomes in order. With [`super::Optimisations::pipelining`]
//! and more than one thread, the workers go ahead with the next block instead of waiting for the
//! end of the current one ([`super::pipeline`] has the protocol and its proof); else each block is
//! executed by itself.
//!
//! Invariant: what the caller gets for a block is what [`Engine::execute`] gives for it on the
//! state after the block before.
//!
//! Short blocks. A block executed by itself may run inline, on the calling thread, because waking
//! workers for it costs more than it gains. In a pipeline the workers are awake, and while one of
//! them is busy with a short or serial block the others have the next one: so no block of a
//! pipeline runs inline.

use super::{
    Engine, Inner, Optimisations,
    block::{Lists, begin, finish},
    flight::{Blocks, Hand, Setting},
    limits::Limits,
    overlay::Overlay,
    pipeline::Pipeline,
    sink::Sink,
    view::View,
    vm::Revm,
};
use crate::{
    block::{Block, Receipt},
    chain::Chain,
    error::ExecuteError,
    outcome::{Outcome, OutputKind},
    pool::Helpers,
    source::StateSource,
    sync::atomic::AtomicBool,
    tally::Tally,
};
use alloy_evm::{EvmEnv, block::BlockExecutionResult};
use alloy_primitives::B256;
use std::ops::ControlFlow;

/// Why a range was not executed to its end. The blocks before the index were.
#[derive(Debug, thiserror::Error)]
pub enum RangeError {
    /// This block is invalid, or could not be executed.
    #[error("block {index} of the range: {error}")]
    Block {
        /// The block's index in the range.
        index: usize,
        /// What [`Engine::execute`] would say.
        #[source]
        error: ExecuteError,
    },
    /// This block does not follow the one before it.
    #[error(
        "block {index} of the range has number {number} and parent {parent}, \
         but the block before it has number {before} and hash {hash}"
    )]
    Link {
        /// The block's index in the range.
        index: usize,
        /// The block's number.
        number: u64,
        /// The hash that the block names as its parent's.
        parent: B256,
        /// The number of the block before it.
        before: u64,
        /// The hash of the block before it.
        hash: B256,
    },
}

impl RangeError {
    /// Index in the range of the block that was not executed; all before it were.
    pub const fn index(&self) -> usize {
        match self {
            Self::Block { index, .. } | Self::Link { index, .. } => *index,
        }
    }
}

impl Engine {
    /// Executes consecutive blocks, the first one on the state that `source` has. Calls `each` with
    /// the index and the outcome of every block, in order, on this thread, while later blocks may
    /// be executed already; it may end the range. Returns how many blocks `each` was given.
    ///
    /// `source` is asked for nothing that a block of the range has changed, and for no hash of one:
    /// the blocks name the hashes of their parents, which are checked. A limit holds for the whole
    /// range. An engine with one thread, or without
    /// [`super::Optimisations::pipelining`], executes block after block; the results are the same.
    ///
    /// Memory, beside the blocks: what two blocks need, and an entry for each account and slot that
    /// the range has changed so far. A long range is best given in parts, each with the state after
    /// the part before as its source.
    ///
    /// A panic of `each` goes on to the caller; the engine stays usable.
    ///
    /// # Errors
    /// [`RangeError::Block`] with the first block that is invalid or could not be executed,
    /// [`RangeError::Link`] with the first one that does not follow the one before it. `each` has
    /// seen all blocks before that one, and no other.
    pub fn execute_range(
        &self,
        chain: &Chain,
        blocks: &[&Block],
        source: &dyn StateSource,
        limits: &Limits,
        mut each: impl FnMut(usize, Outcome) -> ControlFlow<()>,
    ) -> Result<usize, RangeError> {
        let overlay = Overlay::new(source, blocks.iter().copied());
        if blocks.is_empty() {
            return Ok(0);
        }
        if self.effective.threads > 1 && self.effective.optimisations.pipelining {
            return self.pipelined(chain, blocks, &overlay, limits, &mut each);
        }
        for (index, block) in blocks.iter().enumerate() {
            check_link(blocks, index)?;
            let outcome = self
                .execute_inner(chain, block, &overlay, limits, None, Lists::default())
                .map_err(|error| RangeError::Block { index, error })?;
            overlay.add(&outcome.state.as_flat());
            if each(index, outcome).is_break() {
                return Ok(index + 1);
            }
        }
        Ok(blocks.len())
    }

    fn pipelined(
        &self,
        chain: &Chain,
        blocks: &[&Block],
        overlay: &Overlay<'_>,
        limits: &Limits,
        each: &mut dyn FnMut(usize, Outcome) -> ControlFlow<()>,
    ) -> Result<usize, RangeError> {
        let mut inner = self.inner.lock();
        let Inner { pool, shelf, predictor, .. } = &mut *inner;
        let envs: Vec<EvmEnv> =
            blocks.iter().map(|block| chain.rules(&block.header).evm_env(&block.header)).collect();
        let stops: Vec<AtomicBool> = blocks.iter().map(|_| AtomicBool::new(false)).collect();
        let output = self.effective.output;
        let optimisations = self.effective.optimisations;
        let helpers = optimisations.helpers(pool);
        let setting = Setting {
            overlay,
            limits,
            stops: &stops,
            output,
            forced: self.effective.forced,
            optimisations,
            predictor,
            helpers: helpers.as_ref(),
        };
        let list =
            Real { chain, blocks, envs: &envs, output, optimisations, helpers: helpers.as_ref() };
        let pipeline = Pipeline::new(&list, setting, shelf);
        let mut given = 0;
        let ended = pool.run_beside(&|worker| pipeline.work(worker), || {
            let _end = EndAtExit(&pipeline);
            let mut hand = Hand::new(0);
            while pipeline.turn(&mut hand) {
                if hand_out(&pipeline, &mut given, each).is_break() {
                    return true;
                }
            }
            false
        });
        if !ended && hand_out(&pipeline, &mut given, each).is_continue() {
            let failure = pipeline.into_failure();
            shelf.tidy(&mut pool.sharer(true));
            return failure.map_or(Ok(given), Err);
        }
        drop(pipeline);
        shelf.tidy(&mut pool.sharer(true));
        Ok(given)
    }
}

/// Gives the caller every outcome that is there.
fn hand_out<'r, B: Blocks<'r>>(
    pipeline: &Pipeline<'r, B>,
    given: &mut usize,
    each: &mut dyn FnMut(usize, Outcome) -> ControlFlow<()>,
) -> ControlFlow<()> {
    while let Some((index, outcome)) = pipeline.take() {
        *given = index + 1;
        each(index, outcome)?;
    }
    ControlFlow::Continue(())
}

/// Sends the workers home, also when the caller's function unwinds.
struct EndAtExit<'p, 'r, B: Blocks<'r>>(&'p Pipeline<'r, B>);

impl<'r, B: Blocks<'r>> Drop for EndAtExit<'_, 'r, B> {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn check_link(blocks: &[&Block], index: usize) -> Result<(), RangeError> {
    let Some(before) = index.checked_sub(1) else { return Ok(()) };
    let (header, before) = (&blocks[index].header, &blocks[before].header);
    let hash = before.hash_slow();
    if header.parent_hash == hash && before.number.checked_add(1) == Some(header.number) {
        return Ok(());
    }
    let (number, parent, before) = (header.number, header.parent_hash, before.number);
    Err(RangeError::Link { index, number, parent, before, hash })
}

/// Blocks of a real chain.
struct Real<'r> {
    chain: &'r Chain,
    blocks: &'r [&'r Block],
    envs: &'r [EvmEnv],
    output: OutputKind,
    optimisations: Optimisations,
    helpers: Option<&'r Helpers>,
}

impl<'r> Blocks<'r> for Real<'r> {
    type Machine = Revm<'r>;

    fn len(&self) -> usize {
        self.blocks.len()
    }

    fn block(&self, index: usize) -> &'r Block {
        self.blocks[index]
    }

    fn check_link(&self, index: usize) -> Result<(), RangeError> {
        check_link(self.blocks, index)
    }

    fn machine(&self, index: usize, keep_state: bool) -> Revm<'r> {
        let assistance = self.optimisations.assistance(self.helpers.cloned());
        Revm::new(&self.envs[index], self.blocks[index], keep_state, assistance)
    }

    fn tally(&self, index: usize) -> Tally<'r> {
        Tally::new(self.blocks[index], &self.envs[index])
    }

    fn sink(&self, index: usize) -> Sink<'r> {
        let block = self.blocks[index];
        let listing = self.chain.rules(&block.header).has_access_list(&block.header);
        Sink::new(self.output, self.optimisations, listing, None)
    }

    fn begin(
        &self,
        index: usize,
        view: &mut View<'r>,
        sink: &mut Sink<'r>,
    ) -> Result<(), ExecuteError> {
        let block = self.blocks[index];
        begin(&self.chain.rules(&block.header), block, &self.envs[index], view, sink)
    }

    fn finish(
        &self,
        index: usize,
        tally: Tally<'r>,
        view: &mut View<'r>,
        sink: &mut Sink<'r>,
    ) -> Result<BlockExecutionResult<Receipt>, ExecuteError> {
        finish(&self.chain.rules(&self.blocks[index].header), tally, view, sink)
    }
}
