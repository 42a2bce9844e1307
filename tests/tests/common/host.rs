//! A host that executes a block with alloy-evm's executor, one transaction after the other, and
//! takes from a speculation what it can.

use alloy_consensus::Transaction as _;
use alloy_evm::{
    Evm, EvmFactory,
    block::BlockExecutor,
    eth::{EthBlockExecutor, EthEvmFactory, EthTxResult},
};
use braid_core::{
    Outcome, StateOutput, StateSource, Statistics,
    engine::{Speculated, Speculation, Validation},
    sequential::{PlainReceipts, execution_context},
    source::ReaderDatabase,
};
use braid_shadow::recorded::RecordedBlock;
use revm::{
    context::result::ResultAndState,
    database::{State, states::bundle_state::BundleRetention},
    state::bal::Bal,
};

/// The host's own database.
pub type HostState<'a> = State<ReaderDatabase<'a>>;

/// How often the host met what.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Met {
    pub valid: usize,
    pub stale: usize,
    pub absent: usize,
}

impl Met {
    /// The validated result, if there is one.
    fn validate(
        &mut self,
        index: usize,
        speculated: Option<Speculated<'_>>,
        state: &mut HostState<'_>,
    ) -> Option<ResultAndState> {
        let Some(speculated) = speculated else {
            self.absent += 1;
            return None;
        };
        assert_eq!(speculated.index(), index);
        match speculated.validate(state).expect("the host's state") {
            Validation::Valid(result) => {
                self.valid += 1;
                Some(result)
            }
            Validation::Stale(_) => {
                self.stale += 1;
                None
            }
        }
    }
}

/// What a host does about one transaction, beside executing and committing it.
pub trait Habits {
    /// Whether the host asks the speculation at all.
    fn asks(&mut self, _index: usize) -> bool {
        true
    }

    /// Called before the transaction, with the state that it will be executed on.
    fn before(&mut self, _index: usize, _state: &mut HostState<'_>) {}

    /// Whether the workers are told what was committed.
    fn tells(&mut self, _index: usize) -> bool {
        true
    }
}

/// A host that does what it should.
pub struct Plain;

impl Habits for Plain {}

/// Executes the block; compares each validated result with what the host's own execution gives.
pub fn execute(
    record: &RecordedBlock,
    source: &dyn StateSource,
    speculation: &mut Speculation<'_>,
    habits: &mut dyn Habits,
) -> (Outcome, Met) {
    let RecordedBlock { block, chain, .. } = record;
    let rules = chain.rules(&block.header);
    let reader = ReaderDatabase(source.reader().expect("a reader"));
    let builder = State::builder().with_database(reader).with_bundle_update();
    let mut state = if rules.has_access_list(&block.header) {
        builder.with_bal_builder().build()
    } else {
        builder.build()
    };
    let evm = EthEvmFactory::default().create_evm(&mut state, rules.evm_env(&block.header));
    let mut executor = EthBlockExecutor::new(evm, execution_context(block), &rules, PlainReceipts);
    executor.apply_pre_execution_changes().expect("system calls");
    let mut met = Met::default();
    for (index, tx) in block.transactions.iter().enumerate() {
        executor.evm_mut().db_mut().bump_bal_index();
        habits.before(index, executor.evm_mut().db_mut());
        let speculated = if habits.asks(index) { speculation.take(index) } else { None };
        let own = executor.execute_transaction_without_commit(tx);
        let validated = met.validate(index, speculated, executor.evm_mut().db_mut());
        let mut own = own.unwrap_or_else(|error| {
            assert!(validated.is_none(), "transaction {index}: {error}, but a result was valid");
            panic!("transaction {index}: {error}")
        });
        if let Some(result) = validated {
            assert_result(&format!("{} {index}", record.number()), &own.result, &result);
            own = EthTxResult {
                result,
                blob_gas_used: tx.blob_gas_used().unwrap_or_default(),
                tx_type: tx.tx_type(),
            };
        }
        if habits.tells(index) {
            speculation.commit(index, &own.result.state);
        }
        executor.commit_transaction(own);
    }
    executor.evm_mut().db_mut().bump_bal_index();
    let (_, result) = executor.finish().expect("the block's end");
    let access_list = state.bal_state.bal_builder.take().map(Bal::into_alloy_bal);
    state.merge_transitions(BundleRetention::Reverts);
    let outcome = Outcome {
        receipts: result.receipts,
        gas_used: result.gas_used,
        blob_gas_used: result.blob_gas_used,
        requests: result.requests,
        state: StateOutput::Bundle(Box::new(state.take_bundle())),
        access_list,
        statistics: Statistics::default(),
    };
    (outcome, met)
}

/// The same result, and the same accounts with the same slots, before and after.
fn assert_result(what: &str, own: &ResultAndState, speculated: &ResultAndState) {
    assert_eq!(own.result, speculated.result, "{what}: result");
    for (address, account) in &own.state {
        let other = speculated.state.get(address);
        let other = other.unwrap_or_else(|| panic!("{what}: account {address} is missing"));
        assert_eq!(account.info, other.info, "{what}: {address}");
        assert_eq!(account.original_info(), other.original_info(), "{what}: {address} before");
        assert_eq!(account.status, other.status, "{what}: {address} status");
        assert_eq!(account.storage, other.storage, "{what}: {address} storage");
    }
    assert_eq!(own.state.len(), speculated.state.len(), "{what}: number of accounts");
}
