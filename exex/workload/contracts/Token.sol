// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// A plain ERC-20 token. A transfer writes the two balances that it moves between and nothing
/// else, so transfers between separate pairs of accounts do not depend on each other.
contract Token {
    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    uint8 public constant decimals = 18;
    address public issuer = msg.sender;
    uint256 public totalSupply;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    error NotIssuer();
    error Insufficient(address owner, uint256 wanted, uint256 available);

    /// Creates `amount` for each of `holders`.
    function mint(address[] calldata holders, uint256 amount) external {
        if (msg.sender != issuer) revert NotIssuer();
        totalSupply += amount * holders.length;
        for (uint256 i = 0; i < holders.length; i++) {
            balanceOf[holders[i]] += amount;
            emit Transfer(address(0), holders[i], amount);
        }
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        move(msg.sender, to, amount);
        return true;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        // The greatest allowance never runs out, as is customary.
        if (allowed != type(uint256).max) {
            if (allowed < amount) revert Insufficient(from, amount, allowed);
            allowance[from][msg.sender] = allowed - amount;
        }
        move(from, to, amount);
        return true;
    }

    function move(address from, address to, uint256 amount) private {
        uint256 held = balanceOf[from];
        if (held < amount) revert Insufficient(from, amount, held);
        unchecked {
            // The sum of all balances is the total supply, which fits.
            balanceOf[from] = held - amount;
            balanceOf[to] += amount;
        }
        emit Transfer(from, to, amount);
    }
}
