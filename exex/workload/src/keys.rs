//! Accounts with keys derived from the seed, and everything that they sign.

use crate::error::Error;
use alloy_consensus::{
    EthereumTxEnvelope, SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy,
    transaction::Recovered,
};
use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use braid_core::Transaction;
use k256::ecdsa::SigningKey;

/// An account that can sign.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    key: SigningKey,
    pub(crate) address: Address,
}

/// What a transaction is to do.
#[derive(Debug, Clone)]
pub(crate) struct Action {
    pub(crate) to: TxKind,
    pub(crate) value: U256,
    pub(crate) input: Bytes,
    pub(crate) gas: u64,
    pub(crate) form: Form,
}

/// The transaction's type, with what that type adds.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    /// Type 0.
    Legacy,
    /// Type 1: the called account and its first slots are listed.
    AccessList,
    /// Type 2.
    DynamicFee,
    /// Type 3 with the blobs' versioned hashes.
    Blobs(Vec<B256>),
    /// Type 4.
    SetCode(Vec<SignedAuthorization>),
}

/// What a transaction pays.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fees {
    pub(crate) base_fee: u64,
    pub(crate) tip: u128,
}

impl Fees {
    /// What a legacy transaction pays.
    fn price(self) -> u128 {
        u128::from(self.base_fee) + self.tip
    }

    /// As wallets do: room for the base fee to double.
    fn most(self) -> u128 {
        u128::from(self.base_fee) * 2 + self.tip
    }
}

/// The slots of the called contract that an access list names.
const LISTED_SLOTS: u64 = 2;
/// The gas that the access list costs (EIP-2930).
const LIST_GAS: u64 = 2_400 + LISTED_SLOTS * 1_900;

impl Account {
    /// The account with this seed, role and number.
    pub(crate) fn derive(seed: u64, role: &str, number: u64) -> Self {
        let mut secret =
            keccak256([&seed.to_be_bytes()[..], role.as_bytes(), &number.to_be_bytes()].concat());
        loop {
            // All but about 2^-128 of the hashes are keys.
            if let Ok(key) = SigningKey::from_slice(secret.as_slice()) {
                let address = Address::from_public_key(key.verifying_key());
                return Self { key, address };
            }
            secret = keccak256(secret);
        }
    }

    fn sign_hash(&self, hash: B256) -> Result<Signature, Error> {
        Ok(self.key.sign_prehash_recoverable(hash.as_slice())?.into())
    }

    /// Authorizes `delegate` as this account's code (EIP-7702).
    pub(crate) fn authorize(
        &self,
        chain_id: u64,
        delegate: Address,
        nonce: u64,
    ) -> Result<SignedAuthorization, Error> {
        let inner = Authorization { chain_id: U256::from(chain_id), address: delegate, nonce };
        let signature = self.sign_hash(inner.signature_hash())?;
        Ok(inner.into_signed(signature))
    }

    /// Signs an action as a transaction.
    pub(crate) fn sign(
        &self,
        chain_id: u64,
        nonce: u64,
        fees: Fees,
        action: Action,
    ) -> Result<Recovered<Transaction>, Error> {
        let Action { to, value, input, gas: gas_limit, form } = action;
        let (gas_price, max_fee_per_gas) = (fees.price(), fees.most());
        let max_priority_fee_per_gas = fees.tip;
        let called = to.to().copied().unwrap_or_default();
        let envelope: Transaction = match form {
            Form::Legacy => {
                let chain_id = Some(chain_id);
                self.seal(TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input })?
            }
            Form::AccessList => {
                let access_list = list(to);
                let gas_limit = gas_limit + if access_list.is_empty() { 0 } else { LIST_GAS };
                self.seal(TxEip2930 {
                    chain_id,
                    nonce,
                    gas_price,
                    gas_limit,
                    to,
                    value,
                    access_list,
                    input,
                })?
            }
            Form::DynamicFee => self.seal(TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list: AccessList::default(),
                input,
            })?,
            Form::Blobs(blob_versioned_hashes) => self.seal(TxEip4844 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to: called,
                value,
                access_list: AccessList::default(),
                blob_versioned_hashes,
                max_fee_per_blob_gas: MAX_FEE_PER_BLOB_GAS,
                input,
            })?,
            Form::SetCode(authorization_list) => self.seal(TxEip7702 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to: called,
                value,
                access_list: AccessList::default(),
                authorization_list,
                input,
            })?,
        };
        Ok(Recovered::new_unchecked(envelope, self.address))
    }

    fn seal<T>(&self, transaction: T) -> Result<Transaction, Error>
    where
        T: SignableTransaction<Signature>,
        EthereumTxEnvelope<TxEip4844>: From<alloy_consensus::Signed<T>>,
    {
        let signature = self.sign_hash(transaction.signature_hash())?;
        Ok(transaction.into_signed(signature).into())
    }
}

/// What a blob may cost; the chain's blobs stay near the least price of one wei.
const MAX_FEE_PER_BLOB_GAS: u128 = 1_000_000_000;

fn list(to: TxKind) -> AccessList {
    let item = |address: &Address| AccessListItem {
        address: *address,
        storage_keys: (0..LISTED_SLOTS).map(|slot| U256::from(slot).into()).collect(),
    };
    AccessList(to.to().map(item).into_iter().collect())
}
