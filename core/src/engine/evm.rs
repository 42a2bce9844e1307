//! The one file of this crate that names revm's internals.
//!
//! Role: run one transaction on a long-lived revm EVM and hand back its result, its state and the
//! beneficiary's reward. Actors: each worker owns one [`Runner`] (an EVM is not `Send`).
//!
//! Invariant: the reward is deferred, that is left out of the state and returned beside it, unless
//! the transaction itself loaded the beneficiary; then it is paid through the journal, so that a
//! destroyed or re-created beneficiary is treated exactly as revm treats it.

use alloy_evm::EvmEnv;
use alloy_primitives::U256;
use revm::{
    Context, Database,
    context::{
        BlockEnv, CfgEnv, ContextSetters, ContextTr, JournalTr, Transaction, TxEnv,
        result::{EVMError, ExecutionResult, HaltReason},
    },
    handler::{FrameResult, Handler, MainBuilder, MainnetEvm, post_execution},
    primitives::hardfork::SpecId,
    state::EvmState,
};
use std::{cell::Cell, marker::PhantomData};

type Ctx<DB> = Context<BlockEnv, TxEnv, CfgEnv, DB>;

/// A long-lived EVM over one database.
pub(crate) struct Runner<DB: Database> {
    evm: MainnetEvm<Ctx<DB>>,
}

/// One executed transaction.
pub(crate) struct Executed {
    pub(crate) result: ExecutionResult,
    /// Every loaded account, normalised by the journal for forks before EIP-161.
    pub(crate) state: EvmState,
    /// The beneficiary's reward in wei where it is not part of `state`.
    pub(crate) reward: Option<U256>,
}

impl<DB: Database> Runner<DB> {
    pub(crate) fn new(db: DB, env: &EvmEnv) -> Self {
        let evm = Ctx::<DB>::new(db, env.cfg_env.spec)
            .with_block(env.block_env.clone())
            .with_cfg(env.cfg_env.clone())
            .build_mainnet();
        Self { evm }
    }

    pub(crate) fn db(&mut self) -> &mut DB {
        &mut self.evm.ctx.journaled_state.database
    }

    pub(crate) fn into_db(self) -> DB {
        self.evm.ctx.journaled_state.database
    }

    /// Runs one transaction from a fresh journal.
    pub(crate) fn run(&mut self, tx: &TxEnv) -> Result<Executed, EVMError<DB::Error>> {
        self.evm.ctx.set_tx(tx.clone());
        let mut handler = DeferReward::<DB> { reward: Cell::new(None), evm: PhantomData };
        let result = handler.run(&mut self.evm);
        let state = self.evm.ctx.journaled_state.inner.finalize();
        Ok(Executed { result: result?, state, reward: handler.reward.take() })
    }

    /// Gives an emptied state map back, so that its capacity serves the next transaction.
    pub(crate) fn recycle(&mut self, state: EvmState) {
        debug_assert!(state.is_empty(), "a recycled journal state must be drained");
        self.evm.ctx.journaled_state.inner.state = state;
    }
}

/// revm's mainnet handler, but for the beneficiary's reward.
struct DeferReward<DB: Database> {
    reward: Cell<Option<U256>>,
    evm: PhantomData<DB>,
}

impl<DB: Database> Handler for DeferReward<DB> {
    type Evm = MainnetEvm<Ctx<DB>>;
    type Error = EVMError<DB::Error>;
    type HaltReason = HaltReason;

    fn reward_beneficiary(
        &self,
        evm: &mut Self::Evm,
        exec_result: &mut FrameResult,
    ) -> Result<(), Self::Error> {
        let ctx = &mut evm.ctx;
        if ctx.journal().evm_state().contains_key(&ctx.block.beneficiary) {
            return post_execution::reward_beneficiary(ctx, exec_result.gas()).map_err(From::from);
        }
        let basefee = u128::from(ctx.block.basefee);
        let price = ctx.tx.effective_gas_price(basefee);
        let tip = if ctx.cfg.spec.is_enabled_in(SpecId::LONDON) {
            price.saturating_sub(basefee)
        } else {
            price
        };
        let gas = exec_result.gas();
        let used = gas.used().saturating_sub(gas.reservoir());
        self.reward.set(Some(U256::from(tip * u128::from(used))));
        Ok(())
    }
}
