//! What an execution does with the accounts that it has loaded: each look and each payment makes
//! its logged read depend on what was looked at ([`crate::engine::soft`] has the rules).

use super::View;
use crate::engine::{evm::Observe, reads::AccountRead};
use alloy_primitives::{Address, U256};

impl View<'_> {
    /// The logged read of an observed account. What is observed was loaded before; should it ever
    /// not, nothing of this execution is soft.
    fn read_of(&mut self, address: Address) -> Option<&mut AccountRead> {
        let id = self.account_id(&address);
        match self.seen(id) {
            Some(place) => self.reads.accounts.get_mut(place),
            None => {
                self.everything_observed();
                None
            }
        }
    }
}

impl Observe for View<'_> {
    fn balance_observed(&mut self, address: Address) {
        if let Some(read) = self.read_of(address) {
            read.hard_balance = true;
        }
    }

    fn sender_observed(&mut self, address: Address, spending: U256) {
        let read = match self.sender {
            Some(place) => self.reads.accounts.get_mut(place),
            None => self.read_of(address),
        };
        if let Some(read) = read {
            read.hard_nonce = true;
            read.debits = read.debits.saturating_add(spending);
        }
    }

    fn nonce_observed(&mut self, address: Address) {
        if let Some(read) = self.read_of(address) {
            read.hard_nonce = true;
        }
    }

    fn debit_attempted(&mut self, address: Address, value: U256) {
        if let Some(read) = self.read_of(address) {
            read.debits = read.debits.saturating_add(value);
        }
    }

    fn everything_observed(&mut self) {
        self.lens.soft = false;
        self.reads.accounts.iter_mut().for_each(AccountRead::harden);
    }
}
