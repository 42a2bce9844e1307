//! What one execution did: which worker ran which transaction and when, what became of each run,
//! and what the committed runs read and wrote.
//!
//! Role: the plain data that [`crate::Engine::execute_traced`] hands out beside the outcome, for
//! whoever explains a block. Nothing here influences an execution.
//!
//! Invariants: every transaction has exactly one committed run; reads and writes are those of that
//! run, sorted by location, each location once. Times are nanoseconds since the execution began,
//! system calls before the transactions included.
//!
//! The deferred reward of the beneficiary is listed as a write of its balance, the first one also
//! as one of its existence, where it did not exist before.

use alloy_primitives::{Address, U256};
use std::fmt;

/// What of an account a location stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Whether the account exists, is empty (EIP-161) or has ever had a nonce; its code; whether
    /// its storage was destroyed.
    Existence,
    /// Its balance.
    Balance,
    /// Its nonce.
    Nonce,
    /// One of its storage slots.
    Slot(U256),
}

/// A part of an account that one transaction may write and another read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// The account.
    pub address: Address,
    /// What of it.
    pub part: Part,
}

impl Location {
    /// A part of an account.
    pub const fn new(address: Address, part: Part) -> Self {
        Self { address, part }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address;
        match self.part {
            Part::Existence => write!(f, "account {address}"),
            Part::Balance => write!(f, "balance of {address}"),
            Part::Nonce => write!(f, "nonce of {address}"),
            Part::Slot(slot) => write!(f, "slot {slot:#x} of {address}"),
        }
    }
}

/// How much an execution depends on what it read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dependence {
    /// Loaded but not looked at: another value gives the same execution. A change of such a balance
    /// commutes with others. What is taken from it was there before the block.
    Soft,
    /// The sender's nonce, which the transaction itself names.
    Predicted,
    /// Another value may give another execution.
    Hard,
}

/// A read of a committed run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Where.
    pub location: Location,
    /// How much the run depends on it.
    pub dependence: Dependence,
}

/// Why and where a transaction was run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunKind {
    /// Ahead of its turn.
    Speculative,
    /// Ahead of its turn, after a speculative run that had become stale.
    RepeatedAhead,
    /// In its turn, after a speculative run that came to nothing.
    Repeated,
    /// In its turn, without a speculative run before.
    Direct,
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// Its result is the transaction's.
    Committed,
    /// It had read something that an earlier transaction then wrote.
    Stale {
        /// The first such location; `None` where only the change of a soft balance did not apply.
        location: Option<Location>,
        /// The transaction that wrote it; `None` where the parent state or a system call did, as
        /// for a nonce that was predicted too high.
        writer: Option<usize>,
    },
    /// It ended in an error or a panic.
    Discarded,
}

/// One run of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The transaction's index in the block.
    pub transaction: usize,
    /// The worker; 0 is the calling thread.
    pub worker: usize,
    /// When it began, nanoseconds.
    pub start: u64,
    /// When its result was there, nanoseconds: before it was published or committed.
    pub end: u64,
    /// Why and where.
    pub kind: RunKind,
    /// What became of it.
    pub outcome: RunOutcome,
}

/// A stretch of a run that other threads can take part in: a check of two or more pairings
/// (EIP-197), a multiplication (EIP-196) or a point evaluation (EIP-4844).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shareable {
    /// When it began, nanoseconds.
    pub start: u64,
    /// How long it took, nanoseconds, on as many threads as were there.
    pub nanos: u64,
    /// In how many parts it can be dealt; one: all of it can be done beside the rest of the run.
    pub parts: usize,
    /// What of it one thread does alone when the parts are done, nanoseconds.
    pub last: u64,
    /// The parts are short: only threads that have nothing to do take them.
    pub short: bool,
}

/// A committed transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    /// Gas used.
    pub gas_used: u64,
    /// What the committed run read.
    pub reads: Vec<Read>,
    /// What it changed.
    pub writes: Vec<Location>,
    /// When it was committed, nanoseconds.
    pub at: u64,
    /// By which worker.
    pub by: usize,
    /// What of the committed run other threads can take part in, by start.
    pub shareable: Vec<Shareable>,
    /// When the watcher was busy with it.
    pub noting: Noting,
}

/// When the watcher was busy noting, nanoseconds: what lies between is the execution's own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Noting {
    /// The committed run was noted: its worker goes on, and publishes its writes.
    pub ran: u64,
    /// The run was found valid, or is the head's own: what it read and wrote is about to be noted.
    pub valid: u64,
    /// That was noted: the commit begins.
    pub commit: u64,
    /// The commit was noted: its worker goes on.
    pub committed: u64,
}

/// Everything that was noted about one block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// All runs, by start.
    pub runs: Vec<Run>,
    /// The transactions, in block order.
    pub transactions: Vec<Committed>,
    /// The account that earns the rewards.
    pub beneficiary: Address,
    /// The whole execution, up to receipts and changed state, nanoseconds.
    pub nanos: u64,
    /// What of it the changed state took to be put together, nanoseconds, and in how many parts
    /// that the threads shared; 0 and 0 where revm's `State` did it.
    pub output: (u64, usize),
    /// Untraced and unlimited, the engine would have run this block on the calling thread: it is
    /// too small, or likely to be one chain.
    pub inline: bool,
}
