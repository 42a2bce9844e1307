//! The beneficiary's rewards, which its cell gets only when somebody looks.
//!
//! Role: a reward is due with every transaction, but hardly any transaction reads the beneficiary.
//! So the committed account is held here, and written to its cell by [`Rewards::settle`]. Actor:
//! the holder of the commit token, nobody else.
//!
//! Invariant: where something is held, it is the beneficiary's committed account, and the cell has
//! an older one. The holder settles before it compares a read of the beneficiary with committed
//! state, before it runs the head on committed state, and after the last transaction. Speculative
//! runs may see the older one; their comparison tells.

use super::{
    soft::committed,
    tables::{AccountValue, Stamp, Tables},
};
use alloy_primitives::U256;

/// Rewards of one block.
pub(crate) struct Rewards {
    beneficiary: u32,
    held: Option<(Stamp, AccountValue)>,
}

impl Rewards {
    pub(crate) const fn new(beneficiary: u32) -> Self {
        Self { beneficiary, held: None }
    }

    /// Adds a reward; gives the account before and after. A zero reward touches the account: it
    /// materialises a missing one before EIP-161 and deletes an empty one from then on.
    pub(crate) fn pay(
        &mut self,
        tables: &Tables,
        stamp: Stamp,
        reward: U256,
        eip161: bool,
    ) -> (AccountValue, AccountValue) {
        let before = match self.held {
            Some((_, value)) => value,
            None => committed(tables.account(self.beneficiary)).unwrap_or(AccountValue::MISSING),
        };
        // As revm's journal: a reward that would overflow is not paid.
        let balance = before.balance.checked_add(reward).unwrap_or(before.balance);
        let after = AccountValue { balance, exists: true, ..before };
        if after.is_empty() && eip161 {
            let gone = AccountValue {
                wiped: stamp.position(),
                storage_known: true,
                again: before.wiped > 0,
                ..AccountValue::MISSING
            };
            if before.exists {
                self.held = Some((stamp, gone));
            }
        } else if before != after {
            let storage_known = before.storage_known || before.is_plain();
            self.held = Some((stamp, AccountValue { storage_known, ..after }));
        }
        (before, after)
    }

    /// Whether this account's cell may have to be settled before it is looked at.
    pub(crate) const fn concern(&self, account: u32) -> bool {
        account == self.beneficiary
    }

    /// Writes what is held to the cell.
    pub(crate) fn settle(&mut self, tables: &Tables) {
        if let Some((stamp, value)) = self.held.take() {
            tables.account(self.beneficiary).chain.commit(stamp, value);
        }
    }
}
