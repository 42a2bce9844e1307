//! What a transaction of each kind does.
//!
//! Role: turn a kind and a turn into an action, and remember what later actions build on.
//!
//! Invariant: an unshared action touches only accounts and slots of its own user, a shared one
//! what all other shared actions of its kind touch too. The two exceptions are bounded by the
//! protocol for a whole block, blobs and requests; beyond the bound they become transfers.

mod apps;
mod contracts;
mod plain;
mod trade;

use crate::{
    abi::Arg,
    artefact::Contract,
    error::Error,
    generator::Generator,
    keys::{Action, Form},
    mix::Kind,
};
use alloy_primitives::{Address, TxKind, U256};

/// One transaction's place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// The sending user.
    pub(crate) user: usize,
    /// The transaction's nonce.
    pub(crate) nonce: u64,
    /// Whether it uses what all share.
    pub(crate) shared: bool,
}

/// What earlier transactions have done, as far as later ones build on it.
#[derive(Debug)]
pub(crate) struct Past {
    /// For each user.
    own: Vec<Own>,
    /// Shared actions so far, of the kinds that count them.
    shared: u64,
    /// Steps of the shared factory.
    shared_lives: u64,
    /// Items under way, with the users to receive them from the next block on.
    shipped: Vec<(usize, u64)>,
    blobs_left: u64,
    requests_left: u64,
}

/// What one user has done.
#[derive(Debug, Clone, Default)]
struct Own {
    /// Actions of each kind that go by steps.
    steps: [u64; Kind::ALL.len()],
    /// Additions to the own and to the shared market's liquidity that were not taken out again.
    added: [u64; 2],
    /// The user's own factory.
    factory: Option<Address>,
    /// Items held.
    held: Vec<u64>,
    /// Items to receive.
    arrived: Vec<u64>,
}

/// Blobs in one transaction, at most.
const BLOBS: u64 = 2;

impl Past {
    pub(crate) fn new(users: usize) -> Self {
        Self {
            own: vec![Own::default(); users],
            shared: 0,
            shared_lives: 0,
            shipped: Vec::new(),
            blobs_left: 0,
            requests_left: 0,
        }
    }

    pub(crate) fn begin_block(&mut self, max_blobs: u64) {
        for (user, item) in std::mem::take(&mut self.shipped) {
            self.own[user].arrived.push(item);
        }
        self.blobs_left = max_blobs;
        self.requests_left = 1;
    }

    /// The kind itself, or transfers where the block takes no more of it.
    pub(crate) fn within_budget(&mut self, kind: Kind) -> Kind {
        let (left, wanted) = match kind {
            Kind::Blobs => (&mut self.blobs_left, BLOBS),
            Kind::Requests => (&mut self.requests_left, 1),
            _ => return kind,
        };
        if *left < wanted {
            return Kind::Transfers;
        }
        *left -= wanted;
        kind
    }

    /// How many actions of this kind the user has done before; counts this one.
    fn step(&mut self, user: usize, kind: Kind) -> u64 {
        let steps = &mut self.own[user].steps[kind as usize];
        *steps += 1;
        *steps - 1
    }

    /// The step of the shared factory that comes next.
    fn next_shared_life(&mut self) -> u64 {
        self.shared_lives += 1;
        self.shared_lives - 1
    }

    /// The number of this shared action.
    fn shared_step(&mut self) -> u64 {
        self.shared += 1;
        self.shared
    }
}

impl Generator {
    /// The action of this kind for this turn.
    pub(crate) fn action(&mut self, kind: Kind, turn: Turn) -> Result<Action, Error> {
        match kind {
            Kind::Transfers => Ok(self.transfer(turn)),
            Kind::Erc20 => self.erc20(turn),
            Kind::Swaps => self.swap(turn),
            Kind::Liquidity => self.liquidity(turn),
            Kind::Orders => self.order(turn),
            Kind::Mints => self.mint(turn),
            Kind::Scores => self.score(turn),
            Kind::Supply => self.supply(turn),
            Kind::Consents => self.consent(turn),
            Kind::Lifecycle => self.lifecycle(turn),
            Kind::Delegations => self.delegation(turn),
            Kind::Tips => self.tip(turn),
            Kind::Blobs => Ok(self.blobs(turn)),
            Kind::Deploys => Ok(self.deployment()),
            Kind::Requests => Ok(self.request(turn)),
        }
    }

    /// A call without value.
    fn call(
        &self,
        to: Address,
        contract: Contract,
        signature: &str,
        args: &[Arg<'_>],
        gas: u64,
    ) -> Result<Action, Error> {
        let input = self.stage.artefacts.call(contract, signature, args)?;
        let (to, value) = (TxKind::Call(to), U256::ZERO);
        Ok(Action { to, value, input, gas, form: Form::DynamicFee })
    }
}
