//! One small block in the making, and its run through every executor.
//!
//! [`Scene::run`] and [`Scene::refused`] execute the block with stock, bare and the forced engine
//! at 1, 2, 4 and 8 threads, with both outputs, optimisations on and off, with random delays in the
//! source and with a first transaction that is overtaken by the others. Everything must be equal;
//! what is given back is stock's.

use super::{
    chains::{chain, chain_with},
    jittery::Jittery,
    late::{Trouble, Troubled},
    tx::{Tx, sender},
};
use alloy_consensus::Header;
use alloy_eips::{
    eip4895::{Withdrawal, Withdrawals},
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
};
use alloy_hardforks::{EthereumHardfork as Fork, EthereumHardforks, ForkCondition};
use alloy_primitives::{Address, B256, U256, address, map::HashMap};
use braid_core::{
    Block, Chain, Engine, ExecuteError, InvalidBlock, Optimisations, Options, Outcome, OutputKind,
    StateOutput, StateSource, Statistics,
    engine::Limits,
    sequential::{execute_bare, execute_stock, execute_stock_with_access_list},
    source::{Location, MemoryState, decode_code},
};
use revm::{bytecode::opcode as op, database::BundleState, state::AccountInfo};
use std::sync::LazyLock;

/// The beneficiary, unless a scene sets another one. It does not exist at first.
pub const MINER: Address = Address::repeat_byte(0xbe);
/// What each numbered sender has at first, wei.
pub const FUNDS: u64 = 1 << 60;
/// Senders with funds.
pub const SENDERS: u8 = 8;
/// The base fee from London on, wei a gas.
pub const BASE_FEE: u128 = 7;
pub const THREADS: [usize; 4] = [1, 2, 4, 8];

/// The system contracts that a block's end calls (EIP-7002, EIP-7251; EIP-8282 on Amsterdam).
const SYSTEM_CONTRACTS: [Address; 4] = [
    WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    address!("0000BFF46984E3725691FA540A8C7589300D8282"),
    address!("000064D678505AD48F8CCB093BC65613800E8282"),
];

static ENGINES: LazyLock<Vec<Engine>> = LazyLock::new(|| {
    let mut engines = Vec::new();
    for output in [OutputKind::Flat, OutputKind::Bundle] {
        for optimisations in [Optimisations::ALL, Optimisations::NONE] {
            for threads in THREADS {
                let options = Options { threads, output, forced: true, optimisations };
                engines.push(Engine::new(options));
            }
        }
    }
    engines
});

pub type Execution = Result<Outcome, ExecuteError>;

/// A block in the making.
#[derive(Debug, Clone)]
pub struct Scene {
    pub chain: Chain,
    pub state: MemoryState,
    pub block: Block,
    /// Accounts whose first read takes a while.
    pub late: Vec<Address>,
    nonces: HashMap<u8, u64>,
}

impl Scene {
    pub fn new(fork: Fork) -> Self {
        Self::on(fork, chain(fork))
    }

    /// A chain with forks besides `fork`.
    pub fn with_forks(fork: Fork, extra: &[(Fork, ForkCondition)]) -> Self {
        Self::on(fork, chain_with(fork, extra))
    }

    fn on(fork: Fork, chain: Chain) -> Self {
        let (cancun, amsterdam) = (fork >= Fork::Cancun, fork >= Fork::Amsterdam);
        let header = Header {
            number: 1,
            timestamp: 1,
            gas_limit: 30_000_000,
            beneficiary: MINER,
            difficulty: U256::from(u8::from(fork <= Fork::London)),
            base_fee_per_gas: (fork >= Fork::London).then_some(BASE_FEE as u64),
            excess_blob_gas: cancun.then_some(0),
            blob_gas_used: cancun.then_some(0),
            parent_beacon_block_root: cancun.then_some(B256::repeat_byte(0xbb)),
            parent_hash: B256::repeat_byte(0xaa),
            block_access_list_hash: amsterdam.then_some(B256::ZERO),
            slot_number: amsterdam.then_some(1),
            ..Header::default()
        };
        let mut scene = Self {
            chain,
            state: MemoryState::default(),
            block: Block { header, ..Block::default() },
            late: Vec::new(),
            nonces: HashMap::default(),
        };
        for index in 0..SENDERS {
            scene.fund(sender(index), FUNDS);
        }
        if fork >= Fork::Prague {
            for address in SYSTEM_CONTRACTS {
                scene.contract(address, vec![op::STOP], 0);
            }
        }
        scene
    }

    /// Adds an account without code.
    pub fn fund(&mut self, address: Address, wei: u64) -> &mut Self {
        let info = AccountInfo::default().with_balance(U256::from(wei));
        self.state.insert_account(address, info);
        self
    }

    pub fn contract(&mut self, address: Address, code: Vec<u8>, wei: u64) -> &mut Self {
        let info = AccountInfo::default()
            .with_balance(U256::from(wei))
            .with_nonce(1)
            .with_code(decode_code(code.into()));
        self.state.insert_account(address, info);
        self
    }

    pub fn slot(&mut self, address: Address, slot: u64, value: u64) -> &mut Self {
        let (slot, value) = (U256::from(slot), U256::from(value));
        self.state.insert_storage(address, slot, value).expect("the account was added");
        self
    }

    /// Appends a transaction of the numbered sender, with the next nonce unless it names one.
    pub fn send(&mut self, from: u8, tx: Tx) -> &mut Self {
        if self.late.is_empty() {
            self.late = vec![tx.recipient().unwrap_or_else(|| sender(from))];
        }
        let nonce = tx.nonce.unwrap_or(*self.next_nonce(from));
        *self.next_nonce(from) = nonce + 1;
        self.block.transactions.push(tx.sign(from, nonce));
        self
    }

    fn next_nonce(&mut self, from: u8) -> &mut u64 {
        let first = || self.state.account(&sender(from)).map_or(0, |info| info.nonce);
        self.nonces.entry(from).or_insert_with(first)
    }

    /// Somebody else raised the sender's nonce by this much.
    pub fn skip_nonces(&mut self, from: u8, count: u64) -> &mut Self {
        *self.next_nonce(from) += count;
        self
    }

    pub fn withdraw(&mut self, address: Address, gwei: u64) -> &mut Self {
        let list = self.block.withdrawals.get_or_insert_with(Withdrawals::default);
        let index = list.len() as u64;
        list.push(Withdrawal { index, validator_index: index, address, amount: gwei });
        self
    }

    /// The source in which the late accounts are late.
    fn late_source(&self) -> Troubled<'_> {
        let late = self.late.iter().map(|at| (Location::Account(*at), Trouble::Delay));
        Troubled::new(&self.state, late.collect())
    }

    /// Bare execution and these engines come to what stock execution does, which is no error.
    pub fn compare(&self, what: &str, engines: &[Engine]) {
        let stock = self.stock(OutputKind::Flat);
        assert!(stock.is_ok(), "{what}: {stock:?}");
        let bare = execute_bare(&self.chain, &self.block, &self.state, OutputKind::Flat);
        assert_same(&format!("{what}, bare"), &stock, &bare);
        for engine in engines {
            let outcome = engine.execute(&self.chain, &self.block, &self.state);
            assert_same(&format!("{what}, {:?}", engine.options()), &stock, &outcome);
        }
    }

    pub fn stock(&self, output: OutputKind) -> Execution {
        execute_stock(&self.chain, &self.block, &self.state, output)
    }

    /// The forced engine with flat output on `source`.
    pub fn engine(&self, threads: usize, on: Optimisations, source: &dyn StateSource) -> Execution {
        let wanted = |engine: &&Engine| {
            let Options { threads: has, output, optimisations, .. } = engine.options();
            (*has, *output, *optimisations) == (threads, OutputKind::Flat, on)
        };
        let engine = ENGINES.iter().find(wanted).expect("one of the engines");
        engine.execute(&self.chain, &self.block, source)
    }

    /// The engine with the first transaction late.
    pub fn overtaken(&self, threads: usize) -> Outcome {
        self.engine(threads, Optimisations::ALL, &self.late_source()).expect("a valid block")
    }

    /// The engine's bundle, with the first transaction late.
    pub fn bundle(&self, threads: usize) -> BundleState {
        let engine = ENGINES.iter().find(|engine| {
            let Options { threads: has, output, .. } = engine.options();
            (*has, *output) == (threads, OutputKind::Bundle)
        });
        let engine = engine.expect("one of the engines");
        let outcome = engine.execute(&self.chain, &self.block, &self.late_source());
        match outcome.expect("a valid block").state {
            StateOutput::Bundle(bundle) => *bundle,
            StateOutput::Flat(_) => panic!("a bundle was asked for"),
        }
    }

    /// Runs all executors; panics where two of them differ.
    fn check(&self) -> (Execution, Execution) {
        let flat = self.stock(OutputKind::Flat);
        let bundle = self.stock(OutputKind::Bundle);
        for (output, stock) in [(OutputKind::Flat, &flat), (OutputKind::Bundle, &bundle)] {
            let bare = execute_bare(&self.chain, &self.block, &self.state, output);
            assert_same(&format!("bare, {output:?}"), stock, &bare);
        }
        for (seed, engine) in ENGINES.iter().enumerate() {
            let output = engine.options().output;
            let stock = if output == OutputKind::Flat { &flat } else { &bundle };
            let jittery = Jittery::new(&self.state, 3, seed as u64);
            let sources: [(&str, &dyn StateSource); 2] =
                [("random delays", &jittery), ("first late", &self.late_source())];
            for (what, source) in sources {
                let outcome = engine.execute(&self.chain, &self.block, source);
                assert_same(&format!("{what}, {:?}", engine.options()), stock, &outcome);
                assert_bounded(&outcome, self.block.transactions.len());
            }
        }
        self.check_lists();
        (flat, bundle)
    }

    /// The engine with the block's right access list, and with the list of a block that does other
    /// things with the same accounts.
    fn check_lists(&self) {
        let stock = |block: &Block, output| {
            execute_stock_with_access_list(&self.chain, block, &self.state, output)
        };
        let mut other = self.block.clone();
        other.transactions.truncate(other.transactions.len() / 2);
        let other = stock(&other, OutputKind::Flat).ok().and_then(|outcome| outcome.access_list);
        let other = other.unwrap_or_default();
        for engine in ENGINES.iter() {
            let output = engine.options().output;
            let stock = stock(&self.block, output);
            let right = stock.as_ref().ok().and_then(|outcome| outcome.access_list.as_ref());
            for (what, list) in [("right list", right.unwrap_or(&other)), ("other list", &other)] {
                let what = format!("{what}, {:?}", engine.options());
                let (chain, block, source) = (&self.chain, &self.block, &self.late_source());
                let limits = Limits::default();
                let ran = engine.execute_with_access_list(chain, block, source, &limits, list);
                if right == Some(list) && self.lists_say_all() {
                    let again = ran.as_ref().map(|(outcome, _)| outcome.statistics.reexecutions);
                    assert_eq!(again.unwrap_or_default(), 0, "{what}: executed again");
                }
                let matches = ran.as_ref().is_ok_and(|(_, check)| check.is_match());
                assert_eq!(matches, right == Some(list), "{what}");
                assert_same(&what, &stock, &ran.map(|(outcome, _)| outcome));
            }
        }
    }

    /// No list says that an account without anything exists, as it may before EIP-161, nor that it
    /// is deleted where it is touched later.
    fn lists_say_all(&self) -> bool {
        let header = &self.block.header;
        self.chain.rules(header).is_spurious_dragon_active_at_block(header.number)
            && !self.state.accounts().any(|(_, info, _)| info.is_empty())
    }

    /// Runs a valid block.
    pub fn run(&self) -> Post {
        let (flat, bundle) = self.check();
        let (flat, bundle) = (flat.expect("a valid block"), bundle.expect("a valid block"));
        let mut state = self.state.clone();
        state.apply(&flat.state.to_flat());
        let StateOutput::Bundle(bundle) = bundle.state else { panic!("a bundle was asked for") };
        Post { outcome: flat, bundle: *bundle, state }
    }

    /// Runs an invalid block; gives the failing index and the error's text.
    pub fn refused(&self) -> (Option<usize>, String) {
        match self.check().0 {
            Err(ExecuteError::Invalid(InvalidBlock { index, error })) => (index, error.to_string()),
            other => panic!("expected an invalid block: {other:?}"),
        }
    }
}

/// What a valid block left.
#[derive(Debug)]
pub struct Post {
    pub outcome: Outcome,
    pub bundle: BundleState,
    pub state: MemoryState,
}

impl Post {
    pub fn exists(&self, address: Address) -> bool {
        self.state.account(&address).is_some()
    }

    /// Wei; zero where the account does not exist.
    pub fn balance(&self, address: Address) -> u64 {
        self.state.account(&address).map_or(0, |info| info.balance.to())
    }

    pub fn nonce(&self, address: Address) -> u64 {
        self.state.account(&address).map_or(0, |info| info.nonce)
    }

    pub fn word(&self, address: Address, slot: U256) -> U256 {
        self.state.storage(&address, &slot)
    }

    pub fn slot(&self, address: Address, slot: u64) -> U256 {
        self.word(address, U256::from(slot))
    }

    /// The address that a factory stored for its caller; zero where creation failed.
    pub fn made_for(&self, factory: Address, caller: u8) -> Address {
        let key = U256::from_be_slice(sender(caller).as_slice());
        Address::from_word(self.word(factory, key).into())
    }

    /// Gas of each transaction.
    pub fn gas(&self) -> Vec<u64> {
        let mut before = 0;
        let each = self.outcome.receipts.iter().map(|receipt| {
            let gas = receipt.cumulative_gas_used - before;
            before = receipt.cumulative_gas_used;
            gas
        });
        each.collect()
    }

    /// Which transactions succeeded.
    pub fn successes(&self) -> Vec<bool> {
        self.outcome.receipts.iter().map(|receipt| receipt.success).collect()
    }

    /// The rewards of the transactions in `range` at the usual price from London on, wei.
    pub fn rewards(&self, range: std::ops::Range<usize>) -> u64 {
        let tip = (super::tx::PRICE - BASE_FEE) as u64;
        self.gas()[range].iter().sum::<u64>() * tip
    }
}

/// Panics where two executions differ, the class, index and text of an error included.
pub fn assert_same(what: &str, stock: &Execution, other: &Execution) {
    match (stock, other) {
        (Ok(stock), Ok(other)) => super::assert_same(what, stock, other),
        (Err(ExecuteError::Invalid(stock)), Err(ExecuteError::Invalid(other))) => {
            assert_eq!(stock.index, other.index, "{what}");
            assert_eq!(stock.error.to_string(), other.error.to_string(), "{what}");
        }
        (Err(ExecuteError::Host(stock)), Err(ExecuteError::Host(other))) => {
            assert_eq!(stock.to_string(), other.to_string(), "{what}");
        }
        (stock, other) => panic!("{what}: stock {stock:?}, other {other:?}"),
    }
}

/// Each transaction has one first run, and a few more at most.
fn assert_bounded(outcome: &Execution, transactions: usize) {
    if let Ok(outcome) = outcome {
        let Statistics { executions, reexecutions, .. } = outcome.statistics;
        assert!(executions - reexecutions <= transactions as u64, "{:?}", outcome.statistics);
        assert!(executions <= 9 * transactions as u64, "{:?}", outcome.statistics);
    }
}
