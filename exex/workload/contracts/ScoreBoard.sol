// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// The score boards of many games: a score for each player, and the ten best of each game.
///
/// Rounds of separate games do not depend on each other; those of one game do, as soon as a score
/// reaches the board.
contract ScoreBoard {
    event Round(uint256 indexed game, address indexed player, uint256 score);
    event Ranked(uint256 indexed game, address indexed player, uint256 rank);

    struct Entry {
        address player;
        uint96 score;
    }

    struct Player {
        uint64 rounds;
        uint96 best;
        uint96 last;
    }

    uint256 private constant PLACES = 10;

    mapping(uint256 => mapping(address => Player)) public players;
    /// Best first; unused places at the end.
    mapping(uint256 => Entry[10]) public board;

    /// Plays a round. The previous block's hash throws the dice for a bonus of up to 6 points.
    function play(uint256 game, uint96 points) external {
        bytes32 seed = keccak256(abi.encode(blockhash(block.number - 1), msg.sender));
        uint96 score = points + 1 + uint96(uint256(seed) % 6);
        Player storage player = players[game][msg.sender];
        player.rounds++;
        player.last = score;
        emit Round(game, msg.sender, score);
        if (score > player.best) {
            player.best = score;
            rank(game, score);
        }
    }

    /// Moves worse entries down by one place, over the player's own former entry if there is one.
    function rank(uint256 game, uint96 score) private {
        Entry[10] storage top = board[game];
        if (top[PLACES - 1].score >= score) return;
        uint256 free = PLACES - 1;
        for (uint256 i = 0; i < PLACES; i++) {
            if (top[i].player == msg.sender) free = i;
        }
        while (free > 0 && top[free - 1].score < score) {
            top[free] = top[free - 1];
            free--;
        }
        top[free] = Entry(msg.sender, score);
        emit Ranked(game, msg.sender, free + 1);
    }
}
