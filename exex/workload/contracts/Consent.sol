// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// Who may read whose records: subjects grant and revoke consent, and every access is logged with
/// the subject. Separate subjects do not depend on each other.
contract Consent {
    event Granted(address indexed subject, address indexed reader, uint64 until);
    event Revoked(address indexed subject, address indexed reader);
    event Accessed(address indexed subject, address indexed reader, bytes32 record);

    struct Access {
        address reader;
        uint64 time;
        bytes32 record;
    }

    /// The reader that stands for everyone.
    address public constant ANYONE = address(0);

    mapping(address => mapping(address => uint64)) public grantedUntil;
    mapping(address => Access[]) public accesses;

    error NoConsent(address subject, address reader);

    function grant(address reader, uint64 until) external {
        grantedUntil[msg.sender][reader] = until;
        emit Granted(msg.sender, reader, until);
    }

    function revoke(address reader) external {
        delete grantedUntil[msg.sender][reader];
        emit Revoked(msg.sender, reader);
    }

    function access(address subject, bytes32 record) external {
        bool allowed = subject == msg.sender
            || grantedUntil[subject][msg.sender] >= block.timestamp
            || grantedUntil[subject][ANYONE] >= block.timestamp;
        if (!allowed) revert NoConsent(subject, msg.sender);
        accesses[subject].push(Access(msg.sender, uint64(block.timestamp), record));
        emit Accessed(subject, msg.sender, record);
    }
}
