//! Bare: the fastest honest sequential execution, one reused EVM over a plain committed layer.
//!
//! It is the baseline that tells what parallelism alone gives, and what small blocks and a single
//! thread run. For an access list every transaction also goes through revm's `State`, exactly as in
//! the engine.

use super::PlainLedger;
use crate::{
    block::Block,
    chain::Chain,
    engine::{evm::Runner, precompiles::Assistance},
    error::{ExecuteError, HostError},
    outcome::{Outcome, OutputKind, StateOutput, Statistics},
    source::StateSource,
    tally::{self, Tally},
};
use alloy_evm::{EvmEnv, ToTxEnv, block::BlockExecutionError};
use revm::context::result::EVMError;
use std::{cell::RefCell, time::Instant};

/// What one thread does faster than revm.
const ALONE: Assistance =
    Assistance { helpers: None, beside: false, endomorphism: true, hashes: true };

/// Executes the block sequentially, as fast as one thread can.
///
/// # Errors
/// As [`super::execute_stock`].
pub fn execute_bare(
    chain: &Chain,
    block: &Block,
    source: &dyn StateSource,
    output: OutputKind,
) -> Result<Outcome, ExecuteError> {
    execute_bare_with(chain, block, source, output, ALONE, false, || {})
}

/// As [`execute_bare`], with the access list that this execution produced, whatever the fork.
///
/// # Errors
/// As [`super::execute_stock`].
pub fn execute_bare_with_access_list(
    chain: &Chain,
    block: &Block,
    source: &dyn StateSource,
    output: OutputKind,
) -> Result<Outcome, ExecuteError> {
    execute_bare_with(chain, block, source, output, ALONE, true, || {})
}

/// As [`execute_bare`], and tells how long each transaction took, nanoseconds, from the end of the
/// one before it; the first from the end of the system calls.
///
/// # Errors
/// As [`super::execute_stock`].
pub fn execute_bare_timed(
    chain: &Chain,
    block: &Block,
    source: &dyn StateSource,
    output: OutputKind,
) -> Result<(Outcome, Vec<u64>), ExecuteError> {
    let mut laps = Vec::with_capacity(block.transactions.len() + 1);
    let lap = || laps.push(Instant::now());
    let outcome = execute_bare_with(chain, block, source, output, ALONE, false, lap)?;
    let nanos =
        |pair: &[Instant]| u64::try_from((pair[1] - pair[0]).as_nanos()).unwrap_or(u64::MAX);
    Ok((outcome, laps.windows(2).map(nanos).collect()))
}

/// The same for anybody: with the threads that take part in single transactions, if there are any;
/// with the access list, whatever the fork, where `listing` is set. Calls `lap` before the first
/// transaction and after each.
pub(crate) fn execute_bare_with(
    chain: &Chain,
    block: &Block,
    source: &dyn StateSource,
    output: OutputKind,
    assistance: Assistance,
    listing: bool,
    lap: impl FnMut(),
) -> Result<Outcome, ExecuteError> {
    let rules = chain.rules(&block.header);
    let env = rules.evm_env(&block.header);
    let failure = RefCell::new(None);
    let listing = listing || rules.has_access_list(&block.header);
    let canonical = tally::canonical(false, listing);
    let mut ledger = PlainLedger::new(source.reader()?, canonical, &failure);
    tally::start(&rules, block, &env, &mut ledger, &failure)?;
    let mut tally = Tally::new(block, &env);
    let runner = Runner::new(ledger, &env, assistance);
    let mut ledger = transactions(&mut tally, runner, &env, lap)?;
    if let Some(canonical) = &mut ledger.canonical {
        canonical.bump_bal_index();
    }
    let result = tally.finish(&rules, &mut ledger, &failure)?;
    let count = block.transactions.len() as u64;
    let statistics =
        Statistics { executions: count, direct: count, workers: 1, ..Statistics::default() };
    let canonical = ledger.canonical.take();
    let changed = || match output {
        OutputKind::Flat => StateOutput::Flat(ledger.into_changes()),
        OutputKind::Bundle => StateOutput::Bundle(Box::new(ledger.into_bundle())),
    };
    Ok(tally::outcome(output, canonical, result, statistics, changed))
}

fn transactions<'a>(
    tally: &mut Tally<'_>,
    mut runner: Runner<PlainLedger<'a>>,
    env: &EvmEnv,
    mut lap: impl FnMut(),
) -> Result<PlainLedger<'a>, ExecuteError> {
    let beneficiary = env.block_env.beneficiary;
    let eip161 = tally.eip161();
    let block = tally.block;
    lap();
    for (index, tx) in block.transactions.iter().enumerate() {
        tally.admit(index)?;
        let mut executed = runner.run(tx.to_tx_env());
        if !runner.held() {
            executed = runner.run(tx.to_tx_env());
        }
        let mut executed = executed.map_err(|error| match error {
            EVMError::Database(error) => HostError::Source(error).into(),
            error => {
                let hash = *tx.tx_hash();
                ExecuteError::from_alloy(Some(index), BlockExecutionError::evm(error, hash))
            }
        })?;
        let ledger = runner.db();
        if ledger.canonical.is_none() {
            ledger.absorb(&mut executed.state)?;
            if let Some(reward) = executed.reward {
                ledger.pay(beneficiary, reward, eip161)?;
            }
        } else {
            let state = executed.state.clone();
            ledger.absorb(&mut executed.state)?;
            let paid = match executed.reward {
                Some(reward) => Some(ledger.pay(beneficiary, reward, eip161)?),
                None => None,
            };
            let paid = paid.map(|(before, after)| (beneficiary, before, after));
            ledger.canonicalise(&state, paid, eip161);
        }
        runner.recycle(executed.state);
        tally.receipt(index, executed.result);
        lap();
    }
    Ok(runner.into_db())
}
