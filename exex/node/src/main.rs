//! `braid-reth`: reth's command line, with the shadow inside its node.

use braid_reth::{Args, Braid};
use clap::Parser;
use reth_ethereum::{
    cli::{chainspec::EthereumChainSpecParser, interface::Cli},
    node::EthereumNode,
};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: reth_ethereum::cli::allocator::Allocator =
    reth_ethereum::cli::allocator::new_allocator();

fn main() -> ExitCode {
    reth_ethereum::cli::sigsegv_handler::install();
    let started = std::sync::Arc::new(std::sync::OnceLock::new());
    let keep = started.clone();
    let ended = Cli::<EthereumChainSpecParser, Args>::parse().run(async move |builder, args| {
        let braid = (!args.off).then(|| Braid::new(args.settings()));
        let node = builder.node(EthereumNode::default());
        let node = match braid {
            Some(braid) => {
                let shadow = keep.get_or_init(|| braid).clone();
                node.install_exex("braid", move |ctx| async move { shadow.launch(ctx) })
            }
            None => node,
        };
        let handle = node.launch_with_debug_capabilities().await?;
        handle.wait_for_node_exit().await
    });
    // The node has ended; its database closes only after the shadow's last read.
    if let Some(braid) = started.get() {
        braid.stop();
    }
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:?}");
            ExitCode::FAILURE
        }
    }
}
