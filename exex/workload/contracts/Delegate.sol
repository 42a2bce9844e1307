// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// The code that an account delegates to (EIP-7702): anyone may ring it, and the account itself
/// may run several calls as one. State stands in the delegating account.
contract Delegate {
    event Rung(address indexed account, address indexed by, uint256 rings);

    struct Call {
        address to;
        uint256 value;
        bytes data;
    }

    /// Far from slot 0, so that another delegation of the same account does not collide.
    struct Layout {
        uint256 rings;
    }

    bytes32 private constant SLOT = keccak256("braid.workload.delegate");

    error NotSelf();
    error Failed(uint256 index);

    receive() external payable {}

    /// Counts in the delegating account's own storage.
    function ring() external payable {
        uint256 rings = ++layout().rings;
        emit Rung(address(this), msg.sender, rings);
    }

    /// Runs all calls or none, for the account itself only.
    function batch(Call[] calldata calls) external payable {
        if (msg.sender != address(this)) revert NotSelf();
        for (uint256 i = 0; i < calls.length; i++) {
            (bool success,) = calls[i].to.call{value: calls[i].value}(calls[i].data);
            if (!success) revert Failed(i);
        }
    }

    function layout() private pure returns (Layout storage store) {
        bytes32 slot = SLOT;
        assembly ("memory-safe") {
            store.slot := slot
        }
    }
}
