//! The command line of braid, as a library so that tests can drive its parts.

pub mod bench;
pub mod conformance;
pub mod doctor;
pub mod exit;
pub mod explain;
pub mod record;
pub mod replay;
pub mod rpc;
pub mod shadow;
