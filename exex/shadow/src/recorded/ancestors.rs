//! Hashes of public blocks that published witnesses read and leave out.
//!
//! A witness proves accounts and codes; the hashes that BLOCKHASH reads are not part of a trie, and
//! the published Holesky witnesses of blocks 2965790 to 2965792 come without them. A wrong hash
//! here could not pass unseen: gas, receipts and state root of those blocks depend on it.

use alloy_primitives::{B256, b256};

/// The chain id of Holesky.
const HOLESKY: u64 = 17_000;

const HOLESKY_HASHES: [(u64, B256); 4] = [
    (2_965_783, b256!("42656879eab0bd677d580c1d529a61a24b01c6eb9aad2a4dc823a13c75e736ff")),
    (2_965_784, b256!("460f545e9cf2df661ca1aae454d0dff3b6c107dfba91dfa26ca0b2dadc33251e")),
    (2_965_785, b256!("ae8688ce91c151a66fae9d596798b602340b5edaa806613e838e749bd602da47")),
    (2_965_788, b256!("c9896ddfe1a50ef039b2b0545554662c707009fc19e5224d77178af3308d838c")),
];

/// Known hashes of the 256 ancestors that the block with this number may ask for.
pub(super) fn known(chain: u64, number: u64) -> impl Iterator<Item = (u64, B256)> {
    let hashes: &[(u64, B256)] = if chain == HOLESKY { &HOLESKY_HASHES } else { &[] };
    let reach = number.saturating_sub(256)..number;
    hashes.iter().copied().filter(move |(ancestor, _)| reach.contains(ancestor))
}
