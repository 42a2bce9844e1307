//! A small block for the tests of hostile hosts: every kind of read, a log, a new contract, a
//! withdrawal; small enough to be executed thousands of times. On Amsterdam it has requests and a
//! block access list too.

use alloy_consensus::{
    Header, SignableTransaction, TxEip1559,
    proofs::{calculate_transaction_root, calculate_withdrawals_root},
};
use alloy_eips::{
    eip4895::{Withdrawal, Withdrawals},
    eip7928::compute_block_access_list_hash,
};
use alloy_hardforks::EthereumHardforks;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, address, bytes};
use braid_core::{
    Block, Chain, OutputKind, Transaction,
    block::SignedBlock,
    sequential::execute_stock,
    source::{MemoryState, decode_code},
};
use k256::ecdsa::SigningKey;
use revm::state::AccountInfo;
use std::error::Error;

/// A Cancun block.
const NUMBER: u64 = 19_500_000;
const PARENT_HASH: B256 = B256::repeat_byte(0x77);
const TIME: u64 = 1_711_000_000;
const BASE_FEE: u64 = 1_000;

/// `slot[0] += 1; slot[1] = blockhash(number - 1); log1(0x2a)`
const COUNTER: Bytes = bytes!("6000546001016000556001430340600155602a60006000a100");
const COUNTER_ADDRESS: Address = Address::repeat_byte(0xcc);
/// Deploys the code `00`.
const DEPLOY: Bytes = bytes!("60016000f3");

/// Returns one zero byte: a request.
const REQUEST: Bytes = bytes!("60016000f3");

/// A chain of its own, on Amsterdam from its start.
pub(crate) const AMSTERDAM: &str = r#"{"chainId":1,"homesteadBlock":0,"eip150Block":0,
    "eip155Block":0,"eip158Block":0,"byzantiumBlock":0,"constantinopleBlock":0,"petersburgBlock":0,
    "istanbulBlock":0,"berlinBlock":0,"londonBlock":0,"terminalTotalDifficulty":0,
    "shanghaiTime":0,"cancunTime":0,"pragueTime":0,"osakaTime":0,"amsterdamTime":0,
    "depositContractAddress":"0x00000000219ab540356cbb839cbe05303d7705fa"}"#;

/// The contracts that are asked for requests after the block (EIP-7002, 7251, 8282).
const REQUEST_CONTRACTS: [Address; 4] = [
    address!("00000961Ef480Eb55e80D19ad83579A64c007002"),
    address!("0000BBdDc7CE488642fb579F8B00f3a590007251"),
    address!("0000BFF46984E3725691FA540A8C7589300D8282"),
    address!("000064D678505AD48F8CCB093BC65613800E8282"),
];

/// The block, its header filled by stock execution, and its parent state.
pub(crate) fn block(chain: &Chain) -> Result<(Block, MemoryState), Box<dyn Error>> {
    let state = parent_state(chain)?;
    Ok((finish(chain, transactions(0)?, &state)?, state))
}

/// Such blocks one after the other, each with its parent state.
pub(crate) fn line(chain: &Chain, count: u64) -> Result<Vec<(Block, MemoryState)>, Box<dyn Error>> {
    let (mut line, mut state) = (Vec::new(), parent_state(chain)?);
    let mut parent_hash = PARENT_HASH;
    for index in 0..count {
        let header = Header {
            number: NUMBER + index,
            timestamp: TIME + 12 * index,
            parent_hash,
            ..header(chain)
        };
        let block = finish_at(chain, header, transactions(2 * index)?, &state)?;
        let changes = execute_stock(chain, &block, &state, OutputKind::Flat)?.state.to_flat();
        line.push((block.clone(), state.clone()));
        state.apply(&changes);
        parent_hash = block.header.hash_slow();
        state.insert_block_hash(block.header.number, parent_hash);
    }
    Ok(line)
}

/// What the block reads, and some of what its successors do.
fn parent_state(chain: &Chain) -> Result<MemoryState, Box<dyn Error>> {
    let mut state = MemoryState::default();
    insert_contract(&mut state, COUNTER_ADDRESS, &COUNTER);
    state.insert_storage(COUNTER_ADDRESS, U256::ZERO, U256::from(41))?;
    state.insert_block_hash(NUMBER - 1, PARENT_HASH);
    for key in keys()? {
        let sender = Address::from_public_key(key.verifying_key());
        let balance = U256::from(10).pow(U256::from(18));
        state.insert_account(sender, AccountInfo { balance, ..AccountInfo::default() });
    }
    let at = Header { timestamp: TIME, ..Header::default() };
    if chain.rules(&at).is_prague_active_at_timestamp(TIME) {
        for contract in REQUEST_CONTRACTS {
            insert_contract(&mut state, contract, &REQUEST);
        }
    }
    Ok(state)
}

fn keys() -> Result<[SigningKey; 3], Box<dyn Error>> {
    let key = |seed: u8| SigningKey::from_slice(&[seed; 32]);
    Ok([key(1)?, key(2)?, key(3)?])
}

/// Two of each sender, the first one with this nonce: a payment, then a call or a creation.
fn transactions(nonce: u64) -> Result<Vec<Transaction>, Box<dyn Error>> {
    let mut transactions = Vec::new();
    for (index, key) in keys()?.iter().enumerate() {
        let to = TxKind::Call(Address::repeat_byte(0xa0 + index as u8));
        let pay = Call { to, value: 1_000 + index as u64, ..Call::default() };
        transactions.push(sign(key, nonce, pay)?);
        let to = if index == 2 { TxKind::Create } else { TxKind::Call(COUNTER_ADDRESS) };
        let input = if index == 2 { DEPLOY } else { Bytes::new() };
        transactions.push(sign(key, nonce + 1, Call { to, input, ..Call::default() })?);
    }
    Ok(transactions)
}

/// What a transaction does.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) to: TxKind,
    pub(crate) value: u64,
    pub(crate) gas: u64,
    pub(crate) input: Bytes,
}

impl Default for Call {
    fn default() -> Self {
        Self { to: TxKind::Create, value: 0, gas: 1_000_000, input: Bytes::new() }
    }
}

pub(crate) fn insert_contract(state: &mut MemoryState, address: Address, code: &Bytes) {
    let code = decode_code(code.clone());
    let info = AccountInfo { nonce: 1, ..AccountInfo::default() }.with_code(code);
    state.insert_account(address, info);
}

/// A block that only pays a withdrawal; its parent state is empty.
pub(crate) fn without_transactions() -> Result<Block, Box<dyn Error>> {
    finish(&Chain::mainnet(), Vec::new(), &MemoryState::default())
}

/// Adds a withdrawal, and fills the header by stock execution.
pub(crate) fn finish(
    chain: &Chain,
    transactions: Vec<Transaction>,
    state: &MemoryState,
) -> Result<Block, Box<dyn Error>> {
    finish_at(chain, header(chain), transactions, state)
}

/// What is known before the execution.
fn header(chain: &Chain) -> Header {
    let header = Header {
        number: NUMBER,
        timestamp: TIME,
        parent_hash: PARENT_HASH,
        gas_limit: 1 << 40,
        base_fee_per_gas: Some(BASE_FEE),
        beneficiary: Address::repeat_byte(0xbe),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        ..Header::default()
    };
    let rules = chain.rules(&header);
    let prague = rules.is_prague_active_at_timestamp(TIME);
    let amsterdam = rules.is_amsterdam_active_at_timestamp(TIME);
    Header {
        requests_hash: prague.then_some(B256::ZERO),
        block_access_list_hash: amsterdam.then_some(B256::ZERO),
        slot_number: amsterdam.then_some(1),
        ..header
    }
}

fn finish_at(
    chain: &Chain,
    header: Header,
    transactions: Vec<Transaction>,
    state: &MemoryState,
) -> Result<Block, Box<dyn Error>> {
    let withdrawal =
        Withdrawal { index: 7, validator_index: 8, address: Address::repeat_byte(0xdd), amount: 9 };
    let withdrawals = vec![withdrawal];
    let header = Header {
        transactions_root: calculate_transaction_root(&transactions),
        withdrawals_root: Some(calculate_withdrawals_root(&withdrawals)),
        ..header
    };
    let mut signed = SignedBlock { header, ..SignedBlock::default() };
    signed.body.transactions = transactions;
    signed.body.withdrawals = Some(Withdrawals::new(withdrawals));
    let mut block = Block::recover(signed)?;
    let outcome = execute_stock(chain, &block, state, OutputKind::Flat)?;
    let header = &mut block.header;
    header.gas_used = outcome.gas_used;
    header.receipts_root = outcome.receipts_root();
    header.logs_bloom = outcome.logs_bloom();
    header.requests_hash = header.requests_hash.map(|_| outcome.requests_hash());
    header.block_access_list_hash =
        outcome.access_list.as_deref().map(compute_block_access_list_hash);
    Ok(block)
}

pub(crate) fn sign(
    key: &SigningKey,
    nonce: u64,
    call: Call,
) -> Result<Transaction, Box<dyn Error>> {
    let transaction = TxEip1559 {
        chain_id: 1,
        nonce,
        gas_limit: call.gas,
        max_fee_per_gas: 2 * u128::from(BASE_FEE),
        max_priority_fee_per_gas: 1,
        to: call.to,
        value: U256::from(call.value),
        input: call.input,
        ..TxEip1559::default()
    };
    let hash = transaction.signature_hash();
    let (signature, recovery) = key.sign_prehash_recoverable(hash.as_slice())?;
    let signature = Signature::from_signature_and_parity(signature, recovery.is_y_odd());
    Ok(transaction.into_signed(signature).into())
}
