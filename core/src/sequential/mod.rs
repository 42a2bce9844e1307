//! The sequential references that every comparison is made against.

mod bare;
mod ledger;
mod stock;

pub use crate::receipts::PlainReceipts;
pub use bare::{execute_bare, execute_bare_timed};
pub use stock::{execute_stock, execution_context};
