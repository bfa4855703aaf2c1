//! A Merkle Patricia trie over part of its nodes, for running a block without the state.
//!
//! A block comes with a *witness*: the trie nodes on the way to everything the
//! block reads or changes. This crate ties them to the state root before the
//! block, answers reads, applies the changes, and computes the root after it.
//!
//! ```
//! use alloy_primitives::{Address, U256};
//! use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY};
//! use weft_trie::{AccountChange, AccountFields, StateChanges, Witness};
//!
//! // Before: nothing, which needs no nodes. After: one account with one slot.
//! let pre_state = Witness::new(vec![]).verify(EMPTY_ROOT_HASH)?;
//! let address = Address::repeat_byte(7);
//! let fields = AccountFields { nonce: 1, balance: U256::from(2), code_hash: KECCAK_EMPTY };
//! let storage = [(U256::from(3), U256::from(4))].into();
//! let change = AccountChange { account: Some(fields), storage_wiped: false, storage };
//! let post_state = pre_state.post_state(&StateChanges::from_iter([(address, change)]))?;
//!
//! // The nodes of a proof are a witness for what they prove.
//! let proof = post_state.account_proof(address, &[U256::from(3).into()])?;
//! let nodes = proof.proof.into_iter().chain(proof.storage[0].proof.clone()).collect();
//! let next = Witness::new(nodes).verify(post_state.state_root())?;
//! assert_eq!(next.storage(address, U256::from(3))?, U256::from(4));
//! # Ok::<(), weft_trie::WitnessError>(())
//! ```
//!
//! # What "sound" means here
//!
//! - **T1.** A node is found only by the Keccak-256 of its bytes. Bytes that
//!   nothing refers to have no effect, whatever they are.
//! - **T2.** Absence is proven, never assumed: a path that ends in an
//!   unresolved hash is an error, for reads and for removals.
//! - **T3.** Before the first read from a root, everything supplied that is
//!   reachable from it is checked; one malformed node fails the whole trie.
//! - **T4.** A supplied node is looked at once by itself, and at most once by
//!   each thread as a part of each kind of trie, whatever the shape of the
//!   witness; below a storage root that no account in it has, once by each
//!   call that names it. What is kept beside its bytes is some hundred, and
//!   four for each child.
//! - **T5.** What a read gives, value or error, depends on the witness alone:
//!   not on other reads, their order, or threads.
//! - **T6.** A branch collapses by what its children are after all changes. So
//!   no change needs more nodes than all insertions followed by all removals.
//! - **T7.** A change that sets what is already there changes no node.
//! - **T8.** Changes that fail leave the trie as it was.
//! - **T9.** The root after changes is the root of a trie built afresh from the
//!   resulting keys and values.
//! - **T10.** Proofs hold against the root, for keys present and absent.
//!
//! `tests/` names the invariant above each test that checks it.
//!
//! The trie knows no scheduler, no EVM, no files and no clock.
//!
//! ```text
//!  witness ─► store: hashes, index, shapes ─► check: what is reachable is sound
//!                │ supplied nodes, never copied
//!                ▼
//!              arena: the nodes that changed ◄── update: one sorted batch ◄── change: a block, in parts
//!                └─► encode ─► root: all of one height together                  ▲
//!                                                          early: what it will likely change
//! ```
//!
//! Read `store.rs`, then `check.rs`, `arena.rs` and `update.rs`. `near.rs` asks the memory for what walks will need, and
//! decides nothing. `known.rs` saves hashing from one witness to the
//! next. `keccak/` stands apart: it hashes many messages at once, and is the only place with `unsafe`.

mod account;
mod arena;
mod change;
mod check;
mod early;
mod encode;
mod encoded;
mod error;
mod index;
mod keccak;
mod key;
mod keyed;
mod known;
mod multiproof;
mod near;
mod open_branch;
mod opened;
mod ordered;
mod parts;
mod root;
mod shape;
mod sparse;
mod state;
mod store;
mod update;
mod values;
mod witness;

pub use account::{AccountProof, StorageProof};
pub use early::EarlyState;
pub use error::{BadNodeReason, WitnessError};
pub use keccak::{Backend, keccak256_batch, keccak256_batch_parallel};
pub use keyed::KeyedChanges;
pub use known::KnownHashes;
pub use multiproof::MultiProof;
pub use ordered::{ordered_root, ordered_root_with};
pub use sparse::SparseTrie;
pub use state::{AccountChange, AccountFields, SparseState, StateChanges};
pub use witness::{VerifiedWitness, Witness};
