//! Builds receipts without their bloom: the bloom is computed where the receipt is encoded.

use crate::block::{Receipt, Transaction};
use alloy_consensus::TxType;
use alloy_evm::{
    Evm,
    eth::receipt_builder::{ReceiptBuilder, ReceiptBuilderCtx},
};

/// Gives alloy-evm's block executor the receipt type that reth uses.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainReceipts;

impl ReceiptBuilder for PlainReceipts {
    type Transaction = Transaction;
    type Receipt = Receipt;

    fn build_receipt<E: Evm>(&self, ctx: ReceiptBuilderCtx<'_, TxType, E>) -> Receipt {
        Receipt {
            tx_type: ctx.tx_type,
            success: ctx.result.is_success(),
            cumulative_gas_used: ctx.cumulative_gas_used,
            logs: ctx.result.into_logs(),
        }
    }
}
