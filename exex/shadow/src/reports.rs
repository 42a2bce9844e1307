//! The folder of recorded divergences: bounded in size, newest kept.
//!
//! A folder that cannot be made or written, or a full disk, costs the report and nothing else.

use crate::{
    recorded::{self, RecordedBlock},
    settings::Reports,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Writes the record, then removes the oldest ones beyond the size limit.
///
/// # Errors
/// Why there is no report, in words.
pub(crate) fn write(reports: &Reports, record: &RecordedBlock) -> Result<PathBuf, String> {
    let folder = &reports.folder;
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let path = record.write(folder).map_err(|error| error.to_string())?;
    // Too large a folder is better than no report.
    let _kept = prune(reports, &path);
    Ok(path)
}

fn prune(reports: &Reports, newest: &Path) -> io::Result<()> {
    let files = recorded::files(&reports.folder).map_err(io::Error::other)?;
    let mut sizes = Vec::with_capacity(files.len());
    for path in files {
        let meta = fs::metadata(&path)?;
        let written = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        sizes.push((path != newest, written, meta.len(), path));
    }
    // The newest first; it stays whatever its size.
    sizes.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)).then(b.3.cmp(&a.3)));
    let mut total = 0u64;
    for (removable, _, size, path) in sizes {
        total = total.saturating_add(size);
        if removable && total > reports.max_bytes {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
