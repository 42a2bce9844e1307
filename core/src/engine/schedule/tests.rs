//! What is handed out to whom, and when.

use super::*;
use alloy_consensus::{SignableTransaction, TxLegacy, transaction::Recovered};
use alloy_primitives::{Address, Signature};

/// Calls of one contract by separate senders.
fn calls(count: u8) -> Block {
    let call = |of| {
        let (to, input) = (Address::repeat_byte(99).into(), vec![1; 4].into());
        let tx = TxLegacy { to, input, gas_limit: 90_000, ..TxLegacy::default() };
        let signed = tx.into_signed(Signature::test_signature());
        Recovered::new_unchecked(signed.into(), Address::repeat_byte(of))
    };
    Block { transactions: (0..count).map(call).collect(), ..Block::default() }
}

#[test]
fn what_waits_for_a_conflicting_call_is_taken_by_whoever_finds_nothing_else_for_long() {
    let block = calls(3);
    for revalidate in [true, false] {
        let optimisations = Optimisations { revalidate, long_first: false, ..Optimisations::ALL };
        let schedule = Schedule::new(&block, optimisations, None);
        schedule.set_failed(0);
        assert_eq!(schedule.claim(None, 0), Claim::one(0));
        for idle in 0..=PATIENCE {
            assert_eq!(schedule.claim(None, idle), Claim::Wait, "{idle}");
        }
        let late = if revalidate { Claim::one(1) } else { Claim::Wait };
        assert_eq!(schedule.claim(None, PATIENCE + 1), late);
        // What it waited for goes on as ever.
        schedule.set_ready(0, 1);
        let next = if revalidate { Claim::Wait } else { Claim::one(1) };
        assert_eq!(schedule.claim(Some(0), 0), next);
    }
}

#[test]
fn the_head_is_handed_out_however_many_wait() {
    let call = |of: u8, input: Vec<u8>, gas_limit| {
        let to = Address::repeat_byte(of).into();
        let tx = TxLegacy { to, input: input.into(), gas_limit, ..TxLegacy::default() };
        let signed = tx.into_signed(Signature::test_signature());
        Recovered::new_unchecked(signed.into(), Address::repeat_byte(of))
    };
    // Four chains are long by their limits, a fifth one by what it verifies.
    let proof = vec![0x9d; 4 + 32 * 4];
    let mut transactions = vec![call(0, vec![1; 4], 50_000)];
    for of in (1..=4).cycle().take(64) {
        transactions.push(call(of, vec![1; 4], 900_000));
    }
    transactions.extend((0..16).map(|_| call(5, proof.clone(), 400_000)));
    let block = Block { transactions, ..Block::default() };
    let optimisations = Optimisations { revalidate: false, ..Optimisations::ALL };
    let schedule = Schedule::new(&block, optimisations, None);
    let roots: Vec<Claim> = (0..5).map(|_| schedule.claim(None, 0)).collect();
    assert_eq!(roots, [65, 1, 2, 3, 4].map(Claim::one));
    assert_eq!(schedule.claim(None, PATIENCE), Claim::one(0));
    assert!(schedule.queue.lock().deferred.len() > MAX_DEFERRED);
}

#[test]
fn what_waits_for_its_sender_is_left_to_whoever_executes_that() {
    let mut block = calls(3);
    let (second, sender) = (block.transactions[1].inner().clone(), Address::repeat_byte(0));
    block.transactions[1] = Recovered::new_unchecked(second, sender);
    let optimisations = Optimisations { long_first: false, ..Optimisations::ALL };
    let schedule = Schedule::new(&block, optimisations, None);
    assert_eq!(schedule.claim(None, 0), Claim::one(0));
    assert_eq!(schedule.claim(None, 0), Claim::one(2));
    for idle in 0..=2 * PATIENCE {
        assert_eq!(schedule.claim(None, idle), Claim::Wait, "{idle}");
    }
    schedule.set_ready(0, 1);
    assert_eq!(schedule.claim(None, 0), Claim::Wait, "its caches are another worker's");
    assert_eq!(schedule.claim(Some(0), 0), Claim::one(1));
}
