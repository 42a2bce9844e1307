//! A whole state in memory: recorded pre-states, fixtures, generated chains.

use super::{Location, SourceError, StateReader, StateSource};
use crate::outcome::StateChanges;
use alloy_primitives::{
    Address, B256, KECCAK256_EMPTY, U256,
    map::{AddressMap, B256Map, HashMap},
};
use alloy_trie::{
    TrieAccount,
    root::{state_root_unhashed, storage_root_unhashed},
};
use revm::{bytecode::Bytecode, state::AccountInfo};

/// Accounts, storage, codes and block hashes in memory. Reading needs no lock.
///
/// An account or slot that is not in it does not exist, or is zero; a code or block hash that is
/// not in it is an error, because no execution can go on without it.
#[derive(Debug, Clone, Default)]
pub struct MemoryState {
    accounts: AddressMap<MemoryAccount>,
    codes: B256Map<Bytecode>,
    block_hashes: HashMap<u64, B256>,
}

#[derive(Debug, Clone, Default)]
struct MemoryAccount {
    info: AccountInfo,
    storage: HashMap<U256, U256>,
}

impl MemoryState {
    /// Adds or replaces an account. Code inside `info` is kept too, under its hash.
    pub fn insert_account(&mut self, address: Address, mut info: AccountInfo) {
        if let Some(code) = info.code.take()
            && info.code_hash != KECCAK256_EMPTY
        {
            self.codes.insert(info.code_hash, code);
        }
        self.accounts.entry(address).or_default().info = info;
    }

    /// Sets a slot; a zero value removes it. The account must have been added.
    ///
    /// # Errors
    /// [`UnknownAccount`] where it was not.
    pub fn insert_storage(
        &mut self,
        address: Address,
        slot: U256,
        value: U256,
    ) -> Result<(), UnknownAccount> {
        let account = self.accounts.get_mut(&address).ok_or(UnknownAccount(address))?;
        if value.is_zero() {
            account.storage.remove(&slot);
        } else {
            account.storage.insert(slot, value);
        }
        Ok(())
    }

    /// Adds a code under its hash.
    pub fn insert_code(&mut self, hash: B256, code: Bytecode) {
        self.codes.insert(hash, code);
    }

    /// Adds the hash of an ancestor.
    pub fn insert_block_hash(&mut self, number: u64, hash: B256) {
        self.block_hashes.insert(number, hash);
    }

    /// The account, if it exists. Its code is found by [`Self::code`].
    pub fn account(&self, address: &Address) -> Option<&AccountInfo> {
        self.accounts.get(address).map(|account| &account.info)
    }

    /// A slot's value; zero where it was never set.
    pub fn storage(&self, address: &Address, slot: &U256) -> U256 {
        self.accounts
            .get(address)
            .and_then(|account| account.storage.get(slot).copied())
            .unwrap_or_default()
    }

    /// The code with this hash.
    pub fn code(&self, hash: &B256) -> Option<&Bytecode> {
        self.codes.get(hash)
    }

    /// All accounts with their non-zero slots, in no particular order.
    pub fn accounts(
        &self,
    ) -> impl Iterator<Item = (Address, &AccountInfo, &HashMap<U256, U256>)> + '_ {
        self.accounts.iter().map(|(address, account)| (*address, &account.info, &account.storage))
    }

    /// The known block hashes, in no particular order.
    pub fn block_hashes(&self) -> impl Iterator<Item = (u64, B256)> + '_ {
        self.block_hashes.iter().map(|(number, hash)| (*number, *hash))
    }

    /// The root of the state trie (Yellow Paper, appendix D). Hashes the whole state on each call.
    pub fn state_root(&self) -> B256 {
        state_root_unhashed(self.accounts.iter().map(|(address, account)| {
            let slots = account.storage.iter().map(|(slot, value)| (B256::from(*slot), *value));
            let trie = TrieAccount {
                nonce: account.info.nonce,
                balance: account.info.balance,
                storage_root: storage_root_unhashed(slots),
                code_hash: account.info.code_hash,
            };
            (*address, trie)
        }))
    }

    /// Turns the parent state of a block into its post-state.
    pub fn apply(&mut self, changes: &StateChanges) {
        for (hash, code) in &changes.codes {
            self.codes.insert(*hash, code.clone());
        }
        for change in &changes.accounts {
            let Some(info) = &change.after else {
                self.accounts.remove(&change.address);
                continue;
            };
            let account = self.accounts.entry(change.address).or_default();
            account.info = AccountInfo { code: None, ..info.clone() };
            if change.wiped {
                account.storage.clear();
            }
            for (slot, value) in &change.storage {
                if value.is_zero() {
                    account.storage.remove(slot);
                } else {
                    account.storage.insert(*slot, *value);
                }
            }
        }
    }
}

/// A slot was set for an account that is not in the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("account {0} is not in the state: add it before its storage")]
pub struct UnknownAccount(pub Address);

impl StateSource for MemoryState {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(self))
    }
}

impl StateReader for &MemoryState {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        Ok(self.accounts.get(&address).map(|account| account.info.clone()))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        Ok(MemoryState::storage(self, &address, &slot))
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError> {
        let code = self.codes.get(&hash).cloned();
        code.ok_or_else(|| SourceError::new(Location::Code(hash), "not in the state"))
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        let hash = self.block_hashes.get(&number).copied();
        hash.ok_or_else(|| SourceError::new(Location::BlockHash(number), "not in the state"))
    }
}
