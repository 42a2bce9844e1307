//! What is expected of one block's transactions.
//!
//! Role: ask the predictor for each call once, before the block begins, and tell it afterwards what
//! became of them. Actors: whoever begins the block, the scheduler, and whoever commits.

use super::{
    Optimisations,
    predictor::{Prediction, Predictor},
};
use crate::block::{Block, Transaction};
use alloy_consensus::{Transaction as _, transaction::Recovered};

/// What may use less gas than this is a payment, or too short to be timed.
const LEAST_GAS: u64 = 42_000;

/// The predictions for one block.
pub(crate) struct Forecast<'p> {
    predictor: &'p Predictor,
    /// Each transaction's key and what is expected of it; 0 where nothing is.
    calls: Box<[(u64, Option<Prediction>)]>,
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
        let call = |tx: &Recovered<Transaction>| match key(predictor, tx) {
            Some(key) => (key, predictor.predict(key)),
            None => (0, None),
        };
        Self { predictor, calls: block.transactions.iter().map(call).collect() }
    }

    /// Whether it is worth while to time this transaction's runs.
    pub(crate) fn wants(&self, index: usize) -> bool {
        self.key(index).is_some()
    }

    fn key(&self, index: usize) -> Option<u64> {
        self.calls.get(index).map(|(key, _)| *key).filter(|key| *key != 0)
    }

    /// What is expected of this transaction.
    pub(crate) fn of(&self, index: usize) -> Option<Prediction> {
        self.calls.get(index)?.1
    }

    /// Notes what a committed run has taken, and whether speculation had failed before it; `None`
    /// where nothing was speculated.
    pub(crate) fn learn(&self, index: usize, nanos: u64, failed: Option<bool>) {
        if let Some(key) = self.key(index) {
            self.predictor.note(key, nanos, failed);
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
