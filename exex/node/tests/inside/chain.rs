//! A chain in a provider of reth's test utilities: real blocks, really executed by reth's executor,
//! committed to the canonical state in memory as the engine does it, with branches.

use alloy_consensus::{
    BlockBody, Header,
    proofs::{calculate_receipt_root, calculate_transaction_root, calculate_withdrawals_root},
    transaction::Recovered,
};
use alloy_eips::{eip1559::BaseFeeParams, eip4895::Withdrawals};
use alloy_primitives::{Address, B256, logs_bloom};
use braid_core::Transaction;
use rand::{Rng, SeedableRng, rngs::StdRng};
use reth_chain_state::{ExecutedBlock, NewCanonicalChain};
use reth_ethereum::{
    Block,
    chainspec::ChainSpec,
    evm::{
        EthEvmConfig,
        primitives::{ConfigureEvm, execute::Executor},
        revm::database::StateProviderDatabase,
    },
    exex::ExExNotification,
    node::api::FullNodeTypes,
    primitives::{RecoveredBlock, SealedHeader},
    storage::StateProviderFactory,
};
use reth_exex_test_utils::Adapter;
use std::sync::Arc;

/// The provider of the test utilities' context.
pub(crate) type Provider = <Adapter as FullNodeTypes>::Provider;

/// A block and how much of the tape it and its ancestors used up.
#[derive(Clone)]
struct Made {
    executed: ExecutedBlock,
    used: usize,
}

/// The canonical chain since genesis, and what its blocks are made of.
pub(crate) struct TestChain {
    pub(crate) provider: Provider,
    config: EthEvmConfig,
    genesis: SealedHeader,
    canonical: Vec<Made>,
    /// Transactions in an order in which they are valid. A branch goes on where its ancestor
    /// stopped, so the nonces fit on every branch.
    tape: Vec<Recovered<Transaction>>,
    pub(crate) rng: StdRng,
}

impl TestChain {
    pub(crate) fn new(
        provider: Provider,
        spec: Arc<ChainSpec>,
        tape: Vec<Recovered<Transaction>>,
        seed: u64,
    ) -> Self {
        let genesis = SealedHeader::new(spec.genesis_header().clone(), spec.genesis_hash());
        let rng = StdRng::seed_from_u64(seed);
        Self {
            provider,
            config: EthEvmConfig::new(spec),
            genesis,
            canonical: Vec::new(),
            tape,
            rng,
        }
    }

    /// The number of the newest block.
    pub(crate) fn height(&self) -> u64 {
        self.canonical.len() as u64
    }

    /// The newest block.
    pub(crate) fn tip(&self) -> Arc<RecoveredBlock<Block>> {
        self.canonical.last().expect("a block").executed.recovered_block.clone()
    }

    /// Appends blocks; gives the engine's notification.
    pub(crate) fn commit(&mut self, count: usize) -> ExExNotification {
        let new = self.extend(count);
        NewCanonicalChain::Commit { new }.to_chain_notification().into()
    }

    /// Replaces the newest blocks by others.
    pub(crate) fn reorg(&mut self, drop: usize, count: usize) -> ExExNotification {
        let old = self.cut(drop);
        let new = self.extend(count);
        NewCanonicalChain::Reorg { new, old }.to_chain_notification().into()
    }

    /// Takes the newest blocks away.
    pub(crate) fn revert(&mut self, drop: usize) -> ExExNotification {
        let old = self.cut(drop);
        let chain = NewCanonicalChain::Commit { new: old }.to_chain_notification();
        ExExNotification::ChainReverted { old: chain.committed() }
    }

    fn cut(&mut self, drop: usize) -> Vec<ExecutedBlock> {
        let keep = self.canonical.len() - drop;
        let old: Vec<_> = self.canonical.drain(keep..).map(|made| made.executed).collect();
        let memory = self.provider.canonical_in_memory_state();
        memory.update_chain(NewCanonicalChain::Reorg { new: Vec::new(), old: old.clone() });
        memory.set_canonical_head(self.head());
        old
    }

    fn extend(&mut self, count: usize) -> Vec<ExecutedBlock> {
        let memory = self.provider.canonical_in_memory_state();
        (0..count)
            .map(|_| {
                let made = self.make();
                let executed = made.executed.clone();
                self.canonical.push(made);
                memory.update_chain(NewCanonicalChain::Commit { new: vec![executed.clone()] });
                memory.set_canonical_head(self.head());
                executed
            })
            .collect()
    }

    fn head(&self) -> SealedHeader {
        let newest = self.canonical.last();
        newest.map_or(self.genesis.clone(), |made| {
            made.executed.recovered_block.clone_sealed_header()
        })
    }

    /// A block on top of the newest one; the header's results are those of executing it.
    fn make(&mut self) -> Made {
        let from = self.canonical.last().map_or(0, |made| made.used);
        let used = (from + self.rng.random_range(0..12)).min(self.tape.len());
        let transactions = self.tape[from..used].to_vec();
        let parent = self.head();
        let provisional = self.block(&parent, &transactions);
        let state = self.provider.history_by_block_hash(parent.hash()).expect("the parent's state");
        let executor = self.config.batch_executor(StateProviderDatabase::new(state));
        let output = executor.execute(&provisional).expect("a valid block");
        let senders = provisional.senders().to_vec();
        let mut block = provisional.into_block();
        let receipts = &output.receipts;
        let with_bloom: Vec<_> =
            receipts.iter().map(alloy_consensus::TxReceipt::with_bloom_ref).collect();
        block.header.gas_used = output.gas_used;
        block.header.receipts_root = calculate_receipt_root(&with_bloom);
        block.header.logs_bloom = logs_bloom(receipts.iter().flat_map(|r| r.logs.iter()));
        block.header.requests_hash = Some(output.requests.requests_hash());
        let block = Arc::new(RecoveredBlock::new_unhashed(block, senders));
        let mut executed = ExecutedBlock { recovered_block: block, ..ExecutedBlock::default() };
        executed.execution_output = Arc::new(output);
        Made { executed, used }
    }

    fn block(
        &mut self,
        parent: &SealedHeader,
        list: &[Recovered<Transaction>],
    ) -> RecoveredBlock<Block> {
        let transactions: Vec<Transaction> = list.iter().map(|tx| tx.inner().clone()).collect();
        let senders: Vec<Address> = list.iter().map(|tx| tx.signer()).collect();
        let header = Header {
            parent_hash: parent.hash(),
            number: parent.number + 1,
            timestamp: parent.timestamp + self.rng.random_range(1..12),
            beneficiary: Address::from(self.rng.random::<[u8; 20]>()),
            mix_hash: B256::from(self.rng.random::<[u8; 32]>()),
            parent_beacon_block_root: Some(B256::from(self.rng.random::<[u8; 32]>())),
            gas_limit: parent.gas_limit,
            base_fee_per_gas: parent.next_block_base_fee(BaseFeeParams::ethereum()),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            transactions_root: calculate_transaction_root(&transactions),
            withdrawals_root: Some(calculate_withdrawals_root(&[])),
            ..Header::default()
        };
        let withdrawals = Some(Withdrawals::default());
        let body = BlockBody { transactions, ommers: Vec::new(), withdrawals };
        RecoveredBlock::new_unhashed(Block { header, body }, senders)
    }
}
