//! Files of tests: a `.json` file, a folder, a `.tar.zst` archive.

use indicatif::ProgressBar;
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The longest window that an archive's compression may need, as a power of two of bytes.
const WINDOW_LOG: u32 = 31;
/// A file of tests larger than this is refused: no published one comes near.
const MAX_FILE: u64 = 1 << 30;
/// What a checkout holds in place of a large file.
const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// One file's content.
#[derive(Debug)]
pub struct TestFile {
    /// Where it is; inside an archive `ARCHIVE:PATH`.
    pub name: String,
    /// The JSON text.
    pub text: Vec<u8>,
}

impl TestFile {
    /// Whether it only points to a file that was not downloaded (Git LFS).
    pub fn is_pointer(&self) -> bool {
        self.text.starts_with(LFS_POINTER)
    }
}

/// A path that could not be read, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub struct InputError {
    /// The file, folder or archive.
    pub path: PathBuf,
    /// The reason.
    pub error: io::Error,
}

/// How many bytes `each` will read for this path: what progress is measured by.
pub fn size(path: &Path) -> u64 {
    let Ok(metadata) = path.metadata() else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let entries = path.read_dir().into_iter().flatten().flatten();
    entries.map(|entry| size(&entry.path())).sum()
}

/// Calls `take` with every file of tests below a path, folders in the order of their names. `take`
/// says whether to go on. Errors go to `fail`; the other files still come.
pub fn each(
    path: &Path,
    progress: &ProgressBar,
    take: &mut dyn FnMut(TestFile) -> bool,
    fail: &mut dyn FnMut(InputError),
) {
    let result = if path.is_dir() {
        folder(path, progress, take, fail)
    } else if path.to_string_lossy().ends_with(".tar.zst") {
        archive(path, progress, take)
    } else {
        file(path, progress, take)
    };
    if let Err(error) = result {
        fail(InputError { path: path.to_owned(), error });
    }
}

fn folder(
    path: &Path,
    progress: &ProgressBar,
    take: &mut dyn FnMut(TestFile) -> bool,
    fail: &mut dyn FnMut(InputError),
) -> io::Result<()> {
    let entries: io::Result<Vec<_>> = path.read_dir()?.collect();
    let mut paths: Vec<PathBuf> = entries?.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.to_string_lossy();
        if path.is_dir() || name.ends_with(".json") || name.ends_with(".tar.zst") {
            each(&path, progress, take, fail);
        }
    }
    Ok(())
}

fn file(
    path: &Path,
    progress: &ProgressBar,
    take: &mut dyn FnMut(TestFile) -> bool,
) -> io::Result<()> {
    let text = content(&mut progress.wrap_read(File::open(path)?))?;
    take(TestFile { name: path.display().to_string(), text });
    Ok(())
}

fn archive(
    path: &Path,
    progress: &ProgressBar,
    take: &mut dyn FnMut(TestFile) -> bool,
) -> io::Result<()> {
    let mut decoder = zstd::stream::read::Decoder::new(progress.wrap_read(File::open(path)?))?;
    decoder.window_log_max(WINDOW_LOG)?;
    for entry in tar::Archive::new(decoder).entries()? {
        let mut entry = entry?;
        let inside = entry.path()?.display().to_string();
        if !inside.ends_with(".json") || !entry.header().entry_type().is_file() {
            continue;
        }
        let text = content(&mut entry)?;
        if !take(TestFile { name: format!("{}:{inside}", path.display()), text }) {
            break;
        }
    }
    Ok(())
}

fn content(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    reader.take(MAX_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("larger than {MAX_FILE} bytes")));
    }
    Ok(text)
}
