//! The state along a range of blocks: what its blocks changed, over the source for its first one.
//!
//! Role: answer for any block of the range what the state was before it, as far as the blocks
//! before it have been added. Actors: whoever concludes a block adds its changes; any worker reads.
//!
//! Invariants: blocks are added in order, each once. Adding a block changes the answer for the
//! locations that the block changed and for no other, so a reader of other locations may look at
//! any time. An account that the range created or destroyed has no storage but what the range
//! wrote, so the source is not asked for it.
//!
//! Memory: one entry for each account and each slot that the range has changed so far.

use crate::{
    block::Block,
    error::SourceError,
    outcome::{AccountChange, StateChanges},
    source::{StateReader, StateSource, once},
    sync::RwLock,
};
use alloy_primitives::{
    Address, B256, U256,
    map::{AddressMap, B256Map},
};
use revm::{bytecode::Bytecode, state::AccountInfo};
use std::collections::HashMap;

type Seeded = foldhash::fast::RandomState;

/// Locks that accounts are spread over, so that adding a block hardly disturbs readers.
const SHARDS: usize = 16;

/// The lock of an address. By its first bits: changes come in the order of their addresses, so
/// those of one lock stand together.
fn place(address: &Address) -> usize {
    usize::from(address.0[0]) * SHARDS / 256
}

/// A changed account.
#[derive(Debug, Default)]
struct Entry {
    info: Option<AccountInfo>,
    /// Nothing of the source's storage is left.
    void: bool,
    slots: HashMap<U256, U256, Seeded>,
}

impl Entry {
    fn apply(&mut self, change: &AccountChange) {
        if change.wiped || change.before.is_none() || change.after.is_none() {
            self.void = true;
            self.slots.clear();
        }
        self.info = change.after.clone();
        self.slots.extend(change.storage.iter().copied());
    }

    /// `None`: as the source has it.
    fn slot(&self, slot: &U256) -> Option<U256> {
        self.slots.get(slot).copied().or_else(|| self.void.then_some(U256::ZERO))
    }
}

/// The changed state of a range, over the state before it.
pub(crate) struct Overlay<'r> {
    source: &'r dyn StateSource,
    accounts: [RwLock<AddressMap<Entry>>; SHARDS],
    codes: RwLock<B256Map<Bytecode>>,
    /// Number of the first block.
    first: u64,
    /// Hashes of the blocks but the last, as their successors name them.
    hashes: Vec<B256>,
}

impl<'r> Overlay<'r> {
    /// Nothing has changed yet.
    pub(crate) fn new<'b>(
        source: &'r dyn StateSource,
        mut blocks: impl Iterator<Item = &'b Block>,
    ) -> Self {
        let first = blocks.next().map_or(0, |block| block.header.number);
        let hashes = blocks.map(|block| block.header.parent_hash).collect();
        let accounts = std::array::from_fn(|_| RwLock::default());
        Self { source, accounts, codes: RwLock::default(), first, hashes }
    }

    /// Adds the changes of the next block.
    pub(crate) fn add(&self, changes: &StateChanges) {
        if !changes.codes.is_empty() {
            self.codes.write().extend(changes.codes.iter().cloned());
        }
        let in_order = &changes.accounts;
        for together in in_order.chunk_by(|one, next| place(&one.address) == place(&next.address)) {
            let mut shard = self.shard(&together[0].address).write();
            for change in together {
                shard.entry(change.address).or_default().apply(change);
            }
        }
    }

    fn shard(&self, address: &Address) -> &RwLock<AddressMap<Entry>> {
        &self.accounts[place(address)]
    }

    /// `None`: as the source has it.
    fn account(&self, address: &Address) -> Option<Option<AccountInfo>> {
        self.shard(address).read().get(address).map(|entry| entry.info.clone())
    }

    fn slot(&self, address: &Address, slot: &U256) -> Option<U256> {
        self.shard(address).read().get(address)?.slot(slot)
    }

    fn block_hash(&self, number: u64) -> Option<B256> {
        let at = number.checked_sub(self.first)?;
        self.hashes.get(usize::try_from(at).ok()?).copied()
    }
}

impl StateSource for Overlay<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(OverlayReader { overlay: self, below: None }))
    }

    fn is_slow(&self) -> bool {
        self.source.is_slow()
    }
}

/// Reads the overlay, then the source, whose reader is made when it is first needed.
struct OverlayReader<'o> {
    overlay: &'o Overlay<'o>,
    below: Option<Box<dyn StateReader + 'o>>,
}

impl<'o> OverlayReader<'o> {
    fn below(&mut self) -> Result<&mut (dyn StateReader + 'o), SourceError> {
        once(&mut self.below, || self.overlay.source.reader())
    }
}

impl StateReader for OverlayReader<'_> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        match self.overlay.account(&address) {
            Some(info) => Ok(info),
            None => self.below()?.account(address),
        }
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        match self.overlay.slot(&address, &slot) {
            Some(value) => Ok(value),
            None => self.below()?.storage(address, slot),
        }
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError> {
        let known = self.overlay.codes.read().get(&hash).cloned();
        match known {
            Some(code) => Ok(code),
            None => self.below()?.code(hash),
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        match self.overlay.block_hash(number) {
            Some(hash) => Ok(hash),
            None => self.below()?.block_hash(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Location, source::MemoryState};

    const WHO: Address = Address::repeat_byte(0xaa);

    fn info(balance: u64) -> AccountInfo {
        AccountInfo::default().with_balance(U256::from(balance))
    }

    fn change(before: Option<u64>, after: Option<u64>, storage: &[(u64, u64)]) -> AccountChange {
        let storage = storage.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value)));
        AccountChange {
            address: WHO,
            before: before.map(info),
            after: after.map(info),
            wiped: before.is_some() && after.is_none(),
            storage: storage.collect(),
        }
    }

    fn one(change: AccountChange) -> StateChanges {
        StateChanges { accounts: vec![change], codes: Vec::new() }
    }

    /// Balance and slots 1 to 3, where the account exists.
    fn seen(source: &dyn StateSource) -> Option<[U256; 4]> {
        let mut reader = source.reader().unwrap();
        let balance = reader.account(WHO).unwrap()?.balance;
        let [a, b, c] = [1, 2, 3].map(|slot| reader.storage(WHO, U256::from(slot)).unwrap());
        Some([balance, a, b, c])
    }

    #[test]
    fn it_answers_as_a_state_to_which_every_block_was_applied() {
        let mut state = MemoryState::default();
        state.insert_account(WHO, info(5));
        state.insert_storage(WHO, U256::from(1), U256::from(11)).unwrap();
        state.insert_storage(WHO, U256::from(2), U256::from(12)).unwrap();
        let source = state.clone();
        let overlay = Overlay::new(&source, std::iter::empty());
        let mut wiped = change(Some(8), Some(1), &[(3, 33)]);
        wiped.wiped = true;
        let blocks = [
            change(Some(5), Some(6), &[(2, 0), (3, 13)]),
            change(Some(6), Some(6), &[(2, 22)]),
            change(Some(6), None, &[]),
            change(None, Some(7), &[(3, 23)]),
            change(Some(7), Some(8), &[(1, 41)]),
            wiped,
        ];
        assert_eq!(seen(&overlay), seen(&state));
        for block in blocks.map(one) {
            overlay.add(&block);
            state.apply(&block);
            assert_eq!(seen(&overlay), seen(&state), "{block:?}");
        }
    }

    #[test]
    fn a_source_is_not_asked_for_the_storage_of_a_new_account() {
        struct Strict;
        impl StateSource for Strict {
            fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
                Err(SourceError::new(Location::Reader, "asked"))
            }
        }
        let overlay = Overlay::new(&Strict, std::iter::empty());
        overlay.add(&one(change(None, Some(7), &[(3, 23)])));
        assert_eq!(seen(&overlay), Some([7, 0, 0, 23].map(U256::from)));
    }

    #[test]
    fn hashes_of_the_range_come_from_its_headers() {
        let mut state = MemoryState::default();
        state.insert_block_hash(9, B256::repeat_byte(9));
        let mut blocks = [Block::default(), Block::default(), Block::default()];
        for (block, number) in blocks.iter_mut().zip(10..) {
            block.header.number = number;
            block.header.parent_hash = B256::repeat_byte(number as u8 - 1);
        }
        let overlay = Overlay::new(&state, blocks.iter());
        let mut reader = overlay.reader().unwrap();
        for number in 9..12 {
            let hash = B256::repeat_byte(number as u8);
            assert_eq!(reader.block_hash(number).unwrap(), hash, "{number}");
        }
        assert!(reader.block_hash(12).is_err(), "nobody names the last block's hash");
    }
}
