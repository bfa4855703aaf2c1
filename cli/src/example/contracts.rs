//! The contracts of the example, and what is called on them.
//!
//! The sources lie in `contracts/`. The hex files beside them are what solc 0.8.37 makes of them for Cancun, with the
//! optimizer on (200 runs) and without metadata: runtime code, and for the token also the code that deploys it.

use alloy_primitives::{Address, Bytes, U256, hex, keccak256};

/// Runtime code of the token.
pub(super) fn token() -> Bytes {
    code(include_str!("contracts/Token.hex"))
}

/// Code that deploys a token.
pub(super) fn token_deployment() -> Bytes {
    code(include_str!("contracts/Token.init.hex"))
}

/// Runtime code of the pool.
pub(super) fn pool() -> Bytes {
    code(include_str!("contracts/Pool.hex"))
}

/// The bytes of a hex file.
fn code(text: &str) -> Bytes {
    hex::decode(text.trim()).expect("the file is the compiler's").into()
}

/// `transfer(address,uint256)`.
pub(super) fn transfer(to: Address, value: u64) -> Vec<u8> {
    call([0xa9, 0x05, 0x9c, 0xbb], [to.into_word().into(), U256::from(value)])
}

/// `swap(uint256,uint256)`.
pub(super) fn swap(side: u64, paid: u64) -> Vec<u8> {
    call([0xd9, 0x60, 0x73, 0xcf], [U256::from(side), U256::from(paid)])
}

/// Calldata of a function with two words.
fn call(selector: [u8; 4], words: [U256; 2]) -> Vec<u8> {
    [&selector[..], words.map(|word| word.to_be_bytes::<32>()).as_flattened()].concat()
}

/// Slot of `balanceOf[owner]` in the token.
pub(super) fn balance_slot(owner: Address) -> U256 {
    entry(owner, U256::ZERO)
}

/// Slot of `allowance[owner][spender]` in the token.
pub(super) fn allowance_slot(owner: Address, spender: Address) -> U256 {
    entry(spender, entry(owner, U256::ONE))
}

/// Slot of a mapping's entry, as Solidity lays it out.
fn entry(key: Address, mapping: U256) -> U256 {
    keccak256([key.into_word().0, mapping.to_be_bytes::<32>()].as_flattened()).into()
}
