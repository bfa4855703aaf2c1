//! What leaves hold, and proofs of it.
//!
//! A leaf of the state trie holds an account, a leaf of a storage trie the
//! integer in a slot. Proofs have the form of EIP-1186 (`eth_getProof`).

use crate::{arena::Arena, encoded::HASH_CODE, error::WitnessError, sparse::TrieView, values::Span};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::{Decodable, EMPTY_STRING_CODE, Encodable, Error};
use alloy_trie::TrieAccount;

/// An account, or its absence, proven against a state root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// Whose account.
    pub address: Address,
    /// The account, `None` if there is none.
    pub account: Option<TrieAccount>,
    /// The nodes of the state trie towards the account, root first.
    pub proof: Vec<Bytes>,
    /// The slots asked for, in that order.
    pub storage: Vec<StorageProof>,
}

/// The value of a slot proven against a storage root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageProof {
    /// The slot, not hashed.
    pub slot: B256,
    /// Its value, zero if the storage trie lacks it.
    pub value: U256,
    /// The nodes of the storage trie towards the slot, root first; none if the trie is empty.
    pub proof: Vec<Bytes>,
}

impl AccountProof {
    /// Proves an account out of the state trie, and slots out of its storage trie.
    ///
    /// # Errors
    ///
    /// [`WitnessError::MissingNode`] if a path is not at hand.
    pub(crate) fn new(
        address: Address,
        slots: &[B256],
        accounts: TrieView<'_, '_>,
        storage: TrieView<'_, '_>,
    ) -> Result<Self, WitnessError> {
        let key = keccak256(address);
        let account = read_account(accounts, key)?;
        let proof = accounts.proof(key)?;
        let prove_slot = |&slot: &B256| {
            let key = keccak256(slot);
            let value = read_slot(storage, key)?;
            Ok(StorageProof { slot, value, proof: storage.proof(key)? })
        };
        let storage = slots.iter().map(prove_slot).collect::<Result<_, _>>()?;
        Ok(Self { address, account, proof, storage })
    }
}

/// Reads an account out of the state trie.
///
/// # Errors
///
/// [`WitnessError::MissingNode`] if its path is not at hand.
pub(crate) fn read_account(
    accounts: TrieView<'_, '_>,
    hashed_address: B256,
) -> Result<Option<TrieAccount>, WitnessError> {
    let leaf = accounts.get(hashed_address)?;
    Ok(leaf.map(account_of))
}

/// The account that a leaf of the state trie holds.
pub(crate) fn account_of(leaf: &[u8]) -> TrieAccount {
    decode_account(leaf).expect("account leaves are checked")
}

/// Reads a slot out of a storage trie, zero if it is absent.
///
/// # Errors
///
/// [`WitnessError::MissingNode`] if its path is not at hand.
pub(crate) fn read_slot(storage: TrieView<'_, '_>, hashed_slot: B256) -> Result<U256, WitnessError> {
    let leaf = storage.get(hashed_slot)?;
    Ok(leaf.map_or(U256::ZERO, |leaf| decode_slot(leaf).expect("storage leaves are checked")))
}

/// Decodes the leaf of an account: exactly nonce, balance, storage root and code hash.
///
/// # Errors
///
/// What is wrong with the RLP.
pub(crate) fn decode_account(leaf: &[u8]) -> Result<TrieAccount, Error> {
    canonical_account(leaf).map_or_else(|| decode_exact(leaf), Ok)
}

/// [`decode_account`] for a leaf with nothing wrong in it: a list of less than 256 bytes, of two integers and two
/// words.
fn canonical_account(leaf: &[u8]) -> Option<TrieAccount> {
    let (nonce, balance, [storage_root, code_hash]) = canonical_fields(leaf)?;
    Some(TrieAccount {
        nonce: u64::from_be_bytes(padded(nonce)),
        balance: U256::from_be_bytes(padded::<32>(balance)),
        storage_root: *storage_root,
        code_hash: *code_hash,
    })
}

/// The storage root in the leaf of an account with nothing wrong in it.
pub(crate) fn canonical_storage_root(leaf: &[u8]) -> Option<&B256> {
    canonical_fields(leaf).map(|(_, _, [storage_root, _])| storage_root)
}

/// Whether a leaf is one of a slot with nothing wrong in it.
pub(crate) fn is_canonical_slot(leaf: &[u8]) -> bool {
    canonical_integer(leaf, 32).is_some_and(|(digits, after)| !digits.is_empty() && after.is_empty())
}

/// The digits of nonce and balance, the storage root and the code hash in the leaf of [`canonical_account`].
fn canonical_fields(leaf: &[u8]) -> Option<(&[u8], &[u8], [&B256; 2])> {
    let [0xf8, length, rest @ ..] = leaf else { return None };
    let (integers, words) = rest.split_last_chunk::<66>()?;
    let [HASH_CODE, words @ ..] = words else { return None };
    let (storage_root, code_hash) = words.split_first_chunk::<32>()?;
    let [HASH_CODE, code_hash @ ..] = code_hash else { return None };
    let (nonce, integers) = canonical_integer(integers, 8)?;
    let (balance, after) = canonical_integer(integers, 32)?;
    let is_whole = usize::from(*length) == rest.len() && after.is_empty();
    let code_hash = code_hash.try_into().ok()?;
    is_whole.then_some((nonce, balance, [storage_root.into(), code_hash]))
}

/// The digits of the integer that comes first, at most `digits_max`, and what follows; `None` if it is not in its
/// shortest form.
fn canonical_integer(bytes: &[u8], digits_max: usize) -> Option<(&[u8], &[u8])> {
    let (&code, rest) = bytes.split_first()?;
    if code < EMPTY_STRING_CODE {
        return (code > 0).then_some((&bytes[..1], rest));
    }
    let length = usize::from(code - EMPTY_STRING_CODE);
    let (digits, rest) = rest.split_at_checked(length)?;
    let is_shortest = match digits {
        [] => true,
        [only] => *only >= EMPTY_STRING_CODE,
        [first, ..] => *first > 0,
    };
    (is_shortest && length <= digits_max).then_some((digits, rest))
}

/// The digits of an integer after zeros.
fn padded<const N: usize>(digits: &[u8]) -> [u8; N] {
    let mut integer = [0; N];
    integer[N - digits.len()..].copy_from_slice(digits);
    integer
}

/// The storage root in the leaf of an account that [`decode_account`] accepts.
///
/// # Errors
///
/// As [`decode_account`].
pub(crate) fn decode_storage_root(leaf: &[u8]) -> Result<&B256, Error> {
    decode_account(leaf)?;
    // The last two fields are words, of 33 bytes each with their headers.
    let root = &leaf[leaf.len() - 2 * 33 + 1..][..32];
    Ok(root.try_into().expect("32 bytes"))
}

/// Decodes the leaf of a slot: one integer.
///
/// # Errors
///
/// What is wrong with the RLP.
pub(crate) fn decode_slot(leaf: &[u8]) -> Result<U256, Error> {
    decode_exact(leaf)
}

impl Arena<'_> {
    /// Keeps the leaf of an account.
    pub(crate) fn keep_account(&mut self, account: &TrieAccount) -> Span {
        self.values.keep_short(|values| account.encode(values))
    }

    /// Keeps the leaf of a slot, `None` for a zero, which has none.
    pub(crate) fn keep_slot(&mut self, value: U256) -> Option<Span> {
        (!value.is_zero()).then(|| self.values.keep_short(|values| value.encode(values)))
    }
}

/// Decodes a value that takes all of `leaf`.
fn decode_exact<T: Decodable>(leaf: &[u8]) -> Result<T, Error> {
    let rest = &mut &*leaf;
    let value = T::decode(rest)?;
    if rest.is_empty() { Ok(value) } else { Err(Error::UnexpectedLength) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever [`canonical_account`] takes, the decoder of any RLP takes for the same.
    #[test]
    fn accounts_are_decoded_alike() {
        let integers = [0, 1, 0x7f, 0x80, 0xff, 0x100, u64::MAX - 1];
        let balances = integers.map(U256::from).into_iter().chain([U256::MAX, U256::MAX >> 8]);
        for (balance, nonce) in balances.flat_map(|balance| integers.map(|nonce| (balance, nonce))) {
            let account = TrieAccount { nonce, balance, ..TrieAccount::default() };
            let leaf = alloy_rlp::encode(account);
            assert_eq!(canonical_account(&leaf), Some(account));
            for place in 0..leaf.len() {
                for byte in [0, 1, 0x7f, 0x80, 0x81, 0x9f, 0xa0, 0xa1, 0xb8, 0xf8, 0xff] {
                    let mut other = leaf.clone();
                    other[place] = byte;
                    let expected = decode_exact(&other);
                    assert!(canonical_account(&other).is_none_or(|account| Ok(account) == expected));
                    assert_eq!(decode_account(&other), expected);
                }
            }
            for end in 0..leaf.len() {
                assert_eq!(decode_account(&leaf[..end]), decode_exact(&leaf[..end]));
            }
        }
    }

    #[test]
    fn leaves_come_back() {
        let mut arena = Arena::default();
        for value in [U256::from(1), U256::from(127), U256::from(128), U256::MAX] {
            let leaf = arena.keep_slot(value).expect("it is not zero");
            assert_eq!(decode_slot(arena.values.get(leaf)), Ok(value));
        }
        assert_eq!(arena.keep_slot(U256::ZERO), None);
        let account = TrieAccount { nonce: u64::MAX, balance: U256::MAX, ..TrieAccount::default() };
        let leaf = arena.keep_account(&account);
        let leaf = arena.values.get(leaf);
        assert_eq!(decode_account(leaf), Ok(account));
        assert_eq!(decode_storage_root(leaf), Ok(&account.storage_root));
        assert_eq!(decode_account(&[leaf, &[0]].concat()), Err(Error::UnexpectedLength));
    }
}
