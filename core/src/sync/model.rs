//! The primitives of loom or shuttle in the shape of [`super::native`]. Spinning and sleeping
//! become a yield, and whatever has begun has gone on for ever: a model has no time. The real one
//! may decide nothing here, or else a schedule would be another one when it is repeated.

#[cfg(all(feature = "loom", not(feature = "shuttle")))]
use loom as model;
#[cfg(feature = "shuttle")]
use shuttle as model;

pub(crate) use model::sync::atomic;
pub(crate) use model::{sync::MutexGuard, thread};

use model::sync::{RwLockReadGuard, RwLockWriteGuard};
use std::{fmt, time::Duration};

/// A lock without poisoning.
pub(crate) struct Mutex<T>(model::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(model::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

/// A readers-writer lock without poisoning.
#[derive(Default)]
pub(crate) struct RwLock<T>(model::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A condition variable.
#[derive(Default)]
pub(crate) struct Condvar(model::sync::Condvar);

impl Condvar {
    /// Waits on the lock that `guard` holds; holds it again afterwards.
    pub(crate) fn wait_owned<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

pub(crate) fn lock_soon<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

pub(crate) fn spin_while(_limit: Duration, idle: impl Fn() -> bool) {
    if idle() {
        thread::yield_now();
    }
}

/// Says of everything that it has gone on for ever.
pub(crate) struct Stopwatch;

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Duration::MAX
    }
}

pub(crate) fn relax(_spins: u32) {
    thread::yield_now();
}

pub(crate) fn sleep(_time: Duration) {
    thread::yield_now();
}
