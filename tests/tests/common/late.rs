//! Sources that make a chosen transaction late, or a chosen place unreadable.

use braid_core::{
    SourceError, StateReader, StateSource,
    source::{HookedReader, Location},
};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// What happens where a place is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The read takes a while: whoever needs it is overtaken.
    Delay,
    /// The read fails each time.
    Error,
    /// The first read fails, later ones do not.
    ErrorOnce,
    /// The read panics.
    Panic,
}

/// A source with trouble at some places.
pub struct Troubled<'a> {
    inner: &'a dyn StateSource,
    places: Vec<(Location, Trouble)>,
    /// How often trouble was met, delays apart.
    met: AtomicUsize,
}

impl<'a> Troubled<'a> {
    pub fn new(inner: &'a dyn StateSource, places: Vec<(Location, Trouble)>) -> Self {
        Self { inner, places, met: AtomicUsize::new(0) }
    }

    pub fn met(&self) -> usize {
        self.met.load(Ordering::Relaxed)
    }

    fn pass(&self, location: Location) -> Result<(), SourceError> {
        for (_, trouble) in self.places.iter().filter(|(place, _)| *place == location) {
            if *trouble == Trouble::Delay {
                std::thread::sleep(Duration::from_micros(400));
                continue;
            }
            let before = self.met.fetch_add(1, Ordering::Relaxed);
            match trouble {
                Trouble::Panic => panic!("planted"),
                Trouble::ErrorOnce if before > 0 => {}
                _ => return Err(SourceError::new(location, "planted")),
            }
        }
        Ok(())
    }
}

impl StateSource for Troubled<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(HookedReader::new(self.inner.reader()?, |location| self.pass(location))))
    }
}
