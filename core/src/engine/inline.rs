//! Which blocks run on the calling thread, because handing their transactions over costs more than
//! it gains.
//!
//! Role: look at a block before anything runs. Nothing here can change a result: a wrong guess
//! costs time. Waking a parked worker takes the caller some ten microseconds, and the worker
//! begins as long after; an account or a scheduler's line travels between cores in some hundred
//! nanoseconds, with each short transaction several times.

use super::{
    distance::NEAR,
    forecast,
    predictor::Predictor,
    work::{Work, at_least, majority, samples},
};
use crate::block::{Block, Transaction};
use alloy_consensus::{Transaction as _, transaction::Recovered};
use alloy_primitives::Address;

/// Work of less than this is not shared with a worker that spins, or that has to be woken,
/// nanoseconds. It is spread over caches that know nothing of it yet.
const LEAST_AWAKE: u64 = 180_000;
const LEAST_PARKED: u64 = 200_000;
/// A worker is woken for so much at least that the caller, busy with the longest transaction,
/// cannot do, nanoseconds: it comes late, and what it needs is in no cache.
const LEAST_BESIDE: u64 = 100_000;
/// What a worker that spins needs at least, where no transaction and no contract has most of the
/// work, nanoseconds.
const LEAST_EVEN: u64 = 110_000;
/// With more than this by its gas, nanoseconds, a block is not small.
const DOUBT: u64 = 800_000;
/// Until then, calls of which nothing is known count as taking so many times less than by their
/// gas: what writes much and reads little does.
const UNSURE: u64 = 2;
/// How often a line travels from core to core for each shared transaction, with its accounts, its
/// record and the scheduler's state.
const JOURNEYS: u64 = 13;
/// What less gas pays for is read one after the other: some fifty slots (EIP-2929).
const MANY_READS: u64 = 125_000;
/// Below this many transactions, one contract called by all of them makes a chain.
const FEW: usize = 8;
/// How many transactions are asked whether they form a chain, evenly over the block.
const SAMPLES: usize = 256;

/// What is known of the workers when a block comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Workers {
    /// One of them spins.
    pub(super) awake: bool,
    /// How long a cache line takes between two of them, there and back, nanoseconds.
    pub(super) distance_ns: u64,
}

impl Workers {
    /// Those of an engine that is at another block: none is free, and nobody can be asked how far
    /// they are.
    pub(super) const BUSY: Self = Self { awake: false, distance_ns: NEAR };
}

/// Whether the block is too small to gain, judged by its gas, and, where that leaves a doubt, by
/// what its calls took in earlier blocks, and by what cannot be shared: one transaction, or the
/// calls of one contract, that may take most of it.
pub(super) fn is_small(block: &Block, workers: Workers, predictor: Option<&Predictor>) -> bool {
    let count = block.transactions.len();
    if count < 2 {
        return true;
    }
    // Where there are very many, nobody looks at them all, one after the other, before they are
    // shared.
    if gain(block, at_least(count), workers) >= DOUBT {
        return false;
    }
    let work = Work::new(block);
    let by_gas = gain(block, work.total(), workers);
    if by_gas < LEAST_EVEN {
        return true;
    }
    if by_gas >= DOUBT {
        return false;
    }
    let known = |index: usize| {
        let predictor = predictor?;
        predictor.predict(forecast::key(predictor, &block.transactions[index])?)
    };
    let work = work.faster(UNSURE);
    let nanos = |index: usize| known(index).map(|call| call.nanos);
    if !workers.awake && work.beside_the_longest(nanos) < LEAST_BESIDE {
        return true;
    }
    let all = || work.total_where(nanos);
    let least = if workers.awake { LEAST_AWAKE } else { LEAST_PARKED };
    // Before London gas tells too little of time for so little work.
    let even = workers.awake && block.header.base_fee_per_gas.is_some();
    gain(block, all(), workers) < least
        && !(even && gain(block, work.shareable(known), workers) >= LEAST_EVEN)
}

/// Whether a block on a slow state has hardly anything to read at once: a single transaction that
/// may not use much gas, or that cannot run ahead of its reads.
pub(super) fn reads_little(block: &Block, run_ahead: bool) -> bool {
    match &block.transactions[..] {
        [] => true,
        [only] => !run_ahead || only.gas_limit() < MANY_READS,
        _ => false,
    }
}

/// The work in which other workers can help, less what it takes to share it, nanoseconds.
fn gain(block: &Block, work: u64, workers: Workers) -> u64 {
    let journeys = JOURNEYS * block.transactions.len() as u64;
    work.saturating_sub(journeys.saturating_mul(workers.distance_ns / 2))
}

/// Whether the transactions are likely to form one chain: calls of one sender to one contract, or
/// a few calls to one contract.
pub(super) fn is_chain(block: &Block) -> bool {
    let samples = samples(block, SAMPLES);
    let count = samples.len();
    let each = |key: fn(&Recovered<Transaction>) -> Option<Address>| {
        majority(samples.clone().map(move |tx| (key(tx), 1))) as usize
    };
    let sender = each(|tx| Some(tx.signer()));
    let target = || each(|tx| tx.to().filter(|_| !tx.input().is_empty()));
    (sender * 2 > count || count < FEW) && {
        let target = target();
        target == count || (sender * 2 > count && target * 2 > count)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::schedule::Fate, *};
    use alloy_consensus::{SignableTransaction, TxLegacy};
    use alloy_primitives::Signature;

    /// A block of (sender, target, has data) with this much gas for each.
    fn block(txs: &[(u8, u8, bool)], gas: u64) -> Block {
        let mut block = Block::default();
        block.header.gas_used = gas * txs.len() as u64;
        block.transactions = txs
            .iter()
            .map(|&(sender, target, data)| {
                let input = if data { vec![1].into() } else { Default::default() };
                let to = Address::repeat_byte(target).into();
                let tx = TxLegacy { to, input, ..TxLegacy::default() };
                let signed = tx.into_signed(Signature::test_signature());
                Recovered::new_unchecked(signed.into(), Address::repeat_byte(sender))
            })
            .collect();
        block
    }

    #[test]
    fn payments_of_one_sender_are_no_chain() {
        let payments: Vec<_> = (0..100).map(|to| (u8::from(to % 10 == 0), to, false)).collect();
        assert!(!is_chain(&block(&payments, 21_000)), "nonces are predicted, balances commute");
        let payments: Vec<_> = (0..100).map(|of| (of, 200, false)).collect();
        assert!(!is_chain(&block(&payments, 21_000)));
    }

    #[test]
    fn one_sender_who_calls_one_contract_is_a_chain() {
        let calls = (0..100).map(|of| if of % 5 == 0 { (of, of, true) } else { (201, 200, true) });
        assert!(is_chain(&block(&calls.collect::<Vec<_>>(), 80_000)));
        let callers: Vec<_> = (0..100).map(|of| (of, 200, true)).collect();
        assert!(!is_chain(&block(&callers, 80_000)), "a token's transfers rarely meet");
        assert!(is_chain(&block(&callers[..4], 600_000)), "but a few calls are not worth a try");
    }

    #[test]
    fn small_blocks_are_told_by_their_work() {
        let payments: Vec<_> = (0..200).map(|of| (of, of, false)).collect();
        let near = |awake| Workers { awake, distance_ns: 100 };
        let far = |awake| Workers { awake, distance_ns: 400 };
        let many = payments.repeat(3);
        assert!(!is_small(&block(&many, 21_000), near(true), None));
        assert!(is_small(&block(&many, 21_000), far(true), None));
        assert!(is_small(&block(&payments, 21_000), near(true), None));
        let some = &many[..540];
        assert!(!is_small(&block(some, 21_000), near(true), None));
        assert!(is_small(&block(some, 21_000), near(false), None));
        let calls: Vec<_> = (0..3).map(|of| (of, of, true)).collect();
        assert!(!is_small(&block(&calls, 1_000_000), far(false), None));
        assert!(is_small(&block(&calls, 100_000), near(false), None));
        assert!(is_small(&block(&calls[..1], 30_000_000), near(true), None));
    }

    /// Only after a shared block would the engine find out by itself.
    #[cfg(not(any(feature = "loom", feature = "shuttle")))]
    #[test]
    fn blocks_are_shared_again_when_the_cores_are_near_again() {
        use super::super::{Engine, Options};
        use crate::source::MemoryState;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if cores < 2 {
            return;
        }
        let engine = Engine::new(Options { threads: 2, ..Options::default() });
        let payments: Vec<_> = (0..200).map(|of| (of, of, false)).collect();
        let block = block(&payments.repeat(20), 21_000);
        let source = MemoryState::default();
        let is_shared = || engine.inner_unless_inline(&block, &source, false).is_some();
        assert!(is_shared());
        (0..3).for_each(|_| engine.inner.lock().distance.note(1_000_000_000));
        assert!(!is_shared());
        assert!(super::super::distance::tests::in_a_minute(is_shared), "nobody has measured again");
    }

    #[test]
    fn less_work_is_enough_where_it_is_spread_evenly() {
        let of = |targets: [u8; 4]| {
            let mut block = block(&targets.map(|target| (target, target, true)), 121_000);
            block.header.base_fee_per_gas = Some(7);
            block.transactions = targets.into_iter().map(|target| call(target, 121_000)).collect();
            block
        };
        let near = |awake| Workers { awake, distance_ns: 100 };
        let mut even = of([1, 2, 3, 4]);
        even.header.gas_used = 600_000;
        assert!(!is_small(&even, near(true), None));
        assert!(is_small(&even, near(false), None), "a worker has to be woken");
        let mut one = of([1; 4]);
        one.header.gas_used = 600_000;
        assert!(is_small(&one, near(true), None), "they may depend on each other");
    }

    #[test]
    fn nobody_is_woken_where_one_transaction_has_nearly_everything() {
        let of = |gas_limits: &[u64]| {
            let mut block = block(&[], 0);
            block.header.gas_used = gas_limits.iter().sum();
            let each = gas_limits.iter().zip(1..).map(|(gas, target)| call(target, *gas));
            block.transactions = each.collect();
            block
        };
        let workers = |awake| Workers { awake, distance_ns: 100 };
        let one = of(&[150_000, 3_000_000, 150_000]);
        assert!(is_small(&one, workers(false), None));
        assert!(!is_small(&one, workers(true), None));
        assert!(!is_small(&of(&[1_500_000, 3_000_000]), workers(false), None));
    }

    fn call(target: u8, gas_limit: u64) -> Recovered<Transaction> {
        let (to, input) = (Address::repeat_byte(target).into(), vec![1; 4].into());
        let tx = TxLegacy { to, input, gas_limit, ..TxLegacy::default() };
        let signed = tx.into_signed(Signature::test_signature());
        Recovered::new_unchecked(signed.into(), Address::repeat_byte(target))
    }

    #[test]
    fn a_header_that_claims_any_gas_is_believed_with_care() {
        let mut block = block(&[(1, 1, true), (2, 2, true)], 0);
        block.header.gas_used = u64::MAX;
        assert!(!is_small(&block, Workers { awake: false, distance_ns: 400 }, None));
        assert!(is_small(&block, Workers { awake: true, distance_ns: u64::MAX }, None));
    }

    #[test]
    fn what_calls_took_before_decides_where_the_gas_leaves_a_doubt() {
        let calls: Vec<_> = (0..10).map(|of| (of, of, true)).collect();
        let mut block = block(&calls, 300_000);
        block.transactions = block
            .transactions
            .into_iter()
            .map(|tx| {
                let legacy = TxLegacy {
                    to: tx.to().unwrap().into(),
                    input: vec![1; 4].into(),
                    gas_limit: 100_000,
                    ..TxLegacy::default()
                };
                let signed = legacy.into_signed(Signature::test_signature());
                Recovered::new_unchecked(signed.into(), tx.signer())
            })
            .collect();
        let workers = Workers { awake: true, distance_ns: 100 };
        let predictor = Predictor::new();
        assert!(!is_small(&block, workers, Some(&predictor)), "nothing is known");
        let note = |nanos: u64, count: usize| {
            for tx in &block.transactions[..count] {
                let key = forecast::key(&predictor, tx).unwrap();
                (0..20).for_each(|_| predictor.note(key, nanos, Fate::Direct, false));
            }
        };
        note(5_000, 3);
        assert!(!is_small(&block, workers, Some(&predictor)), "most of it is not known");
        note(5_000, 10);
        assert!(is_small(&block, workers, Some(&predictor)));
        note(50_000, 10);
        assert!(!is_small(&block, workers, Some(&predictor)));
    }
}
