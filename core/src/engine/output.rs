//! The flat output: the net changes of a block, read from the tables after the last commit.
//!
//! Role: find what was written and put it in order. Actors: whoever ends the block, and the
//! engine's threads, where there is enough to do. Locations may still be added to the tables
//! meanwhile, by late speculative runs: those have no committed version.
//!
//! Two steps, each in pieces that need nothing of one another. The first goes through ranges of
//! cells and sorts what was written roughly, by the first byte of the account's address. The second
//! sorts each of these parts and makes its changes. The parts follow one another in the output.

use super::{
    cells::AccountCell,
    tables::{Position, Stamp, Tables},
};
use crate::{
    outcome::{AccountChange, StateChanges},
    sync::Mutex,
};
use alloy_primitives::{Address, U256};
use std::ops::Range;

/// Calls a function with each number below a count, on one thread or on several.
pub(crate) type Share<'s> = &'s mut dyn FnMut(usize, &(dyn Fn(usize) + Sync));

/// The calling thread does all of it.
pub(crate) fn alone(count: usize, piece: &(dyn Fn(usize) + Sync)) {
    (0..count).for_each(piece);
}

/// Cells that one piece of the first step goes through.
const PIECE: usize = 256;
/// Tables with fewer cells are not worth a second thread.
const FEW: usize = 512;
/// Parts of the second step where several threads share them.
const PARTS: usize = 4;

/// The net changes of the block.
pub(crate) fn flat(tables: &Tables, share: Share<'_>) -> StateChanges {
    let (accounts, slots) = (tables.account_count(), tables.slot_count());
    let parts = if accounts + slots < FEW { 1 } else { PARTS };
    let written: Box<[Mutex<Written>]> = (0..parts).map(|_| Mutex::default()).collect();
    if parts == 1 {
        gather(tables, 0..accounts, 0..slots, &written);
    } else {
        let of_accounts = accounts.div_ceil(PIECE);
        share(of_accounts + slots.div_ceil(PIECE), &|piece| {
            let range = |piece: usize| piece * PIECE..(piece + 1) * PIECE;
            match piece.checked_sub(of_accounts) {
                None => gather(tables, range(piece), 0..0, &written),
                Some(piece) => gather(tables, 0..0, range(piece), &written),
            }
        });
    }
    let made: Box<[Mutex<Vec<AccountChange>>]> = (0..parts).map(|_| Mutex::default()).collect();
    let total: usize = written.iter().map(|part| part.lock().accounts.len()).sum();
    share(parts, &|part| {
        let written = std::mem::take(&mut *written[part].lock());
        // The others are appended to the first part.
        let room = if part == 0 { total } else { written.accounts.len() };
        let changes = written.changes(tables, room);
        *made[part].lock() = changes;
    });
    let mut changes = StateChanges::default();
    for (number, part) in made.into_iter().enumerate() {
        let mut part = part.into_inner();
        match number {
            0 => changes.accounts = part,
            _ => changes.accounts.append(&mut part),
        }
    }
    changes.set_codes(tables.codes().into_iter());
    changes
}

/// A slot with a committed version.
struct WrittenSlot {
    account: u32,
    slot: U256,
    before: U256,
    /// The newest committed version, and where in the block it was written.
    value: U256,
    at: Position,
}

/// What was written to the accounts of one part.
#[derive(Default)]
struct Written {
    /// Accounts with a committed version.
    accounts: Vec<u32>,
    slots: Vec<WrittenSlot>,
}

/// Adds what was written to these cells to the parts that it belongs to.
fn gather(
    tables: &Tables,
    accounts: Range<usize>,
    slots: Range<usize>,
    written: &[Mutex<Written>],
) {
    let mut mine: Vec<Written> = written.iter().map(|_| Written::default()).collect();
    let part = |cell: &AccountCell| usize::from(cell.address()[0]) * written.len() / 256;
    for (id, cell) in tables.accounts(accounts) {
        if cell.chain.committed_stamp() != Stamp::BASE {
            mine[part(cell)].accounts.push(id);
        }
    }
    for (_, cell) in tables.slots(slots) {
        if let Some((stamp, value)) = cell.chain.committed() {
            let (account, slot) = cell.key();
            let before = cell.known_base().unwrap_or_default();
            let slot = WrittenSlot { account, slot, before, value, at: stamp.position() };
            mine[part(tables.account(account))].slots.push(slot);
        }
    }
    for (mine, written) in mine.into_iter().zip(written) {
        if !mine.accounts.is_empty() || !mine.slots.is_empty() {
            written.lock().add(mine);
        }
    }
}

/// An account that was written, itself or one of its slots; its slots' places.
struct Place {
    /// The address's first bytes, which nearly always decide its place among others.
    prefix: u64,
    id: u32,
    slots: Range<u32>,
}

impl Written {
    fn add(&mut self, other: Self) {
        if self.accounts.is_empty() && self.slots.is_empty() {
            *self = other;
            return;
        }
        self.accounts.extend(other.accounts);
        self.slots.extend(other.slots);
    }

    /// The changes of this part, in order, with room for as many.
    fn changes(mut self, tables: &Tables, room: usize) -> Vec<AccountChange> {
        if !self.slots.is_empty() {
            self.accounts.sort_unstable();
            self.slots.sort_unstable_by(|a, b| (a.account, &a.slot).cmp(&(b.account, &b.slot)));
        }
        let address = |id| tables.account(id).address();
        let mut places = self.places(tables);
        places.sort_unstable_by(|a, b| {
            a.prefix.cmp(&b.prefix).then_with(|| address(a.id).cmp(&address(b.id)))
        });
        let mut changes = Vec::with_capacity(room);
        for Place { id, slots, .. } in places {
            let slots = &self.slots[slots.start as usize..slots.end as usize];
            let change = account_change(tables.account(id), address(id), slots);
            if change.changes_something() {
                changes.push(change);
            }
        }
        changes
    }

    /// Each account once, with its slots: one walk through both lists, which are sorted by account.
    fn places(&self, tables: &Tables) -> Vec<Place> {
        let mut places = Vec::with_capacity(self.accounts.len());
        let (mut accounts, mut next) = (self.accounts.iter().copied().peekable(), 0);
        loop {
            let of_slot = self.slots.get(next).map(|slot| slot.account);
            let Some(id) = [accounts.peek().copied(), of_slot].into_iter().flatten().min() else {
                return places;
            };
            accounts.next_if_eq(&id);
            let first = next;
            next += self.slots[first..].iter().take_while(|slot| slot.account == id).count();
            let address = tables.account(id).address();
            let prefix = address.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            places.push(Place { prefix, id, slots: first as u32..next as u32 });
        }
    }
}

fn account_change(cell: &AccountCell, address: Address, slots: &[WrittenSlot]) -> AccountChange {
    let before = cell.known_base().and_then(|base| base.info());
    let (after, destroyed) = match cell.chain.committed() {
        Some((_, value)) => (value.info(), value.wiped),
        None => (before.clone(), 0),
    };
    let wiped = destroyed > 0 && before.is_some();
    let change = |slot: &WrittenSlot| {
        // What was written before the account was destroyed is gone.
        let value = if slot.at < destroyed { U256::ZERO } else { slot.value };
        let changed = if wiped { !value.is_zero() } else { slot.before != value };
        changed.then_some((slot.slot, value))
    };
    let exists = after.is_some();
    let storage = slots.iter().filter(|_| exists).filter_map(change).collect();
    AccountChange { address, before, after, wiped, storage }
}
