//! Persistent worker threads and the gate through which they enter a block.
//!
//! Role: lend one borrowed closure to named, parked threads, and, built on that, share pieces of
//! work, or parts of one vector, among them; besides, let them help with what goes on within one
//! transaction ([`tasks`]). Actors: the caller of [`Pool::run`] and the pool's threads. This is the
//! only module of the crate that uses `unsafe`.
//!
//! No thread holds the job when `run` returns ([`gate`]): threads take it only while they are
//! inside, and the caller waits for those. A thread that wakes too late finds the gate closed and
//! looks for the next opening; nobody waits for it.

mod gate;
mod round_trip;
mod tasks;

use crate::sync::{
    Line, Mutex, Stopwatch,
    atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering},
    spin_while,
    thread::{self, JoinHandle},
};
use gate::{Entry, Gate, Seen};
use round_trip::{OVER, answer, strokes};
use std::{
    mem::MaybeUninit,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    time::Duration,
};
use tasks::Tasks;
pub(crate) use tasks::{Offered, Work};

/// How long a thread that left a block looks for the next one before it parks: waking a parked
/// thread costs the caller 10 to 20 microseconds, so blocks that come back to back find it awake.
/// The caller looks as long whether everybody has left before it parks.
const SPIN: Duration = Duration::from_micros(200);
/// How long it looks at most while the block that it left goes on without it, or while the caller
/// executes blocks alone that are too small for it: another one is likely to follow, and one that
/// finds it asleep takes up to a third longer.
const LINGER: Duration = Duration::from_millis(1);
/// Pieces of some microseconds each, for which it is worth waking a thread.
const MANY_PIECES: usize = 16;

/// Calls a function with each number below a count, on one thread or on several.
pub(crate) type Share<'s> = &'s mut dyn FnMut(usize, &(dyn Fn(usize) + Sync));

/// The calling thread does all of it.
pub(crate) fn alone(count: usize, piece: &(dyn Fn(usize) + Sync)) {
    (0..count).for_each(piece);
}

/// One part of a vector that several threads fill.
pub(crate) struct Room<'v, T> {
    places: &'v mut [MaybeUninit<T>],
    filled: usize,
}

impl<T> Room<'_, T> {
    /// Puts a value into the next place. A part has as many as it was given.
    pub(crate) fn push(&mut self, value: T) {
        self.places[self.filled].write(value);
        self.filled += 1;
    }
}

/// Makes a vector of parts with these lengths, one after the other; `fill` fills the part with this
/// number. Where it panics, what was put into places is leaked.
pub(crate) fn in_parts<T: Send>(
    lengths: &[usize],
    share: Share<'_>,
    fill: impl Fn(usize, &mut Room<'_, T>) + Sync,
) -> Vec<T> {
    let total = lengths.iter().sum();
    let mut all = Vec::with_capacity(total);
    let mut free = &mut all.spare_capacity_mut()[..total];
    let room = |length: &usize| {
        let places;
        (places, free) = std::mem::take(&mut free).split_at_mut(*length);
        Mutex::new(Room { places, filled: 0 })
    };
    let rooms: Vec<_> = lengths.iter().map(room).collect();
    share(rooms.len(), &|part| fill(part, &mut rooms[part].lock()));
    let is_full = |room: Mutex<Room<'_, T>>| {
        let room = room.into_inner();
        room.filled == room.places.len()
    };
    assert!(rooms.into_iter().all(is_full), "a part has fewer values than it was given places");
    // SAFETY: the rooms are slices of the first `total` places that do not overlap and leave none
    // out; each of them is full, and `Room::push`, which alone counts, has written to every place
    // that it counted. So these places hold values; the capacity is at least `total`.
    #[allow(unsafe_code)]
    unsafe {
        all.set_len(total);
    }
    all
}

type Job<'j> = &'j (dyn Fn(usize) + Sync);

#[derive(Default)]
struct Shared {
    gate: Gate,
    /// The job of the last opening, on the caller's stack.
    job: Line<AtomicPtr<Job<'static>>>,
    /// Blocks that callers have begun and ended alone.
    alone: Line<[AtomicU64; 2]>,
    /// What threads can help with: what goes beside its owner's work, what its owner waits for and
    /// takes long, and what is over soon.
    beside: Arc<Tasks>,
    long: Arc<Tasks>,
    short: Arc<Tasks>,
}

/// A pool's threads as those who help with what goes on within one transaction.
#[derive(Clone)]
pub(crate) struct Helpers(Arc<Shared>);

impl std::fmt::Debug for Helpers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shared { beside, long, short, .. } = &*self.0;
        f.debug_tuple("Helpers").field(beside).field(long).field(short).finish()
    }
}

impl Helpers {
    /// Does work that takes long on the calling thread and on those that come before they begin
    /// with something else, or sleep between two blocks; `None` where it panicked.
    pub(crate) fn share<W: Work>(&self, work: W) -> Option<W::Part> {
        let rouse = |parts: usize| self.0.gate.rouse(parts.saturating_sub(1));
        self.0.long.offer(work, rouse).finish()
    }

    /// Does work that is over soon on the calling thread and on those that are awake and have
    /// nothing to do: who came later would be waited for longer than it helps. Tells how many took
    /// part.
    pub(crate) fn share_short<W: Work>(&self, work: W) -> Option<(W::Part, usize)> {
        self.0.short.offer(work, |_| {}).finish_counting()
    }

    /// Wakes up to so many threads where some sleep: there will be something to help with.
    pub(crate) fn rouse(&self, wanted: usize) {
        self.0.gate.rouse(wanted);
    }

    /// Lets others begin with work that takes long; what nobody has done by then is done when it
    /// is asked for.
    pub(crate) fn offer<W: Work>(&self, work: W) -> Offered<W> {
        self.0.beside.offer(work, |parts| self.0.gate.rouse(parts))
    }

    /// Helps with what takes long, for a thread that could begin with something else; false where
    /// there is nothing to help with. Of two threads none does where its owner would wait: what one
    /// of them finishes earlier, the other one begins later, and they wait for each other.
    pub(crate) fn help(&self) -> bool {
        self.0.beside.help() || self.0.long.any() && self.0.gate.threads() > 1 && self.0.long.help()
    }

    /// Helps with anything, for a thread that has nothing else to do.
    pub(crate) fn help_idle(&self) -> bool {
        self.0.help()
    }
}

/// Tells a pool's threads of blocks in which they have no part.
pub(crate) struct Bystanders(Arc<Shared>);

impl Bystanders {
    /// They may help all the same.
    pub(crate) fn helpers(&self) -> Helpers {
        Helpers(self.0.clone())
    }

    /// Executes such a block.
    pub(crate) fn alone<T>(&self, block: impl FnOnce() -> T) -> T {
        let [begun, ended] = &self.0.alone.0;
        begun.fetch_add(1, Ordering::Relaxed);
        let outcome = block();
        ended.fetch_add(1, Ordering::Relaxed);
        outcome
    }
}

/// A set of threads that wait for blocks. Dropping it ends and joins them.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads.len()).finish()
    }
}

impl Pool {
    /// Starts `helpers` threads. Where the system refuses one, the pool has fewer.
    pub(crate) fn new(helpers: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let threads: Vec<JoinHandle<()>> = (1..=helpers)
            .map_while(|worker| {
                let shared = shared.clone();
                thread::Builder::new()
                    .name(format!("braid-{worker}"))
                    .spawn(move || shared.serve(worker))
                    .ok()
            })
            .collect();
        shared.gate.know(threads.iter().map(|thread| thread.thread().clone()).collect());
        Self { shared, threads }
    }

    /// The threads as those who have no part in a block.
    pub(crate) fn bystanders(&self) -> Bystanders {
        Bystanders(self.shared.clone())
    }

    /// The threads as those who help with single transactions; `None` where there are none.
    pub(crate) fn helpers(&self) -> Option<Helpers> {
        (!self.threads.is_empty()).then(|| Helpers(self.shared.clone()))
    }

    /// Whether a thread would begin at once, unwoken. Only a hint: it may just be falling asleep.
    pub(crate) fn is_awake(&self) -> bool {
        self.shared.gate.asleep() < self.threads.len()
    }

    /// How long a cache line takes from the calling thread's core to another thread's and back:
    /// the two hand a word to and fro. `None` where no thread answers soon, as one that has to be
    /// woken; takes some microseconds.
    pub(crate) fn round_trip(&mut self) -> Option<Duration> {
        if self.threads.is_empty() {
            return None;
        }
        let ball = Line(AtomicU64::new(0));
        self.run_with(1, true, &|_worker| answer(&ball), || {
            let took = strokes(&ball);
            ball.store(OVER, Ordering::Release);
            took
        })
    }

    /// Runs `job(0)` on the calling thread and `job(worker)` on every thread that comes in time;
    /// returns when all of them are done. Needs `&mut self`: one block at a time.
    pub(crate) fn run(&mut self, job: &(dyn Fn(usize) + Sync)) {
        self.run_beside(job, || job(0));
    }

    /// Calls `piece` with each number below `count`, on all threads at once; on those that sleep
    /// only where `wake` is set.
    pub(crate) fn share(&mut self, wake: bool, count: usize, piece: &(dyn Fn(usize) + Sync)) {
        if count < 2 {
            return alone(count, piece);
        }
        let next = AtomicUsize::new(0);
        let panicked = Mutex::new(None);
        let work = |_worker| {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| piece(number))) {
                    panicked.lock().get_or_insert(panic);
                }
            }
        };
        self.run_with(count - 1, wake, &work, || work(0));
        if let Some(panic) = panicked.into_inner() {
            resume_unwind(panic);
        }
    }

    /// Calls both functions at once: `here` on the calling thread, `there` on another one that
    /// comes in time, else on this one too.
    pub(crate) fn join<A, B: Send>(
        &mut self,
        here: impl FnOnce() -> A,
        there: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        if self.threads.is_empty() {
            return (here(), there());
        }
        let there = Mutex::new(Some(there));
        let outcome = Mutex::new(None);
        let take = |_worker| {
            let Some(there) = there.lock().take() else { return };
            let ended = catch_unwind(AssertUnwindSafe(there));
            *outcome.lock() = Some(ended);
        };
        let here = self.run_with(1, true, &take, || {
            let here = here();
            take(0);
            here
        });
        match outcome.into_inner() {
            Some(Ok(there)) => (here, there),
            Some(Err(panic)) => resume_unwind(panic),
            None => unreachable!("whoever took the function has left the gate"),
        }
    }

    /// [`Self::share`] for pieces of some microseconds, a few of which wake nobody; or, where the
    /// threads shall have no part in it, [`alone`].
    pub(crate) fn sharer(
        &mut self,
        wanted: bool,
    ) -> impl FnMut(usize, &(dyn Fn(usize) + Sync)) + use<'_> {
        move |count, piece| {
            if wanted {
                self.share(count >= MANY_PIECES, count, piece);
            } else {
                alone(count, piece);
            }
        }
    }

    /// As [`Self::run`], but the calling thread does something else: `job` must come to an end
    /// when that is done.
    pub(crate) fn run_beside<T>(
        &mut self,
        job: &(dyn Fn(usize) + Sync),
        here: impl FnOnce() -> T,
    ) -> T {
        self.run_with(usize::MAX, true, job, here)
    }

    /// The same beside up to `wanted` threads, the first ones; those that sleep only where they are
    /// woken.
    fn run_with<T>(
        &mut self,
        wanted: usize,
        wake: bool,
        job: &(dyn Fn(usize) + Sync),
        here: impl FnOnce() -> T,
    ) -> T {
        if self.threads.is_empty() {
            return here();
        }
        let place = &raw const job;
        self.shared.job.store(place.cast_mut().cast(), Ordering::Relaxed);
        self.shared.gate.open(wanted, wake);
        let _closing = Closing(&self.shared.gate);
        here()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.gate.shut_down();
        for thread in self.threads.drain(..) {
            // A worker catches every panic of its job, so there is nothing to report here.
            let _ended = thread.join();
        }
    }
}

/// Whether a thread that has spun so long goes on, by the blocks that callers had begun and ended
/// alone some time ago, and have now.
fn lingers(before: [u64; 2], now: [u64; 2], spun: Duration) -> bool {
    let [begun, ended] = now;
    (begun != ended || now != before) && spun < LINGER
}

/// Closes the gate and waits until it is empty.
struct Closing<'a>(&'a Gate);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
        self.0.wait_until_empty(SPIN);
    }
}

impl Shared {
    fn serve(&self, worker: usize) {
        let mut seen = Seen::default();
        loop {
            self.spin(&seen);
            if self.help() {
                continue;
            }
            match self.gate.enter(worker, &mut seen, &|| self.wants_help()) {
                Entry::Inside => {}
                Entry::Missed => continue,
                Entry::Shutdown => return,
            }
            let place = self.job.load(Ordering::Relaxed);
            // SAFETY: this thread is inside, so it sees what the caller of `run_with` stored
            // before it opened the gate, and nothing later: that caller, also where it unwinds,
            // waits until this thread has left before its `job`, to which this points, and what
            // that borrows, cease to be. Nothing here outlives the call below.
            #[allow(unsafe_code)]
            let job: Job<'_> = unsafe { *place };
            // The job reports its own panics; this only keeps the thread alive.
            let _panic = catch_unwind(AssertUnwindSafe(|| job(worker)));
            self.gate.leave();
        }
    }

    fn wants_help(&self) -> bool {
        self.beside.any() || self.long.any() || self.short.any()
    }

    fn help(&self) -> bool {
        self.beside.help() || self.long.help() || self.short.help()
    }

    /// How many blocks callers have begun and ended alone.
    fn done_alone(&self) -> [u64; 2] {
        self.alone.0.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    fn spin(&self, seen: &Seen) {
        let idle = || self.gate.is_idle(seen) && !self.wants_help();
        let start = Stopwatch::start();
        loop {
            let (before, under_way) = (self.done_alone(), self.gate.is_open());
            spin_while(SPIN, idle);
            let spun = start.elapsed();
            if !idle() || !(lingers(before, self.done_alone(), spun) || under_way && spun < LINGER)
            {
                return;
            }
        }
    }
}

#[cfg(all(test, not(any(feature = "loom", feature = "shuttle"))))]
mod tests;
