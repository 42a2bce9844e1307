//! A block's RLP in, a verified outcome out: equal to sequential execution of the recorded block,
//! and a wrong header, body or signature is named.

mod common;

use alloy_consensus::{Signed, TxReceipt, proofs::calculate_ommers_root};
use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{B256, Bloom, Signature, U256};
use braid_core::{
    Engine, ExecuteError, HostError, ImportError, Options, OutputKind, SourceError, StateReader,
    StateSource, Transaction,
    block::{BlockError, SignedBlock},
    engine::Limits,
    sequential::execute_stock,
    source::{HookedReader, Location},
};
use braid_shadow::recorded::RecordedBlock;
use braid_workload::{Settings, generate};

fn signed(record: &RecordedBlock) -> SignedBlock {
    record.block.to_signed()
}

fn generated() -> Vec<RecordedBlock> {
    let settings = Settings { blocks: 3, transactions: 40, seed: 3, ..Settings::default() };
    generate(&settings, &mut |_, _| {}).expect("a workload")
}

fn engine(threads: usize) -> Engine {
    Engine::new(Options { threads, forced: true, ..Options::default() })
}

#[test]
fn every_block_is_imported_with_the_sequential_result() {
    let engines = [1, 2, 4, 8].map(engine);
    let mut records = common::recorded_blocks("mainnet");
    records.extend(common::recorded_blocks("witness"));
    records.extend(generated());
    for record in records {
        let number = record.number();
        let (chain, source) = (&record.chain, record.state.source());
        let stock = execute_stock(chain, &record.block, source, OutputKind::Flat).unwrap();
        let rlp = alloy_rlp::encode(signed(&record));
        for engine in &engines {
            let what = format!("{number}, {} threads", engine.options().threads);
            let imported = engine.import(chain, &rlp, source, &Limits::default());
            if calculate_ommers_root(&record.block.ommers) != record.block.header.ommers_hash {
                // Recorded without its ommers, which the header commits to.
                let Err(ImportError::Body(mismatch)) = imported else { panic!("{what}") };
                assert_eq!(mismatch.field, "sha3Uncles", "{what}");
                continue;
            }
            let imported = imported.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(imported.block.header, record.block.header, "{what}");
            assert_eq!(imported.block.transactions, record.block.transactions, "{what}");
            common::assert_same(&what, &stock, &imported.outcome);
            let (root, blooms) = engine.receipts_root_and_blooms(&stock.receipts);
            assert_eq!(root, stock.receipts_root(), "{what}");
            let each: Vec<_> = stock.receipts.iter().map(TxReceipt::bloom).collect();
            assert_eq!(blooms, each, "{what}");
            let roots = engine.receipts_root_and_bloom(&stock);
            assert_eq!(roots, (stock.receipts_root(), stock.logs_bloom()), "{what}");
        }
    }
}

/// What importing an altered block says.
fn error(record: &RecordedBlock, alter: impl FnOnce(&mut SignedBlock)) -> ImportError {
    let mut block = signed(record);
    alter(&mut block);
    let rlp = alloy_rlp::encode(&block);
    let source = record.state.source();
    let result = engine(2).import(&record.chain, &rlp, source, &Limits::default());
    result.expect_err("the block is wrong")
}

#[test]
fn a_wrong_header_or_body_is_named_by_its_field() {
    let record = &generated()[0];
    let wrong = B256::repeat_byte(7);
    let body = |alter: fn(&mut SignedBlock)| match error(record, alter) {
        ImportError::Body(mismatch) => mismatch.field,
        other => panic!("{other}"),
    };
    assert_eq!(body(|block| drop(block.body.transactions.pop())), "transactionsRoot");
    assert_eq!(body(|block| block.body.transactions.swap(0, 1)), "transactionsRoot");
    assert_eq!(body(|block| block.body.ommers.push(block.header.clone())), "sha3Uncles");
    assert_eq!(body(|block| block.header.withdrawals_root = Some(B256::ZERO)), "withdrawalsRoot");
    let some = Some(Withdrawals::new(vec![Default::default()]));
    assert!(matches!(
        error(record, |block| block.body.withdrawals = some),
        ImportError::Body(mismatch) if mismatch.field == "withdrawalsRoot"
    ));
    let header = |alter: &dyn Fn(&mut SignedBlock)| match error(record, alter) {
        ImportError::Header(mismatch) => mismatch.field,
        other => panic!("{other}"),
    };
    assert_eq!(header(&|block| block.header.gas_used -= 1), "gasUsed");
    assert_eq!(header(&|block| block.header.receipts_root = wrong), "receiptsRoot");
    assert_eq!(header(&|block| block.header.logs_bloom = Bloom::ZERO), "logsBloom");
    assert_eq!(header(&|block| block.header.blob_gas_used = Some(1)), "blobGasUsed");
    assert_eq!(header(&|block| block.header.requests_hash = Some(wrong)), "requestsHash");
}

/// The same transaction with an r of zero, which recovers to nothing, whatever is signed.
fn unrecoverable(tx: &Transaction) -> Transaction {
    let signature = Signature::new(U256::ZERO, tx.signature().s(), tx.signature().v());
    match tx {
        Transaction::Legacy(tx) => Signed::new_unhashed(tx.tx().clone(), signature).into(),
        Transaction::Eip1559(tx) => Signed::new_unhashed(tx.tx().clone(), signature).into(),
        Transaction::Eip7702(tx) => Signed::new_unhashed(tx.tx().clone(), signature).into(),
        other => panic!("no such transaction is generated: {other:?}"),
    }
}

#[test]
fn a_bad_signature_is_named_by_the_first_index() {
    let record = &generated()[0];
    for bad in [[3, 30], [17, 9]] {
        let found = error(record, |block| {
            for index in bad {
                let tx = &mut block.body.transactions[index];
                *tx = unrecoverable(tx);
            }
        });
        let first = *bad.iter().min().unwrap();
        match found {
            ImportError::Block(BlockError::Signature { index, .. }) => assert_eq!(index, first),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn bytes_that_are_no_block_are_refused() {
    let record = &generated()[0];
    let (chain, source) = (&record.chain, record.state.source());
    let rlp = alloy_rlp::encode(signed(record));
    let import = |rlp: &[u8]| engine(2).import(chain, rlp, source, &Limits::default());
    for length in [0, 1, 100, rlp.len() - 1] {
        let result = import(&rlp[..length]);
        assert!(matches!(result, Err(ImportError::Block(BlockError::Rlp(_)))), "{length}");
    }
    let longer = [&rlp[..], &[0, 0]].concat();
    assert!(matches!(import(&longer), Err(ImportError::Block(BlockError::TrailingBytes(2)))));
}

struct Failing<'a>(&'a dyn StateSource);

impl StateSource for Failing<'_> {
    fn reader(&self) -> Result<Box<dyn StateReader + '_>, SourceError> {
        let fail = |location| match location {
            Location::Storage(..) => Err(SourceError::new(location, "planted")),
            _ => Ok(()),
        };
        Ok(Box::new(HookedReader::new(self.0.reader()?, fail)))
    }
}

#[test]
fn a_failing_source_is_no_verdict_on_the_block() {
    let record = &generated()[0];
    let rlp = alloy_rlp::encode(signed(record));
    let source = Failing(record.state.source());
    let result = engine(2).import(&record.chain, &rlp, &source, &Limits::default());
    let Err(ImportError::Execute(ExecuteError::Host(HostError::Source(error)))) = result else {
        panic!("{result:?}");
    };
    assert!(error.to_string().contains("planted"), "{error}");
}
