// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// What a hostile sender could have a parallel engine run.
contract Adversary {
    uint256 public count; // slot 0
    mapping(uint256 => address) public ownerOf; // slot 1
    mapping(address => uint256) public noted; // slot 2

    event Mint(address indexed to, uint256 id);
    event Bytes(bytes data);

    /// One slot that everybody writes.
    function hit() external {
        ++count;
    }

    /// A token whose next number is in one slot.
    function mint() external {
        uint256 id = ++count;
        ownerOf[id] = msg.sender;
        ++noted[msg.sender];
        emit Mint(msg.sender, id);
    }

    /// Computes first, and meets the conflict at the end.
    function late(uint256 rounds) external {
        noted[msg.sender] = uint256(burn(rounds));
        ++count;
    }

    /// Reads the slot that everybody writes, and computes before it writes.
    function early(uint256 rounds) external {
        count = uint256(burn(rounds + count % 2));
    }

    /// Reads many slots, and meets the conflict at the end.
    function scan(uint256 first, uint256 slots) external {
        uint256 sum;
        for (uint256 slot = first; slot < first + slots; ++slot) {
            uint256 value;
            assembly ("memory-safe") {
                value := sload(slot)
            }
            sum += value;
        }
        noted[msg.sender] = sum;
        ++count;
    }

    /// Reads the slot that another wrote after a long computation.
    function follow() external {
        noted[msg.sender] = count + 1;
    }

    /// Reads the balance that every transaction changes.
    function coinbase() external {
        noted[msg.sender] = block.coinbase.balance;
    }

    /// Writes a slot of the caller's choice.
    function put(uint256 slot, uint256 value) external {
        assembly ("memory-safe") {
            sstore(slot, add(sload(slot), value))
        }
    }

    /// Takes memory, and logs part of it.
    function bomb(uint256 memory_, uint256 logged) external {
        bytes memory data = new bytes(memory_);
        assembly ("memory-safe") {
            mstore(data, logged)
        }
        emit Bytes(data);
    }

    /// Creates a contract that destroys itself, at the same address again and again.
    function rebirth(bytes32 salt) external payable {
        new Mayfly{salt: salt, value: msg.value}(payable(msg.sender));
        noted[msg.sender] = address(this).balance;
    }

    /// Computes.
    function burn(uint256 rounds) public pure returns (bytes32 hash) {
        for (uint256 i = 0; i < rounds; ++i) hash = keccak256(abi.encode(hash));
    }
}

/// Lives for one transaction.
contract Mayfly {
    uint256 private slot;

    constructor(address payable heir) payable {
        slot = block.number;
        selfdestruct(heir);
    }
}
