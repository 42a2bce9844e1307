//! Whose rules hold on the client's chain.
//!
//! In this order: the genesis file that the user gave; the known chains, by their id; the genesis
//! `config` that the client tells (`debug_chainConfig`, `admin_nodeInfo`); the hardfork that anvil
//! tells. Otherwise the chain is refused: guessed rules would look like divergences.

use super::client::{Client, RpcError};
use braid_core::Chain;
use serde_json::{Map, Value, json};
use std::{fs, path::Path, sync::Arc};

/// A chain's rules, with the geth genesis `config` where braid does not know it by its id.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The rules.
    pub chain: Arc<Chain>,
    /// What records of its blocks carry.
    pub config: Option<Arc<Value>>,
}

/// Why the rules are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// The client could not be asked.
    #[error("eth_chainId: {0}")]
    Client(RpcError),
    /// The genesis file is of no use.
    #[error("{0}")]
    Genesis(String),
    /// The genesis is that of another chain.
    #[error("the genesis is for chain {genesis}, the client is on chain {client}")]
    OtherChain {
        /// The chain id in the genesis.
        genesis: u64,
        /// The client's chain id.
        client: u64,
    },
    /// Nobody tells the rules.
    #[error(
        "chain {id} is not known to braid and the client does not tell its rules{reason}: give \
         them with --genesis FILE"
    )]
    Unknown {
        /// The chain id.
        id: u64,
        /// Why what the client told is of no use.
        reason: String,
    },
}

/// Finds the rules out. Blocks for some requests.
///
/// # Errors
/// [`RulesError`] with the next step.
pub fn rules(client: &Client, genesis: Option<&Path>) -> Result<Rules, RulesError> {
    let answer = client.call("eth_chainId", &json!([])).map_err(RulesError::Client)?;
    let id = number(&answer).ok_or_else(|| {
        let reason = "eth_chainId is not a number".to_owned();
        RulesError::Client(RpcError::NotJson { reason, body: answer.to_string() })
    })?;
    if let Some(path) = genesis {
        let rules = from_file(path).map_err(RulesError::Genesis)?;
        let genesis = rules.chain.id();
        let same = genesis == id;
        return if same { Ok(rules) } else { Err(RulesError::OtherChain { genesis, client: id }) };
    }
    if let Some(chain) = Chain::by_id(id) {
        return Ok(Rules { chain: Arc::new(chain), config: None });
    }
    match told(client, id).map(|config| from_config(&config)) {
        Some(Ok(rules)) if rules.chain.id() == id => Ok(rules),
        Some(Ok(rules)) => Err(RulesError::OtherChain { genesis: rules.chain.id(), client: id }),
        Some(Err(error)) => Err(RulesError::Unknown { id, reason: format!(" usably ({error})") }),
        None => Err(RulesError::Unknown { id, reason: String::new() }),
    }
}

/// The genesis `config` that the client tells.
fn told(client: &Client, id: u64) -> Option<Value> {
    let none = json!([]);
    if let Ok(config) = client.call("debug_chainConfig", &none) {
        return Some(config);
    }
    if let Ok(info) = client.call("admin_nodeInfo", &none)
        && let Some(config) = info.pointer("/protocols/eth/config")
    {
        return Some(config.clone());
    }
    let info = client.call("anvil_nodeInfo", &none).ok()?;
    up_to(info.get("hardFork")?.as_str()?, id)
}

/// A chain on which every fork up to the named one holds from the start.
fn up_to(fork: &str, id: u64) -> Option<Value> {
    const BLOCKS: [(&str, &str); 10] = [
        ("frontier", ""),
        ("homestead", "homesteadBlock"),
        ("tangerine", "eip150Block"),
        ("spuriousdragon", "eip158Block"),
        ("byzantium", "byzantiumBlock"),
        ("constantinople", "constantinopleBlock"),
        ("petersburg", "petersburgBlock"),
        ("istanbul", "istanbulBlock"),
        ("berlin", "berlinBlock"),
        ("london", "londonBlock"),
    ];
    const TIMES: [(&str, &str); 7] = [
        ("paris", ""),
        ("shanghai", "shanghaiTime"),
        ("cancun", "cancunTime"),
        ("prague", "pragueTime"),
        ("osaka", "osakaTime"),
        ("bpo1", "bpo1Time"),
        ("bpo2", "bpo2Time"),
    ];
    let fork = fork.to_lowercase();
    let all: Vec<_> = BLOCKS.iter().chain(&TIMES).collect();
    let last = all.iter().position(|(name, _)| *name == fork)?;
    let mut config = Map::new();
    config.insert("chainId".to_owned(), json!(id));
    for (_, key) in all[..=last].iter().filter(|(_, key)| !key.is_empty()) {
        config.insert((*key).to_owned(), json!(0));
    }
    if last >= BLOCKS.len() {
        config.insert("terminalTotalDifficulty".to_owned(), json!(0));
    }
    Some(Value::Object(config))
}

fn from_file(path: &Path) -> Result<Rules, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = fs::read(path).map_err(|error| named(&error))?;
    let genesis: Value = serde_json::from_slice(&text).map_err(|error| named(&error))?;
    from_config(genesis.get("config").unwrap_or(&genesis)).map_err(|error| named(&error))
}

fn from_config(config: &Value) -> Result<Rules, String> {
    let mut config = config.clone();
    if let Some(config) = config.as_object_mut() {
        config.retain(|_, value| !value.is_null());
    }
    let chain = Chain::from_genesis_config(&config).map_err(|error| error.to_string())?;
    Ok(Rules { chain: Arc::new(chain), config: Some(Arc::new(config)) })
}

/// A number as JSON-RPC writes it.
pub fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => u64::from_str_radix(text.strip_prefix("0x")?, 16).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hardfork_that_anvil_names_makes_a_chain() {
        let forks = ["London", "Paris", "Shanghai", "Cancun", "Prague", "Osaka", "Bpo1", "Bpo2"];
        for fork in forks {
            let config = up_to(fork, 31_337).unwrap_or_else(|| panic!("{fork} is not known"));
            assert_eq!(from_config(&config).map(|rules| rules.chain.id()), Ok(31_337), "{fork}");
        }
        assert_eq!(up_to("Amsterdam", 31_337), None);
    }
}
