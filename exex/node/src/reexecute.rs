//! Executing a committed block again, for other execution extensions.
//!
//! Role: give the author of an ExEx what notifications lack: what each transaction read and wrote,
//! and a run under an inspector. [`Reexecutor`] is made once from the node's provider and chain
//! specification; each call opens providers on the state of the block's parent and drops them
//! before it returns.
//!
//! Without an inspector the block is executed in parallel by braid's engine. An inspector sees the
//! transactions in order on one thread: that run is sequential, by reth's own executor, and its
//! result says so ([`Mode::Sequential`]).
//!
//! Every call blocks its thread. Call it from a thread of your own or from the node's blocking
//! pool, never from the future of an ExEx, whose notifications would wait meanwhile.

use crate::{
    chain::{ChainError, chain_of},
    state::ParentState,
};
use alloy_eips::eip7685::Requests;
use alloy_evm::block::{BlockExecutionError, BlockExecutor, TxResult};
use alloy_primitives::{Address, U256};
use braid_core::{
    Chain, Engine, ExecuteError, Options, Outcome, Receipt,
    engine::{Commit, Limits, Step},
};
use reth_ethereum::{
    Block,
    chainspec::ChainSpec,
    evm::{
        EthEvmConfig,
        primitives::{ConfigureEvm, InspectorFor},
        revm::{State, database::StateProviderDatabase},
    },
    primitives::RecoveredBlock,
    storage::{StateProviderBox, StateProviderFactory, errors::ProviderError},
};
use revm::state::{AccountInfo, EvmState};
use std::sync::Arc;

/// What an inspected execution reads through.
pub type InspectedState = State<StateProviderDatabase<StateProviderBox>>;

/// How a block was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By braid's engine, on several threads where the block promises a gain.
    Parallel,
    /// One transaction after the other, because an inspector was attached.
    Sequential,
}

/// Why a block was not executed again.
#[derive(Debug, thiserror::Error)]
pub enum ReexecuteError {
    /// The chain has no counterpart in braid.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The engine gave no result.
    #[error(transparent)]
    Engine(#[from] ExecuteError),
    /// The parent's state is not to be had: pruned, not executed yet, or no longer canonical.
    #[error("state of the parent: {0}")]
    State(#[from] ProviderError),
    /// reth's executor gave no result.
    #[error(transparent)]
    Node(#[from] BlockExecutionError),
}

/// What one transaction loaded and changed. Equal in both modes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionAccess {
    /// Every account that was loaded, sorted by address.
    pub accounts: Vec<AccountAccess>,
}

/// An account as one transaction found and left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountAccess {
    /// The account's address.
    pub address: Address,
    /// Balance (wei), nonce and code hash before; those of an empty account where there was none.
    pub before: AccountInfo,
    /// The same after the transaction, its fee and reward included.
    pub after: AccountInfo,
    /// Whether the account was destroyed.
    pub destroyed: bool,
    /// Every slot that was loaded, sorted.
    pub slots: Vec<SlotAccess>,
}

/// A slot as one transaction found and left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotAccess {
    /// The slot's key.
    pub slot: U256,
    /// Its value before.
    pub before: U256,
    /// Its value after.
    pub after: U256,
}

/// A place that a transaction read or wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// An account's balance, nonce or code.
    Account(Address),
    /// One slot of an account.
    Slot(Address, U256),
}

impl AccountAccess {
    /// Whether the account itself changed, whatever its slots did.
    pub fn changed(&self) -> bool {
        self.destroyed || self.before != self.after
    }
}

impl TransactionAccess {
    /// Every place that was loaded, in order.
    pub fn reads(&self) -> impl Iterator<Item = Key> + '_ {
        self.keys(|_| true, |_| true)
    }

    /// Every place whose value changed, in order.
    pub fn writes(&self) -> impl Iterator<Item = Key> + '_ {
        self.keys(AccountAccess::changed, |slot| slot.before != slot.after)
    }

    fn keys<'a>(
        &'a self,
        account: impl Fn(&AccountAccess) -> bool + 'a,
        slot: impl Fn(&SlotAccess) -> bool + Copy + 'a,
    ) -> impl Iterator<Item = Key> + 'a {
        self.accounts.iter().flat_map(move |access| {
            let address = access.address;
            let own = account(access).then_some(Key::Account(address));
            let slots = access.slots.iter().filter(move |access| slot(access));
            own.into_iter().chain(slots.map(move |access| Key::Slot(address, access.slot)))
        })
    }

    /// Takes the accesses out of the journal's accounts.
    fn of(state: &EvmState) -> Self {
        let mut accounts: Vec<AccountAccess> = state
            .iter()
            .map(|(address, account)| {
                let mut slots: Vec<SlotAccess> = account
                    .storage
                    .iter()
                    .map(|(slot, value)| SlotAccess {
                        slot: *slot,
                        before: value.original_value,
                        after: value.present_value,
                    })
                    .collect();
                slots.sort_unstable_by_key(|access| access.slot);
                AccountAccess {
                    address: *address,
                    before: bare(&account.original_info()),
                    after: bare(&account.info),
                    destroyed: account.is_selfdestructed(),
                    slots,
                }
            })
            .collect();
        accounts.sort_unstable_by_key(|access| access.address);
        Self { accounts }
    }
}

/// Balance, nonce and code hash alone.
fn bare(info: &AccountInfo) -> AccountInfo {
    let AccountInfo { balance, nonce, code_hash, .. } = *info;
    AccountInfo { balance, nonce, code_hash, code: None, ..AccountInfo::default() }
}

/// A block executed again.
#[derive(Debug)]
pub struct Reexecution {
    /// Receipts, gas, requests, the changed state.
    pub outcome: Outcome,
    /// What each transaction read and wrote, in block order.
    pub accesses: Vec<TransactionAccess>,
    /// How it was executed.
    pub mode: Mode,
}

/// A block executed again under an inspector.
#[derive(Debug)]
pub struct Inspection<I> {
    /// One receipt per transaction, in block order.
    pub receipts: Vec<Receipt>,
    /// Gas used by the block.
    pub gas_used: u64,
    /// Execution requests (EIP-7685), empty before Prague.
    pub requests: Requests,
    /// What each transaction read and wrote, in block order.
    pub accesses: Vec<TransactionAccess>,
    /// The inspector, after the block.
    pub inspector: I,
    /// How it was executed: always [`Mode::Sequential`].
    pub mode: Mode,
}

/// Executes committed blocks again on their parent's state. May be shared by threads; the engine
/// takes one block at a time.
#[derive(Debug)]
pub struct Reexecutor<P> {
    provider: P,
    spec: Arc<ChainSpec>,
    chain: Chain,
    engine: Engine,
}

impl<P: StateProviderFactory + Clone + Sync> Reexecutor<P> {
    /// Starts an engine with so many threads, the calling one included.
    ///
    /// # Errors
    /// [`ReexecuteError::Chain`] where braid does not know one of the chain's forks.
    pub fn new(provider: P, spec: Arc<ChainSpec>, threads: usize) -> Result<Self, ReexecuteError> {
        let chain = chain_of(&spec)?;
        let engine = Engine::new(Options { threads, ..Options::default() });
        Ok(Self { provider, spec, chain, engine })
    }

    /// The state that the block was executed on.
    pub fn parent_state(&self, block: &RecoveredBlock<Block>) -> ParentState<P> {
        ParentState::new(self.provider.clone(), block.header().parent_hash)
    }

    /// Executes the block in parallel.
    ///
    /// # Errors
    /// [`ReexecuteError::Engine`] where the parent's state cannot be read, or the block is invalid.
    pub fn execute(&self, block: &RecoveredBlock<Block>) -> Result<Reexecution, ReexecuteError> {
        let state = self.parent_state(block);
        let block = block_of(block);
        let mut accesses = Vec::with_capacity(block.transactions.len());
        let mut hook = |commit: Commit<'_>| {
            if matches!(commit.step, Step::Transaction(_)) {
                accesses.push(TransactionAccess::of(commit.state));
            }
        };
        let limits = Limits::default();
        let outcome =
            self.engine.execute_streaming(&self.chain, &block, &state, &limits, &mut hook)?;
        Ok(Reexecution { outcome, accesses, mode: Mode::Parallel })
    }

    /// Executes the block under an inspector, sequentially, by reth's own executor.
    ///
    /// # Errors
    /// [`ReexecuteError::State`] where the parent's state cannot be opened,
    /// [`ReexecuteError::Node`] where the executor fails.
    pub fn inspect<I>(
        &self,
        block: &RecoveredBlock<Block>,
        mut inspector: I,
    ) -> Result<Inspection<I>, ReexecuteError>
    where
        I: for<'s> InspectorFor<EthEvmConfig, &'s mut InspectedState>,
    {
        let config = EthEvmConfig::new(self.spec.clone());
        let provider = self.provider.history_by_block_hash(block.header().parent_hash)?;
        let database = StateProviderDatabase::new(provider);
        let mut state = State::builder().with_database(database).with_bundle_update().build();
        let sealed = block.sealed_block();
        let env = config.evm_env(sealed.header()).map_err(BlockExecutionError::other)?;
        let context = config.context_for_block(sealed).map_err(BlockExecutionError::other)?;
        let evm = config.evm_with_env_and_inspector(&mut state, env, &mut inspector);
        let mut executor = config.create_executor(evm, context);
        let mut accesses = Vec::with_capacity(block.body().transactions.len());
        executor.apply_pre_execution_changes()?;
        for transaction in block.transactions_recovered() {
            executor.execute_transaction_with_result_closure(transaction, |result| {
                accesses.push(TransactionAccess::of(&result.result().state));
            })?;
        }
        let (evm, result) = executor.finish()?;
        drop(evm);
        Ok(Inspection {
            receipts: result.receipts,
            gas_used: result.gas_used,
            requests: result.requests,
            accesses,
            inspector,
            mode: Mode::Sequential,
        })
    }
}

/// A node's block in braid's form; the senders are the node's.
pub(crate) fn block_of(block: &RecoveredBlock<Block>) -> braid_core::Block {
    let body = block.body();
    braid_core::Block {
        header: block.header().clone(),
        transactions: block.transactions_recovered().map(|tx| tx.cloned()).collect(),
        ommers: body.ommers.clone(),
        withdrawals: body.withdrawals.clone(),
        access_list: None,
    }
}
