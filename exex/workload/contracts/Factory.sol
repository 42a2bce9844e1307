// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

interface IMortal {
    function poke() external payable returns (uint256);
    function kill(address payable heir) external;
}

/// Creates contracts at addresses known in advance (CREATE2) and destroys them, in all orders.
contract Factory {
    event Made(address indexed child);
    event Poked(address indexed child, bool answered);

    /// The creation code of the children, given at deployment.
    bytes private template;
    /// How many pokes found no contract.
    uint256 public unanswered;

    error Failed(bytes32 salt);

    constructor(bytes memory creation) {
        template = creation;
    }

    receive() external payable {}

    /// Creates the child of `salt`; it stays.
    function make(bytes32 salt) external payable {
        create(salt, msg.value);
    }

    /// Creates the child, uses it, destroys it and calls it again, all in one transaction. The
    /// address is free afterwards, so the same salt works again and again.
    function flash(bytes32 salt) external payable {
        address child = create(salt, msg.value);
        IMortal(child).poke();
        IMortal(child).kill(payable(address(this)));
        // Until the transaction ends, the destroyed contract still answers; what it is paid now is
        // burnt with it.
        IMortal(child).poke{value: 1}();
    }

    /// Destroys a child that an earlier transaction created: it pays out and stays (EIP-6780).
    function kill(bytes32 salt) external {
        IMortal(predict(salt)).kill(payable(msg.sender));
    }

    /// Calls where the child of `salt` is, was or will be. An address without code answers nothing.
    function poke(bytes32 salt) external payable {
        address child = predict(salt);
        (bool success, bytes memory answer) = child.call{value: msg.value}(
            abi.encodeCall(IMortal.poke, ())
        );
        if (!success) revert Failed(salt);
        if (answer.length == 0) unanswered++;
        emit Poked(child, answer.length > 0);
    }

    function predict(bytes32 salt) public view returns (address) {
        bytes32 code = keccak256(template);
        bytes32 hash = keccak256(abi.encodePacked(hex"ff", address(this), salt, code));
        return address(uint160(uint256(hash)));
    }

    function create(bytes32 salt, uint256 value) private returns (address child) {
        bytes memory code = template;
        assembly ("memory-safe") {
            child := create2(value, add(code, 32), mload(code), salt)
        }
        if (child == address(0)) revert Failed(salt);
        emit Made(child);
    }
}
