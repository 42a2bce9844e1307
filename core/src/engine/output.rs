//! The output: the net changes of a block, flat or as a bundle, read from the tables after the last
//! commit.
//!
//! Role: find what was written and put it in order. Actors: whoever ends the block, and the
//! engine's threads, where there is enough to do. Locations may still be added to the tables
//! meanwhile, by late speculative runs: those have no committed version.
//!
//! Three steps, each in pieces that need nothing of one another. The first goes through ranges of
//! cells, in the order of their memory, and deals what became of them to parts, by the first byte
//! of the account's address. The second puts each of these parts in order. The third makes its
//! changes, which stand where they belong at once: moving them costs as much as making them. These
//! two look at no cell whose account was written, because cells are far apart in their order. The
//! parts follow one another in the output. The buffers are kept between blocks ([`Drafts`]): memory
//! of this size would come fresh from the system each time.

use super::{
    cells::AccountCell,
    tables::{AccountValue, Position, Stamp, Tables},
};
use crate::{
    bundle,
    outcome::{AccountChange, StateChanges, prefix},
    pool::{Room, Share, alone, in_parts},
    sync::{Mutex, MutexGuard},
};
use alloy_primitives::{Address, B256, U256};
use revm::database::BundleState;
use std::{hint::black_box, ops::Range};

/// Cells that one piece of the first step goes through.
const PIECE: usize = 256;
/// Tables with fewer cells are not worth a second thread.
const FEW: usize = 512;
/// Parts of the further steps where several threads share them.
const PARTS: usize = 4;
/// Accounts that are looked at before the changes of all of them are made, where a part has so many
/// that a core's own caches do not hold them.
const AT_ONCE: usize = 8;
const FAR: usize = 1024;
/// What is kept between blocks: pieces, and accounts in each part, parts of a bundle. About 8 MiB
/// if all of it is used; a mainnet block uses a tenth.
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
    let (pieces, parts) = drafts.gather(tables, share);
    share(parts.len(), &|part| parts[part].lock().order(tables, &mut lock(pieces, part)));
    let lengths: Vec<_> = parts.iter().map(|part| part.lock().places.len()).collect();
    let accounts = in_parts(&lengths, share, |part, room| {
        parts[part].lock().changes(&lock(pieces, part), room);
    });
    let mut changes = StateChanges { accounts, ..StateChanges::default() };
    let codes = parts.iter().flat_map(|part| std::mem::take(&mut part.lock().codes)).collect();
    changes.set_codes(codes, |hash| tables.code(hash));
    changes
}

/// The same as a bundle of revm's.
pub(crate) fn bundle(tables: &Tables, share: Share<'_>) -> Box<BundleState> {
    let mut drafts = tables.drafts.lock();
    let (pieces, parts) = drafts.gather(tables, share);
    share(parts.len(), &|part| parts[part].lock().bundle(tables, &mut lock(pieces, part)));
    let mut parts: Vec<_> = parts.iter().map(Mutex::lock).collect();
    let count = parts.iter().map(|part| part.bundled.len()).sum();
    let bundled = parts.iter_mut().flat_map(|part| part.bundled.drain(..));
    Box::new(bundle::bundle(count, bundled))
}

/// The buffers in which outputs are drawn up. Whoever fills one empties it first.
pub(crate) struct Drafts {
    pieces: Vec<Piece>,
    parts: [Mutex<Part>; PARTS],
}

/// What a piece of the first step found, for each part.
type Piece = [Mutex<Written>; PARTS];

/// What the pieces found for one part; those of accounts come first.
fn lock(pieces: &[Piece], part: usize) -> Vec<MutexGuard<'_, Written>> {
    pieces.iter().map(|piece| piece[part].lock()).collect()
}

impl Drafts {
    pub(crate) fn new() -> Self {
        Self { pieces: Vec::new(), parts: std::array::from_fn(|_| Mutex::default()) }
    }

    /// The first step: what the pieces found for each part, and the parts.
    fn gather(&mut self, tables: &Tables, share: Share<'_>) -> (&[Piece], &[Mutex<Part>]) {
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
        (&drawn[..pieces], &parts[..count])
    }

    fn make_room(&mut self, pieces: usize) {
        let most = pieces.max(self.pieces.len());
        self.pieces.resize_with(most, || std::array::from_fn(|_| Mutex::default()));
    }

    /// Frees what goes beyond the bounds.
    pub(crate) fn tidy(&mut self) {
        self.pieces.truncate(KEPT_PIECES);
        for part in &mut self.parts {
            let Part { places, further, heads, bundled, .. } = part.get_mut();
            places.shrink_to(KEPT);
            further.shrink_to(KEPT);
            heads.shrink_to(KEPT);
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
    became: Became,
    address: Address,
    id: u32,
    /// Whether the account itself has changed, and whether it may have storage: what has to be
    /// known of it before its turn comes, on one line of the cache.
    changed: bool,
    exists: bool,
}

impl Drawn {
    fn new(id: u32, cell: &AccountCell) -> Self {
        let before = cell.known_base().unwrap_or(AccountValue::MISSING);
        let after = cell.chain.committed().map_or(before, |(_, value)| value);
        let became = Became { before, after };
        Self {
            changed: became.is_changed(),
            exists: after.exists,
            address: cell.address(),
            id,
            became,
        }
    }
}

/// Where such an account stands.
struct Place {
    /// The address's first bytes, which nearly always decide its order among others.
    prefix: u64,
    /// The account's number: see [`Found::drawn`].
    number: u32,
    /// Its last slot, or [`END`], as in [`Part::heads`]: see [`Found::slot`].
    head: u32,
}

impl Place {
    fn new(drawn: &Drawn, number: usize) -> Self {
        Self { prefix: prefix(&drawn.address), number: number as u32, head: END }
    }

    /// Takes the account's slots from [`Part::heads`]: one that does not exist any more has none.
    fn find_slots(&mut self, drawn: &Drawn, heads: &[u32]) {
        if drawn.exists {
            self.head = heads[drawn.id as usize];
        }
    }
}

/// A slot with a committed version.
struct WrittenSlot {
    account: u32,
    /// The account's slot that was met before this one, or [`END`]: see [`Found::slot`].
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
    /// For each account of the tables its last slot, [`END`] or [`UNSEEN`].
    heads: Vec<u32>,
    /// What becomes of the accounts in a bundle, where one is wanted.
    bundled: Vec<bundle::Part>,
    /// Codes that accounts of this part newly have.
    codes: Vec<B256>,
}

impl Part {
    /// The second step, for flat changes: what the pieces found, in order, without what nothing
    /// became of.
    fn order(&mut self, tables: &Tables, pieces: &mut [MutexGuard<'_, Written>]) {
        self.link(tables, pieces);
        let Self { places, further, heads, .. } = self;
        let found = Found { pieces, further };
        places.retain_mut(|place| {
            let drawn = found.drawn(place);
            place.find_slots(drawn, heads);
            drawn.changed || found.slots(place, drawn).next().is_some()
        });
        places.sort_unstable_by(|a, b| {
            let address = |place| found.drawn(place).address;
            a.prefix.cmp(&b.prefix).then_with(|| address(a).cmp(&address(b)))
        });
    }

    /// The third step, after [`Self::order`].
    fn changes(&mut self, pieces: &[MutexGuard<'_, Written>], room: &mut Room<'_, AccountChange>) {
        let Self { places, further, codes, .. } = self;
        let found = Found { pieces, further };
        let far = places.len() >= FAR;
        for places in places.chunks(AT_ONCE) {
            if far {
                found.fetch(places);
            }
            for place in places {
                let drawn = found.drawn(place);
                let change = account_change(drawn, || found.slots(place, drawn));
                // `Became::is_changed` and the slots say the same before the change is made.
                debug_assert!(change.changes_something(), "{change:?}");
                codes.extend(change.new_code());
                room.push(change);
            }
        }
    }

    /// The second and last step, for a bundle, which has no order.
    fn bundle(&mut self, tables: &Tables, pieces: &mut [MutexGuard<'_, Written>]) {
        self.link(tables, pieces);
        let Self { places, further, heads, bundled, .. } = self;
        let found = Found { pieces, further };
        let part = |place: &mut Place| {
            let drawn = found.drawn(place);
            place.find_slots(drawn, heads);
            bundle_part(tables, drawn, found.slots(place, drawn))
        };
        bundled.extend(places.iter_mut().filter_map(part));
    }

    /// Finds the places of all accounts, and each one's slots.
    fn link(&mut self, tables: &Tables, pieces: &mut [MutexGuard<'_, Written>]) {
        let Self { places, further, heads, bundled, codes } = self;
        places.clear();
        further.clear();
        heads.clear();
        bundled.clear();
        codes.clear();
        heads.resize(tables.account_count(), UNSEEN);
        let behind = pieces.len();
        // The pieces of accounts come first.
        for (piece, written) in pieces.iter_mut().enumerate() {
            for (at, drawn) in written.accounts.iter().enumerate() {
                heads[drawn.id as usize] = END;
                places.push(Place::new(drawn, piece * PIECE + at));
            }
            for (at, slot) in written.slots.iter_mut().enumerate() {
                let head = &mut heads[slot.account as usize];
                if *head == UNSEEN {
                    // Not written itself, it stands behind the pieces.
                    let drawn = Drawn::new(slot.account, tables.account(slot.account));
                    places.push(Place::new(&drawn, behind * PIECE + further.len()));
                    further.push(drawn);
                    *head = END;
                }
                slot.next = std::mem::replace(head, (piece * PIECE + at) as u32);
            }
        }
    }
}

/// What was found for one part.
struct Found<'p, 'g> {
    pieces: &'p [MutexGuard<'g, Written>],
    further: &'p [Drawn],
}

impl<'p> Found<'p, '_> {
    /// No piece has more accounts than cells; those that only slots have led to stand behind the
    /// pieces.
    fn drawn(&self, place: &Place) -> &'p Drawn {
        let number = place.number as usize;
        match self.pieces.get(number / PIECE) {
            Some(piece) => &piece.accounts[number % PIECE],
            None => &self.further[number - self.pieces.len() * PIECE],
        }
    }

    /// Looks at what becomes of these accounts. They stand far apart: one after the other, each
    /// would be waited for, while the work on the one before fills what the core can look ahead.
    fn fetch(&self, places: &[Place]) {
        let looked_at = places.iter().fold(0, |all, place| {
            let Drawn { address, became: Became { before, after }, .. } = self.drawn(place);
            let slot = self.slot(place.head).map_or(0, |slot| slot.value.as_limbs()[0]);
            let first = u64::from(address[0]) ^ before.balance.as_limbs()[3] ^ slot;
            all ^ first ^ before.nonce ^ after.balance.as_limbs()[3] ^ u64::from(after.wiped)
        });
        black_box(looked_at);
    }

    /// The slot with this number, if it is one: no piece has more of them than cells.
    fn slot(&self, number: u32) -> Option<&'p WrittenSlot> {
        let number = number as usize;
        self.pieces.get(number / PIECE)?.slots.get(number % PIECE)
    }

    /// The slots of an account that the block changed, each with its value before and after it.
    fn slots(&self, place: &Place, drawn: &Drawn) -> impl Iterator<Item = (U256, U256, U256)> {
        let written = std::iter::successors(self.slot(place.head), |slot| self.slot(slot.next));
        written.filter_map(|slot| drawn.became.slot(slot))
    }
}

/// What the block made of an account.
struct Became {
    before: AccountValue,
    after: AccountValue,
}

impl Became {
    /// Nothing is left of the storage that the account had before the block.
    const fn is_wiped(&self) -> bool {
        self.after.wiped > 0 && self.before.exists
    }

    /// Whether the block has changed the account, slots aside.
    fn is_changed(&self) -> bool {
        let Self { before, after } = self;
        before.exists != after.exists
            || (before.balance, before.nonce) != (after.balance, after.nonce)
            || before.code_hash != after.code_hash
            || self.is_wiped()
    }

    /// A slot that was written, with its value before and after the block; `None` where the block
    /// has not changed it.
    fn slot(&self, slot: &WrittenSlot) -> Option<(U256, U256, U256)> {
        // What was written before the account was destroyed is gone.
        let value = if slot.at < self.after.wiped { U256::ZERO } else { slot.value };
        let changed = if self.is_wiped() { !value.is_zero() } else { slot.before != value };
        changed.then_some((slot.slot, slot.before, value))
    }
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
