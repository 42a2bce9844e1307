//! A wrong list changes no outcome, and its first mismatch is named.

use super::{
    FORCED, Known,
    common::{
        asm::{asm, factory, init_code},
        scene::{FUNDS, MINER, Scene},
        tx::{Tx, sender},
    },
    generated,
};
use alloy_eips::eip7928::{
    AccountChanges, BalanceChange, BlockAccessIndex, BlockAccessList, CodeChange, NonceChange,
    SlotChanges, StorageChange,
};
use alloy_hardforks::EthereumHardfork as Fork;
use alloy_primitives::{Address, Bytes, U256};
use braid_core::access_list::{AccessListMismatch, AccessLocation, AccessPart, AccessValue};
use revm::bytecode::opcode as op;

/// One entry of a list: its account's place and its own.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Account(usize),
    Slot(usize, usize, usize),
    Read(usize, usize),
    Balance(usize, usize),
    Nonce(usize, usize),
    Code(usize, usize),
}

fn entries(list: &BlockAccessList) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (at, account) in list.iter().enumerate() {
        entries.push(Entry::Account(at));
        for (slot, changes) in account.storage_changes.iter().enumerate() {
            entries.extend((0..changes.changes.len()).map(|change| Entry::Slot(at, slot, change)));
        }
        entries.extend((0..account.storage_reads.len()).map(|slot| Entry::Read(at, slot)));
        entries.extend((0..account.balance_changes.len()).map(|of| Entry::Balance(at, of)));
        entries.extend((0..account.nonce_changes.len()).map(|of| Entry::Nonce(at, of)));
        entries.extend((0..account.code_changes.len()).map(|of| Entry::Code(at, of)));
    }
    entries
}

type Place = (AccessLocation, Option<u64>, AccessValue);

impl Entry {
    const fn account(self) -> usize {
        match self {
            Self::Account(at)
            | Self::Slot(at, ..)
            | Self::Read(at, _)
            | Self::Balance(at, _)
            | Self::Nonce(at, _)
            | Self::Code(at, _) => at,
        }
    }

    /// Where it stands and what it says.
    fn place(self, list: &BlockAccessList) -> Place {
        let account = &list[self.account()];
        let place = |part, index: Option<BlockAccessIndex>, value| {
            let location = AccessLocation { address: account.address, part };
            (location, index.map(|index| index.get()), value)
        };
        match self {
            Self::Account(_) => place(AccessPart::Account, None, AccessValue::Accessed),
            Self::Slot(_, slot, change) => {
                let slot = &account.storage_changes[slot];
                let change = &slot.changes[change];
                let value = AccessValue::Word(change.new_value);
                place(AccessPart::Storage(slot.slot), Some(change.block_access_index), value)
            }
            Self::Read(_, slot) => {
                let slot = account.storage_reads[slot];
                place(AccessPart::StorageRead(slot), None, AccessValue::Accessed)
            }
            Self::Balance(_, of) => {
                let change = &account.balance_changes[of];
                let value = AccessValue::Word(change.post_balance);
                place(AccessPart::Balance, Some(change.block_access_index), value)
            }
            Self::Nonce(_, of) => {
                let change = &account.nonce_changes[of];
                let value = AccessValue::Nonce(change.new_nonce);
                place(AccessPart::Nonce, Some(change.block_access_index), value)
            }
            Self::Code(_, of) => {
                let change = &account.code_changes[of];
                let value = AccessValue::Code(change.new_code.clone());
                place(AccessPart::Code, Some(change.block_access_index), value)
            }
        }
    }

    /// Says something else; false where it has nothing to say.
    fn alter(self, list: &mut BlockAccessList) -> bool {
        let account = &mut list[self.account()];
        match self {
            Self::Account(_) | Self::Read(..) => return false,
            Self::Slot(_, slot, change) => {
                let value = &mut account.storage_changes[slot].changes[change].new_value;
                *value = value.wrapping_add(U256::ONE);
            }
            Self::Balance(_, of) => account.balance_changes[of].post_balance += U256::ONE,
            Self::Nonce(_, of) => account.nonce_changes[of].new_nonce += 1,
            Self::Code(_, of) => {
                let code = &mut account.code_changes[of].new_code;
                *code = [code.as_ref(), &[op::STOP]].concat().into();
            }
        }
        true
    }

    fn remove(self, list: &mut BlockAccessList) {
        let account = &mut list[self.account()];
        match self {
            Self::Account(at) => drop(list.remove(at)),
            Self::Slot(_, slot, change) => {
                account.storage_changes[slot].changes.remove(change);
                if account.storage_changes[slot].changes.is_empty() {
                    account.storage_changes.remove(slot);
                }
            }
            Self::Read(_, slot) => drop(account.storage_reads.remove(slot)),
            Self::Balance(_, of) => drop(account.balance_changes.remove(of)),
            Self::Nonce(_, of) => drop(account.nonce_changes.remove(of)),
            Self::Code(_, of) => drop(account.code_changes.remove(of)),
        }
    }

    /// Moves it to a place in the block where nothing of its kind stands; false where it has none.
    fn shift(self, list: &mut BlockAccessList, to: u64) -> bool {
        let account = &mut list[self.account()];
        let to = BlockAccessIndex::new(to);
        let index = match self {
            Self::Account(_) | Self::Read(..) => return false,
            Self::Slot(_, slot, change) => {
                let changes = &mut account.storage_changes[slot].changes;
                if changes.iter().any(|change| change.block_access_index == to) {
                    return false;
                }
                &mut changes[change].block_access_index
            }
            Self::Balance(_, of) => {
                if account.balance_changes.iter().any(|other| other.block_access_index == to) {
                    return false;
                }
                &mut account.balance_changes[of].block_access_index
            }
            Self::Nonce(_, of) => {
                if account.nonce_changes.iter().any(|other| other.block_access_index == to) {
                    return false;
                }
                &mut account.nonce_changes[of].block_access_index
            }
            Self::Code(_, of) => {
                if account.code_changes.iter().any(|other| other.block_access_index == to) {
                    return false;
                }
                &mut account.code_changes[of].block_access_index
            }
        };
        *index = to;
        true
    }
}

/// Executes with the wrong list on some engines; each names the mismatch.
fn expect(known: &Known<'_>, list: &BlockAccessList, count: usize, first: AccessListMismatch) {
    for engine in [&FORCED[1], &FORCED[2], &FORCED[5]] {
        let (_, check) = known.run(engine, list);
        assert_eq!(check.first.as_ref(), Some(&first), "{}", known.what);
        assert_eq!(check.mismatches, count, "{first}");
    }
}

/// A mismatch at this place.
fn at(
    place: &Place,
    claimed: Option<AccessValue>,
    produced: Option<AccessValue>,
) -> AccessListMismatch {
    AccessListMismatch { index: place.1, location: place.0, claimed, produced }
}

/// Every entry altered, dropped and moved, one at a time. Returns how many lists were tried.
fn damage_each(known: &Known<'_>) -> usize {
    let right = known.list();
    let mut tried = 0;
    for entry in entries(right) {
        let place = entry.place(right);
        let mut list = right.clone();
        if entry.alter(&mut list) {
            let claimed = entry.place(&list).2;
            expect(known, &list, 1, at(&place, Some(claimed), Some(place.2.clone())));
            tried += 1;
        }
        let mut list = right.clone();
        entry.remove(&mut list);
        let lost = entries(right).len() - entries(&list).len();
        expect(known, &list, lost, at(&place, None, Some(place.2.clone())));
        tried += 1;
        let old = place.1.unwrap_or_default();
        for to in [old + 1, old.saturating_sub(1), old + 3, u64::MAX] {
            let mut list = right.clone();
            if entry.shift(&mut list, to) {
                let first = if to < old {
                    let moved = (place.0, Some(to), place.2.clone());
                    at(&moved, Some(place.2.clone()), None)
                } else {
                    at(&place, None, Some(place.2.clone()))
                };
                expect(known, &list, 2, first);
                tried += 1;
            }
        }
    }
    tried
}

#[test]
fn every_entry_altered_dropped_and_moved() {
    let records = generated(12);
    let mut tried = 0;
    for record in [&records[3], &records[6]] {
        tried += damage_each(&Known::recorded(record));
    }
    assert!(tried > 500, "{tried}");
}

#[test]
fn entries_added_everywhere() {
    let records = generated(16);
    let known = Known::recorded(&records[5]);
    let right = known.list();
    for at in 0..right.len() {
        for index in [1u64, 3, 7, 15] {
            let mut list = right.clone();
            let account = &mut list[at];
            let index = BlockAccessIndex::new(index);
            let mut added = 1;
            account.balance_changes.retain(|change| change.block_access_index != index);
            account.balance_changes.push(BalanceChange::new(index, U256::from(3)));
            if index.get() % 2 == 1 {
                account.nonce_changes.retain(|change| change.block_access_index != index);
                account.nonce_changes.push(NonceChange::new(index, 900));
                added += 1;
            }
            let read = account.storage_reads.pop();
            if let Some(slot) = read {
                let change = StorageChange::new(index, U256::from(77));
                account.storage_changes.push(SlotChanges::new(slot, vec![change]));
                added += 2;
            }
            for engine in [&FORCED[0], &FORCED[2], &FORCED[4], &FORCED[5]] {
                let (_, check) = known.run(engine, &list);
                assert!(check.mismatches >= added, "{check:?}");
                let named = check.first.map(|first| first.location.address);
                assert_eq!(named, Some(right[at].address));
            }
        }
    }
}

#[test]
fn lists_that_have_nothing_to_do_with_the_block() {
    let records = generated(40);
    for (record, other) in records.iter().zip(records.iter().skip(1)) {
        let (known, other) = (Known::recorded(record), Known::recorded(other));
        let mut absurd = known.list().clone();
        for account in &mut absurd {
            let far = |index: &mut BlockAccessIndex| *index = BlockAccessIndex::new(u64::MAX);
            account.balance_changes.iter_mut().for_each(|c| far(&mut c.block_access_index));
            account.nonce_changes.iter_mut().for_each(|c| far(&mut c.block_access_index));
            account.code_changes.iter_mut().for_each(|c| far(&mut c.block_access_index));
            let slots = account.storage_changes.iter_mut().flat_map(|slot| &mut slot.changes);
            slots.for_each(|c| far(&mut c.block_access_index));
        }
        let mut doubled = known.list().clone();
        doubled.extend(other.list().iter().cloned());
        doubled.extend(known.list().iter().rev().cloned());
        for list in [&BlockAccessList::new(), other.list(), &absurd, &doubled] {
            for engine in FORCED.iter() {
                let (_, check) = known.run(engine, list);
                assert!(!check.is_match());
            }
        }
        let empty = known.run(&FORCED[2], &BlockAccessList::new()).1;
        let first = empty.first.expect("a mismatch");
        let account = known.list()[0].address;
        assert_eq!(first.location, AccessLocation { address: account, part: AccessPart::Account });
        assert_eq!(empty.mismatches, entries(known.list()).len());
    }
}

/// Accounts, slots and values that nobody asked for, for every transaction.
fn superfluous(count: u64, transactions: u64) -> BlockAccessList {
    let index = |of: u64| BlockAccessIndex::new(of % (transactions + 3));
    let account = |of: u64| {
        let slot = |slot: u64| {
            let changes = (0..5).map(|at| StorageChange::new(index(of + at), U256::from(at)));
            SlotChanges::new(U256::from(slot), changes.collect())
        };
        AccountChanges {
            address: Address::from_word(U256::from(of + (1 << 40)).into()),
            storage_changes: (0..4).map(slot).collect(),
            balance_changes: vec![BalanceChange::new(index(of), U256::from(of))],
            nonce_changes: vec![NonceChange::new(index(of), of)],
            code_changes: vec![CodeChange::new(index(of), of.to_be_bytes().to_vec().into())],
            storage_reads: vec![U256::from(of)],
        }
    };
    (0..count).map(account).collect()
}

#[test]
fn a_hundred_thousand_superfluous_entries() {
    let mut scene = Scene::new(Fork::Osaka);
    for turn in 0..40u8 {
        scene.send(turn % 5, Tx::to(sender((turn + 1) % 5)).value(1));
    }
    // With this much gas a list may have that many entries; with the usual limit it is not used.
    for gas_limit in [scene.block.header.gas_limit, 1 << 40] {
        scene.block.header.gas_limit = gas_limit;
        let known = Known::new("long".to_owned(), &scene.chain, &scene.block, &scene.state);
        let more = superfluous(100_000 / 27, 40);
        assert!(entries(&more).len() > 90_000);
        let mut list = known.list().clone();
        list.extend(more.iter().cloned());
        for engine in FORCED.iter() {
            let (_, check) = known.run(engine, &list);
            assert_eq!(check.mismatches, entries(&more).len());
        }
    }
}

/// What a list says of the accounts that all transactions depend on, for every index.
#[test]
fn lies_about_senders_beneficiary_and_code() {
    const TARGET: Address = Address::repeat_byte(0xa1);
    let mut scene = Scene::new(Fork::Osaka);
    scene.contract(TARGET, asm(|code| code.count(0).address(MINER).op(op::BALANCE).store(1)), 5);
    for turn in 0..12u8 {
        scene.send(turn % 2, Tx::to(TARGET).value(1));
    }
    let known = Known::new("lies".to_owned(), &scene.chain, &scene.block, &scene.state);
    let delegation = [&[0xef, 0x01, 0x00][..], sender(3).as_slice()].concat();
    let codes: [Bytes; 4] =
        [Bytes::new(), vec![op::INVALID].into(), delegation.into(), vec![0xef, 1].into()];
    for address in [sender(0), MINER, TARGET] {
        for code in &codes {
            for balance in [U256::ZERO, U256::from(FUNDS), U256::MAX] {
                let mut lie = AccountChanges::new(address);
                for index in 0..14 {
                    let index = BlockAccessIndex::new(index);
                    lie.balance_changes.push(BalanceChange::new(index, balance));
                    lie.nonce_changes.push(NonceChange::new(index, 0));
                    lie.code_changes.push(CodeChange::new(index, code.clone()));
                }
                for engine in FORCED.iter() {
                    assert!(!known.run(engine, &vec![lie.clone()]).1.is_match());
                }
            }
        }
    }
}

/// Before London a code may look like a delegation. Its bytes, and so its hash, are the right ones,
/// but a list must not make a delegation of it.
#[test]
fn a_deployed_code_that_looks_like_a_delegation_is_none() {
    const MAKER: Address = Address::repeat_byte(0xa1);
    let code = [&[0xef, 0x01, 0x00][..], Address::repeat_byte(0xb2).as_slice()].concat();
    let mut scene = Scene::new(Fork::Berlin);
    scene.contract(Address::repeat_byte(0xb2), asm(|code| code.push(1).store(0)), 0);
    scene.contract(MAKER, factory(), 0);
    let init = init_code(&code);
    let made = MAKER.create2(alloy_primitives::B256::ZERO, alloy_primitives::keccak256(&init));
    scene.send(0, Tx::to(MAKER).data(init));
    for turn in 1..6 {
        scene.send(turn, Tx::to(made).value(1));
    }
    let known = Known::new("look-alike".to_owned(), &scene.chain, &scene.block, &scene.state);
    let receipts = &known.stock[0].receipts;
    assert!(receipts[0].success && !receipts[1].success, "{receipts:?}");
    for _ in 0..50 {
        for engine in FORCED.iter() {
            assert!(known.run(engine, known.list()).1.is_match());
        }
    }
}
