//! Which transactions a worker takes next.
//!
//! Role: hand out each transaction exactly once, in index order but for three exceptions: the few
//! that promise to run long start first ([`super::order`]); a transaction waits for an earlier one
//! that it nearly always conflicts with ([`super::dependencies`]); and it waits for the previous
//! call of a target whose speculation has failed before, in this block or in earlier ones
//! ([`super::chains`]), as long as a worker finds anything else. The head goes before all of them.
//! Short payments are handed out several at once. None of it can change a result: a wrong order
//! costs a re-execution.
//!
//! Where speculation keeps failing it hands out only the head for a while ([`super::back_off`]), so
//! that a serial block costs little more than sequential execution.

use super::{
    Optimisations,
    back_off::BackOff,
    chains::Chains,
    dependencies::NONE,
    forecast::Forecast,
    order::long,
    plan::{IDLE, Item, Plan},
    record::Record,
    work::{INTRINSIC, Work},
};
use crate::{
    block::Block,
    sync::{
        Line, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        lock_soon,
    },
};
use std::{collections::VecDeque, ops::Range};

/// How far beyond the head workers speculate: bounds memory. While one long transaction holds the
/// head, eight workers come to the end of half as many.
pub(super) const WINDOW: usize = 1024;
/// How many transactions may wait before workers stop looking further ahead.
const MAX_DEFERRED: usize = 64;
/// How often a worker looks in vain before it takes what waited for another worker's transaction.
const PATIENCE: u32 = 3;
/// How many payments are handed out at once: each takes about as long as handing it out does.
const PAYMENTS: usize = 8;
/// A call without data that uses more gas than two plain payments has run code.
const PAYMENT_GAS: u64 = 2 * INTRINSIC;

/// What a worker should do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Execute these transactions, in order.
    Run(Range<usize>),
    /// Nothing can be taken now; look again soon.
    Wait,
    /// Everything has been handed out.
    Finished,
}

impl Claim {
    const fn one(index: usize) -> Self {
        Self::Run(index..index + 1)
    }
}

#[derive(Debug, Default)]
struct Queue {
    next: usize,
    deferred: Vec<u32>,
    /// Long transactions, and long chains of them, that nobody has looked at yet.
    long: VecDeque<u32>,
    /// Those that were taken, or deferred, before their turn.
    started: Vec<u32>,
}

/// What became of the speculation on a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// There was none: it ran in its turn.
    Direct,
    /// Its result was the transaction's.
    Held,
    /// Its first result was stale; a later one, still ahead of its turn, was the transaction's.
    Repeated,
    /// It came to nothing.
    Failed,
}

/// What is there of a transaction that was ready.
#[derive(Debug)]
pub(crate) enum Taken {
    Record(Box<Record>),
    /// Its speculation came to nothing.
    Nothing,
    /// It is no longer ready: a worker executes it once more.
    Retracted,
}

/// Hands out the transactions of one block.
#[derive(Debug)]
pub(crate) struct Schedule<'b> {
    items: Box<[Item]>,
    /// The transaction that one waits for whatever is known, if any ([`super::dependencies`]).
    before: Box<[u32]>,
    /// Calls of targets that conflict.
    chains: Chains<'b>,
    /// Whoever finds nothing else for long takes what waits for a call that it may conflict with:
    /// a run that may be stale is better than none where idle workers repeat it. Not what waits for
    /// an earlier one in any case: it would be stale, or without the sender's nonce fail.
    eager: bool,
    /// Calls without data have run code in this block: they are no cheap payments.
    payments_call: AtomicBool,
    head: Line<AtomicUsize>,
    /// Below this index only the head is handed out.
    serial_until: AtomicUsize,
    queue: Line<Mutex<Queue>>,
    /// Set when the queue was found empty for good.
    handed_out: AtomicBool,
}

impl<'b> Schedule<'b> {
    pub(crate) fn new(
        block: &'b Block,
        optimisations: Optimisations,
        forecast: Option<&Forecast<'_>>,
    ) -> Self {
        Self::planned(block, Plan::new(block, optimisations), optimisations, forecast)
    }

    /// The same with a plan that was made before, with the same optimisations.
    pub(crate) fn planned(
        block: &'b Block,
        plan: Plan<'b>,
        optimisations: Optimisations,
        forecast: Option<&Forecast<'_>>,
    ) -> Self {
        let Plan { items, before, chains, hot: _, work } = plan;
        let expected = |index| forecast.and_then(|forecast| forecast.of(index));
        let conflicts = |index| expected(index).is_some_and(|call| call.conflicts);
        (0..block.transactions.len())
            .filter(|index| conflicts(*index))
            .for_each(|index| chains.failed(index));
        let long = if optimisations.long_first {
            let work = work.unwrap_or_else(|| Work::new(block));
            long(block, &work, forecast, &before)
        } else {
            VecDeque::new()
        };
        Self {
            before,
            eager: optimisations.revalidate,
            chains,
            payments_call: AtomicBool::new(!optimisations.payment_runs),
            head: Line(AtomicUsize::new(0)),
            serial_until: AtomicUsize::new(0),
            queue: Line(Mutex::new(Queue { long, ..Queue::default() })),
            handed_out: AtomicBool::new(items.is_empty()),
            items,
        }
    }

    pub(crate) fn head(&self) -> usize {
        self.head.load(Ordering::Acquire)
    }

    pub(crate) const fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn is_ready(&self, index: usize) -> bool {
        self.executor(index).is_some()
    }

    /// The worker whose record of this transaction waits for its turn, if there is one.
    pub(crate) fn executor(&self, index: usize) -> Option<u8> {
        let status = self.items.get(index)?.status.load(Ordering::Acquire);
        (status != IDLE).then_some(status)
    }

    /// Leaves a transaction's record for whoever commits it.
    pub(crate) fn put(&self, index: usize, record: Box<Record>) {
        *self.items[index].record.lock() = Some(record);
    }

    /// The record of a transaction that was found ready.
    pub(crate) fn take(&self, index: usize) -> Taken {
        let mut record = self.items[index].record.lock();
        if !self.is_ready(index) {
            return Taken::Retracted;
        }
        record.take().map_or(Taken::Nothing, Taken::Record)
    }

    /// Makes a ready transaction unready again, where its record turns out to be stale. Whoever
    /// gets the record executes it once more, and marks it ready whatever comes of that.
    pub(crate) fn retract(
        &self,
        index: usize,
        stale: impl FnOnce(&Record) -> bool,
    ) -> Option<Box<Record>> {
        let mut record = self.items[index].record.lock();
        if !self.is_ready(index) || !record.as_deref().is_some_and(stale) {
            return None;
        }
        self.set_unready(index);
        record.take()
    }

    /// Marks a transaction as stale and about to be executed once more.
    pub(super) fn set_unready(&self, index: usize) {
        self.items[index].status.store(IDLE, Ordering::Release);
        self.set_failed(index);
        self.note_sound(index);
    }

    /// Marks a transaction as executed by the worker with this mark.
    pub(crate) fn set_ready(&self, index: usize, worker: u8) {
        self.items[index].status.store(worker, Ordering::Release);
    }

    /// Moves the head past a committed transaction. For the token's holder.
    pub(crate) fn advance(&self, back_off: &mut BackOff, index: usize, speculation: Fate) {
        if !self.is_ready(index) {
            self.set_ready(index, u8::MAX);
        }
        if speculation == Fate::Held {
            self.chains.held(index);
        }
        if let Some(pause) = back_off.note(speculation == Fate::Failed) {
            self.serial_until.store(index + 1 + pause, Ordering::Relaxed);
        }
        self.head.store(index + 1, Ordering::Release);
    }

    /// Notes that a transaction's speculation turned out to be stale.
    pub(crate) fn set_failed(&self, index: usize) {
        self.items[index].failed.store(true, Ordering::Relaxed);
        self.chains.failed(index);
    }

    /// Whether it did.
    pub(crate) fn has_failed(&self, index: usize) -> bool {
        self.items[index].failed.load(Ordering::Relaxed)
    }

    /// Takes the head for somebody who executes it without having claimed anything; false where a
    /// worker has it already.
    pub(crate) fn claim_head(&self, head: usize) -> bool {
        let mut queue = self.queue.lock();
        let taken = |list: &mut Vec<u32>| {
            let at = list.iter().position(|index| *index as usize == head);
            at.map(|at| list.remove(at)).is_some()
        };
        if taken(&mut queue.deferred) {
            return true;
        }
        if queue.next > head || queue.started.contains(&(head as u32)) {
            return false;
        }
        // Everything before the head is committed, so nothing before it waits to be handed out.
        queue.next = head + 1;
        queue.long.retain(|long| *long as usize != head);
        true
    }

    /// Notes how much gas a transaction used.
    pub(crate) fn executed(&self, index: usize, gas_used: u64) {
        if self.items[index].payment && gas_used > PAYMENT_GAS {
            self.payments_call.store(true, Ordering::Relaxed);
        }
    }

    /// Whether there is nothing left to claim.
    pub(crate) fn has_handed_out_all(&self) -> bool {
        self.handed_out.load(Ordering::Relaxed)
    }

    /// Whether the scheduler backed off at least once.
    pub(crate) fn backed_off(&self) -> bool {
        self.serial_until.load(Ordering::Relaxed) > 0
    }

    /// The next transactions for a worker that executed `last` and has looked in vain `idle`
    /// times since.
    ///
    /// What waited for `last` goes to that worker first: its caches hold what the successor reads.
    /// Others take it only when they find nothing else for a while, so that a chain does not
    /// travel between cores.
    pub(crate) fn claim(&self, last: Option<usize>, idle: u32) -> Claim {
        let head = self.head();
        if head >= self.len() {
            return Claim::Finished;
        }
        let serial = head < self.serial_until.load(Ordering::Relaxed);
        let mut queue = lock_soon(&self.queue);
        let runnable = |index: &u32| {
            let index = *index as usize;
            index == head || (!serial && self.is_free(index))
        };
        let follows = |index: &u32| last.is_some_and(|last| self.follows(*index, last as u32));
        // Nothing else can be committed before the head.
        let first = |index: &u32| *index as usize == head || (follows(index) && runnable(index));
        let waited = queue.deferred.iter().position(first);
        if let Some(at) = waited {
            return self.hand_out(queue.deferred.remove(at) as usize);
        }
        if !serial && let Some(long) = self.begin_early(&mut queue) {
            return self.hand_out(long as usize);
        }
        let limit = self.len().min(head + WINDOW);
        // Chains that were begun early may wait for what was not looked at yet: not for ever, since
        // the head is looked at however many wait.
        while queue.next < limit && (queue.deferred.len() < MAX_DEFERRED || queue.next <= head) {
            let index = queue.next;
            if queue.started.contains(&(index as u32)) {
                queue.next += 1;
                continue;
            }
            if serial && (index != head || (idle < PATIENCE && last.is_none_or(|l| l + 1 != index)))
            {
                break;
            }
            queue.next += 1;
            if !queue.long.is_empty() {
                queue.long.retain(|long| *long as usize != index);
            }
            if index == head || self.is_free(index) {
                if !serial {
                    self.lengthen(&mut queue, limit);
                }
                let end = queue.next;
                return if end == index + 1 {
                    self.hand_out(index)
                } else {
                    Claim::Run(index..end)
                };
            }
            queue.deferred.push(index as u32);
        }
        if idle >= PATIENCE
            && let Some(at) = queue.deferred.iter().position(runnable)
        {
            return self.hand_out(queue.deferred.remove(at) as usize);
        }
        let doubtful = |index: &u32| self.eager && !serial && self.is_done(self.before(*index));
        if idle > PATIENCE
            && let Some(at) = queue.deferred.iter().position(doubtful)
        {
            return self.hand_out(queue.deferred.remove(at) as usize);
        }
        if queue.next >= self.len() && queue.deferred.is_empty() {
            self.handed_out.store(true, Ordering::Relaxed);
            return Claim::Finished;
        }
        Claim::Wait
    }

    /// The next long transaction that can begin; those that wait are deferred.
    fn begin_early(&self, queue: &mut Queue) -> Option<u32> {
        while let Some(long) = queue.long.pop_front() {
            queue.started.push(long);
            if self.is_free(long as usize) {
                return Some(long);
            }
            queue.deferred.push(long);
        }
        None
    }

    /// Takes the payments that follow a payment just taken.
    fn lengthen(&self, queue: &mut Queue, limit: usize) {
        if self.payments_call.load(Ordering::Relaxed) || !self.items[queue.next - 1].payment {
            return;
        }
        // Near the end of the block every worker shall find something.
        let most = PAYMENTS.min((self.len() - queue.next) / 4);
        let limit = limit.min(queue.next + most);
        while queue.next < limit
            && self.items[queue.next].payment
            && self.is_free(queue.next)
            && !queue.started.contains(&(queue.next as u32))
        {
            queue.next += 1;
        }
    }

    /// Whether a transaction waited for this other one.
    fn follows(&self, index: u32, last: u32) -> bool {
        self.before(index) == last || self.chains.previous(index as usize) == last
    }

    fn before(&self, index: u32) -> u32 {
        self.before.get(index as usize).copied().unwrap_or(NONE)
    }

    /// Whether a transaction has been executed, or there is none.
    fn is_done(&self, index: u32) -> bool {
        index == NONE || self.is_ready(index as usize)
    }

    /// Whether everything that the transaction is known to need has been executed.
    fn is_free(&self, index: usize) -> bool {
        if !self.is_done(self.before(index as u32)) {
            return false;
        }
        !self.chains.fails(index) || self.is_settled(self.chains.previous(index))
    }

    /// Whether a transaction has come to an end that its successor can build on: it began when its
    /// own predecessor had, or it is committed. A run on what is going to be repeated is stale
    /// itself, and so would be the whole rest of the chain.
    fn is_settled(&self, index: u32) -> bool {
        if index == NONE || (index as usize) < self.head() {
            return true;
        }
        let index = index as usize;
        self.is_ready(index) && self.items[index].sound.load(Ordering::Relaxed)
    }

    fn hand_out(&self, index: usize) -> Claim {
        self.note_sound(index);
        Claim::one(index)
    }

    /// Notes what a transaction that is about to run can build on.
    fn note_sound(&self, index: usize) {
        if self.chains.is_active() {
            let sound = self.is_settled(self.chains.previous(index));
            self.items[index].sound.store(sound, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests;
