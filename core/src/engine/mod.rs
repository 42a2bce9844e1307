//! The parallel engine: speculate ahead, validate by value in order, commit.
//!
//! Actors: the caller of [`Engine::execute`], who is worker 0; the pool's threads; the holder of
//! the commit token, who is whichever worker finds the head ready.
//!
//! Invariants:
//! 1. The committed prefix is contiguous: when transaction `i` is the head, committed state is
//!    exactly its pre-state.
//! 2. A speculative result is used only after each of its reads was compared, by stamp and then by
//!    value, with committed state, in order. Nothing else guards correctness.
//! 3. A head that fails the comparison is executed at once on committed state, by the token's
//!    holder. Only such a run's error is the block's error.
//!
//! Proof that the result is the sequential one, by induction over the committed prefix. Let
//! committed state equal the sequential pre-state of `i`. A transaction's execution is a function
//! of its environment and of the answers to its reads. If every logged read equals committed state,
//! the speculative execution got the very answers that the sequential one gets, so its result and
//! writes are the same. If one differs, `i` is executed on committed state itself. Either way its
//! writes, then its reward, are committed, and committed state is the pre-state of `i + 1`.
//! Each step commits one transaction and needs no other worker, so the block ends.

mod ahead;
mod arena;
mod back_off;
pub(crate) mod block;
mod cells;
mod chains;
mod commit;
mod dependencies;
mod distance;
pub(crate) mod evm;
mod fetches;
mod flight;
mod forecast;
mod hashes;
mod hot;
mod idle;
mod index;
mod inline;
mod ledger;
mod limits;
mod listed;
#[cfg(all(test, any(feature = "loom", feature = "shuttle")))]
mod models;
mod multiplication;
mod options;
mod order;
mod output;
mod overlay;
mod pairing;
mod parent;
mod pipeline;
mod plan;
pub(crate) mod precompiles;
mod predictor;
mod prefetch;
mod range;
mod reads;
mod record;
mod revalidate;
mod reward;
mod run;
mod runahead;
mod schedule;
pub mod simulate;
mod sink;
mod soft;
mod spares;
mod speculation;
mod steps;
mod tables;
mod versions;
mod view;
mod vm;
mod watch;
mod work;

pub use limits::{CancelToken, Limits};
pub use options::{Optimisations, Options};
pub use predictor::PredictionsError;
pub use range::RangeError;
pub use sink::{Commit, CommitHook, Step};
pub use speculation::{Speculated, Speculation, Validation};

use crate::{
    AccessListCheck, Block, Chain, ExecuteError, HostError, Outcome, StateSource,
    pool::{Bystanders, Pool, alone},
    sequential::execute_bare_with,
    sync::{Mutex, MutexGuard},
    tally::panic_message,
    trace::Trace,
};
use alloy_eip7928::AccountChanges;
use block::Lists;
use distance::{Distance, NEAR};
use inline::Workers;
use predictor::Predictor;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};
use tables::Shelf;
use watch::{Recorder, Unwatched};

/// Executes blocks in parallel. Keeps its threads and its memory between blocks. One block, or one
/// range of blocks, at a time: concurrent callers take turns.
pub struct Engine {
    options: Options,
    /// The same without what one thread alone has no use for.
    effective: Options,
    bystanders: Bystanders,
    inner: Mutex<Inner>,
}

/// What is kept between blocks.
struct Inner {
    pool: Pool,
    shelf: Shelf,
    predictor: Predictor,
    distance: Distance,
}

impl Inner {
    fn workers(&self) -> Workers {
        let distance_ns = self.distance.round_trip_ns();
        Workers { awake: self.pool.is_awake(), distance_ns }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts an engine and its threads. One thread alone takes transactions in index order, so it
    /// neither predicts nor orders them, and learns nothing.
    pub fn new(options: Options) -> Self {
        let mut effective = options.clone();
        if options.threads < 2 {
            effective.optimisations = Optimisations {
                hot_accounts: false,
                long_first: false,
                sender_chains: false,
                learning: false,
                ..options.optimisations
            };
        }
        let pool = Pool::new(options.threads.max(1) - 1);
        Self {
            options,
            effective,
            bystanders: pool.bystanders(),
            inner: Mutex::new(Inner {
                pool,
                shelf: Shelf::default(),
                predictor: Predictor::new(),
                distance: Distance::default(),
            }),
        }
    }

    /// The options it was started with.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Executes one block on its parent state. Blocks until it is done.
    ///
    /// # Errors
    /// [`ExecuteError::Invalid`] with the index and error that sequential execution gives;
    /// [`ExecuteError::Host`] where no verdict could be reached.
    pub fn execute(
        &self,
        chain: &Chain,
        block: &Block,
        source: &dyn StateSource,
    ) -> Result<Outcome, ExecuteError> {
        self.execute_within(chain, block, source, &Limits::default())
    }

    /// As [`Self::execute`], but gives up when a limit is reached.
    ///
    /// # Errors
    /// As [`Self::execute`]; [`crate::HostError::Cancelled`] or
    /// [`crate::HostError::DeadlineExceeded`] at a limit.
    pub fn execute_within(
        &self,
        chain: &Chain,
        block: &Block,
        source: &dyn StateSource,
        limits: &Limits,
    ) -> Result<Outcome, ExecuteError> {
        self.execute_inner(chain, block, source, limits, None, Lists::default())
    }

    /// As [`Self::execute_within`]; the outcome has the block's access list (EIP-7928) whatever its
    /// fork. Costs what revm's `State` costs, which is fed with each transaction.
    ///
    /// # Errors
    /// As [`Self::execute_within`].
    pub fn produce_access_list(
        &self,
        chain: &Chain,
        block: &Block,
        source: &dyn StateSource,
        limits: &Limits,
    ) -> Result<Outcome, ExecuteError> {
        let lists = Lists { wanted: true, ..Lists::default() };
        self.execute_inner(chain, block, source, limits, None, lists)
    }

    /// As [`Self::produce_access_list`], helped by what is claimed to be the block's access list,
    /// and compares the claim with what the execution produced.
    ///
    /// With a right list each transaction reads what its predecessors leave without waiting for
    /// them, and runs once. A wrong one costs time and never changes the outcome. On a block whose
    /// header commits to the list (Amsterdam), a mismatch makes the block invalid, which is for the
    /// caller to say; on any other the check is a statistic.
    ///
    /// # Errors
    /// As [`Self::execute_within`].
    pub fn execute_with_access_list(
        &self,
        chain: &Chain,
        block: &Block,
        source: &dyn StateSource,
        limits: &Limits,
        list: &[AccountChanges],
    ) -> Result<(Outcome, AccessListCheck), ExecuteError> {
        let lists = Lists { claimed: Some(list), wanted: true };
        let outcome = self.execute_inner(chain, block, source, limits, None, lists)?;
        let check = AccessListCheck::new(list, outcome.access_list.as_deref().unwrap_or_default());
        Ok((outcome, check))
    }

    /// As [`Self::execute_within`]; calls `hook` with each committed step in block order while
    /// later transactions still run, so that the host can hash its tries meanwhile.
    ///
    /// # Errors
    /// As [`Self::execute_within`]. The steps that the hook has seen are right also where the block
    /// turns out to be invalid later: they are those of sequential execution up to the failure.
    pub fn execute_streaming(
        &self,
        chain: &Chain,
        block: &Block,
        source: &dyn StateSource,
        limits: &Limits,
        hook: &mut CommitHook<'_>,
    ) -> Result<Outcome, ExecuteError> {
        let hook: Option<Box<CommitHook<'_>>> = Some(Box::new(hook));
        self.execute_inner(chain, block, source, limits, hook, Lists::default())
    }

    /// As [`Self::execute_within`]; also tells which worker ran what and when, and what each
    /// transaction read and wrote. Every block takes the engine's full way, short ones too.
    ///
    /// # Errors
    /// As [`Self::execute_within`].
    pub fn execute_traced(
        &self,
        chain: &Chain,
        block: &Block,
        source: &dyn StateSource,
        limits: &Limits,
    ) -> Result<(Outcome, Trace), ExecuteError> {
        let mut inner = self.inner.lock();
        let workers = inner.workers();
        let Inner { pool, shelf, predictor, .. } = &mut *inner;
        let tables = shelf.begin(block);
        let lists = Lists::default();
        let (options, predictor) = (&self.effective, &*predictor);
        let job = block::Job { chain, block, source, limits, options, lists, predictor };
        let start = Instant::now();
        let recorder = Recorder::new(block, self.effective.optimisations.commutative_balances);
        let outcome = guarded(|| job.run(pool, &tables, None, &recorder));
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let inline =
            !self.effective.forced && self.runs_inline(block, source, workers, None, false);
        let traced = outcome.map(|outcome| (outcome, recorder.finish(&tables, nanos, inline)));
        drop(tables);
        shelf.tidy(&mut pool.sharer(!source.is_slow()));
        traced
    }

    /// What the engine has learned about the calls of contracts, for [`Self::load_predictions`]: at
    /// most 256 KiB. Waits for a block that is under way.
    pub fn save_predictions(&self) -> Vec<u8> {
        self.inner.lock().predictor.save()
    }

    /// Goes on from what an engine, this or another one, had learned when it saved its predictions,
    /// instead of what this one has learned since. They decide when something runs and never what
    /// it gives. Waits for a block that is under way.
    ///
    /// # Errors
    /// [`PredictionsError`] where the bytes are nothing that this version saved; the engine is left
    /// as it was.
    pub fn load_predictions(&self, saved: &[u8]) -> Result<(), PredictionsError> {
        let predictor = Predictor::load(saved)?;
        self.inner.lock().predictor = predictor;
        Ok(())
    }

    /// Forgets what was learned.
    pub fn forget_predictions(&self) {
        self.inner.lock().predictor = Predictor::new();
    }

    /// Calls `piece` with each number below `count`, on all of the engine's threads at once, or on
    /// those that are awake, unless `wake` is set; while they are at a block, on the calling thread
    /// alone, which waits for nobody's block.
    pub(crate) fn beside(&self, wake: bool, count: usize, piece: &(dyn Fn(usize) + Sync)) {
        match self.inner.try_lock() {
            Some(mut inner) => inner.pool.share(wake, count, piece),
            None => alone(count, piece),
        }
    }

    /// Whether the calling thread does this block alone. With an access list no block is a chain.
    fn runs_inline(
        &self,
        block: &Block,
        source: &dyn StateSource,
        workers: Workers,
        predictor: Option<&Predictor>,
        listed: bool,
    ) -> bool {
        if source.is_slow() {
            return self.effective.threads <= 1
                || inline::reads_little(block, self.effective.optimisations.run_ahead);
        }
        self.effective.threads <= 1
            || inline::is_small(block, workers, predictor)
            || (self.effective.optimisations.chain_prediction && !listed && inline::is_chain(block))
    }

    fn execute_inner(
        &self,
        chain: &Chain,
        block: &Block,
        source: &dyn StateSource,
        limits: &Limits,
        hook: Option<Box<CommitHook<'_>>>,
        lists: Lists<'_>,
    ) -> Result<Outcome, ExecuteError> {
        let limited = limits.cancel.is_some() || limits.deadline.is_some() || hook.is_some();
        let inner = if self.effective.forced || limited {
            Some(self.inner.lock())
        } else {
            self.inner_unless_inline(block, source, lists.claimed.is_some())
        };
        let Some(mut inner) = inner else {
            let Options { threads, output, optimisations, .. } = self.effective;
            let shares = threads > 1 && optimisations.shared_checks;
            let helpers = shares.then(|| self.bystanders.helpers());
            let assistance = optimisations.assistance(helpers);
            let wanted = lists.wanted;
            let bare =
                || execute_bare_with(chain, block, source, output, assistance, wanted, || {});
            return self.bystanders.alone(|| guarded(bare));
        };
        let Inner { pool, shelf, predictor, distance } = &mut *inner;
        let tables = shelf.begin(block);
        let (options, predictor) = (&self.effective, &*predictor);
        let job = block::Job { chain, block, source, limits, options, lists, predictor };
        let outcome = guarded(|| job.run(pool, &tables, hook, Unwatched));
        drop(tables);
        shelf.tidy(&mut pool.sharer(!source.is_slow()));
        if !self.effective.forced && !source.is_slow() && !block.transactions.is_empty() {
            distance.look(pool);
        }
        outcome
    }

    /// What is kept between blocks; `None` for a block in which the engine's threads have no part:
    /// that waits for no other block.
    fn inner_unless_inline(
        &self,
        block: &Block,
        source: &dyn StateSource,
        listed: bool,
    ) -> Option<MutexGuard<'_, Inner>> {
        let Some(mut inner) = self.inner.try_lock() else {
            let inline = self.runs_inline(block, source, Workers::BUSY, None, listed);
            return (!inline).then(|| self.inner.lock());
        };
        let Options { threads, optimisations, .. } = self.effective;
        // Nobody is needed for a block without transactions. What runs it here has just run larger
        // ones, and bare execution's code would come from memory: that takes 15 microseconds.
        let at_hand = block.transactions.is_empty() && !source.is_slow() && threads > 1;
        if at_hand {
            return Some(inner);
        }
        let workers = inner.workers();
        let Inner { pool, predictor, distance, .. } = &mut *inner;
        let predictor = Some(&*predictor).filter(|_| optimisations.learning);
        let runs_inline = |distance_ns| {
            let workers = Workers { distance_ns, ..workers };
            self.runs_inline(block, source, workers, predictor, listed)
        };
        let mut inline = runs_inline(workers.distance_ns);
        let may_be_nearer = inline && workers.distance_ns > NEAR && distance.is_old();
        if may_be_nearer && !runs_inline(NEAR) {
            // Nothing but the distance says so, of which shared blocks would tell.
            let again = distance.pass(block.header.gas_used, pool);
            inline = !again || runs_inline(distance.round_trip_ns());
        }
        (!inline).then_some(inner)
    }
}

/// A panic, of the source for one, is the host's failure and leaves the engine usable.
fn guarded(run: impl FnOnce() -> Result<Outcome, ExecuteError>) -> Result<Outcome, ExecuteError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        Err(HostError::Panic { index: None, message: panic_message(&*panic) }.into())
    })
}
