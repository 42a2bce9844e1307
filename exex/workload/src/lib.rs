//! Generates chains of blocks with a chosen degree of contention.
//!
//! Role: the built-in workload of `braid replay`, and a source of blocks for tests. [`Settings`]
//! say what is wanted, [`Generator`] builds a chain on rules of its own (every fork up to Osaka)
//! and appends block after block, [`generate`] collects them. The contracts are our own; their
//! sources stand in `contracts/` beside the artefacts compiled from them.
//!
//! Actors: `stage` deploys and stocks the contracts, `kinds` decides what each transaction does,
//! `keys` signs it, `world` executes the block with the sequential reference and fills its header,
//! `trie` proves its state.
//!
//! Invariants: the same settings give the same blocks, byte for byte; every transaction is really
//! signed; each block carries the parent state that executing it reads, with proofs of the state
//! before and after.

mod abi;
mod artefact;
mod error;
mod generator;
mod keys;
mod kinds;
mod mix;
mod recording;
mod settings;
mod stage;
mod trie;
mod world;

pub use artefact::{Artefact, Contract};
pub use error::Error;
pub use generator::{Generated, Generator};
pub use mix::{Kind, Mix, MixError};
pub use settings::Settings;
pub use world::CHAIN_ID;

use braid_shadow::recorded::RecordedBlock;

/// Generates all blocks. `progress` is told how many of how many are done, at first none.
///
/// # Errors
/// [`Error`] where the settings make no workload; otherwise only where the generator is at odds
/// with its own contracts.
pub fn generate(
    settings: &Settings,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<RecordedBlock>, Error> {
    let total = settings.blocks;
    progress(0, total);
    let mut generator = Generator::new(settings)?;
    let mut blocks = Vec::with_capacity(total);
    for done in 1..=total {
        blocks.push(generator.next_block()?.record);
        progress(done, total);
    }
    Ok(blocks)
}
