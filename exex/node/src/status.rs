//! What the shadow says about itself, in `status.json` of the report folder.
//!
//! Role: let a person or a program see without the node's metrics how far the shadow is. The
//! keeper's thread writes the file about once a second when something changed, and a last time at
//! the end. The new text replaces the old one by renaming, so a reader never sees half of it, also
//! after a kill. A disk that takes nothing costs the file, not the node; it is logged once.

use braid_shadow::Counters;
use parking_lot::Mutex;
use serde::Serialize;
use std::{collections::BTreeMap, fs, io, path::Path};

/// What the notifications told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The number of the newest canonical block.
    pub head: u64,
    /// Blocks that were announced as committed.
    pub committed: u64,
    /// Blocks that were announced as reverted.
    pub reverted: u64,
    /// How often blocks were missing between two announcements.
    pub gaps: u64,
    /// Notifications that came as errors, or whose handling panicked.
    pub errors: u64,
    /// The height last reported to the node as finished.
    pub finished: Option<u64>,
}

/// Everything that `status.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// braid's version.
    pub version: &'static str,
    /// The chain id.
    pub chain: u64,
    /// What the notifications told.
    #[serde(flatten)]
    pub progress: Progress,
    /// Blocks whose parallel result is the node's.
    pub matched: u64,
    /// Blocks whose parallel result is not the node's.
    pub mismatched: u64,
    /// Blocks that were not compared, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Matched blocks whose changed accounts and slots were compared too.
    pub state_checked: u64,
    /// Blocks that wait for their turn.
    pub waiting: usize,
    /// Transactions of the matched blocks.
    pub transactions: u64,
    /// Executions of transactions in the matched blocks, repeated ones included.
    pub executions: u64,
    /// Sequential time over parallel time, of the sampled blocks.
    pub ratio: Option<f64>,
    /// Whether the shadow has disabled itself.
    pub disabled: bool,
}

impl Status {
    pub(crate) fn new(chain: u64, progress: Progress, counters: &Counters) -> Self {
        let skipped = counters.skipped.iter().map(|(reason, count)| (reason.label(), *count));
        Self {
            version: env!("CARGO_PKG_VERSION"),
            chain,
            progress,
            matched: counters.matched,
            mismatched: counters.diverged,
            skipped: skipped.collect(),
            state_checked: counters.state_checked,
            waiting: counters.waiting,
            transactions: counters.transactions,
            executions: counters.executions,
            ratio: counters.ratio(),
            disabled: counters.disabled,
        }
    }
}

/// Writes a status into a folder; the old file stays whole until the new one is complete.
pub(crate) fn write(folder: &Path, status: &Status) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let text = serde_json::to_string_pretty(status)?;
    let next = folder.join("status.json.next");
    fs::write(&next, text + "\n")?;
    fs::rename(&next, folder.join("status.json"))
}

/// Writes a status where it changed, and says once when it cannot.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    last: Mutex<(Option<Status>, bool)>,
}

impl Writer {
    pub(crate) fn keep(&self, folder: &Path, status: Status) {
        let mut last = self.last.lock();
        let (written, complained) = &mut *last;
        if written.as_ref() == Some(&status) {
            return;
        }
        match write(folder, &status) {
            Ok(()) => (*written, *complained) = (Some(status), false),
            Err(error) if !*complained => {
                *complained = true;
                let file = folder.join("status.json");
                let file = file.display();
                tracing::warn!(target: "braid", %error, %file, "status.json cannot be written");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: u64) -> Status {
        let progress = Progress { head, ..Progress::default() };
        Status::new(1, progress, &Counters::default())
    }

    #[test]
    fn the_file_is_replaced_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let writer = Writer::default();
        for head in [1, 2, 2, 3] {
            writer.keep(folder.path(), status(head));
            let text = fs::read_to_string(folder.path().join("status.json")).expect("a file");
            let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!((value["head"].as_u64(), value["chain"].as_u64()), (Some(head), Some(1)));
        }
        let files: Vec<_> = fs::read_dir(folder.path()).expect("a folder").collect();
        assert_eq!(files.len(), 1, "nothing is left over: {files:?}");
    }

    #[test]
    fn a_folder_that_cannot_be_is_an_error_and_no_panic() {
        let folder = tempfile::tempdir().expect("a folder");
        let taken = folder.path().join("taken");
        fs::write(&taken, "a file").expect("a writable folder");
        assert!(write(&taken, &status(1)).is_err());
        let writer = Writer::default();
        writer.keep(&taken, status(1));
        assert!(writer.last.lock().1, "it was said");
        fs::remove_file(&taken).expect("a file");
        writer.keep(&taken, status(1));
        assert!(taken.join("status.json").is_file(), "it is tried again");
    }
}
