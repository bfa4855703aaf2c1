//! A state that stays in memory and changes from block to block: accounts only.
//!
//! Like `case.rs`, this file is also part of the benchmark of ethrex and uses the standard library alone; whoever
//! includes it brings Keccak.

/// A key of the state trie.
pub(crate) type Key = [u8; 32];

/// What a block does to accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// Accounts that change or are new, with their leaves.
    pub(crate) set: Vec<(Key, Vec<u8>)>,
    /// Accounts that go.
    pub(crate) removed: Vec<Key>,
}

/// A state of so many accounts, and the blocks on top of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain {
    /// Accounts at the start.
    pub(crate) accounts: u64,
    /// Accounts that each block changes: 96 in a hundred are updated, three are new, one that the block before made is
    /// removed.
    pub(crate) changed: u64,
    /// Keccak-256.
    pub(crate) keccak: fn(&[u8]) -> Key,
}

impl Chain {
    /// All accounts at the start.
    pub(crate) fn start(&self) -> Vec<(Key, Vec<u8>)> {
        (0..self.accounts).map(|number| (self.key(number), leaf(number, 0))).collect()
    }

    /// The block with a number, from one on.
    pub(crate) fn block(&self, number: u64) -> Block {
        let (new, removed) = (3 * self.changed / 100, self.changed / 100);
        let first_new = |block: u64| self.accounts + block * new;
        let old = (0..self.changed - new - removed).map(|place| {
            // Spread over all accounts, others in each block.
            (place * 0x9e37_79b9 + number * 0x85eb_ca6b) % self.accounts
        });
        let mut set: Vec<u64> = old.chain(first_new(number)..first_new(number + 1)).collect();
        set.sort_unstable();
        set.dedup();
        let before = first_new(number - 1);
        let gone = if number > 1 { before..before + removed } else { 0..0 };
        Block {
            set: set.into_iter().map(|account| (self.key(account), leaf(account, number))).collect(),
            removed: gone.map(|account| self.key(account)).collect(),
        }
    }

    /// The key of an account.
    fn key(&self, account: u64) -> Key {
        (self.keccak)(&account.to_be_bytes())
    }
}

/// The leaf of an account after a block.
fn leaf(account: u64, block: u64) -> Vec<u8> {
    // A list of 84 bytes: two integers of eight bytes, the empty storage, no code.
    let mut leaf = vec![0xf8, 84];
    for integer in [account, block] {
        leaf.push(0x88);
        leaf.extend_from_slice(&(integer | 1 << 63).to_be_bytes());
    }
    for word in [EMPTY_ROOT, NO_CODE] {
        leaf.push(0xa0);
        leaf.extend_from_slice(&word);
    }
    leaf
}

/// The root of an empty trie.
const EMPTY_ROOT: Key = [
    0x56, 0xe8, 0x1f, 0x17, 0x1b, 0xcc, 0x55, 0xa6, 0xff, 0x83, 0x45, 0xe6, 0x92, 0xc0, 0xf8, 0x6e, 0x5b,
    0x48, 0xe0, 0x1b, 0x99, 0x6c, 0xad, 0xc0, 0x01, 0x62, 0x2f, 0xb5, 0xe3, 0x63, 0xb4, 0x21,
];

/// The hash of no code.
const NO_CODE: Key = [
    0xc5, 0xd2, 0x46, 0x01, 0x86, 0xf7, 0x23, 0x3c, 0x92, 0x7e, 0x7d, 0xb2, 0xdc, 0xc7, 0x03, 0xc0, 0xe5,
    0x00, 0xb6, 0x53, 0xca, 0x82, 0x27, 0x3b, 0x7b, 0xfa, 0xd8, 0x04, 0x5d, 0x85, 0xa4, 0x70,
];
