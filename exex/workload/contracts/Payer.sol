// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// Pays on: to a named account, or to whoever builds the block, as searchers do.
contract Payer {
    event Paid(address indexed to, uint256 amount);

    /// The builder's balance as the last `witness` found it.
    uint256 public seen;

    error Failed(address to);

    function pay(address payable to) external payable {
        send(to);
    }

    function tip() external payable {
        send(block.coinbase);
    }

    /// Pays the builder and stores its balance, which every earlier transaction of the block has
    /// changed by its own fee.
    function witness() external payable {
        send(block.coinbase);
        seen = block.coinbase.balance;
    }

    function send(address to) private {
        (bool success,) = to.call{value: msg.value}("");
        if (!success) revert Failed(to);
        emit Paid(to, msg.value);
    }
}
