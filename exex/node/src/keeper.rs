//! The shadow inside a node, from its start to its end.
//!
//! Role: hold what outlives the ExEx's future: the settings, the shadow, its status. Actors: the
//! node's launcher starts it, the future feeds it, the keeper's thread writes the status file and
//! logs a summary once a minute, and whoever ends the node stops it.
//!
//! Invariants: a start that fails leaves a node without a shadow, not a node that does not start;
//! a stop waits only as long as the shadow's own limit.

use crate::{
    settings::Settings,
    status::{Progress, Status, Writer},
};
use braid_shadow::{Counters, Event, Listener, Reports, Shadow};
use parking_lot::{Condvar, Mutex};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How often the status is looked at.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// How often a summary is logged.
const SUMMARY_EVERY: Duration = Duration::from_secs(60);

/// A shadow for one node. Clones are handles to the same one; any thread may use them.
#[derive(Debug, Clone)]
pub struct Braid(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    running: OnceLock<Running>,
    progress: Mutex<Progress>,
    stopped: Mutex<bool>,
    stopping: Condvar,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// What exists from the launch on.
#[derive(Debug)]
struct Running {
    shadow: Shadow,
    chain: u64,
    folder: PathBuf,
    writer: Writer,
}

impl Braid {
    /// A shadow that starts when the node launches it.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Inner {
            settings,
            running: OnceLock::new(),
            progress: Mutex::default(),
            stopped: Mutex::new(false),
            stopping: Condvar::new(),
            keeper: Mutex::new(None),
        }))
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The shadow's counters; `None` before the node launched it, or where it could not start.
    pub fn counters(&self) -> Option<Counters> {
        self.shadow().map(Shadow::counters)
    }

    /// What the notifications told so far.
    pub fn progress(&self) -> Progress {
        self.0.progress.lock().clone()
    }

    /// What `status.json` says, as of now; `None` as for [`Self::counters`].
    pub fn status(&self) -> Option<Status> {
        self.0.running.get().map(|running| running.status(self.progress()))
    }

    /// Waits until every announced block is dealt with, at most this long; whether it is so.
    pub fn wait_idle(&self, at_most: Duration) -> bool {
        self.shadow().is_none_or(|shadow| shadow.wait_idle(at_most))
    }

    /// Ends the shadow; the keeper writes the last status. Waits at most as long as the shadow's
    /// `shutdown_wait`. Later calls do nothing.
    pub fn stop(&self) {
        self.end();
        if let Some(keeper) = self.0.keeper.lock().take() {
            // Nothing in it panics but what logs.
            let _joined = keeper.join();
        }
    }

    /// As [`Self::stop`], without waiting.
    pub(crate) fn end(&self) {
        *self.0.stopped.lock() = true;
        self.0.stopping.notify_all();
    }

    pub(crate) fn shadow(&self) -> Option<&Shadow> {
        self.0.running.get().map(|running| &running.shadow)
    }

    pub(crate) fn tell(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.0.progress.lock());
    }

    /// Starts shadow and keeper for this chain, with reports under the node's data folder unless
    /// the settings say otherwise. Where a thread is refused, the node goes on without.
    pub(crate) fn begin(&self, chain: u64, data: &Path) {
        let mut settings = self.0.settings.shadow.clone();
        let reports = settings.reports.get_or_insert_with(|| Reports::new(data.join("braid")));
        let folder = reports.folder.clone();
        settings.listener = Some(logging(settings.listener.take()));
        let started = Shadow::start(settings).and_then(|shadow| {
            let running = Running { shadow, chain, folder, writer: Writer::default() };
            // A second launch of the same handle would start a second shadow: the first one stays.
            if self.0.running.set(running).is_err() {
                return Ok(());
            }
            let handle = self.clone();
            let keeper = thread::Builder::new().name("braid-keeper".to_owned());
            *self.0.keeper.lock() = Some(keeper.spawn(move || handle.keep())?);
            Ok(())
        });
        if let Err(error) = started {
            tracing::error!(target: "braid", %error, "no thread for the shadow; it does not run");
        }
    }

    /// The keeper's thread.
    fn keep(&self) {
        let Some(running) = self.0.running.get() else { return };
        let mut summary = Instant::now();
        while !self.ending_within(STATUS_EVERY) {
            let status = running.status(self.progress());
            if summary.elapsed() >= SUMMARY_EVERY {
                summary = Instant::now();
                summarise(&status);
            }
            running.writer.keep(&running.folder, status);
        }
        if !running.shadow.shutdown() {
            tracing::warn!(target: "braid", "a read of the state has not ended; left to itself");
        }
        running.writer.keep(&running.folder, running.status(self.progress()));
    }

    /// Waits for the end, at most this long; whether it has come.
    fn ending_within(&self, at_most: Duration) -> bool {
        let mut stopped = self.0.stopped.lock();
        if !*stopped {
            self.0.stopping.wait_for(&mut stopped, at_most);
        }
        *stopped
    }
}

impl Running {
    fn status(&self, progress: Progress) -> Status {
        Status::new(self.chain, progress, &self.shadow.counters())
    }
}

fn summarise(status: &Status) {
    let skipped: u64 = status.skipped.values().sum();
    let Status { matched, mismatched, ratio, waiting, .. } = status;
    let head = status.progress.head;
    tracing::info!(
        target: "braid", head, matched, mismatched, skipped, waiting, ?ratio, "blocks shadowed"
    );
}

/// Logs each event, then tells the settings' own listener.
fn logging(own: Option<Listener>) -> Listener {
    Arc::new(move |event| {
        log(event);
        if let Some(own) = &own {
            own(event);
        }
    })
}

fn log(event: &Event) {
    match event {
        Event::Matched(matched) => tracing::debug!(
            target: "braid",
            number = matched.number,
            transactions = matched.transactions,
            elapsed = ?matched.elapsed,
            "block matched"
        ),
        Event::Diverged(divergence) => tracing::error!(
            target: "braid",
            number = divergence.number,
            hash = %divergence.hash,
            difference = %divergence.difference,
            sequential = %divergence.sequential,
            report = ?divergence.report,
            "block diverged: the node's own result stands; see docs/shadow.md"
        ),
        Event::Skipped { number, skip, .. } => {
            tracing::debug!(target: "braid", number, %skip, "block skipped");
        }
        Event::Disabled { failures, last } => tracing::error!(
            target: "braid", failures, %last, "the shadow has disabled itself; the node is unharmed"
        ),
    }
}
