//! Network names of the published tests, as chains.
//!
//! A name is a fork that holds from genesis, or `FROMtoTOat5` (block), `FROMtoTOatTime15k`
//! (seconds), `FROMtoParisAtDiffC0000` (total difficulty).

use super::case::Config;
use alloy_eips::eip7840::BlobParams;
use alloy_hardforks::{EthereumHardfork as Fork, ForkCondition};
use alloy_primitives::{Address, U256, address};
use braid_core::Chain;

const DEPOSIT_CONTRACT: Address = address!("00000000219ab540356cbb839cbe05303d7705fa");

/// Forks in the order of activation, with the names that the tests use.
const FORKS: [(Fork, &[&str]); 21] = [
    (Fork::Frontier, &["Frontier"]),
    (Fork::Homestead, &["Homestead"]),
    (Fork::Dao, &["Dao"]),
    (Fork::Tangerine, &["EIP150"]),
    (Fork::SpuriousDragon, &["EIP158"]),
    (Fork::Byzantium, &["Byzantium"]),
    (Fork::Constantinople, &["Constantinople"]),
    (Fork::Petersburg, &["ConstantinopleFix", "Petersburg"]),
    (Fork::Istanbul, &["Istanbul"]),
    (Fork::Berlin, &["Berlin"]),
    (Fork::London, &["London", "ArrowGlacier", "GrayGlacier"]),
    (Fork::Paris, &["Paris", "Merge"]),
    (Fork::Shanghai, &["Shanghai"]),
    (Fork::Cancun, &["Cancun"]),
    (Fork::Prague, &["Prague"]),
    (Fork::Osaka, &["Osaka"]),
    (Fork::Bpo1, &["BPO1"]),
    (Fork::Bpo2, &["BPO2"]),
    (Fork::Bpo3, &["BPO3"]),
    (Fork::Bpo4, &["BPO4"]),
    (Fork::Amsterdam, &["Amsterdam"]),
];

/// A network: its chain, and the total difficulty that ends proof of work, where one does.
#[derive(Debug)]
pub struct Network {
    /// The rules.
    pub chain: Chain,
    /// The terminal total difficulty (EIP-3675) of a network that merges while the test runs.
    pub terminal: Option<U256>,
    /// The first block of the DAO fork.
    pub dao: Option<u64>,
}

/// Why a network cannot be run.
#[derive(Debug, thiserror::Error)]
#[error("network `{0}` is not known")]
pub struct UnknownNetwork(String);

/// When the second fork of a transition begins.
#[derive(Debug, Clone, Copy)]
enum Start {
    Block(u64),
    Time(u64),
    Difficulty(U256),
}

/// Where in the order of forks a name stands.
fn place(name: &str) -> Option<usize> {
    FORKS.iter().position(|(_, names)| names.contains(&name))
}

/// `5` after `At`, `15k` after `AtTime`, hexadecimal after `AtDiff`.
fn start(text: &str) -> Option<Start> {
    if let Some(difficulty) = text.strip_prefix("Diff") {
        return U256::from_str_radix(difficulty, 16).ok().map(Start::Difficulty);
    }
    if let Some(time) = text.strip_prefix("Time") {
        let thousands = time.strip_suffix('k')?.parse::<u64>().ok()?;
        return Some(Start::Time(thousands * 1000));
    }
    text.parse().ok().map(Start::Block)
}

impl Network {
    /// The network with this name; `config` overrides the chain id and the blob parameters.
    ///
    /// # Errors
    /// [`UnknownNetwork`] where the name is none of the published ones.
    pub fn new(name: &str, config: Option<&Config>) -> Result<Self, UnknownNetwork> {
        let unknown = || UnknownNetwork(name.to_owned());
        let (first, transition) = match name.split_once("To") {
            None => (name, None),
            Some((first, rest)) => {
                let (second, at) = rest.split_once("At").ok_or_else(unknown)?;
                let second = place(second).ok_or_else(unknown)?;
                (first, Some((second, start(at).ok_or_else(unknown)?)))
            }
        };
        let first = place(first).ok_or_else(unknown)?;
        Ok(Self::build(first, transition, config))
    }

    fn build(first: usize, transition: Option<(usize, Start)>, config: Option<&Config>) -> Self {
        let mut network = Self { chain: Chain::mainnet(), terminal: None, dao: None };
        let (mut forks, mut blobs) = (Vec::new(), Vec::new());
        let last = transition.map_or(first, |(second, _)| second);
        for (index, (fork, names)) in FORKS.into_iter().enumerate().take(last + 1) {
            let at = transition.filter(|_| index > first).map(|(_, start)| start);
            // The DAO fork is mainnet's alone unless a test is about it; Amsterdam follows BPO2.
            let skipped = match fork {
                Fork::Dao => index != last,
                Fork::Bpo3 | Fork::Bpo4 => FORKS[last].0 == Fork::Amsterdam,
                _ => false,
            };
            if skipped {
                continue;
            }
            forks.push((fork, network.condition(fork, at)));
            if let Some(params) = blob_params(fork, names, config) {
                let time = if let Some(Start::Time(time)) = at { time } else { 0 };
                blobs.push((time, params));
            }
        }
        let id = config.and_then(|config| config.chainid).map_or(1, |id| id.to());
        network.chain = Chain::custom(id, forks, blobs, Some(DEPOSIT_CONTRACT));
        network
    }

    fn condition(&mut self, fork: Fork, at: Option<Start>) -> ForkCondition {
        match (fork, at) {
            (Fork::Paris, Some(Start::Difficulty(total))) => {
                self.terminal = Some(total);
                // Each block tells by its own difficulty whether it is merged.
                ForkCondition::TTD {
                    activation_block_number: u64::MAX,
                    fork_block: None,
                    total_difficulty: total,
                }
            }
            (Fork::Paris, _) => ForkCondition::TTD {
                activation_block_number: 0,
                fork_block: None,
                total_difficulty: U256::ZERO,
            },
            (Fork::Dao, Some(Start::Block(block))) => {
                self.dao = Some(block);
                ForkCondition::Block(block)
            }
            (_, Some(Start::Time(time))) => ForkCondition::Timestamp(time),
            (_, Some(Start::Block(block))) => ForkCondition::Block(block),
            (fork, _) if fork >= Fork::Shanghai => ForkCondition::Timestamp(0),
            _ => ForkCondition::Block(0),
        }
    }
}

/// The blob parameters that begin with a fork: the test's own, else the published ones.
fn blob_params(fork: Fork, names: &[&str], config: Option<&Config>) -> Option<BlobParams> {
    let base = match fork {
        Fork::Cancun => BlobParams::cancun(),
        Fork::Prague => BlobParams::prague(),
        Fork::Osaka => BlobParams::osaka(),
        Fork::Bpo1 => BlobParams::bpo1(),
        Fork::Bpo2 | Fork::Bpo3 | Fork::Bpo4 | Fork::Amsterdam => BlobParams::bpo2(),
        _ => return None,
    };
    let own = names.iter().find_map(|name| config?.blob_schedule.as_ref()?.get(*name));
    Some(own.map_or(base, |own| BlobParams {
        target_blob_count: own.target.to(),
        max_blob_count: own.max.to(),
        update_fraction: own.base_fee_update_fraction.to(),
        ..base
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::Header;
    use alloy_hardforks::EthereumHardforks;

    fn at(name: &str, number: u64, timestamp: u64) -> (bool, bool, bool) {
        let network = Network::new(name, None).expect("a known network");
        let header = Header { number, timestamp, ..Header::default() };
        let rules = network.chain.rules(&header);
        (
            rules.is_homestead_active_at_block(number),
            rules.is_london_active_at_block(number),
            rules.is_osaka_active_at_timestamp(timestamp),
        )
    }

    #[test]
    fn a_fork_holds_from_genesis() {
        assert_eq!(at("Frontier", 0, 0), (false, false, false));
        assert_eq!(at("London", 0, 0), (true, true, false));
        assert_eq!(at("Osaka", 0, 0), (true, true, true));
    }

    #[test]
    fn a_transition_begins_where_its_name_says() {
        assert_eq!(at("FrontierToHomesteadAt5", 4, 0), (false, false, false));
        assert_eq!(at("FrontierToHomesteadAt5", 5, 0), (true, false, false));
        assert_eq!(at("PragueToOsakaAtTime15k", 1, 14_999), (true, true, false));
        assert_eq!(at("PragueToOsakaAtTime15k", 1, 15_000), (true, true, true));
        let merging = Network::new("ArrowGlacierToParisAtDiffC0000", None).expect("known");
        assert_eq!(merging.terminal, Some(U256::from(0xc0000)));
        assert_eq!(Network::new("HomesteadToDaoAt5", None).expect("known").dao, Some(5));
    }

    #[test]
    fn an_unknown_name_is_refused() {
        for name in ["", "Atlantis", "FrontierTo", "FrontierToHomestead", "LondonToParisAtDiffZ"] {
            let error = Network::new(name, None).expect_err("unknown");
            assert!(error.to_string().contains(name));
        }
    }
}
