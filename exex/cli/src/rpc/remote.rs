//! A client's state before a block, read key by key, with what a trace already told.
//!
//! Role: make the prestate tracer's answer whole. A trace holds what the transactions touch; what
//! else a block reads (system contracts, delegation targets, accounts of withdrawals, ancestors'
//! hashes) is asked for when execution comes to it. Without a trace everything is.
//!
//! Invariants: every request is for the state of one block, named by its hash; a failed request is
//! an error, never a zero; what was answered is remembered, so that whoever reads the same once
//! more asks nobody.

use super::{
    chain::number,
    client::{Client, RpcError},
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use braid_core::{
    SourceError, StateReader, StateSource,
    source::{Location, decode_code},
};
use revm::{bytecode::Bytecode, state::AccountInfo};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// The state before a block.
#[derive(Debug)]
pub struct RemoteState {
    client: Arc<Client>,
    /// The block whose state is wanted, by number and hash.
    parent_number: u64,
    parent: B256,
    known: Mutex<Known>,
    /// Whether what the block reads has been read already.
    complete: AtomicBool,
}

/// What a trace told, and what was answered since.
#[derive(Debug, Default)]
struct Known {
    accounts: HashMap<Address, AccountInfo>,
    slots: HashMap<(Address, U256), U256>,
    codes: HashMap<B256, Bytecode>,
    block_hashes: HashMap<u64, B256>,
}

impl Known {
    /// Keeps the code, so that it is found by its hash.
    fn info(&mut self, balance: U256, nonce: u64, code: Bytes) -> AccountInfo {
        let mut code_hash = KECCAK256_EMPTY;
        if !code.is_empty() {
            code_hash = keccak256(&code);
            self.codes.insert(code_hash, decode_code(code));
        }
        AccountInfo { balance, nonce, code_hash, ..AccountInfo::default() }.without_code()
    }

    /// Takes in an account of a trace, unless an earlier one has told of it.
    fn add(&mut self, address: &str, account: &Value) -> Option<()> {
        let address = Address::from_str(address).ok()?;
        if !self.accounts.contains_key(&address) {
            let balance = account.get("balance").map_or(Some(U256::ZERO), quantity)?;
            let nonce = account.get("nonce").map_or(Some(0), number)?;
            let code = account.get("code").map_or(Some(Bytes::new()), bytes)?;
            let info = self.info(balance, nonce, code);
            self.accounts.insert(address, info);
        }
        for (slot, value) in account.get("storage").and_then(Value::as_object).into_iter().flatten()
        {
            let slot = U256::from_str(slot).ok()?;
            self.slots.entry((address, slot)).or_insert(quantity(value)?);
        }
        Some(())
    }
}

impl RemoteState {
    /// The state before block `number`, whose parent has this hash; nothing is known of it yet.
    pub fn new(client: Arc<Client>, number: u64, parent: B256) -> Self {
        let parent_number = number.saturating_sub(1);
        let (known, complete) = Default::default();
        Self { client, parent_number, parent, known, complete }
    }

    /// Says that what the block reads has been read: what is asked from now on takes no time.
    pub(super) fn complete(&self) {
        self.complete.store(true, Ordering::Relaxed);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in the answer of `debug_traceBlockBy...` with the prestate tracer: of each account
    /// and slot the first value, which is the one before the block.
    ///
    /// # Errors
    /// What is wrong with the answer, in words.
    pub fn add_trace(&self, trace: &Value) -> Result<(), String> {
        let traces = trace.as_array().ok_or("the trace is not a list")?;
        let mut known = self.known();
        for (index, trace) in traces.iter().enumerate() {
            let accounts = trace.get("result").and_then(Value::as_object);
            let accounts =
                accounts.ok_or_else(|| format!("the trace of transaction {index}: no result"))?;
            for (address, account) in accounts {
                known
                    .add(address, account)
                    .ok_or_else(|| format!("the trace of transaction {index}: {address}"))?;
            }
        }
        Ok(())
    }

    fn ask_account(&self, address: Address) -> Result<AccountInfo, RpcError> {
        let params = json!([address, self.at()]);
        let methods = ["eth_getBalance", "eth_getTransactionCount", "eth_getCode"];
        let answers = self.client.batch(&methods.map(|method| (method, params.clone())))?;
        let parsed = match answers.as_slice() {
            [balance, nonce, code] => quantity(balance).zip(number(nonce)).zip(bytes(code)),
            _ => None,
        };
        let ((balance, nonce), code) = parsed.ok_or_else(|| unexpected(&answers))?;
        let mut known = self.known();
        let info = known.info(balance, nonce, code);
        known.accounts.insert(address, info.clone());
        Ok(info)
    }

    fn ask_slot(&self, address: Address, slot: U256) -> Result<U256, RpcError> {
        let params = json!([address, B256::from(slot), self.at()]);
        let value = self.client.call("eth_getStorageAt", &params)?;
        let value = quantity(&value).ok_or_else(|| unexpected(&[value]))?;
        self.known().slots.insert((address, slot), value);
        Ok(value)
    }

    fn ask_block_hash(&self, ancestor: u64) -> Result<B256, RpcError> {
        let params = json!([format!("{ancestor:#x}"), false]);
        let block = self.client.call("eth_getBlockByNumber", &params)?;
        let hash = block.get("hash").and_then(Value::as_str);
        let hash = hash.and_then(|hash| B256::from_str(hash).ok());
        let hash = hash.ok_or_else(|| unexpected(&[block]))?;
        self.known().block_hashes.insert(ancestor, hash);
        Ok(hash)
    }

    /// The block, by its hash (EIP-1898): a number could change its meaning meanwhile.
    fn at(&self) -> Value {
        json!({ "blockHash": self.parent })
    }
}

fn unexpected(answers: &[Value]) -> RpcError {
    let body = json!(answers).to_string().chars().take(120).collect();
    RpcError::NotJson { reason: "an answer of another kind".to_owned(), body }
}

fn quantity(value: &Value) -> Option<U256> {
    match value {
        Value::Number(number) => number.as_u64().map(U256::from),
        Value::String(text) => U256::from_str(text).ok(),
        _ => None,
    }
}

fn bytes(value: &Value) -> Option<Bytes> {
    value.as_str().and_then(|text| Bytes::from_str(text).ok())
}

impl StateSource for RemoteState {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        Ok(Box::new(self))
    }

    fn is_slow(&self) -> bool {
        !self.complete.load(Ordering::Relaxed)
    }
}

impl StateReader for &RemoteState {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, SourceError> {
        let known = self.known().accounts.get(&address).cloned();
        let info = match known {
            Some(info) => info,
            None => self
                .ask_account(address)
                .map_err(|error| SourceError::new(Location::Account(address), error))?,
        };
        // JSON-RPC does not tell an empty account from none, and since EIP-161 there is none.
        Ok((!info.is_empty()).then_some(info))
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, SourceError> {
        let known = self.known().slots.get(&(address, slot)).copied();
        known
            .map_or_else(|| self.ask_slot(address, slot), Ok)
            .map_err(|error| SourceError::new(Location::Storage(address, slot), error))
    }

    fn code(&mut self, hash: B256) -> Result<Bytecode, SourceError> {
        let code = self.known().codes.get(&hash).cloned();
        code.ok_or_else(|| SourceError::new(Location::Code(hash), "no account read so far has it"))
    }

    fn block_hash(&mut self, ancestor: u64) -> Result<B256, SourceError> {
        if ancestor == self.parent_number {
            return Ok(self.parent);
        }
        let known = self.known().block_hashes.get(&ancestor).copied();
        known
            .map_or_else(|| self.ask_block_hash(ancestor), Ok)
            .map_err(|error| SourceError::new(Location::BlockHash(ancestor), error))
    }
}
