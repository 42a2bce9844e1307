//! The gate through which a pool's threads enter a block and leave it, without a lock.
//!
//! Role: tell threads that a block is there, count who is inside, let nobody in any more once it is
//! over. Actors: the caller, one at a time, opens and closes; threads spin, then sleep, until the
//! gate was opened, and enter and leave. With many threads a lock here would be what a block waits
//! for: each of them comes and goes several times in a block of half a millisecond.
//!
//! Protocol. The door is one word: how often it was opened, whether it is open, whether the caller
//! sleeps until nobody is inside, and how many threads have stepped up. A thread steps up by adding
//! one. Whether the door was open at that moment tells whether it is inside; if it was not, the
//! thread steps down again at once. The caller closes the door and waits until the number is zero.
//! All of these are read-modify-write operations on one word, hence in one order: whoever stepped
//! up before the closing is counted, whoever did so after it is not inside. So after the wait no
//! thread is inside and none can enter. Stepping up acquires what the caller wrote before it
//! opened; the caller acquires what each thread wrote before it stepped down.
//!
//! A thread enters one opening at most once: it enters only the one whose announcement it has seen,
//! which the door's word tells when it steps up, and remembers its number. Whoever is so late for
//! one opening that it finds the door open for the next one, steps down and comes again.
//!
//! Nobody sleeps through anything for which it is to be woken. A thread that falls asleep counts
//! itself among the sleepers before it looks at the announcement for the last time, and the caller
//! looks at their number after it has announced, with a fence in between on both sides: the thread
//! sees the announcement, or the caller sees that somebody sleeps. A thread that is woken before it
//! has fallen asleep does not fall asleep. The caller says under the lock, in the door's word, that
//! it sleeps, and looks at the number of those inside afterwards: either it is zero, or the thread
//! that brings it to zero finds that word and takes the lock before it wakes the caller.
//!
//! The same holds for what is not announced here, work that threads share ([`super::tasks`]): it is
//! stored before [`Gate::rouse`] looks at the number of sleepers, and a thread looks at it where it
//! looks at the announcement. Who is woken for it comes back from [`Gate::enter`] without being
//! inside.
//!
//! Waking is slow: some microseconds for whoever wakes, some tens until the other one runs, and
//! with many sleepers one after the other. So the caller wakes one at most, and none where somebody
//! is awake; the first thread that comes to the gate and finds that others sleep wakes them
//! ([`Gate::ring`]). That there is one: the caller wakes one where all sleep; else there is one
//! that was not counted, and it sees the announcement before it could sleep. That it finds those
//! who sleep: it has seen the announcement, then has a fence, then looks at their number. Who had
//! counted itself by then is found; who had not sees the announcement too, and does not sleep. For
//! this the announcement itself has to tell who is to be woken: a word of its own, written after
//! it, may come too late for whoever comes at once. And nobody may enter unannounced: whom it woke
//! would find no announcement, and sleep again.

use crate::sync::{
    Condvar, Line, Mutex, OnceLock,
    atomic::{AtomicU64, AtomicUsize, Ordering, fence},
    spin_while,
    thread::{self, Thread},
};
use std::time::Duration;

/// The door's word, from its low end: threads that have stepped up; the two flags; openings.
const STEP: u64 = 1;
const STEPS: u64 = OPEN - 1;
const OPEN: u64 = 1 << 30;
const AWAITED: u64 = 1 << 31;
const OPENING: u64 = 1 << 32;

/// The announcement, from its low end: how many threads are wanted; whether those of them that
/// sleep are; the number of the opening, 32 bits of it.
const WANTED: u64 = WAKE - 1;
const WAKE: u64 = 1 << 15;
const ANNOUNCED_BITS: u32 = 16;
const SHUTDOWN: u64 = u64::MAX;

/// What a thread finds at the gate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It is inside, and has to leave.
    Inside,
    /// It has no part in this opening, or came too late, or was woken for something else: there may
    /// soon be another one.
    Missed,
    Shutdown,
}

/// The number of the last opening that a thread knows of.
#[derive(Debug, Default)]
pub(super) struct Seen(u64);

#[derive(Default)]
pub(super) struct Gate {
    /// What the threads watch: written once for each opening, so that they may look often.
    announced: Line<AtomicU64>,
    door: Line<AtomicU64>,
    /// Threads that sleep, or are about to.
    asleep: Line<AtomicUsize>,
    /// The last opening for which somebody has woken those who sleep.
    rung: Line<AtomicU64>,
    /// The threads, the first of them with the number 1.
    threads: OnceLock<Vec<Thread>>,
    lock: Mutex<()>,
    emptied: Condvar,
}

/// The number of the opening of which the door's word speaks.
const fn opening(door: u64) -> u64 {
    door / OPENING
}

/// Whether an opening came after another one. Their numbers begin anew after 2^32 of them.
const fn is_newer(opening: u64, other: u64) -> bool {
    (opening as u32).wrapping_sub(other as u32) as i32 > 0
}

impl Gate {
    /// Lets up to `wanted` threads in, those with the lowest numbers from 1 on; `wake` says whether
    /// those that sleep are woken for it. Only while the gate is closed.
    pub(super) fn open(&self, wanted: usize, wake: bool) {
        let before = self.door.fetch_add(OPENING + OPEN, Ordering::AcqRel);
        let wanted = WANTED.min(wanted as u64) | if wake { WAKE } else { 0 };
        let number = opening(before.wrapping_add(OPENING));
        self.announced.store(number << ANNOUNCED_BITS | wanted, Ordering::Release);
        fence(Ordering::SeqCst);
        if wake && self.asleep() >= self.threads() {
            self.wake(1);
        }
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.door.fetch_and(!OPEN, Ordering::AcqRel);
    }

    /// Waits until nobody is inside; looks for so long before it sleeps. Only after
    /// [`Self::close`].
    pub(super) fn wait_until_empty(&self, spin: Duration) {
        let occupied = || self.door.load(Ordering::Acquire) & STEPS > 0;
        spin_while(spin, occupied);
        if !occupied() {
            return;
        }
        let mut lock = self.lock.lock();
        self.door.fetch_or(AWAITED, Ordering::AcqRel);
        while occupied() {
            lock = self.emptied.wait_owned(lock);
        }
        self.door.fetch_and(!AWAITED, Ordering::AcqRel);
    }

    /// Sends all threads away for good.
    pub(super) fn shut_down(&self) {
        self.announced.store(SHUTDOWN, Ordering::Release);
        self.wake(usize::MAX);
    }

    /// Tells the gate who can be woken; nobody has been told anything before.
    pub(super) fn know(&self, threads: Vec<Thread>) {
        let _first = self.threads.set(threads);
    }

    /// How many threads there are.
    pub(super) fn threads(&self) -> usize {
        self.threads.get().map_or(0, Vec::len)
    }

    /// Wakes the first threads.
    fn wake(&self, wanted: usize) {
        let threads = self.threads.get().into_iter().flatten();
        threads.take(wanted).for_each(Thread::unpark);
    }

    /// Whoever comes first to this opening wakes those who are wanted.
    fn ring(&self, opening: u64, wanted: u64) {
        if wanted & WAKE == 0 {
            return;
        }
        fence(Ordering::SeqCst);
        // Looked at before it is written: with many threads all but the first find it rung.
        let is_over = self.asleep() == 0 || self.rung.load(Ordering::Relaxed) == opening;
        if !is_over && self.rung.swap(opening, Ordering::Relaxed) != opening {
            self.wake((wanted & WANTED) as usize);
        }
    }

    /// Whether a block is under way.
    pub(super) fn is_open(&self) -> bool {
        self.door.load(Ordering::Relaxed) & OPEN > 0
    }

    /// Threads that would have to be woken.
    pub(super) fn asleep(&self) -> usize {
        self.asleep.load(Ordering::Relaxed)
    }

    /// Whether nothing new was announced to a thread.
    pub(super) fn is_idle(&self, seen: &Seen) -> bool {
        let announced = self.announced.load(Ordering::Acquire);
        announced != SHUTDOWN && !is_newer(announced >> ANNOUNCED_BITS, seen.0)
    }

    /// Sleeps until something new is announced, then goes in, if this thread is wanted; or until
    /// there is something else to do ([`Self::rouse`]).
    pub(super) fn enter(
        &self,
        thread: usize,
        seen: &mut Seen,
        is_roused: &dyn Fn() -> bool,
    ) -> Entry {
        if self.is_idle(seen) {
            self.sleep(seen, is_roused);
            if self.is_idle(seen) {
                return Entry::Missed;
            }
        }
        let announced = self.announced.load(Ordering::Acquire);
        if announced == SHUTDOWN {
            return Entry::Shutdown;
        }
        let number = announced >> ANNOUNCED_BITS;
        if thread as u64 > announced & WANTED {
            self.ring(number, announced);
            seen.0 = number;
            return Entry::Missed;
        }
        let door = self.door.fetch_add(STEP, Ordering::AcqRel);
        seen.0 = number;
        if door & OPEN > 0 && opening(door) == number {
            self.ring(number, announced);
            return Entry::Inside;
        }
        self.leave();
        Entry::Missed
    }

    /// Wakes up to `wanted` threads where some sleep, the last ones: the first ones go to blocks.
    /// What they shall see when [`Self::enter`] asks was stored before.
    pub(super) fn rouse(&self, wanted: usize) {
        fence(Ordering::SeqCst);
        if self.asleep() > 0 {
            let threads = self.threads.get().into_iter().flatten();
            threads.rev().take(wanted).for_each(Thread::unpark);
        }
    }

    fn sleep(&self, seen: &Seen, is_roused: &dyn Fn() -> bool) {
        self.asleep.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        while self.is_idle(seen) && !is_roused() {
            thread::park();
        }
        self.asleep.fetch_sub(1, Ordering::Relaxed);
    }

    /// A thread steps down.
    pub(super) fn leave(&self) {
        let before = self.door.fetch_sub(STEP, Ordering::AcqRel);
        if before & STEPS == STEP && before & AWAITED > 0 {
            drop(self.lock.lock());
            self.emptied.notify_all();
        }
    }
}

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests {
    use super::*;

    #[test]
    fn openings_are_told_apart_where_their_numbers_begin_anew() {
        assert!(is_newer(0, u64::from(u32::MAX)) && !is_newer(u64::from(u32::MAX), 0));
        let gate = Gate::default();
        gate.door.store(u64::from(u32::MAX) * OPENING, Ordering::Relaxed);
        gate.announced.store(u64::from(u32::MAX) << ANNOUNCED_BITS | 1, Ordering::Relaxed);
        let mut seen = Seen(u64::from(u32::MAX));
        assert!(gate.is_idle(&seen), "it knows of that");
        gate.open(1, true);
        assert!(!gate.is_idle(&seen));
        assert_eq!(gate.enter(1, &mut seen, &|| false), Entry::Inside);
        assert!(gate.is_idle(&seen), "one enters once");
        gate.leave();
        gate.close();
        gate.wait_until_empty(Duration::ZERO);
        assert_eq!(gate.door.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_comes_before_the_announcement_comes_again() {
        let gate = Gate::default();
        gate.open(1, true);
        gate.close();
        // The next one is open, and not announced yet.
        gate.door.fetch_add(OPENING + OPEN, Ordering::Relaxed);
        let mut seen = Seen::default();
        assert_eq!(gate.enter(1, &mut seen, &|| false), Entry::Missed);
        assert!(gate.is_idle(&seen));
        gate.announced.store(2 << ANNOUNCED_BITS | 1, Ordering::Relaxed);
        assert!(!gate.is_idle(&seen));
        assert_eq!(gate.enter(1, &mut seen, &|| false), Entry::Inside);
        assert!(gate.is_idle(&seen), "one enters once");
        gate.leave();
    }

    #[test]
    fn who_is_not_wanted_or_late_is_not_inside() {
        let gate = Gate::default();
        gate.open(2, true);
        for (thread, expected) in [(1, Entry::Inside), (2, Entry::Inside), (3, Entry::Missed)] {
            assert_eq!(gate.enter(thread, &mut Seen::default(), &|| false), expected, "{thread}");
        }
        (0..2).for_each(|_| gate.leave());
        gate.close();
        assert!(!gate.is_open());
        assert_eq!(gate.enter(1, &mut Seen::default(), &|| false), Entry::Missed);
        gate.wait_until_empty(Duration::ZERO);
        gate.shut_down();
        assert_eq!(gate.enter(1, &mut Seen(1), &|| false), Entry::Shutdown);
    }

    #[test]
    fn whoever_sleeps_is_woken_by_the_first_that_comes() {
        let gate = Gate::default();
        let come = AtomicUsize::new(0);
        thread::scope(|scope| {
            let sleeper = |number| {
                let (gate, come) = (&gate, &come);
                scope.spawn(move || {
                    let mut seen = Seen::default();
                    while gate.enter(number, &mut seen, &|| false) != Entry::Shutdown {
                        come.fetch_add(1, Ordering::Relaxed);
                        gate.leave();
                    }
                })
            };
            let threads: Vec<_> = (1..=5).map(sleeper).collect();
            gate.know(threads.iter().map(|thread| thread.thread().clone()).collect());
            for round in 1..=50 {
                while gate.asleep() < threads.len() {
                    thread::yield_now();
                }
                gate.open(threads.len(), true);
                while come.load(Ordering::Relaxed) < round * threads.len() {
                    thread::yield_now();
                }
                gate.close();
                gate.wait_until_empty(Duration::ZERO);
            }
            gate.shut_down();
        });
        assert_eq!(come.load(Ordering::Relaxed), 250);
    }
}

#[cfg(all(test, feature = "loom"))]
mod models {
    use super::*;
    use loom::model::Builder;
    use std::sync::Arc;

    /// Where the caller waits until everybody who is wanted has come to its last opening,
    /// everybody comes: whoever sleeps is woken, whether another one is awake, falls asleep, comes
    /// at once, or is late for an opening that nobody waits for.
    fn all_come(openings: u64, preemptions: usize) {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.check(move || {
            let gate = Arc::new(Gate::default());
            let come = Arc::new(AtomicUsize::new(0));
            let threads = [1, 2].map(|number| {
                let (gate, come) = (gate.clone(), come.clone());
                thread::spawn(move || {
                    let mut seen = Seen::default();
                    loop {
                        match gate.enter(number, &mut seen, &|| false) {
                            Entry::Inside => {
                                let last = usize::from(seen.0 == openings);
                                come.fetch_add(last, Ordering::Relaxed);
                                gate.leave();
                            }
                            Entry::Missed => thread::yield_now(),
                            Entry::Shutdown => return,
                        }
                    }
                })
            });
            gate.know(threads.iter().map(|thread| thread.thread().clone()).collect());
            // No lock: loom lets a thread that is unparked go on where it waits for one.
            let wait = |until: &dyn Fn() -> bool| {
                while !until() {
                    thread::yield_now();
                }
            };
            for opening in 1..=openings {
                gate.open(2, true);
                if opening == openings {
                    wait(&|| come.load(Ordering::Relaxed) == 2);
                }
                gate.close();
                wait(&|| gate.door.load(Ordering::Acquire) & STEPS == 0);
            }
            gate.shut_down();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn everybody_who_is_wanted_comes() {
        all_come(1, 2);
    }

    #[test]
    fn everybody_who_was_late_comes_the_next_time() {
        all_come(2, 2);
    }

    /// In every schedule a thread that falls asleep sees what it is woken for.
    #[test]
    fn nobody_sleeps_through_what_is_not_announced() {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let (gate, news) = (Arc::new(Gate::default()), Arc::new(AtomicUsize::new(0)));
            let sleeper = {
                let (gate, news) = (gate.clone(), news.clone());
                thread::spawn(move || {
                    let is_roused = || news.load(Ordering::Relaxed) > 0;
                    gate.enter(1, &mut Seen::default(), &is_roused)
                })
            };
            gate.know(vec![sleeper.thread().clone()]);
            news.store(1, Ordering::Relaxed);
            gate.rouse(1);
            assert_eq!(sleeper.join().unwrap(), Entry::Missed);
            assert_eq!(gate.asleep(), 0);
        });
    }
}
