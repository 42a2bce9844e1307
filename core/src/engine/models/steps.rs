//! Speculation for a host that commits by itself, under shuttle: the host runs scripts one after
//! the other, takes what the workers have for it, and compares each record with its own memory.
//!
//! A record that fits must carry the value that the host's own run gives; the host must never wait
//! for good.

use super::{
    super::{
        ahead::{Ahead, Input},
        limits::Limits,
        parent::Parent,
        record::Record,
        soft::{Fit, fit_value},
        steps::Steps,
        tables::{AccountValue, Tables},
        watch::Unwatched,
    },
    scheduler::{HELPERS, block, explore, memory, optimisations, schedules, state},
    scripted::{CONTRACT, HOLDERS, Key, Memory, Script, Scripted, holder, log},
};
use crate::{pool::Pool, sync::atomic::AtomicBool};
use alloy_primitives::U256;
use revm::state::{Account, AccountInfo, EvmState, EvmStorageSlot, TransactionId};
use std::sync::Arc;

use shuttle::{
    rand::{Rng, thread_rng},
    scheduler::RandomScheduler,
};

/// Whether everything that the run depended on is what the host has.
fn fits(record: &Record, tables: &Tables, memory: &Memory) -> bool {
    let accounts = record.reads.accounts.iter().all(|read| {
        let address = tables.account(read.id).address();
        let key = (0..HOLDERS).find(|of| holder(*of) == address);
        let balance = key.map_or(U256::ZERO, |of| U256::from(memory[&Key::Balance(of)]));
        let info = AccountInfo::default().with_nonce(1).with_balance(balance);
        fit_value(read, AccountValue::new(Some(&info))) != Fit::Stale
    });
    let slots = record.reads.slots.iter().all(|read| {
        let (_, slot) = tables.slot(read.id).key();
        U256::from(memory[&Key::Slot(slot.to())]) == read.value
    });
    accounts && slots
}

/// What the host committed, in the form of revm's journal.
fn journal(memory: &Memory, written: &Memory) -> EvmState {
    let mut state = EvmState::default();
    for (key, value) in written {
        let value = U256::from(*value);
        let (address, balance) = match key {
            Key::Balance(of) => (holder(*of), value),
            Key::Slot(_) => (CONTRACT, U256::ZERO),
        };
        let account = state.entry(address).or_insert_with(|| {
            Account::from(AccountInfo::default().with_nonce(1).with_balance(balance))
        });
        account.mark_touch();
        if let Key::Slot(slot) = key {
            let before = U256::from(memory[key]);
            let slot_value = EvmStorageSlot::new_changed(before, value, TransactionId::ZERO);
            account.storage.insert(U256::from(*slot), slot_value);
        }
    }
    state
}

/// The host's life: every transaction in order, with or without what the workers have for it.
fn host(steps: &mut Steps<'_, Scripted>, tables: &Tables, scripts: &[Script], leaves: usize) {
    let mut memory = memory();
    for (index, script) in scripts.iter().enumerate().take(leaves) {
        assert_eq!(steps.head(), index);
        let record = if thread_rng().gen_range(0..5) > 0 { steps.take(index) } else { None };
        let fetch = |key| Ok::<_, ()>(memory[&key]);
        let Ok(Some((value, written))) = script.run(index, fetch, |_, _| {}) else { return };
        if let Some(record) = record {
            if fits(&record, tables, &memory) {
                assert_eq!(record.result.logs(), [log(value)], "transaction {index}");
            } else {
                steps.ahead.schedule.set_failed(index);
            }
        }
        steps.commit(index, &journal(&memory, &written));
        memory.extend(written);
    }
}

fn one_schedule() {
    let mut rng = thread_rng();
    let len = rng.gen_range(2..7);
    let failing = rng.gen_range(0..4) == 0;
    let scripts: Vec<Script> = (0..len).map(|_| Script::random(&mut rng, failing)).collect();
    let leaves = rng.gen_range(0..len + 4);
    let block = block(&mut rng, len);
    let (source, limits, stop) = (state(), Limits::default(), AtomicBool::new(false));
    let tables = Arc::new(Tables::new());
    let input = Input {
        tables: tables.clone(),
        block: &block,
        parent: Parent::Source(&source),
        limits: &limits,
        stop: &stop,
        forced: true,
        optimisations: optimisations(&mut rng),
        listed: None,
        runs_ahead: false,
        forecast: None,
        plan: None,
        helpers: None,
    };
    let ahead = Ahead::new(Scripted(scripts.clone()), input, Unwatched);
    let mut pool = Pool::new(HELPERS);
    pool.run_beside(&|worker| ahead.work(worker), || {
        host(&mut Steps::new(&ahead), &tables, &scripts, leaves);
        ahead.stop();
    });
}

#[test]
fn a_host_that_commits_by_itself_is_never_misled() {
    explore(RandomScheduler::new(schedules(20_000)), one_schedule);
}
