//! Hashes that the next transactions will likely ask for, computed eight at a time.
//!
//! A contract finds an entry of a mapping at the hash of its key and the mapping's slot. Keys are mostly who sends the
//! transaction and words among its arguments, and a contract's next call hashes them with the same slots as its last:
//!
//! ```text
//!  transfer(B, 5) from A has hashed   A ‖ 0, B ‖ 0     habits: sender ‖ 0, first argument ‖ 0
//!  transfer(D, 9) from C will hash    C ‖ 0, D ‖ 0
//! ```
//!
//! One by one, that is a tenth of what a transfer of a token takes; in the lanes of a processor's vectors, a fifth of that.
//!
//! It is a guess about time: no outcome depends on it.

use alloy_primitives::B256;
use alloy_primitives::map::AddressMap;
use revm::context::TxEnv;
use weft_trie::Backend;

use crate::hash_memo::{HashMemo, LENGTH};

/// For so many transactions it is guessed together: two hashes each fill four times eight lanes.
pub(crate) const AHEAD: usize = 16;

/// How many habits a contract has at most. One that it has given up costs a hash per call until another call is looked at.
const HABITS_MAX: usize = 4;

/// How many words of the arguments may be keys.
const WORDS_MAX: usize = 8;

/// So far back it is looked whether the same has just been asked for.
const NEIGHBOURS: usize = 4;

/// What contracts are used to hash.
#[derive(Debug)]
pub(crate) struct HashesAhead {
    /// How to hash.
    backend: Backend,
    /// By contract.
    habits: AddressMap<Vec<Habit>>,
    /// What is to be hashed.
    messages: Vec<[u8; LENGTH]>,
    /// Its hashes.
    hashes: Vec<B256>,
}

/// What a contract hashes when it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Habit {
    /// First this,
    key: Key,
    /// and then this.
    slot: [u8; 32],
}

/// A word that differs from call to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    /// Who sends the transaction.
    Sender,
    /// An argument, counted from 0.
    Argument(usize),
}

impl Default for HashesAhead {
    fn default() -> Self {
        Self {
            backend: Backend::best(),
            habits: AddressMap::default(),
            messages: Vec::new(),
            hashes: Vec::new(),
        }
    }
}

impl HashesAhead {
    /// Whether anything can be gained on this processor.
    pub(crate) fn pays(&self) -> bool {
        self.backend != Backend::Portable
    }

    /// Has the memo know what these transactions will likely ask for.
    pub(crate) fn hash_for<'t>(
        &mut self,
        transactions: impl Iterator<Item = &'t TxEnv>,
        memo: &mut HashMemo,
    ) {
        self.messages.clear();
        for transaction in transactions {
            let contract = transaction.kind.to().filter(|_| !transaction.data.is_empty());
            let Some(habits) = contract.and_then(|contract| self.habits.get(contract)) else { continue };
            for Habit { key, slot } in habits {
                let Some(key) = key.of(transaction) else { continue };
                let mut message = [0; LENGTH];
                message[..32].copy_from_slice(&key);
                message[32..].copy_from_slice(slot);
                let near = self.messages.len().saturating_sub(NEIGHBOURS);
                if !self.messages[near..].contains(&message) && !memo.knows(&message) {
                    self.messages.push(message);
                }
            }
        }
        self.hashes.resize(self.messages.len(), B256::ZERO);
        self.backend.hash(&self.messages, &mut self.hashes);
        for (message, hash) in self.messages.iter().zip(&self.hashes) {
            memo.put(*message, *hash);
        }
    }

    /// A transaction has asked for the hashes of these.
    pub(crate) fn learn(&mut self, transaction: &TxEnv, asked: &[[u8; LENGTH]]) {
        let Some(contract) = transaction.kind.to() else { return };
        if asked.is_empty() && !self.habits.contains_key(contract) {
            return;
        }
        let habits = self.habits.entry(*contract).or_default();
        habits.clear();
        for message in asked {
            let (key, slot) = message.split_at(LENGTH / 2);
            let keys = [Key::Sender].into_iter().chain((0..WORDS_MAX).map(Key::Argument));
            let key = keys.into_iter().find(|which| which.of(transaction).is_some_and(|word| word == *key));
            if let (Some(key), Ok(slot)) = (key, slot.try_into()) {
                let habit = Habit { key, slot };
                if habits.len() < HABITS_MAX && !habits.contains(&habit) {
                    habits.push(habit);
                }
            }
        }
    }
}

impl Key {
    /// The word, if the transaction has it.
    fn of(self, transaction: &TxEnv) -> Option<[u8; 32]> {
        const SELECTOR: usize = 4;
        match self {
            Self::Sender => Some(transaction.caller.into_word().0),
            Self::Argument(nth) => {
                let arguments = transaction.data.get(SELECTOR + 32 * nth..)?;
                arguments.first_chunk().copied()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, TxKind, U256, keccak256};

    use super::*;

    /// A message that a contract hashes.
    fn message(key: B256, slot: u8) -> [u8; LENGTH] {
        let slot = U256::from(slot).to_be_bytes::<32>();
        [key.0, slot].concat().try_into().unwrap()
    }

    /// Whoever has this number.
    fn person(number: u8) -> Address {
        Address::repeat_byte(number)
    }

    /// A call of the contract, with two arguments.
    fn call(contract: u8, by: u8, named: u8, amount: u64) -> TxEnv {
        let words = [person(named).into_word().0, U256::from(amount).to_be_bytes::<32>()].concat();
        let data = [vec![7; 4], words].concat().into();
        TxEnv { caller: person(by), kind: TxKind::Call(person(contract)), data, ..TxEnv::default() }
    }

    #[test]
    fn who_has_seen_one_call_knows_what_the_next_hashes() {
        let (mut ahead, mut memo) = (HashesAhead::default(), HashMemo::default());
        let asked = [
            message(person(1).into_word(), 3),
            message(person(2).into_word(), 3),
            message(person(1).into_word(), 3),
            message(B256::repeat_byte(9), 4),
        ];
        ahead.learn(&call(0xcc, 1, 2, 5), &asked);
        let next = [call(0xcc, 3, 4, 5), call(0xcc, 4, 1, 5), call(0xcd, 5, 6, 5)];
        ahead.hash_for(next.iter(), &mut memo);
        assert_eq!(ahead.messages.len(), 3, "the one in both is hashed once");
        for (number, known) in [(3, true), (4, true), (1, true), (2, false), (5, false), (6, false)] {
            let message = message(person(number).into_word(), 3);
            assert_eq!(memo.get(&message), known.then(|| keccak256(message)), "{number}");
        }
        ahead.hash_for(next.iter(), &mut memo);
        assert!(ahead.messages.is_empty(), "all of it is known");
        ahead.learn(&call(0xcc, 1, 2, 5), &[]);
        ahead.hash_for([call(0xcc, 7, 8, 5)].iter(), &mut memo);
        assert_eq!(memo.get(&message(person(7).into_word(), 3)), None, "it has given the habit up");
    }

    #[test]
    fn calls_of_any_shape_are_looked_at() {
        let (mut ahead, mut memo) = (HashesAhead::default(), HashMemo::default());
        let key = B256::from(U256::from(5));
        ahead.learn(&call(0xcc, 1, 2, 5), &[message(key, 1); 40]);
        assert_eq!(
            ahead.habits[&person(0xcc)],
            [Habit { key: Key::Argument(1), slot: message(key, 1)[32..].try_into().unwrap() }]
        );
        for length in [0, 1, 3, 4, 35, 36, 67, 68, 100] {
            let data = vec![1; length].into();
            ahead.hash_for([TxEnv { data, ..call(0xcc, 1, 2, 5) }].iter(), &mut memo);
            assert_eq!(ahead.messages.len(), usize::from(length == 68), "{length}");
        }
        ahead.learn(&TxEnv { kind: TxKind::Create, ..call(0, 1, 2, 5) }, &[message(key, 1)]);
        assert_eq!(ahead.habits.len(), 1);
    }
}
