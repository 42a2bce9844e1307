//! Who watches the workers.
//!
//! Role: note what the workers do, for [`crate::trace`]. Actors: the workers, who tell; the caller
//! of [`crate::Engine::execute_traced`], who gets what was noted after the block.
//!
//! Invariant: nothing that is noted is ever asked by a worker. Without a watcher the hooks are
//! empty functions of another type, so that an execution which nobody watches pays nothing.

use super::{
    cells::AccountValue,
    precompiles,
    reads::{AccountRead, ReadSet},
    record::{Record, WriteSet},
    tables::{Stamp, Tables},
};
use crate::{
    block::Block,
    sync::Mutex,
    trace::{
        Committed, Dependence, Location, Noting, Part, Read, Run, RunKind, RunOutcome, Shareable,
        Trace,
    },
};
use alloy_primitives::{Address, U256};
use std::time::{Duration, Instant};

/// Is told what the workers do.
pub(crate) trait Watch: Sync {
    /// Whether anybody watches.
    const ON: bool;

    /// Nanoseconds since the block began.
    fn now(&self) -> u64;

    /// A run has come to its end: by whom, of which transaction, begun when, with a result or not.
    fn ran(&self, worker: usize, index: usize, kind: RunKind, start: u64, ended_well: bool);

    /// What of that run threads can share.
    fn shareable(&self, index: usize, stretches: Vec<precompiles::Shareable>);

    /// The last run of a transaction turned out to be stale, by this read.
    fn stale(&self, tables: &Tables, index: usize, read: Option<StaleRead>);

    /// A run is about to be committed.
    fn committing(&self, index: usize, record: &Record);

    /// It has been.
    fn committed(&self, worker: usize, index: usize);

    /// The changed state was put together since `start`, in so many parts.
    fn put_together(&self, start: u64, parts: usize);
}

/// A read that differs from what its location has now, and the stamp that it has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StaleRead {
    Account { id: u32, part: Part, stamp: Stamp },
    Slot { id: u32, stamp: Stamp },
}

impl StaleRead {
    /// Of an account that has this value now; `None` where it has none that is known.
    pub(crate) fn account(read: &AccountRead, now: Option<&AccountValue>, stamp: Stamp) -> Self {
        let part = now.map_or(Part::Existence, |now| stale_part(read, now));
        Self::Account { id: read.id, part, stamp }
    }
}

/// Nobody watches.
pub(crate) struct Unwatched;

impl Watch for Unwatched {
    const ON: bool = false;

    fn now(&self) -> u64 {
        0
    }

    fn ran(&self, _: usize, _: usize, _: RunKind, _: u64, _: bool) {}

    fn shareable(&self, _: usize, _: Vec<precompiles::Shareable>) {}

    fn stale(&self, _: &Tables, _: usize, _: Option<StaleRead>) {}

    fn committing(&self, _: usize, _: &Record) {}

    fn committed(&self, _: usize, _: usize) {}

    fn put_together(&self, _: u64, _: usize) {}
}

impl<W: Watch> Watch for &W {
    const ON: bool = W::ON;

    fn now(&self) -> u64 {
        W::now(self)
    }

    fn ran(&self, worker: usize, index: usize, kind: RunKind, start: u64, ended_well: bool) {
        W::ran(self, worker, index, kind, start, ended_well);
    }

    fn shareable(&self, index: usize, stretches: Vec<precompiles::Shareable>) {
        W::shareable(self, index, stretches);
    }

    fn stale(&self, tables: &Tables, index: usize, read: Option<StaleRead>) {
        W::stale(self, tables, index, read);
    }

    fn committing(&self, index: usize, record: &Record) {
        W::committing(self, index, record);
    }

    fn committed(&self, worker: usize, index: usize) {
        W::committed(self, worker, index);
    }

    fn put_together(&self, start: u64, parts: usize) {
        W::put_together(self, start, parts);
    }
}

/// What was noted of one transaction.
#[derive(Default)]
struct Noted {
    runs: Vec<Run>,
    reads: ReadSet,
    writes: WriteSet,
    rewarded: bool,
    gas_used: u64,
    at: u64,
    by: usize,
    noting: Noting,
    shareable: Vec<Shareable>,
}

/// Notes everything.
pub(crate) struct Recorder<'b> {
    block: &'b Block,
    start: Instant,
    /// The sender's nonce is predicted.
    predicts: bool,
    output: Mutex<(u64, usize)>,
    noted: Box<[Mutex<Noted>]>,
}

impl<'b> Recorder<'b> {
    /// The block begins now.
    pub(crate) fn new(block: &'b Block, predicts: bool) -> Self {
        let noted = block.transactions.iter().map(|_| Mutex::new(Noted::default())).collect();
        Self { block, start: Instant::now(), predicts, output: Mutex::default(), noted }
    }

    /// What was noted, in the words of the outside. Before the tables are emptied.
    pub(crate) fn finish(self, tables: &Tables, nanos: u64, inline: bool) -> Trace {
        let beneficiary = self.block.header.beneficiary;
        let output = self.output.into_inner();
        let mut trace = Trace { beneficiary, nanos, output, inline, ..Trace::default() };
        let senders = self.block.transactions.iter().map(|tx| tx.signer());
        let base = tables.account(tables.account_id(&beneficiary)).known_base();
        let being = Location::new(beneficiary, Part::Existence);
        let mut missing = base.is_some_and(|base| !base.exists);
        for (noted, sender) in self.noted.into_iter().zip(senders) {
            let Noted { runs, reads, writes, rewarded, gas_used, at, by, noting, shareable } =
                noted.into_inner();
            trace.runs.extend(runs);
            let predicted = self.predicts.then_some(sender);
            let mut written = written(tables, &reads, &writes);
            if rewarded {
                written.push(Location::new(beneficiary, Part::Balance));
                if std::mem::take(&mut missing) {
                    written.push(being);
                }
            }
            missing &= !written.contains(&being);
            written.sort_unstable();
            written.dedup();
            let reads = read(tables, &reads, predicted);
            let writes = written;
            let tx = Committed { gas_used, reads, writes, at, by, shareable, noting };
            trace.transactions.push(tx);
        }
        trace.runs.sort_by_key(|run| (run.start, run.transaction));
        name_writers(&mut trace);
        trace
    }
}

impl Watch for Recorder<'_> {
    const ON: bool = true;

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn ran(&self, worker: usize, transaction: usize, kind: RunKind, start: u64, well: bool) {
        let outcome = if well { RunOutcome::Committed } else { RunOutcome::Discarded };
        let run = Run { transaction, worker, start, end: self.now(), kind, outcome };
        let mut noted = self.noted[transaction].lock();
        noted.runs.push(run);
        noted.noting.ran = self.now();
    }

    fn shareable(&self, index: usize, stretches: Vec<precompiles::Shareable>) {
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let stretch = |stretch: &precompiles::Shareable| {
            let took = stretch.end.saturating_duration_since(stretch.start);
            Shareable {
                start: nanos(stretch.start.saturating_duration_since(self.start)),
                nanos: nanos(took),
                parts: stretch.parts,
                last: nanos(took * stretch.last / 1000),
                short: stretch.short,
            }
        };
        self.noted[index].lock().shareable = stretches.iter().map(stretch).collect();
    }

    fn stale(&self, tables: &Tables, index: usize, read: Option<StaleRead>) {
        let (location, stamp) = match read {
            Some(StaleRead::Account { id, part, stamp }) => {
                (Some(Location::new(tables.account(id).address(), part)), stamp)
            }
            Some(StaleRead::Slot { id, stamp }) => (Some(slot_location(tables, id)), stamp),
            None => (None, Stamp::BASE),
        };
        let writer = (stamp.position() as usize).checked_sub(1);
        if let Some(run) = self.noted[index].lock().runs.last_mut() {
            run.outcome = RunOutcome::Stale { location, writer };
        }
    }

    fn committing(&self, index: usize, record: &Record) {
        let valid = self.now();
        let mut noted = self.noted[index].lock();
        noted.reads = record.reads.clone();
        noted.writes = record.writes.clone();
        noted.rewarded = record.reward.is_some_and(|reward| !reward.is_zero());
        noted.gas_used = record.result.tx_gas_used();
        noted.noting.valid = valid;
        noted.noting.commit = self.now();
    }

    fn committed(&self, worker: usize, index: usize) {
        let at = self.now();
        let mut noted = self.noted[index].lock();
        noted.at = at;
        noted.by = worker;
        noted.noting.committed = self.now();
    }

    fn put_together(&self, start: u64, parts: usize) {
        *self.output.lock() = (self.now() - start, parts);
    }
}

/// What was noted of a stale read names the last transaction that wrote the account; which part of
/// it each transaction wrote is known only after the block.
fn name_writers(trace: &mut Trace) {
    let Trace { runs, transactions, .. } = trace;
    for run in runs {
        if let RunOutcome::Stale { location: Some(location), writer } = &mut run.outcome {
            let before = writer.map_or(0, |writer| writer + 1).min(transactions.len());
            let wrote = |tx: &Committed| tx.writes.binary_search(location).is_ok();
            *writer = transactions[..before].iter().rposition(wrote);
        }
    }
}

fn slot_location(tables: &Tables, id: u32) -> Location {
    let (account, slot) = tables.slot(id).key();
    Location::new(tables.account(account).address(), Part::Slot(slot))
}

/// Whether the two differ in what no softness covers.
fn existence_differs(a: &AccountValue, b: &AccountValue) -> bool {
    a.exists != b.exists
        || a.code_hash != b.code_hash
        || a.is_empty() != b.is_empty()
        || (a.nonce == 0) != (b.nonce == 0)
        || a.wiped != b.wiped
}

/// What of the account made a read of it stale.
fn stale_part(read: &AccountRead, now: &AccountValue) -> Part {
    if existence_differs(&read.value, now) {
        Part::Existence
    } else if read.hard_nonce && read.value.nonce != now.nonce {
        Part::Nonce
    } else {
        Part::Balance
    }
}

/// `predicted`: the sender whose nonce was predicted.
fn read(tables: &Tables, reads: &ReadSet, predicted: Option<Address>) -> Vec<Read> {
    let hard = |is_hard| if is_hard { Dependence::Hard } else { Dependence::Soft };
    let mut all = Vec::with_capacity(3 * reads.accounts.len() + reads.slots.len());
    for read in &reads.accounts {
        let cell = tables.account(read.id);
        let address = cell.address();
        // Who spends what it did not have before the block depends on who paid it.
        let had = cell.known_base().map_or(U256::ZERO, |base| base.balance);
        let short = read.value.balance < read.debits || had < read.debits;
        let balance = hard(read.hard_balance || short);
        let nonce =
            if predicted == Some(address) { Dependence::Predicted } else { hard(read.hard_nonce) };
        all.extend(
            [(Part::Existence, Dependence::Hard), (Part::Balance, balance), (Part::Nonce, nonce)]
                .map(|(part, dependence)| Read {
                    location: Location::new(address, part),
                    dependence,
                }),
        );
    }
    all.extend(reads.slots.iter().map(|slot| Read {
        location: slot_location(tables, slot.id),
        dependence: Dependence::Hard,
    }));
    all.sort_unstable_by_key(|read| read.location);
    all.dedup_by_key(|read| read.location);
    all
}

fn written(tables: &Tables, reads: &ReadSet, writes: &WriteSet) -> Vec<Location> {
    let mut all = Vec::with_capacity(writes.accounts.len() + writes.slots.len() + 1);
    for write in &writes.accounts {
        let address = tables.account(write.id).address();
        let (before, after) = (&reads.accounts[write.read as usize].value, &write.value);
        let parts = [
            (Part::Existence, existence_differs(before, after)),
            (Part::Balance, before.balance != after.balance),
            (Part::Nonce, before.nonce != after.nonce),
        ];
        let changed = parts.into_iter().filter(|(_, changed)| *changed);
        all.extend(changed.map(|(part, _)| Location::new(address, part)));
    }
    all.extend(writes.slots.iter().map(|(id, _)| slot_location(tables, *id)));
    all
}
