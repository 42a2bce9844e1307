//! Blocks with something extreme in them: calls nested as deep as the EVM allows, and precompiles
//! whose code other libraries of a host may have a second copy of.

use super::synthetic::{Call, finish, insert_contract, sign};
use alloy_eips::eip4844::kzg_to_versioned_hash;
use alloy_primitives::{Address, Bytes, TxKind, U256, bytes, hex, keccak256};
use braid_core::{Block, Chain, source::MemoryState};
use k256::ecdsa::SigningKey;
use revm::state::AccountInfo;
use std::error::Error;

/// Calls itself with all gas that there is.
const DEEP: Bytes = bytes!("5f5f5f5f5f305af100");
/// So much gas that a 64th less for each call still reaches the deepest one, 1024.
const DEEP_GAS: u64 = 1 << 38;

/// Calls the address in its first word with the rest of its input, and keeps under that word the
/// hash of what came back, plus 1 where the call succeeded.
const CALLER: Bytes = bytes!("36602090038060205f375f5f825f5f355afa3d5f5f3e3d5f20015f355500");

/// The generator of the first group of BLS12-381, as EIP-2537 encodes it.
const G1: [u8; 128] = hex!(
    "0000000000000000000000000000000017f1d3a73197d7942695638c4fa9ac0f"
    "c3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
    "0000000000000000000000000000000008b3f481e3aaa0f1a09e30ed741d8ae4"
    "fcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1"
);

/// Every transaction calls 1024 deep.
pub(crate) fn deep(chain: &Chain) -> Result<(Block, MemoryState), Box<dyn Error>> {
    let call = Call { gas: DEEP_GAS, ..Call::default() };
    calls(chain, &DEEP, 4, |_| Ok(Call { input: Bytes::new(), ..call.clone() }))
}

/// Each transaction calls a precompile.
pub(crate) fn precompiles(chain: &Chain) -> Result<(Block, MemoryState), Box<dyn Error>> {
    let inputs = inputs()?;
    calls(chain, &CALLER, inputs.len(), |index| {
        let (precompile, input) = &inputs[index];
        let mut data = U256::from(*precompile).to_be_bytes_vec();
        data.extend_from_slice(input);
        Ok(Call { input: data.into(), gas: 2_000_000, ..Call::default() })
    })
}

fn calls(
    chain: &Chain,
    code: &Bytes,
    count: usize,
    call: impl Fn(usize) -> Result<Call, Box<dyn Error>>,
) -> Result<(Block, MemoryState), Box<dyn Error>> {
    let mut state = MemoryState::default();
    let mut transactions = Vec::new();
    for index in 0..count {
        let contract = Address::repeat_byte(0x40 + index as u8);
        insert_contract(&mut state, contract, code);
        let key = SigningKey::from_slice(&[1 + index as u8; 32])?;
        let sender = Address::from_public_key(key.verifying_key());
        let balance = U256::from(10).pow(U256::from(18));
        state.insert_account(sender, AccountInfo { balance, ..AccountInfo::default() });
        transactions.push(sign(&key, 0, Call { to: TxKind::Call(contract), ..call(index)? })?);
    }
    Ok((finish(chain, transactions, &state)?, state))
}

/// The address of a precompile and an input that succeeds.
type Input = (u64, Vec<u8>);

fn inputs() -> Result<Vec<Input>, Box<dyn Error>> {
    let mut infinity = [0; 48];
    infinity[0] = 0xc0;
    // The polynomial zero: its value is zero everywhere, its commitment and proof the infinity.
    let kzg = [
        kzg_to_versioned_hash(&infinity).as_slice(),
        &U256::from(7).to_be_bytes::<32>(),
        &[0; 32],
        &infinity,
        &infinity,
    ]
    .concat();
    let hash = keccak256("a message");
    let (signature, recovery) =
        SigningKey::from_slice(&[9; 32])?.sign_prehash_recoverable(hash.as_slice())?;
    let v = U256::from(27 + u64::from(recovery.is_y_odd())).to_be_bytes::<32>();
    let recover = [hash.as_slice(), &v, &signature.to_bytes()].concat();
    let mut field = [0; 64];
    field[63] = 5;
    Ok(vec![
        (0x01, recover),
        (0x08, Vec::new()),
        (0x0a, kzg),
        (0x0b, [G1, G1].concat()),
        (0x0c, [&G1[..], &U256::from(5).to_be_bytes::<32>()].concat()),
        (0x0f, vec![0; 384]),
        (0x10, field.to_vec()),
    ])
}
