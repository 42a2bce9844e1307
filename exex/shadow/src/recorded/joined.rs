//! The state before the first of consecutive recorded blocks.
//!
//! Role: each record has the parent state of its own block, as far as the block reads it; executing
//! them as one range needs what all of them read, as it was before the first. What a block reads
//! that no block before it in the range has changed was already so before the first one.

use super::{Prestate, RecordedBlock};
use alloy_primitives::{Address, U256};
use braid_core::{ExecuteError, OutputKind, sequential::execute_bare, source::MemoryState};
use std::collections::HashSet;

/// Why records do not make a range.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The parent state of this block is a witness: what it holds cannot be listed.
    #[error("block {0} is recorded with a witness: a range needs records with a pre-state")]
    Witness(u64),
    /// This block cannot be executed on its own record.
    #[error("block {number}: {error}")]
    Execute {
        /// The block's number.
        number: u64,
        /// Why.
        error: ExecuteError,
    },
}

/// Places that blocks of the range have changed: accounts, and slots of accounts.
type Changed = HashSet<(Address, Option<U256>)>;

/// The state before the first of these consecutive blocks, as far as they read it.
///
/// # Errors
/// [`JoinError`] with the first record that cannot take part.
pub fn joined_state(records: &[&RecordedBlock]) -> Result<MemoryState, JoinError> {
    let (mut joined, mut changed) = (MemoryState::default(), Changed::new());
    for record in records {
        let number = record.number();
        let Prestate::Memory(state) = &record.state else { return Err(JoinError::Witness(number)) };
        join(&mut joined, state, &changed);
        let outcome = execute_bare(&record.chain, &record.block, state, OutputKind::Flat)
            .map_err(|error| JoinError::Execute { number, error })?;
        for change in outcome.state.to_flat().accounts {
            changed.insert((change.address, None));
            changed.extend(change.storage.iter().map(|(slot, _)| (change.address, Some(*slot))));
        }
    }
    Ok(joined)
}

/// Adds what is new in the state of one record.
fn join(joined: &mut MemoryState, state: &MemoryState, changed: &Changed) {
    for (number, hash) in state.block_hashes() {
        joined.insert_block_hash(number, hash);
    }
    for (address, info, storage) in state.accounts() {
        if let Some(code) = state.code(&info.code_hash) {
            joined.insert_code(info.code_hash, code.clone());
        }
        if joined.account(&address).is_none() && !changed.contains(&(address, None)) {
            joined.insert_account(address, info.clone());
        }
        for (slot, value) in storage {
            if !changed.contains(&(address, Some(*slot))) {
                // An account that the range has created is not in the state before it, and has no
                // slot that the range did not write.
                let _created = joined.insert_storage(address, *slot, *value);
            }
        }
    }
}
