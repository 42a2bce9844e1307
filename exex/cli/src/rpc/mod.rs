//! Blocks with their state from any client, by JSON-RPC.
//!
//! Role: what `braid shadow`, `braid record` and `braid doctor` know of a client. [`Client`] sends
//! requests, so many at once and no more, with bounded retries; `chain` finds out whose rules hold;
//! `fetch` turns a block's number into a checked block with a parent state; `remote` reads what a
//! trace left out.
//!
//! Invariant: nothing that a client says is believed without a check where there is one: blocks are
//! checked against their hash, witnesses against the parent's state root, results against the
//! header.

pub mod chain;
pub mod client;
pub mod fetch;
pub mod remote;

pub use client::{Client, RpcError};
pub use fetch::{Fetcher, Method};

use clap::Args;
use std::{path::PathBuf, time::Duration};

/// How to reach a client.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Client")]
pub struct RpcArgs {
    /// The client's HTTP endpoint.
    #[arg(long, env = "ETH_RPC_URL", value_name = "URL")]
    pub rpc_url: String,
    /// How to talk to it.
    #[command(flatten)]
    pub options: RpcOptions,
}

/// How to talk to a client.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Client")]
pub struct RpcOptions {
    /// A geth genesis file (or its `config` alone) with the chain's rules, where braid does not
    /// know the chain and the client does not tell.
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// Where the state comes from (default: the best that the client serves).
    #[arg(long, value_enum, value_name = "METHOD", default_value = "auto")]
    pub state: Method,
    /// How long one request may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    /// How often a request is repeated when the client is unreachable, overloaded or limits its
    /// rate; the pauses double from a quarter of a second up to ten seconds.
    #[arg(long, value_name = "N", default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(0..=100))]
    pub retries: u32,
    /// How many requests are under way at once, at most: where state is read key by key, where
    /// proofs are asked for, and for the next blocks.
    #[arg(long, value_name = "N", default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(1..=256))]
    pub connections: u16,
}

impl RpcOptions {
    /// What fetches blocks from the client at this endpoint, by the rules of its chain; it waits
    /// for a client that is away as long as `patience` says.
    ///
    /// # Errors
    /// In words, where the chain's rules are not to be had.
    pub fn fetcher(&self, url: &str, patience: Duration) -> Result<Fetcher, String> {
        let client = self.client(url);
        match chain::rules(&client, self.genesis.as_deref()) {
            Ok(rules) => Ok(Fetcher::new(client, rules, self.state, patience)),
            Err(error) => Err(format!("{}: {error}", client.url())),
        }
    }

    /// The client at this endpoint, by these options.
    pub fn client(&self, url: &str) -> Client {
        Client::new(url, Duration::from_secs(self.timeout), self.retries, self.connections)
    }
}
