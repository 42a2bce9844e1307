//! Reads the `config` object of a geth genesis file.
//!
//! Key names are geth's (`params.ChainConfig`). A key that names neither a known fork nor a known
//! setting is refused: skipping a fork would execute blocks under the wrong rules.

use crate::chain::Chain;
use alloy_eips::eip7840::BlobParams;
use alloy_hardforks::{EthereumHardfork as Fork, ForkCondition};
use alloy_primitives::{Address, U256};
use serde_json::{Map, Value};

/// Why a genesis `config` was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The config is not a JSON object.
    #[error("chain config: not a JSON object")]
    NotAnObject,
    /// A key that must be there is missing.
    #[error("chain config: `{0}` is missing")]
    Missing(String),
    /// A key that is not known.
    #[error("chain config: unknown key `{0}`; braid refuses to guess which rules it changes")]
    Unknown(String),
    /// Constantinople without Petersburg: the gas of storage in the blocks between the two follows
    /// EIP-1283, which the EVM here does not have.
    #[error(
        "chain config: `petersburgBlock` {petersburg} comes after `constantinopleBlock` \
         {constantinople}; braid does not know the rules of the blocks between them (EIP-1283)"
    )]
    ConstantinopleAlone {
        /// The first block of Constantinople.
        constantinople: u64,
        /// The first block of Petersburg.
        petersburg: u64,
    },
    /// A value of the wrong kind.
    #[error("chain config: `{key}` must be {expected}")]
    Malformed {
        /// The key.
        key: String,
        /// What its value should be.
        expected: &'static str,
    },
}

const BY_BLOCK: [(&str, &[Fork]); 14] = [
    ("homesteadBlock", &[Fork::Homestead]),
    ("eip150Block", &[Fork::Tangerine]),
    ("eip155Block", &[]),
    ("eip158Block", &[Fork::SpuriousDragon]),
    ("byzantiumBlock", &[Fork::Byzantium]),
    ("constantinopleBlock", &[Fork::Constantinople]),
    ("petersburgBlock", &[Fork::Petersburg]),
    ("istanbulBlock", &[Fork::Istanbul]),
    ("muirGlacierBlock", &[Fork::MuirGlacier]),
    ("berlinBlock", &[Fork::Berlin]),
    ("londonBlock", &[Fork::London]),
    ("arrowGlacierBlock", &[Fork::ArrowGlacier]),
    ("grayGlacierBlock", &[Fork::GrayGlacier]),
    ("mergeNetsplitBlock", &[]),
];

const BY_TIME: [(&str, &str, Fork); 10] = [
    ("shanghaiTime", "shanghai", Fork::Shanghai),
    ("cancunTime", "cancun", Fork::Cancun),
    ("pragueTime", "prague", Fork::Prague),
    ("osakaTime", "osaka", Fork::Osaka),
    ("bpo1Time", "bpo1", Fork::Bpo1),
    ("bpo2Time", "bpo2", Fork::Bpo2),
    ("bpo3Time", "bpo3", Fork::Bpo3),
    ("bpo4Time", "bpo4", Fork::Bpo4),
    ("bpo5Time", "bpo5", Fork::Bpo5),
    ("amsterdamTime", "amsterdam", Fork::Amsterdam),
];

/// Keys that are known and do not change how a block executes.
const IGNORED: [&str; 6] = [
    "chainId",
    "ethash",
    "clique",
    "terminalTotalDifficultyPassed",
    "eip150Hash",
    "enableVerkleAtGenesis",
];

const SETTINGS: [&str; 5] = [
    "daoForkBlock",
    "daoForkSupport",
    "terminalTotalDifficulty",
    "depositContractAddress",
    "blobSchedule",
];

pub(crate) fn parse(config: &Value) -> Result<Chain, ChainError> {
    let config = config.as_object().ok_or(ChainError::NotAnObject)?;
    let known = |key: &str| {
        BY_BLOCK.iter().any(|(name, _)| *name == key)
            || BY_TIME.iter().any(|(name, ..)| *name == key)
            || IGNORED.contains(&key)
            || SETTINGS.contains(&key)
    };
    if let Some((key, _)) = config.iter().find(|(key, value)| !known(key) && !value.is_null()) {
        return Err(ChainError::Unknown(key.clone()));
    }
    let id = number(config, "chainId")?.ok_or_else(|| ChainError::Missing("chainId".into()))?;
    let mut forks = vec![(Fork::Frontier, ForkCondition::Block(0))];
    for (key, names) in BY_BLOCK {
        if let Some(block) = number(config, key)? {
            forks.extend(names.iter().map(|fork| (*fork, ForkCondition::Block(block))));
        }
    }
    forks.extend(petersburg(config)?.map(|block| (Fork::Petersburg, ForkCondition::Block(block))));
    if let Some(block) = number(config, "daoForkBlock")?
        && config.get("daoForkSupport").and_then(Value::as_bool).unwrap_or(false)
    {
        forks.push((Fork::Dao, ForkCondition::Block(block)));
    }
    forks.extend(merge(config)?.map(|condition| (Fork::Paris, condition)));
    let mut blobs = Vec::new();
    for (key, name, fork) in BY_TIME {
        if let Some(time) = number(config, key)? {
            forks.push((fork, ForkCondition::Timestamp(time)));
            blobs.extend(blob_params(config, name)?.map(|params| (time, params)));
        }
    }
    let deposit = match config.get("depositContractAddress") {
        None | Some(Value::Null) => None,
        Some(value) => {
            Some(value.as_str().and_then(|text| text.parse::<Address>().ok()).ok_or_else(|| {
                ChainError::Malformed {
                    key: "depositContractAddress".into(),
                    expected: "an address",
                }
            })?)
        }
    };
    Ok(Chain::custom(id, forks, blobs, deposit))
}

/// Where Petersburg begins that has no block of its own: with Constantinople, as in geth.
fn petersburg(config: &Map<String, Value>) -> Result<Option<u64>, ChainError> {
    match (number(config, "constantinopleBlock")?, number(config, "petersburgBlock")?) {
        (Some(constantinople), Some(petersburg)) if petersburg > constantinople => {
            Err(ChainError::ConstantinopleAlone { constantinople, petersburg })
        }
        (constantinople, None) => Ok(constantinople),
        _ => Ok(None),
    }
}

/// Merged from the start where the total difficulty is zero; otherwise each block tells by its own
/// difficulty, which [`Chain::rules`] looks at.
fn merge(config: &Map<String, Value>) -> Result<Option<ForkCondition>, ChainError> {
    let Some(value) = config.get("terminalTotalDifficulty").filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    // geth writes a JSON number of any length, which the parser gives rounded where it is too long
    // for 64 bits. Only whether it is zero matters here.
    let rounded = || value.as_f64().and_then(|number| U256::try_from(number).ok());
    let total_difficulty = text.parse::<U256>().ok().or_else(rounded).ok_or_else(|| {
        ChainError::Malformed { key: "terminalTotalDifficulty".into(), expected: "a number" }
    })?;
    let activation_block_number = if total_difficulty.is_zero() { 0 } else { u64::MAX };
    // Names the block that nodes tell each other in their fork id; no rule depends on it.
    let fork_block = number(config, "mergeNetsplitBlock")?;
    Ok(Some(ForkCondition::TTD { activation_block_number, fork_block, total_difficulty }))
}

/// A fork's own entry in `blobSchedule`, else the published parameters of that fork.
fn blob_params(config: &Map<String, Value>, name: &str) -> Result<Option<BlobParams>, ChainError> {
    let base = match name {
        "shanghai" => return Ok(None),
        "cancun" => BlobParams::cancun(),
        "prague" => BlobParams::prague(),
        "osaka" => BlobParams::osaka(),
        "bpo1" => BlobParams::bpo1(),
        _ => BlobParams::bpo2(),
    };
    let Some(entry) = config.get("blobSchedule").and_then(|schedule| schedule.get(name)) else {
        let published = matches!(name, "cancun" | "prague" | "osaka" | "bpo1" | "bpo2");
        return Ok(published.then_some(base));
    };
    let entry = entry.as_object().ok_or_else(|| ChainError::Malformed {
        key: format!("blobSchedule.{name}"),
        expected: "an object",
    })?;
    let field = |key: &str| {
        number(entry, key)?.ok_or_else(|| ChainError::Missing(format!("blobSchedule.{name}.{key}")))
    };
    let max_blob_count = field("max")?;
    // A transaction has a limit of its own only from Osaka on (EIP-7594).
    let max_blobs_per_tx = match name {
        "cancun" | "prague" => max_blob_count,
        _ => base.max_blobs_per_tx,
    };
    Ok(Some(BlobParams {
        target_blob_count: field("target")?,
        max_blob_count,
        max_blobs_per_tx,
        update_fraction: u128::from(field("baseFeeUpdateFraction")?),
        ..base
    }))
}

/// A JSON number, or a string in decimal or hex.
fn number(config: &Map<String, Value>, key: &str) -> Result<Option<u64>, ChainError> {
    let parsed = match config.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        },
        Some(value) => value.as_u64(),
    };
    let malformed = || ChainError::Malformed { key: key.into(), expected: "a whole number" };
    parsed.map(Some).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_hardforks::EthereumHardforks;

    fn parsed(forks: &str) -> Result<Chain, ChainError> {
        let text = format!("{{\"chainId\": 1, {forks}}}");
        parse(&serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn a_transaction_may_fill_a_block_with_blobs_until_osaka() {
        let entry = r#"{"target": 14, "max": 21, "baseFeeUpdateFraction": 11684671}"#;
        let schedule = ["cancun", "prague", "osaka"].map(|fork| format!("\"{fork}\": {entry}"));
        let times = r#""cancunTime": 1, "pragueTime": 2, "osakaTime": 3"#;
        let chain = parsed(&format!("{times}, \"blobSchedule\": {{{}}}", schedule.join(",")));
        let chain = chain.unwrap();
        for (time, most) in [(1, 21), (2, 21), (3, 6)] {
            let params = chain.blob_params(time).unwrap();
            assert_eq!((params.max_blob_count, params.max_blobs_per_tx), (21, most), "{time}");
        }
    }

    #[test]
    fn constantinople_needs_petersburg() {
        let error = parsed(r#""constantinopleBlock": 10, "petersburgBlock": 20"#).unwrap_err();
        let expected = ChainError::ConstantinopleAlone { constantinople: 10, petersburg: 20 };
        assert_eq!(error, expected);
        let message = error.to_string();
        assert!(message.contains("`constantinopleBlock` 10"), "{message}");
        assert!(message.contains("`petersburgBlock` 20"), "{message}");
        for (forks, first) in [
            (r#""constantinopleBlock": 10, "petersburgBlock": 10"#, Some(10)),
            // As in geth, Petersburg comes with Constantinople where it has no block of its own.
            (r#""constantinopleBlock": 10"#, Some(10)),
            (r#""constantinopleBlock": 10, "petersburgBlock": null"#, Some(10)),
            (r#""byzantiumBlock": 10"#, None),
        ] {
            let chain = parsed(forks).unwrap();
            for block in [9, 10] {
                let header = alloy_consensus::Header { number: block, ..Default::default() };
                let active = chain.rules(&header).is_petersburg_active_at_block(block);
                assert_eq!(active, first.is_some_and(|first| block >= first), "{forks}: {block}");
            }
        }
    }
}
