//! The parent state of a block: a source that has it, or a block that is still being executed.
//!
//! Role: let a block read its parent state while its parent block runs. Actors: the workers of
//! either block; whoever concludes the parent block calls [`Layer::close`].
//!
//! Two phases. While the parent runs, an answer is the newest value that its tables have, committed
//! or not, else what it started from: a prediction. From [`Layer::close`] on, answers are final.
//! [`super::view`] asks for the phase before it reads; a prediction goes into the log under a stamp
//! that equals no other, and is kept nowhere else. So:
//! 1. A base value in a block's tables is always that of its final parent state. It was read after
//!    `is_final` was seen, which is stored after the parent's last commit, and committed versions do
//!    not change any more.
//! 2. A prediction is compared by value with the final parent state, or with what the block has
//!    committed since, when its transaction's turn comes. A wrong one costs a repeated execution.
//!
//! What the parent block did not change is read through `below`, which must show, at those
//! locations, the state before the parent block: an [`super::overlay`] to which all blocks before
//! the parent were added. While the parent runs, its own base values are filled on the way, so that
//! each location is read once for both blocks. They are right: nobody but the parent changes them.
//!
//! A slot is answered as if the parent's changes, in the form of the output, had been applied to the
//! state before it: what was destroyed or did not exist has no old storage, and a zero written
//! where the old value was taken for zero without a look is no change.

use super::{
    cells::{AccountCell, AccountValue, SlotCell},
    tables::{Position, Stamp, Tables},
};
use crate::{
    error::{Location, SourceError},
    source::{StateReader, StateSource},
    sync::atomic::{AtomicBool, Ordering},
};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use revm::{bytecode::Bytecode, state::AccountInfo};
use std::sync::Arc;

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
    closed: AtomicBool,
    below: &'b dyn StateSource,
}

impl<'b> Layer<'b> {
    /// The block that has these tables, on the state that `below` shows.
    pub(crate) const fn new(tables: Arc<Tables>, below: &'b dyn StateSource) -> Self {
        Self { tables, closed: AtomicBool::new(false), below }
    }

    /// The block has committed everything.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
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
        below(&mut self.below, &self.layer)
    }

    /// The account, where the block knows it; while it runs it is made known.
    fn known(&mut self, address: Address) -> Result<Option<Known>, SourceError> {
        let Self { layer, below: reader } = self;
        let tables = &*layer.tables;
        let closed = layer.is_closed();
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
                let reader = below(reader, layer)?;
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
        let base = cell.and_then(SlotCell::known_base);
        let version = cell.and_then(|cell| newest_slot(cell, closed));
        match (version, base) {
            (Some((stamp, _)), _) if stamp.position() < known.now.wiped => Ok(U256::ZERO),
            (Some((_, value)), Some(_)) => Ok(value),
            (Some((_, value)), None) if known.is_void() || !value.is_zero() => Ok(value),
            _ if known.is_void() => Ok(U256::ZERO),
            (None, Some(base)) => Ok(base),
            (_, None) => {
                let reader = below(reader, layer)?;
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

fn below<'v, 'b>(
    reader: &'v mut Option<Box<dyn StateReader + 'b>>,
    layer: &Layer<'b>,
) -> Result<&'v mut (dyn StateReader + 'b), SourceError> {
    if reader.is_none() {
        *reader = Some(layer.below.reader()?);
    }
    reader.as_deref_mut().ok_or_else(|| SourceError::new(Location::Reader, "no reader"))
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
