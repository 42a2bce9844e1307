//! Tokens and markets.

use super::Turn;
use crate::{
    abi::Arg,
    artefact::Contract,
    error::Error,
    generator::Generator,
    keys::Action,
    mix::Kind,
    stage::{ONE, whole},
};
use alloy_primitives::{Address, U256};
use rand::Rng;

/// The tick at which one token is worth one of the other.
const PAR: u64 = 127;
/// Shared orders stand up to so many ticks beside it.
const SPREAD: u64 = 6;

impl Generator {
    /// Shared, transfers of one token to the director; else of either token to the own
    /// counterpart, and now and then an approval.
    pub(super) fn erc20(&mut self, turn: Turn) -> Result<Action, Error> {
        let second = self.rng.random_bool(0.5) && !turn.shared;
        let token = self.stage.tokens[usize::from(second)];
        let args = [self.recipient(turn).into(), self.amount(100).into()];
        let signature = if self.rng.random_ratio(1, 8) && !turn.shared {
            "approve(address,uint256)"
        } else {
            "transfer(address,uint256)"
        };
        self.call(token, Contract::Token, signature, &args, 80_000)
    }

    pub(super) fn swap(&mut self, turn: Turn) -> Result<Action, Error> {
        let zero_for_one = self.rng.random_bool(0.5);
        // Nobody minds the price here; at least something must come back.
        let args = [zero_for_one.into(), self.amount(100).into(), Arg::from(1)];
        let market = self.market(turn);
        self.call(market, Contract::Market, "swap(bool,uint256,uint256)", &args, 200_000)
    }

    /// Takes a little out wherever the user has put more in, half of the time.
    pub(super) fn liquidity(&mut self, turn: Turn) -> Result<Action, Error> {
        let market = self.market(turn);
        let takes = self.rng.random_bool(0.5);
        let added = &mut self.past.own[turn.user].added[usize::from(turn.shared)];
        if takes && *added > 0 {
            *added -= 1;
            // Ten whole tokens of each kind give more than this share at any price that the
            // swaps can reach.
            let args = [Arg::from(ONE / 100)];
            return self.call(market, Contract::Market, "removeLiquidity(uint256)", &args, 250_000);
        }
        *added += 1;
        let args = [self.whole_amount(10, 100), self.whole_amount(10, 100)];
        let args = args.map(Arg::from);
        self.call(market, Contract::Market, "addLiquidity(uint256,uint256)", &args, 300_000)
    }

    /// In the shared book both sides at many prices; in the own one sales and purchases that meet.
    pub(super) fn order(&mut self, turn: Turn) -> Result<Action, Error> {
        let (buy, tick) = if turn.shared {
            let tick = self.rng.random_range(PAR - SPREAD..=PAR + SPREAD);
            (self.rng.random_bool(0.5), tick)
        } else {
            (self.past.step(turn.user, Kind::Orders) % 2 == 1, PAR)
        };
        let args = [buy.into(), tick.into(), self.amount(10).into()];
        let market = self.market(turn);
        self.call(market, Contract::Market, "place(bool,uint8,uint96)", &args, 800_000)
    }

    fn market(&self, turn: Turn) -> Address {
        if turn.shared { self.stage.market } else { self.stage.users[turn.user].market }
    }

    /// From one whole token to `most`, to the last unit.
    fn amount(&mut self, most: u64) -> U256 {
        self.whole_amount(1, most) - U256::from(self.rng.random_range(0..ONE / 2))
    }

    fn whole_amount(&mut self, least: u64, most: u64) -> U256 {
        whole(self.rng.random_range(least..=most))
    }
}
