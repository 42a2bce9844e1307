//! What one execution of a transaction leaves behind: its result, its reads, its writes.
//!
//! The write set is derived from the journal's accounts in one place, [`drain`], by the same rules
//! by which revm's `State` commits them (`CacheState::apply_account_state`).

use super::{
    commit::SPECULATIVE,
    reads::{AccountRead, ReadSet, SlotRead},
    tables::{AccountValue, Stamp, Tables},
    view::{View, ViewError},
};
use alloy_primitives::{Address, Bytes, U256};
use revm::{
    context::result::{ExecutionResult, ResultGas},
    state::{Account, AccountId, EvmState},
};

/// One written account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccountWrite {
    pub(crate) id: u32,
    /// Place of its read in the read set.
    pub(crate) read: u32,
    pub(crate) value: AccountValue,
}

/// Writes of one transaction, in the order of the journal; applied per location, so that the
/// order never shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteSet {
    pub(crate) accounts: Vec<AccountWrite>,
    pub(crate) slots: Vec<(u32, U256)>,
    /// Those of `slots` that the execution took for zero without a look, although the parent state
    /// may have something there.
    void: Vec<u32>,
}

impl WriteSet {
    pub(crate) fn clear(&mut self) {
        self.accounts.clear();
        self.slots.clear();
        self.void.clear();
    }

    /// Notes which slots the block takes for zero: before the writes are committed.
    pub(crate) fn note_void(&self, tables: &Tables) {
        let first = |id: &&u32| tables.slot(**id).chain.committed_stamp() == Stamp::BASE;
        self.void.iter().filter(first).for_each(|id| tables.void.insert(*id));
    }

    /// Makes every write a pending version, but for those to accounts that were read apart from
    /// what others wrote: nobody is to wait for them.
    pub(crate) fn publish(&self, tables: &Tables, stamp: Stamp, reads: &ReadSet) {
        let shown = |write: &&AccountWrite| !reads.accounts[write.read as usize].apart;
        for write in self.accounts.iter().filter(shown) {
            tables.account(write.id).chain.publish(stamp, write.value);
        }
        self.slots.iter().for_each(|(id, value)| tables.slot(*id).chain.publish(stamp, *value));
    }

    /// Takes the pending versions back.
    pub(crate) fn withdraw(&self, tables: &Tables, stamp: Stamp) {
        for write in &self.accounts {
            tables.account(write.id).chain.withdraw(stamp);
        }
        self.slots.iter().for_each(|(id, _)| tables.slot(*id).chain.withdraw(stamp));
    }

    /// Makes every write the committed version. For the token holder.
    pub(crate) fn commit(&self, tables: &Tables, stamp: Stamp) {
        self.note_void(tables);
        for write in &self.accounts {
            tables.account(write.id).chain.commit(stamp, write.value);
        }
        self.slots.iter().for_each(|(id, value)| tables.slot(*id).chain.commit(stamp, *value));
    }
}

/// One execution, ready to be validated and committed.
#[derive(Debug)]
pub(crate) struct Record {
    /// The worker that filled it, to whom it returns.
    pub(crate) owner: usize,
    /// Which of the transaction's executions it is of: names its versions.
    pub(crate) incarnation: u8,
    /// What the execution took, nanoseconds; 0 where nobody wants to know.
    pub(crate) nanos: u64,
    pub(crate) result: ExecutionResult,
    pub(crate) reads: ReadSet,
    pub(crate) writes: WriteSet,
    /// The beneficiary's reward where it is not in `writes`.
    pub(crate) reward: Option<U256>,
    /// The journal's accounts, for a sink that wants them. The account id of each is the place of
    /// its read; an account that does not exist and was not touched has none.
    pub(crate) state: Option<EvmState>,
}

impl Record {
    /// The memory that its buffers hold, about; bytes.
    pub(crate) const fn bytes(&self) -> usize {
        let Self { reads, writes, .. } = self;
        reads.accounts.capacity() * size_of::<AccountRead>()
            + reads.slots.capacity() * size_of::<SlotRead>()
            + writes.accounts.capacity() * size_of::<AccountWrite>()
            + writes.slots.capacity() * size_of::<(u32, U256)>()
    }
}

impl Default for Record {
    fn default() -> Self {
        Self {
            owner: 0,
            incarnation: SPECULATIVE,
            nanos: 0,
            result: no_result(Default::default()),
            reads: ReadSet::default(),
            writes: WriteSet::default(),
            reward: None,
            state: None,
        }
    }
}

/// A result without logs or output.
pub(crate) const fn no_result(gas: ResultGas) -> ExecutionResult {
    ExecutionResult::Revert { gas, logs: Vec::new(), output: Bytes::new() }
}

/// Fills `writes` from the journal's accounts. With `keep` the accounts stay in `state`, else it
/// is emptied with its capacity kept.
pub(crate) fn drain(
    view: &mut View<'_>,
    state: &mut EvmState,
    keep: bool,
    writes: &mut WriteSet,
) -> Result<(), ViewError> {
    if keep {
        for (address, account) in state.iter_mut() {
            let id = account.info.account_id;
            let written = write_account(view, id, *address, account, writes)?;
            // Who watches the accounts sees those too that were only loaded.
            let read = written.or_else(|| view.seen(id?.get() as u32));
            account.info.account_id = read.and_then(AccountId::new);
            account.original_info_mut().account_id = None;
        }
        return Ok(());
    }
    for (address, account) in state.drain() {
        write_account(view, account.info.account_id, address, &account, writes)?;
    }
    Ok(())
}

/// Adds what an account's transaction wrote to it. `id` is its index in these tables, where it is
/// known. Returns the place of the account's read, where it was touched.
pub(crate) fn write_account(
    view: &mut View<'_>,
    id: Option<AccountId>,
    address: Address,
    account: &Account,
    writes: &mut WriteSet,
) -> Result<Option<usize>, ViewError> {
    if !account.is_touched() {
        return Ok(None);
    }
    let id = match id {
        Some(id) => id.get() as u32,
        None => view.account_id(&address),
    };
    let place = match view.seen(id) {
        Some(place) => place,
        None => view.look_up(id, address)?,
    };
    if account.is_created() || account.is_selfdestructed() {
        view.reads.accounts[place].harden();
    }
    let before = view.reads.accounts[place].value;
    let mut write = |value| writes.accounts.push(AccountWrite { id, read: place as u32, value });
    let gone = account.is_selfdestructed() || (account.is_empty() && !account.is_created());
    if gone {
        let again = before.wiped > 0;
        if before.exists {
            let wiped = view.position();
            write(AccountValue { wiped, storage_known: true, again, ..AccountValue::MISSING });
        } else if again && !before.again && account.is_selfdestructed() {
            // Created and destroyed by one transaction, after another had destroyed it.
            write(AccountValue { again, ..before });
        }
        return Ok(Some(place));
    }
    let known = !account.storage.is_empty() && (account.is_created() || before.storage_known);
    let base = || view.tables.account(id).known_base();
    let void = known && base().is_none_or(|base| base.exists);
    for (slot, value) in &account.storage {
        if value.is_changed() {
            let slot = view.slot_id(id, slot);
            writes.slots.push((slot, value.present_value));
            if void {
                writes.void.push(slot);
            }
        }
    }
    let info = &account.info;
    let after = AccountValue {
        balance: info.balance,
        code_hash: info.code_hash,
        nonce: info.nonce,
        exists: true,
        ..before
    };
    if before == after && !account.is_created() {
        return Ok(Some(place));
    }
    if let Some(code) = &info.code
        && before.code_hash != info.code_hash
        && !info.is_empty_code_hash()
    {
        view.tables.add_code(info.code_hash, code.clone());
    }
    let storage_known = before.storage_known || account.is_created() || before.is_plain();
    write(AccountValue { storage_known, ..after });
    Ok(Some(place))
}
