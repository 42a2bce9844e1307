//! The engine's schedule in virtual time.
//!
//! Role: tell how long a block takes on more cores than the machine has, from what its
//! transactions cost and what they depend on. Transactions are handed out by the engine's own
//! scheduler, not by a model of it; modelled are the workers: each executes what it is given, then
//! commits the ready prefix if nobody else does, and repeats a stale head there and then.
//!
//! The model of time: a run takes what it takes alone, on any worker and however many run. What a
//! transaction writes is there for others when its run ends, what it reads is read when its run
//! begins: a run is stale that begins before one of its predecessors has left its final values.
//! Both ends are pessimistic, and the slower memory under many workers is left out, which is
//! optimistic. A worker that finds nothing to do looks again after `LOOK_NS`, later after `NAP_NS`,
//! as the real one does. Now and then it repeats, as in the engine, the first run that is known to
//! be stale: one of its predecessors has left its final values since the run began. Looking for it
//! takes no time.
//!
//! Those that find nothing to do take part in what can be shared of a run (`sharing`).
//!
//! Invariant: events are taken by time, then by worker, so that the same input gives the same
//! output.

mod sharing;

use sharing::Offered;

use super::{
    Engine, Optimisations,
    back_off::BackOff,
    forecast::Forecast,
    revalidate::{first, is_time},
    schedule::{Claim, Fate, Schedule, WINDOW},
};
use crate::{block::Block, trace::Shareable};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    ops::Range,
};

/// How long an idle worker spins before it looks again, nanoseconds.
const LOOK_NS: u64 = 3_000;
/// How often it does before it sleeps.
const LOOKS: u32 = 50;
/// How long it sleeps then, as in the engine, with the time that waking takes, nanoseconds.
const NAP_NS: u64 = 110_000;

/// What one transaction costs and needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cost {
    /// How long a run of it takes, recording included, nanoseconds.
    pub run_ns: u64,
    /// How long publishing, validating and committing it takes, nanoseconds; nobody else commits
    /// meanwhile.
    pub commit_ns: u64,
    /// Gas used.
    pub gas_used: u64,
    /// The earlier transactions whose writes it needs; any others are left out of account.
    pub after: Vec<usize>,
    /// What of `run_ns` other threads can take part in, by start, which counts from the run's; none
    /// of them overlap.
    pub shareable: Vec<Shareable>,
}

/// A block to simulate.
#[derive(Debug, Clone, Copy)]
pub struct Simulation<'a> {
    /// The transactions' own fields, which the scheduler looks at.
    pub block: &'a Block,
    /// Which of the scheduler's optimisations are on.
    pub optimisations: Optimisations,
    /// The engine whose predictions the scheduler has; without one nothing is known before.
    pub engine: Option<&'a Engine>,
    /// One for each transaction; one that has none takes no time.
    pub costs: &'a [Cost],
    /// When the other workers join the calling thread, nanoseconds.
    pub wake_ns: u64,
}

/// What a simulated block took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Simulated {
    /// From the first transaction's start until all workers have left, nanoseconds.
    pub nanos: u64,
    /// All runs.
    pub executions: u64,
    /// Stale runs that were repeated.
    pub reexecutions: u64,
    /// Runs on committed state without speculation.
    pub direct: u64,
    /// Whether the scheduler backed off.
    pub fell_back: bool,
}

impl Simulation<'_> {
    /// The time on this many workers; at least one. Waits for a block that the engine is at.
    pub fn run(&self, workers: usize) -> Simulated {
        let inner = self.engine.map(|engine| engine.inner.lock());
        let forecast = inner
            .as_ref()
            .and_then(|inner| Forecast::wanted(self.optimisations, &inner.predictor, self.block));
        let count = self.block.transactions.len();
        let mut clock = Clock {
            costs: self.costs,
            revalidate: self.optimisations.revalidate,
            shares: self.optimisations.shared_checks,
            schedule: Schedule::new(self.block, self.optimisations, forecast.as_ref()),
            back_off: BackOff::default(),
            workers: (0..workers.max(1)).map(Worker::new).collect(),
            token: None,
            waiting: VecDeque::new(),
            valid: vec![false; count],
            begun: vec![0; count],
            repeated: vec![false; count],
            settled: vec![None; count],
            offered: Vec::new(),
            events: BinaryHeap::new(),
            result: Simulated::default(),
        };
        clock.run(self.wake_ns);
        clock.result.fell_back = clock.schedule.backed_off();
        clock.result
    }
}

/// What a worker is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Looks for something to do.
    Free,
    /// Runs this transaction ahead of its turn.
    Speculating(usize),
    /// Waits for the token, to run this transaction in its turn.
    WantsDirect(usize),
    /// Runs this transaction in its turn.
    Running(usize, Then),
    /// Commits what it ran in its turn.
    Direct(usize),
    /// Waits for the token, to commit what is ready and leave.
    WantsToLeave,
    /// Commits this transaction; after a repeated run or not.
    Committing(usize, bool),
}

/// Why a transaction runs in its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Direct,
    Repeated,
}

impl Then {
    /// What comes after the run.
    const fn phase(self, index: usize) -> Phase {
        match self {
            Self::Direct => Phase::Direct(index),
            Self::Repeated => Phase::Committing(index, true),
        }
    }
}

struct Worker {
    mark: u8,
    phase: Phase,
    claimed: Range<usize>,
    last: Option<usize>,
    idle: u32,
    stuck: usize,
    /// Everything was handed out: it leaves after its next commits.
    leaving: bool,
    /// It found nothing to claim and looks again later.
    pausing: bool,
    /// Until when it helps with another one's transaction.
    helps_until: u64,
    /// How many stretches of its run it has begun.
    stretch: usize,
}

impl Worker {
    fn new(number: usize) -> Self {
        let mark = u8::try_from(number + 1).unwrap_or(u8::MAX);
        let (phase, claimed, last, idle) = (Phase::Free, 0..0, None, 0);
        let (stuck, leaving, pausing) = (usize::MAX, false, false);
        let (helps_until, stretch) = (0, 0);
        Self { mark, phase, claimed, last, idle, stuck, leaving, pausing, helps_until, stretch }
    }
}

struct Clock<'a> {
    costs: &'a [Cost],
    revalidate: bool,
    shares: bool,
    schedule: Schedule<'a>,
    back_off: BackOff,
    workers: Vec<Worker>,
    token: Option<usize>,
    waiting: VecDeque<usize>,
    /// Whether the ready record of a transaction read final values.
    valid: Vec<bool>,
    /// When its last run ahead of its turn began.
    begun: Vec<u64>,
    /// Whether it was repeated ahead of its turn.
    repeated: Vec<bool>,
    /// When a transaction's final values were there.
    settled: Vec<Option<u64>>,
    /// What others can take part in.
    offered: Vec<Offered>,
    events: BinaryHeap<Reverse<(u64, usize)>>,
    result: Simulated,
}

impl Clock<'_> {
    fn run(&mut self, wake_ns: u64) {
        for worker in 0..self.workers.len() {
            self.at(if worker == 0 { 0 } else { wake_ns }, worker);
        }
        while let Some(Reverse((now, worker))) = self.events.pop() {
            self.result.nanos = self.result.nanos.max(now);
            self.step(now, worker);
        }
    }

    fn at(&mut self, time: u64, worker: usize) {
        self.events.push(Reverse((time, worker)));
    }

    /// How long a run of the transaction takes, and its commit, nanoseconds.
    fn times(&self, index: usize) -> (u64, u64) {
        self.costs.get(index).map_or((0, 0), |cost| (cost.run_ns, cost.commit_ns))
    }

    fn executed(&self, index: usize) {
        let gas_used = self.costs.get(index).map_or(0, |cost| cost.gas_used);
        self.schedule.executed(index, gas_used);
    }

    /// Begins a run.
    fn start(&mut self, now: u64, worker: usize, index: usize) {
        self.workers[worker].stretch = 0;
        let time = now + self.stage_ns(worker, index);
        self.at(time, worker);
    }

    /// How long the worker's run takes until its next stretch that can be shared, or until it ends.
    fn stage_ns(&self, worker: usize, index: usize) -> u64 {
        let Some(cost) = self.costs.get(index) else { return 0 };
        let stretch = self.workers[worker].stretch;
        let last = stretch.checked_sub(1).and_then(|last| cost.shareable.get(last));
        let from = last.map_or(0, |last| last.start + last.nanos);
        let to = cost.shareable.get(stretch).map_or(cost.run_ns, |next| next.start);
        to.saturating_sub(from)
    }

    /// Goes on with the worker's run; false where it has ended.
    fn goes_on(&mut self, now: u64, worker: usize, index: usize) -> bool {
        let next = match self.take_part(now, worker) {
            Some((free, false)) => Some(free),
            Some((free, true)) => Some(free + self.stage_ns(worker, index)),
            None => self.come_to_stretch(now, worker, index),
        };
        let next = next.or_else(|| Some(self.settle(now, worker)).filter(|settled| *settled > now));
        if let Some(next) = next {
            self.at(next, worker);
        }
        next.is_some()
    }

    /// Begins the next stretch of the worker's run that others can take part in; when the worker
    /// is then free again. `None` where there is none.
    fn come_to_stretch(&mut self, now: u64, worker: usize, index: usize) -> Option<u64> {
        let costs = self.costs;
        let stretch = costs.get(index)?.shareable.get(self.workers[worker].stretch)?;
        self.workers[worker].stretch += 1;
        let rest = self.stage_ns(worker, index);
        if !self.shares {
            return Some(now + stretch.nanos + rest);
        }
        self.offer(now, worker, stretch);
        match self.take_part(now, worker) {
            Some((free, _)) => Some(free),
            None => Some(now + rest),
        }
    }

    /// What a worker was at has ended.
    fn step(&mut self, now: u64, worker: usize) {
        let phase = self.workers[worker].phase;
        if let Phase::Speculating(index) | Phase::Running(index, _) = phase
            && self.goes_on(now, worker, index)
        {
            return;
        }
        match phase {
            Phase::Free => self.look(now, worker),
            Phase::Running(index, then) => {
                self.workers[worker].phase = then.phase(index);
                let time = now + self.times(index).1;
                self.at(time, worker);
            }
            Phase::Speculating(index) => self.speculated(now, worker, index),
            Phase::WantsDirect(index) => {
                self.workers[worker].phase = Phase::Running(index, Then::Direct);
                self.result.direct += 1;
                self.result.executions += 1;
                self.start(now, worker, index);
            }
            Phase::Direct(index) => {
                self.executed(index);
                self.advance(now, index, Fate::Direct);
                self.commit_next(now, worker);
            }
            Phase::WantsToLeave => self.commit_next(now, worker),
            Phase::Committing(index, repeated) => {
                let fate = match (repeated, self.repeated[index]) {
                    (true, _) => Fate::Failed,
                    (false, true) => Fate::Repeated,
                    (false, false) => Fate::Held,
                };
                self.advance(now, index, fate);
                self.commit_next(now, worker);
            }
        }
    }

    fn look(&mut self, now: u64, worker: usize) {
        if let Some(index) = self.workers[worker].claimed.next() {
            return self.begin(now, worker, index);
        }
        if self.help(now, worker, false) {
            return;
        }
        let Worker { last, idle, .. } = self.workers[worker];
        match self.schedule.claim(last, idle) {
            Claim::Run(indices) => {
                let this = &mut self.workers[worker];
                this.idle = 0;
                this.last = indices.clone().last();
                this.claimed = indices;
                if let Some(index) = this.claimed.next() {
                    self.begin(now, worker, index);
                }
            }
            Claim::Wait | Claim::Finished if self.help(now, worker, true) => {}
            Claim::Wait => {
                if is_time(idle) && self.revalidate(now, worker) {
                    return;
                }
                self.workers[worker].idle += 1;
                self.workers[worker].pausing = true;
                if self.token.is_none() {
                    self.token = Some(worker);
                    self.commit_next(now, worker);
                } else {
                    self.go_on(now, worker);
                }
            }
            Claim::Finished => {
                if self.revalidate(now, worker) {
                    return;
                }
                self.workers[worker].leaving = true;
                self.workers[worker].phase = Phase::WantsToLeave;
                self.want_token(now, worker);
            }
        }
    }

    fn begin(&mut self, now: u64, worker: usize, index: usize) {
        if index == self.schedule.head() {
            self.workers[worker].phase = Phase::WantsDirect(index);
            return self.want_token(now, worker);
        }
        self.speculate(now, worker, index);
    }

    /// The earlier transactions whose writes this one needs.
    fn after(&self, index: usize) -> impl Iterator<Item = usize> {
        let after = self.costs.get(index).map_or(&[][..], |cost| &cost.after);
        after.iter().copied().filter(move |of| *of < index)
    }

    fn speculate(&mut self, now: u64, worker: usize, index: usize) {
        let valid = self.after(index).all(|of| self.settled[of].is_some());
        self.valid[index] = valid;
        self.begun[index] = now;
        self.workers[worker].phase = Phase::Speculating(index);
        self.result.executions += 1;
        self.start(now, worker, index);
    }

    /// Repeats the first ready run that is known to be stale; false where there is none.
    fn revalidate(&mut self, now: u64, worker: usize) -> bool {
        let is_stale = |index: &usize| {
            let news = |of: usize| self.settled[of].is_some_and(|time| time > self.begun[*index]);
            // A predecessor that is stale itself, or is being repeated, comes first.
            let unsettled = |of| self.is_stale(of) || self.is_repeated(of);
            self.is_stale(*index)
                && self.after(*index).any(news)
                && !self.after(*index).any(unsettled)
        };
        let end = self.schedule.len().min(self.schedule.head() + WINDOW);
        let retractable = first(&self.schedule)..end;
        let found = if self.revalidate { retractable.into_iter().find(is_stale) } else { None };
        let Some(index) = found else { return false };
        self.schedule.set_unready(index);
        self.repeated[index] = true;
        self.result.reexecutions += 1;
        self.speculate(now, worker, index);
        true
    }

    /// Whether its last run is over, not committed, and stale.
    fn is_stale(&self, index: usize) -> bool {
        index >= self.schedule.head() && self.schedule.is_ready(index) && !self.valid[index]
    }

    /// Whether it is being repeated ahead of its turn.
    fn is_repeated(&self, index: usize) -> bool {
        self.repeated[index] && !self.schedule.is_ready(index)
    }

    fn speculated(&mut self, now: u64, worker: usize, index: usize) {
        if self.valid[index] {
            self.settled[index] = Some(now);
        }
        self.executed(index);
        let mark = self.workers[worker].mark;
        self.schedule.set_ready(index, mark);
        let head = self.schedule.head();
        match self.schedule.executor(head) {
            Some(other) if other != mark && self.workers[worker].stuck != head => {
                self.workers[worker].stuck = head;
            }
            Some(_) if self.token.is_none() => {
                self.token = Some(worker);
                return self.commit_next(now, worker);
            }
            _ => {}
        }
        self.go_on(now, worker);
    }

    /// Waits for the token, however long.
    fn want_token(&mut self, now: u64, worker: usize) {
        if self.token.is_none() {
            self.token = Some(worker);
            self.step(now, worker);
        } else {
            self.waiting.push_back(worker);
        }
    }

    /// The token's holder commits the head, if it is ready, or gives the token away.
    fn commit_next(&mut self, now: u64, worker: usize) {
        let head = self.schedule.head();
        if self.schedule.is_ready(head) {
            if self.valid[head] {
                self.workers[worker].phase = Phase::Committing(head, false);
                return self.at(now + self.times(head).1, worker);
            }
            self.schedule.set_failed(head);
            self.workers[worker].phase = Phase::Running(head, Then::Repeated);
            self.result.executions += 1;
            self.result.reexecutions += 1;
            return self.start(now, worker, head);
        }
        self.token = self.waiting.pop_front();
        if let Some(next) = self.token {
            self.at(now, next);
        }
        if self.workers[worker].leaving {
            self.workers[worker].phase = Phase::WantsToLeave;
        } else {
            self.go_on(now, worker);
        }
    }

    fn advance(&mut self, now: u64, index: usize, fate: Fate) {
        self.settled[index].get_or_insert(now);
        self.schedule.advance(&mut self.back_off, index, fate);
    }

    /// Looks for work, at once or after a pause.
    fn go_on(&mut self, now: u64, worker: usize) {
        let this = &mut self.workers[worker];
        this.phase = Phase::Free;
        let pause = match (std::mem::take(&mut this.pausing), this.idle < LOOKS) {
            (false, _) => 0,
            (true, true) => LOOK_NS,
            (true, false) => NAP_NS,
        };
        self.at(now + pause, worker);
    }
}

/// The least time that any schedule of whole transactions needs on this many workers, commits left
/// out, nanoseconds: the heaviest chain, or all the work shared evenly.
pub fn bound(costs: &[Cost], workers: usize) -> u64 {
    let mut ends = Vec::with_capacity(costs.len());
    for cost in costs {
        let start = cost.after.iter().filter_map(|of| ends.get(*of).copied()).max();
        ends.push(start.unwrap_or(0u64).saturating_add(cost.run_ns));
    }
    let work: u64 = costs.iter().map(|cost| cost.run_ns).sum();
    let chain = ends.into_iter().max().unwrap_or_default();
    chain.max(work.div_ceil(workers.max(1) as u64))
}

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests;
