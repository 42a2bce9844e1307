//! What is expected of one block's transactions.
//!
//! Role: ask the predictor for each call once, before the block begins, and tell it afterwards what
//! became of them. Actors: whoever begins the block, the scheduler, and whoever commits.

use super::{
    Optimisations,
    predictor::{Prediction, Predictor},
    schedule::Fate,
};
use crate::block::{Block, Transaction};
use alloy_consensus::{Transaction as _, transaction::Recovered};

/// What may use less gas than this is a payment, or too short to be timed.
const LEAST_GAS: u64 = 42_000;

/// A transaction that the predictor knows or will know.
#[derive(Debug, Clone, Copy)]
struct Call {
    key: u64,
    expected: Option<Prediction>,
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
        let expected = |key| Call { key, expected: predictor.predict(key) };
        let call = |tx| key(predictor, tx).map(expected);
        Self { predictor, calls: block.transactions.iter().map(call).collect() }
    }

    fn call(&self, index: usize) -> Option<Call> {
        *self.calls.get(index)?
    }

    /// Whether it is worth while to time this transaction's runs.
    pub(crate) fn wants(&self, index: usize) -> bool {
        self.call(index).is_some()
    }

    /// What is expected of this transaction.
    pub(crate) fn of(&self, index: usize) -> Option<Prediction> {
        self.call(index)?.expected
    }

    /// Notes how long a committed run has taken, and what became of the speculation on its
    /// transaction.
    pub(crate) fn learn(&self, index: usize, nanos: u64, fate: Fate) {
        if let Some(Call { key, .. }) = self.call(index) {
            self.predictor.note(key, nanos, fate);
        }
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
