//! Accounts that a block is sure to read, looked up before it runs.
//!
//! Every transaction reads its sender, and its recipient if it has one. Met one at a time, each of their addresses is
//! hashed alone; known together, they are hashed many at once. Threads that run no transactions yet look them up ahead
//! of those that do, piece by piece; whoever comes to a piece that nobody has begun does it himself.
//!
//! # Invariants
//!
//! - **K1.** The answers are those of the state beneath: an account that it has no answer for is left for it to answer,
//!   with its error, if anybody ever asks. The test below asks for all of them.

use std::sync::OnceLock;

use alloy_primitives::map::{AddressMap, Entry};
use alloy_primitives::{Address, B256, U256};
use rayon::prelude::*;
use revm::bytecode::Bytecode;
use revm::state::AccountInfo;
use weft_trie::keccak256_batch;

use crate::block::{ReadyBlock, ReadyTransaction};
use crate::error::WitnessError;
use crate::pre_state::{PreState, WitnessState};

/// Addresses that a thread takes at once.
const PIECE: usize = 64;

/// A pre-state that has some of its answers at hand.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    /// Answers everything else.
    state: &'a WitnessState,
    /// Where each address is in the list.
    index: AddressMap<usize>,
    /// The addresses, in the order in which transactions meet them.
    addresses: Vec<Address>,
    /// What the state has for each, in pieces; nothing where it has no answer.
    answers: Vec<OnceLock<Vec<Option<Answer>>>>,
}

/// An account, if there is one.
type Answer = Option<AccountInfo>;

impl<'a> Expected<'a> {
    /// Senders and recipients, none of whom is looked up yet.
    pub(super) fn of(block: &ReadyBlock<'_>, state: &'a WitnessState) -> Self {
        let mut addresses = Vec::with_capacity(2 * block.transactions.len());
        let mut index = AddressMap::default();
        index.reserve(addresses.capacity());
        for ReadyTransaction { env, .. } in &block.transactions {
            for address in [env.caller].into_iter().chain(env.kind.to().copied()) {
                if let Entry::Vacant(vacant) = index.entry(address) {
                    vacant.insert(addresses.len());
                    addresses.push(address);
                }
            }
        }
        let answers = addresses.chunks(PIECE).map(|_| OnceLock::new()).collect();
        Self { state, index, addresses, answers }
    }

    /// Looks them up from this piece on, on the threads of the current pool.
    pub(super) fn look_up(&self, first: usize) {
        (first..self.answers.len()).into_par_iter().with_max_len(1).for_each(|piece| {
            self.piece(piece);
        });
    }

    /// The answers of a piece.
    fn piece(&self, piece: usize) -> &[Option<Answer>] {
        self.answers[piece].get_or_init(|| {
            let addresses = &self.addresses[PIECE * piece..];
            let hashes = keccak256_batch(&addresses[..addresses.len().min(PIECE)]);
            self.state.tries.bring_near(hashes.iter().map(|hash| (hash, &[][..])));
            hashes.into_iter().map(|hash| self.state.account_by_hash(hash).ok()).collect()
        })
    }

    /// The account, if it was looked up and the state had an answer.
    fn answer(&self, address: Address) -> Option<&Answer> {
        let place = *self.index.get(&address)?;
        self.piece(place / PIECE)[place % PIECE].as_ref()
    }
}

impl PreState for Expected<'_> {
    fn account(&self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        self.answer(address).map_or_else(|| self.state.account(address), |answer| Ok(answer.clone()))
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        self.state.storage(address, slot)
    }

    fn has_storage(&self, address: Address) -> Result<bool, WitnessError> {
        self.state.has_storage(address)
    }

    fn code(&self, hash: B256) -> Result<Bytecode, WitnessError> {
        self.state.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, WitnessError> {
        self.state.block_hash(number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use alloy_consensus::transaction::SignerRecoverable;
    use alloy_consensus::{Header, SignableTransaction, TrieAccount, TxEip1559};
    use alloy_hardforks::EthereumHardfork;
    use alloy_primitives::{Bytes, Signature, TxKind, keccak256};
    use weft_trie::{SparseTrie, VerifiedWitness};

    use super::*;
    use crate::block::{Block, SignedTransaction};
    use crate::chain::Chain;
    use crate::pre_state::{Ancestors, Codes};

    /// A transaction to `to`. Whose signature it is matters to nobody: any point is somebody's key.
    fn transaction(number: u64, to: TxKind) -> SignedTransaction {
        let bare = TxEip1559 { chain_id: 1, nonce: number, to, ..TxEip1559::default() };
        let signature = Signature::new(U256::ONE, U256::from(2 + number), false);
        SignedTransaction::Eip1559(bare.into_signed(signature))
    }

    /// An account with this number as its nonce.
    fn leaf(nonce: u64) -> Bytes {
        alloy_rlp::encode(TrieAccount { nonce, ..TrieAccount::default() }).into()
    }

    /// A state of every second address; of these, the witness lacks the way to every third.
    fn state(addresses: &[Address]) -> WitnessState {
        let mut trie = SparseTrie::empty();
        let there = addresses.iter().step_by(2);
        trie.apply(there.zip(1..).map(|(address, nonce)| (keccak256(address), Some(leaf(nonce))))).unwrap();
        let mut nodes = BTreeSet::new();
        for (_, address) in addresses.iter().enumerate().filter(|(place, _)| place % 3 != 1) {
            nodes.extend(trie.proof(keccak256(address)).unwrap());
        }
        let nodes: Vec<Bytes> = nodes.into_iter().collect();
        let tries = VerifiedWitness::of(&nodes, trie.root()).unwrap();
        WitnessState { tries, codes: Codes::new(&[]), ancestors: Ancestors::default() }
    }

    #[test]
    fn k1_answers_are_those_of_the_state() {
        let recipients = (0..400_u32).map(|number| match number % 5 {
            0 => TxKind::Create,
            // Some are met twice.
            _ => TxKind::Call(Address::left_padding_from(&(number / 3).to_be_bytes())),
        });
        let transactions: Vec<_> = (0..).zip(recipients).map(|(n, to)| transaction(n, to)).collect();
        let mut addresses: Vec<Address> = (0..100).map(Address::repeat_byte).collect();
        for transaction in &transactions {
            addresses.push(transaction.recover_signer().unwrap());
            addresses.extend(alloy_consensus::Transaction::to(transaction));
        }
        let state = state(&addresses);
        let rules = Chain::at_fork(1, EthereumHardfork::Cancun).rules_at(1, 1);
        let mut block = Block::uncle(Header { excess_blob_gas: Some(0), ..Header::default() });
        block.body.transactions = transactions;
        let block = ReadyBlock::new(&rules, &block, None).unwrap();
        let (ahead, behind) = (Expected::of(&block, &state), Expected::of(&block, &state));
        ahead.look_up(0);

        let mut kinds = [0; 3];
        for address in addresses {
            let answer = state.account(address);
            for expected in [&ahead, &behind] {
                assert_eq!(expected.account(address), answer);
                assert_eq!(expected.has_storage(address), state.has_storage(address));
            }
            kinds[answer.map_or(2, |account| usize::from(account.is_some()))] += 1;
        }
        assert!(kinds.iter().all(|count| *count > 50), "absent, there, unknown: {kinds:?}");
    }
}
