//! Tests of the node binary, from outside: a dev chain over RPC, signals, kills, and its cost.

mod cost;
mod dev_chain;
mod load;
mod node;
#[path = "../shared/mod.rs"]
mod shared;
