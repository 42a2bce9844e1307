//! What the engine may have learned before a round begins.
//!
//! Role: keep a measurement honest. Rounds repeat the same blocks, so an engine that learns from
//! block to block would have seen each of them before. Unless that is asked for, a pass begins with
//! what was known before the first one, and a block that is measured alone teaches nothing.

use super::ReplayArgs;
use braid_core::{Engine, Optimisations, engine::PredictionsError};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Why saved predictions were not used or not written.
#[derive(Debug, thiserror::Error)]
pub enum LearnedError {
    /// The file is there and cannot be read.
    #[error("{}: cannot read the predictions: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It has something else.
    #[error("{}: {error}; remove the file to begin anew", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// Why.
        error: PredictionsError,
    },
    /// It cannot be written.
    #[error("{}: cannot save the predictions: {error}", path.display())]
    Save {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl LearnedError {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. } | Self::Load { path, .. } | Self::Save { path, .. } => path,
        }
    }
}

/// What the engine knows at the beginning.
pub(super) struct Learned {
    saved: Option<Vec<u8>>,
    file: Option<PathBuf>,
    warm: bool,
}

impl Learned {
    /// The switches of an engine that is measured as `args` say.
    pub(super) const fn switches(args: &ReplayArgs, optimisations: Optimisations) -> Optimisations {
        let learns = args.by_pass || args.warm || args.predictions.is_some();
        Optimisations { learning: optimisations.learning && learns, ..optimisations }
    }

    /// Gives the engine what the file has.
    pub(super) fn begin(engine: &Engine, args: &ReplayArgs) -> Result<Self, LearnedError> {
        let file = args.predictions.clone();
        let mut saved = None;
        if let Some(path) = &file {
            match fs::read(path) {
                Ok(bytes) => {
                    let load = engine.load_predictions(&bytes);
                    load.map_err(|error| LearnedError::Load { path: path.clone(), error })?;
                    saved = Some(bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(LearnedError::Read { path: path.clone(), error }),
            }
        }
        Ok(Self { saved, file, warm: args.warm })
    }

    /// Before a pass of the parallel side.
    pub(super) fn reset(&self, engine: &Engine) {
        if self.warm {
            return;
        }
        // What was loaded once can be loaded again.
        let loaded =
            self.saved.as_ref().is_some_and(|saved| engine.load_predictions(saved).is_ok());
        if !loaded {
            engine.forget_predictions();
        }
    }

    /// Writes what the engine has learned to the file: whole, or not at all.
    pub(super) fn end(&self, engine: &Engine) -> Result<(), LearnedError> {
        let Some(path) = &self.file else { return Ok(()) };
        let temporary = path.with_extension("tmp");
        let written = fs::write(&temporary, engine.save_predictions())
            .and_then(|()| fs::rename(&temporary, path));
        written.map_err(|error| LearnedError::Save { path: path.clone(), error })
    }
}
