//! The flags `--braid.*` of the node binary.

use crate::Settings;
use braid_shadow::Reports;
use std::{path::PathBuf, time::Duration};

/// The shadow's flags, for reth's command line: `Cli::<EthereumChainSpecParser, Args>`. Their ids
/// carry the prefix too, because reth's own arguments share the name space.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Braid")]
pub struct Args {
    /// Run the node without the shadow.
    #[arg(id = "braid.off", long = "braid.off")]
    pub off: bool,

    /// Threads that execute a block. Default: half the cores, at least 2.
    #[arg(id = "braid.threads", long = "braid.threads", value_name = "COUNT")]
    pub threads: Option<usize>,

    /// Nice value of those threads, 0 to 19, higher is humbler (Linux).
    #[arg(id = "braid.nice", long = "braid.nice", value_name = "NICE", default_value_t = 10)]
    pub nice: u8,

    /// How long one block may take before it is skipped.
    #[arg(
        id = "braid.deadline", long = "braid.deadline",
        value_name = "DURATION",
        default_value = "2s",
        value_parser = humantime::parse_duration
    )]
    pub deadline: Duration,

    /// How many blocks may wait; where one more comes, the oldest is skipped.
    #[arg(
        id = "braid.max-lag",
        long = "braid.max-lag",
        value_name = "BLOCKS",
        default_value_t = 8
    )]
    pub max_lag: usize,

    /// How many blocks may come at once; more come only while the node catches up, and are skipped.
    #[arg(
        id = "braid.max-batch",
        long = "braid.max-batch",
        value_name = "BLOCKS",
        default_value_t = 8
    )]
    pub max_batch: usize,

    /// The most state that one block may read, in MiB.
    #[arg(
        id = "braid.memory-cap",
        long = "braid.memory-cap",
        value_name = "MIB",
        default_value_t = 512
    )]
    pub memory_cap: usize,

    /// Every how many blocks sequential and parallel execution are timed on the same state in
    /// memory; 0: never.
    #[arg(id = "braid.sample", long = "braid.sample", value_name = "BLOCKS", default_value_t = 16)]
    pub sample: u64,

    /// After how many failures in a row the shadow disables itself; 0: never.
    #[arg(
        id = "braid.max-failures",
        long = "braid.max-failures",
        value_name = "COUNT",
        default_value_t = 16
    )]
    pub max_failures: u32,

    /// Where recorded divergences and `status.json` go. Default: `braid` in the data folder.
    #[arg(id = "braid.report-dir", long = "braid.report-dir", value_name = "FOLDER")]
    pub report_dir: Option<PathBuf>,

    /// How large the recorded divergences may grow, in MiB; the oldest go first.
    #[arg(
        id = "braid.report-size",
        long = "braid.report-size",
        value_name = "MIB",
        default_value_t = 256
    )]
    pub report_size: u64,

    /// Execute also blocks whose parent state is deep in the history.
    #[arg(id = "braid.history", long = "braid.history")]
    pub history: bool,

    /// Start with this block instead of the first one that the node commits.
    #[arg(id = "braid.backfill-from", long = "braid.backfill-from", value_name = "BLOCK")]
    pub backfill_from: Option<u64>,
}

impl Args {
    /// The settings that these flags ask for.
    pub fn settings(&self) -> Settings {
        let defaults = braid_shadow::Settings::default();
        let max_bytes = self.report_size << 20;
        let reports = self.report_dir.clone().map(|folder| Reports { folder, max_bytes });
        Settings {
            shadow: braid_shadow::Settings {
                threads: self.threads.unwrap_or(defaults.threads),
                nice: Some(self.nice),
                deadline: self.deadline,
                max_lag: self.max_lag,
                max_batch: self.max_batch,
                memory_cap: self.memory_cap << 20,
                sample_every: self.sample,
                max_failures: self.max_failures,
                reports,
                ..defaults
            },
            history: self.history,
            backfill_from: self.backfill_from,
            wrap: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(flags: &[&str]) -> Args {
        let line = Line::try_parse_from([&["node"], flags].concat());
        line.unwrap_or_else(|error| panic!("{error}")).args
    }

    #[test]
    fn without_flags_the_defaults_are_the_shadows_own() {
        let settings = parse(&[]).settings();
        let default = Settings::default();
        assert_eq!(format!("{settings:?}"), format!("{default:?}"));
    }

    #[test]
    fn each_flag_arrives() {
        let flags = [
            "--braid.threads=3",
            "--braid.nice=1",
            "--braid.deadline=250ms",
            "--braid.max-lag=4",
            "--braid.max-batch=5",
            "--braid.memory-cap=6",
            "--braid.sample=7",
            "--braid.max-failures=9",
            "--braid.report-dir=here",
            "--braid.report-size=10",
            "--braid.history",
            "--braid.backfill-from=11",
        ];
        let settings = parse(&flags).settings();
        let shadow = &settings.shadow;
        assert_eq!((shadow.threads, shadow.nice), (3, Some(1)));
        assert_eq!(shadow.deadline, Duration::from_millis(250));
        assert_eq!((shadow.max_lag, shadow.max_batch), (4, 5));
        assert_eq!((shadow.memory_cap, shadow.sample_every), (6 << 20, 7));
        assert_eq!(shadow.max_failures, 9);
        let reports = shadow.reports.as_ref().expect("a folder");
        assert_eq!((reports.folder.to_str(), reports.max_bytes), (Some("here"), 10 << 20));
        assert!(settings.history);
        assert_eq!(settings.backfill_from, Some(11));
    }

    #[test]
    fn no_flag_clashes_with_one_of_reths() {
        use clap::CommandFactory;
        use reth_ethereum::cli::{chainspec::EthereumChainSpecParser, interface::Cli};
        Cli::<EthereumChainSpecParser, Args>::command().debug_assert();
    }

    #[test]
    fn a_bad_duration_is_refused_with_the_flags_name() {
        let error = Line::try_parse_from(["node", "--braid.deadline=soon"]).expect_err("bad");
        assert!(error.to_string().contains("--braid.deadline"), "{error}");
    }
}
