// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// Collectibles with running numbers: every mint reads and writes the one counter, so mints depend
/// on each other.
contract Collectible {
    event Transfer(address indexed from, address indexed to, uint256 indexed id);

    uint256 public minted;
    mapping(uint256 => address) public ownerOf;
    mapping(address => uint256) public balanceOf;

    error NotOwner(uint256 id);

    function mint() external returns (uint256 id) {
        id = ++minted;
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
