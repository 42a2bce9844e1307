//! Where the blocks come from: files and folders, or the built-in workload where none is named.

use super::report::Printer;
use crate::exit::Exit;
use braid_shadow::recorded::{self, RecordedBlock};
use braid_workload::{Mix, Settings, generate};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    fmt::{self, Display},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// The settings of the built-in workload, which runs where no path is given.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Built-in workload (without paths)")]
pub struct WorkloadArgs {
    /// How many blocks to generate (default: 20).
    #[arg(long, conflicts_with = "paths", value_parser = clap::value_parser!(u32).range(1..))]
    pub blocks: Option<u32>,
    /// Transactions in each block (default: 200).
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "paths",
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    pub transactions: Option<u32>,
    /// How much the transactions depend on each other: 0 not at all, 1 each on the one before
    /// (default: 0.3).
    #[arg(
        long,
        value_name = "FRACTION",
        conflicts_with = "paths",
        value_parser = contention,
        allow_negative_numbers = true
    )]
    pub contention: Option<f64>,
    /// Where the random choices start: the same seed gives the same blocks (default: 1).
    #[arg(long, conflicts_with = "paths")]
    pub seed: Option<u64>,
    /// The kinds of transactions with their weights, as in `transfers=4,erc20=3,swaps=2`
    /// (default: every kind, about as on mainnet).
    #[arg(long, value_name = "KIND=WEIGHT,...", conflicts_with = "paths")]
    pub mix: Option<Mix>,
    /// Write the generated blocks into this folder too, as recorded blocks.
    #[arg(long, value_name = "FOLDER", conflicts_with = "paths")]
    pub write: Option<PathBuf>,
}

fn contention(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("not between 0 and 1".to_owned()) }
}

impl WorkloadArgs {
    /// The settings, with the defaults of the workload where nothing is given.
    pub fn settings(&self) -> Settings {
        let defaults = Settings::default();
        Settings {
            blocks: self.blocks.map_or(defaults.blocks, |blocks| blocks as usize),
            transactions: self.transactions.map_or(defaults.transactions, |count| count as usize),
            contention: self.contention.unwrap_or(defaults.contention),
            seed: self.seed.unwrap_or(defaults.seed),
            mix: self.mix.clone().unwrap_or(defaults.mix),
        }
    }
}

/// Where a block comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A recorded block.
    File(PathBuf),
    /// The built-in workload.
    Generated(Settings),
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Generated(_) => f.write_str("built-in workload"),
        }
    }
}

impl Origin {
    /// The arguments of `braid replay` that give this block again.
    pub fn arguments(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Generated(Settings { blocks, transactions, contention, seed, mix }) => format!(
                "--blocks {blocks} --transactions {transactions} --contention {contention} \
                 --seed {seed} --mix {mix}"
            ),
        }
    }
}

/// All blocks that the arguments stand for. What could not be read is reported and left out.
pub(crate) fn load(
    paths: &[PathBuf],
    settings: &WorkloadArgs,
    printer: &Printer,
    exit: &mut Exit,
) -> Vec<(Origin, RecordedBlock)> {
    let mut records = Vec::new();
    if paths.is_empty() {
        records = workload(settings, printer, exit);
    }
    for path in paths {
        for file in files(path, printer, exit) {
            match RecordedBlock::read(&file) {
                Ok(record) => records.push((Origin::File(file), record)),
                Err(error) => {
                    printer.unreadable(&file.display(), &error);
                    *exit = (*exit).max(Exit::Unreadable);
                }
            }
        }
    }
    records
}

/// The files that a path stands for; a folder that holds none is reported.
pub(super) fn files(path: &Path, printer: &Printer, exit: &mut Exit) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let reason = match recorded::files(path) {
        Ok(files) if !files.is_empty() => return files,
        Ok(_) => format!("{}: no recorded block (*.json.zst) in it", path.display()),
        Err(error) => error.to_string(),
    };
    printer.unreadable(&path.display(), &reason);
    *exit = (*exit).max(Exit::Unreadable);
    Vec::new()
}

/// Generates the blocks, and writes them where that is wanted.
fn workload(
    args: &WorkloadArgs,
    printer: &Printer,
    exit: &mut Exit,
) -> Vec<(Origin, RecordedBlock)> {
    let settings = args.settings();
    let origin = Origin::Generated(settings.clone());
    let bar = ProgressBar::new(settings.blocks as u64);
    // Preparing the chain comes before the first block; the spinner shows that it goes on.
    let template = "{spinner} {wide_bar} {pos} of {len} blocks generated";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    let generated = generate(&settings, &mut |done, _| bar.set_position(done as u64));
    bar.finish_and_clear();
    let blocks = match generated {
        Ok(blocks) => blocks,
        Err(error) => {
            printer.unreadable(&origin, &error);
            *exit = (*exit).max(Exit::Unreadable);
            return Vec::new();
        }
    };
    if let Some(folder) = &args.write
        && let Err(error) = write(folder, &blocks)
    {
        printer.unreadable(&folder.display(), &error);
        *exit = (*exit).max(Exit::Unreadable);
    }
    blocks.into_iter().map(|block| (origin.clone(), block)).collect()
}

/// Makes the folder where it is missing.
fn write(folder: &Path, blocks: &[RecordedBlock]) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for block in blocks {
        block.write(folder).map_err(|error| error.to_string())?;
    }
    Ok(())
}
