//! `braid shadow`: every block of a client, executed again in parallel and compared.
//!
//! Role: [`mod@follow`] keeps up with the client's tip, the shadow library executes and compares,
//! [`mod@report`] shows each block as it is dealt with, and the totals at the end.

pub mod follow;
pub mod report;

use crate::{
    exit::{EXIT_CODES, Exit},
    rpc::RpcArgs,
};
use braid_shadow::{Reports, Settings, Shadow};
use clap::Args;
use follow::Follower;
use metrics_exporter_prometheus::PrometheusBuilder;
use report::Reporter;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Arguments of `braid shadow`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_CODES)]
pub struct ShadowArgs {
    /// How to reach the client.
    #[command(flatten)]
    pub rpc: RpcArgs,
    /// The first block (default: the client's newest one). From there every block is executed,
    /// whatever the lag.
    #[arg(long, value_name = "BLOCK")]
    pub from: Option<u64>,
    /// Stop after this many blocks.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub blocks: Option<u64>,
    /// How many blocks it may fall behind the tip before it skips to it (without --from).
    #[arg(long, value_name = "BLOCKS", default_value_t = 64,
        value_parser = clap::value_parser!(u64).range(1..))]
    pub max_lag: u64,
    /// How many blocks are fetched, with their state, while another one is executed; 0: none.
    #[arg(long, value_name = "BLOCKS", default_value_t = 4,
        value_parser = clap::value_parser!(u8).range(0..=64))]
    pub ahead: u8,
    /// How often the client is asked for its newest block, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 500,
        value_parser = clap::value_parser!(u64).range(1..))]
    pub poll: u64,
    /// How long the client may be unreachable before the command gives up, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub give_up: u64,
    /// Threads that execute a block (default: half the cores, at least two).
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// How long one block may take, its data included, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..))]
    pub deadline: u64,
    /// Every how many blocks sequential execution runs too, for a like-for-like ratio; 0: never.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub sample_every: u64,
    /// Where recorded blocks of divergences go.
    #[arg(long, value_name = "FOLDER", default_value = "braid-reports")]
    pub report_dir: PathBuf,
    /// The most bytes that this folder may take; the oldest go first.
    #[arg(long, value_name = "BYTES", default_value_t = Reports::DEFAULT_MAX_BYTES)]
    pub report_max_bytes: u64,
    /// Serve Prometheus metrics on this port of the loopback interface, or at this address.
    #[arg(long, value_name = "PORT|ADDR:PORT", value_parser = metrics_address)]
    pub metrics: Option<SocketAddr>,
    /// One JSON object a line instead of a table.
    #[arg(long)]
    pub json: bool,
}

fn metrics_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse().map_err(|_| "neither a port nor ADDRESS:PORT".to_owned())
}

impl ShadowArgs {
    fn settings(&self, reporter: &Arc<Reporter>) -> Settings {
        let defaults = Settings::default();
        let reporter = reporter.clone();
        Settings {
            threads: self.threads.map_or(defaults.threads, usize::from),
            deadline: Duration::from_secs(self.deadline),
            max_lag: defaults.max_lag.max(self.ahead.into()),
            sample_every: self.sample_every,
            // Nobody is harmed by a failing feed here, and it may recover.
            max_failures: 0,
            reports: Some(Reports {
                folder: self.report_dir.clone(),
                max_bytes: self.report_max_bytes,
            }),
            listener: Some(Arc::new(move |event| reporter.event(event))),
            ..defaults
        }
    }
}

/// Runs the command until it is interrupted, has done its blocks, or gives the client up.
pub fn run(args: &ShadowArgs) -> Exit {
    match start(args) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("{error}");
            Exit::Unreadable
        }
    }
}

fn start(args: &ShadowArgs) -> Result<Exit, String> {
    if let Some(address) = args.metrics {
        let builder = PrometheusBuilder::new().with_http_listener(address);
        builder.install().map_err(|error| format!("--metrics {address}: {error}"))?;
    }
    // A restarting client is waited for while the block at hand has time left.
    let patience = Duration::from_secs(args.deadline) / 2;
    let fetcher = Arc::new(args.rpc.options.fetcher(&args.rpc.rpc_url, patience)?);
    let stop = Arc::new(AtomicBool::new(false));
    let handler = {
        let stop = stop.clone();
        // The second signal ends it at once.
        move || {
            if stop.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        }
    };
    ctrlc::set_handler(handler).map_err(|error| format!("signals: {error}"))?;
    let reporter = Arc::new(Reporter::new(args.json));
    let shadow = Shadow::start(args.settings(&reporter)).map_err(|error| error.to_string())?;
    reporter.header(fetcher.client().url(), fetcher.rules().chain.id());
    let mut follower = Follower::new(args, &fetcher, &shadow, &reporter, &stop);
    let followed = follower.run();
    let reorgs = follower.reorgs();
    if !stop.load(Ordering::Relaxed) {
        shadow.wait_idle(Duration::from_secs(args.deadline) * 4);
    }
    shadow.shutdown();
    let counters = shadow.counters();
    reporter.summary(&counters, reorgs, &fetcher);
    if let Err(error) = followed {
        eprintln!("{error}");
        return Ok(if counters.diverged > 0 { Exit::Mismatch } else { Exit::Unreadable });
    }
    Ok(if counters.diverged > 0 { Exit::Mismatch } else { Exit::Fine })
}
