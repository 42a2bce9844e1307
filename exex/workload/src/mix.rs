//! The kinds of transactions and their shares.
//!
//! Role: name every kind once, read a [`Mix`] from text, pick kinds by weight. A kind that the text
//! does not name has weight zero.

use rand::Rng;
use std::{fmt, str::FromStr};

/// What a transaction of the workload does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Plain transfers of ether.
    Transfers,
    /// Transfers and approvals of ERC-20 tokens.
    Erc20,
    /// Swaps in a constant-product market.
    Swaps,
    /// Liquidity added to a market and taken out again.
    Liquidity,
    /// Orders in an on-chain order book, with matching.
    Orders,
    /// Mints of collectibles: under contention with one running number, else without.
    Mints,
    /// Rounds of a game with a score board.
    Scores,
    /// Steps of items in a supply chain.
    Supply,
    /// Consents granted and revoked, and records accessed.
    Consents,
    /// Contracts created by CREATE2, called and destroyed in all orders.
    Lifecycle,
    /// Accounts that delegate and re-delegate to code (EIP-7702).
    Delegations,
    /// Payments by a contract, under contention to the block's beneficiary.
    Tips,
    /// Blob transactions (EIP-4844), as many as the block takes.
    Blobs,
    /// Contracts deployed by creation transactions.
    Deploys,
    /// Withdrawal requests (EIP-7002), one per block.
    Requests,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::Transfers,
        Self::Erc20,
        Self::Swaps,
        Self::Liquidity,
        Self::Orders,
        Self::Mints,
        Self::Scores,
        Self::Supply,
        Self::Consents,
        Self::Lifecycle,
        Self::Delegations,
        Self::Tips,
        Self::Blobs,
        Self::Deploys,
        Self::Requests,
    ];

    /// The name as a mix spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transfers => "transfers",
            Self::Erc20 => "erc20",
            Self::Swaps => "swaps",
            Self::Liquidity => "liquidity",
            Self::Orders => "orders",
            Self::Mints => "mints",
            Self::Scores => "scores",
            Self::Supply => "supply",
            Self::Consents => "consents",
            Self::Lifecycle => "lifecycle",
            Self::Delegations => "delegations",
            Self::Tips => "tips",
            Self::Blobs => "blobs",
            Self::Deploys => "deploys",
            Self::Requests => "requests",
        }
    }

    /// Whether two shared transactions, one of each kind, write the same account or slot.
    pub const fn meets(self, other: Self) -> bool {
        match (self.common(), other.common()) {
            (Some(one), Some(another)) => one as u8 == another as u8,
            _ => false,
        }
    }

    /// What every shared transaction of this kind writes.
    const fn common(self) -> Option<Common> {
        match self {
            Self::Transfers | Self::Blobs => Some(Common::Recipient),
            Self::Erc20 => Some(Common::Balance),
            Self::Swaps | Self::Liquidity | Self::Orders => Some(Common::Market),
            Self::Mints => Some(Common::Counter),
            Self::Scores => Some(Common::Board),
            Self::Supply => Some(Common::Item),
            Self::Consents => Some(Common::Record),
            Self::Delegations => Some(Common::Authority),
            Self::Tips => Some(Common::Beneficiary),
            // Steps of one factory may touch different slots.
            Self::Lifecycle | Self::Deploys | Self::Requests => None,
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The things that shared transactions have in common.
#[derive(Debug, Clone, Copy)]
enum Common {
    Recipient,
    Balance,
    Market,
    Counter,
    Board,
    Item,
    Record,
    Authority,
    Beneficiary,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A weight for each kind; their sum is not zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    weights: [u32; Kind::ALL.len()],
}

/// Why a mix was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MixError {
    /// A part that is not of the form `kind=weight`.
    #[error("mix: `{0}` is not of the form kind=weight")]
    Form(String),
    /// A kind that is not known.
    #[error("mix: unknown kind `{0}`; known are {known}", known = known())]
    UnknownKind(String),
    /// A kind named twice.
    #[error("mix: `{0}` is named twice")]
    Twice(Kind),
    /// A weight that is not a whole number up to a million.
    #[error("mix: the weight of `{kind}` must be a whole number up to {MAX_WEIGHT}, not `{text}`")]
    Weight {
        /// The kind.
        kind: Kind,
        /// The text given as its weight.
        text: String,
    },
    /// No kind has a weight above zero.
    #[error("mix: no kind has a weight above zero")]
    Empty,
}

const MAX_WEIGHT: u32 = 1_000_000;

fn known() -> String {
    Kind::ALL.map(Kind::name).join(", ")
}

impl Mix {
    /// The weight of one kind.
    pub const fn weight(&self, kind: Kind) -> u32 {
        self.weights[kind as usize]
    }

    /// Whether one of these kinds can be picked.
    pub(crate) fn has(&self, kinds: &[Kind]) -> bool {
        kinds.iter().any(|kind| self.weight(*kind) > 0)
    }

    /// A kind, with a probability in proportion to its weight.
    pub(crate) fn pick(&self, rng: &mut impl Rng) -> Kind {
        let total: u32 = self.weights.iter().sum();
        let mut at = rng.random_range(0..total);
        for (kind, weight) in Kind::ALL.into_iter().zip(self.weights) {
            if at < weight {
                return kind;
            }
            at -= weight;
        }
        Kind::Transfers
    }
}

impl Default for Mix {
    /// About what a block of mainnet holds, with every kind in it.
    fn default() -> Self {
        let weights = [24, 24, 16, 3, 5, 6, 4, 4, 4, 3, 3, 2, 1, 1, 1];
        Self { weights }
    }
}

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let mut weights = [None; Kind::ALL.len()];
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, weight) =
                part.split_once('=').ok_or_else(|| MixError::Form(part.to_owned()))?;
            let (name, weight) = (name.trim(), weight.trim());
            let kind = Kind::by_name(name).ok_or_else(|| MixError::UnknownKind(name.to_owned()))?;
            let parsed = weight.parse().ok().filter(|weight| *weight <= MAX_WEIGHT);
            let parsed: u32 =
                parsed.ok_or_else(|| MixError::Weight { kind, text: weight.to_owned() })?;
            if weights[kind as usize].replace(parsed).is_some() {
                return Err(MixError::Twice(kind));
            }
        }
        let weights = weights.map(Option::unwrap_or_default);
        if weights.iter().all(|weight| *weight == 0) {
            return Err(MixError::Empty);
        }
        Ok(Self { weights })
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = Kind::ALL.into_iter().filter(|kind| self.weight(*kind) > 0);
        let parts: Vec<String> =
            parts.map(|kind| format!("{kind}={}", self.weight(kind))).collect();
        f.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_mix_agree() {
        let mix: Mix = " transfers=4, erc20=3,swaps=0".parse().unwrap();
        assert_eq!((mix.weight(Kind::Transfers), mix.weight(Kind::Erc20)), (4, 3));
        assert_eq!(mix.weight(Kind::Blobs), 0);
        assert_eq!(mix.to_string(), "transfers=4,erc20=3");
        assert_eq!(Mix::default().to_string().parse(), Ok(Mix::default()));
        assert!(Kind::ALL.into_iter().all(|kind| Mix::default().weight(kind) > 0));
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let error = |text: &str| text.parse::<Mix>().unwrap_err();
        assert_eq!(error("transfers=1,coffee=2"), MixError::UnknownKind("coffee".into()));
        assert!(error("coffee=2").to_string().contains("`coffee`; known are transfers, erc20"));
        assert_eq!(error("swaps"), MixError::Form("swaps".into()));
        assert_eq!(error("swaps=1,swaps=2"), MixError::Twice(Kind::Swaps));
        let text = "-1".to_owned();
        assert_eq!(error("swaps=-1"), MixError::Weight { kind: Kind::Swaps, text });
        assert_eq!(error("swaps=0"), MixError::Empty);
        assert_eq!(error(""), MixError::Empty);
    }

    #[test]
    fn only_weighted_kinds_are_picked() {
        use rand::{SeedableRng, rngs::StdRng};
        let mix: Mix = "orders=1,mints=2".parse().unwrap();
        let mut rng = StdRng::seed_from_u64(1);
        let picked: Vec<Kind> = (0..300).map(|_| mix.pick(&mut rng)).collect();
        let mints = picked.iter().filter(|kind| **kind == Kind::Mints).count();
        assert!(picked.iter().all(|kind| [Kind::Orders, Kind::Mints].contains(kind)));
        assert!((150..250).contains(&mints), "{mints} of 300 at two thirds");
    }
}
