//! A scripted machine: transactions whose reads and writes, and whose very locations, depend on
//! what they read. It runs on a view, as revm does, or on a plain map, as the oracle.

use super::super::{
    evm::Observe,
    record::{AccountWrite, WriteSet},
    tables::AccountValue,
    view::{View, ViewError},
    vm::{Effects, Failed, Vm},
};
use alloy_primitives::{Address, B256, Log, LogData, U256};
use revm::{
    Database,
    context::result::{EVMError, ExecutionResult, InvalidTransaction},
};
use shuttle::rand::Rng;
use std::{cell::RefCell, collections::BTreeMap};

/// Slots that scripts share.
const SLOTS: u64 = 3;
/// Accounts whose balance scripts move.
pub(super) const HOLDERS: u8 = 2;

/// The contract that holds the slots; it exists.
pub(super) const CONTRACT: Address = Address::repeat_byte(0xcc);

/// One step of a script.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Mixes a slot's value in.
    Load(u64),
    /// Mixes the value of the slot in that the value so far names.
    LoadNamed,
    /// Writes what was gathered so far.
    Store(u64),
    /// Writes to the slot that the value so far names.
    StoreNamed,
    /// Mixes an account's balance in, then raises it.
    Credit(u8),
    /// Raises an account's balance without looking at it.
    Deposit(u8),
    /// Takes from an account's balance; looks only at whether it suffices.
    Withdraw(u8),
    /// Fails where the value so far is a multiple of seven.
    FailSometimes,
}

/// What a step made of a balance.
#[derive(Debug, Clone, Copy)]
pub(super) enum Observed {
    Balance,
    Debit(u64),
}

/// A location of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Slot(u64),
    Balance(u8),
}

pub(super) type Memory = BTreeMap<Key, u64>;

/// One transaction.
#[derive(Debug, Clone)]
pub(super) struct Script(Vec<Step>);

impl Script {
    pub(super) fn random(rng: &mut impl Rng, failing: bool) -> Self {
        let steps = (0..rng.gen_range(1..5)).map(|_| match rng.gen_range(0..9) {
            0 => Step::Load(rng.gen_range(0..SLOTS)),
            1 => Step::LoadNamed,
            2 => Step::Store(rng.gen_range(0..SLOTS)),
            3 => Step::StoreNamed,
            4 => Step::Credit(rng.gen_range(0..HOLDERS)),
            5 => Step::Deposit(rng.gen_range(0..HOLDERS)),
            6 | 7 => Step::Withdraw(rng.gen_range(0..HOLDERS)),
            _ if failing => Step::FailSometimes,
            _ => Step::Load(0),
        });
        Self(steps.collect())
    }

    /// Runs the script; `fetch` answers reads. `None`: the transaction is invalid.
    pub(super) fn run<E>(
        &self,
        index: usize,
        mut fetch: impl FnMut(Key) -> Result<u64, E>,
        mut observe: impl FnMut(Key, Observed),
    ) -> Result<Option<(u64, Memory)>, E> {
        let mut written = Memory::new();
        let mut value = index as u64 + 1;
        let mut read = |key, written: &Memory| match written.get(&key) {
            Some(value) => Ok(*value),
            None => fetch(key),
        };
        for step in &self.0 {
            let mixed = |value: u64, read: u64| (value * 31 + read) % 1009;
            match *step {
                Step::Load(slot) => value = mixed(value, read(Key::Slot(slot), &written)?),
                Step::LoadNamed => {
                    let slot = value % SLOTS;
                    value = mixed(value, read(Key::Slot(slot), &written)?);
                }
                Step::Store(slot) => drop(written.insert(Key::Slot(slot), value)),
                Step::StoreNamed => drop(written.insert(Key::Slot(value % SLOTS), value)),
                Step::Credit(holder) => {
                    let key = Key::Balance(holder);
                    let balance = read(key, &written)?;
                    observe(key, Observed::Balance);
                    value = mixed(value, balance);
                    written.insert(key, balance + 1 + value % 5);
                }
                Step::Deposit(holder) => {
                    let key = Key::Balance(holder);
                    let balance = read(key, &written)?;
                    written.insert(key, balance + 1 + value % 5);
                }
                Step::Withdraw(holder) => {
                    let key = Key::Balance(holder);
                    let balance = read(key, &written)?;
                    let amount = 1 + value % 7;
                    observe(key, Observed::Debit(amount));
                    match balance.checked_sub(amount) {
                        Some(rest) => drop(written.insert(key, rest)),
                        None => value = mixed(value, 1),
                    }
                }
                Step::FailSometimes if value.is_multiple_of(7) => return Ok(None),
                Step::FailSometimes => {}
            }
        }
        Ok(Some((value, written)))
    }
}

/// The address of a holder.
pub(super) const fn holder(holder: u8) -> Address {
    Address::repeat_byte(holder + 1)
}

/// A log that carries a script's value into the receipt.
pub(super) fn log(value: u64) -> Log {
    Log {
        address: CONTRACT,
        data: LogData::new_unchecked(vec![B256::from(U256::from(value))], Default::default()),
    }
}

/// Runs scripts in place of revm.
pub(super) struct Scripted(pub(super) Vec<Script>);

impl Scripted {
    fn fetch(view: &mut View<'_>, key: Key) -> Result<u64, ViewError> {
        match key {
            Key::Slot(slot) => view.storage(CONTRACT, U256::from(slot)).map(|value| value.to()),
            Key::Balance(of) => Ok(view.basic(holder(of))?.map_or(0, |info| info.balance.to())),
        }
    }
}

impl<'b> Vm<'b> for Scripted {
    type Instance = View<'b>;

    fn instance(&self, view: View<'b>) -> View<'b> {
        view
    }

    fn claims(&self, _index: usize) -> Option<(Address, u64)> {
        None
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
        view.basic(CONTRACT).map_err(EVMError::Database)?;
        let shared = RefCell::new(view);
        let observe = |key, observed| {
            let Key::Balance(of) = key else { return };
            let mut view = shared.borrow_mut();
            match observed {
                Observed::Balance => view.balance_observed(holder(of)),
                Observed::Debit(value) => view.debit_attempted(holder(of), U256::from(value)),
            }
        };
        let fetch = |key| Self::fetch(&mut shared.borrow_mut(), key);
        let ran = self.0[index].run(index, fetch, observe).map_err(EVMError::Database)?;
        let view = shared.into_inner();
        let Some((value, written)) = ran else {
            let error = InvalidTransaction::NonceTooLow { tx: 0, state: 1 };
            return Err(EVMError::Transaction(error));
        };
        for (key, value) in written {
            match key {
                Key::Slot(slot) => {
                    let contract = view.tables.account_id(&CONTRACT);
                    let id = view.tables.slot_id(contract, &U256::from(slot));
                    writes.slots.push((id, U256::from(value)));
                }
                Key::Balance(of) => {
                    let id = view.tables.account_id(&holder(of));
                    let Some(read) = view.seen(id) else { continue };
                    let before = view.reads.accounts[read].value;
                    let (balance, read) = (U256::from(value), read as u32);
                    let value = AccountValue { balance, exists: true, ..before };
                    writes.accounts.push(AccountWrite { id, read, value });
                }
            }
        }
        let result = ExecutionResult::Revert {
            gas: Default::default(),
            logs: vec![log(value)],
            output: Default::default(),
        };
        Ok(Effects { result, reward: Some(U256::from(1)), state: None })
    }
}
