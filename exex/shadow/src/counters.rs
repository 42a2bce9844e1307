//! What a shadow has counted since its start.

use crate::{
    event::{Event, Speed},
    job::Reason,
};
use std::{collections::BTreeMap, time::Duration};

/// A snapshot of a shadow's counters. Each submitted block is in exactly one of `matched`,
/// `diverged`, `skipped`, `waiting` and `running`.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// Blocks that were handed over.
    pub submitted: u64,
    /// Blocks whose parallel result is the reference result.
    pub matched: u64,
    /// Blocks whose parallel result is not.
    pub diverged: u64,
    /// Blocks that were not compared, by reason.
    pub skipped: BTreeMap<Reason, u64>,
    /// Blocks that wait for their turn.
    pub waiting: usize,
    /// How long the block at hand has been running, if there is one.
    pub running: Option<Duration>,
    /// Transactions of the matched blocks.
    pub transactions: u64,
    /// Gas of the matched blocks.
    pub gas: u64,
    /// Executions of transactions in the matched blocks, repeated ones included.
    pub executions: u64,
    /// Speculative results that failed validation, in the matched blocks.
    pub reexecutions: u64,
    /// Matched blocks on which the engine stopped speculating.
    pub fell_back: u64,
    /// Matched blocks whose changed state was compared or proved too.
    pub state_checked: u64,
    /// Matched blocks whose state root was proved.
    pub roots_proved: u64,
    /// Parallel time of the matched blocks on the host's state.
    pub elapsed: Duration,
    /// Sums of the sampled like-for-like times.
    pub stock: Duration,
    /// As `stock`, for parallel execution.
    pub parallel: Duration,
    /// How many blocks were sampled.
    pub samples: u64,
    /// Recorded blocks written for divergences.
    pub reports_written: u64,
    /// Recorded blocks that could not be written.
    pub reports_lost: u64,
    /// Panics of the listener.
    pub listener_panics: u64,
    /// Whether the shadow has disabled itself.
    pub disabled: bool,
}

impl Counters {
    /// How many blocks were skipped, for any reason.
    pub fn skipped_total(&self) -> u64 {
        self.skipped.values().sum()
    }

    /// How many blocks have been dealt with.
    pub fn done(&self) -> u64 {
        self.matched + self.diverged + self.skipped_total()
    }

    /// Stock time over parallel time, of all samples.
    pub fn ratio(&self) -> Option<f64> {
        let speed = Speed { stock: self.stock, parallel: self.parallel };
        (self.samples > 0).then(|| speed.ratio())
    }

    pub(crate) fn count(&mut self, event: &Event) {
        match event {
            Event::Matched(matched) => {
                self.matched += 1;
                self.transactions += matched.transactions as u64;
                self.gas += matched.gas;
                self.executions += matched.statistics.executions;
                self.reexecutions += matched.statistics.reexecutions;
                self.fell_back += u64::from(matched.statistics.fell_back);
                self.state_checked += u64::from(matched.state_checked);
                self.roots_proved += u64::from(matched.root_proved);
                self.elapsed += matched.elapsed;
                if let Some(speed) = matched.speed {
                    self.stock += speed.stock;
                    self.parallel += speed.parallel;
                    self.samples += 1;
                }
            }
            Event::Diverged(divergence) => {
                self.diverged += 1;
                match divergence.report {
                    Ok(_) => self.reports_written += 1,
                    Err(_) => self.reports_lost += 1,
                }
            }
            Event::Skipped { skip, .. } => *self.skipped.entry(skip.reason).or_default() += 1,
            Event::Disabled { .. } => self.disabled = true,
        }
    }
}
