//! Contracts that come and go: creations, CREATE2 with destruction, delegations (EIP-7702).

use super::Turn;
use crate::{
    abi::{Arg, Call},
    artefact::Contract,
    error::Error,
    generator::Generator,
    keys::{Account, Action, Form},
    mix::Kind,
    stage::deployment_gas,
};
use alloy_eips::eip7702::SignedAuthorization;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use rand::Rng;

/// Contracts that anyone may deploy, none with arguments.
const DEPLOYED: [Contract; 4] =
    [Contract::Mortal, Contract::CollectibleFree, Contract::Payer, Contract::Consent];
/// The steps through which a salt goes, in this order, each in a transaction of its own. A salt is
/// made for good in the fourth, after two children that vanished from the same address.
const STEPS: [(&str, u64, u64); 7] = [
    ("poke(bytes32)", 0, 150_000),
    ("flash(bytes32)", 5, 350_000),
    ("flash(bytes32)", 1, 350_000),
    ("make(bytes32)", 7, 300_000),
    ("poke(bytes32)", 3, 150_000),
    ("kill(bytes32)", 0, 150_000),
    ("poke(bytes32)", 2, 150_000),
];

impl Generator {
    /// A creation transaction.
    pub(super) fn deployment(&mut self) -> Action {
        let contract = DEPLOYED[self.rng.random_range(0..DEPLOYED.len())];
        let input = self.stage.artefacts.creation(contract, &[]);
        creation(input)
    }

    /// One step of the shared factory's or the user's own current salt; the user's first turn
    /// deploys its factory.
    pub(super) fn lifecycle(&mut self, turn: Turn) -> Result<Action, Error> {
        let factory = if turn.shared {
            self.stage.factory
        } else if let Some(factory) = self.past.own[turn.user].factory {
            factory
        } else {
            let sender = self.stage.users[turn.user].account.address;
            self.past.own[turn.user].factory = Some(sender.create(turn.nonce));
            let template = self.stage.artefacts.creation(Contract::Mortal, &[]);
            let args = [Arg::Bytes(&template)];
            return Ok(creation(self.stage.artefacts.creation(Contract::Factory, &args)));
        };
        let step = if turn.shared {
            self.past.next_shared_life()
        } else {
            self.past.step(turn.user, Kind::Lifecycle)
        };
        let count = STEPS.len() as u64;
        let (signature, value, gas) = STEPS[(step % count) as usize];
        let salt = [Arg::from(step / count)];
        let action = self.call(factory, Contract::Factory, signature, &salt, gas)?;
        Ok(Action { value: U256::from(value), ..action })
    }

    /// Delegates an account and calls it in the same transaction: the shared authority, the
    /// user's own, or the user itself.
    pub(super) fn delegation(&mut self, turn: Turn) -> Result<Action, Error> {
        let [first, second] = self.stage.delegates;
        let step = if turn.shared {
            // All but the user's own delegation.
            [0, 1, 3][(self.past.shared_step() % 3) as usize]
        } else {
            self.past.step(turn.user, Kind::Delegations) % 4
        };
        if step == 2 {
            return self.delegate_self(turn, first);
        }
        let owner = if turn.shared { 0 } else { turn.user };
        let authority = self.stage.users[owner].authority.clone();
        let list = match step {
            0 => vec![self.authorize(&authority, first)?],
            // The second delegation of one list replaces the first.
            1 => vec![self.authorize(&authority, first)?, self.authorize(&authority, second)?],
            // A wrong nonce is skipped; the zero address ends the delegation.
            _ => {
                let wrong = self.world.nonce(authority.address) + 7;
                let chain_id = self.world.chain.id();
                let skipped = authority.authorize(chain_id, second, wrong)?;
                vec![skipped, self.authorize(&authority, Address::ZERO)?]
            }
        };
        let action = self.call(authority.address, Contract::Delegate, "ring()", &[], 200_000)?;
        Ok(Action { form: Form::SetCode(list), value: U256::ONE, ..action })
    }

    /// The sender itself gets code and pays in both tokens at once.
    fn delegate_self(&mut self, turn: Turn, delegate: Address) -> Result<Action, Error> {
        let account = self.stage.users[turn.user].account.clone();
        let to = self.stage.users[turn.user].counterpart;
        let amount = U256::from(self.rng.random::<u64>());
        let data = self.stage.artefacts.call(
            Contract::Token,
            "transfer(address,uint256)",
            &[to.into(), amount.into()],
        )?;
        let calls = self.stage.tokens.map(|to| Call { to, value: U256::ZERO, data: data.clone() });
        // The sender's nonce is raised before the list is read.
        let list = vec![self.authorize(&account, delegate)?];
        let signature = "batch((address,uint256,bytes)[])";
        let args = [Arg::Calls(&calls)];
        let action = self.call(account.address, Contract::Delegate, signature, &args, 300_000)?;
        Ok(Action { form: Form::SetCode(list), ..action })
    }

    /// An authorization that counts.
    fn authorize(
        &mut self,
        account: &Account,
        delegate: Address,
    ) -> Result<SignedAuthorization, Error> {
        let nonce = self.world.take_nonce(account.address);
        account.authorize(self.world.chain.id(), delegate, nonce)
    }
}

fn creation(input: Bytes) -> Action {
    let gas = deployment_gas(&input);
    Action { to: TxKind::Create, value: U256::ZERO, input, gas, form: Form::DynamicFee }
}
