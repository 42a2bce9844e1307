//! What a worker runs: one transaction on one view.
//!
//! Role: the seam between the engine's protocol and the EVM, so that a scripted machine can drive
//! the protocol through every schedule. [`Revm`] is the real one.
//!
//! Invariant: an execution is a function of the transaction, the block's environment and the
//! answers of the view; it leaves nothing behind but its effects.

use super::{
    evm::Runner,
    precompiles::{Assistance, Shareable},
    record::{WriteSet, drain},
    view::{View, ViewError},
};
use crate::{
    block::{Block, Transaction},
    sync::OnceLock,
};
use alloy_consensus::{Transaction as _, transaction::Recovered};
use alloy_evm::{EvmEnv, ToTxEnv};
use alloy_primitives::{Address, U256};
use revm::{
    context::{
        TxEnv,
        result::{EVMError, ExecutionResult},
    },
    state::EvmState,
};

/// Why a transaction gave no result.
pub(crate) type Failed = EVMError<ViewError>;

/// What one execution did, beside its writes.
pub(crate) struct Effects {
    pub(crate) result: ExecutionResult,
    /// The beneficiary's reward where it is not among the writes.
    pub(crate) reward: Option<U256>,
    /// The journal's accounts, where somebody wants them.
    pub(crate) state: Option<EvmState>,
}

/// Executes the transactions of one block.
pub(crate) trait Vm<'b>: Sync {
    /// What belongs to one worker.
    type Instance;

    /// A machine for the calling worker.
    fn instance(&self, view: View<'b>) -> Self::Instance;

    /// The sender of a transaction and the nonce that it claims, where the machine checks one.
    fn claims(&self, index: usize) -> Option<(Address, u64)>;

    /// The view that the machine reads through.
    fn view<'i>(&self, instance: &'i mut Self::Instance) -> &'i mut View<'b>;

    /// Runs a transaction; the caller has set the view to its position.
    fn execute(
        &self,
        instance: &mut Self::Instance,
        index: usize,
        writes: &mut WriteSet,
    ) -> Result<Effects, Failed>;

    /// Whether everything was so that the last execution has taken for granted; if not, its end
    /// counts for nothing, and it has to be begun anew.
    fn held(&self, _instance: &mut Self::Instance) -> bool {
        true
    }

    /// What of the last execution threads can take part in.
    fn shareable(&self, _instance: &mut Self::Instance) -> Vec<Shareable> {
        Vec::new()
    }
}

/// revm, with the handler of [`super::evm`].
pub(crate) struct Revm<'b> {
    env: &'b EvmEnv,
    block: &'b Block,
    /// What recovers authorities (EIP-7702), and is therefore made once, by the first execution.
    authorised: Box<[OnceLock<Box<TxEnv>>]>,
    /// Whether the journal's accounts are wanted.
    keep_state: bool,
    /// Who helps with single transactions, and how.
    assistance: Assistance,
}

impl<'b> Revm<'b> {
    pub(crate) fn new(
        env: &'b EvmEnv,
        block: &'b Block,
        keep_state: bool,
        assistance: Assistance,
    ) -> Self {
        let authorises = block.transactions.iter().any(authorises);
        let count = if authorises { block.transactions.len() } else { 0 };
        let authorised = (0..count).map(|_| OnceLock::new()).collect();
        Self { env, block, authorised, keep_state, assistance }
    }

    fn environment(&self, index: usize) -> TxEnv {
        let tx = &self.block.transactions[index];
        match self.authorised.get(index) {
            Some(made) if authorises(tx) => {
                TxEnv::clone(made.get_or_init(|| Box::new(tx.to_tx_env())))
            }
            _ => tx.to_tx_env(),
        }
    }
}

fn authorises(tx: &Recovered<Transaction>) -> bool {
    tx.authorization_list().is_some()
}

impl<'b> Vm<'b> for Revm<'b> {
    type Instance = Runner<View<'b>>;

    fn instance(&self, view: View<'b>) -> Self::Instance {
        Runner::observed(view, self.env, self.assistance.clone())
    }

    fn claims(&self, index: usize) -> Option<(Address, u64)> {
        let tx = &self.block.transactions[index];
        Some((tx.signer(), tx.nonce()))
    }

    fn view<'i>(&self, instance: &'i mut Self::Instance) -> &'i mut View<'b> {
        instance.db()
    }

    fn execute(
        &self,
        runner: &mut Self::Instance,
        index: usize,
        writes: &mut WriteSet,
    ) -> Result<Effects, Failed> {
        let mut executed = runner.run_observed(self.environment(index))?;
        drain(runner.db(), &mut executed.state, self.keep_state, writes)
            .map_err(EVMError::Database)?;
        let state = if self.keep_state {
            Some(executed.state)
        } else {
            runner.recycle(executed.state);
            None
        };
        Ok(Effects { result: executed.result, reward: executed.reward, state })
    }

    fn held(&self, runner: &mut Self::Instance) -> bool {
        runner.held()
    }

    fn shareable(&self, runner: &mut Self::Instance) -> Vec<Shareable> {
        runner.shareable()
    }
}
