// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// Follows items from hand to hand. Items do not depend on each other; steps of one item do.
contract SupplyChain {
    event Step(uint256 indexed item, address indexed actor, Stage stage, bytes32 note);

    enum Stage {
        Unknown,
        Created,
        Shipped,
        Received,
        Inspected
    }

    struct Item {
        address holder;
        Stage stage;
        /// Where a shipped item goes.
        address bound;
    }

    struct Entry {
        address actor;
        uint64 time;
        Stage stage;
        bytes32 note;
    }

    mapping(uint256 => Item) public items;
    mapping(uint256 => Entry[]) public history;

    error WrongStage(uint256 item, Stage stage);
    error NotYours(uint256 item);

    function create(uint256 id, bytes32 note) external {
        Item storage item = items[id];
        if (item.stage != Stage.Unknown) revert WrongStage(id, item.stage);
        item.holder = msg.sender;
        advance(id, item, Stage.Created, note);
    }

    function ship(uint256 id, address to, bytes32 note) external {
        Item storage item = items[id];
        if (item.stage != Stage.Created && item.stage != Stage.Received) {
            revert WrongStage(id, item.stage);
        }
        if (item.holder != msg.sender) revert NotYours(id);
        item.bound = to;
        advance(id, item, Stage.Shipped, note);
    }

    function receiveItem(uint256 id, bytes32 note) external {
        Item storage item = items[id];
        if (item.stage != Stage.Shipped) revert WrongStage(id, item.stage);
        if (item.bound != msg.sender) revert NotYours(id);
        item.holder = msg.sender;
        delete item.bound;
        advance(id, item, Stage.Received, note);
    }

    /// Anyone may inspect; the item stays at its stage.
    function inspect(uint256 id, bytes32 note) external {
        if (items[id].stage == Stage.Unknown) revert WrongStage(id, Stage.Unknown);
        record(id, Stage.Inspected, note);
    }

    function advance(uint256 id, Item storage item, Stage stage, bytes32 note) private {
        item.stage = stage;
        record(id, stage, note);
    }

    function record(uint256 id, Stage stage, bytes32 note) private {
        history[id].push(Entry(msg.sender, uint64(block.timestamp), stage, note));
        emit Step(id, msg.sender, stage, note);
    }
}
