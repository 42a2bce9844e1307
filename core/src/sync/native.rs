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

/// The core that the calling thread is on, where the system tells.
#[cfg(target_os = "linux")]
pub(crate) fn core() -> Option<usize> {
    Some(rustix::thread::sched_getcpu())
}

#[cfg(not(target_os = "linux"))]
pub(crate) const fn core() -> Option<usize> {
    None
}

/// Moves the calling thread to another core, where it is on this one and may be on others. Where
/// it may be stays as it is.
#[cfg(target_os = "linux")]
pub(crate) fn leave(core: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    if core >= CpuSet::MAX_CPU || self::core() != Some(core) {
        return;
    }
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let mut others = allowed;
    others.unset(core);
    if others.count() > 0 && sched_setaffinity(None, &others).is_ok() {
        // A system that has taken the narrower set takes the wider one back.
        let _restored = sched_setaffinity(None, &allowed);
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) const fn leave(_core: usize) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    #[test]
    fn a_thread_leaves_a_core_and_may_return() {
        let allowed = sched_getaffinity(None).unwrap();
        let here = core().unwrap();
        let mut only = CpuSet::new();
        only.set(here);
        sched_setaffinity(None, &only).unwrap();
        leave(here);
        assert_eq!(core(), Some(here), "there is no other one");
        assert_eq!(sched_getaffinity(None).unwrap(), only);
        sched_setaffinity(None, &allowed).unwrap();
        if allowed.count() < 2 {
            return;
        }
        // The system may bring it back at any moment, but not each time.
        let left = (0..20).any(|_| {
            sched_setaffinity(None, &only).unwrap();
            sched_setaffinity(None, &allowed).unwrap();
            leave(here);
            core() != Some(here)
        });
        assert!(left);
        assert_eq!(sched_getaffinity(None).unwrap(), allowed);
        leave(usize::MAX);
    }
}
