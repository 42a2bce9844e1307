//! Small traces for the tests.

use alloy_primitives::{Address, U256};
use braid_core::trace::{Committed, Dependence, Location, Part, Read};

pub(super) const CALLER: Address = Address::repeat_byte(0xaa);
pub(super) const BOB: Address = Address::repeat_byte(0xbb);
pub(super) const CONTRACT: Address = Address::repeat_byte(0xcc);
pub(super) const COUNTER: Location = slot(CONTRACT, 0);

pub(super) const fn slot(contract: Address, slot: u64) -> Location {
    Location::new(contract, Part::Slot(U256::from_limbs([slot, 0, 0, 0])))
}

pub(super) const fn balance(address: Address) -> Location {
    Location::new(address, Part::Balance)
}

pub(super) const fn nonce(address: Address) -> Location {
    Location::new(address, Part::Nonce)
}

pub(super) const fn hard(location: Location) -> Read {
    Read { location, dependence: Dependence::Hard }
}

pub(super) const fn soft(location: Location) -> Read {
    Read { location, dependence: Dependence::Soft }
}

pub(super) fn tx(gas_used: u64, reads: &[Read], writes: &[Location]) -> Committed {
    let (reads, writes) = (reads.to_vec(), writes.to_vec());
    Committed { gas_used, reads, writes, ..Committed::default() }
}

/// A step of the counter with this number, which uses this much gas.
pub(super) fn count(gas_used: u64, of: u64) -> Committed {
    let location = slot(CONTRACT, of);
    tx(gas_used, &[hard(location)], &[location])
}
