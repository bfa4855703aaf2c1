// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

interface IToken {
    function balanceOf(address owner) external view returns (uint256);
    function transfer(address to, uint256 value) external returns (bool);
    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

/// Whoever swaps is called back and must pay.
interface IPayer {
    function pay(address trader, address token, uint256 amount) external;
}

/// Arithmetic on prices: square roots of prices as fixed-point numbers with 96 binary places.
library Price {
    /// 1 / sqrt(1.0001) with 128 binary places: the ratio between neighbouring ticks.
    uint256 constant STEP = 340265354078544963557816517032075149313;

    /// The square root of the price at a tick.
    function at(int24 tick) internal pure returns (uint160) {
        unchecked {
            uint256 left = uint256(tick < 0 ? -int256(tick) : int256(tick));
            uint256 ratio = 1 << 128;
            uint256 power = STEP;
            while (left != 0) {
                if (left & 1 != 0) ratio = ratio * power >> 128;
                power = power * power >> 128;
                left >>= 1;
            }
            if (tick > 0) ratio = type(uint256).max / ratio;
            return uint160(ratio >> 32);
        }
    }

    /// The tick whose price is the last one at or below `price`: bit by bit from the top.
    function tick(uint160 price, int24 near) internal pure returns (int24 found) {
        found = near - 256;
        for (int24 bit = 256; bit != 0; bit >>= 1) {
            if (at(found + bit) <= price) found += bit;
        }
    }

    /// a * b / d with 512 bits in between.
    function mul(uint256 a, uint256 b, uint256 d) internal pure returns (uint256) {
        unchecked {
            uint256 low = a * b;
            uint256 high = mulmod(a, b, type(uint256).max);
            high = high - low - (high < low ? 1 : 0);
            if (high == 0) return low / d;
            require(d > high);
            uint256 rest = mulmod(a, b, d);
            if (rest > low) high -= 1;
            low -= rest;
            uint256 twos = d & (0 - d);
            d /= twos;
            low = low / twos | high * ((0 - twos) / twos + 1);
            uint256 inverse = (3 * d) ^ 2;
            for (uint256 i = 0; i < 6; ++i) inverse *= 2 - d * inverse;
            return low * inverse;
        }
    }
}

/// A pool with liquidity that changes at ticks, as in concentrated-liquidity exchanges: a swap walks from one tick with
/// liquidity to the next, and books fees and an observation of the price.
contract Pool {
    struct Tick {
        uint128 gross;
        int128 net;
        uint256 outside0;
        uint256 outside1;
    }

    struct State {
        uint160 price;
        int24 tick;
        uint16 observation;
    }

    struct Observation {
        uint32 time;
        int56 ticks;
        uint160 seconds_;
    }

    struct Walk {
        uint160 price;
        int24 tick;
        uint128 liquidity;
        uint256 left;
        uint256 bought;
        uint256 growth;
    }

    int24 constant SPACING = 60;

    address public token0; // slot 0
    address public token1; // slot 1
    State public state; // slot 2
    uint256[2] public growth; // slots 3 and 4
    uint128 public liquidity; // slot 5
    mapping(int24 => Tick) public ticks; // slot 6
    mapping(int16 => uint256) public bitmap; // slot 7
    mapping(uint16 => Observation) public observations; // slot 8

    event Swap(address indexed payer, address indexed to, uint256 sold, uint256 bought, uint160 price, uint128 liquidity, int24 tick);

    /// Sells `amount` of one token for the other.
    function swap(address trader, bool zeroForOne, uint256 amount) external returns (uint256) {
        State memory start = state;
        Walk memory walk = Walk(start.price, start.tick, liquidity, amount, 0, growth[zeroForOne ? 0 : 1]);
        while (walk.left != 0) step(walk, zeroForOne);
        if (walk.tick != start.tick) {
            start.observation = observe(start.observation, start.tick, walk.liquidity);
            liquidity = walk.liquidity;
        }
        state = State(walk.price, walk.tick, start.observation);
        growth[zeroForOne ? 0 : 1] = walk.growth;
        settle(trader, zeroForOne, amount, walk.bought);
        emit Swap(msg.sender, trader, amount, walk.bought, walk.price, walk.liquidity, walk.tick);
        return walk.bought;
    }

    /// Moves the price to the next tick with liquidity, or as far as the amount goes.
    function step(Walk memory walk, bool zeroForOne) private {
        int24 next = neighbour(walk.tick, zeroForOne);
        uint160 target = Price.at(next);
        uint256 paid = walk.left * 997 / 1000;
        uint256 room = zeroForOne
            ? amount0(target, walk.price, walk.liquidity)
            : amount1(walk.price, target, walk.liquidity);
        bool whole = paid >= room;
        uint160 price = whole ? target : moved(walk.price, walk.liquidity, paid, zeroForOne);
        walk.bought += zeroForOne
            ? amount1(price, walk.price, walk.liquidity)
            : amount0(walk.price, price, walk.liquidity);
        uint256 used = whole ? room * 1000 / 997 + 1 : walk.left;
        if (used > walk.left) used = walk.left;
        walk.left -= used;
        unchecked {
            walk.growth += Price.mul(used * 3 / 1000, 1 << 128, walk.liquidity);
        }
        walk.price = price;
        if (whole) {
            cross(walk, next, zeroForOne);
        } else {
            walk.tick = Price.tick(price, walk.tick);
        }
    }

    /// Crosses a tick: what grew inside is outside now, and liquidity changes.
    function cross(Walk memory walk, int24 next, bool zeroForOne) private {
        Tick storage tick = ticks[next];
        unchecked {
            tick.outside0 = (zeroForOne ? walk.growth : growth[0]) - tick.outside0;
            tick.outside1 = (zeroForOne ? growth[1] : walk.growth) - tick.outside1;
        }
        int128 net = tick.net;
        walk.liquidity = uint128(int128(walk.liquidity) + (zeroForOne ? -net : net));
        walk.tick = zeroForOne ? next - 1 : next;
    }

    /// The next tick with liquidity, from the bitmap.
    function neighbour(int24 tick, bool down) private view returns (int24) {
        int24 index = tick / SPACING;
        if (tick < 0 && tick % SPACING != 0) --index;
        if (!down) ++index;
        for (uint256 i = 0; i < 256; ++i) {
            if (bitmap[int16(index >> 8)] >> uint8(int8(index % 256)) & 1 != 0) return index * SPACING;
            down ? --index : ++index;
        }
        revert();
    }

    /// Amount of token 0 between two prices.
    function amount0(uint160 low, uint160 high, uint128 amount) private pure returns (uint256) {
        return Price.mul(uint256(amount) << 96, high - low, high) / low;
    }

    /// Amount of token 1 between two prices.
    function amount1(uint160 low, uint160 high, uint128 amount) private pure returns (uint256) {
        return Price.mul(amount, high - low, 1 << 96);
    }

    /// The price after `paid` came in.
    function moved(uint160 price, uint128 amount, uint256 paid, bool zeroForOne) private pure returns (uint160) {
        uint256 whole = uint256(amount) << 96;
        if (zeroForOne) return uint160(Price.mul(whole, price, whole + paid * price));
        return uint160(price + (paid << 96) / amount);
    }

    /// Books an observation of the price.
    function observe(uint16 last, int24 tick, uint128 amount) private returns (uint16 index) {
        Observation memory before = observations[last];
        index = (last + 1) % 64;
        uint32 time = uint32(block.timestamp);
        observations[index] = Observation(
            time,
            before.ticks + tick * int56(uint56(time - before.time)),
            before.seconds_ + uint160((uint256(time - before.time) << 128) / amount)
        );
    }

    /// Pays out, and has the caller pay in.
    function settle(address trader, bool zeroForOne, uint256 amount, uint256 bought) private {
        (address sold, address other) = zeroForOne ? (token0, token1) : (token1, token0);
        require(IToken(other).transfer(trader, bought));
        uint256 before = IToken(sold).balanceOf(address(this));
        IPayer(msg.sender).pay(trader, sold, amount);
        require(IToken(sold).balanceOf(address(this)) >= before + amount);
    }
}

/// Sends a trader's swap to a pool, and pays from what the trader allows.
contract Router is IPayer {
    function swap(Pool pool, bool zeroForOne, uint256 amount, uint256 least) external {
        require(pool.swap(msg.sender, zeroForOne, amount) >= least);
    }

    function pay(address trader, address token, uint256 amount) external {
        require(IToken(token).transferFrom(trader, msg.sender, amount));
    }
}
