//! Comparing a block access list (EIP-7928) with what an execution really did.
//!
//! Role: name what is wrong with a list that came with a block. Whether a list was used to execute
//! faster has no influence here: both lists are plain data.
//!
//! Invariants: no mismatch is found exactly where the two lists are equal, and so have the same
//! hash; which mismatch is the first one follows from the lists alone.

use alloy_eip7928::AccountChanges;
use alloy_primitives::{Address, Bytes, U256};
use std::{cmp::Ordering, fmt};

/// A part of an account's entry, in the order in which EIP-7928 lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccessPart {
    /// The entry as such: the account was loaded.
    Account,
    /// The value of a slot after a transaction.
    Storage(U256),
    /// A slot that was read and not changed.
    StorageRead(U256),
    /// The balance after a transaction, wei.
    Balance,
    /// The nonce after a transaction.
    Nonce,
    /// The code after a transaction.
    Code,
    /// The same parts as in the produced list, but in another order or grouping.
    Order,
}

/// What a list says of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccessLocation {
    /// The account.
    pub address: Address,
    /// Which part of its entry.
    pub part: AccessPart,
}

impl fmt::Display for AccessLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, part } = self;
        match part {
            AccessPart::Account => write!(f, "account {address}"),
            AccessPart::Storage(slot) => write!(f, "storage {address} slot {slot:#x}"),
            AccessPart::StorageRead(slot) => write!(f, "read of {address} slot {slot:#x}"),
            AccessPart::Balance => write!(f, "balance of {address}"),
            AccessPart::Nonce => write!(f, "nonce of {address}"),
            AccessPart::Code => write!(f, "code of {address}"),
            AccessPart::Order => write!(f, "order in the entry of {address}"),
        }
    }
}

/// What a list says there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessValue {
    /// That it was accessed, nothing more.
    Accessed,
    /// A slot's value, or a balance in wei.
    Word(U256),
    /// A nonce.
    Nonce(u64),
    /// A code.
    Code(Bytes),
}

impl fmt::Display for AccessValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accessed => f.write_str("accessed"),
            Self::Word(word) => write!(f, "{word:#x}"),
            Self::Nonce(nonce) => write!(f, "{nonce}"),
            Self::Code(code) => write!(f, "{} bytes of code", code.len()),
        }
    }
}

/// One difference between a given list and the produced one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct AccessListMismatch {
    /// The block access index: 0 for the system calls before the transactions, `i + 1` for the
    /// transaction with index `i`, one more than the last of them for the block's end. `None` for
    /// what a list says of the block as a whole: accounts, reads, order.
    pub index: Option<u64>,
    /// Where.
    pub location: AccessLocation,
    /// What the given list says; `None` where it says nothing.
    pub claimed: Option<AccessValue>,
    /// What execution gave; `None` where nothing happened.
    pub produced: Option<AccessValue>,
}

impl fmt::Display for AccessListMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(index) = self.index {
            write!(f, "block access index {index}, ")?;
        }
        let nothing = |value: &Option<AccessValue>| {
            value.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string)
        };
        let (claimed, produced) = (nothing(&self.claimed), nothing(&self.produced));
        write!(f, "{}: the list says {claimed}, execution gives {produced}", self.location)
    }
}

/// How a given list relates to the produced one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessListCheck {
    /// How many entries differ, are missing, or are superfluous.
    pub mismatches: usize,
    /// The first of them, by address, then by part, then by block access index.
    pub first: Option<AccessListMismatch>,
}

impl AccessListCheck {
    /// Compares two lists.
    pub fn new(claimed: &[AccountChanges], produced: &[AccountChanges]) -> Self {
        let mut check = Self::default();
        if claimed == produced {
            return check;
        }
        let (mut claims, mut products) = (facts(claimed), facts(produced));
        claims.sort_by_key(|fact| fact.0);
        products.sort_by_key(|fact| fact.0);
        let (mut claims, mut products) =
            (claims.into_iter().peekable(), products.into_iter().peekable());
        loop {
            let order = match (claims.peek(), products.peek()) {
                (None, None) => break,
                (Some(claim), Some(product)) => claim.0.cmp(&product.0),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
            };
            let claim = if order.is_le() { claims.next() } else { None };
            let product = if order.is_ge() { products.next() } else { None };
            check.note(claim, product);
        }
        if check.first.is_none() {
            check.note_order(claimed, produced);
        }
        check
    }

    /// Whether the two lists are equal.
    pub const fn is_match(&self) -> bool {
        self.mismatches == 0
    }

    fn note(&mut self, claim: Option<Fact>, product: Option<Fact>) {
        let key = claim.as_ref().or(product.as_ref()).map(|fact| fact.0);
        let (claimed, produced) = (claim.map(|fact| fact.1), product.map(|fact| fact.1));
        if claimed == produced {
            return;
        }
        self.mismatches += 1;
        if let Some((location, index)) = key {
            let mismatch = || AccessListMismatch { index, location, claimed, produced };
            self.first.get_or_insert_with(mismatch);
        }
    }

    /// Both lists say the same, but not in the same form.
    fn note_order(&mut self, claimed: &[AccountChanges], produced: &[AccountChanges]) {
        let pair = claimed.iter().zip(produced).find(|(claimed, produced)| claimed != produced);
        let address = pair.map_or(Address::ZERO, |(claimed, _)| claimed.address);
        self.mismatches += 1;
        self.first = Some(AccessListMismatch {
            index: None,
            location: AccessLocation { address, part: AccessPart::Order },
            claimed: None,
            produced: None,
        });
    }
}

type Key = (AccessLocation, Option<u64>);
type Fact = (Key, AccessValue);

/// Everything that a list says, in its own order.
fn facts(list: &[AccountChanges]) -> Vec<Fact> {
    let mut facts = Vec::new();
    for account in list {
        let mut say = |part, index: Option<u64>, value| {
            facts.push(((AccessLocation { address: account.address, part }, index), value));
        };
        say(AccessPart::Account, None, AccessValue::Accessed);
        for slot in &account.storage_changes {
            if slot.changes.is_empty() {
                say(AccessPart::Storage(slot.slot), None, AccessValue::Accessed);
            }
            for change in &slot.changes {
                let index = Some(change.block_access_index.get());
                say(AccessPart::Storage(slot.slot), index, AccessValue::Word(change.new_value));
            }
        }
        for slot in &account.storage_reads {
            say(AccessPart::StorageRead(*slot), None, AccessValue::Accessed);
        }
        for change in &account.balance_changes {
            let index = Some(change.block_access_index.get());
            say(AccessPart::Balance, index, AccessValue::Word(change.post_balance));
        }
        for change in &account.nonce_changes {
            let index = Some(change.block_access_index.get());
            say(AccessPart::Nonce, index, AccessValue::Nonce(change.new_nonce));
        }
        for change in &account.code_changes {
            let index = Some(change.block_access_index.get());
            say(AccessPart::Code, index, AccessValue::Code(change.new_code.clone()));
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_eip7928::{
        BalanceChange, BlockAccessIndex, CodeChange, NonceChange, SlotChanges, StorageChange,
    };

    const ONE: Address = Address::repeat_byte(1);
    const TWO: Address = Address::repeat_byte(2);

    fn at(index: u64) -> BlockAccessIndex {
        BlockAccessIndex::new(index)
    }

    fn word(value: u64) -> U256 {
        U256::from(value)
    }

    fn list() -> Vec<AccountChanges> {
        let changes =
            vec![StorageChange::new(at(1), word(10)), StorageChange::new(at(3), word(11))];
        let first = AccountChanges::new(ONE)
            .with_storage_change(SlotChanges::new(word(5), changes))
            .with_storage_read(word(6))
            .with_balance_change(BalanceChange::new(at(2), word(20)))
            .with_nonce_change(NonceChange::new(at(2), 7))
            .with_code_change(CodeChange::new(at(3), Bytes::from_static(&[0x60])));
        vec![first, AccountChanges::new(TWO)]
    }

    /// The first mismatch of a list that `change` made from [`list`], in words; and their number.
    fn check(change: impl FnOnce(&mut Vec<AccountChanges>)) -> (String, usize) {
        let mut claimed = list();
        change(&mut claimed);
        let check = AccessListCheck::new(&claimed, &list());
        (check.first.expect("a mismatch").to_string(), check.mismatches)
    }

    #[test]
    fn equal_lists_match() {
        assert!(AccessListCheck::new(&list(), &list()).is_match());
        assert_eq!(AccessListCheck::new(&[], &[]), AccessListCheck::default());
    }

    #[test]
    fn an_altered_value_is_named_with_both_values() {
        let (text, count) = check(|list| list[0].storage_changes[0].changes[1].new_value = word(9));
        let place = format!("block access index 3, storage {ONE} slot 0x5");
        assert_eq!(text, format!("{place}: the list says 0x9, execution gives 0xb"));
        assert_eq!(count, 1);
        let (text, _) = check(|list| list[0].nonce_changes[0].new_nonce = 8);
        assert!(text.ends_with("the list says 8, execution gives 7"), "{text}");
        let (text, _) = check(|list| list[0].code_changes[0].new_code = Bytes::new());
        assert!(text.contains(&format!("code of {ONE}: the list says 0 bytes")), "{text}");
    }

    #[test]
    fn missing_and_superfluous_entries_are_named() {
        let (text, count) = check(|list| list[0].balance_changes.clear());
        assert!(text.ends_with("the list says nothing, execution gives 0x14"), "{text}");
        assert_eq!(count, 1);
        let (text, _) = check(|list| list[1].storage_reads.push(word(1)));
        let read = format!("read of {TWO} slot 0x1");
        assert_eq!(text, format!("{read}: the list says accessed, execution gives nothing"));
        let (text, count) = check(|list| drop(list.remove(0)));
        let account = format!("account {ONE}");
        assert_eq!(text, format!("{account}: the list says nothing, execution gives accessed"));
        assert_eq!(count, 7);
    }

    #[test]
    fn a_moved_entry_is_one_too_many_and_one_missing() {
        let (text, count) = check(|list| list[0].balance_changes[0].block_access_index = at(9));
        assert!(text.starts_with("block access index 2, "), "{text}");
        assert_eq!(count, 2);
    }

    #[test]
    fn a_repeated_entry_is_superfluous() {
        let (text, count) = check(|list| list.push(AccountChanges::new(TWO)));
        assert!(text.contains("the list says accessed, execution gives nothing"), "{text}");
        assert_eq!(count, 1);
    }

    #[test]
    fn another_form_of_the_same_entries_is_a_mismatch() {
        let (text, count) = check(|list| list.reverse());
        assert!(text.starts_with(&format!("order in the entry of {TWO}")), "{text}");
        assert_eq!(count, 1);
        let (text, _) = check(|list| {
            let change = list[0].storage_changes[0].changes.remove(1);
            list[0].storage_changes.push(SlotChanges::new(word(5), vec![change]));
        });
        assert!(text.starts_with(&format!("order in the entry of {ONE}")), "{text}");
        let empty = SlotChanges::new(word(7), Vec::new());
        let (text, _) = check(|list| list[0].storage_changes.push(empty));
        assert!(text.contains("slot 0x7: the list says accessed"), "{text}");
    }
}
