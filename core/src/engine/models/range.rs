//! Ranges of blocks under shuttle: the whole pipeline, with scripts for transactions and small
//! stand-ins for the rules at a block's ends.
//!
//! Each block begins with a system call that counts in a slot, and ends with withdrawals to the
//! holders, so that what the next block read early is often wrong. Outcomes are compared with
//! sequential execution, block by block.

use super::{
    super::{
        flight::{Blocks, Hand, Setting},
        ledger::Ledger,
        limits::Limits,
        overlay::Overlay,
        pipeline::Pipeline,
        predictor::Predictor,
        range::RangeError,
        record::WriteSet,
        sink::Sink,
        tables::Shelf,
        view::View,
        vm::{Effects, Failed, Vm},
    },
    scheduler::{HELPERS, block, explore, memory, optimisations, schedules, state},
    scripted::{CONTRACT, HOLDERS, Key, Memory, Script, Scripted, holder, log},
};
use crate::{
    ExecuteError, OutputKind,
    block::{Block, Receipt},
    outcome::Outcome,
    pool::Pool,
    source::MemoryState,
    sync::atomic::AtomicBool,
    tally::Tally,
};
use alloy_evm::{EvmEnv, block::BlockExecutionResult};
use alloy_primitives::{Address, U256};
use revm::{
    Database, DatabaseCommit,
    context::result::EVMError,
    state::{Account, AccountInfo, EvmState, EvmStorageSlot, TransactionId},
};
use shuttle::{
    rand::{Rng, thread_rng},
    scheduler::{PctScheduler, RandomScheduler},
};
use std::cell::RefCell;

const BENEFICIARY: Address = Address::repeat_byte(0xbe);
/// The slot in which the system calls count.
const COUNTED: u64 = 1;

/// Scripts that look at a slot before they write it, as SSTORE does: the output tells what a block
/// has changed by what was there before.
struct Looking(Scripted);

impl<'b> Vm<'b> for Looking {
    type Instance = View<'b>;

    fn instance(&self, view: View<'b>) -> View<'b> {
        view
    }

    fn claims(&self, index: usize) -> Option<(Address, u64)> {
        self.0.claims(index)
    }

    fn view<'i>(&self, instance: &'i mut View<'b>) -> &'i mut View<'b> {
        instance
    }

    fn execute(
        &self,
        view: &mut View<'b>,
        index: usize,
        writes: &mut WriteSet,
    ) -> Result<Effects, Failed> {
        let effects = self.0.execute(view, index, writes)?;
        for (id, _) in &writes.slots {
            let (_, slot) = view.tables.slot(*id).key();
            view.storage(CONTRACT, slot).map_err(EVMError::Database)?;
        }
        Ok(effects)
    }
}

/// The model's blocks.
struct Scripts<'r> {
    blocks: &'r [Block],
    scripts: &'r [Vec<Script>],
    env: &'r EvmEnv,
    /// What each block gives every holder at its end.
    gifts: &'r [u64],
}

/// Commits these accounts on the ledger, as a rule of the block would.
fn commit(ledger: &mut Ledger<'_, '_>, accounts: Vec<(Address, Account)>) {
    ledger.commit(accounts.into_iter().collect::<EvmState>());
}

fn touched(info: AccountInfo) -> Account {
    let mut account = Account::from(info);
    account.mark_touch();
    account
}

impl<'r> Blocks<'r> for Scripts<'r> {
    type Machine = Looking;

    fn len(&self) -> usize {
        self.blocks.len()
    }

    fn block(&self, index: usize) -> &'r Block {
        &self.blocks[index]
    }

    fn check_link(&self, _index: usize) -> Result<(), RangeError> {
        Ok(())
    }

    fn machine(&self, index: usize, _keep_state: bool) -> Looking {
        Looking(Scripted(self.scripts[index].clone()))
    }

    fn tally(&self, index: usize) -> Tally<'r> {
        Tally::new(&self.blocks[index], self.env)
    }

    fn sink(&self, _index: usize) -> Sink<'r> {
        Sink::default()
    }

    fn begin(
        &self,
        _index: usize,
        view: &mut View<'r>,
        sink: &mut Sink<'r>,
    ) -> Result<(), ExecuteError> {
        let failure = RefCell::new(None);
        let mut ledger = Ledger::new(view, sink, 0, &failure);
        let info = ledger.basic(CONTRACT).unwrap().unwrap();
        let slot = U256::from(COUNTED);
        let count = ledger.storage(CONTRACT, slot).unwrap();
        let mut account = touched(info);
        let value = EvmStorageSlot::new_changed(count, count + U256::from(1), TransactionId::ZERO);
        account.storage.insert(slot, value);
        commit(&mut ledger, vec![(CONTRACT, account)]);
        view.basic(BENEFICIARY).unwrap();
        Ok(())
    }

    fn finish(
        &self,
        index: usize,
        tally: Tally<'r>,
        view: &mut View<'r>,
        sink: &mut Sink<'r>,
    ) -> Result<BlockExecutionResult<Receipt>, ExecuteError> {
        let failure = RefCell::new(None);
        let end = tally.block.transactions.len() as u32 + 1;
        let mut ledger = Ledger::new(view, sink, end, &failure);
        let gift = U256::from(self.gifts[index]);
        let mut accounts = Vec::new();
        for of in 0..HOLDERS {
            let mut account = touched(ledger.basic(holder(of)).unwrap().unwrap());
            account.info.balance += gift;
            accounts.push((holder(of), account));
        }
        if !gift.is_zero() {
            commit(&mut ledger, accounts);
        }
        Ok(BlockExecutionResult { receipts: tally.receipts, ..Default::default() })
    }
}

/// What sequential execution gives for each block: the receipts' values and the memory after it.
/// Ends before the first invalid block.
fn sequential(all: &[Vec<Script>], gifts: &[u64]) -> Vec<(Vec<u64>, Memory)> {
    let mut memory = memory();
    let mut blocks = Vec::new();
    for (scripts, gift) in all.iter().zip(gifts) {
        let mut values = Vec::new();
        *memory.get_mut(&Key::Slot(COUNTED)).unwrap() += 1;
        for (index, script) in scripts.iter().enumerate() {
            let fetch = |key| Ok::<_, ()>(memory.get(&key).copied().unwrap_or_default());
            let Ok(Some((value, written))) = script.run(index, fetch, |_, _| {}) else {
                return blocks;
            };
            values.push(value);
            memory.extend(written);
        }
        for of in 0..HOLDERS {
            *memory.get_mut(&Key::Balance(of)).unwrap() += gift;
        }
        blocks.push((values, memory.clone()));
    }
    blocks
}

/// The outcome of one block is the oracle's, and the beneficiary got every reward so far.
fn assert_block(
    outcome: &Outcome,
    state: &mut MemoryState,
    (values, memory): &(Vec<u64>, Memory),
    rewards: &mut u64,
) {
    let logs: Vec<_> = outcome.receipts.iter().flat_map(|receipt| &receipt.logs).collect();
    let expected: Vec<_> = values.iter().map(|value| log(*value)).collect();
    assert_eq!(logs, expected.iter().collect::<Vec<_>>());
    let statistics = outcome.statistics;
    assert!(statistics.executions - statistics.reexecutions <= values.len() as u64);
    *rewards += values.len() as u64;
    state.apply(&outcome.state.to_flat());
    for (key, value) in memory {
        let now = match key {
            Key::Balance(of) => state.account(&holder(*of)).unwrap().balance,
            Key::Slot(slot) => state.storage(&CONTRACT, &U256::from(*slot)),
        };
        assert_eq!(now, U256::from(*value), "{key:?}");
    }
    let paid = state.account(&BENEFICIARY).unwrap().balance;
    assert_eq!(paid, U256::from(5 + *rewards));
}

fn one_schedule() {
    let mut rng = thread_rng();
    let count = rng.gen_range(1..5);
    let failing = rng.gen_range(0..5) == 0;
    let (mut blocks, mut scripts, mut gifts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let len = rng.gen_range(0..5);
        blocks.push(block(&mut rng, len));
        scripts.push((0..len).map(|_| Script::random(&mut rng, failing)).collect::<Vec<_>>());
        gifts.push(rng.gen_range(0..3));
    }
    let expected = sequential(&scripts, &gifts);
    let mut env = EvmEnv::<revm::primitives::hardfork::SpecId>::default();
    env.block_env.beneficiary = BENEFICIARY;
    let source = state();
    let overlay = Overlay::new(&source, blocks.iter());
    let limits = Limits::default();
    let predictor = Predictor::new();
    let stops: Vec<_> = blocks.iter().map(|_| AtomicBool::new(false)).collect();
    let setting = Setting {
        overlay: &overlay,
        limits: &limits,
        stops: &stops,
        output: OutputKind::Flat,
        forced: rng.gen_range(0..2) == 0,
        optimisations: optimisations(&mut rng),
        helpers: None,
        predictor: &predictor,
    };
    let leaves = rng.gen_range(1..8);
    let list = Scripts { blocks: &blocks, scripts: &scripts, env: &env, gifts: &gifts };
    let mut shelf = Shelf::default();
    let pipeline = Pipeline::new(&list, setting, &mut shelf);
    let mut pool = Pool::new(HELPERS);
    let mut after = state();
    let (mut given, mut rewards) = (0, 0);
    let mut hand_out = || {
        while given < leaves
            && let Some((index, outcome)) = pipeline.take()
        {
            assert_eq!(index, given);
            assert_block(&outcome, &mut after, &expected[index], &mut rewards);
            given += 1;
        }
        given < leaves
    };
    pool.run_beside(&|worker| pipeline.work(worker), || {
        let mut hand = Hand::new(0);
        while pipeline.turn(&mut hand) && hand_out() {}
        pipeline.end();
    });
    let stays = hand_out();
    match pipeline.into_failure() {
        Some(RangeError::Block { index, error: ExecuteError::Invalid(_) }) => {
            assert_eq!(index, expected.len());
            assert!(!stays || given == index);
        }
        Some(error) => panic!("{error}"),
        None => assert!(!stays || given == count, "{given} of {count}"),
    }
}

#[test]
fn ranges_on_random_schedules_give_the_sequential_result() {
    explore(RandomScheduler::new(schedules(20_000)), one_schedule);
}

#[test]
fn ranges_on_adversarial_schedules_give_the_sequential_result() {
    explore(PctScheduler::new(4, schedules(5_000)), one_schedule);
}
