//! Prepares the chain: funded accounts, deployed contracts, stocked markets.
//!
//! Everything comes about by real transactions in blocks of their own, which are not part of the
//! workload. Each user gets a market of its own beside the one that all share, so that a workload
//! without contention has nothing in common between its transactions.

use crate::{
    abi::{Arg, word},
    artefact::{Artefacts, Contract},
    error::Error,
    keys::{Account, Action, Form},
    mix::Kind,
    settings::Settings,
    world::{MAX_TRANSACTION_GAS, World},
};
use alloy_consensus::{Transaction as _, transaction::Recovered};
use alloy_primitives::{Address, Bytes, TxKind, U256};
use braid_core::Transaction;

/// Ether of each user at genesis.
const ETHER: U256 = U256::from_limbs([0, 1 << 30, 0, 0]);
/// One whole token, or ether, in its least unit.
pub(crate) const ONE: u64 = 1_000_000_000_000_000_000;
/// Whole tokens of each user.
const TOKENS: u64 = 1_000_000_000;
/// Whole tokens of either kind in the shared market and in a user's own.
const SHARED_RESERVE: u64 = 10_000_000;
const OWN_RESERVE: u64 = 100_000;
/// Gas of a preparing block: few large ones, because each costs a state root.
const BLOCK_GAS: u64 = 1_000_000_000;
/// How many balances one mint sets, within the gas that a transaction may ask for.
const MINTED_AT_ONCE: usize = 400;

/// `amount` whole tokens in their least unit.
pub(crate) fn whole(amount: u64) -> U256 {
    U256::from(amount) * U256::from(ONE)
}

/// An account that takes part, with what is its own.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) account: Account,
    /// Receives this user's payments and nobody else's.
    pub(crate) counterpart: Address,
    /// Delegates by EIP-7702, paid for by this user.
    pub(crate) authority: Account,
    /// This user's own market; that of all where no market is needed.
    pub(crate) market: Address,
}

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) artefacts: Artefacts,
    pub(crate) users: Vec<User>,
    pub(crate) tokens: [Address; 2],
    pub(crate) market: Address,
    pub(crate) collectible: Address,
    pub(crate) free: Address,
    pub(crate) board: Address,
    pub(crate) supply: Address,
    pub(crate) consent: Address,
    pub(crate) factory: Address,
    pub(crate) delegates: [Address; 2],
    pub(crate) payer: Address,
    /// The one that everybody pays and whose records everybody reads, where they contend.
    pub(crate) director: Address,
}

/// Signs and executes the preparing transactions.
struct Builder<'a> {
    world: &'a mut World,
    artefacts: Artefacts,
    director: Account,
    pending: Vec<Recovered<Transaction>>,
    gas: u64,
}

impl Stage {
    /// Makes the chain and everything on it.
    pub(crate) fn build(settings: &Settings) -> Result<(World, Self), Error> {
        let seed = settings.seed;
        let account = |role, number| Account::derive(seed, role, number);
        let director = account("director", 0);
        let users: Vec<User> = (0..settings.transactions as u64)
            .map(|number| User {
                account: account("user", number),
                counterpart: account("counterpart", number).address,
                authority: account("authority", number),
                market: Address::ZERO,
            })
            .collect();
        let funded = users.iter().map(|user| user.account.address).chain([director.address]);
        let mut world = World::genesis(seed, funded, ETHER)?;
        let artefacts = Artefacts::read()?;
        let director_address = director.address;
        let builder =
            Builder { world: &mut world, artefacts, director, pending: Vec::new(), gas: 0 };
        let stage = builder.stage(settings, users, director_address)?;
        Ok((world, stage))
    }
}

impl Builder<'_> {
    fn stage(
        mut self,
        settings: &Settings,
        mut users: Vec<User>,
        director: Address,
    ) -> Result<Stage, Error> {
        let tokens = [self.deploy(Contract::Token, &[])?, self.deploy(Contract::Token, &[])?];
        self.mint(tokens, &users)?;
        let markets = settings.mix.has(&[Kind::Swaps, Kind::Liquidity, Kind::Orders]);
        let market = self.market(tokens, SHARED_RESERVE)?;
        for user in &mut users {
            user.market = market;
            if markets {
                user.market = self.market(tokens, OWN_RESERVE)?;
                for spender in [market, user.market] {
                    self.approve(&user.account, tokens, spender)?;
                }
            }
        }
        let template = self.artefacts.creation(Contract::Mortal, &[]);
        let collectible = self.deploy(Contract::Collectible, &[])?;
        let free = self.deploy(Contract::CollectibleFree, &[])?;
        let board = self.deploy(Contract::ScoreBoard, &[])?;
        let supply = self.deploy(Contract::SupplyChain, &[])?;
        let consent = self.deploy(Contract::Consent, &[])?;
        let factory = self.deploy(Contract::Factory, &[Arg::Bytes(&template)])?;
        let delegates =
            [self.deploy(Contract::Delegate, &[])?, self.deploy(Contract::Delegate, &[])?];
        let payer = self.deploy(Contract::Payer, &[])?;
        let create = [Arg::from(0), Arg::from(0)];
        self.direct(supply, Contract::SupplyChain, "create(uint256,bytes32)", &create)?;
        let anyone = [Address::ZERO.into(), Arg::from(u64::MAX)];
        self.direct(consent, Contract::Consent, "grant(address,uint64)", &anyone)?;
        self.flush()?;
        Ok(Stage {
            artefacts: self.artefacts,
            users,
            tokens,
            market,
            collectible,
            free,
            board,
            supply,
            consent,
            factory,
            delegates,
            payer,
            director,
        })
    }

    fn mint(&mut self, tokens: [Address; 2], users: &[User]) -> Result<(), Error> {
        let mut holders = vec![word(self.director.address)];
        holders.extend(users.iter().map(|user| word(user.account.address)));
        // The director stocks every market.
        let amount = whole(TOKENS.saturating_mul(users.len() as u64));
        for token in tokens {
            let signature = "mint(address[],uint256)";
            let stock = [Arg::Words(holders[..1].to_vec()), amount.into()];
            self.direct(token, Contract::Token, signature, &stock)?;
            for part in holders[1..].chunks(MINTED_AT_ONCE) {
                let args = [Arg::Words(part.to_vec()), whole(TOKENS).into()];
                self.direct(token, Contract::Token, signature, &args)?;
            }
        }
        Ok(())
    }

    /// Deploys a market and stocks its pool.
    fn market(&mut self, tokens: [Address; 2], reserve: u64) -> Result<Address, Error> {
        let market = self.deploy(Contract::Market, &[tokens[0].into(), tokens[1].into()])?;
        let director = self.director.clone();
        self.approve(&director, tokens, market)?;
        let signature = "addLiquidity(uint256,uint256)";
        let amounts = [whole(reserve).into(), whole(reserve).into()];
        self.direct(market, Contract::Market, signature, &amounts)?;
        Ok(market)
    }

    fn approve(
        &mut self,
        owner: &Account,
        tokens: [Address; 2],
        spender: Address,
    ) -> Result<(), Error> {
        let args = [spender.into(), Arg::Word(U256::MAX)];
        for token in tokens {
            let input = self.artefacts.call(Contract::Token, "approve(address,uint256)", &args)?;
            self.push(owner, TxKind::Call(token), input, 60_000)?;
        }
        Ok(())
    }

    fn deploy(&mut self, contract: Contract, args: &[Arg<'_>]) -> Result<Address, Error> {
        let director = self.director.clone();
        let address = director.address.create(self.world.nonce(director.address));
        let input = self.artefacts.creation(contract, args);
        let gas = deployment_gas(&input);
        self.push(&director, TxKind::Create, input, gas)?;
        Ok(address)
    }

    /// A call by the director.
    fn direct(
        &mut self,
        to: Address,
        contract: Contract,
        signature: &str,
        args: &[Arg<'_>],
    ) -> Result<(), Error> {
        let input = self.artefacts.call(contract, signature, args)?;
        let gas = if matches!(args, [Arg::Words(_), ..]) { MAX_TRANSACTION_GAS } else { 500_000 };
        let director = self.director.clone();
        self.push(&director, TxKind::Call(to), input, gas)
    }

    fn push(&mut self, from: &Account, to: TxKind, input: Bytes, gas: u64) -> Result<(), Error> {
        if self.gas + gas > BLOCK_GAS {
            self.flush()?;
        }
        let nonce = self.world.take_nonce(from.address);
        let action = Action { to, value: U256::ZERO, input, gas, form: Form::DynamicFee };
        let chain_id = self.world.chain.id();
        let transaction = from.sign(chain_id, nonce, self.world.fees(1), action)?;
        self.gas += transaction.gas_limit();
        self.pending.push(transaction);
        Ok(())
    }

    /// Executes what is pending as a block.
    fn flush(&mut self) -> Result<(), Error> {
        self.gas = 0;
        self.world.prepare(std::mem::take(&mut self.pending))
    }
}

/// Enough gas to deploy a contract by this input: 200 for each byte of its code, which is shorter
/// than the input, and at most 16 to send and 2 to look at it.
pub(crate) fn deployment_gas(input: &Bytes) -> u64 {
    300_000 + 220 * input.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The constructors leave exactly the code that the compiler foretells.
    #[test]
    fn deployed_codes_are_those_of_the_artefacts() {
        let settings = Settings { transactions: 2, ..Settings::default() };
        let (world, stage) = Stage::build(&settings).unwrap();
        let deployed = [
            (Contract::Token, stage.tokens[0]),
            (Contract::Token, stage.tokens[1]),
            (Contract::Market, stage.market),
            (Contract::Market, stage.users[1].market),
            (Contract::Collectible, stage.collectible),
            (Contract::CollectibleFree, stage.free),
            (Contract::ScoreBoard, stage.board),
            (Contract::SupplyChain, stage.supply),
            (Contract::Consent, stage.consent),
            (Contract::Factory, stage.factory),
            (Contract::Delegate, stage.delegates[0]),
            (Contract::Delegate, stage.delegates[1]),
            (Contract::Payer, stage.payer),
        ];
        for (contract, address) in deployed {
            let code = world.code(&address).expect("a contract");
            assert_eq!(code, contract.artefact().unwrap().runtime, "{contract:?}");
        }
    }
}
