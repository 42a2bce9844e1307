//! One side of the workload under callgrind, which counts the instructions of [`counted`] alone.
//!
//! Generating the blocks and the first execution of each, which fills the allocator's lists and the
//! engine's tables, are left out of the count.

use braid_core::{
    Engine, ExecuteError, Options, Outcome, OutputKind,
    sequential::{execute_bare, execute_stock},
};
use braid_shadow::recorded::RecordedBlock;
use braid_workload::{MixError, Settings};
use std::hint::black_box;

/// How often the workload is executed and counted. Hash seeds differ from block to block, so that
/// the sum varies less than each execution.
pub(crate) const ROUNDS: usize = 8;

/// The workload with this name: a mix of kinds, or `all` of them.
pub(crate) fn settings(name: &str) -> Result<Settings, MixError> {
    let defaults = Settings::default();
    let (transactions, mix) =
        if name == "all" { (150, defaults.mix) } else { (400, name.parse()?) };
    Ok(Settings { blocks: 1, transactions, mix, ..defaults })
}

/// What executes the blocks.
pub(crate) enum Side {
    /// Sequential execution as reth does it.
    Stock,
    /// The fastest sequential execution.
    Bare,
    /// The engine on one thread, without any short cut.
    Engine(Box<Engine>),
}

impl Side {
    /// The side with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "stock" => Some(Self::Stock),
            "bare" => Some(Self::Bare),
            "engine" => {
                let options = Options { threads: 1, forced: true, ..Options::default() };
                Some(Self::Engine(Box::new(Engine::new(options))))
            }
            _ => None,
        }
    }

    fn execute(&self, record: &RecordedBlock) -> Result<Outcome, ExecuteError> {
        let (chain, block, source) = (&record.chain, &record.block, record.state.source());
        match self {
            Self::Stock => execute_stock(chain, block, source, OutputKind::Flat),
            Self::Bare => execute_bare(chain, block, source, OutputKind::Flat),
            Self::Engine(engine) => engine.execute(chain, block, source),
        }
    }
}

/// Executes the blocks once uncounted and [`ROUNDS`] times counted; gives the transactions counted.
pub(crate) fn run(side: &Side, records: &[RecordedBlock]) -> Result<usize, ExecuteError> {
    let mut transactions = 0;
    for round in 0..=ROUNDS {
        for record in records {
            if round == 0 {
                side.execute(record)?;
            } else {
                transactions += counted(side, record)?;
            }
        }
    }
    Ok(transactions)
}

/// A function of its own in the machine code, by whose name callgrind begins and ends to count.
#[inline(never)]
fn counted(side: &Side, record: &RecordedBlock) -> Result<usize, ExecuteError> {
    Ok(black_box(side.execute(black_box(record))?).receipts.len())
}
