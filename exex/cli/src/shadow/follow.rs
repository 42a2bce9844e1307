//! Keeps up with a client's tip.
//!
//! Role: ask for the newest block, find out how it joins what was seen before, and hand every
//! block in between to the shadow, oldest first, no more than it takes. Threads fetch what the next
//! few blocks need while the shadow is at one.
//!
//! Invariants: each block handed over is the child of the one before it, except after a
//! reorganisation, which starts at the last common block, and after a skip to the tip, which is
//! counted; an unreachable client costs time and no block that it still has.

use super::{ShadowArgs, report::Reporter};
use crate::rpc::{Fetcher, RpcError, client::MAX_PAUSE, fetch::Listed};
use alloy_primitives::B256;
use braid_shadow::{Job, Reason, Shadow, Skip, Work};
use std::{
    collections::VecDeque,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How many blocks back a reorganisation is followed: two epochs, after which blocks are final.
const REMEMBERED: usize = 64;

/// Follows one client.
pub(super) struct Follower<'a> {
    args: &'a ShadowArgs,
    fetcher: &'a Arc<Fetcher>,
    shadow: &'a Shadow,
    reporter: &'a Reporter,
    stop: &'a AtomicBool,
    /// The last blocks handed over, each the child of the one before it.
    recent: VecDeque<(u64, B256)>,
    /// The next block to hand over.
    next: Option<u64>,
    handed_over: u64,
    reorgs: u64,
    /// Since when the client has been unreachable.
    lost: Option<Instant>,
}

impl<'a> Follower<'a> {
    pub(super) fn new(
        args: &'a ShadowArgs,
        fetcher: &'a Arc<Fetcher>,
        shadow: &'a Shadow,
        reporter: &'a Reporter,
        stop: &'a AtomicBool,
    ) -> Self {
        Self {
            args,
            fetcher,
            shadow,
            reporter,
            stop,
            recent: VecDeque::new(),
            next: args.from,
            handed_over: 0,
            reorgs: 0,
            lost: None,
        }
    }

    /// How many reorganisations were seen.
    pub(super) const fn reorgs(&self) -> u64 {
        self.reorgs
    }

    /// Follows until it is stopped or has done its blocks.
    ///
    /// # Errors
    /// Where the client stays unreachable.
    pub(super) fn run(&mut self) -> Result<(), String> {
        while !self.is_done() {
            let progress = self.fetcher.head().and_then(|head| self.reach(head));
            match progress {
                Ok(moved) => {
                    if self.lost.take().is_some() {
                        self.reporter.note("the client is back");
                    }
                    if !moved {
                        self.pause(Duration::from_millis(self.args.poll));
                    }
                }
                Err(error) => self.bear(&error)?,
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
            || self.args.blocks.is_some_and(|blocks| self.handed_over >= blocks)
    }

    /// Waits for an unreachable client, as long as the user allows.
    fn bear(&mut self, error: &RpcError) -> Result<(), String> {
        let since = *self.lost.get_or_insert_with(|| {
            self.reporter.note(&format!("{error}; trying again"));
            Instant::now()
        });
        let limit = Duration::from_secs(self.args.give_up);
        if since.elapsed() >= limit {
            return Err(format!("{}: given up: {error}", self.fetcher.client().url()));
        }
        self.pause((since.elapsed() / 2).clamp(Duration::from_millis(200), MAX_PAUSE));
        Ok(())
    }

    /// Sleeps, but not through a stop.
    fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.stop.load(Ordering::Relaxed) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// Hands over the blocks up to this head; whether there were any.
    fn reach(&mut self, head: Listed) -> Result<bool, RpcError> {
        self.rewind(&head)?;
        let first = match self.next {
            Some(next) => next.max(1),
            None => head.number.max(1),
        };
        if first > head.number {
            self.next = Some(first);
            return Ok(false);
        }
        let first = self.catch_up(first, head.number);
        for number in first..head.number {
            if self.is_done() {
                return Ok(true);
            }
            let block = match self.fetcher.block(number) {
                Ok(block) => block,
                Err(error @ (RpcError::NotJson { .. } | RpcError::Refused { .. })) => {
                    // Asking again would give the same again.
                    self.give_up_on(number, &error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !self.follows(&block) {
                // The chain has changed under way; the next head shows where.
                return Ok(true);
            }
            self.hand_over(block);
        }
        if !self.is_done() && self.follows(&head) {
            self.hand_over(head);
        }
        Ok(true)
    }

    /// Counts a block that the client cannot tell.
    fn give_up_on(&mut self, number: u64, error: &RpcError) {
        let skip = Skip::new(Reason::Feed, format!("eth_getBlockByNumber: {error}"));
        self.shadow.submit(Job::skipped(number, B256::ZERO, skip));
        self.handed_over += 1;
        self.next = Some(number + 1);
        self.recent.clear();
    }

    /// What gives the block's work: a thread that fetches it already, unless the user wants none or
    /// the system gives none. What the client refuses so is asked for once more when the block's
    /// turn comes: a client that is about to end answers with errors of all kinds.
    fn fetch(&self, block: Listed) -> impl FnOnce() -> Result<Work, Skip> + Send + use<> {
        let (fetcher, block) = (self.fetcher.clone(), Arc::new(block));
        let work = move || fetcher.work(&block);
        let fetching = (self.args.ahead > 0).then(|| {
            let thread = thread::Builder::new().name("braid-fetch".to_owned());
            thread.spawn(work.clone()).ok()
        });
        move || match fetching.flatten() {
            Some(thread) => match thread.join().unwrap_or_else(|panic| resume_unwind(panic)) {
                Err(Skip { reason: Reason::Feed | Reason::Source, .. }) => work(),
                done => done,
            },
            None => work(),
        }
    }

    fn follows(&self, block: &Listed) -> bool {
        self.recent.back().is_none_or(|(_, hash)| *hash == block.parent)
    }

    /// Drops what is no longer part of the chain that ends in `head`.
    fn rewind(&mut self, head: &Listed) -> Result<(), RpcError> {
        let mut gone = Vec::new();
        while let Some((number, hash)) = self.recent.back().copied() {
            let canonical = match number {
                number if number > head.number => None,
                number if number == head.number => Some(head.hash),
                number if number + 1 == head.number => Some(head.parent),
                number => Some(self.fetcher.block(number)?.hash),
            };
            if canonical == Some(hash) {
                break;
            }
            gone.push(hash);
            self.recent.pop_back();
            self.next = Some(number);
        }
        if !gone.is_empty() {
            self.reorgs += 1;
            self.shadow.withdraw(&gone);
            let depth = gone.len();
            self.reporter.note(&format!("reorganisation: {depth} blocks are gone"));
            // A chain that starts anew has no common block.
            self.next = self.next.map(|next| next.min(head.number.max(1)));
        }
        Ok(())
    }

    /// The block to go on with: `first`, unless that is too far behind.
    fn catch_up(&mut self, first: u64, head: u64) -> u64 {
        let behind = head - first;
        if self.args.from.is_some() || behind < self.args.max_lag {
            return first;
        }
        let to = head + 1 - self.args.max_lag;
        for number in first..to {
            let detail = format!("{behind} blocks behind the tip");
            let skip = Skip::new(Reason::Lag, detail);
            self.shadow.submit(Job::skipped(number, B256::ZERO, skip));
        }
        self.recent.clear();
        to
    }

    /// Hands a block over when the shadow has room for it. What it needs is fetched from now on,
    /// while the blocks before it are dealt with.
    fn hand_over(&mut self, block: Listed) {
        let room = usize::from(self.args.ahead).max(1);
        while self.shadow.counters().waiting >= room && !self.stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(2));
        }
        let (number, hash) = (block.number, block.hash);
        self.shadow.submit(Job::new(number, hash, self.fetch(block)));
        self.handed_over += 1;
        self.next = Some(number + 1);
        self.recent.push_back((number, hash));
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
    }
}
