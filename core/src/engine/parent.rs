//! The parent state of a block: a source that has it, or a block that is still being executed.
//!
//! Role: let a block read its parent state while its parent block runs. Actors: the workers of
//! either block; whoever concludes the parent block calls [`Layer::close`], later
//! [`Layer::set_added`].
//!
//! Three phases. While the parent runs, an answer is the newest value that its tables have,
//! committed or not, else what it started from: a prediction. From [`Layer::close`] on, answers are
//! final. From [`Layer::set_added`] on, what is below has the parent's changes and gives every
//! answer by itself: that spares looking into the parent's tables first. [`super::view`] asks for
//! the phase before it reads; a prediction goes into the log under a stamp that equals no other,
//! and is kept nowhere else. So:
//! 1. A base value in a block's tables is always that of its final parent state. It was read after
//!    `is_final` was seen, which is stored after the parent's last commit, and committed versions
//!    do not change any more.
//! 2. A prediction is compared by value with the final parent state, or with what the block has
//!    committed since, when its transaction's turn comes. A wrong one costs a repeated execution.
//!
//! What the parent block did not change is read through `below`, which must show, at those
//! locations, the state before the parent block: an [`super::overlay`] to which all blocks before
//! the parent were added. Adding the parent makes it show the parent state everywhere, until the
//! block itself is added: then all of its transactions are committed, and nobody reads for it any
//! more. While the parent runs, its own base values are filled on the way, so that each location is
//! read once for both blocks. They are right: nobody but the parent changes them.
//!
//! A slot is answered as if the parent's changes, in the form of the output, had been applied to
//! the state before it: what was destroyed or did not exist has no old storage, and a zero written
//! where the old value was taken for zero without a look is no change.

use super::{
    cells::{AccountCell, AccountValue, SlotCell},
    tables::{Position, Stamp, Tables},
};
use crate::{
    error::SourceError,
    source::{StateReader, StateSource, once},
    sync::atomic::{AtomicU8, Ordering},
};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use revm::{bytecode::Bytecode, state::AccountInfo};
use std::sync::Arc;

/// The phases of a layer: its block runs; it has committed everything; its changes were added to
/// what is below.
const OPEN: u8 = 0;
const CLOSED: u8 = 1;
const ADDED: u8 = 2;

/// Where a block's parent state is.
#[derive(Clone)]
pub(crate) enum Parent<'b> {
    Source(&'b dyn StateSource),
    Block(Arc<Layer<'b>>),
}

impl<'b> Parent<'b> {
    /// A reader for the calling thread.
    pub(crate) fn reader(&self) -> Result<Box<dyn StateReader + 'b>, SourceError> {
        match self {
            Self::Source(source) => source.reader(),
            Self::Block(layer) => Ok(Box::new(LayerReader { layer: layer.clone(), below: None })),
        }
    }

    /// Whether what is read from now on is the parent state, and no prediction.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Source(_) => true,
            Self::Block(layer) => layer.is_closed(),
        }
    }
}

/// A block as the parent state of the next one.
pub(crate) struct Layer<'b> {
    tables: Arc<Tables>,
    /// [`OPEN`], [`CLOSED`] or [`ADDED`]; never goes back.
    phase: AtomicU8,
    below: &'b dyn StateSource,
}

impl<'b> Layer<'b> {
    /// The block that has these tables, on the state that `below` shows.
    pub(crate) fn new(tables: Arc<Tables>, below: &'b dyn StateSource) -> Self {
        Self { tables, phase: AtomicU8::new(OPEN), below }
    }

    /// The block has committed everything.
    pub(crate) fn close(&self) {
        self.phase.store(CLOSED, Ordering::Release);
    }

    /// The changes of the closed layer's block were added to what is below.
    pub(crate) fn set_added(&self) {
        self.phase.store(ADDED, Ordering::Release);
    }

    fn phase(&self) -> u8 {
        self.phase.load(Ordering::Acquire)
    }

    fn is_closed(&self) -> bool {
        self.phase() >= CLOSED
    }
}

/// Reads a layer; what is below it by a reader that is made when it is first needed.
struct LayerReader<'b> {
    layer: Arc<Layer<'b>>,
    below: Option<Box<dyn StateReader + 'b>>,
}

/// An account of the layer's block: before it, and now.
struct Known {
    id: u32,
    before: AccountValue,
    now: AccountValue,
}

impl Known {
    /// None of the old storage is left, or there was none.
    const fn is_void(&self) -> bool {
        !self.before.exists || !self.now.exists || self.now.wiped > 0
    }
}

impl<'b> LayerReader<'b> {
    fn below(&mut self) -> Result<&mut (dyn StateReader + 'b), SourceError> {
        once(&mut self.below, || self.layer.below.reader())
    }

    /// The account, where the block knows it; while it runs it is made known. `None` too where the
    /// block need not be asked.
    fn known(&mut self, address: Address) -> Result<Option<Known>, SourceError> {
        let Self { layer, below: reader } = self;
        let closed = match layer.phase() {
            ADDED => return Ok(None),
            phase => phase == CLOSED,
        };
        let tables = &*layer.tables;
        let id = if closed {
            let Some(id) = tables.find_account(&address) else { return Ok(None) };
            id
        } else {
            tables.account_id(&address)
        };
        let cell = tables.account(id);
        // A version is never written before the base value is known.
        let before = match cell.known_base() {
            Some(before) => before,
            None if closed => return Ok(None),
            None => {
                let reader = once(reader, || layer.below.reader())?;
                cell.base(|| reader.account(address))?
            }
        };
        let now = newest_account(cell, closed).unwrap_or(before);
        Ok(Some(Known { id, before, now }))
    }

    fn slot(&mut self, known: &Known, address: Address, slot: U256) -> Result<U256, SourceError> {
        let Self { layer, below: reader } = self;
        let tables = &*layer.tables;
        let closed = layer.is_closed();
        let id = if closed {
            tables.find_slot(known.id, &slot)
        } else {
            Some(tables.slot_id(known.id, &slot))
        };
        let cell = id.map(|id| tables.slot(id));
        // As the output has it: a zero in such a slot is no change.
        let void = id.is_some_and(|id| tables.void.contains(id));
        let base = cell.and_then(SlotCell::known_base).filter(|_| !void);
        let version = cell.and_then(|cell| newest_slot(cell, closed));
        match (version, base) {
            (Some((stamp, _)), _) if stamp.position() < known.now.wiped => Ok(U256::ZERO),
            (Some((_, value)), Some(_)) => Ok(value),
            (Some((_, value)), None) if known.is_void() || !value.is_zero() => Ok(value),
            _ if known.is_void() => Ok(U256::ZERO),
            (None, Some(base)) => Ok(base),
            (_, None) => {
                let reader = once(reader, || layer.below.reader())?;
                match cell {
                    Some(cell) if !closed => cell.base(|| reader.storage(address, slot)),
                    _ => reader.storage(address, slot),
                }
            }
        }
    }
}

fn newest_account(cell: &AccountCell, closed: bool) -> Option<AccountValue> {
    let version = if closed { cell.chain.committed() } else { cell.chain.below(Position::MAX) };
    version.map(|(_, value)| value)
}

fn newest_slot(cell: &SlotCell, closed: bool) -> Option<(Stamp, U256)> {
    if closed { cell.chain.committed() } else { cell.chain.below(Position::MAX) }
}

impl StateReader for LayerReader<'_> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        let Some(known) = self.known(address)? else { return self.below()?.account(address) };
        let tables = &*self.layer.tables;
        Ok(known.now.info().map(|mut info| {
            let hash = info.code_hash;
            if hash != KECCAK256_EMPTY {
                let before =
                    tables.account(known.id).code().filter(|_| hash == known.before.code_hash);
                info.code = before.cloned().or_else(|| tables.code(&hash));
            }
            info
        }))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        match self.known(address)? {
            Some(known) => self.slot(&known, address, slot),
            None => self.below()?.storage(address, slot),
        }
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError> {
        match self.layer.tables.code(&hash) {
            Some(code) => Ok(code),
            None => self.below()?.code(hash),
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        self.below()?.block_hash(number)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ledger::Ledger, output, overlay::Overlay, sink::Sink, tables::Shelf, view::View},
        *,
    };
    use crate::{
        block::Block, pool::alone, source::MemoryState, splitmix::SplitMix64,
        sync::atomic::AtomicBool,
    };
    use revm::{
        Database, DatabaseCommit,
        bytecode::Bytecode,
        state::{Account, EvmState, EvmStorageSlot, TransactionId},
    };
    use std::cell::RefCell;

    const ACCOUNTS: u8 = 5;
    const SLOTS: u64 = 4;

    fn address(of: u8) -> Address {
        Address::repeat_byte(of + 1)
    }

    /// Half of the accounts, some with code, with storage.
    fn state() -> MemoryState {
        let mut state = MemoryState::default();
        for of in 0..ACCOUNTS.div_ceil(2) {
            let info = AccountInfo::default().with_balance(U256::from(of)).with_nonce(1);
            let code = Bytecode::new_raw(vec![of].into());
            state.insert_account(address(of), if of == 0 { info } else { info.with_code(code) });
            for slot in 0..SLOTS / 2 {
                state.insert_storage(address(of), U256::from(slot), U256::from(7)).unwrap();
            }
        }
        state
    }

    /// One random transaction's effect on one account.
    fn step(ledger: &mut Ledger<'_, '_>, random: &mut SplitMix64) {
        let at = address(random.below(ACCOUNTS.into()) as u8);
        let before = ledger.basic(at).unwrap();
        let mut account = match &before {
            Some(info) => Account::from(info.clone()),
            None => Account::new_not_existing(TransactionId::ZERO),
        };
        account.mark_touch();
        match random.below(5) {
            0 if before.is_some() => account.mark_selfdestruct(),
            1 if before.is_none() => {
                account.mark_created();
                let code = Bytecode::new_raw(vec![9, random.below(3) as u8].into());
                account.info = AccountInfo::default().with_nonce(1).with_code(code);
            }
            _ => account.info.balance += U256::from(random.below(3)),
        }
        if account.info.nonce > 0 && !account.is_selfdestructed() {
            for _ in 0..random.below(3) {
                let slot = U256::from(random.below(SLOTS));
                let old = ledger.storage(at, slot).unwrap();
                let new = U256::from(random.below(3));
                let value = EvmStorageSlot::new_changed(old, new, TransactionId::ZERO);
                account.storage.insert(slot, value);
            }
        }
        ledger.commit(EvmState::from_iter([(at, account)]));
    }

    /// Everything that a reader says.
    fn seen(
        reader: &mut dyn StateReader,
    ) -> Vec<(Option<AccountInfo>, Option<Bytecode>, Vec<U256>)> {
        let look = |of| {
            let info = reader.account(address(of)).unwrap();
            let Some(info) = info else { return (None, None, Vec::new()) };
            let code = (!info.is_empty_code_hash()).then(|| reader.code(info.code_hash).unwrap());
            let slots =
                (0..SLOTS).map(|slot| reader.storage(address(of), U256::from(slot)).unwrap());
            let slots = slots.collect();
            (Some(AccountInfo { code: None, ..info }), code, slots)
        };
        (0..ACCOUNTS).map(look).collect()
    }

    #[test]
    fn a_layer_answers_as_the_state_with_the_output_applied() {
        for seed in 0..300 {
            let mut random = SplitMix64(seed);
            let source = state();
            let stop = AtomicBool::new(false);
            let tables = Shelf::default().begin(&Block::default());
            let mut view = View::new(tables.clone(), Parent::Source(&source), &stop);
            let below = Overlay::new(&source, std::iter::empty());
            let layer = Arc::new(Layer::new(tables.clone(), &below));
            let mut reader = Parent::Block(layer.clone()).reader().unwrap();
            for position in 1..random.below(10) as Position + 1 {
                let (mut sink, failure) = (Sink::default(), RefCell::new(None));
                step(&mut Ledger::new(&mut view, &mut sink, position, &failure), &mut random);
                assert!(failure.borrow().is_none());
                if random.below(3) == 0 {
                    // Looking ahead on the way fills base values, and changes nothing.
                    seen(&mut *reader);
                }
            }
            let mut after = source.clone();
            after.apply(&output::flat(&tables, &mut alone));
            let expected = seen(&mut &after);
            let at_first = random.below(2) == 0;
            if at_first {
                assert_eq!(seen(&mut *reader), expected, "seed {seed}, before it is closed");
            }
            layer.close();
            assert_eq!(seen(&mut *reader), expected, "seed {seed}, looked before: {at_first}");
            let again = output::flat(&tables, &mut alone);
            let mut after = source.clone();
            after.apply(&again);
            assert_eq!(seen(&mut &after), expected, "seed {seed}: the output is the same");
            below.add(&again);
            assert_eq!(seen(&mut *reader), expected, "seed {seed}, added below, not told");
            layer.set_added();
            assert_eq!(seen(&mut *reader), expected, "seed {seed}, added below");
        }
    }

    #[test]
    fn only_a_closed_layer_fills_base_values() {
        let source = state();
        let stop = AtomicBool::new(false);
        let parent = Shelf::default().begin(&Block::default());
        let layer = Arc::new(Layer::new(parent.clone(), &source));
        let tables = Shelf::default().begin(&Block::default());
        let mut view = View::new(tables.clone(), Parent::Block(layer.clone()), &stop);
        let at = address(1);
        let id = tables.account_id(&at);
        assert_eq!(view.basic(at).unwrap().unwrap().balance, U256::from(1));
        assert_eq!(view.storage(at, U256::ZERO).unwrap(), U256::from(7));
        let slot = tables.slot_id(id, &U256::ZERO);
        assert_eq!(view.reads.accounts[0].stamp, Stamp::PREDICTED);
        assert_eq!(view.reads.slots[0].stamp, Stamp::PREDICTED);
        assert!(view.reads.early && tables.account(id).known_base().is_none());
        assert!(tables.slot(slot).known_base().is_none());
        // The parent writes after that; what was read early is learnt again.
        let stamp = Stamp::new(1, 1);
        let value =
            AccountValue { balance: U256::from(50), ..parent.account(0).known_base().unwrap() };
        parent.account(0).chain.commit(stamp, value);
        parent.slot(0).chain.commit(stamp, U256::from(8));
        layer.close();
        let reads = std::mem::take(&mut view.reads);
        view.learn(&reads).unwrap();
        assert_eq!(tables.account(id).known_base().unwrap().balance, U256::from(50));
        assert_eq!(tables.slot(slot).known_base(), Some(U256::from(8)));
    }

    #[test]
    fn what_the_parent_never_met_is_asked_below_and_stays_unknown_to_a_closed_one() {
        let source = state();
        let parent = Shelf::default().begin(&Block::default());
        let layer = Arc::new(Layer::new(parent.clone(), &source));
        layer.close();
        let mut reader = Parent::Block(layer).reader().unwrap();
        assert_eq!(seen(&mut *reader), seen(&mut &source));
        assert_eq!(parent.account_count(), 0);
    }
}
