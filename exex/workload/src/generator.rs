//! Appends block after block.
//!
//! Role: choose kind, sender and contention of each transaction; `kinds` says what it does.
//!
//! Invariant: every choice comes from one random generator, in a fixed order, and everything else
//! follows from the seed and from what was generated before.

use crate::{
    error::Error,
    keys::Form,
    kinds::{Past, Turn},
    mix::Kind,
    settings::Settings,
    stage::Stage,
    world::World,
};
use braid_shadow::recorded::RecordedBlock;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

/// The highest tip, in wei for each gas.
const MAX_TIP: u128 = 2_000_000_000;

/// A chain that grows block by block.
#[derive(Debug)]
pub struct Generator {
    pub(crate) settings: Settings,
    pub(crate) world: World,
    pub(crate) stage: Stage,
    pub(crate) rng: StdRng,
    pub(crate) past: Past,
}

/// A block, and what its transactions do.
#[derive(Debug, Clone)]
pub struct Generated {
    /// The block with its pre-state.
    pub record: RecordedBlock,
    /// The kind of each transaction.
    pub kinds: Vec<Kind>,
}

impl Generator {
    /// Prepares the chain.
    ///
    /// # Errors
    /// [`Error`] where the settings make no workload.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        settings.check()?;
        let (world, stage) = Stage::build(settings)?;
        let past = Past::new(stage.users.len());
        let rng = StdRng::seed_from_u64(settings.seed);
        Ok(Self { settings: settings.clone(), world, stage, rng, past })
    }

    /// A geth genesis file whose state is the one after the newest block, so that a node of any
    /// kind can go on from here: its chain starts anew at number 0, and the transactions of the
    /// blocks generated next are valid on it in their order, except where a fee is too low.
    pub fn genesis(&self) -> serde_json::Value {
        self.world.as_genesis()
    }

    /// Appends a block.
    ///
    /// # Errors
    /// [`Error`] where a transaction cannot be signed or is invalid.
    pub fn next_block(&mut self) -> Result<Generated, Error> {
        self.past.begin_block(self.world.max_blobs());
        // Every user has one turn; only contention gives one user the turns of others.
        let mut order: Vec<usize> = (0..self.stage.users.len()).collect();
        order.shuffle(&mut self.rng);
        let mut transactions = Vec::with_capacity(order.len());
        let mut kinds = Vec::with_capacity(order.len());
        let mut previous = None;
        for own in order {
            let kind = self.settings.mix.pick(&mut self.rng);
            let kind = self.past.within_budget(kind);
            let shared = self.rng.random_bool(self.settings.contention);
            let user = if shared { self.follow(previous, kind, own) } else { own };
            if shared {
                previous = Some((user, kind));
            }
            let account = self.stage.users[user].account.clone();
            let nonce = self.world.take_nonce(account.address);
            let mut action = self.action(kind, Turn { user, nonce, shared })?;
            if matches!(action.form, Form::DynamicFee) {
                action.form = self.form();
            }
            let fees = self.world.fees(self.rng.random_range(0..=MAX_TIP));
            let chain_id = self.world.chain.id();
            transactions.push(account.sign(chain_id, nonce, fees, action)?);
            kinds.push(kind);
        }
        Ok(Generated { record: self.world.seal(transactions)?, kinds })
    }

    /// The sender of a shared transaction: its own user where it meets the previous shared one
    /// anyway, else, as often as the contention says, the previous sender.
    fn follow(&mut self, previous: Option<(usize, Kind)>, kind: Kind, own: usize) -> usize {
        let follows = self.rng.random_bool(self.settings.contention);
        match previous {
            Some((user, before)) if follows && !kind.meets(before) => user,
            _ => own,
        }
    }

    /// About the shares that mainnet has.
    fn form(&mut self) -> Form {
        match self.rng.random_range(0..100) {
            0..20 => Form::Legacy,
            20..25 => Form::AccessList,
            _ => Form::DynamicFee,
        }
    }
}
