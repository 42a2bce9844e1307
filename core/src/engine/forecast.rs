//! What is expected of one block's transactions.
//!
//! Role: ask the predictor for each call once, before the block begins, find the earlier call that
//! one is expected to depend on, and tell the predictor afterwards what became of them. Actors:
//! whoever begins the block, the scheduler, and whoever commits.

use super::{
    Optimisations,
    dependencies::NONE,
    predictor::{OWN, Prediction, Predictor},
    schedule::Fate,
    work::{INTRINSIC, time},
};
use crate::block::{Block, Transaction};
use alloy_consensus::{Transaction as _, transaction::Recovered};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// What may use less gas than this is a payment, or too short to be timed.
const LEAST_GAS: u64 = 2 * INTRINSIC;
/// What may use less gas than this is not timed: it is never what a block waits for, and two looks
/// at the clock take as long as a twentieth of a short call.
const LEAST_TIMED: u64 = 100_000;
/// One in this many runs of a known call is timed.
const TIMED: usize = 4;

/// A transaction that the predictor knows or will know.
#[derive(Debug, Clone, Copy)]
struct Call {
    key: u64,
    expected: Option<Prediction>,
    /// It has data, so its target has code.
    data: bool,
    /// It is worth while to time its runs.
    timed: bool,
    /// The call of another contract whose writes it is expected to read; [`NONE`] without one.
    after: u32,
}

/// The predictions for one block.
pub(crate) struct Forecast<'p> {
    predictor: &'p Predictor,
    /// One for each transaction; `None` where the predictor is not asked.
    calls: Box<[Option<Call>]>,
    /// Any of them waits for a call of another contract.
    waits: bool,
}

impl<'p> Forecast<'p> {
    /// The forecast for a block, where the engine learns.
    pub(crate) fn wanted(
        optimisations: Optimisations,
        predictor: &'p Predictor,
        block: &Block,
    ) -> Option<Self> {
        optimisations.learning.then(|| Self::new(optimisations, predictor, block))
    }

    fn new(optimisations: Optimisations, predictor: &'p Predictor, block: &Block) -> Self {
        let call = |(index, tx): (usize, &Recovered<Transaction>)| {
            let key = key(predictor, tx)?;
            let (expected, data) = (predictor.predict(key), !tx.input().is_empty());
            let wanted = expected.map_or(data, |_| index.is_multiple_of(TIMED));
            let timed = wanted && tx.gas_limit() >= LEAST_TIMED;
            Some(Call { key, expected, data, timed, after: NONE })
        };
        let mut calls: Box<[_]> = block.transactions.iter().enumerate().map(call).collect();
        let waits = optimisations.learned_dependencies && find_writers(&mut calls);
        Self { predictor, calls, waits }
    }

    /// Adds to what each transaction waits for the call of another contract whose writes it is
    /// expected to read, where it waits for nothing yet.
    pub(crate) fn add_to(&self, before: &mut Box<[u32]>) {
        if !self.waits {
            return;
        }
        if before.is_empty() {
            *before = vec![NONE; self.calls.len()].into();
        }
        for (before, call) in before.iter_mut().zip(&self.calls) {
            if *before == NONE {
                *before = call.map_or(NONE, |call| call.after);
            }
        }
    }

    /// Notes which transaction wrote what this one had read too early.
    pub(crate) fn learn_writer(&self, block: &Block, index: usize, writer: usize) {
        let (Some(call), Some(before)) = (self.call(index), self.call(writer)) else { return };
        let to = |index: usize| block.transactions[index].to();
        let tag = if to(index) == to(writer) { OWN } else { Predictor::tag(before.key) };
        self.predictor.note_writer(call.key, tag);
    }

    fn call(&self, index: usize) -> Option<Call> {
        *self.calls.get(index)?
    }

    /// Whether it is worth while to time this transaction's runs.
    pub(crate) fn wants(&self, index: usize) -> bool {
        self.call(index).is_some_and(|call| call.timed)
    }

    /// What is expected of this transaction.
    pub(crate) fn of(&self, index: usize) -> Option<Prediction> {
        self.call(index)?.expected
    }

    /// Notes how long a committed run has taken, 0 where it was not timed, and what became of the
    /// speculation on its transaction.
    pub(crate) fn learn(&self, index: usize, nanos: u64, gas_used: u64, fate: Fate) {
        let Some(Call { key, expected, data, after, .. }) = self.call(index) else { return };
        if !data && gas_used <= INTRINSIC {
            return;
        }
        let nanos = match (nanos, expected) {
            (0, Some(_)) => None,
            (0, None) => Some(time(gas_used)),
            (timed, _) => Some(timed),
        };
        let waited = after != NONE || expected.is_some_and(|expected| expected.conflicts);
        self.predictor.note(key, nanos, fate, waited);
    }
}

/// Finds for each call that is expected to conflict with one of another contract the last such one
/// before it; false where there is none. It waits for that one or for none, no longer for those of
/// its own contract.
fn find_writers(calls: &mut [Option<Call>]) -> bool {
    let writer = |call: &Call| {
        let expected = call.expected.filter(|expected| expected.conflicts)?;
        (expected.writer != OWN).then_some(expected.writer)
    };
    let mut last: HashMap<u16, u32, FixedState> =
        calls.iter().flatten().filter_map(writer).map(|tag| (tag, NONE)).collect();
    if last.is_empty() {
        return false;
    }
    let mut found = false;
    for (index, call) in (0..).zip(calls) {
        let Some(call) = call else { continue };
        if let (Some(tag), Some(expected)) = (writer(call), &mut call.expected) {
            call.after = last.get(&tag).copied().unwrap_or(NONE);
            expected.conflicts = false;
            found |= call.after != NONE;
        }
        if let Some(last) = last.get_mut(&Predictor::tag(call.key)) {
            *last = index;
        }
    }
    found
}

/// The transaction's key, where it calls a function of a contract.
pub(crate) fn key(predictor: &Predictor, tx: &Recovered<Transaction>) -> Option<u64> {
    let selector = match tx.input().first_chunk() {
        Some(selector) => *selector,
        // Whoever pays a contract allows more gas than a payment needs.
        None => [0; 4],
    };
    let target = tx.to()?;
    (tx.gas_limit() >= LEAST_GAS).then(|| predictor.key(&target, selector))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{SignableTransaction, TxLegacy};
    use alloy_primitives::{Address, Bytes, Signature};

    /// Calls of one contract with this data and gas limit.
    fn block(calls: usize, data: &'static [u8], gas_limit: u64) -> Block {
        let to = Address::repeat_byte(7).into();
        let input = Bytes::from_static(data);
        let tx = TxLegacy { to, input, gas_limit, ..TxLegacy::default() };
        let tx = tx.into_signed(Signature::test_signature()).into();
        let tx = Recovered::new_unchecked(tx, Address::repeat_byte(1));
        Block { transactions: vec![tx; calls], ..Block::default() }
    }

    fn nanos(predictor: &Predictor, block: &Block) -> Option<u64> {
        Forecast::new(Optimisations::ALL, predictor, block).of(0).map(|call| call.nanos)
    }

    #[test]
    fn calls_are_timed_until_they_are_known_and_now_and_then() {
        let (predictor, block) = (Predictor::new(), block(8, &[1; 4], LEAST_TIMED));
        let forecast = Forecast::new(Optimisations::ALL, &predictor, &block);
        assert!((0..8).all(|index| forecast.wants(index)));
        forecast.learn(0, 16_000, 50_000, Fate::Direct);
        assert_eq!(nanos(&predictor, &block), Some(16_000));
        let forecast = Forecast::new(Optimisations::ALL, &predictor, &block);
        assert_eq!((0..8).filter(|index| forecast.wants(*index)).count(), 8 / TIMED);
        forecast.learn(1, 0, 50_000, Fate::Failed);
        assert_eq!(nanos(&predictor, &block), Some(16_000), "an untimed run says nothing of it");
        assert!(Forecast::new(Optimisations::ALL, &predictor, &block).of(0).unwrap().conflicts);
    }

    #[test]
    fn calls_that_may_not_use_much_gas_are_remembered_by_it() {
        let (predictor, block) = (Predictor::new(), block(8, &[1; 4], LEAST_TIMED - 1));
        let forecast = Forecast::new(Optimisations::ALL, &predictor, &block);
        assert!((0..8).all(|index| !forecast.wants(index)));
        forecast.learn(0, 0, 50_000, Fate::Direct);
        assert_eq!(nanos(&predictor, &block), Some(16_496));
        let forecast = Forecast::new(Optimisations::ALL, &predictor, &block);
        assert!((0..8).all(|index| !forecast.wants(index)));
    }

    #[test]
    fn payments_are_neither_timed_nor_remembered() {
        let (predictor, block) = (Predictor::new(), block(1, &[], LEAST_TIMED));
        let forecast = Forecast::new(Optimisations::ALL, &predictor, &block);
        assert!(!forecast.wants(0));
        forecast.learn(0, 0, INTRINSIC, Fate::Direct);
        assert_eq!(nanos(&predictor, &block), None);
        // What runs code without data is remembered, by its gas at first.
        forecast.learn(0, 0, 81_000, Fate::Direct);
        assert_eq!(nanos(&predictor, &block), Some(32_000));
        assert!(
            Forecast::new(Optimisations::ALL, &predictor, &block).wants(0),
            "and timed from then on"
        );
    }

    /// Calls of these contracts with these first bytes of data, by one sender.
    fn calls(all: &[(u8, u8)]) -> Block {
        let call = |(to, data): &(u8, u8)| {
            let (to, input) = (Address::repeat_byte(*to).into(), vec![*data; 4].into());
            let tx = TxLegacy { to, input, gas_limit: LEAST_TIMED, ..TxLegacy::default() };
            let tx = tx.into_signed(Signature::test_signature()).into();
            Recovered::new_unchecked(tx, Address::repeat_byte(1))
        };
        Block { transactions: all.iter().map(call).collect(), ..Block::default() }
    }

    fn waits(optimisations: Optimisations, predictor: &Predictor, block: &Block) -> Vec<u32> {
        let mut before = Box::default();
        Forecast::new(optimisations, predictor, block).add_to(&mut before);
        before.into()
    }

    #[test]
    fn a_call_waits_for_the_last_one_of_what_wrote_too_late() {
        let (predictor, all) = (Predictor::new(), Optimisations::ALL);
        let taught = calls(&[(1, 1), (2, 2)]);
        let forecast = Forecast::new(all, &predictor, &taught);
        forecast.learn(1, 16_000, 50_000, Fate::Failed);
        forecast.learn_writer(&taught, 1, 0);
        let block = calls(&[(2, 2), (1, 1), (1, 9), (1, 1), (3, 3), (2, 2), (2, 2)]);
        assert_eq!(waits(all, &predictor, &block), [NONE, NONE, NONE, NONE, NONE, 3, 3]);
        let forecast = Forecast::new(all, &predictor, &block);
        assert!(!forecast.of(5).unwrap().conflicts, "with those of its own contract it does not");
        // What waits already goes on waiting for that.
        let mut before: Box<[u32]> = Box::new([NONE, NONE, NONE, NONE, NONE, 4, NONE]);
        forecast.add_to(&mut before);
        assert_eq!(*before, [NONE, NONE, NONE, NONE, NONE, 4, 3]);
        let without = Optimisations { learned_dependencies: false, ..all };
        assert!(waits(without, &predictor, &block).is_empty());
        assert!(Forecast::new(without, &predictor, &block).of(5).unwrap().conflicts);
        // A later failure for a call of its own contract takes its place.
        forecast.learn_writer(&block, 6, 5);
        assert!(waits(all, &predictor, &block).is_empty());
        assert!(Forecast::new(all, &predictor, &block).of(5).unwrap().conflicts);
    }
}
