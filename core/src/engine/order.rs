//! Which transactions start before their turn.
//!
//! Role: find the few that are likely to take a large part of the block, by what is known of the
//! same call from earlier blocks, else by their gas limit, which is only a promise. On few cores
//! one long transaction that starts late costs more than all conflicts.

use super::{
    forecast::Forecast,
    work::{Work, part},
};
use crate::block::Block;
use alloy_consensus::Transaction as _;
use std::collections::VecDeque;

/// A transaction with more than one part in this many of the block's work starts first.
const LONG: u64 = 10;

/// The transactions that promise to run long, the longest first.
pub(super) fn long(block: &Block, forecast: Option<&Forecast<'_>>) -> VecDeque<u32> {
    let limits = || block.transactions.iter().map(|tx| tx.gas_limit());
    let total_limit = limits().fold(0, u64::saturating_add);
    let known = |index: usize| forecast.and_then(|forecast| forecast.of(index));
    let work = Work::new(block, 1);
    let total = u128::from(work.total_where(|index| known(index).map(|call| call.nanos)));
    let promises = |(index, limit): (usize, u64)| {
        let nanos = match known(index) {
            // What waits for others is not begun before them.
            Some(call) if call.conflicts => return None,
            Some(call) if u128::from(call.nanos) * u128::from(LONG) > total => call.nanos,
            Some(_) => return None,
            None if limit > total_limit / LONG => part(work.total(), limit, total_limit),
            None => return None,
        };
        Some((nanos, index as u32))
    };
    let mut long: Vec<(u64, u32)> = limits().enumerate().filter_map(promises).collect();
    long.sort_by_key(|(nanos, _)| std::cmp::Reverse(*nanos));
    long.into_iter().map(|(_, index)| index).collect()
}
