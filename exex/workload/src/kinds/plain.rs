//! Actions of the protocol itself: transfers, blobs, withdrawal requests, payments to the builder.

use super::{BLOBS, Turn};
use crate::{
    artefact::Contract,
    error::Error,
    generator::Generator,
    keys::{Action, Form},
    mix::Kind,
};
use alloy_eips::eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use rand::Rng;

/// The first byte of a blob's versioned hash (EIP-4844).
const KZG_VERSION: u8 = 1;

impl Generator {
    /// Ether to the director or to the user's own counterpart.
    pub(super) fn transfer(&mut self, turn: Turn) -> Action {
        Action {
            to: TxKind::Call(self.recipient(turn)),
            value: self.ether(),
            input: Bytes::new(),
            gas: 21_000,
            form: Form::DynamicFee,
        }
    }

    /// A transfer with blobs, whose contents live elsewhere.
    pub(super) fn blobs(&mut self, turn: Turn) -> Action {
        let hash = |generator: &mut Self| {
            let mut hash: [u8; 32] = generator.rng.random();
            hash[0] = KZG_VERSION;
            B256::from(hash)
        };
        let hashes = (0..BLOBS).map(|_| hash(self)).collect();
        Action { form: Form::Blobs(hashes), ..self.transfer(turn) }
    }

    /// Asks for a validator's withdrawal. The queue is empty at each block's start, so that the
    /// fee is the least: one wei.
    pub(super) fn request(&mut self, turn: Turn) -> Action {
        let mut input = [0; 56];
        self.rng.fill(&mut input[..48]);
        input[48..].copy_from_slice(&(turn.nonce + 1).to_be_bytes());
        Action {
            to: TxKind::Call(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS),
            value: U256::ONE,
            input: input.into(),
            gas: 250_000,
            form: Form::DynamicFee,
        }
    }

    /// Pays through a contract: the user's own counterpart, or the builder, every other time with
    /// a look at the builder's balance.
    pub(super) fn tip(&mut self, turn: Turn) -> Result<Action, Error> {
        let payer = self.stage.payer;
        let value = self.ether();
        let action = if !turn.shared {
            let to = [self.recipient(turn).into()];
            self.call(payer, Contract::Payer, "pay(address)", &to, 100_000)?
        } else if self.past.step(turn.user, Kind::Tips).is_multiple_of(2) {
            self.call(payer, Contract::Payer, "tip()", &[], 100_000)?
        } else {
            self.call(payer, Contract::Payer, "witness()", &[], 120_000)?
        };
        Ok(Action { value, ..action })
    }

    /// Whom this turn pays.
    pub(super) fn recipient(&self, turn: Turn) -> Address {
        if turn.shared { self.stage.director } else { self.stage.users[turn.user].counterpart }
    }

    /// Up to a tenth of an ether.
    fn ether(&mut self) -> U256 {
        U256::from(self.rng.random_range(1..=100_000_000_000_000_000_u64))
    }
}
