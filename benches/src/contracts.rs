//! The contracts of the workloads, what is called on them, and how they lay out their storage.
//!
//! The sources lie in `contracts/`. The hex files beside them are what solc 0.8.37 makes of them for Cancun, with the
//! optimizer on (200 runs) and without metadata: runtime code.

use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};

/// A runtime code with its hash.
#[derive(Debug, Clone)]
pub(crate) struct Code {
    /// The bytes.
    pub(crate) bytes: Bytes,
    /// Their hash.
    pub(crate) hash: B256,
}

impl Code {
    /// `Token`: ERC-20.
    pub(crate) fn token() -> Self {
        Self::from_hex(include_str!("contracts/Token.hex"))
    }

    /// `Pool`: swaps two tokens.
    pub(crate) fn pool() -> Self {
        Self::from_hex(include_str!("contracts/Pool.hex"))
    }

    /// `Router`: the traders' way to the pools.
    pub(crate) fn router() -> Self {
        Self::from_hex(include_str!("contracts/Router.hex"))
    }

    /// `Adversary`: what a hostile sender calls.
    pub(crate) fn adversary() -> Self {
        Self::from_hex(include_str!("contracts/Adversary.hex"))
    }

    /// `STOP`.
    pub(crate) fn stop() -> Self {
        Self::new(Bytes::from_static(&[0]))
    }

    /// The code in a hex file.
    fn from_hex(text: &str) -> Self {
        Self::new(hex::decode(text.trim()).expect("the file is the compiler's").into())
    }

    /// A code.
    fn new(bytes: Bytes) -> Self {
        Self { hash: keccak256(&bytes), bytes }
    }
}

/// Calldata: the selector of `signature`, then words.
pub(crate) fn call<const N: usize>(signature: &str, words: [U256; N]) -> Bytes {
    let selector = &keccak256(signature)[..4];
    [selector, words.map(|word| word.to_be_bytes::<32>()).as_flattened()].concat().into()
}

/// An address as a word.
pub(crate) fn word(address: Address) -> U256 {
    address.into_word().into()
}

/// `transfer(address,uint256)` of a token.
pub(crate) fn transfer(to: Address, value: u64) -> Bytes {
    call("transfer(address,uint256)", [word(to), U256::from(value)])
}

/// Slot of `balanceOf[owner]` in a token.
pub(crate) fn balance_slot(owner: Address) -> U256 {
    entry(word(owner), U256::ZERO)
}

/// Slot of `allowance[owner][spender]` in a token.
pub(crate) fn allowance_slot(owner: Address, spender: Address) -> U256 {
    entry(word(spender), entry(word(owner), U256::ONE))
}

/// Slot of a mapping's entry, as Solidity lays it out.
pub(crate) fn entry(key: U256, mapping: U256) -> U256 {
    keccak256([key.to_be_bytes::<32>(), mapping.to_be_bytes::<32>()].as_flattened()).into()
}
