//! A chain's rules: which fork is active where, blob parameters, the deposit contract.
//!
//! Role: turn a chain's name, number or geth genesis `config` into the fork schedule that alloy-evm
//! asks for. [`Chain`] is the schedule; [`Rules`] is the schedule as seen by one block, which also
//! knows whether that block is merged where the chain only gives a total difficulty.

use crate::genesis;
use alloy_consensus::Header;
use alloy_eips::eip7840::BlobParams;
use alloy_evm::{EvmEnv, eth::spec::EthExecutorSpec};
use alloy_hardforks::{EthereumChainHardforks, EthereumHardfork, EthereumHardforks, ForkCondition};
use alloy_primitives::{Address, address};

pub use crate::genesis::ChainError;

/// A chain's fork schedule and constants. Cheap to share, never changes.
#[derive(Debug, Clone)]
pub struct Chain {
    pub(crate) id: u64,
    pub(crate) forks: EthereumChainHardforks,
    /// Blob parameters with the timestamps from which they hold, ascending.
    pub(crate) blobs: Vec<(u64, BlobParams)>,
    pub(crate) deposit_contract: Option<Address>,
}

impl Chain {
    /// Ethereum mainnet.
    pub fn mainnet() -> Self {
        let deposit = address!("00000000219ab540356cbb839cbe05303d7705fa");
        Self::known(1, EthereumChainHardforks::mainnet(), deposit)
    }

    /// The Sepolia test network.
    pub fn sepolia() -> Self {
        let deposit = address!("7f02c3e3c98b133055b8b348b2ac625669ed295d");
        Self::known(11_155_111, EthereumChainHardforks::sepolia(), deposit)
    }

    /// The Holesky test network.
    pub fn holesky() -> Self {
        let deposit = address!("4242424242424242424242424242424242424242");
        Self::known(17_000, EthereumChainHardforks::holesky(), deposit)
    }

    /// The Hoodi test network.
    pub fn hoodi() -> Self {
        let deposit = address!("00000000219ab540356cbb839cbe05303d7705fa");
        Self::known(560_048, EthereumChainHardforks::hoodi(), deposit)
    }

    /// The chain with this name: `mainnet`, `sepolia`, `holesky` or `hoodi`.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "mainnet" => Some(Self::mainnet()),
            "sepolia" => Some(Self::sepolia()),
            "holesky" => Some(Self::holesky()),
            "hoodi" => Some(Self::hoodi()),
            _ => None,
        }
    }

    /// The known chain with this chain id.
    pub fn by_id(id: u64) -> Option<Self> {
        match id {
            1 => Some(Self::mainnet()),
            11_155_111 => Some(Self::sepolia()),
            17_000 => Some(Self::holesky()),
            560_048 => Some(Self::hoodi()),
            _ => None,
        }
    }

    /// Any chain, from the `config` object of a geth genesis file.
    ///
    /// # Errors
    /// [`ChainError`] names a missing, malformed or unknown key: an unknown fork must not be
    /// skipped in silence.
    pub fn from_genesis_config(config: &serde_json::Value) -> Result<Self, ChainError> {
        genesis::parse(config)
    }

    /// A chain of one's own: forks with their conditions, blob parameters with the timestamps
    /// from which they hold.
    pub fn custom(
        id: u64,
        forks: impl IntoIterator<Item = (EthereumHardfork, ForkCondition)>,
        mut blobs: Vec<(u64, BlobParams)>,
        deposit_contract: Option<Address>,
    ) -> Self {
        blobs.sort_by_key(|(time, _)| *time);
        Self { id, forks: EthereumChainHardforks::new(forks), blobs, deposit_contract }
    }

    fn known(id: u64, forks: EthereumChainHardforks, deposit: Address) -> Self {
        let schedule = [
            (EthereumHardfork::Cancun, BlobParams::cancun()),
            (EthereumHardfork::Prague, BlobParams::prague()),
            (EthereumHardfork::Osaka, BlobParams::osaka()),
            (EthereumHardfork::Bpo1, BlobParams::bpo1()),
            (EthereumHardfork::Bpo2, BlobParams::bpo2()),
        ];
        let blobs = schedule
            .into_iter()
            .filter_map(|(fork, params)| match forks.ethereum_fork_activation(fork) {
                ForkCondition::Timestamp(time) => Some((time, params)),
                _ => None,
            })
            .collect();
        Self { id, forks, blobs, deposit_contract: Some(deposit) }
    }

    /// The chain id (EIP-155).
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The rules for the block with this header.
    pub fn rules(&self, header: &Header) -> Rules<'_> {
        let by_difficulty = matches!(
            self.forks.ethereum_fork_activation(EthereumHardfork::Paris),
            ForkCondition::TTD { activation_block_number: u64::MAX, .. }
        );
        Rules { chain: self, merged: by_difficulty.then(|| header.difficulty.is_zero()) }
    }

    /// The blob parameters at this time, `None` before Cancun.
    pub fn blob_params(&self, timestamp: u64) -> Option<BlobParams> {
        self.blobs.iter().rev().find(|(time, _)| *time <= timestamp).map(|(_, params)| *params)
    }
}

/// A chain's rules at one block.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    chain: &'a Chain,
    /// Whether the block is merged, where the schedule itself cannot tell.
    merged: Option<bool>,
}

impl Rules<'_> {
    /// The EVM's environment for the block with this header.
    pub fn evm_env(&self, header: &Header) -> EvmEnv {
        let blobs = self.chain.blob_params(header.timestamp);
        EvmEnv::for_eth_block(header, self, self.chain.id, blobs)
    }

    /// Whether receipts carry a status (EIP-658), so that their root follows from execution alone.
    pub fn has_status_receipts(&self, header: &Header) -> bool {
        self.is_byzantium_active_at_block(header.number)
    }

    /// Whether the block carries a block access list (EIP-7928).
    pub fn has_access_list(&self, header: &Header) -> bool {
        self.is_amsterdam_active_at_timestamp(header.timestamp)
            && header.block_access_list_hash.is_some()
    }
}

impl EthereumHardforks for Rules<'_> {
    fn ethereum_fork_activation(&self, fork: EthereumHardfork) -> ForkCondition {
        match (fork, self.merged) {
            (EthereumHardfork::Paris, Some(true)) => ForkCondition::TTD {
                activation_block_number: 0,
                fork_block: None,
                total_difficulty: alloy_primitives::U256::ZERO,
            },
            (EthereumHardfork::Paris, Some(false)) => ForkCondition::Never,
            _ => self.chain.forks.ethereum_fork_activation(fork),
        }
    }
}

impl EthExecutorSpec for Rules<'_> {
    fn deposit_contract_address(&self) -> Option<Address> {
        self.chain.deposit_contract
    }
}
