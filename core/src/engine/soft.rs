//! Soft reads: when an execution stays right although an account that it read has changed.
//!
//! Most executions load accounts whose balance or nonce they never look at: the recipient of a
//! payment, a contract that is called for its code, a sender who can pay in any case. Such a read
//! is *soft*: its balance may differ from the committed one, and the execution's change of the
//! balance is then applied to the committed balance as a difference.
//!
//! What an execution depends on is noted by [`super::evm::Observe`]:
//! - the balance, where BALANCE, SELFBALANCE or SELFDESTRUCT looked at it;
//! - the nonce, of the sender and of whoever ran CREATE or CREATE2;
//! - everything, in a transaction with authorisations (EIP-7702), for an account that the
//!   transaction created or destroyed, and where a balance reaches [`HUGE`].
//!
//! Claim: if every read is exact or fits softly ([`Fit::Soft`]), execution on committed state takes
//! the same steps, and commits the same values, as the recorded one with [`adjusted`] writes.
//!
//! Proof, by induction over the steps of the two executions side by side. The states differ at most
//! in balances and nonces of softly read accounts; a balance differs by the same amount at every
//! step, the nonce of a softly read one keeps its first value in both. A step can look at them only
//! as follows.
//! 1. A value that is observed is hard, and equal.
//! 2. A check for sufficient funds. Every debit that was attempted from the account, reverted ones
//!    included, was added to `debits`, the sender's largest fee and value among them. Both starting
//!    balances are at least `debits`, and a balance never falls below its start less the debits so
//!    far, so every such check passes in both. (In the recorded one it did only where the sum is
//!    covered by the start: else the read is hard.)
//! 3. An overflow check on a credit. No balance that either execution read reaches [`HUGE`], so no
//!    sum of them overflows a word.
//! 4. Whether an account exists, is empty (EIP-161), or may be created (EIP-684: neither code nor
//!    nonce). Existence, code hash, emptiness and the zero-ness of the nonce are equal at the
//!    start. Emptiness stays equal: an account that is debited is the sender, whose nonce has been
//!    raised, or has code, or was created and is hard; any other one only receives, so it becomes
//!    non-empty in both at the same step.
//! 5. The storage: slots are validated by themselves; how they are looked up depends on `wiped` and
//!    `storage_known`, which are equal where a slot of the account was read.
//!
//! So the traces are equal, each final balance differs by what its start differed, and a nonce that
//! is soft was not written.

use super::{
    cells::{AccountCell, AccountValue},
    reads::AccountRead,
    versions::Stamp,
};
use alloy_primitives::U256;
use revm::state::Account;

/// No sum of balances below this overflows a word: 2^192 wei, beyond any real supply.
pub(crate) const HUGE: U256 = U256::from_limbs([0, 0, 0, 1]);

/// How a read relates to committed state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Committed state is what was read.
    Exact,
    /// It differs in what the execution did not depend on. With the committed value.
    Soft(AccountValue),
    /// It differs in what the execution depended on.
    Stale,
}

/// The committed value of an account; `None` where the block never read it.
pub(crate) fn committed(cell: &AccountCell) -> Option<AccountValue> {
    cell.chain.committed().map(|(_, value)| value).or_else(|| cell.known_base())
}

/// What a slot shows to whoever saw its account as `account`, where this is its newest version;
/// `None` where it is the base value, and that is not known.
pub(crate) fn slot_value(
    account: &AccountValue,
    version: Option<(Stamp, U256)>,
    base: impl FnOnce() -> Option<U256>,
) -> Option<U256> {
    match version {
        Some((stamp, value)) if stamp.position() >= account.wiped => Some(value),
        Some(_) => Some(U256::ZERO),
        None if account.wiped > 0 || account.storage_known => Some(U256::ZERO),
        None => base(),
    }
}

/// Compares a read with committed state. For the token's holder.
pub(crate) fn fit(cell: &AccountCell, read: &AccountRead) -> Fit {
    if cell.chain.committed_stamp() == read.stamp {
        return Fit::Exact;
    }
    committed(cell).map_or(Fit::Stale, |now| fit_value(read, now))
}

/// Compares a read with the value that its account has now.
pub(crate) fn fit_value(read: &AccountRead, now: AccountValue) -> Fit {
    if now == read.value {
        Fit::Exact
    } else if fits_softly(read, &now) {
        Fit::Soft(now)
    } else {
        Fit::Stale
    }
}

fn fits_softly(read: &AccountRead, now: &AccountValue) -> bool {
    let then = &read.value;
    let nonce = if read.hard_nonce {
        now.nonce == then.nonce
    } else {
        (now.nonce == 0) == (then.nonce == 0)
    };
    let balance = if read.hard_balance || then.balance < read.debits {
        now.balance == then.balance
    } else {
        now.balance >= read.debits && now.balance < HUGE && then.balance < HUGE
    };
    now.exists == then.exists
        && now.code_hash == then.code_hash
        && now.is_empty() == then.is_empty()
        && now.wiped == then.wiped
        && now.again == then.again
        && (now.storage_known == then.storage_known || !read.slots)
        && nonce
        && balance
}

/// What an execution that read `read` and wrote `written` writes where `now` is committed. `None`
/// where the difference does not apply, which a fitting read excludes.
pub(crate) fn adjusted(
    read: &AccountRead,
    written: &AccountValue,
    now: &AccountValue,
) -> Option<AccountValue> {
    if !written.exists {
        return Some(*written);
    }
    let balance = if written.balance >= read.value.balance {
        now.balance.checked_add(written.balance - read.value.balance)?
    } else {
        now.balance.checked_sub(read.value.balance - written.balance)?
    };
    let value = AccountValue {
        balance,
        nonce: if read.hard_nonce { written.nonce } else { now.nonce },
        storage_known: now.storage_known || written.storage_known,
        ..*written
    };
    (value.is_empty() == written.is_empty()).then_some(value)
}

/// Makes the journal's account what it would be, had the execution read `now`; false where that
/// does not apply, which a fitting read excludes.
pub(crate) fn patch(account: &mut Account, read: &AccountRead, now: &AccountValue) -> bool {
    let written = AccountValue::new(Some(&account.info));
    let Some(value) = adjusted(read, &written, now) else { return false };
    account.info.balance = value.balance;
    account.info.nonce = value.nonce;
    let original = account.original_info_mut();
    original.balance = now.balance;
    original.nonce = now.nonce;
    true
}

#[cfg(test)]
mod tests {
    use super::super::tables::Stamp;
    use super::*;

    fn account(balance: u64, nonce: u64) -> AccountValue {
        AccountValue { balance: U256::from(balance), nonce, exists: true, ..AccountValue::MISSING }
    }

    fn read(value: AccountValue, debits: u64) -> AccountRead {
        AccountRead {
            id: 0,
            hard_balance: false,
            hard_nonce: false,
            slots: false,
            apart: false,
            stamp: Stamp::PREDICTED,
            value,
            debits: U256::from(debits),
        }
    }

    #[test]
    fn a_balance_that_nobody_looked_at_may_differ() {
        assert!(fits_softly(&read(account(10, 1), 0), &account(999, 1)));
        assert!(fits_softly(&read(account(10, 1), 10), &account(10, 7)));
    }

    #[test]
    fn an_observed_balance_must_be_equal() {
        let read = AccountRead { hard_balance: true, ..read(account(10, 1), 0) };
        assert!(!fits_softly(&read, &account(11, 1)));
        assert!(fits_softly(&read, &account(10, 2)), "the nonce is still soft");
    }

    #[test]
    fn an_observed_nonce_must_be_equal() {
        let read = AccountRead { hard_nonce: true, ..read(account(10, 1), 0) };
        assert!(!fits_softly(&read, &account(10, 2)));
        assert!(fits_softly(&read, &account(11, 1)), "the balance is still soft");
    }

    #[test]
    fn debits_must_be_covered_by_both_balances() {
        assert!(!fits_softly(&read(account(10, 1), 9), &account(8, 1)));
        assert!(fits_softly(&read(account(10, 1), 9), &account(9, 1)));
        // Covered only by what the account received meanwhile: any other start may fail.
        assert!(!fits_softly(&read(account(5, 1), 9), &account(99, 1)));
        assert!(fits_softly(&read(account(5, 1), 9), &account(5, 2)));
    }

    #[test]
    fn existence_emptiness_and_the_first_nonce_are_never_soft() {
        assert!(!fits_softly(&read(account(0, 0), 0), &account(1, 0)));
        assert!(!fits_softly(&read(account(1, 0), 0), &account(0, 0)));
        assert!(!fits_softly(&read(account(5, 0), 0), &account(5, 1)));
        assert!(!fits_softly(&read(AccountValue::MISSING, 0), &account(0, 0)));
        let code = AccountValue { code_hash: alloy_primitives::B256::ZERO, ..account(5, 1) };
        assert!(!fits_softly(&read(account(5, 1), 0), &code));
        let wiped = AccountValue { wiped: 3, ..account(5, 1) };
        assert!(!fits_softly(&read(account(5, 1), 0), &wiped));
    }

    #[test]
    fn known_storage_matters_where_a_slot_was_read() {
        let known = AccountValue { storage_known: true, ..account(5, 1) };
        let plain = read(account(4, 1), 0);
        assert!(fits_softly(&plain, &known));
        assert!(!fits_softly(&AccountRead { slots: true, ..plain }, &known));
    }

    #[test]
    fn huge_balances_are_hard() {
        let huge = AccountValue { balance: HUGE, ..account(0, 1) };
        assert!(!fits_softly(&read(account(5, 1), 0), &huge));
        assert!(!fits_softly(&read(huge, 0), &account(5, 1)));
    }

    #[test]
    fn differences_are_applied_to_the_committed_value() {
        let read = read(account(10, 3), 4);
        let up = adjusted(&read, &account(15, 3), &account(100, 8));
        assert_eq!(up, Some(account(105, 8)));
        let down = adjusted(&read, &account(6, 3), &account(4, 8));
        assert_eq!(down, Some(account(0, 8)));
        assert_eq!(adjusted(&read, &account(6, 3), &account(3, 8)), None);
        let sender = AccountRead { hard_nonce: true, ..read };
        assert_eq!(adjusted(&sender, &account(10, 4), &account(9, 3)), Some(account(9, 4)));
    }

    #[test]
    fn a_difference_never_makes_an_account_empty() {
        let read = read(account(10, 0), 10);
        assert_eq!(adjusted(&read, &account(5, 0), &account(5, 0)), None);
    }
}
