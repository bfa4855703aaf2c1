// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

interface IToken {
    function transfer(address to, uint256 value) external returns (bool);
    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

/// A constant-product pool of two tokens; tokens and reserves are part of the example's pre-state.
contract Pool {
    IToken[2] public token; // slots 0 and 1
    uint256[2] public reserve; // slots 2 and 3

    event Swap(address indexed trader, uint256 side, uint256 paid, uint256 received);

    /// Sells `paid` of one token for the other, after a fee of 0.3 %.
    function swap(uint256 side, uint256 paid) external returns (uint256 received) {
        uint256 other = 1 - side;
        uint256 counted = paid * 997;
        received = counted * reserve[other] / (reserve[side] * 1000 + counted);
        reserve[side] += paid;
        reserve[other] -= received;
        require(token[side].transferFrom(msg.sender, address(this), paid));
        require(token[other].transfer(msg.sender, received));
        emit Swap(msg.sender, side, paid, received);
    }
}
