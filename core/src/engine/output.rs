//! The flat output: the net changes of a block, read from the tables after the last commit.
//!
//! Role: find what was written and put it in order. Actors: whoever ends the block, and the
//! engine's threads, where there is enough to do. Locations may still be added to the tables
//! meanwhile, by late speculative runs: those have no committed version.
//!
//! Two steps, each in pieces that need nothing of one another. The first goes through ranges of
//! cells and deals what was written to parts, by the first byte of the account's address. The
//! second sorts each of these parts and makes its changes. The parts follow one another in the
//! output. The buffers of both steps are kept between blocks ([`Drafts`]): memory of this size
//! would come fresh from the system each time.

use super::{
    cells::AccountCell,
    tables::{Position, Stamp, Tables},
};
use crate::{
    outcome::{AccountChange, StateChanges},
    sync::{Mutex, MutexGuard},
};
use alloy_primitives::{B256, U256};
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
/// What is kept between blocks: pieces, and changes and slots in each part. About 8 MiB if all of
/// it is used; a mainnet block uses a tenth.
const KEPT_PIECES: usize = 64;
const KEPT: usize = 4096;

/// The net changes of the block.
pub(crate) fn flat(tables: &Tables, share: Share<'_>) -> StateChanges {
    let mut drafts = tables.drafts.lock();
    let (accounts, slots) = (tables.account_count(), tables.slot_count());
    let of_accounts = accounts.div_ceil(PIECE);
    let pieces = of_accounts + slots.div_ceil(PIECE);
    let count = if accounts + slots < FEW { 1 } else { PARTS };
    drafts.make_room(pieces);
    let Drafts { pieces: drawn, parts } = &mut *drafts;
    let gather = |piece: usize| {
        let range = |piece: usize| piece * PIECE..(piece + 1) * PIECE;
        match piece.checked_sub(of_accounts) {
            None => gather(tables, range(piece), 0..0, &drawn[piece][..count]),
            Some(at) => gather(tables, 0..0, range(at), &drawn[piece][..count]),
        }
    };
    match count {
        1 => alone(pieces, &gather),
        _ => share(pieces, &gather),
    }
    let drawn = &drawn[..pieces];
    let written: usize = drawn.iter().flatten().map(|drawn| drawn.lock().accounts.len()).sum();
    // The other parts are appended to the first one, which leaves with the output.
    parts[0].get_mut().changes = Vec::with_capacity(written);
    let parts = &parts[..count];
    share(count, &|part| {
        parts[part].lock().fill(tables, drawn.iter().map(|piece| piece[part].lock()));
    });
    let mut changes = StateChanges::default();
    let mut codes = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let mut part = part.lock();
        match number {
            0 => changes.accounts = std::mem::take(&mut part.changes),
            _ => changes.accounts.append(&mut part.changes),
        }
        codes.append(&mut part.codes);
    }
    changes.set_codes(codes, |hash| tables.code(hash));
    changes
}

/// The buffers in which outputs are drawn up. Whoever fills one empties it first.
pub(crate) struct Drafts {
    pieces: Vec<[Mutex<Written>; PARTS]>,
    parts: [Mutex<Part>; PARTS],
}

impl Drafts {
    pub(crate) fn new() -> Self {
        Self { pieces: Vec::new(), parts: std::array::from_fn(|_| Mutex::default()) }
    }

    fn make_room(&mut self, pieces: usize) {
        let most = pieces.max(self.pieces.len());
        self.pieces.resize_with(most, || std::array::from_fn(|_| Mutex::default()));
    }

    /// Frees what goes beyond the bounds.
    pub(crate) fn tidy(&mut self) {
        self.pieces.truncate(KEPT_PIECES);
        for part in &mut self.parts {
            let Part { places, heads, slots, changes, .. } = part.get_mut();
            places.shrink_to(KEPT);
            heads.shrink_to(KEPT);
            slots.shrink_to(KEPT);
            changes.shrink_to(KEPT);
        }
    }
}

/// An account that was written, itself or one of its slots.
#[derive(Clone, Copy)]
struct Place {
    /// The address's first bytes, which nearly always decide its place among others.
    prefix: u64,
    id: u32,
}

impl Place {
    fn new(id: u32, cell: &AccountCell) -> Self {
        let prefix = cell.address().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Self { prefix, id }
    }

    /// Which of `count` parts it belongs to; a later one has higher addresses.
    const fn part(&self, count: usize) -> usize {
        (self.prefix >> 56) as usize * count / 256
    }
}

/// A slot with a committed version.
struct WrittenSlot {
    account: u32,
    /// The account's slot that was met before this one, in a part; or [`END`].
    next: u32,
    slot: U256,
    before: U256,
    /// The newest committed version, and where in the block it was written.
    value: U256,
    at: Position,
}

/// What one piece found for one part.
#[derive(Default)]
struct Written {
    /// Accounts with a committed version.
    accounts: Vec<Place>,
    slots: Vec<WrittenSlot>,
}

/// Deals what was written to these cells to the parts that it belongs to.
fn gather(tables: &Tables, accounts: Range<usize>, slots: Range<usize>, parts: &[Mutex<Written>]) {
    let mut parts: [Option<MutexGuard<'_, Written>>; PARTS] =
        std::array::from_fn(|part| parts.get(part).map(Mutex::lock));
    let count = parts.iter().flatten().count();
    for part in parts.iter_mut().flatten() {
        part.accounts.clear();
        part.slots.clear();
    }
    for (id, cell) in tables.accounts(accounts) {
        if cell.chain.committed_stamp() != Stamp::BASE {
            let place = Place::new(id, cell);
            if let Some(part) = &mut parts[place.part(count)] {
                part.accounts.push(place);
            }
        }
    }
    for (_, cell) in tables.slots(slots) {
        if let Some((stamp, value)) = cell.chain.committed() {
            let (account, slot) = cell.key();
            let before = cell.known_base().unwrap_or_default();
            let at = stamp.position();
            let place = Place::new(account, tables.account(account));
            if let Some(part) = &mut parts[place.part(count)] {
                part.slots.push(WrittenSlot { account, next: END, slot, before, value, at });
            }
        }
    }
}

/// In [`Part::heads`]: the account is not in the part yet.
const UNSEEN: u32 = u32::MAX;
/// The account has no further slots.
const END: u32 = u32::MAX - 1;

/// One part of the output.
#[derive(Default)]
struct Part {
    places: Vec<Place>,
    /// For each account of the tables its last slot in `slots`, [`END`] or [`UNSEEN`].
    heads: Vec<u32>,
    slots: Vec<WrittenSlot>,
    changes: Vec<AccountChange>,
    /// Codes that accounts of this part newly have.
    codes: Vec<B256>,
}

impl Part {
    /// Makes the changes of what the pieces found, in order.
    fn fill<'w>(
        &mut self,
        tables: &Tables,
        written: impl Iterator<Item = MutexGuard<'w, Written>>,
    ) {
        self.places.clear();
        self.heads.clear();
        self.heads.resize(tables.account_count(), UNSEEN);
        self.slots.clear();
        self.codes.clear();
        // The pieces of accounts come first.
        for mut written in written {
            for place in written.accounts.drain(..) {
                self.heads[place.id as usize] = END;
                self.places.push(place);
            }
            for slot in written.slots.drain(..) {
                self.link(tables, slot);
            }
        }
        let address = |id| tables.account(id).address();
        self.places.sort_unstable_by(|a, b| {
            a.prefix.cmp(&b.prefix).then_with(|| address(a.id).cmp(&address(b.id)))
        });
        for Place { id, .. } in &self.places {
            let cell = tables.account(*id);
            let change = account_change(cell, self.heads[*id as usize], &self.slots);
            if change.changes_something() {
                self.codes.extend(change.new_code());
                self.changes.push(change);
            }
        }
    }

    /// Adds a slot to those of its account.
    fn link(&mut self, tables: &Tables, slot: WrittenSlot) {
        let id = slot.account;
        let head = &mut self.heads[id as usize];
        let next = match *head {
            UNSEEN => {
                self.places.push(Place::new(id, tables.account(id)));
                END
            }
            known => known,
        };
        *head = self.slots.len() as u32;
        self.slots.push(WrittenSlot { next, ..slot });
    }
}

/// What became of an account; the chain of its slots begins at `head`.
fn account_change(cell: &AccountCell, head: u32, slots: &[WrittenSlot]) -> AccountChange {
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
    let mut storage = Vec::new();
    if after.is_some() {
        let of_account = || {
            std::iter::successors(slots.get(head as usize), |slot| slots.get(slot.next as usize))
        };
        storage.reserve_exact(of_account().count());
        storage.extend(of_account().filter_map(change));
        storage.sort_unstable_by_key(|(slot, _)| *slot);
    }
    AccountChange { address: cell.address(), before, after, wiped, storage }
}
