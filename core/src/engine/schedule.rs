//! Which transaction a worker takes next.
//!
//! Role: hand out each transaction exactly once, in index order but for those that wait: for the
//! same sender's previous transaction, whose nonce and balance they need, or for the previous call
//! of a target whose speculation has failed before. None of it can change a result: a wrong order
//! costs a re-execution.
//!
//! Back-off: where speculation keeps failing the scheduler hands out only the head for a while,
//! twice as long each time, so that a serial block costs little more than sequential execution.

use super::Optimisations;
use crate::{
    block::Block,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
};
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, map::HashMap};

/// No such transaction.
const NONE: u32 = u32::MAX;
/// How far beyond the head workers speculate: bounds memory, far more than workers can use.
const WINDOW: usize = 512;
/// How many transactions may wait before workers stop looking further ahead.
const MAX_DEFERRED: usize = 64;
/// How often a worker looks in vain before it takes what waited for another worker's transaction.
const PATIENCE: u32 = 3;
/// Failed validations among this many commits that make the scheduler back off.
const PROBE: usize = 8;
const PROBE_FAILURES: usize = 4;
/// The longest pause, in transactions: a block's conflicts may end.
const MAX_PAUSE: usize = 128;

/// The life of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    Idle = 0,
    /// Executed; its record waits for its turn.
    Ready = 1,
}

/// What a worker should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Execute this transaction.
    Run(usize),
    /// Nothing can be taken now; look again soon.
    Wait,
    /// Everything has been handed out.
    Finished,
}

#[derive(Debug, Default)]
struct Queue {
    next: usize,
    deferred: Vec<u32>,
}

/// Back-off, moved on by the token's holder.
#[derive(Debug)]
struct BackOff {
    commits: usize,
    failures: usize,
    pause: usize,
}

/// Hands out the transactions of one block.
#[derive(Debug)]
pub(crate) struct Schedule {
    len: usize,
    status: Box<[AtomicU8]>,
    /// The previous transaction with the same sender, where one waits for it.
    by_sender: Box<[u32]>,
    /// The previous transaction with the same target.
    by_target: Box<[u32]>,
    /// Set on a transaction whose speculation failed, for the next one with its target.
    failed: Box<[AtomicBool]>,
    head: AtomicUsize,
    /// Below this index only the head is handed out.
    serial_until: AtomicUsize,
    queue: Mutex<Queue>,
    back_off: Mutex<BackOff>,
}

impl Schedule {
    pub(crate) fn new(block: &Block, optimisations: Optimisations) -> Self {
        let len = block.transactions.len();
        let mut senders: HashMap<Address, u32> = HashMap::default();
        let mut targets: HashMap<Address, u32> = HashMap::default();
        let mut by_sender = Vec::with_capacity(len);
        let mut by_target = Vec::with_capacity(len);
        for (index, tx) in block.transactions.iter().enumerate() {
            let index = index as u32;
            let previous = senders.insert(tx.signer(), index);
            by_sender
                .push(previous.filter(|_| !optimisations.commutative_balances).unwrap_or(NONE));
            let target = tx.to().and_then(|to| targets.insert(to, index));
            by_target.push(target.unwrap_or(NONE));
        }
        Self {
            len,
            status: (0..len).map(|_| AtomicU8::new(Status::Idle as u8)).collect(),
            by_sender: by_sender.into(),
            by_target: by_target.into(),
            failed: (0..len).map(|_| AtomicBool::new(false)).collect(),
            head: AtomicUsize::new(0),
            serial_until: AtomicUsize::new(0),
            queue: Mutex::default(),
            back_off: Mutex::new(BackOff { commits: 0, failures: 0, pause: 8 }),
        }
    }

    pub(crate) fn head(&self) -> usize {
        self.head.load(Ordering::Acquire)
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_ready(&self, index: usize) -> bool {
        index < self.len && self.status[index].load(Ordering::Acquire) == Status::Ready as u8
    }

    pub(crate) fn set_ready(&self, index: usize) {
        self.status[index].store(Status::Ready as u8, Ordering::Release);
    }

    /// Moves the head past a committed transaction. For the token's holder.
    pub(crate) fn advance(&self, index: usize, failed: bool) {
        self.set_ready(index);
        if failed {
            self.failed[index].store(true, Ordering::Relaxed);
        }
        let mut back_off = self.back_off.lock();
        back_off.commits += 1;
        back_off.failures += usize::from(failed);
        if back_off.commits >= PROBE {
            if back_off.failures >= PROBE_FAILURES {
                self.serial_until.store(index + 1 + back_off.pause, Ordering::Relaxed);
                back_off.pause = (back_off.pause * 2).min(MAX_PAUSE);
            }
            back_off.commits = 0;
            back_off.failures = 0;
        }
        drop(back_off);
        self.head.store(index + 1, Ordering::Release);
    }

    /// Whether the scheduler backed off at least once.
    pub(crate) fn backed_off(&self) -> bool {
        self.serial_until.load(Ordering::Relaxed) > 0
    }

    /// The next transaction for a worker that executed `last` and has looked in vain `idle`
    /// times since.
    ///
    /// What waited for `last` goes to that worker first: its caches hold what the successor reads.
    /// Others take it only when they find nothing else for a while, so that a chain does not
    /// travel between cores.
    pub(crate) fn claim(&self, last: Option<usize>, idle: u32) -> Claim {
        let head = self.head();
        if head >= self.len {
            return Claim::Finished;
        }
        let serial = head < self.serial_until.load(Ordering::Relaxed);
        let mut queue = self.queue.lock();
        let runnable = |index: u32| {
            let index = index as usize;
            index == head || (!serial && self.is_free(index))
        };
        let follows = |index: u32| {
            let last = last.map_or(NONE, |last| last as u32);
            last != NONE
                && (self.by_sender[index as usize] == last
                    || self.by_target[index as usize] == last)
        };
        let waited = queue.deferred.iter().position(|index| follows(*index) && runnable(*index));
        if let Some(at) = waited {
            return Claim::Run(queue.deferred.remove(at) as usize);
        }
        let limit = self.len.min(head + WINDOW);
        while queue.next < limit && queue.deferred.len() < MAX_DEFERRED {
            let index = queue.next;
            if serial && (index != head || (idle < PATIENCE && last.is_none_or(|l| l + 1 != index)))
            {
                break;
            }
            queue.next += 1;
            if index == head || self.is_free(index) {
                return Claim::Run(index);
            }
            queue.deferred.push(index as u32);
        }
        if idle >= PATIENCE
            && let Some(at) = queue.deferred.iter().position(|index| runnable(*index))
        {
            return Claim::Run(queue.deferred.remove(at) as usize);
        }
        if queue.next >= self.len && queue.deferred.is_empty() {
            return Claim::Finished;
        }
        Claim::Wait
    }

    /// Whether everything that the transaction is known to need has been executed.
    fn is_free(&self, index: usize) -> bool {
        let done = |other: u32| other == NONE || self.is_ready(other as usize);
        let target = self.by_target[index];
        done(self.by_sender[index]) && (!self.target_fails(target) || done(target))
    }

    /// Whether one of the last calls of the same target failed its validation.
    fn target_fails(&self, mut index: u32) -> bool {
        for _ in 0..4 {
            if index == NONE {
                return false;
            }
            if self.failed[index as usize].load(Ordering::Relaxed) {
                return true;
            }
            index = self.by_target[index as usize];
        }
        false
    }
}
