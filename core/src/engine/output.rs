//! The output: the net changes of a block, flat or as a bundle, read from the tables after the last
//! commit.
//!
//! Role: find what was written and put it in order. Actors: whoever ends the block, and the
//! engine's threads, where there is enough to do. Locations may still be added to the tables
//! meanwhile, by late speculative runs: those have no committed version.
//!
//! Two steps, each in pieces that need nothing of one another. The first goes through ranges of
//! cells, in the order of their memory, and deals what became of them to parts, by the first byte
//! of the account's address. The second sorts each of these parts and makes its changes; it looks
//! at no cell whose account was written, because cells are far apart in its order. The parts follow
//! one another in the output. The buffers of both steps are kept between blocks ([`Drafts`]):
//! memory of this size would come fresh from the system each time.

use super::{
    cells::AccountCell,
    tables::{AccountValue, Position, Stamp, Tables},
};
use crate::{
    bundle,
    outcome::{AccountChange, OutputKind, StateChanges},
    pool::{Share, alone},
    sync::{Mutex, MutexGuard},
};
use alloy_primitives::{Address, B256, U256};
use revm::database::BundleState;
use std::ops::Range;

/// Cells that one piece of the first step goes through.
const PIECE: usize = 256;
/// Tables with fewer cells are not worth a second thread.
const FEW: usize = 512;
/// Parts of the second step where several threads share them.
const PARTS: usize = 4;
/// What is kept between blocks: pieces, and changes and slots in each part, parts of a bundle.
/// About 12 MiB if all of it is used; a mainnet block uses a tenth.
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
            let pieces = drawn.iter().map(|piece| piece[part].lock()).collect();
            parts[part].lock().fill(tables, kind, pieces);
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
            let Part { places, further, heads, slots, changes, bundled, .. } = part.get_mut();
            places.shrink_to(KEPT);
            further.shrink_to(KEPT);
            heads.shrink_to(KEPT);
            slots.shrink_to(KEPT);
            changes.shrink_to(KEPT);
            bundled.shrink_to(KEPT_BUNDLED);
        }
    }
}

/// Which of `count` parts an account belongs to; a later one has higher addresses.
fn part_of(address: &Address, count: usize) -> usize {
    usize::from(address[0]) * count / 256
}

/// An account that was written, itself or one of its slots, and what became of it.
struct Drawn {
    address: Address,
    id: u32,
    became: Became,
}

impl Drawn {
    fn new(id: u32, cell: &AccountCell) -> Self {
        Self { address: cell.address(), id, became: Became::new(cell) }
    }
}

/// Where such an account stands.
struct Place {
    /// The address's first bytes, which nearly always decide its order among others.
    prefix: u64,
    /// The piece that found it, and where it has it; those that only slots have led to stand
    /// behind the pieces.
    piece: u32,
    at: u32,
}

impl Place {
    fn new(address: &Address, piece: usize, at: usize) -> Self {
        let prefix = address.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Self { prefix, piece: piece as u32, at: at as u32 }
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
    accounts: Vec<Drawn>,
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
            let drawn = Drawn::new(id, cell);
            if let Some(part) = &mut parts[part_of(&drawn.address, count)] {
                part.accounts.push(drawn);
            }
        }
    }
    for (id, cell) in tables.slots(slots) {
        if let Some((stamp, value)) = cell.chain.committed() {
            let (account, slot) = cell.key();
            let base = || cell.known_base().unwrap_or_default();
            let before = if tables.void.contains(id) { U256::ZERO } else { base() };
            let at = stamp.position();
            let address = tables.account(account).address();
            if let Some(part) = &mut parts[part_of(&address, count)] {
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
    /// Accounts that were not written themselves.
    further: Vec<Drawn>,
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
    fn clear(&mut self) {
        let Self { places, further, heads, slots, changes, bundled, codes } = self;
        places.clear();
        further.clear();
        heads.clear();
        slots.clear();
        changes.clear();
        bundled.clear();
        codes.clear();
    }

    /// Makes the changes of what the pieces found, in order, or their part of a bundle.
    fn fill(
        &mut self,
        tables: &Tables,
        kind: OutputKind,
        mut pieces: Vec<MutexGuard<'_, Written>>,
    ) {
        self.clear();
        self.heads.resize(tables.account_count(), UNSEEN);
        let behind = pieces.len();
        // The pieces of accounts come first.
        for (piece, written) in pieces.iter_mut().enumerate() {
            for (at, drawn) in written.accounts.iter().enumerate() {
                self.heads[drawn.id as usize] = END;
                self.places.push(Place::new(&drawn.address, piece, at));
            }
            for slot in written.slots.drain(..) {
                self.link(tables, slot, behind);
            }
        }
        let Self { places, further, heads, slots, changes, bundled, codes } = self;
        let drawn = |place: &Place| {
            let piece = pieces.get(place.piece as usize).map_or(&*further, |piece| &piece.accounts);
            &piece[place.at as usize]
        };
        let slots_of = |drawn: &Drawn| drawn.became.slots(heads[drawn.id as usize], slots);
        if kind == OutputKind::Bundle {
            // A bundle has no order.
            let part = |place: &Place| bundle_part(tables, drawn(place), slots_of(drawn(place)));
            bundled.extend(places.iter().filter_map(part));
            return;
        }
        places.sort_unstable_by(|a, b| {
            a.prefix.cmp(&b.prefix).then_with(|| drawn(a).address.cmp(&drawn(b).address))
        });
        for place in &*places {
            let drawn = drawn(place);
            let change = account_change(drawn, || slots_of(drawn));
            if change.changes_something() {
                codes.extend(change.new_code());
                changes.push(change);
            }
        }
    }

    /// Adds a slot to those of its account, which stands `behind` the pieces if it was not written
    /// itself.
    fn link(&mut self, tables: &Tables, slot: WrittenSlot, behind: usize) {
        let id = slot.account;
        let head = &mut self.heads[id as usize];
        let next = match *head {
            UNSEEN => {
                let drawn = Drawn::new(id, tables.account(id));
                self.places.push(Place::new(&drawn.address, behind, self.further.len()));
                self.further.push(drawn);
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

/// What became of an account; `slots` are those that changed.
fn account_change<S: Iterator<Item = (U256, U256, U256)>>(
    drawn: &Drawn,
    slots: impl Fn() -> S,
) -> AccountChange {
    let Drawn { address, became, .. } = drawn;
    let mut storage = Vec::new();
    if became.after.exists {
        storage.reserve_exact(slots().count());
        storage.extend(slots().map(|(slot, _, value)| (slot, value)));
        storage.sort_unstable_by_key(|(slot, _)| *slot);
    }
    let (before, after) = (became.before.info(), became.after.info());
    AccountChange { address: *address, before, after, wiped: became.is_wiped(), storage }
}

/// The same in a bundle.
fn bundle_part(
    tables: &Tables,
    drawn: &Drawn,
    slots: impl Iterator<Item = (U256, U256, U256)>,
) -> Option<bundle::Part> {
    let Drawn { address, became, .. } = drawn;
    let net = bundle::Net {
        before: became.before.info(),
        after: became.after.info(),
        destroyed: became.after.wiped > 0,
        again: became.after.again,
    };
    bundle::account(*address, net, slots, |hash| tables.code(hash))
}
