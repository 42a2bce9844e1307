//! What the workload is to look like.

use crate::{error::Error, mix::Mix};

/// What the workload is to look like. The same settings give the same blocks, byte for byte.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How many blocks.
    pub blocks: usize,
    /// How many transactions each block has.
    pub transactions: usize,
    /// How much the transactions depend on each other, from 0 to 1: the share that uses what all
    /// share (one market, one counter, one recipient) and not what is the sender's own. Where
    /// two such transactions in a row have nothing in common by their kinds, the second comes
    /// with the same probability from the sender of the first. At 0 no two transactions of a
    /// block have a sender or a slot in common; at 1 each depends on the one before.
    pub contention: f64,
    /// Where the random choices start.
    pub seed: u64,
    /// The kinds of transactions.
    pub mix: Mix,
}

impl Default for Settings {
    fn default() -> Self {
        Self { blocks: 20, transactions: 200, contention: 0.3, seed: 1, mix: Mix::default() }
    }
}

impl Settings {
    /// Refuses what makes no workload.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !(0.0..=1.0).contains(&self.contention) {
            return Err(Error::Contention(self.contention));
        }
        if self.transactions == 0 {
            return Err(Error::NoTransactions);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contention_outside_0_to_1_and_empty_blocks_are_refused() {
        for contention in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let settings = Settings { contention, ..Settings::default() };
            assert!(matches!(settings.check(), Err(Error::Contention(_))), "{contention}");
        }
        let settings = Settings { transactions: 0, ..Settings::default() };
        assert!(matches!(settings.check(), Err(Error::NoTransactions)));
        assert!(Settings::default().check().is_ok());
    }
}
