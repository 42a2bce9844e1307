// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// A contract that destroys itself when told to. Since EIP-6780 it only vanishes in the
/// transaction that created it; later it merely pays out its balance.
contract Mortal {
    event Poked(address indexed by, uint256 pokes);

    uint256 public pokes;

    constructor() payable {
        pokes = 1;
    }

    receive() external payable {}

    function poke() external payable returns (uint256) {
        pokes++;
        emit Poked(msg.sender, pokes);
        return pokes;
    }

    function kill(address payable heir) external {
        selfdestruct(heir);
    }
}
