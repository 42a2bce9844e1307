//! Records that no public data set holds: every transaction type, every form of `v`, other chains,
//! ommer headers, access lists, delegations.

use super::*;
use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip4895::{Withdrawal, Withdrawals},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Bytes, Signature, TxKind, U256};
use braid_core::{chain::ChainError, source::MemoryState};
use revm::{bytecode::Bytecode, state::AccountInfo};

const TO: Address = Address::repeat_byte(0x77);

fn legacy(chain_id: Option<u64>) -> TxLegacy {
    TxLegacy {
        chain_id,
        nonce: u64::MAX - 1,
        gas_price: u128::MAX,
        gas_limit: 21_000,
        to: TxKind::Create,
        value: U256::MAX,
        input: Bytes::from_static(&[1, 2, 3]),
    }
}

fn transactions() -> Vec<Transaction> {
    let signature = Signature::test_signature();
    let other = Signature::new(signature.r(), signature.s(), !signature.v());
    let access_list = AccessList(vec![AccessListItem {
        address: TO,
        storage_keys: vec![B256::ZERO, B256::repeat_byte(9)],
    }]);
    let authorization = Authorization { chain_id: U256::ZERO, address: TO, nonce: 3 };
    let eip2930 = TxEip2930 {
        chain_id: 1,
        access_list: access_list.clone(),
        to: TxKind::Call(TO),
        ..TxEip2930::default()
    };
    let eip1559 = TxEip1559 {
        chain_id: 1,
        max_fee_per_gas: 7,
        max_priority_fee_per_gas: 5,
        to: TxKind::Create,
        ..TxEip1559::default()
    };
    let eip4844 = TxEip4844 {
        chain_id: 1,
        to: TO,
        max_fee_per_blob_gas: 3,
        blob_versioned_hashes: vec![B256::repeat_byte(1); 2],
        ..TxEip4844::default()
    };
    let eip7702 = TxEip7702 {
        chain_id: 1,
        to: TO,
        access_list,
        authorization_list: vec![
            SignedAuthorization::new_unchecked(authorization.clone(), 1, U256::ONE, U256::MAX),
            SignedAuthorization::new_unchecked(authorization, 255, U256::ZERO, U256::ZERO),
        ],
        ..TxEip7702::default()
    };
    vec![
        legacy(None).into_signed(signature).into(),
        legacy(None).into_signed(other).into(),
        legacy(Some(1)).into_signed(signature).into(),
        legacy(Some(u64::MAX)).into_signed(other).into(),
        eip2930.into_signed(signature).into(),
        eip1559.into_signed(other).into(),
        eip4844.into_signed(signature).into(),
        eip7702.into_signed(other).into(),
    ]
}

fn record() -> RecordedBlock {
    let transactions = transactions();
    let ommers = vec![Header { number: 3, ..Header::default() }, Header::default()];
    let withdrawals = Withdrawals::new(vec![Withdrawal {
        index: u64::MAX,
        validator_index: 1,
        address: TO,
        amount: 2,
    }]);
    let header = Header {
        number: 30_000_000,
        transactions_root: calculate_transaction_root(&transactions),
        withdrawals_root: Some(calculate_withdrawals_root(&withdrawals)),
        ommers_hash: calculate_ommers_root(&ommers),
        base_fee_per_gas: Some(7),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(1),
        parent_beacon_block_root: Some(B256::repeat_byte(2)),
        requests_hash: Some(B256::repeat_byte(3)),
        block_access_list_hash: Some(B256::repeat_byte(4)),
        slot_number: Some(9),
        extra_data: Bytes::from_static(b"extra"),
        ..Header::default()
    };
    let body = BlockBody { transactions, ommers, withdrawals: Some(withdrawals) };
    let mut block = Block::recover(SignedBlock { header, body }).unwrap();
    block.access_list = Some(vec![alloy_eip7928::AccountChanges::new(TO)]);
    let mut state = MemoryState::default();
    let delegation = Bytecode::new_eip7702(TO);
    let odd = Bytecode::new_legacy(Bytes::from_static(&[0xef, 0x01, 0x00, 0x12]));
    for (index, code) in [delegation, odd].into_iter().enumerate() {
        let info = AccountInfo::new(U256::MAX, 7, code.hash_slow(), code);
        let address = Address::repeat_byte(index as u8);
        state.insert_account(address, info);
        state.insert_storage(address, U256::MAX, U256::ONE).unwrap();
    }
    // An account whose code was not recorded.
    let unknown = AccountInfo { code_hash: B256::repeat_byte(8), ..AccountInfo::default() };
    state.insert_account(TO, unknown.without_code());
    state.insert_block_hash(u64::MAX, B256::repeat_byte(5));
    RecordedBlock::new(block, Chain::mainnet(), Prestate::Memory(state), true)
}

#[test]
fn what_is_too_large_to_be_read_is_not_written() {
    let (record, folder) = (record(), tempfile::tempdir().unwrap());
    let size = serde_json::to_vec(&record.to_value().unwrap()).unwrap().len() as u64;
    let error = record.write_limited(folder.path(), size - 1).unwrap_err();
    assert!(matches!(error.problem, Problem::TooLarge { limit } if limit == size - 1), "{error}");
    assert!(error.to_string().contains(".json.zst"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let path = record.write_limited(folder.path(), size).unwrap();
    RecordedBlock::read_limited(&path, size).unwrap();
}

#[test]
fn every_kind_of_content_reads_back_equal() {
    let first = record();
    let value = first.to_value().unwrap();
    let second = RecordedBlock::from_value(&value).unwrap();
    assert_eq!(first.block.transactions, second.block.transactions);
    assert_eq!(first.block.header, second.block.header);
    assert_eq!(first.block.ommers, second.block.ommers);
    assert_eq!(first.block.withdrawals, second.block.withdrawals);
    assert_eq!(first.block.access_list, second.block.access_list);
    assert_eq!(first.block_hash, second.block_hash);
    assert!(second.ommers_known());
    assert_eq!(value, second.to_value().unwrap());
    let Prestate::Memory(state) = &second.state else { panic!("not a pre-state") };
    let code = |n| state.code(&state.account(&Address::repeat_byte(n)).unwrap().code_hash);
    assert!(code(0).unwrap().is_eip7702());
    assert!(!code(1).unwrap().is_eip7702());
    assert_eq!(code(0x77), None);
    assert_eq!(state.storage(&Address::repeat_byte(0), &U256::MAX), U256::ONE);
}

#[test]
fn every_form_of_the_signature_is_read() {
    let value = record().to_value().unwrap();
    let change = |index: usize, changes: &[(&str, Value)]| {
        let mut value = value.clone();
        let transaction = value["block"]["transactions"][index].as_object_mut().unwrap();
        for (key, new) in changes {
            transaction.insert((*key).to_owned(), new.clone());
        }
        RecordedBlock::from_value(&value)
    };
    let parity = u64::from(Signature::test_signature().v());
    let null = Value::Null;
    // No `v`, or a parity in it: `chainId` tells whether EIP-155 holds.
    change(2, &[("v", null.clone()), ("yParity", json!(parity))]).unwrap();
    change(2, &[("v", json!(parity))]).unwrap();
    change(0, &[("v", json!(parity))]).unwrap();
    change(0, &[("chainId", json!("0x1"))]).unwrap();
    // No `type`, no `yParity`, and other values of `v` in typed transactions.
    for index in 0..8 {
        change(index, &[("type", null.clone())]).unwrap();
    }
    change(4, &[("yParity", null.clone()), ("v", json!(27 + parity))]).unwrap();
    change(4, &[("yParity", null), ("v", json!(37 + parity))]).unwrap();
    let error = change(0, &[("v", json!(29))]).unwrap_err();
    assert!(error.to_string().contains("block.transactions[0].v"), "{error}");
    let error = change(0, &[("type", json!(5))]).unwrap_err();
    assert!(error.to_string().contains("block.transactions[0].type"), "{error}");
}

#[test]
fn other_chains_need_their_config() {
    let config = json!({ "chainId": 1337, "homesteadBlock": 0, "byzantiumBlock": 0 });
    let mut first = record();
    first.chain = Chain::from_genesis_config(&config).unwrap();
    let error = first.to_value().unwrap_err();
    assert!(matches!(error.problem, Problem::ConfigNeeded(1337)));
    first.config = Some(config);
    let mut value = first.to_value().unwrap();
    let second = RecordedBlock::from_value(&value).unwrap();
    assert_eq!((second.chain.id(), &second.config), (1337, &first.config));
    value["chainId"] = json!(1);
    let error = RecordedBlock::from_value(&value).unwrap_err();
    assert!(matches!(error.problem, Problem::ChainId { chain_id: 1, config: 1337 }));
    value["config"] = json!({ "chainId": 1, "unheardOfBlock": 0 });
    let error = RecordedBlock::from_value(&value).unwrap_err();
    assert!(matches!(error.problem, Problem::Chain(ChainError::Unknown(_))));
}

#[test]
fn unknown_ommers_leave_the_state_unchecked() {
    let mut value = record().to_value().unwrap();
    value["block"].as_object_mut().unwrap().remove("ommers");
    let read = RecordedBlock::from_value(&value).unwrap();
    assert!(!read.ommers_known());
    assert_eq!(read.ommer_hashes.len(), 2);
    assert_eq!(read.check_state(&Default::default()).unwrap(), StateCheck::Unchecked);
    value["block"]["uncles"] = json!([]);
    assert!(RecordedBlock::from_value(&value).is_err());
}

#[test]
fn false_codes_and_parents_are_refused() {
    let good = record().to_value().unwrap();
    let mut value = good.clone();
    value["prestate"][format!("{:#x}", Address::ZERO)]["codeHash"] = json!(B256::ZERO);
    let error = RecordedBlock::from_value(&value).unwrap_err();
    assert!(error.to_string().contains("codeHash"), "{error}");
    let mut value = good;
    value["parent"] = value["block"].clone();
    let error = RecordedBlock::from_value(&value).unwrap_err();
    assert!(error.to_string().contains("block.parentHash"), "{error}");
}

#[test]
fn high_signatures_are_valid_before_homestead_only() {
    let order = alloy_primitives::uint!(
        0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256
    );
    let low = Signature::test_signature();
    let high = Signature::new(low.r(), order - low.s(), !low.v());
    let transactions: Vec<Transaction> = vec![legacy(None).into_signed(high).into()];
    let header = Header {
        number: 1_149_999,
        transactions_root: calculate_transaction_root(&transactions),
        ..Header::default()
    };
    let sender = transactions[0].recover_signer_unchecked().unwrap();
    let body = BlockBody { transactions, ommers: Vec::new(), withdrawals: None };
    let block = Block::with_senders(SignedBlock { header, body }, vec![sender]).unwrap();
    let state = Prestate::Memory(MemoryState::default());
    let mut record = RecordedBlock::new(block, Chain::mainnet(), state, false);
    RecordedBlock::from_value(&record.to_value().unwrap()).unwrap();
    record.block.header.number += 1;
    let error = RecordedBlock::from_value(&record.to_value().unwrap()).unwrap_err();
    let bad = TransactionProblem::Signature;
    assert!(matches!(error.problem, Problem::Transaction { index: 0, problem } if problem == bad));
}
