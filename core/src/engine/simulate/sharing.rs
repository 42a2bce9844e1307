//! Stretches of a transaction that other threads take part in, in virtual time.
//!
//! Role: tell when a run goes on that comes to such a stretch. Actors: the clock.
//!
//! The model of a stretch in parts: they take the same time each; the owner takes one after the
//! other, and so do the others, of three workers and more before they look for a transaction, else,
//! and where the parts are short, when they find none; the last step is the owner's alone, and
//! comes when all parts are done.
//!
//! A stretch in one part goes to whoever comes first, before looking for a transaction, and the
//! owner goes on at once. At the end of its run it waits for that one, or, if nobody came, does it
//! itself.
//!
//! Who has left the block comes after `NAP_NS`, as one that has to be woken; where the parts are
//! short, after `LOOK_NS`, since many of them follow each other and the first one wakes it.

use super::{Clock, LOOK_NS, NAP_NS, Phase};
use crate::trace::Shareable;

/// How long each part of a stretch takes, and the last step, nanoseconds.
fn times(stretch: &Shareable) -> (u64, u64) {
    let parts = stretch.parts.max(1) as u64;
    let part = stretch.nanos.saturating_sub(stretch.last) / parts;
    (part, stretch.nanos.saturating_sub(part * parts))
}

/// A stretch that a run has come to.
#[derive(Debug)]
pub(super) struct Offered {
    owner: usize,
    /// The owner goes on meanwhile.
    beside: bool,
    short: bool,
    part_ns: u64,
    last_ns: u64,
    /// Parts that nobody has taken.
    left: usize,
    /// When those are done that were taken.
    done: u64,
    /// Workers that have left the block, with the time when each is there, or free again.
    roused: Vec<(u64, usize)>,
}

impl Offered {
    /// Somebody takes a part now, if there is one left, and is told when it will be done.
    fn take(&mut self, now: u64) -> Option<u64> {
        for (free, _) in &mut self.roused {
            while *free <= now && self.left > 0 {
                self.left -= 1;
                *free += self.part_ns;
                self.done = self.done.max(*free);
            }
        }
        self.left = self.left.checked_sub(1)?;
        self.done = self.done.max(now + self.part_ns);
        Some(now + self.part_ns)
    }
}

impl Clock<'_> {
    /// A run comes to a stretch.
    pub(super) fn offer(&mut self, now: u64, owner: usize, stretch: &Shareable) {
        let (part_ns, last_ns) = times(stretch);
        let beside = stretch.parts == 1;
        let mut roused = Vec::new();
        for (number, other) in self.workers.iter_mut().enumerate() {
            // In the engine nobody waits for the token before leaving.
            let left = other.phase == Phase::WantsToLeave && self.token != Some(number);
            if left && other.helps_until != u64::MAX && roused.len() < stretch.parts {
                let comes = if stretch.short { LOOK_NS } else { NAP_NS };
                roused.push((now.max(other.helps_until) + comes, number));
                other.helps_until = u64::MAX;
            }
        }
        let (left, short, done) = (stretch.parts, stretch.short, now);
        let offered = Offered { owner, beside, short, part_ns, last_ns, left, done, roused };
        self.offered.push(offered);
    }

    /// A worker that looks for something to do takes a part, or one that has found nothing; false
    /// where there is none.
    pub(super) fn help(&mut self, now: u64, worker: usize, is_idle: bool) -> bool {
        let early = self.workers.len() > 2;
        let fits = |offered: &&mut Offered| is_idle || offered.beside || early && !offered.short;
        let mut fitting = self.offered.iter_mut().rev().filter(fits);
        let Some(done) = fitting.find_map(|offered| offered.take(now)) else { return false };
        self.workers[worker].helps_until = done;
        self.at(done, worker);
        true
    }

    /// When the owner of a stretch in parts, who is free now, is free again, and whether it then
    /// has the stretch behind it; `None` where it is in none.
    pub(super) fn take_part(&mut self, now: u64, worker: usize) -> Option<(u64, bool)> {
        let mine = |offered: &Offered| offered.owner == worker && !offered.beside;
        let at = self.offered.iter().position(mine)?;
        if let Some(done) = self.offered[at].take(now) {
            return Some((done, false));
        }
        let offered = self.offered.remove(at);
        self.release(&offered);
        Some((offered.done.max(now) + offered.last_ns, true))
    }

    /// When everything is done that goes beside this worker's run, which ends now.
    pub(super) fn settle(&mut self, now: u64, worker: usize) -> u64 {
        let mut end = now;
        while let Some(at) = self.offered.iter().position(|offered| offered.owner == worker) {
            let mut offered = self.offered.remove(at);
            match offered.take(now) {
                Some(_) => end += offered.part_ns,
                None => end = end.max(offered.done),
            }
            self.release(&offered);
        }
        end
    }

    fn release(&mut self, offered: &Offered) {
        for (free, number) in &offered.roused {
            self.workers[*number].helps_until = *free;
        }
    }
}
