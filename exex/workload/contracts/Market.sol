// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

interface IToken {
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

/// A market for two ERC-20 tokens: a constant-product pool and an order book.
///
/// The tokens stand in storage, so that all markets have the same code.
contract Market {
    event Swap(address indexed trader, bool zeroForOne, uint256 amountIn, uint256 amountOut);
    event Liquidity(address indexed provider, bool added, uint256 amount0, uint256 amount1);
    event Placed(address indexed owner, uint256 number, bool buy, uint8 tick, uint256 amount);
    event Filled(address indexed maker, address indexed taker, uint8 tick, uint256 amount);

    struct Order {
        address owner;
        uint96 amount;
    }

    /// The orders of one price, first in, first out.
    struct Level {
        uint64 head;
        uint64 tail;
        mapping(uint256 => Order) orders;
    }

    /// One order fills at most so many others, to bound its gas.
    uint256 private constant MAX_FILLS = 8;
    /// Tick `t` is the price (t + 1) / PRICE_UNIT of token 1 for one of token 0.
    uint256 private constant PRICE_UNIT = 128;

    IToken public token0;
    IToken public token1;
    uint128 public reserve0;
    uint128 public reserve1;
    uint256 public totalShares;
    mapping(address => uint256) public sharesOf;

    /// How many orders were placed; numbers them.
    uint256 public placed;
    /// For buyers (true) and sellers (false): bit `t` is set where tick `t` has orders.
    mapping(bool => uint256) public ticks;
    mapping(bool => mapping(uint8 => Level)) private levels;

    bool private transient locked;

    error Locked();
    error Nothing();
    error TooLittle(uint256 amountOut);

    /// A token that calls back finds the market locked.
    modifier lock() {
        if (locked) revert Locked();
        locked = true;
        _;
        locked = false;
    }

    constructor(IToken first, IToken second) {
        token0 = first;
        token1 = second;
    }

    // The pool.

    /// Adds up to the given amounts at the ratio of the reserves.
    function addLiquidity(uint256 amount0, uint256 amount1) external lock returns (uint256 shares) {
        uint256 total = totalShares;
        if (total == 0) {
            shares = root(amount0 * amount1);
        } else {
            uint256 by0 = amount0 * total / reserve0;
            uint256 by1 = amount1 * total / reserve1;
            shares = by0 < by1 ? by0 : by1;
            amount0 = shares * reserve0 / total;
            amount1 = shares * reserve1 / total;
        }
        if (shares == 0) revert Nothing();
        totalShares = total + shares;
        sharesOf[msg.sender] += shares;
        reserve0 += uint128(amount0);
        reserve1 += uint128(amount1);
        token0.transferFrom(msg.sender, address(this), amount0);
        token1.transferFrom(msg.sender, address(this), amount1);
        emit Liquidity(msg.sender, true, amount0, amount1);
    }

    function removeLiquidity(uint256 shares) external lock {
        uint256 total = totalShares;
        sharesOf[msg.sender] -= shares;
        uint256 amount0 = shares * reserve0 / total;
        uint256 amount1 = shares * reserve1 / total;
        totalShares = total - shares;
        reserve0 -= uint128(amount0);
        reserve1 -= uint128(amount1);
        token0.transfer(msg.sender, amount0);
        token1.transfer(msg.sender, amount1);
        emit Liquidity(msg.sender, false, amount0, amount1);
    }

    /// Swaps with a fee of 0.3 %, which stays in the pool: the product of the reserves grows.
    function swap(bool zeroForOne, uint256 amountIn, uint256 least)
        external
        lock
        returns (uint256 amountOut)
    {
        (uint256 from, uint256 to) = (reserve0, reserve1);
        (IToken paid, IToken got) = (token0, token1);
        if (!zeroForOne) {
            (from, to) = (to, from);
            (paid, got) = (got, paid);
        }
        uint256 afterFee = amountIn * 997;
        amountOut = afterFee * to / (from * 1000 + afterFee);
        if (amountOut < least || amountOut == 0) revert TooLittle(amountOut);
        (uint256 newFrom, uint256 newTo) = (from + amountIn, to - amountOut);
        if (zeroForOne) {
            (reserve0, reserve1) = (uint128(newFrom), uint128(newTo));
        } else {
            (reserve0, reserve1) = (uint128(newTo), uint128(newFrom));
        }
        paid.transferFrom(msg.sender, address(this), amountIn);
        got.transfer(msg.sender, amountOut);
        emit Swap(msg.sender, zeroForOne, amountIn, amountOut);
    }

    // The order book.

    /// Buys or sells `amount` of token 0 at `tick` or better; the rest stands in the book until
    /// others fill it.
    function place(bool buy, uint8 tick, uint96 amount) external lock {
        if (amount == 0) revert Nothing();
        (uint256 left, uint256 paid) = fill(buy, tick, amount);
        if (buy) {
            // What stands in the book is paid in advance at its own price.
            paid += cost(left, tick);
            token1.transferFrom(msg.sender, address(this), paid);
            if (left < amount) token0.transfer(msg.sender, amount - left);
        } else {
            token0.transferFrom(msg.sender, address(this), amount);
            if (paid > 0) token1.transfer(msg.sender, paid);
        }
        if (left > 0) {
            Level storage level = levels[buy][tick];
            level.orders[level.tail++] = Order(msg.sender, uint96(left));
            ticks[buy] |= 1 << tick;
        }
        emit Placed(msg.sender, ++placed, buy, tick, amount);
    }

    /// Fills standing orders of the other side, best price first, at the standing order's price.
    function fill(bool buy, uint8 limit, uint256 left)
        private
        returns (uint256 rest, uint256 total)
    {
        for (uint256 i = 0; i < MAX_FILLS && left > 0; i++) {
            uint256 standing = ticks[!buy];
            if (standing == 0) break;
            // The cheapest seller is the lowest bit, the dearest buyer the highest.
            uint8 tick = highest(buy ? standing & (~standing + 1) : standing);
            if (buy ? tick > limit : tick < limit) break;
            (address maker, uint256 amount) = take(!buy, tick, left);
            uint256 value = cost(amount, tick);
            left -= amount;
            total += value;
            // The maker has paid in advance; the taker settles once, after the loop.
            if (buy) token1.transfer(maker, value);
            else token0.transfer(maker, amount);
            emit Filled(maker, msg.sender, tick, amount);
        }
        return (left, total);
    }

    /// Takes up to `wanted` from the oldest order of one price.
    function take(bool side, uint8 tick, uint256 wanted)
        private
        returns (address maker, uint256 amount)
    {
        Level storage level = levels[side][tick];
        Order storage order = level.orders[level.head];
        (maker, amount) = (order.owner, order.amount);
        if (wanted < amount) {
            order.amount = uint96(amount - wanted);
            amount = wanted;
        } else {
            delete level.orders[level.head++];
            if (level.head == level.tail) ticks[side] &= ~(1 << tick);
        }
    }

    function cost(uint256 amount, uint8 tick) private pure returns (uint256) {
        return amount * (uint256(tick) + 1) / PRICE_UNIT;
    }

    /// The index of the highest set bit, by halving.
    function highest(uint256 word) private pure returns (uint8 index) {
        for (uint256 width = 128; width > 0; width >>= 1) {
            if (word >> width != 0) {
                word >>= width;
                index += uint8(width);
            }
        }
    }

    /// The whole square root, by Newton's method from above.
    function root(uint256 value) private pure returns (uint256 result) {
        result = value;
        uint256 next = value / 2 + 1;
        while (next < result) {
            result = next;
            next = (value / next + next) / 2;
        }
    }
}
