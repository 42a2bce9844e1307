//! A block of a range under way, and a worker's place at it.
//!
//! Role: what [`super::pipeline`] moves on. A [`Flight`] is made once for each block; a worker
//! takes a [`Seat`] at it, and keeps it when the block ahead becomes the current one.

use super::{
    Optimisations, ahead::Worker, limits::Limits, overlay::Overlay, parent::Layer,
    predictor::Predictor, range::RangeError, run::Run, sink::Sink, view::View, vm::Vm,
    watch::Unwatched,
};
use crate::{
    block::{Block, Receipt},
    error::ExecuteError,
    outcome::OutputKind,
    pool::Helpers,
    sync::atomic::AtomicBool,
    tally::Tally,
};
use alloy_evm::block::BlockExecutionResult;
use std::sync::Arc;

/// The blocks of a range, and the rules by which each begins and ends.
pub(crate) trait Blocks<'r>: Sync {
    type Machine: Vm<'r> + Send;

    fn len(&self) -> usize;

    fn block(&self, index: usize) -> &'r Block;

    /// Whether the block follows the one before it.
    fn check_link(&self, index: usize) -> Result<(), RangeError>;

    fn machine(&self, index: usize, keep_state: bool) -> Self::Machine;

    fn tally(&self, index: usize) -> Tally<'r>;

    fn sink(&self, index: usize) -> Sink<'r>;

    /// The system calls before the transactions, on committed state.
    fn begin(
        &self,
        index: usize,
        view: &mut View<'r>,
        sink: &mut Sink<'r>,
    ) -> Result<(), ExecuteError>;

    /// The block's end, on committed state.
    fn finish(
        &self,
        index: usize,
        tally: Tally<'r>,
        view: &mut View<'r>,
        sink: &mut Sink<'r>,
    ) -> Result<BlockExecutionResult<Receipt>, ExecuteError>;
}

/// What a pipeline is given.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'r> {
    pub(crate) overlay: &'r Overlay<'r>,
    pub(crate) limits: &'r Limits,
    /// One for each block.
    pub(crate) stops: &'r [AtomicBool],
    pub(crate) output: OutputKind,
    pub(crate) forced: bool,
    pub(crate) optimisations: Optimisations,
    /// What learns from the blocks.
    pub(crate) predictor: &'r Predictor,
    /// Who helps with single transactions.
    pub(crate) helpers: Option<&'r Helpers>,
}

/// A block under way.
pub(crate) struct Flight<'r, V> {
    pub(crate) index: usize,
    pub(crate) run: Run<'r, V, Unwatched>,
    /// What its parent state is read through, where the parent was not complete at first.
    pub(crate) layer: Option<Arc<Layer<'r>>>,
}

/// A worker's place at one block.
pub(crate) struct Seat<'r, V: Vm<'r>> {
    pub(crate) flight: Arc<Flight<'r, V>>,
    /// Made with the first transaction.
    pub(crate) worker: Option<Worker<V::Instance>>,
    /// How often it has looked in vain.
    pub(crate) idle: u32,
}

impl<'r, V: Vm<'r>> Seat<'r, V> {
    const fn new(flight: Arc<Flight<'r, V>>) -> Self {
        Self { flight, worker: None, idle: 0 }
    }
}

/// What a worker has at hand.
pub(crate) struct Hand<'r, V: Vm<'r>> {
    pub(crate) number: usize,
    /// The state of the pipeline that the seats are those of.
    pub(crate) seen: u64,
    pub(crate) current: Option<Seat<'r, V>>,
    pub(crate) ahead: Option<Seat<'r, V>>,
    /// How often it has looked in vain at all of them.
    pub(crate) idle: u32,
}

impl<'r, V: Vm<'r>> Hand<'r, V> {
    pub(crate) const fn new(number: usize) -> Self {
        Self { number, seen: u64::MAX, current: None, ahead: None, idle: 0 }
    }

    /// Takes the seats at these flights, the old ones where it has them.
    pub(crate) fn sit(
        &mut self,
        current: Option<Arc<Flight<'r, V>>>,
        ahead: Option<Arc<Flight<'r, V>>>,
    ) {
        let mut seats = [self.current.take(), self.ahead.take()];
        let mut seat = |flight: Arc<Flight<'r, V>>| {
            let mine = seats
                .iter_mut()
                .find(|seat| seat.as_ref().is_some_and(|seat| Arc::ptr_eq(&seat.flight, &flight)));
            mine.and_then(Option::take).unwrap_or_else(|| Seat::new(flight))
        };
        self.current = current.map(&mut seat);
        self.ahead = ahead.map(&mut seat);
    }
}
