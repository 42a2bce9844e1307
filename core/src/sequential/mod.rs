//! The sequential references that every comparison is made against.

mod stock;

pub(crate) use stock::execution_context;
pub use stock::{execute_stock, execute_stock as execute_bare};
