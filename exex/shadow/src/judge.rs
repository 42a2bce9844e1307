//! One block from its job to its verdict.
//!
//! Role: open, execute within the limits, compare; where there is a difference, ask sequential
//! execution on the same state, and record what was read. Runs on the worker's thread.
//!
//! Invariant: only a whole execution on a state that has everything can diverge; whatever else
//! goes wrong is a [`Skip`] with its reason.

use crate::{
    compare::{Difference, Place, compare},
    event::{Divergence, Event, Matched, Sequential, Speed},
    job::{Job, ParentState, Reason, Skip, Work},
    noted::Noted,
    recorded::{At, Prestate, RecordedBlock, Reference, StateCheck, StateMismatch},
    reports,
    settings::Settings,
};
use alloy_primitives::B256;
use braid_core::{
    Engine, ExecuteError, HostError, Options, Outcome, OutputKind,
    engine::{CancelToken, Limits},
    sequential::execute_stock,
    source::MemoryState,
};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

/// Executes and compares blocks with one engine.
pub(crate) struct Judge {
    engine: Engine,
    settings: Settings,
    cancel: CancelToken,
    /// Matched blocks so far, to know which one is sampled.
    matched: u64,
}

impl Judge {
    /// Starts the engine's threads; they inherit the priority of the calling one.
    pub(crate) fn new(settings: Settings, cancel: CancelToken) -> Self {
        let options = Options {
            threads: settings.threads.max(1),
            output: OutputKind::Flat,
            forced: settings.forced,
            ..Options::default()
        };
        Self { engine: Engine::new(options), settings, cancel, matched: 0 }
    }

    /// The verdict on one block. Never panics.
    pub(crate) fn judge(&mut self, job: Job) -> Event {
        let (number, hash) = (job.number, job.hash);
        let verdict = catch_unwind(AssertUnwindSafe(|| self.try_judge(job)));
        verdict
            .unwrap_or_else(|panic| Err(Skip::new(Reason::Panic, panic_message(&*panic))))
            .unwrap_or_else(|skip| Event::Skipped { number, hash, skip })
    }

    fn try_judge(&mut self, job: Job) -> Result<Event, Skip> {
        let deadline = Instant::now() + self.settings.deadline;
        let limits = Limits { cancel: Some(self.cancel.clone()), deadline: Some(deadline) };
        let mut work = (job.open?)()?;
        identify(job.number, job.hash, &work)?;
        let noted = Noted::new(work.state.source(), self.settings.memory_cap);
        let start = Instant::now();
        let result = self.engine.execute_within(&work.chain, &work.block, &noted, &limits);
        let elapsed = start.elapsed();
        let mut outcome = match result {
            Ok(outcome) => outcome,
            Err(ExecuteError::Host(error)) => return Err(host_failure(error, &work, &noted)),
            Err(ExecuteError::Invalid(invalid)) => {
                let difference =
                    Difference::new(Place::Block, "validity", "a valid block", invalid);
                return self.diverged(&job.hash, &work, &noted, difference);
            }
        };
        if let Some(alter) = &self.settings.alter {
            alter(&work.block, &mut outcome, &mut work.reference);
        }
        let compared = compare(&work.chain, &work.block, &outcome, &work.reference)
            .map_err(Objection::Differs)
            .and_then(|()| prove(&work, &outcome))
            .or_else(|objection| weigh(&work, &noted, &outcome, objection));
        match compared {
            Ok(proved) => Ok(self.matched(&job.hash, &work, &noted, &outcome, elapsed, proved)),
            Err(Objection::Unprovable(why)) => Err(Skip::new(Reason::BadWitness, why)),
            Err(Objection::Differs(found)) => self.diverged(&job.hash, &work, &noted, found),
        }
    }

    fn matched(
        &mut self,
        hash: &B256,
        work: &Work,
        noted: &Noted<'_>,
        outcome: &Outcome,
        elapsed: Duration,
        proved: StateCheck,
    ) -> Event {
        self.matched += 1;
        let every = self.settings.sample_every;
        let sampled = every > 0 && self.matched.is_multiple_of(every);
        Event::Matched(Matched {
            number: work.block.header.number,
            hash: *hash,
            transactions: work.block.transactions.len(),
            gas: outcome.gas_used,
            elapsed,
            statistics: outcome.statistics,
            memory: noted.bytes(),
            state_checked: work.reference.state.is_some() || proved != StateCheck::Unchecked,
            root_proved: proved == StateCheck::Root,
            speed: sampled.then(|| self.sample(work, noted)).flatten(),
        })
    }

    /// Both ways from memory. Sequential execution may read what the parallel one, which keeps
    /// codes apart from accounts, did not: that is noted first.
    fn sample(&self, work: &Work, noted: &Noted<'_>) -> Option<Speed> {
        let time = |state: &MemoryState| self.time(work, state);
        time(&noted.state()).or_else(|| {
            execute_stock(&work.chain, &work.block, noted, OutputKind::Flat).ok()?;
            time(&noted.state())
        })
    }

    /// Both ways on one state, each twice, in alternating order, so that neither is always the
    /// warmer one. The lesser time counts: threads of a low priority are often interrupted, and
    /// that only adds.
    fn time(&self, work: &Work, state: &MemoryState) -> Option<Speed> {
        let (chain, block) = (&work.chain, &work.block);
        let timed = |run: &dyn Fn() -> bool| {
            let start = Instant::now();
            run().then(|| start.elapsed())
        };
        let stock = || execute_stock(chain, block, state, OutputKind::Flat).is_ok();
        let parallel = || self.engine.execute(chain, block, state).is_ok();
        let (stock_first, parallel_first) = (timed(&stock)?, timed(&parallel)?);
        let (parallel_then, stock_then) = (timed(&parallel)?, timed(&stock)?);
        Some(Speed {
            stock: stock_first.min(stock_then),
            parallel: parallel_first.min(parallel_then),
        })
    }

    fn diverged(
        &self,
        hash: &B256,
        work: &Work,
        noted: &Noted<'_>,
        difference: Difference,
    ) -> Result<Event, Skip> {
        let sequential = sequential(work, noted, &difference);
        let alike = matches!(sequential, Sequential::AgreesWithParallel | Sequential::Unknown(_));
        if !work.complete && alike {
            let detail = format!("{difference}; the state may lack something: {sequential}");
            return Err(Skip::new(Reason::Incomplete, detail));
        }
        let record = record(work, noted, &difference);
        let report = match &self.settings.reports {
            Some(reports) => reports::write(reports, &record),
            None => Err("no report folder was given".to_owned()),
        };
        Ok(Event::Diverged(Divergence {
            number: work.block.header.number,
            hash: *hash,
            difference,
            sequential,
            report,
        }))
    }
}

/// The feed must have opened the block that it announced.
fn identify(number: u64, hash: B256, work: &Work) -> Result<(), Skip> {
    let header = &work.block.header;
    let found = header.hash_slow();
    if (header.number, found) == (number, hash) {
        return Ok(());
    }
    let opened = header.number;
    let detail = format!("announced as {number} ({hash}), opened as {opened} ({found})");
    Err(Skip::new(Reason::BadBlock, detail))
}

fn host_failure(error: HostError, work: &Work, noted: &Noted<'_>) -> Skip {
    let reason = match (&error, &work.state) {
        (HostError::Source(_), _) if noted.is_full() => Reason::Memory,
        // What was handed over with the block lacks something: nobody is unwell.
        (HostError::Source(_), ParentState::Record(record)) => match record.state {
            Prestate::Witness(_) => Reason::BadWitness,
            Prestate::Memory(_) => Reason::Incomplete,
        },
        (HostError::Source(_), ParentState::Source(_)) => Reason::Source,
        (HostError::Cancelled, _) => Reason::Shutdown,
        (HostError::DeadlineExceeded, _) => Reason::Deadline,
        (HostError::Panic { .. }, _) => Reason::Panic,
        (HostError::Internal(_), _) => Reason::Internal,
    };
    Skip::new(reason, error)
}

/// What stands between an outcome and a match.
enum Objection {
    /// The results are not the same.
    Differs(Difference),
    /// The proofs do not suffice to tell.
    Unprovable(String),
}

/// Proves the state after the block, where it came with proofs.
fn prove(work: &Work, outcome: &Outcome) -> Result<StateCheck, Objection> {
    let ParentState::Record(record) = &work.state else { return Ok(StateCheck::Unchecked) };
    record.check_state(&outcome.state.to_flat()).map_err(|mismatch| match mismatch {
        StateMismatch::Root { .. }
        | StateMismatch::Account { at: At::Block, .. }
        | StateMismatch::Slot { at: At::Block, .. } => Objection::Differs(Difference::new(
            Place::Block,
            "stateRoot",
            "a proof of another state",
            mismatch,
        )),
        mismatch => Objection::Unprovable(mismatch.to_string()),
    })
}

/// Where proofs do not suffice, a wrong change may be the cause: then sequential execution tells.
fn weigh(
    work: &Work,
    noted: &Noted<'_>,
    outcome: &Outcome,
    objection: Objection,
) -> Result<StateCheck, Objection> {
    let Objection::Unprovable(why) = objection else { return Err(objection) };
    let stock = execute_stock(&work.chain, &work.block, noted, OutputKind::Flat);
    if let Ok(stock) = stock {
        let state = Some(stock.state.to_flat());
        let reference = Reference { receipts: Some(stock.receipts), state, note: None };
        compare(&work.chain, &work.block, outcome, &reference).map_err(Objection::Differs)?;
    }
    Err(Objection::Unprovable(why))
}

/// What stock execution says on the same state; what it reads beyond is noted too.
fn sequential(work: &Work, noted: &Noted<'_>, difference: &Difference) -> Sequential {
    let run = || execute_stock(&work.chain, &work.block, noted, OutputKind::Flat);
    let outcome = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(ExecuteError::Invalid(invalid))) => {
            let same = *difference.executed == *invalid.to_string();
            return if same {
                Sequential::AgreesWithParallel
            } else {
                Sequential::AgreesWithNeither
            };
        }
        Ok(Err(ExecuteError::Host(error))) => return Sequential::Unknown(error.to_string()),
        Err(panic) => return Sequential::Unknown(panic_message(&*panic)),
    };
    let compared = compare(&work.chain, &work.block, &outcome, &work.reference)
        .map_err(Objection::Differs)
        .and_then(|()| prove(work, &outcome));
    match compared {
        Ok(_) => Sequential::AgreesWithReference,
        Err(Objection::Differs(found)) if found == *difference => Sequential::AgreesWithParallel,
        Err(Objection::Differs(_)) => Sequential::AgreesWithNeither,
        Err(Objection::Unprovable(why)) => Sequential::Unknown(why),
    }
}

/// The recorded block that reproduces the difference.
fn record(work: &Work, noted: &Noted<'_>, difference: &Difference) -> RecordedBlock {
    let mut record = match &work.state {
        ParentState::Record(record) => (**record).clone(),
        ParentState::Source(_) => {
            let state = Prestate::Memory(noted.state());
            let chain = (*work.chain).clone();
            let mut record = RecordedBlock::new(work.block.clone(), chain, state, work.complete);
            record.config = work.config.as_deref().cloned();
            record.parent.clone_from(&work.parent);
            record
        }
    };
    record.reference =
        Some(Reference { note: Some(difference.to_string()), ..work.reference.clone() });
    record
}

/// The text of a panic, where it has one.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}
