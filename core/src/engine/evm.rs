//! The one file of this crate that names revm's internals.
//!
//! Role: run one transaction on a long-lived revm EVM and hand back its result, its state and the
//! beneficiary's reward. Actors: each worker owns one [`Runner`] (an EVM is not `Send`).
//!
//! Invariant: the reward is deferred, that is left out of the state and returned beside it, unless
//! the transaction itself loaded the beneficiary; then it is paid through the journal, so that a
//! destroyed or re-created beneficiary is treated exactly as revm treats it.
//!
//! A [`Runner`] made by [`Runner::observed`] tells its database what an execution depends on: it
//! wraps the few instructions that look at a balance or a nonce. A wrapper only notes and then
//! calls the original; static gas stands in a table of its own, so no gas changes. The hash of two
//! words is looked up first ([`super::hashes`]).

use super::{
    hashes::{Hashes, PAIR, Pair},
    precompiles::{Assistance, Assisted, Shareable},
};
use alloy_evm::{EthEvm, EvmEnv, precompiles::PrecompilesMap};
use alloy_primitives::{Address, U256};
use revm::{
    Context, Database,
    bytecode::opcode,
    context::{
        BlockEnv, CfgEnv, ContextSetters, ContextTr, Evm, FrameStack, Host, Journal, JournalTr,
        Transaction, TxEnv,
        result::{EVMError, ExecutionResult, HaltReason},
    },
    handler::{EthFrame, FrameResult, Handler, instructions::EthInstructions, post_execution},
    inspector::NoOpInspector,
    interpreter::{
        Instruction, InstructionContext, InstructionExecResult, InstructionResult,
        instructions::{contract, host, system},
        interpreter::EthInterpreter,
        interpreter_types::{InputsTr, MemoryTr},
    },
    precompile::{PrecompileSpecId, Precompiles},
    primitives::hardfork::SpecId,
    state::EvmState,
};
use std::{
    cell::{Cell, RefCell},
    marker::PhantomData,
    rc::Rc,
};

/// What the calls of a transaction can have of memory, together, before it has to be moved to a
/// larger place, bytes. Most transactions need less, and what is not used costs nothing.
const MEMORY: usize = 64 << 10;

/// revm's context; where it keeps what a chain of its own needs, this has what an EVM remembers.
type Ctx<DB, C = Hashes> = Context<BlockEnv, TxEnv, CfgEnv, DB, Journal<DB>, C>;

type Built<DB, I, P, C> =
    Evm<Ctx<DB, C>, I, EthInstructions<EthInterpreter, Ctx<DB, C>>, P, EthFrame>;
type Transacting<DB> = Built<DB, (), Assisted, Hashes>;

/// An EVM that makes a frame when a call first goes that deep. revm's own constructors make eight
/// at once, each with a stack of 32 KiB: for a block's system calls that takes longer than they do.
fn build<DB: Database, I, P, C: Default>(
    db: DB,
    env: &EvmEnv,
    inspector: I,
    precompiles: P,
) -> Built<DB, I, P, C> {
    let spec = env.cfg_env.spec;
    let ctx =
        Ctx::<DB, C>::new(db, spec).with_block(env.block_env.clone()).with_cfg(env.cfg_env.clone());
    let instruction = EthInstructions::new_mainnet_with_spec(spec);
    Evm { ctx, inspector, instruction, precompiles, frame_stack: FrameStack::new() }
}

/// The EVM of alloy-evm's executor, as its factory makes it but for the frames.
pub(crate) fn block_level<DB: alloy_evm::Database>(
    db: DB,
    env: &EvmEnv,
) -> EthEvm<DB, NoOpInspector, PrecompilesMap> {
    let precompiles = Precompiles::new(PrecompileSpecId::from_spec_id(env.cfg_env.spec));
    let precompiles = PrecompilesMap::from_static(precompiles);
    EthEvm::new(build(db, env, NoOpInspector, precompiles), false)
}

/// A database that wants to know what an execution depends on, beside what it read.
pub(crate) trait Observe: Database {
    /// The execution saw this account's very balance.
    fn balance_observed(&mut self, address: Address);

    /// The transaction's sender: its very nonce was seen, and this much may have been taken.
    fn sender_observed(&mut self, address: Address, spending: U256);

    /// The execution saw this account's very nonce.
    fn nonce_observed(&mut self, address: Address);

    /// The execution tried to take this much from the account, in wei, whether or not it was
    /// reverted later.
    fn debit_attempted(&mut self, address: Address, value: U256);

    /// The execution may depend on anything that it read.
    fn everything_observed(&mut self);
}

/// A long-lived EVM over one database.
pub(crate) struct Runner<DB: Database> {
    evm: Transacting<DB>,
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
    /// With what helps with single transactions.
    pub(crate) fn new(db: DB, env: &EvmEnv, assistance: Assistance) -> Self {
        let hashes = assistance.hashes;
        let mut evm = build(db, env, (), Assisted::new(env.cfg_env.spec, assistance));
        if hashes {
            let table = evm.instruction.instruction_table_mut();
            table[opcode::KECCAK256 as usize] = Instruction::new(keccak256);
        }
        let memory = Rc::new(RefCell::new(Vec::with_capacity(MEMORY)));
        evm.ctx.local.shared_memory_buffer = memory;
        Self { evm }
    }

    pub(crate) fn db(&mut self) -> &mut DB {
        &mut self.evm.ctx.journaled_state.database
    }

    /// Whether everything was so that the last run has taken for granted; if not, its end counts
    /// for nothing, whatever it was.
    pub(crate) fn held(&mut self) -> bool {
        self.evm.precompiles.held()
    }

    /// The calls of precompiles in the last run that threads can take part in.
    pub(crate) fn shareable(&mut self) -> Vec<Shareable> {
        std::mem::take(&mut self.evm.precompiles.calls)
    }

    pub(crate) fn into_db(self) -> DB {
        self.evm.ctx.journaled_state.database
    }

    /// Runs one transaction from a fresh journal.
    pub(crate) fn run(&mut self, tx: TxEnv) -> Result<Executed, EVMError<DB::Error>> {
        self.evm.ctx.set_tx(tx);
        self.evm.precompiles.begin();
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

type Instructed<'a, DB> = InstructionContext<'a, Ctx<DB>, EthInterpreter>;

impl<DB: Observe> Runner<DB> {
    /// As [`Self::new`], with a database that is told what each execution depends on.
    pub(crate) fn observed(db: DB, env: &EvmEnv, assistance: Assistance) -> Self {
        let mut runner = Self::new(db, env, assistance);
        let table = runner.evm.instruction.instruction_table_mut();
        table[opcode::BALANCE as usize] = Instruction::new(balance);
        table[opcode::SELFBALANCE as usize] = Instruction::new(selfbalance);
        table[opcode::SELFDESTRUCT as usize] = Instruction::new(selfdestruct);
        table[opcode::CALL as usize] = Instruction::new(call::<{ opcode::CALL }, DB>);
        table[opcode::CALLCODE as usize] = Instruction::new(call::<{ opcode::CALLCODE }, DB>);
        table[opcode::CREATE as usize] = Instruction::new(create::<false, DB>);
        table[opcode::CREATE2 as usize] = Instruction::new(create::<true, DB>);
        runner
    }

    /// Runs one transaction and notes what its own fields make it depend on.
    pub(crate) fn run_observed(&mut self, tx: TxEnv) -> Result<Executed, EVMError<DB::Error>> {
        let executed = self.run(tx)?;
        let Context { tx, journaled_state, .. } = &mut self.evm.ctx;
        let db = &mut journaled_state.database;
        // A transaction that passed validation has a spending that fits in a word.
        db.sender_observed(tx.caller, tx.max_balance_spending().unwrap_or(U256::MAX));
        if !tx.authorization_list.is_empty() {
            // An authority whose nonce does not match is read and not written (EIP-7702).
            db.everything_observed();
        }
        Ok(executed)
    }
}

fn database<'c, DB: Database>(context: &'c mut Instructed<'_, DB>) -> &'c mut DB {
    &mut context.host.journaled_state.database
}

fn again<'c, DB: Database>(context: &'c mut Instructed<'_, DB>) -> Instructed<'c, DB> {
    InstructionContext { interpreter: &mut *context.interpreter, host: &mut *context.host }
}

/// The two words that are to be hashed, where it is two, and no memory has to be added for them.
fn pair<DB: Database>(context: &Instructed<'_, DB>) -> Option<Pair> {
    let InstructionContext { interpreter, .. } = context;
    let small = |depth| interpreter.stack.peek(depth).ok().and_then(|word| word.try_into().ok());
    let (offset, len): (usize, usize) = (small(0)?, small(1)?);
    let fits = len == PAIR && offset.checked_add(len)? <= interpreter.memory.size();
    if fits { Pair::new(&interpreter.memory.slice_len(offset, len)) } else { None }
}

/// The original, but for a pair whose hash is remembered. Gas is taken as the original takes it.
fn keccak256<DB: Database>(mut context: Instructed<'_, DB>) -> InstructionExecResult {
    let Some(pair) = pair(&context) else { return system::keccak256(context) };
    let Some(hash) = context.host.chain.get(&pair) else {
        system::keccak256(again(&mut context))?;
        let InstructionContext { interpreter, host } = context;
        host.chain.insert(&pair, interpreter.stack.peek(0)?);
        return Ok(());
    };
    let InstructionContext { interpreter, host } = context;
    if !interpreter.gas.record_regular_cost(host.gas_params().keccak256_cost(PAIR)) {
        return Err(InstructionResult::OutOfGas);
    }
    interpreter.stack.pop()?;
    interpreter.stack.set(0, hash)
}

fn balance<DB: Observe>(mut context: Instructed<'_, DB>) -> InstructionExecResult {
    let address = context.interpreter.stack.peek(0).ok();
    // The original loads the account; where it fails before that, nothing was observed.
    host::balance(again(&mut context))?;
    if let Some(word) = address {
        database(&mut context).balance_observed(Address::from_word(word.into()));
    }
    Ok(())
}

fn selfbalance<DB: Observe>(mut context: Instructed<'_, DB>) -> InstructionExecResult {
    let address = context.interpreter.input.target_address();
    database(&mut context).balance_observed(address);
    host::selfbalance(context)
}

/// All of the balance moves: its value decides gas, target and log.
fn selfdestruct<DB: Observe>(mut context: Instructed<'_, DB>) -> InstructionExecResult {
    let address = context.interpreter.input.target_address();
    database(&mut context).balance_observed(address);
    host::selfdestruct(context)
}

fn call<const KIND: u8, DB: Observe>(mut context: Instructed<'_, DB>) -> InstructionExecResult {
    if let Ok(value) = context.interpreter.stack.peek(2)
        && !value.is_zero()
    {
        let address = context.interpreter.input.target_address();
        database(&mut context).debit_attempted(address, value);
    }
    contract::call::<KIND, _, _>(context)
}

fn create<const IS_CREATE2: bool, DB: Observe>(
    mut context: Instructed<'_, DB>,
) -> InstructionExecResult {
    let address = context.interpreter.input.target_address();
    let value = context.interpreter.stack.peek(0).unwrap_or_default();
    let db = database(&mut context);
    db.debit_attempted(address, value);
    db.nonce_observed(address);
    contract::create::<IS_CREATE2, _, _>(context)
}

/// revm's mainnet handler, but for the beneficiary's reward.
struct DeferReward<DB: Database> {
    reward: Cell<Option<U256>>,
    evm: PhantomData<DB>,
}

impl<DB: Database> Handler for DeferReward<DB> {
    type Evm = Transacting<DB>;
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
