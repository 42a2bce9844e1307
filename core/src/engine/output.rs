//! The output: the net changes of a block, flat or as a bundle, read from the tables after the last
//! commit.
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
    tables::{AccountValue, Position, Stamp, Tables},
};
use crate::{
    bundle,
    outcome::{AccountChange, OutputKind, StateChanges},
    sync::{Mutex, MutexGuard},
};
use alloy_primitives::{B256, U256};
use revm::database::BundleState;
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
/// What is kept between blocks: pieces, and changes and slots in each part, parts of a bundle.
/// About 8 MiB if all of it is used; a mainnet block uses a tenth.
const KEPT_PIECES: usize = 64;
const KEPT: usize = 4096;
const KEPT_BUNDLED: usize = 512;

/// In how many parts the output of such tables is put together.
pub(crate) fn parts(tables: &Tables) -> usize {
    if tables.account_count() + tables.slot_count() < FEW { 1 } else { PARTS }
}

/// The net changes of the block.
pub(crate) fn flat(tables: &Tables, share: Share<'_>) -> StateChanges {
    let mut drafts = tables.drafts.lock();
    let parts = drafts.draw(tables, OutputKind::Flat, share);
    let mut changes = StateChanges::default();
    let mut codes = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let mut part = part.lock();
        match number {
            // The other parts are appended to the first one, which leaves with the output.
            0 => changes.accounts = std::mem::take(&mut part.changes),
            _ => changes.accounts.append(&mut part.changes),
        }
        codes.append(&mut part.codes);
    }
    changes.set_codes(codes, |hash| tables.code(hash));
    changes
}

/// The same as a bundle of revm's.
pub(crate) fn bundle(tables: &Tables, share: Share<'_>) -> Box<BundleState> {
    let mut drafts = tables.drafts.lock();
    let parts = drafts.draw(tables, OutputKind::Bundle, share);
    let mut parts: Vec<_> = parts.iter().map(Mutex::lock).collect();
    let count = parts.iter().map(|part| part.bundled.len()).sum();
    let bundled = parts.iter_mut().flat_map(|part| part.bundled.drain(..));
    Box::new(bundle::bundle(count, bundled))
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

    /// Draws the output up: what it says is then in the parts that are returned.
    fn draw(&mut self, tables: &Tables, kind: OutputKind, share: Share<'_>) -> &[Mutex<Part>] {
        let (accounts, slots) = (tables.account_count(), tables.slot_count());
        let of_accounts = accounts.div_ceil(PIECE);
        let pieces = of_accounts + slots.div_ceil(PIECE);
        let count = self::parts(tables);
        self.make_room(pieces);
        let Self { pieces: drawn, parts } = self;
        let gather = |piece: usize| {
            let range = |piece: usize| piece * PIECE..(piece + 1) * PIECE;
            let (accounts, slots) = match piece.checked_sub(of_accounts) {
                None => (range(piece), 0..0),
                Some(at) => (0..0, range(at)),
            };
            gather(tables, accounts, slots, &drawn[piece][..count]);
        };
        match count {
            1 => alone(pieces, &gather),
            _ => share(pieces, &gather),
        }
        let drawn = &drawn[..pieces];
        if kind == OutputKind::Flat {
            let written = drawn.iter().flatten().map(|drawn| drawn.lock().accounts.len()).sum();
            parts[0].get_mut().changes = Vec::with_capacity(written);
        }
        let parts = &parts[..count];
        share(count, &|part| {
            let written = drawn.iter().map(|piece| piece[part].lock());
            parts[part].lock().fill(tables, kind, written);
        });
        parts
    }

    fn make_room(&mut self, pieces: usize) {
        let most = pieces.max(self.pieces.len());
        self.pieces.resize_with(most, || std::array::from_fn(|_| Mutex::default()));
    }

    /// Frees what goes beyond the bounds.
    pub(crate) fn tidy(&mut self) {
        self.pieces.truncate(KEPT_PIECES);
        for part in &mut self.parts {
            let Part { places, heads, slots, changes, bundled, .. } = part.get_mut();
            places.shrink_to(KEPT);
            heads.shrink_to(KEPT);
            slots.shrink_to(KEPT);
            changes.shrink_to(KEPT);
            bundled.shrink_to(KEPT_BUNDLED);
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
    for (id, cell) in tables.slots(slots) {
        if let Some((stamp, value)) = cell.chain.committed() {
            let (account, slot) = cell.key();
            let base = || cell.known_base().unwrap_or_default();
            let before = if tables.void.contains(id) { U256::ZERO } else { base() };
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
    /// What becomes of the accounts in a bundle, where one is wanted.
    bundled: Vec<bundle::Part>,
    /// Codes that accounts of this part newly have.
    codes: Vec<B256>,
}

impl Part {
    /// Makes the changes of what the pieces found, in order, or their part of a bundle.
    fn fill<'w>(
        &mut self,
        tables: &Tables,
        kind: OutputKind,
        written: impl Iterator<Item = MutexGuard<'w, Written>>,
    ) {
        self.places.clear();
        self.heads.clear();
        self.heads.resize(tables.account_count(), UNSEEN);
        self.slots.clear();
        self.changes.clear();
        self.bundled.clear();
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
        if kind == OutputKind::Bundle {
            // A bundle has no order.
            let Self { places, heads, slots, bundled, .. } = self;
            let part = |place: &Place| {
                bundle_part(tables, tables.account(place.id), heads[place.id as usize], slots)
            };
            bundled.extend(places.iter().filter_map(part));
            return;
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

/// What the block made of an account.
struct Became {
    before: AccountValue,
    after: AccountValue,
}

impl Became {
    fn new(cell: &AccountCell) -> Self {
        let before = cell.known_base().unwrap_or(AccountValue::MISSING);
        let after = cell.chain.committed().map_or(before, |(_, value)| value);
        Self { before, after }
    }

    /// Nothing is left of the storage that the account had before the block.
    const fn is_wiped(&self) -> bool {
        self.after.wiped > 0 && self.before.exists
    }

    /// The slots that the block changed, each with its value before and after it; the chain of
    /// those that were written begins at `head`.
    fn slots<'s>(
        &self,
        head: u32,
        slots: &'s [WrittenSlot],
    ) -> impl Iterator<Item = (U256, U256, U256)> + use<'s> {
        let (destroyed, wiped) = (self.after.wiped, self.is_wiped());
        let head = if self.after.exists { head } else { END };
        written(head, slots).filter_map(move |slot| {
            // What was written before the account was destroyed is gone.
            let value = if slot.at < destroyed { U256::ZERO } else { slot.value };
            let changed = if wiped { !value.is_zero() } else { slot.before != value };
            changed.then_some((slot.slot, slot.before, value))
        })
    }
}

/// The slots of an account that were written.
fn written(head: u32, slots: &[WrittenSlot]) -> impl Iterator<Item = &WrittenSlot> {
    std::iter::successors(slots.get(head as usize), |slot| slots.get(slot.next as usize))
}

/// What became of an account; the chain of its slots begins at `head`.
fn account_change(cell: &AccountCell, head: u32, slots: &[WrittenSlot]) -> AccountChange {
    let became = Became::new(cell);
    let mut storage = Vec::new();
    if became.after.exists {
        storage.reserve_exact(written(head, slots).count());
        storage.extend(became.slots(head, slots).map(|(slot, _, value)| (slot, value)));
        storage.sort_unstable_by_key(|(slot, _)| *slot);
    }
    let (before, after) = (became.before.info(), became.after.info());
    AccountChange { address: cell.address(), before, after, wiped: became.is_wiped(), storage }
}

/// The same in a bundle.
fn bundle_part(
    tables: &Tables,
    cell: &AccountCell,
    head: u32,
    slots: &[WrittenSlot],
) -> Option<bundle::Part> {
    let became = Became::new(cell);
    let net = bundle::Net {
        before: became.before.info(),
        after: became.after.info(),
        destroyed: became.after.wiped > 0,
        again: became.after.again,
    };
    bundle::account(cell.address(), net, became.slots(head, slots), |hash| tables.code(hash))
}
