//! The sequential references that every comparison is made against.

mod bare;
mod ledger;
mod stock;

pub use bare::{execute_bare, execute_bare_timed};
pub use stock::execute_stock;
pub(crate) use stock::execution_context;
