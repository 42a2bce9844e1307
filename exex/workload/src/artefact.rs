//! The compiled contracts of `contracts/`, built in.
//!
//! Invariant: each artefact carries the Keccak-256 of the source that it was compiled from; a test
//! compares it, so that source and artefact belong together even where no compiler is at hand.

use crate::{
    abi::{self, Arg},
    error::Error,
};
use alloy_primitives::{B256, Bytes, FixedBytes};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A contract of the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Contract {
    /// An ERC-20 token.
    Token,
    /// A constant-product market with an order book.
    Market,
    /// Collectibles with running numbers.
    Collectible,
    /// Collectibles with chosen numbers.
    CollectibleFree,
    /// The score boards of games.
    ScoreBoard,
    /// Items and their steps.
    SupplyChain,
    /// Consents and accesses.
    Consent,
    /// A contract that destroys itself.
    Mortal,
    /// Creates and destroys [`Self::Mortal`].
    Factory,
    /// Code to delegate to.
    Delegate,
    /// Pays others.
    Payer,
}

macro_rules! files {
    ($($contract:ident),*) => {
        impl Contract {
            /// Every contract.
            pub const ALL: [Self; 11] = [$(Self::$contract),*];

            /// The artefact's JSON.
            const fn json(self) -> &'static str {
                match self {
                    $(Self::$contract => {
                        include_str!(concat!(
                            "../contracts/artefacts/", stringify!($contract), ".json"
                        ))
                    })*
                }
            }

            /// The Solidity source.
            pub const fn source(self) -> &'static str {
                match self {
                    $(Self::$contract => {
                        include_str!(concat!("../contracts/", stringify!($contract), ".sol"))
                    })*
                }
            }
        }
    };
}

files!(
    Token,
    Market,
    Collectible,
    CollectibleFree,
    ScoreBoard,
    SupplyChain,
    Consent,
    Mortal,
    Factory,
    Delegate,
    Payer
);

/// A compiled contract.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artefact {
    /// The contract's name.
    pub contract: String,
    /// The compiler's full version.
    pub compiler: String,
    /// The Keccak-256 of the source.
    pub source_keccak256: B256,
    /// The selectors of the functions by their signatures.
    pub selectors: BTreeMap<String, FixedBytes<4>>,
    /// The code that a creation executes, before the constructor's arguments.
    pub creation: Bytes,
    /// The code that a creation leaves.
    pub runtime: Bytes,
}

impl Contract {
    /// Reads the built-in artefact.
    ///
    /// # Errors
    /// [`Error::Artefact`] where the file is no artefact.
    pub fn artefact(self) -> Result<Artefact, Error> {
        serde_json::from_str(self.json()).map_err(|error| Error::Artefact { contract: self, error })
    }
}

/// All artefacts, read once.
#[derive(Debug)]
pub(crate) struct Artefacts(BTreeMap<Contract, Artefact>);

impl Artefacts {
    pub(crate) fn read() -> Result<Self, Error> {
        let read = |contract: Contract| Ok((contract, contract.artefact()?));
        Ok(Self(Contract::ALL.into_iter().map(read).collect::<Result<_, Error>>()?))
    }

    /// The input of a call.
    pub(crate) fn call(
        &self,
        contract: Contract,
        signature: &str,
        args: &[Arg<'_>],
    ) -> Result<Bytes, Error> {
        let selector = self.0.get(&contract).and_then(|found| found.selectors.get(signature));
        let selector = selector
            .ok_or_else(|| Error::Function { contract, signature: signature.to_owned() })?;
        Ok([selector.as_slice(), &abi::encode(args)].concat().into())
    }

    /// The input of a creation transaction.
    pub(crate) fn creation(&self, contract: Contract, args: &[Arg<'_>]) -> Bytes {
        let code = self.0.get(&contract).map(|found| found.creation.clone()).unwrap_or_default();
        [code.as_ref(), &abi::encode(args)].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::keccak256;

    #[test]
    fn every_artefact_belongs_to_its_source() {
        for contract in Contract::ALL {
            let artefact = contract.artefact().unwrap();
            assert_eq!(artefact.contract, format!("{contract:?}"));
            let hash = keccak256(contract.source());
            assert_eq!(hash, artefact.source_keccak256, "{contract:?}: run contracts/build.mjs");
        }
    }

    #[test]
    fn every_selector_is_that_of_its_signature() {
        for contract in Contract::ALL {
            for (signature, selector) in contract.artefact().unwrap().selectors {
                assert_eq!(keccak256(&signature)[..4], selector[..], "{contract:?}: {signature}");
            }
        }
    }
}
