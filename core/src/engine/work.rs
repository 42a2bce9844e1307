//! How long a block's transactions are likely to take, judged before anything runs.
//!
//! Role: turn gas, and what is known of calls from earlier blocks, into nanoseconds, for whoever
//! decides what is worth sharing or starting first. Nothing here can change a result.
//!
//! Gas is a poor measure of time: a call that writes new slots spends it ten times as fast as one
//! that computes, and gas for data or for code that is left hardly takes time at all.

use super::predictor::Prediction;
use crate::block::{Block, Transaction};
use alloy_consensus::{Transaction as _, transaction::Recovered};
use alloy_primitives::Address;

/// What a payment takes, nanoseconds.
const PAYMENT: u64 = 1_000;
/// What a call takes beside the gas that it uses, nanoseconds.
const CALL: u64 = 2_000;
/// Gas that a transaction pays before anything runs: all of a plain payment's.
pub(super) const INTRINSIC: u64 = 21_000;
/// What a byte of data costs on average, half of them zero; what a creation costs, and a byte of
/// the code that it leaves.
const DATA: u64 = 10;
const CREATION: u64 = 32_000;
const DEPOSIT: u64 = 200;
/// No code is longer, bytes.
const MAX_CODE: u64 = 0x6000;
/// How much gas execution uses in a microsecond, roughly, as recorded mainnet blocks do: since
/// Berlin (EIP-2929) and before. The base fee tells the two apart nearly right.
const GAS_BEFORE: u64 = 10_000;
const GAS_SINCE: u64 = 2_000;
/// A header may claim any gas.
const MOST_GAS: u64 = 1 << 40;
/// What a call weighs beside the gas that it may use.
const LEAST_WEIGHT: u64 = CALL * GAS_SINCE / 1_000;

/// What is known of one transaction beforehand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    pub(super) gas_limit: u64,
    /// What a call weighs among others, by the gas that it may use for what takes time; 0 for a
    /// payment.
    weight: u64,
}

/// What the transactions of a block take. Each of them is looked at once, since in a large block
/// they stand in no cache.
#[derive(Debug)]
pub(super) struct Work<'b> {
    block: &'b Block,
    /// One for each transaction.
    pub(super) estimates: Box<[Estimate]>,
    /// How many calls and creations there are.
    calls: u64,
    /// The gas that they use for what takes time.
    gas: u64,
    /// The sum of what they weigh.
    weight: u64,
    /// Gas in a microsecond.
    rate: u64,
}

impl<'b> Work<'b> {
    /// Of this block, if gas is spent as fast as it mostly is.
    pub(super) fn new(block: &'b Block) -> Self {
        let recent = block.header.base_fee_per_gas.is_some();
        let rate = if recent { GAS_SINCE } else { GAS_BEFORE };
        let (mut calls, mut weight, mut idle) = (0u64, 0u64, 0u64);
        let estimate = |tx: &Recovered<Transaction>| {
            let (gas_limit, spent) = (tx.gas_limit(), idle_gas(tx));
            idle = idle.saturating_add(if recent { spent } else { INTRINSIC });
            if is_payment(tx) {
                return Estimate { gas_limit, weight: 0 };
            }
            let call = Estimate { gas_limit, weight: weigh(gas_limit, spent) };
            calls += 1;
            weight = weight.saturating_add(call.weight);
            call
        };
        let estimates = block.transactions.iter().map(estimate).collect();
        let gas = block.header.gas_used.saturating_sub(idle).min(MOST_GAS);
        Self { block, estimates, calls, gas, weight, rate }
    }

    /// If gas is spent so many times as fast as it mostly is since Berlin; before that, as fast as
    /// it mostly was.
    pub(super) fn faster(self, times: u64) -> Self {
        let recent = self.block.header.base_fee_per_gas.is_some();
        Self { rate: if recent { self.rate * times } else { self.rate }, ..self }
    }

    /// All calls and creations, by gas, nanoseconds.
    const fn of_calls(&self) -> u64 {
        CALL * self.calls + self.gas * 1_000 / self.rate
    }

    /// All transactions, by gas alone, nanoseconds.
    pub(super) const fn total(&self) -> u64 {
        at_least(self.estimates.len() - self.calls as usize) + self.of_calls()
    }

    /// Each transaction, by what is known of it, else by its part of the gas, nanoseconds.
    fn each(&self, known: impl Fn(usize) -> Option<u64>) -> impl Iterator<Item = u64> {
        let all = self.of_calls();
        self.estimates.iter().enumerate().map(move |(index, of)| match known(index) {
            Some(nanos) => nanos,
            None if of.weight == 0 => PAYMENT,
            None => part(all, of.weight, self.weight),
        })
    }

    /// All transactions, of some of which it is known how long they take, nanoseconds.
    pub(super) fn total_where(&self, known: impl Fn(usize) -> Option<u64>) -> u64 {
        self.each(known).fold(0, u64::saturating_add)
    }

    /// What others can do while one worker is at the longest transaction, nanoseconds.
    pub(super) fn beside_the_longest(&self, known: impl Fn(usize) -> Option<u64>) -> u64 {
        let (total, longest) = self.each(known).fold((0u64, 0), |(total, longest), nanos| {
            (total.saturating_add(nanos), nanos.max(longest))
        });
        total - longest
    }

    /// All transactions, but no more than two workers can do in half the time: one transaction, or
    /// the calls of one contract that may read what each other write, may take more than half.
    pub(super) fn shareable(&self, known: impl Fn(usize) -> Option<Prediction>) -> u64 {
        // The predictor is asked once for each.
        let known: Vec<_> = (0..self.estimates.len()).map(known).collect();
        let nanos = self.each(|index| known[index].map(|call| call.nanos));
        let each = |(index, nanos): (usize, u64)| {
            let alone = self.estimates[index].weight == 0
                || known[index].is_some_and(|call| !call.conflicts);
            (self.block.transactions[index].to().filter(|_| !alone), nanos)
        };
        let all: Vec<_> = nanos.enumerate().map(each).collect();
        let times = || all.iter().map(|(_, nanos)| *nanos);
        let total = times().fold(0, u64::saturating_add);
        let serial = majority(all.iter().copied()).max(times().max().unwrap_or_default());
        total.min(total.saturating_sub(serial).saturating_mul(2))
    }
}

/// The weight of the key that has more than half of all weight; 0 without such a key (R. S. Boyer
/// and J S. Moore's vote: one pass finds the only candidate, a second one weighs it).
pub(super) fn majority(all: impl Iterator<Item = (Option<Address>, u64)> + Clone) -> u64 {
    let (mut candidate, mut lead, mut total) = (None, 0u64, 0u64);
    for (key, weight) in all.clone() {
        total = total.saturating_add(weight);
        match (key == candidate, lead.checked_sub(weight)) {
            (true, _) => lead = lead.saturating_add(weight),
            (false, Some(left)) => lead = left,
            (false, None) => (candidate, lead) = (key, weight - lead),
        }
    }
    if candidate.is_none() {
        return 0;
    }
    let of_candidate = all.filter(|(key, _)| *key == candidate).map(|(_, weight)| weight);
    let weight = of_candidate.fold(0, u64::saturating_add);
    if weight > total / 2 { weight } else { 0 }
}

/// A call without data: a plain payment, unless its target has code.
fn is_payment(tx: &Recovered<Transaction>) -> bool {
    tx.input().is_empty() && tx.kind().is_call()
}

/// Transactions of a block, evenly over it: no more than so many.
pub(super) fn samples(
    block: &Block,
    most: usize,
) -> impl ExactSizeIterator<Item = &Recovered<Transaction>> + Clone {
    let all = &block.transactions;
    all.iter().step_by(all.len().div_ceil(most).max(1))
}

/// What so many transactions take at least, nanoseconds.
pub(super) const fn at_least(count: usize) -> u64 {
    PAYMENT * count as u64
}

/// What a call weighs among others that may use so much gas, of which so much takes no time.
const fn weigh(gas_limit: u64, idle: u64) -> u64 {
    gas_limit.saturating_sub(idle).saturating_add(LEAST_WEIGHT)
}

/// `whole * of / all`.
pub(super) fn part(whole: u64, of: u64, all: u64) -> u64 {
    let part = u128::from(whole) * u128::from(of) / u128::from(all.max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// Gas that a transaction pays for what takes hardly any time: to be in the block, for each byte of
/// its data (EIP-2028; about half of them are zero), for the code that it leaves (EIP-170: no more
/// than so long).
fn idle_gas(tx: &Recovered<Transaction>) -> u64 {
    let bytes = tx.input().len() as u64;
    let creation = if tx.kind().is_create() { CREATION + bytes.min(MAX_CODE) * DEPOSIT } else { 0 };
    INTRINSIC + DATA * bytes + creation
}

/// About how long a call takes that uses this much gas, nanoseconds.
pub(super) fn time(gas_used: u64) -> u64 {
    CALL + gas_used.saturating_sub(INTRINSIC).min(MOST_GAS) * 1_000 / GAS_SINCE
}

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests {
    use super::*;
    use alloy_consensus::{SignableTransaction, TxLegacy};
    use alloy_primitives::{Signature, TxKind};

    /// A block since London that has used all of the gas that these transactions may use.
    fn block(txs: &[(TxKind, usize, u64)]) -> Block {
        let mut block = Block::default();
        block.header.base_fee_per_gas = Some(7);
        let limits = txs.iter().map(|(_, _, gas_limit)| *gas_limit);
        block.header.gas_used = limits.fold(0, u64::saturating_add);
        let sign = |&(to, bytes, gas_limit): &(TxKind, usize, u64)| {
            let tx =
                TxLegacy { to, input: vec![1; bytes].into(), gas_limit, ..TxLegacy::default() };
            let signed = tx.into_signed(Signature::test_signature());
            Recovered::new_unchecked(signed.into(), Address::ZERO)
        };
        block.transactions = txs.iter().map(sign).collect();
        block
    }

    const fn to(target: u8) -> TxKind {
        TxKind::Call(Address::repeat_byte(target))
    }

    /// Its data, the code that it leaves and itself paid for, with some more gas.
    const DEPLOYMENT: (TxKind, usize, u64) = (TxKind::Create, 4_000, 100_000 + 210 * 4_000);

    #[test]
    fn gas_for_code_that_is_left_is_no_work() {
        let block = block(&[DEPLOYMENT; 4]);
        assert!(block.header.gas_used > 3_000_000);
        let total = Work::new(&block).total();
        assert!((90_000..120_000).contains(&total), "{total}");
    }

    #[test]
    fn what_is_known_leaves_the_others_their_part() {
        let block = block(&[DEPLOYMENT, (to(1), 4, 120_000)]);
        let work = Work::new(&block);
        let rest = work.total_where(|index| (index == 1).then_some(5_000)) - 5_000;
        assert!((20_000..30_000).contains(&rest), "{rest}");
        assert_eq!(work.total_where(|_| Some(7)), 14);
        assert!(work.total_where(|_| None).abs_diff(work.total()) < 2);
    }

    #[test]
    fn the_longest_transaction_is_nobody_elses() {
        let block = block(&[(to(1), 4, 121_000), (to(2), 4, 1_021_000), (to(3), 4, 121_000)]);
        let work = Work::new(&block);
        let beside = work.beside_the_longest(|_| None);
        assert!((95_000..115_000).contains(&beside), "{beside}");
        assert_eq!(work.beside_the_longest(|index| Some([5, 7, 90][index])), 12);
        assert_eq!(Work::new(&Block::default()).beside_the_longest(|_| None), 0);
    }

    #[test]
    fn nobody_is_unsure_of_payments() {
        let block = block(&[(to(1), 0, INTRINSIC); 100]);
        for faster in [1, 2] {
            assert_eq!(Work::new(&block).faster(faster).total_where(|_| None), 100 * PAYMENT);
        }
    }

    #[test]
    fn what_may_depend_on_each_other_is_not_shared() {
        let shareable = |txs: &[(TxKind, usize, u64)], known: Option<Prediction>| {
            let block = block(txs);
            Work::new(&block).shareable(|_| known)
        };
        let call = |target| (to(target), 4, 121_000);
        let all = [1, 2, 3, 4].map(call);
        let total = Work::new(&block(&all)).total();
        assert_eq!(shareable(&all, None), total);
        assert_eq!(shareable(&[1, 2, 1, 2].map(call), None), total);
        assert_eq!(shareable(&[1, 1, 1, 2].map(call), None), total / 2);
        assert_eq!(shareable(&[1; 4].map(call), None), 0);
        let long = [call(1), call(2), (to(3), 4, 521_000)];
        let all = Work::new(&block(&long)).total();
        assert!(shareable(&long, None) < all * 2 / 3, "one takes most of it");
        let known = |conflicts| Some(Prediction { nanos: 10, conflicts });
        assert_eq!(shareable(&[1; 4].map(call), known(false)), 40);
        assert_eq!(shareable(&[1; 4].map(call), known(true)), 0);
        assert_eq!(shareable(&[(to(1), 0, INTRINSIC); 4], None), 4 * PAYMENT);
    }

    #[test]
    fn numbers_without_measure_do_no_harm() {
        let mut block = block(&[(to(1), 4, u64::MAX), (to(2), 4, u64::MAX)]);
        block.header.gas_used = u64::MAX;
        let work = Work::new(&block);
        assert!(work.total() > 1 << 38);
        assert!(work.shareable(|_| None) > 1 << 38);
        let known = Prediction { nanos: u64::MAX, conflicts: true };
        assert_eq!(work.shareable(|_| Some(known)), 0);
    }
}
