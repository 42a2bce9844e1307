//! The contract ABI's encoding of arguments, as far as the workload's contracts need it.

use alloy_primitives::{Address, B256, Bytes, U256};

/// One call of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) to: Address,
    pub(crate) value: U256,
    pub(crate) data: Bytes,
}

/// An argument.
#[derive(Debug, Clone)]
pub(crate) enum Arg<'a> {
    /// Any static type of one word.
    Word(U256),
    /// `bytes`.
    Bytes(&'a [u8]),
    /// An array of words.
    Words(Vec<U256>),
    /// An array of `(address, uint256, bytes)`.
    Calls(&'a [Call]),
}

impl From<Address> for Arg<'_> {
    fn from(address: Address) -> Self {
        Self::Word(word(address))
    }
}

impl From<B256> for Arg<'_> {
    fn from(value: B256) -> Self {
        Self::Word(value.into())
    }
}

impl From<U256> for Arg<'_> {
    fn from(value: U256) -> Self {
        Self::Word(value)
    }
}

impl From<u64> for Arg<'_> {
    fn from(value: u64) -> Self {
        Self::Word(U256::from(value))
    }
}

impl From<bool> for Arg<'_> {
    fn from(value: bool) -> Self {
        Self::Word(U256::from(value))
    }
}

/// An address as a word.
pub(crate) fn word(address: Address) -> U256 {
    address.into_word().into()
}

/// Words first, then what has no fixed length, which the words point to.
pub(crate) fn encode(args: &[Arg<'_>]) -> Vec<u8> {
    let mut head = Vec::new();
    let mut tail = Vec::new();
    for arg in args {
        match arg {
            Arg::Word(value) => push(&mut head, *value),
            dynamic => {
                push(&mut head, U256::from(args.len() * 32 + tail.len()));
                tail.extend(encode_dynamic(dynamic));
            }
        }
    }
    head.extend(tail);
    head
}

fn encode_dynamic(arg: &Arg<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match arg {
        Arg::Word(value) => push(&mut out, *value),
        Arg::Bytes(bytes) => {
            push(&mut out, U256::from(bytes.len()));
            out.extend_from_slice(bytes);
            out.resize(out.len().next_multiple_of(32), 0);
        }
        Arg::Words(words) => {
            push(&mut out, U256::from(words.len()));
            words.iter().for_each(|value| push(&mut out, *value));
        }
        Arg::Calls(calls) => {
            push(&mut out, U256::from(calls.len()));
            let mut tail = Vec::new();
            for Call { to, value, data } in *calls {
                push(&mut out, U256::from(calls.len() * 32 + tail.len()));
                tail.extend(encode(&[(*to).into(), (*value).into(), Arg::Bytes(data)]));
            }
            out.extend(tail);
        }
    }
    out
}

fn push(out: &mut Vec<u8>, value: U256) {
    out.extend_from_slice(&value.to_be_bytes::<32>());
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;

    /// The example of the ABI's specification: `f(uint256,uint32[],bytes10,bytes)`.
    #[test]
    fn the_specification_s_example() {
        let mut fixed = [0; 32];
        fixed[..10].copy_from_slice(b"1234567890");
        let words = vec![U256::from(0x456), U256::from(0x789)];
        let encoded = encode(&[
            0x123u64.into(),
            Arg::Words(words),
            B256::from(fixed).into(),
            Arg::Bytes(b"Hello, world!"),
        ]);
        let expected = hex!(
            "0000000000000000000000000000000000000000000000000000000000000123"
            "0000000000000000000000000000000000000000000000000000000000000080"
            "3132333435363738393000000000000000000000000000000000000000000000"
            "00000000000000000000000000000000000000000000000000000000000000e0"
            "0000000000000000000000000000000000000000000000000000000000000002"
            "0000000000000000000000000000000000000000000000000000000000000456"
            "0000000000000000000000000000000000000000000000000000000000000789"
            "000000000000000000000000000000000000000000000000000000000000000d"
            "48656c6c6f2c20776f726c642100000000000000000000000000000000000000"
        );
        assert_eq!(encoded, expected);
    }
}
