//! Chains on which one fork, and all before it, hold from genesis.

use alloy_eips::eip7840::BlobParams;
use alloy_hardforks::{EthereumHardfork as Fork, ForkCondition};
use alloy_primitives::U256;
use braid_core::Chain;

const BY_BLOCK: [Fork; 10] = [
    Fork::Frontier,
    Fork::Homestead,
    Fork::Tangerine,
    Fork::SpuriousDragon,
    Fork::Byzantium,
    Fork::Constantinople,
    Fork::Petersburg,
    Fork::Istanbul,
    Fork::Berlin,
    Fork::London,
];

const BY_TIME: [Fork; 7] = [
    Fork::Shanghai,
    Fork::Cancun,
    Fork::Prague,
    Fork::Osaka,
    Fork::Bpo1,
    Fork::Bpo2,
    Fork::Amsterdam,
];

/// The chain with id 1 on which `fork` holds, and `extra` forks besides.
pub fn chain_with(fork: Fork, extra: &[(Fork, ForkCondition)]) -> Chain {
    let by_block = BY_BLOCK.into_iter().take_while(|known| *known <= fork);
    let mut forks: Vec<_> = by_block.map(|fork| (fork, ForkCondition::Block(0))).collect();
    if fork > Fork::London {
        let condition = ForkCondition::TTD {
            activation_block_number: 0,
            fork_block: None,
            total_difficulty: U256::ZERO,
        };
        forks.push((Fork::Paris, condition));
    }
    let by_time = BY_TIME.into_iter().take_while(|known| *known <= fork);
    forks.extend(by_time.map(|fork| (fork, ForkCondition::Timestamp(0))));
    forks.extend(extra);
    let blobs = match fork {
        Fork::Cancun => BlobParams::cancun(),
        Fork::Prague => BlobParams::prague(),
        Fork::Osaka => BlobParams::osaka(),
        Fork::Bpo1 => BlobParams::bpo1(),
        _ => BlobParams::bpo2(),
    };
    let blobs = if fork >= Fork::Cancun { vec![(0, blobs)] } else { Vec::new() };
    let deposit = alloy_eips::eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS;
    Chain::custom(1, forks, blobs, Some(deposit))
}

/// The chain with id 1 on which `fork` holds.
pub fn chain(fork: Fork) -> Chain {
    chain_with(fork, &[])
}
