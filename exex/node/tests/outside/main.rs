//! Tests of the node binary, from outside: a dev chain over RPC, signals, kills, the command line
//! beside it, and what it costs.

mod command;
mod cost;
mod dev_chain;
mod load;
mod memory;
mod node;
#[path = "../shared/mod.rs"]
mod shared;
