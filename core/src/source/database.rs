//! Adapters for revm's database traits.

use super::{Location, SourceError, StateReader, StateSource};
use crate::sync::Mutex;
use alloy_primitives::{Address, B256, U256};
use revm::{Database, DatabaseRef, bytecode::Bytecode, state::AccountInfo};

/// Any [`DatabaseRef`] that threads may share.
#[derive(Debug, Clone, Copy, Default)]
pub struct SyncDatabase<DB>(pub DB);

impl<DB: DatabaseRef + Sync> StateSource for SyncDatabase<DB> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(RefReader(&self.0)))
    }
}

struct RefReader<'a, DB>(&'a DB);

impl<DB: DatabaseRef> StateReader for RefReader<'_, DB> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        self.0.basic_ref(address).map_err(|e| SourceError::new(Location::Account(address), e))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        self.0
            .storage_ref(address, slot)
            .map_err(|e| SourceError::new(Location::Storage(address, slot), e))
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError> {
        self.0.code_by_hash_ref(hash).map_err(|e| SourceError::new(Location::Code(hash), e))
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        self.0.block_hash_ref(number).map_err(|e| SourceError::new(Location::BlockHash(number), e))
    }
}

/// A source whose reads take long ([`StateSource::is_slow`]), as those of a [`DatabaseRef`] that
/// asks a disk or another machine do.
#[derive(Debug, Clone, Copy, Default)]
pub struct SlowReads<S>(pub S);

impl<S: StateSource> StateSource for SlowReads<S> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        self.0.reader()
    }

    fn is_slow(&self) -> bool {
        true
    }
}

/// A plain [`Database`] behind a lock: reads are serialised, everything else still runs in
/// parallel. [`Self::into_inner`] gives the database back.
#[derive(Debug, Default)]
pub struct LockedDatabase<DB>(Mutex<DB>);

impl<DB> LockedDatabase<DB> {
    /// Puts the lock around the database.
    pub fn new(database: DB) -> Self {
        Self(Mutex::new(database))
    }

    /// Takes the database out again.
    pub fn into_inner(self) -> DB {
        self.0.into_inner()
    }
}

impl<DB: Database + Send> StateSource for LockedDatabase<DB> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(LockedReader(&self.0)))
    }
}

struct LockedReader<'a, DB>(&'a Mutex<DB>);

impl<DB: Database> StateReader for LockedReader<'_, DB> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        let answer = self.0.lock().basic(address);
        answer.map_err(|e| SourceError::new(Location::Account(address), e))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        let answer = self.0.lock().storage(address, slot);
        answer.map_err(|e| SourceError::new(Location::Storage(address, slot), e))
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError> {
        let answer = self.0.lock().code_by_hash(hash);
        answer.map_err(|e| SourceError::new(Location::Code(hash), e))
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, SourceError> {
        let answer = self.0.lock().block_hash(number);
        answer.map_err(|e| SourceError::new(Location::BlockHash(number), e))
    }
}

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests {
    use super::*;
    use crate::source::MemoryState;
    use revm::database::{CacheDB, EmptyDB};

    #[test]
    fn a_source_may_be_called_slow_and_answers_as_before() {
        let (address, info) = (Address::repeat_byte(7), AccountInfo::from_balance(U256::from(5)));
        let mut database = CacheDB::new(EmptyDB::new());
        database.insert_account_info(address, info.clone());
        let mut memory = MemoryState::default();
        memory.insert_account(address, info);
        let (database, memory) = (SlowReads(SyncDatabase(database)), SlowReads(memory));
        assert!(database.is_slow() && memory.is_slow());
        assert!(!database.0.is_slow() && !memory.0.is_slow());
        for source in [&database as &dyn StateSource, &memory] {
            let account = source.reader().unwrap().account(address).unwrap().unwrap();
            assert_eq!(account.balance, U256::from(5));
        }
    }
}
