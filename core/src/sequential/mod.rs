//! The sequential references that every comparison is made against.

mod bare;
mod ledger;
mod stock;

pub use crate::receipts::PlainReceipts;
pub(crate) use bare::execute_bare_with;
pub use bare::{execute_bare, execute_bare_timed, execute_bare_with_access_list};
pub(crate) use ledger::PlainLedger;
pub use stock::{execute_stock, execute_stock_with_access_list, execution_context};
