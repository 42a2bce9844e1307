//! parking_lot's locks, std's atomics and threads.

pub(crate) use parking_lot::{Mutex, MutexGuard, RwLock};
pub(crate) use std::{sync::atomic, thread};

use std::time::{Duration, Instant};

/// A condition variable.
#[derive(Default)]
pub(crate) struct Condvar(parking_lot::Condvar);

impl Condvar {
    /// Waits on the lock that `guard` holds; holds it again afterwards.
    pub(crate) fn wait_owned<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(&mut guard);
        guard
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Looks that a spinning thread takes before it lets others run.
const LOOKS: u32 = 64;

/// Spins while `idle` holds, for `limit` at most. The core is offered to others now and then: the
/// thread that is waited for may have been put on the same one.
pub(crate) fn spin_while(limit: Duration, idle: impl Fn() -> bool) {
    let start = Instant::now();
    while start.elapsed() < limit {
        for _ in 0..LOOKS {
            if !idle() {
                return;
            }
            std::hint::spin_loop();
        }
        thread::yield_now();
    }
}

/// Tells for how long something goes on.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// How often a thread looks for a lock that is held for a moment only, before it sleeps, and how
/// long it waits between two looks: some ten microseconds in all.
const TRIES: u32 = 64;
const BETWEEN: u32 = 8;

/// Takes a lock that others hold for less time than it takes to be woken. Where many threads want
/// it, one that sleeps makes the next one wait for its waking up, and so on.
pub(crate) fn lock_soon<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.try_lock().unwrap_or_else(|| lock_by_and_by(mutex))
}

#[cold]
fn lock_by_and_by<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    for _ in 0..TRIES {
        relax(BETWEEN);
        if let Some(guard) = mutex.try_lock() {
            return guard;
        }
    }
    mutex.lock()
}

/// Waits without touching memory that other threads need: `spins` rounds of the processor's hint.
pub(crate) fn relax(spins: u32) {
    for _ in 0..spins {
        std::hint::spin_loop();
    }
}

/// Gives the core away for a while.
pub(crate) fn sleep(time: Duration) {
    std::thread::sleep(time);
}
