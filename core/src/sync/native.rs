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
