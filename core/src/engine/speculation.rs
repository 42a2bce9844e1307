//! Speculation and validation as steps of their own, for a host that executes and commits one
//! transaction after the other: a node's own block executor.
//!
//! Role: [`Engine::speculate`] lets the engine's threads run ahead on a block while the host works
//! through it. Before each transaction the host asks for the speculative result
//! ([`Speculation::take`]) and has it compared with its own database ([`Speculated::validate`]);
//! where there is none, or where it is stale, it executes the transaction itself. Either way it
//! commits to its own database, and tells the speculation what ([`Speculation::commit`]).
//!
//! Invariants:
//! 1. A result that validates is the one that sequential execution on the host's database gives:
//!    each account, slot and block hash that the run read was compared by value, but for balances
//!    and nonces that it did not depend on, which are adjusted ([`super::soft`] has the proof), and
//!    the beneficiary's reward is paid on the account that the database has.
//! 2. Nothing else of the speculation reaches the host. A source that fails, lies or panics under
//!    it, a limit, a host that commits something else or nothing: all of them cost only time.
//! 3. Codes are known by their hash, which is compared with the account's.

use super::{
    Engine, Inner, Optimisations,
    ahead::{Ahead, Input},
    block::begin,
    forecast::Forecast,
    limits::Limits,
    parent::Parent,
    reads::{AccountRead, ReadSet},
    record::Record,
    schedule::Schedule,
    sink::Sink,
    soft::{Fit, fit_value, patch},
    steps::Steps,
    tables::{AccountValue, Tables},
    vm::Revm,
    watch::Unwatched,
};
use crate::{
    block::Block, chain::Chain, error::Location, outcome::Statistics, source::StateSource,
    sync::atomic::AtomicBool, tally::touch_beneficiary,
};
use alloy_evm::EvmEnv;
use alloy_primitives::{Address, U256, map::AddressMap};
use revm::{
    Database,
    context::result::{ExecutionResult, ResultAndState},
    primitives::hardfork::SpecId,
    state::{AccountInfo, EvmState},
};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The block's transactions, as the engine's threads execute them ahead of the host.
pub struct Speculation<'s> {
    steps: Steps<'s, Revm<'s>>,
    env: &'s EvmEnv,
}

impl std::fmt::Debug for Speculation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Speculation").field("next", &self.next()).finish_non_exhaustive()
    }
}

/// What a comparison with the host's database found.
#[derive(Debug)]
pub enum Validation {
    /// The transaction's result and state, as executing it on that database gives them.
    Valid(ResultAndState),
    /// The execution depended on something else at this location: it must be done again.
    Stale(Location),
}

/// A transaction's speculative result, not validated yet.
pub struct Speculated<'s> {
    index: usize,
    record: Box<Record>,
    tables: &'s Tables,
    schedule: &'s Schedule<'s>,
    env: &'s EvmEnv,
}

impl std::fmt::Debug for Speculated<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Speculated")
            .field("index", &self.index)
            .field("result", &self.record.result)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Calls `host` on this thread while the engine's other threads execute the block's
    /// transactions ahead of it, on the parent state that `source` has and on what the host
    /// commits. With one thread nothing is speculated.
    ///
    /// The host does the whole block by itself: system calls, gas admission, receipts, the block's
    /// end. It must execute it by the rules of `chain` and `block`; those are not compared. The
    /// engine is busy meanwhile: `host` must not execute anything on it.
    ///
    /// A panic of `host` goes on to the caller; the engine stays usable.
    pub fn speculate<T>(
        &self,
        chain: &Chain,
        block: &Block,
        source: &dyn StateSource,
        limits: &Limits,
        host: impl FnOnce(&mut Speculation<'_>) -> T,
    ) -> T {
        let mut inner = self.inner.lock();
        let Inner { pool, shelf, predictor, .. } = &mut *inner;
        let tables = shelf.begin(block);
        let rules = chain.rules(&block.header);
        let env = rules.evm_env(&block.header);
        let stop = AtomicBool::new(false);
        let result = catch_unwind(AssertUnwindSafe(|| {
            // Nobody repeats ahead of its turn what the host will find stale.
            let optimisations = Optimisations { revalidate: false, ..self.options.optimisations };
            let parent = Parent::Source(source);
            let helpers = optimisations.helpers(pool);
            let input = Input {
                tables,
                block,
                parent,
                limits,
                stop: &stop,
                forced: true,
                optimisations,
                listed: None,
                runs_ahead: false,
                forecast: Forecast::wanted(optimisations, predictor, block),
                plan: None,
                helpers: helpers.clone(),
            };
            let vm = Revm::new(&env, block, true, optimisations.assistance(helpers));
            let ahead = Ahead::new(vm, input, Unwatched);
            let prepared = catch_unwind(AssertUnwindSafe(|| {
                begin(&rules, block, &env, &mut ahead.view(), &mut Sink::default())
            }));
            if !matches!(prepared, Ok(Ok(()))) {
                ahead.stop();
            }
            let work = |worker| {
                if catch_unwind(AssertUnwindSafe(|| ahead.work(worker))).is_err() {
                    ahead.stop();
                }
            };
            pool.run_beside(&work, || {
                let _stop = StopAtEnd(&ahead);
                host(&mut Speculation { steps: Steps::new(&ahead), env: &env })
            })
        }));
        shelf.tidy(&mut pool.sharer(!source.is_slow()));
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// Sends the workers home, also when the host unwinds.
struct StopAtEnd<'a, 'b>(&'a Ahead<'b, Revm<'b>, Unwatched>);

impl Drop for StopAtEnd<'_, '_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl<'s> Speculation<'s> {
    /// The index of the transaction that comes next: the first one that was not committed. The
    /// number of transactions after the last one.
    pub const fn next(&self) -> usize {
        self.steps.head()
    }

    /// The speculative result of a transaction, which must be [`Self::next`]. Waits for the thread
    /// that executes it, if one does. `None` where nobody began it, where its execution came to
    /// nothing, where it was taken before, and after the speculation has ended: then the host
    /// executes it.
    pub fn take(&mut self, index: usize) -> Option<Speculated<'s>> {
        let record = self.steps.take(index)?;
        let ahead = self.steps.ahead;
        let (tables, schedule) = (&*ahead.input.tables, &ahead.schedule);
        Some(Speculated { index, record, tables, schedule, env: self.env })
    }

    /// Shows the other threads what the host has committed for a transaction, in the form of
    /// revm's journal. Each transaction is committed once, in block order: another index than
    /// [`Self::next`] ends the speculation.
    pub fn commit(&mut self, index: usize, state: &EvmState) {
        self.steps.commit(index, state);
    }

    /// Whether results may still come. A failing source, a limit or a panic ends a speculation.
    pub fn is_running(&self) -> bool {
        !self.steps.ahead.stopped()
    }

    /// What was done so far. `direct` counts the transactions that nobody had begun when the host
    /// asked for them; stale results are the host's to count.
    pub fn statistics(&self) -> Statistics {
        let ahead = self.steps.ahead;
        ahead.counters.statistics(ahead.schedule.backed_off())
    }
}

impl Speculated<'_> {
    /// The transaction's index in the block.
    pub const fn index(&self) -> usize {
        self.index
    }

    /// What the speculative run ended in. Nothing to rely on before it is validated.
    pub fn result(&self) -> &ExecutionResult {
        &self.record.result
    }

    /// Compares everything that the run read with `db`, which must be the state right before the
    /// transaction, and completes the result. Reads each of these locations once, and the
    /// beneficiary's account.
    ///
    /// # Errors
    /// The database's own, at the first failed read.
    pub fn validate<DB: Database>(self, db: &mut DB) -> Result<Validation, DB::Error> {
        let Self { index, mut record, tables, schedule, env } = self;
        let reads = std::mem::take(&mut record.reads);
        let mut state = record.state.take().unwrap_or_default();
        if let Some(location) = first_stale(tables, &reads, &mut state, db)? {
            schedule.set_failed(index);
            return Ok(Validation::Stale(location));
        }
        state.values_mut().for_each(|account| {
            account.info.account_id = None;
            account.original_info_mut().account_id = None;
        });
        if let Some(reward) = record.reward {
            pay(env, reward, &mut state, db)?;
        }
        let result = record.result;
        Ok(Validation::Valid(ResultAndState { result, state }))
    }
}

/// The first location that is not what the run read, or not what it depended on. Adjusts the
/// accounts of `state` where the difference does not matter.
fn first_stale<DB: Database>(
    tables: &Tables,
    reads: &ReadSet,
    state: &mut EvmState,
    db: &mut DB,
) -> Result<Option<Location>, DB::Error> {
    let mut moved: AddressMap<(&AccountRead, AccountValue)> = AddressMap::default();
    for read in &reads.accounts {
        let address = tables.account(read.id).address();
        let info = db.basic(address)?;
        // These two say how the tables look slots up; here every slot is compared by its value.
        let AccountValue { wiped, storage_known, again, .. } = read.value;
        let now = AccountValue { wiped, storage_known, again, ..AccountValue::new(info.as_ref()) };
        match fit_value(read, now) {
            Fit::Exact => {}
            Fit::Soft(now) => {
                moved.insert(address, (read, now));
            }
            Fit::Stale => return Ok(Some(Location::Account(address))),
        }
    }
    for read in &reads.slots {
        let address = tables.account(reads.accounts[read.account as usize].id).address();
        let (_, slot) = tables.slot(read.id).key();
        if db.storage(address, slot)? != read.value {
            return Ok(Some(Location::Storage(address, slot)));
        }
    }
    for (number, hash) in &reads.block_hashes {
        if db.block_hash(*number)? != *hash {
            return Ok(Some(Location::BlockHash(*number)));
        }
    }
    for (address, (read, now)) in moved {
        if let Some(account) = state.get_mut(&address)
            && !patch(account, read, &now)
        {
            return Ok(Some(Location::Account(address)));
        }
    }
    Ok(None)
}

/// Pays the reward that the run has left out, as revm's journal does.
fn pay<DB: Database>(
    env: &EvmEnv,
    reward: U256,
    state: &mut EvmState,
    db: &mut DB,
) -> Result<(), DB::Error> {
    let beneficiary: Address = env.block_env.beneficiary;
    let before: Option<AccountInfo> = db.basic(beneficiary)?;
    let mut after = before.clone().unwrap_or_default();
    after.balance = after.balance.checked_add(reward).unwrap_or(after.balance);
    let eip161 = env.cfg_env.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON);
    touch_beneficiary(state, beneficiary, before, after, eip161);
    Ok(())
}
