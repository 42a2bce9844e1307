//! braid inside a reth node: every block that the node commits is executed again in parallel and
//! compared with the node's own result.
//!
//! Role: a thin adapter. reth's notifications and state go in, `braid-shadow` does the rest. One
//! line installs it in a node of your own:
//!
//! ```no_run
//! # use reth_ethereum::{cli::interface::Cli, node::EthereumNode};
//! # fn main() -> eyre::Result<()> {
//! Cli::parse_args().run(async move |builder, _| {
//!     let handle = builder
//!         .node(EthereumNode::default())
//!         .install_exex("braid", |ctx| braid_reth::launch(ctx, braid_reth::Settings::default()))
//!         .launch_with_debug_capabilities()
//!         .await?;
//!     handle.wait_for_node_exit().await
//! })
//! # }
//! ```
//!
//! The binary `braid-reth` is reth's own command line with this in it and `--braid.*` flags
//! ([`Args`]). Other execution extensions find [`Reexecutor`] useful, which needs no shadow.
//!
//! Actors: [`exex`] follows the notifications on reth's runtime and never waits for anything but
//! them; the shadow's own threads open the state ([`state`]), take the node's answer out of the
//! notification (`reference`), execute and compare; the keeper's thread writes the status file.
//!
//! Invariants: the ExEx's future never ends and never panics, since reth takes either for the end
//! of the node; notifications are always drained; nothing that braid does can make a block invalid
//! or late by more than the time that its threads take from the machine.

mod args;
mod chain;
mod exex;
mod heights;
mod keeper;
mod open;
mod reexecute;
mod reference;
mod settings;
mod state;
mod status;

pub use args::Args;
pub use chain::{ChainError, chain_of, genesis_config};
pub use exex::{EthereumTypes, launch};
pub use keeper::Braid;
pub use reexecute::{
    AccountAccess, InspectedState, Inspection, Key, Mode, ReexecuteError, Reexecution, Reexecutor,
    SlotAccess, TransactionAccess,
};
pub use settings::{Settings, Wrap};
pub use state::ParentState;
pub use status::{Progress, Status};
