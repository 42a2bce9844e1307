//! Tests in one process with reth: notifications with real execution, a dev node with faults
//! inside, blocks executed again. One program, because each that links reth takes minutes to build.

mod chain;
mod harm;
mod notifications;
mod reexecute;
#[path = "../shared/mod.rs"]
mod shared;
