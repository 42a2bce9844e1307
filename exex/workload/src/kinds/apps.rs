//! Games, collectibles and registries.

use super::Turn;
use crate::{
    abi::Arg, artefact::Contract, error::Error, generator::Generator, keys::Action, mix::Kind,
};
use alloy_primitives::B256;
use rand::Rng;

/// The item that everybody inspects.
const SHARED_ITEM: u64 = 0;
/// The game that everybody plays.
const SHARED_GAME: u64 = 0;

impl Generator {
    pub(super) fn mint(&mut self, turn: Turn) -> Result<Action, Error> {
        if turn.shared {
            let to = self.stage.collectible;
            return self.call(to, Contract::Collectible, "mint()", &[], 120_000);
        }
        let id = own_id(turn.user, self.past.step(turn.user, Kind::Mints));
        let to = self.stage.free;
        self.call(to, Contract::CollectibleFree, "mint(uint256)", &[id.into()], 100_000)
    }

    /// In the shared game each round beats every earlier one, whatever the dice add, so that the
    /// board keeps changing.
    pub(super) fn score(&mut self, turn: Turn) -> Result<Action, Error> {
        let (game, points) = if turn.shared {
            (SHARED_GAME, self.past.shared_step() * 10)
        } else {
            (turn.user as u64 + 1, self.rng.random_range(0..1000))
        };
        let args = [game.into(), points.into()];
        self.call(self.stage.board, Contract::ScoreBoard, "play(uint256,uint96)", &args, 250_000)
    }

    /// Receives what has arrived, ships what is held to the next user, else creates something.
    /// What is shipped arrives with the next block, so that the two users' steps stay apart.
    pub(super) fn supply(&mut self, turn: Turn) -> Result<Action, Error> {
        let note = Arg::from(B256::from(self.rng.random::<[u8; 32]>()));
        let next = (turn.user + 1) % self.stage.users.len();
        let to = self.stage.users[next].account.address;
        let own = &mut self.past.own[turn.user];
        let (signature, args) = if turn.shared {
            ("inspect(uint256,bytes32)", vec![SHARED_ITEM.into(), note])
        } else if let Some(item) = own.arrived.pop() {
            own.held.push(item);
            ("receiveItem(uint256,bytes32)", vec![item.into(), note])
        } else if let Some(item) = own.held.pop() {
            self.past.shipped.push((next, item));
            ("ship(uint256,address,bytes32)", vec![item.into(), to.into(), note])
        } else {
            let item = own_id(turn.user, self.past.step(turn.user, Kind::Supply));
            self.past.own[turn.user].held.push(item);
            ("create(uint256,bytes32)", vec![item.into(), note])
        };
        self.call(self.stage.supply, Contract::SupplyChain, signature, &args, 200_000)
    }

    /// Everybody reads the director's records; alone, a user grants, reads its own, and revokes.
    pub(super) fn consent(&mut self, turn: Turn) -> Result<Action, Error> {
        let record = Arg::from(B256::from(self.rng.random::<[u8; 32]>()));
        let reader = Arg::from(self.stage.users[turn.user].counterpart);
        let subject = Arg::from(self.stage.users[turn.user].account.address);
        let step = if turn.shared { None } else { Some(self.past.step(turn.user, Kind::Consents)) };
        let (signature, args) = match step.map(|step| step % 3) {
            None => ("access(address,bytes32)", vec![self.stage.director.into(), record]),
            Some(0) => ("grant(address,uint64)", vec![reader, Arg::from(u64::MAX)]),
            Some(1) => ("access(address,bytes32)", vec![subject, record]),
            Some(_) => ("revoke(address)", vec![reader]),
        };
        self.call(self.stage.consent, Contract::Consent, signature, &args, 180_000)
    }
}

/// A number that no other user gets, and never zero.
fn own_id(user: usize, step: u64) -> u64 {
    (user as u64 + 1) << 32 | step
}
