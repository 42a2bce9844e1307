//! What is expected of one block's transactions.
//!
//! Role: ask the predictor for each call once, before the block begins, and tell it afterwards what
//! became of them. Actors: whoever begins the block, the scheduler, and whoever commits.

use super::{
    Optimisations,
    predictor::{Prediction, Predictor},
    schedule::Fate,
    work::{INTRINSIC, time},
};
use crate::block::{Block, Transaction};
use alloy_consensus::{Transaction as _, transaction::Recovered};

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
}

/// The predictions for one block.
pub(crate) struct Forecast<'p> {
    predictor: &'p Predictor,
    /// One for each transaction; `None` where the predictor is not asked.
    calls: Box<[Option<Call>]>,
}

impl<'p> Forecast<'p> {
    /// The forecast for a block, where the engine learns.
    pub(crate) fn wanted(
        optimisations: Optimisations,
        predictor: &'p Predictor,
        block: &Block,
    ) -> Option<Self> {
        optimisations.learning.then(|| Self::new(predictor, block))
    }

    fn new(predictor: &'p Predictor, block: &Block) -> Self {
        let call = |(index, tx): (usize, &Recovered<Transaction>)| {
            let key = key(predictor, tx)?;
            let (expected, data) = (predictor.predict(key), !tx.input().is_empty());
            let wanted = expected.map_or(data, |_| index.is_multiple_of(TIMED));
            let timed = wanted && tx.gas_limit() >= LEAST_TIMED;
            Some(Call { key, expected, data, timed })
        };
        Self { predictor, calls: block.transactions.iter().enumerate().map(call).collect() }
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
        let Some(Call { key, expected, data, .. }) = self.call(index) else { return };
        if !data && gas_used <= INTRINSIC {
            return;
        }
        let nanos = match (nanos, expected) {
            (0, Some(_)) => None,
            (0, None) => Some(time(gas_used)),
            (timed, _) => Some(timed),
        };
        let waited = expected.is_some_and(|expected| expected.conflicts);
        self.predictor.note(key, nanos, fate, waited);
    }
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
        Forecast::new(predictor, block).of(0).map(|call| call.nanos)
    }

    #[test]
    fn calls_are_timed_until_they_are_known_and_now_and_then() {
        let (predictor, block) = (Predictor::new(), block(8, &[1; 4], LEAST_TIMED));
        let forecast = Forecast::new(&predictor, &block);
        assert!((0..8).all(|index| forecast.wants(index)));
        forecast.learn(0, 16_000, 50_000, Fate::Direct);
        assert_eq!(nanos(&predictor, &block), Some(16_000));
        let forecast = Forecast::new(&predictor, &block);
        assert_eq!((0..8).filter(|index| forecast.wants(*index)).count(), 8 / TIMED);
        forecast.learn(1, 0, 50_000, Fate::Failed);
        assert_eq!(nanos(&predictor, &block), Some(16_000), "an untimed run says nothing of it");
        assert!(Forecast::new(&predictor, &block).of(0).unwrap().conflicts);
    }

    #[test]
    fn calls_that_may_not_use_much_gas_are_remembered_by_it() {
        let (predictor, block) = (Predictor::new(), block(8, &[1; 4], LEAST_TIMED - 1));
        let forecast = Forecast::new(&predictor, &block);
        assert!((0..8).all(|index| !forecast.wants(index)));
        forecast.learn(0, 0, 50_000, Fate::Direct);
        assert_eq!(nanos(&predictor, &block), Some(16_496));
        let forecast = Forecast::new(&predictor, &block);
        assert!((0..8).all(|index| !forecast.wants(index)));
    }

    #[test]
    fn payments_are_neither_timed_nor_remembered() {
        let (predictor, block) = (Predictor::new(), block(1, &[], LEAST_TIMED));
        let forecast = Forecast::new(&predictor, &block);
        assert!(!forecast.wants(0));
        forecast.learn(0, 0, INTRINSIC, Fate::Direct);
        assert_eq!(nanos(&predictor, &block), None);
        // What runs code without data is remembered, by its gas at first.
        forecast.learn(0, 0, 81_000, Fate::Direct);
        assert_eq!(nanos(&predictor, &block), Some(32_000));
        assert!(Forecast::new(&predictor, &block).wants(0), "and timed from then on");
    }
}
