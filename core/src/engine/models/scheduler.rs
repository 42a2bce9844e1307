//! The whole engine under shuttle: pool, scheduler, tables, commit token, with scripts for revm.
//!
//! Each schedule runs a random block on random schedules of three workers and compares everything
//! with sequential execution of the same scripts. A deadlock or an endless schedule fails the test.

use super::{
    super::{
        Optimisations,
        ahead::Input,
        commit::Committer,
        forecast::{self, Forecast},
        limits::Limits,
        listed::Listed,
        parent::Parent,
        predictor::Predictor,
        run::Run,
        schedule::Fate,
        sink::Sink,
        tables::Tables,
        watch::Unwatched,
    },
    scripted::{CONTRACT, HOLDERS, Key, Memory, Script, Scripted, holder, log},
};
use crate::{
    Block, ExecuteError, pool::Pool, source::MemoryState, sync::atomic::AtomicBool, tally::Tally,
};
use alloy_consensus::{SignableTransaction, TxLegacy, transaction::Recovered};
use alloy_eip7928::AccountChanges;
use alloy_evm::EvmEnv;
use alloy_primitives::{Address, Bytes, Signature, U256};
use revm::state::AccountInfo;
use std::sync::Arc;

use shuttle::{
    Config, Runner,
    rand::{Rng, thread_rng},
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
};

pub(super) const HELPERS: usize = 2;
/// What each holder has at first: a few withdrawals exhaust it.
const FUNDS: u64 = 10;
pub(super) const BENEFICIARY: Address = Address::repeat_byte(0xbe);

/// What sequential execution gives: the receipts' values, the memory, the first invalid index.
struct Expected {
    values: Vec<u64>,
    memory: Memory,
    invalid: Option<usize>,
}

/// What the parent state holds.
pub(super) fn memory() -> Memory {
    let slots = (0..3).map(|slot| (Key::Slot(slot), slot + 1));
    let holders = (0..HOLDERS).map(|of| (Key::Balance(of), FUNDS));
    slots.chain(holders).collect()
}

fn sequential(scripts: &[Script]) -> Expected {
    let mut memory = memory();
    let mut values = Vec::new();
    for (index, script) in scripts.iter().enumerate() {
        let fetch = |key| Ok::<_, ()>(memory.get(&key).copied().unwrap_or_default());
        match script.run(index, fetch, |_, _| {}) {
            Ok(Some((value, written))) => {
                values.push(value);
                memory.extend(written);
            }
            _ => return Expected { values, memory, invalid: Some(index) },
        }
    }
    Expected { values, memory, invalid: None }
}

pub(super) fn block(rng: &mut impl Rng, len: usize) -> Block {
    let transactions = (0..len).map(|_| {
        let to = Address::repeat_byte(0xa0 + rng.gen_range(0..2));
        // Some promise to run long, some have data, so that all kinds of claims occur.
        let gas_limit = if rng.gen_range(0..4) == 0 { 1_000_000 } else { 21_000 };
        let input = if rng.gen_range(0..2) == 0 { vec![1; 4].into() } else { Bytes::new() };
        let tx = TxLegacy { to: to.into(), gas_limit, input, ..TxLegacy::default() };
        let signed = tx.into_signed(Signature::test_signature());
        Recovered::new_unchecked(signed.into(), Address::repeat_byte(rng.gen_range(0..3)))
    });
    Block { transactions: transactions.collect(), ..Block::default() }
}

pub(super) fn state() -> MemoryState {
    let mut state = MemoryState::default();
    state.insert_account(CONTRACT, AccountInfo::default().with_nonce(1));
    for slot in 0..3 {
        state.insert_storage(CONTRACT, U256::from(slot), U256::from(slot + 1)).unwrap();
    }
    for of in 0..HOLDERS {
        let info = AccountInfo::default().with_nonce(1).with_balance(U256::from(FUNDS));
        state.insert_account(holder(of), info);
    }
    state.insert_account(BENEFICIARY, AccountInfo::default().with_balance(U256::from(5)));
    state
}

/// Any of the switches that the workers look at.
pub(super) fn optimisations(rng: &mut impl Rng) -> Optimisations {
    Optimisations {
        commutative_balances: rng.gen_range(0..3) > 0,
        hot_accounts: rng.gen_range(0..2) == 0,
        long_first: rng.gen_range(0..2) == 0,
        sender_chains: rng.gen_range(0..2) == 0,
        payment_runs: rng.gen_range(0..2) == 0,
        chain_prediction: true,
        learning: rng.gen_range(0..2) == 0,
        prefetch: false,
        run_ahead: false,
        revalidate: rng.gen_range(0..3) > 0,
        direct_bundle: false,
        pipelining: true,
        shared_checks: false,
        endomorphism: false,
        hashes: false,
    }
}

/// What earlier blocks may have taught, right or wrong.
fn taught(rng: &mut impl Rng, block: &Block) -> Predictor {
    let predictor = Predictor::new();
    for tx in &block.transactions {
        if let Some(key) = forecast::key(&predictor, tx) {
            let fate = [Fate::Direct, Fate::Held, Fate::Failed][rng.gen_range(0..3)];
            predictor.note(key, rng.gen_range(0..1_000_000), fate, false);
        }
    }
    predictor
}

/// One random block on one schedule.
fn one_schedule() {
    one_block(|_| None);
}

/// What an access list says of a block, and whether that is true.
pub(super) struct Claims {
    pub(super) list: Vec<AccountChanges>,
    pub(super) right: bool,
}

/// One random block on one schedule, with the access list that `claims` makes for its scripts.
pub(super) fn one_block(claims: impl FnOnce(&[Script]) -> Option<Claims>) {
    let mut rng = thread_rng();
    let len = rng.gen_range(2..7);
    let failing = rng.gen_range(0..4) == 0;
    let scripts: Vec<Script> = (0..len).map(|_| Script::random(&mut rng, failing)).collect();
    let expected = sequential(&scripts);
    let block = block(&mut rng, len);
    let (source, limits, stop) = (state(), Limits::default(), AtomicBool::new(false));
    let mut env = EvmEnv::<revm::primitives::hardfork::SpecId>::default();
    env.block_env.beneficiary = BENEFICIARY;
    let tables = Arc::new(Tables::new());
    let hot = (0..HOLDERS).filter(|_| rng.gen_range(0..3) == 0);
    hot.for_each(|of| tables.set_hot(&holder(of)));
    let claims = claims(&scripts);
    let right = claims.as_ref().is_some_and(|claims| claims.right);
    let take_in = |claims: Claims| Listed::new(&claims.list, &block, &env, &tables);
    let listed = claims.map(take_in);
    let predictor = taught(&mut rng, &block);
    let committer = Committer::new(tables.clone(), Tally::new(&block, &env), Sink::default());
    let beneficiary = tables.account_id(&BENEFICIARY);
    let base = source.account(&BENEFICIARY).cloned();
    tables.account(beneficiary).base(|| Ok::<_, ()>(base)).unwrap();
    let input = Input {
        tables: tables.clone(),
        block: &block,
        parent: Parent::Source(&source),
        limits: &limits,
        stop: &stop,
        forced: rng.gen_range(0..2) == 0,
        optimisations: optimisations(&mut rng),
        listed: listed.as_ref(),
        runs_ahead: rng.gen_range(0..2) == 0,
        forecast: Forecast::wanted(optimisations(&mut rng), &predictor, &block),
        plan: None,
        helpers: None,
    };
    let mut pool = Pool::new(HELPERS);
    let outcome = Run::new(Scripted(scripts), input, committer, Unwatched).drive(&mut pool);
    drop(pool);
    match (outcome, expected.invalid) {
        (Err(ExecuteError::Invalid(error)), Some(index)) => assert_eq!(error.index, Some(index)),
        (Ok((mut committer, statistics)), None) => {
            committer.settle();
            let logs: Vec<_> =
                committer.tally.receipts.iter().flat_map(|receipt| &receipt.logs).collect();
            let values: Vec<_> = expected.values.iter().map(|value| log(*value)).collect();
            assert_eq!(logs, values.iter().collect::<Vec<_>>());
            let first = statistics.executions - statistics.reexecutions;
            assert!(first <= len as u64, "{statistics:?}");
            assert!(!right || statistics.reexecutions == 0, "{statistics:?}");
            assert_memory(&tables, &expected.memory, len as u64);
        }
        (Err(error), _) => panic!("{error}, expected invalid {:?}", expected.invalid),
        (Ok(_), Some(index)) => panic!("accepted, expected invalid {index}"),
    }
}

/// Committed state is the oracle's, and the beneficiary got every reward.
fn assert_memory(tables: &Tables, memory: &Memory, rewards: u64) {
    let balance = |address| {
        let cell = tables.account(tables.account_id(&address));
        cell.chain.committed().map(|(_, value)| value.balance)
    };
    for (key, value) in memory {
        let committed = match key {
            Key::Balance(of) => {
                let base = || (*value == FUNDS).then(|| U256::from(FUNDS));
                balance(holder(*of)).or_else(base)
            }
            Key::Slot(slot) => {
                let contract = tables.account_id(&CONTRACT);
                let cell = tables.slot(tables.slot_id(contract, &U256::from(*slot)));
                cell.chain
                    .committed()
                    .map(|(_, value)| value)
                    .or_else(|| (*value == slot + 1).then(|| U256::from(*value)))
            }
        };
        assert_eq!(committed, Some(U256::from(*value)), "{key:?}");
    }
    assert_eq!(balance(BENEFICIARY), Some(U256::from(5 + rewards)));
}

pub(super) fn explore(scheduler: impl Scheduler + 'static, schedule: fn()) {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    Runner::new(scheduler, config).run(schedule);
}

/// How many schedules to explore: `BRAID_SCHEDULES`, else what the test says.
pub(super) fn schedules(default: usize) -> usize {
    let asked = std::env::var("BRAID_SCHEDULES").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(default)
}

#[test]
fn random_schedules_give_the_sequential_result() {
    explore(RandomScheduler::new(schedules(80_000)), one_schedule);
}

#[test]
fn adversarial_schedules_give_the_sequential_result() {
    explore(PctScheduler::new(4, schedules(20_000)), one_schedule);
}
