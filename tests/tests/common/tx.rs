//! Signed transactions of any type, by numbered keys.

use alloy_consensus::{
    SignableTransaction, TxEip1559, TxEip4844, TxEip7702, TxLegacy,
    transaction::{Recovered, SignerRecoverable},
};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use braid_core::Transaction;
use k256::ecdsa::SigningKey;

/// The gas price of a transaction that names none, wei.
pub const PRICE: u128 = 10;
/// The gas limit of a transaction that names none.
pub const GAS: u64 = 300_000;

pub fn key(index: u8) -> SigningKey {
    SigningKey::from_slice(&[index + 1; 32]).expect("a valid key")
}

/// The address of a numbered key.
pub fn sender(index: u8) -> Address {
    Address::from_public_key(key(index).verifying_key())
}

pub fn sign<T: SignableTransaction<Signature>>(tx: T, sender: u8) -> Recovered<Transaction>
where
    Transaction: From<alloy_consensus::Signed<T>>,
{
    let (signature, recovery) =
        key(sender).sign_prehash_recoverable(tx.signature_hash().as_slice()).expect("a signature");
    let signed = tx.into_signed((signature, recovery).into());
    let transaction = Transaction::from(signed);
    let signer = transaction.recover_signer().expect("our own signature");
    Recovered::new_unchecked(transaction, signer)
}

/// An authorisation (EIP-7702) of the numbered key.
pub fn authorize(authority: u8, address: Address, nonce: u64) -> SignedAuthorization {
    let authorization = Authorization { chain_id: U256::from(1), address, nonce };
    let (signature, recovery) = key(authority)
        .sign_prehash_recoverable(authorization.signature_hash().as_slice())
        .expect("a signature");
    authorization.into_signed((signature, recovery).into())
}

/// A transaction in the making; its type follows from what is set.
#[derive(Debug, Clone)]
pub struct Tx {
    to: TxKind,
    value: U256,
    data: Bytes,
    gas: u64,
    price: u128,
    tip: Option<u128>,
    pub nonce: Option<u64>,
    authorizations: Vec<SignedAuthorization>,
    blobs: usize,
}

impl Tx {
    fn new(to: TxKind) -> Self {
        Self {
            to,
            value: U256::ZERO,
            data: Bytes::new(),
            gas: GAS,
            price: PRICE,
            tip: None,
            nonce: None,
            authorizations: Vec::new(),
            blobs: 0,
        }
    }

    pub fn to(to: Address) -> Self {
        Self::new(TxKind::Call(to))
    }

    pub fn create(init_code: Vec<u8>) -> Self {
        Self::new(TxKind::Create).data(init_code)
    }

    pub fn value(mut self, value: u64) -> Self {
        self.value = U256::from(value);
        self
    }

    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// One word of data.
    pub fn arg(self, word: u64) -> Self {
        self.data(U256::from(word).to_be_bytes::<32>().to_vec())
    }

    pub fn gas(mut self, gas: u64) -> Self {
        self.gas = gas;
        self
    }

    pub fn price(mut self, price: u128) -> Self {
        self.price = price;
        self
    }

    /// Fees of EIP-1559, wei a gas.
    pub fn fees(mut self, max: u128, tip: u128) -> Self {
        (self.price, self.tip) = (max, Some(tip));
        self
    }

    pub fn nonce(mut self, nonce: u64) -> Self {
        self.nonce = Some(nonce);
        self
    }

    pub fn authorize(mut self, authority: u8, address: Address, nonce: u64) -> Self {
        self.authorizations.push(authorize(authority, address, nonce));
        self
    }

    pub fn blobs(mut self, count: usize) -> Self {
        self.blobs = count;
        self
    }

    pub fn recipient(&self) -> Option<Address> {
        self.to.to().copied()
    }

    /// Signs. A nonce that was set wins over `nonce`.
    pub fn sign(self, sender: u8, nonce: u64) -> Recovered<Transaction> {
        let nonce = self.nonce.unwrap_or(nonce);
        let (value, input, gas_limit) = (self.value, self.data, self.gas);
        let (max_fee_per_gas, tip) = (self.price, self.tip.unwrap_or(self.price));
        let recipient = self.to.to().copied().unwrap_or_default();
        if self.blobs > 0 {
            let mut hash = B256::ZERO;
            hash[0] = 1;
            return sign(
                TxEip4844 {
                    chain_id: 1,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas: tip,
                    to: recipient,
                    value,
                    blob_versioned_hashes: vec![hash; self.blobs],
                    max_fee_per_blob_gas: 1,
                    input,
                    ..TxEip4844::default()
                },
                sender,
            );
        }
        if !self.authorizations.is_empty() {
            return sign(
                TxEip7702 {
                    chain_id: 1,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas: tip,
                    to: recipient,
                    value,
                    authorization_list: self.authorizations,
                    input,
                    ..TxEip7702::default()
                },
                sender,
            );
        }
        if self.tip.is_some() {
            return sign(
                TxEip1559 {
                    chain_id: 1,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas: tip,
                    to: self.to,
                    value,
                    input,
                    ..TxEip1559::default()
                },
                sender,
            );
        }
        let (to, gas_price) = (self.to, self.price);
        sign(TxLegacy { chain_id: None, nonce, gas_price, gas_limit, to, value, input }, sender)
    }
}
