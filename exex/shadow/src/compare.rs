//! Finds the first difference between an executed block and the reference.
//!
//! Receipts are compared field by field. Their EIP-2718 encoding is a function of exactly these
//! fields (the bloom is computed from the logs), and it is injective, so equal fields are equal
//! bytes and the other way round, at a fraction of the cost of encoding. Where the reference has
//! no receipts, the header's receipts root and bloom stand for their bytes.
//!
//! The order is that of execution: transactions first, then what the block adds up to, then the
//! state, so that the first difference named is the first that happened.

use crate::recorded::Reference;
use alloy_primitives::{Address, B256, Log, U256};
use braid_core::{Block, Chain, Outcome, Receipt, StateChanges, outcome::AccountChange};
use std::{
    cmp::Ordering,
    fmt::{self, Display},
};

/// Where two results differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In what the whole block adds up to.
    Block,
    /// In the receipt of a transaction.
    Transaction {
        /// Its index in the block.
        index: usize,
        /// Its hash.
        hash: B256,
    },
    /// In an account after the block.
    Account(Address),
    /// In a slot after the block.
    Slot(Address, U256),
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block => f.write_str("block"),
            Self::Transaction { index, hash } => write!(f, "transaction {index} ({hash})"),
            Self::Account(address) => write!(f, "account {address}"),
            Self::Slot(address, slot) => write!(f, "account {address} slot {slot:#x}"),
        }
    }
}

/// The first difference: where, in which field, and both values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub place: Place,
    /// The field, as in `cumulativeGasUsed` or `logs[2].data`.
    pub field: Box<str>,
    /// The reference's value.
    pub reference: Box<str>,
    /// The executed value.
    pub executed: Box<str>,
}

impl Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, field, reference, executed } = self;
        write!(f, "{place}: {field}: the reference has {reference}, execution gives {executed}")
    }
}

impl Difference {
    pub(crate) fn new(
        place: Place,
        field: impl Into<Box<str>>,
        reference: impl Display,
        executed: impl Display,
    ) -> Self {
        Self {
            place,
            field: field.into(),
            reference: reference.to_string().into(),
            executed: executed.to_string().into(),
        }
    }
}

type Found = Result<(), Difference>;

fn check<T: PartialEq + Display>(place: Place, field: &str, reference: T, executed: T) -> Found {
    if reference == executed {
        Ok(())
    } else {
        Err(Difference::new(place, field, reference, executed))
    }
}

/// Compares an outcome with the reference and with the block's own header.
///
/// # Errors
/// The first [`Difference`].
pub fn compare(
    chain: &Chain,
    block: &Block,
    outcome: &Outcome,
    reference: &Reference,
) -> Result<(), Difference> {
    if let Some(receipts) = &reference.receipts {
        compare_receipts(block, receipts, &outcome.receipts)?;
    }
    // Receipts that are equal to the node's have the node's root: only without them is it asked.
    let by_root = reference.receipts.is_none()
        && chain.rules(&block.header).has_status_receipts(&block.header);
    outcome.check_header(block, by_root).map_err(|mismatch| {
        Difference::new(Place::Block, mismatch.field, mismatch.header, mismatch.executed)
    })?;
    match &reference.state {
        Some(changes) => compare_state(changes, &outcome.state.as_flat()),
        None => Ok(()),
    }
}

fn compare_receipts(block: &Block, reference: &[Receipt], executed: &[Receipt]) -> Found {
    for (index, (reference, executed)) in reference.iter().zip(executed).enumerate() {
        if reference != executed {
            let hash = block.transactions.get(index).map(|tx| *tx.tx_hash()).unwrap_or_default();
            receipt(Place::Transaction { index, hash }, reference, executed)?;
        }
    }
    check(Place::Block, "number of receipts", reference.len(), executed.len())
}

fn receipt(place: Place, reference: &Receipt, executed: &Receipt) -> Found {
    check(place, "type", reference.tx_type as u8, executed.tx_type as u8)?;
    check(place, "status", reference.success, executed.success)?;
    let (ours, theirs) = (executed.cumulative_gas_used, reference.cumulative_gas_used);
    check(place, "cumulativeGasUsed", theirs, ours)?;
    for (index, (reference, executed)) in reference.logs.iter().zip(&executed.logs).enumerate() {
        log(place, index, reference, executed)?;
    }
    check(place, "number of logs", reference.logs.len(), executed.logs.len())
}

fn log(place: Place, index: usize, reference: &Log, executed: &Log) -> Found {
    let field = |name: &str| format!("logs[{index}].{name}");
    check(place, &field("address"), reference.address, executed.address)?;
    let (theirs, ours) = (reference.topics(), executed.topics());
    for (topic, (reference, executed)) in theirs.iter().zip(ours).enumerate() {
        check(place, &field(&format!("topics[{topic}]")), reference, executed)?;
    }
    check(place, &field("number of topics"), theirs.len(), ours.len())?;
    check(place, &field("data"), &reference.data.data, &executed.data.data)
}

/// Both lists are sorted by address, and slots by slot: one walk finds the first difference.
fn compare_state(reference: &StateChanges, executed: &StateChanges) -> Found {
    let (mut theirs, mut ours) = (reference.accounts.iter(), executed.accounts.iter());
    let (mut their, mut our) = (theirs.next(), ours.next());
    loop {
        match (their, our) {
            (None, None) => return Ok(()),
            (Some(change), None) => return unchanged(change, true),
            (None, Some(change)) => return unchanged(change, false),
            (Some(a), Some(b)) => match a.address.cmp(&b.address) {
                Ordering::Less => return unchanged(a, true),
                Ordering::Greater => return unchanged(b, false),
                Ordering::Equal => account(a, b)?,
            },
        }
        (their, our) = (theirs.next(), ours.next());
    }
}

/// One side changed an account that the other left as it was.
fn unchanged(change: &AccountChange, by_reference: bool) -> Found {
    let (changed, kept) = (describe(change), "no change".to_owned());
    let (reference, executed) = if by_reference { (changed, kept) } else { (kept, changed) };
    Err(Difference::new(Place::Account(change.address), "account", reference, executed))
}

fn describe(change: &AccountChange) -> String {
    let account = match &change.after {
        Some(info) => format!("balance {}, nonce {}", info.balance, info.nonce),
        None => "no account".to_owned(),
    };
    format!("{account}, {} changed slots", change.storage.len())
}

fn account(reference: &AccountChange, executed: &AccountChange) -> Found {
    let place = Place::Account(reference.address);
    match (&reference.after, &executed.after) {
        (None, None) => {}
        (Some(a), Some(b)) => {
            check(place, "balance", a.balance, b.balance)?;
            check(place, "nonce", a.nonce, b.nonce)?;
            check(place, "codeHash", a.code_hash, b.code_hash)?;
        }
        (a, b) => check(place, "exists", a.is_some(), b.is_some())?,
    }
    check(place, "storage wiped", reference.wiped, executed.wiped)?;
    slots(reference, executed)
}

fn slots(reference: &AccountChange, executed: &AccountChange) -> Found {
    let value = |value: Option<U256>| match value {
        Some(value) => format!("{value:#x}"),
        None => "no change".to_owned(),
    };
    let find = |change: &AccountChange, slot: U256| {
        let index = change.storage.binary_search_by_key(&slot, |(slot, _)| *slot).ok()?;
        Some(change.storage[index].1)
    };
    if reference.storage == executed.storage {
        return Ok(());
    }
    let both = reference.storage.iter().chain(&executed.storage).map(|(slot, _)| *slot);
    let first = both.filter(|slot| find(reference, *slot) != find(executed, *slot)).min();
    match first {
        None => Ok(()),
        Some(slot) => Err(Difference::new(
            Place::Slot(reference.address, slot),
            "value",
            value(find(reference, slot)),
            value(find(executed, slot)),
        )),
    }
}
