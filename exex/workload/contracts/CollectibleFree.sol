// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// Collectibles whose numbers the caller chooses: the counterpart of `Collectible` without the
/// counter, so mints of separate callers do not depend on each other.
contract CollectibleFree {
    event Transfer(address indexed from, address indexed to, uint256 indexed id);

    mapping(uint256 => address) public ownerOf;
    mapping(address => uint256) public balanceOf;

    error NotOwner(uint256 id);
    error Taken(uint256 id);

    function mint(uint256 id) external {
        if (ownerOf[id] != address(0)) revert Taken(id);
        ownerOf[id] = msg.sender;
        balanceOf[msg.sender]++;
        emit Transfer(address(0), msg.sender, id);
    }

    function transfer(address to, uint256 id) external {
        if (ownerOf[id] != msg.sender) revert NotOwner(id);
        ownerOf[id] = to;
        balanceOf[msg.sender]--;
        balanceOf[to]++;
        emit Transfer(msg.sender, to, id);
    }
}
