//! reth's chain specification as braid's fork schedule.
//!
//! Role: carry every fork's condition, the blob parameters and the deposit contract over. A fork
//! that braid does not know is an error with its name: executing such a chain would not be
//! shadowing it.

use alloy_eips::eip7840::BlobParams;
use braid_core::Chain;
use reth_ethereum::chainspec::{ChainSpec, EthereumHardfork, EthereumHardforks, ForkCondition};
use serde_json::Value;
use std::str::FromStr;

/// Why a chain specification has no counterpart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The specification names a fork that braid does not know.
    #[error("chain {chain}: fork `{fork}` is not known to braid")]
    UnknownFork {
        /// The chain id.
        chain: u64,
        /// The fork's name.
        fork: String,
    },
}

/// The fork schedule of a reth chain specification.
///
/// # Errors
/// [`ChainError::UnknownFork`] where the specification has a fork that braid does not know.
pub fn chain_of(spec: &ChainSpec) -> Result<Chain, ChainError> {
    let id = spec.chain.id();
    let forks = spec
        .hardforks
        .forks_iter()
        .map(|(fork, condition)| {
            let name = fork.name();
            EthereumHardfork::from_str(name)
                .map(|known| (known, condition))
                .map_err(|_| ChainError::UnknownFork { chain: id, fork: name.to_owned() })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let deposit_contract = spec.deposit_contract.as_ref().map(|contract| contract.address);
    Ok(Chain::custom(id, forks, blob_schedule(spec), deposit_contract))
}

/// The geth genesis `config` of a chain that braid does not know by its id, for recorded blocks;
/// `None` for a known chain, and where the specification's `config` does not say the same as its
/// forks.
pub fn genesis_config(spec: &ChainSpec) -> Option<Value> {
    if Chain::by_id(spec.chain.id()).is_some() {
        return None;
    }
    let mut config = serde_json::to_value(&spec.genesis.config).ok()?;
    if let (Some(contract), Value::Object(keys)) = (&spec.deposit_contract, &mut config) {
        keys.insert("depositContractAddress".to_owned(), Value::from(contract.address.to_string()));
    }
    let same = |parsed: &Chain| {
        chain_of(spec).is_ok_and(|chain| format!("{chain:?}") == format!("{parsed:?}"))
    };
    Chain::from_genesis_config(&config).ok().filter(same).map(|_| config)
}

/// Blob parameters with the timestamps from which they hold: each fork's own, then the scheduled
/// changes (EIP-7892), which win where both start at the same time.
fn blob_schedule(spec: &ChainSpec) -> Vec<(u64, BlobParams)> {
    let params = &spec.blob_params;
    let own = [
        (EthereumHardfork::Cancun, params.cancun),
        (EthereumHardfork::Prague, params.prague),
        (EthereumHardfork::Osaka, params.osaka),
    ];
    let start = |fork| match spec.ethereum_fork_activation(fork) {
        ForkCondition::Timestamp(time) => Some(time),
        _ => None,
    };
    own.into_iter()
        .filter_map(|(fork, params)| start(fork).map(|time| (time, params)))
        .chain(params.scheduled.iter().copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::Header;
    use reth_ethereum::chainspec::{ChainSpecBuilder, DEV, HOLESKY, HOODI, MAINNET, SEPOLIA};

    /// Headers around every activation of the specification.
    fn headers(spec: &ChainSpec) -> Vec<Header> {
        let at = |number, timestamp, merged: bool| Header {
            number,
            timestamp,
            difficulty: alloy_primitives::U256::from(u64::from(!merged)),
            base_fee_per_gas: Some(7),
            excess_blob_gas: Some(1 << 20),
            ..Header::default()
        };
        let mut headers = vec![at(0, 0, false)];
        for (_, condition) in spec.hardforks.forks_iter() {
            match condition {
                ForkCondition::Block(block) => {
                    headers.extend([block.saturating_sub(1), block].map(|n| at(n, 0, false)));
                }
                ForkCondition::Timestamp(time) => {
                    let times = [time.saturating_sub(1), time, time + 1];
                    headers.extend(times.map(|time| at(30_000_000, time, true)));
                }
                _ => {}
            }
        }
        let blobs = spec.blob_params.scheduled.iter();
        headers.extend(blobs.flat_map(|(time, _)| [time - 1, *time].map(|t| at(1 << 25, t, true))));
        headers
    }

    #[test]
    fn specifications_of_reth_equal_the_chains_that_braid_knows() {
        for spec in [&*MAINNET, &*SEPOLIA, &*HOLESKY, &*HOODI] {
            let known = Chain::by_id(spec.chain.id()).expect("a known chain");
            let converted = chain_of(spec).expect("all forks are known");
            let headers = headers(spec);
            assert!(headers.len() > 20, "{} headers", headers.len());
            for header in headers {
                let env = |chain: &Chain| format!("{:?}", chain.rules(&header).evm_env(&header));
                assert_eq!(env(&converted), env(&known), "chain {}: {header:?}", spec.chain);
            }
        }
    }

    #[test]
    fn the_environment_is_the_one_that_reth_executes_in() {
        use reth_ethereum::evm::{EthEvmConfig, primitives::ConfigureEvm};
        for spec in [&*MAINNET, &*SEPOLIA, &*HOLESKY, &*HOODI, &*DEV] {
            let converted = chain_of(spec).expect("all forks are known");
            let reth = EthEvmConfig::new((*spec).clone());
            for header in headers(spec) {
                let ours = format!("{:?}", converted.rules(&header).evm_env(&header));
                let theirs = format!("{:?}", reth.evm_env(&header).expect("infallible"));
                assert_eq!(ours, theirs, "chain {}: {header:?}", spec.chain);
            }
        }
    }

    #[test]
    fn an_unknown_fork_is_named() {
        #[derive(Debug, Clone, Copy)]
        struct Unheard;
        impl reth_ethereum::chainspec::Hardfork for Unheard {
            fn name(&self) -> &'static str {
                "Unheard"
            }
        }
        let builder = ChainSpecBuilder::mainnet().with_fork(Unheard, ForkCondition::Block(1));
        let error = chain_of(&builder.build()).expect_err("the fork is not known");
        assert_eq!(error.to_string(), "chain 1: fork `Unheard` is not known to braid");
    }
}
