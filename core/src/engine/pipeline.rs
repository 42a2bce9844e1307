//! Two blocks at a time: while one is executed and committed, workers that find nothing left to do
//! in it go ahead with the next one.
//!
//! Actors: the workers, the calling thread among them ([`Pipeline::turn`]); whoever holds the tail
//! lock, who concludes a block and sets up the next ones; the calling thread, which hands the
//! outcomes over ([`Pipeline::take`]).
//!
//! A [`Flight`] is a block under way ([`super::flight`]). It is *ahead* at first: its transactions
//! are executed, their records kept, nothing is committed. When its parent block is complete it
//! becomes *current*, and its [`Run`] goes on with what was executed early. A worker turns to the
//! block ahead only where the current one has nothing for it.
//!
//! To conclude the current block N, once all of its transactions are committed, the tail's holder
//! 1. runs N's end (requests, withdrawals, rewards) on committed state: N is final;
//! 2. closes the layer through which N+1 reads N ([`super::parent`]);
//! 3. runs N+1's system calls on N+1's committed state, which is N's final state;
//! 4. makes N+1 the current block: from now on its transactions are committed;
//! 5. adds N's changes to the overlay, and tells N+1's layer, whose readers then ask the overlay
//!    alone; then makes the flight of N+2, then puts N's outcome out.
//!
//! Proof that each block starts from its pre-state, by induction over the range. Let N's committed
//! state be the sequential one all the way, so final N is N+1's parent state.
//! - *Base values.* N+1's tables take base values only from the closed layer (`parent.rs`, 1), so
//!   what they have at a location without a committed version is the parent state. For locations
//!   that N did not change the layer asks the overlay; all blocks before N were added to it before
//!   N+1's flight was made, and adding N changes other locations only. Once N is added, the overlay
//!   shows final N at every location, and the layer asks it alone.
//! - *System calls* run after the layer was closed and before anything of N+1 is committed; what
//!   they write is committed at position 0, below every transaction. Step 4 follows, so when
//!   transaction 0 is the head, committed state is its pre-state.
//! - *Early records.* A read of N+1's own pending versions is an ordinary speculative one. Any
//!   other was logged under a stamp that equals no other, so the holder of the commit token
//!   compares it by value: with the committed version, or with the base value, which [`Run`] first
//!   reads from the closed layer. So a record that was executed early passes the gate that any
//!   record passes.
//!
//! The rest is the proof of [`super`]. Errors: an early run that fails or panics leaves no record
//! behind, and its transaction is executed again as the head; an error of N ends the range before
//! anything of N+1 has been committed. A source that fails under step 3 is N+1's failure, not N's.
//!
//! Nothing is left behind: a worker leaves only when the range is over. While transactions are not
//! committed, one of the workers executes one, or will find the head ready at its next turn.
//!
//! Locks are taken in the order tail, state, committer; nobody waits for the tail lock.
//!
//! Memory: N and N+1, and the tables of N-1, which N still reads through; one set more while a
//! worker holds on to a block that is over. Outcomes that were not handed over yet hold the next
//! flight back.

use super::{
    ahead::{Input, Turn},
    commit::Committer,
    flight::{Blocks, Flight, Hand, Seat, Setting},
    forecast::Forecast,
    idle::pause,
    output,
    parent::{Layer, Parent},
    range::RangeError,
    run::Run,
    schedule::Claim,
    sink::Sink,
    tables::{Shelf, Tables},
    watch::Unwatched,
};
use crate::{
    block::Receipt,
    error::{ExecuteError, HostError},
    outcome::{Outcome, OutputKind, StateOutput},
    pool::{Helpers, alone},
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    tally::{self, panic_message},
};
use alloy_evm::block::BlockExecutionResult;
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// How often a worker looks at the current block in vain before it goes ahead: longer than the
/// schedule keeps transactions for the worker that executed the one before.
const PATIENCE: u32 = 5;
/// Outcomes that wait for the caller while further blocks are begun.
const WAITING: usize = 2;

/// Which blocks are under way.
struct State<'r, V> {
    current: Option<Arc<Flight<'r, V>>>,
    ahead: Option<Arc<Flight<'r, V>>>,
    /// The first block that is not under way yet.
    next: usize,
    over: bool,
    failure: Option<RangeError>,
}

/// A range of blocks, for all workers.
pub(crate) struct Pipeline<'r, B: Blocks<'r>> {
    blocks: &'r B,
    setting: Setting<'r>,
    state: Mutex<State<'r, B::Machine>>,
    /// Raised with every change of `state`.
    generation: AtomicU64,
    /// Concluding blocks and setting up new ones.
    tail: Mutex<&'r mut Shelf>,
    outcomes: Mutex<VecDeque<(usize, Outcome)>>,
    waiting: AtomicUsize,
}

impl<'r, B: Blocks<'r>> Pipeline<'r, B> {
    pub(crate) fn new(blocks: &'r B, setting: Setting<'r>, shelf: &'r mut Shelf) -> Self {
        let state = State { current: None, ahead: None, next: 0, over: false, failure: None };
        Self {
            blocks,
            setting,
            state: Mutex::new(state),
            generation: AtomicU64::new(0),
            tail: Mutex::new(shelf),
            outcomes: Mutex::new(VecDeque::new()),
            waiting: AtomicUsize::new(0),
        }
    }

    /// The whole life of a worker that hands nothing over.
    pub(crate) fn work(&self, number: usize) {
        let mut hand = Hand::new(number);
        while self.turn(&mut hand) {}
    }

    /// One turn of a worker; false when the range is over. A panic that nothing inside has caught
    /// ends the range.
    pub(crate) fn turn(&self, hand: &mut Hand<'r, B::Machine>) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.turn_unguarded(hand))).unwrap_or_else(|panic| {
            let index = hand.current.as_ref().map_or(0, |seat| seat.flight.index);
            let error = HostError::Panic { index: None, message: panic_message(&*panic) };
            self.fail(RangeError::Block { index, error: error.into() });
            false
        })
    }

    fn turn_unguarded(&self, hand: &mut Hand<'r, B::Machine>) -> bool {
        let generation = self.generation.load(Ordering::Acquire);
        if generation != hand.seen {
            let state = self.state.lock();
            if state.over {
                return false;
            }
            hand.seen = generation;
            hand.sit(state.current.clone(), state.ahead.clone());
        }
        let worked = self.work_on_current(hand)
            || self.work_ahead(hand)
            || (hand.ahead.is_none() && self.refill());
        if worked {
            hand.idle = 0;
        } else if !self.setting.helpers.is_some_and(Helpers::help_idle) {
            hand.idle += 1;
            pause(hand.idle);
        }
        true
    }

    /// False where the current block has nothing for this worker.
    fn work_on_current(&self, hand: &mut Hand<'r, B::Machine>) -> bool {
        let Some(Seat { flight, worker, idle }) = &mut hand.current else { return false };
        let run = &flight.run;
        let worker = worker.get_or_insert_with(|| run.ahead.worker(hand.number));
        match run.turn(worker, *idle) {
            Turn::Worked => {
                *idle = 0;
                true
            }
            Turn::Waits => {
                *idle = idle.saturating_add(1);
                if *idle < PATIENCE {
                    pause(*idle);
                }
                *idle < PATIENCE
            }
            Turn::Done => {
                if !run.ahead.stopped() {
                    run.commit_if_free(worker);
                }
                self.conclude(flight)
            }
        }
    }

    /// False where the block ahead, if there is one, has nothing for this worker.
    fn work_ahead(&self, hand: &mut Hand<'r, B::Machine>) -> bool {
        let Some(Seat { flight, worker, idle }) = &mut hand.ahead else { return false };
        let ahead = &flight.run.ahead;
        if ahead.stopped() || ahead.schedule.has_handed_out_all() {
            return false;
        }
        let worker = worker.get_or_insert_with(|| ahead.worker(hand.number));
        match ahead.claim(worker, *idle) {
            Claim::Run(indices) => {
                *idle = 0;
                let lane = ahead.counters.of(hand.number);
                lane.early.fetch_add(indices.len() as u64, Ordering::Relaxed);
                indices.for_each(|index| ahead.execute(worker, index));
                true
            }
            Claim::Wait | Claim::Finished => {
                *idle = idle.saturating_add(1);
                false
            }
        }
    }

    /// Concludes the current block if it is complete, or has failed, and nobody else is at it.
    fn conclude(&self, flight: &Arc<Flight<'r, B::Machine>>) -> bool {
        let Flight { index, run, .. } = &**flight;
        let complete = run.ahead.schedule.head() == run.ahead.schedule.len();
        if !complete && !run.ahead.stopped() {
            return false;
        }
        let Some(mut shelf) = self.tail.try_lock() else { return false };
        let is_current = |other: &Arc<_>| Arc::ptr_eq(other, flight);
        if !self.state.lock().current.as_ref().is_some_and(is_current) {
            return false;
        }
        let finished = self.finish(flight);
        let (result, mut sink) = match finished {
            Ok(finished) => finished,
            Err(error) => {
                self.fail(RangeError::Block { index: *index, error });
                return true;
            }
        };
        let next = self.hand_over();
        let tables = &*run.ahead.input.tables;
        let changes = output::flat(tables, &mut alone);
        self.setting.overlay.add(&changes);
        if let Some(layer) = next.as_ref().and_then(|next| next.layer.as_ref()) {
            layer.set_added();
        }
        self.set_up(&mut shelf);
        let statistics = run.ahead.counters.statistics(run.ahead.schedule.backed_off());
        let canonical = sink.canonical.take();
        let output = self.setting.output;
        let changed = || match output {
            OutputKind::Flat => StateOutput::Flat(changes),
            OutputKind::Bundle => StateOutput::Bundle(output::bundle(tables, &mut alone)),
        };
        let outcome = tally::outcome(output, canonical, result, statistics, changed);
        self.outcomes.lock().push_back((*index, outcome));
        self.waiting.fetch_add(1, Ordering::Release);
        true
    }

    /// The end of a complete block, or its failure.
    fn finish(
        &self,
        flight: &Flight<'r, B::Machine>,
    ) -> Result<(BlockExecutionResult<Receipt>, Sink<'r>), ExecuteError> {
        let Flight { index, run, .. } = flight;
        let mut committer = run.committer.lock();
        if let Some(error) = committer.failure.take() {
            return Err(error);
        }
        if run.ahead.stopped() {
            let message = "a block was stopped without a failure".to_owned();
            return Err(HostError::Internal(message).into());
        }
        committer.settle();
        let tally = std::mem::replace(&mut committer.tally, self.blocks.tally(*index));
        let mut sink = std::mem::take(&mut committer.sink);
        sink.next();
        let result = self.blocks.finish(*index, tally, &mut run.ahead.view(), &mut sink)?;
        Ok((result, sink))
    }

    /// The current block is final: the one ahead becomes the current one, and is returned.
    fn hand_over(&self) -> Option<Arc<Flight<'r, B::Machine>>> {
        let next = self.state.lock().ahead.clone();
        if let Some(flight) = &next {
            if let Some(layer) = &flight.layer {
                layer.close();
            }
            self.begin(flight.index, &flight.run);
        }
        self.change(|state| {
            state.ahead = None;
            state.current.clone_from(&next);
        });
        next
    }

    /// The system calls of a block whose parent is final. Where they fail, the block has failed.
    fn begin(&self, index: usize, run: &Run<'r, B::Machine, Unwatched>) {
        let mut committer = run.committer.lock();
        let begun = catch_unwind(AssertUnwindSafe(|| {
            self.blocks.begin(index, &mut run.ahead.view(), &mut committer.sink)
        }));
        let error = match begun {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(panic) => {
                let message = panic_message(&*panic);
                HostError::Panic { index: None, message }.into()
            }
        };
        run.fail(&mut committer, error);
    }

    /// Sets up what is missing, if there may be something and nobody else is at it.
    fn refill(&self) -> bool {
        let state = self.state.lock();
        let wanted = !state.over && state.ahead.is_none() && state.next < self.blocks.len();
        drop(state);
        if !wanted || self.waiting.load(Ordering::Acquire) >= WAITING {
            return false;
        }
        match self.tail.try_lock() {
            Some(mut shelf) => self.set_up(&mut shelf),
            None => false,
        }
    }

    /// Makes the flights of the blocks that come next. All concluded blocks are in the overlay.
    /// True where something has changed.
    fn set_up(&self, shelf: &mut Shelf) -> bool {
        let mut changed = false;
        loop {
            let state = self.state.lock();
            let (index, over) = (state.next, state.over);
            let parent = state.current.as_ref().map(|flight| flight.run.ahead.input.tables.clone());
            let full = state.ahead.is_some();
            drop(state);
            if over || full {
                return changed;
            }
            if index == self.blocks.len() {
                if parent.is_none() {
                    self.change(|state| state.over = true);
                }
                return changed;
            }
            if self.waiting.load(Ordering::Acquire) >= WAITING {
                return changed;
            }
            let is_current = parent.is_none();
            if let Err(error) = self.blocks.check_link(index) {
                if is_current {
                    self.fail(error);
                }
                // Else it is told when its turn comes.
                return changed;
            }
            let flight = self.flight(index, parent, shelf);
            if is_current {
                self.begin(index, &flight.run);
            }
            let flight = Some(Arc::new(flight));
            self.change(|state| {
                state.next = index + 1;
                if is_current {
                    state.current = flight;
                } else {
                    state.ahead = flight;
                }
            });
            changed = true;
        }
    }

    /// A block under way, on a parent that has these tables, or that is in the overlay.
    fn flight(
        &self,
        index: usize,
        parent: Option<Arc<Tables>>,
        shelf: &mut Shelf,
    ) -> Flight<'r, B::Machine> {
        let Setting { overlay, limits, stops, forced, optimisations, predictor, .. } = self.setting;
        let block = self.blocks.block(index);
        let tables = shelf.begin(block);
        let layer = parent.map(|parent| Arc::new(Layer::new(parent, overlay)));
        let parent = match &layer {
            Some(layer) => Parent::Block(layer.clone()),
            None => Parent::Source(overlay),
        };
        let sink = self.blocks.sink(index);
        let machine = self.blocks.machine(index, sink.wants_state());
        let committer = Committer::new(tables.clone(), self.blocks.tally(index), sink);
        let stop = &stops[index];
        let forecast = Forecast::wanted(optimisations, predictor, block);
        let input = Input {
            tables,
            block,
            parent,
            limits,
            stop,
            forced,
            optimisations,
            listed: None,
            runs_ahead: false,
            forecast,
            plan: None,
            helpers: self.setting.helpers.cloned(),
        };
        Flight { index, run: Run::new(machine, input, committer, Unwatched), layer }
    }

    fn change(&self, change: impl FnOnce(&mut State<'r, B::Machine>)) {
        let mut state = self.state.lock();
        if !state.over {
            change(&mut state);
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn fail(&self, error: RangeError) {
        self.change(|state| {
            state.failure.get_or_insert(error);
        });
        self.end();
    }

    /// Sends all workers home.
    pub(crate) fn end(&self) {
        self.change(|state| {
            state.over = true;
            state.current = None;
            state.ahead = None;
        });
        self.setting.stops.iter().for_each(|stop| stop.store(true, Ordering::Relaxed));
    }

    /// The next outcome, if it is there.
    pub(crate) fn take(&self) -> Option<(usize, Outcome)> {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return None;
        }
        let outcome = self.outcomes.lock().pop_front();
        if outcome.is_some() {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
        outcome
    }

    /// Why the range ended early.
    pub(crate) fn into_failure(self) -> Option<RangeError> {
        self.state.into_inner().failure
    }
}
