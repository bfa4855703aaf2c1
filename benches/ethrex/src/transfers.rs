//! A block of plain transfers with its witness, made up from numbers.
//!
//! Everybody is a function of their number, so the same numbers make the same
//! block. Each sender signs one transaction and pays a recipient who is nobody
//! else's; all of them have been in the state before, among bystanders. The
//! chain is mainnet in Cancun, so that every program knows its rules. ethrex
//! itself runs the block to find what belongs into its header.
//!
//! ```text
//!  numbers ─► accounts ─► state trie ─► witness ─► run by ethrex ─► header ─► JSON
//!        └──► keys ─────► transactions ──────────┘
//! ```

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context, Result, ensure};
use ethrex_common::{
    Address, Bytes, H160, H256, U256,
    constants::DEFAULT_OMMERS_HASH,
    types::{
        AccountState, Block, BlockBody, BlockHeader, ChainConfig, EIP1559Transaction, ELASTICITY_MULTIPLIER,
        Transaction, TxKind,
        block_execution_witness::{GuestProgramState, RpcExecutionWitness},
        compute_receipts_root_and_logs_bloom, compute_transactions_root, compute_withdrawals_root,
    },
};
use ethrex_crypto::{Crypto, NativeCrypto};
use ethrex_rlp::encode::RLPEncode;
use ethrex_trie::Trie;
use ethrex_vm::{Evm, GuestProgramStateWrapper};
use rayon::prelude::*;
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};
use serde::{Deserialize, Serialize};

use crate::chain::chain_config;

/// Mainnet.
const CHAIN_ID: u64 = 1;
/// Any block of mainnet's Cancun.
const NUMBER: u64 = 19_500_000;
/// A second of Cancun.
const TIMESTAMP: u64 = 1_711_300_000;
/// What a transfer takes.
const TRANSFER_GAS: u64 = 21_000;
/// Base fee, in wei.
const BASE_FEE: u64 = 1_000_000_000;
/// Wei in an ether.
const ETHER: u64 = 1_000_000_000_000_000_000;
/// Who gets the tips.
const BENEFICIARY: Address = H160([0xbe; 20]);
/// Where EIP-4788 would keep the beacon roots. Nothing is there in this state,
/// and the call at the beginning of a block does nothing then.
const BEACON_ROOTS: Address = H160([
    0x00, 0x0f, 0x3d, 0xf6, 0xd7, 0x32, 0x80, 0x7e, 0xf1, 0x31, 0x9f, 0xb7, 0xb8, 0xbb, 0x85, 0x22, 0xd0,
    0xbe, 0xac, 0x02,
]);

/// How large block and state are.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Transactions.
    pub transfers: u32,
    /// Accounts in the state: senders, recipients, and bystanders.
    pub accounts: u32,
}

/// A witness file, as [`crate::input`] and `weft execute` read it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WitnessFile {
    /// The chain.
    chain_id: u64,
    /// State root before the block.
    pre_state_root: H256,
    /// State root after the block.
    state_root: H256,
    /// Gas used by the block.
    gas_used: u64,
    /// The block in RLP, as hex.
    block: String,
    /// Nodes and the parent's header.
    witness: RpcExecutionWitness,
}

/// Makes the block and its witness.
///
/// # Errors
///
/// If there is no transfer, or fewer accounts than senders and recipients.
pub fn make(size: Size) -> Result<WitnessFile> {
    let Size { transfers, accounts } = size;
    ensure!(transfers > 0, "a block without a transfer is none of transfers");
    ensure!(
        accounts / 2 >= transfers,
        "{transfers} transfers are between {} accounts",
        2 * u64::from(transfers)
    );
    let senders: Vec<Sender> = (0..transfers).into_par_iter().map(Sender::new).collect();
    let address = |number: u32| match senders.get(number as usize) {
        Some(sender) => sender.address,
        None => address_without_key(number),
    };

    let mut state = Trie::empty_in_memory();
    for number in 0..accounts {
        state.insert(path(address(number)), account(number).encode_to_vec())?;
    }
    let pre_state_root = state.hash(&NativeCrypto)?;
    let touched = (0..2 * transfers).map(address).chain([BENEFICIARY, BEACON_ROOTS]);
    let nodes = proofs(&state, touched)?;

    let parent = parent(pre_state_root, transfers);
    let transactions: Vec<Transaction> = senders
        .par_iter()
        .zip(0..transfers)
        .map(|(sender, number)| sender.pay(number, address(transfers + number)))
        .collect::<Result<_>>()?;
    let witness = RpcExecutionWitness {
        state: nodes.into_iter().map(Bytes::from).collect(),
        headers: vec![parent.encode_to_vec().into()],
        ..RpcExecutionWitness::default()
    };
    let block = finish(transactions, &parent, &witness)?;
    Ok(WitnessFile {
        chain_id: CHAIN_ID,
        pre_state_root,
        state_root: block.header.state_root,
        gas_used: block.header.gas_used,
        block: format!("0x{}", hex::encode(block.encode_to_vec())),
        witness,
    })
}

/// Somebody who signs.
struct Sender {
    /// The key.
    key: SecretKey,
    /// Its address.
    address: Address,
}

impl Sender {
    /// The sender with this number.
    fn new(number: u32) -> Self {
        let secret = hash(&format!("key {number}"));
        let key = SecretKey::from_slice(&secret.0).expect("a hash is a key, but for one in 2^128");
        let point = PublicKey::from_secret_key(SECP256K1, &key).serialize_uncompressed();
        let word = NativeCrypto.keccak256(&point[1..]);
        Self { key, address: Address::from_slice(&word[12..]) }
    }

    /// A signed transfer to `to` by the sender with this number.
    fn pay(&self, number: u32, to: Address) -> Result<Transaction> {
        let unsigned = EIP1559Transaction {
            chain_id: CHAIN_ID,
            nonce: account(number).nonce,
            max_priority_fee_per_gas: 1_000_000,
            max_fee_per_gas: 2 * BASE_FEE,
            gas_limit: TRANSFER_GAS,
            to: TxKind::Call(to),
            value: U256::from(ETHER / 100) + number,
            ..EIP1559Transaction::default()
        };
        let payload = Transaction::EIP1559Transaction(unsigned.clone()).signing_payload()?;
        let (message, _) = payload.context("there is something to sign")?;
        let digest = Message::from_digest(NativeCrypto.keccak256(&message));
        let (parity, signature) = SECP256K1.sign_ecdsa_recoverable(&digest, &self.key).serialize_compact();
        let (r, s) = signature.split_at(32);
        Ok(Transaction::EIP1559Transaction(EIP1559Transaction {
            signature_y_parity: U256::from(i32::from(parity)),
            signature_r: U256::from_big_endian(r),
            signature_s: U256::from_big_endian(s),
            ..unsigned
        }))
    }
}

/// The address of somebody who never signs.
fn address_without_key(number: u32) -> Address {
    Address::from_slice(&hash(&format!("address {number}")).0[12..])
}

/// The account with this number: a few transactions old, with one to a hundred
/// ether and something.
fn account(number: u32) -> AccountState {
    let word = hash(&format!("account {number}"));
    let part = |from: usize| u64::from_be_bytes(word.0[from..from + 8].try_into().expect("eight bytes"));
    AccountState {
        nonce: part(0) % 200,
        balance: U256::from(1 + part(8) % 100) * ETHER + part(16) % ETHER,
        ..AccountState::default()
    }
}

/// Keccak-256 of a text.
fn hash(text: &str) -> H256 {
    H256(NativeCrypto.keccak256(text.as_bytes()))
}

/// Where an account is in the state trie.
fn path(address: Address) -> Vec<u8> {
    NativeCrypto.keccak256(address.as_bytes()).to_vec()
}

/// All nodes on the way to these accounts, each once, in the order of their
/// bytes.
fn proofs(state: &Trie, touched: impl Iterator<Item = Address>) -> Result<BTreeSet<Vec<u8>>> {
    let mut nodes = BTreeSet::new();
    for address in touched {
        nodes.extend(state.get_proof(&path(address))?);
    }
    Ok(nodes)
}

/// The block before, half full, so that the base fee stays.
fn parent(state_root: H256, transfers: u32) -> BlockHeader {
    let gas_limit = (u64::from(transfers) * TRANSFER_GAS).max(30_000_000);
    BlockHeader {
        ommers_hash: *DEFAULT_OMMERS_HASH,
        coinbase: BENEFICIARY,
        state_root,
        number: NUMBER - 1,
        gas_limit,
        gas_used: gas_limit / ELASTICITY_MULTIPLIER,
        timestamp: TIMESTAMP - 12,
        base_fee_per_gas: Some(BASE_FEE),
        withdrawals_root: Some(compute_withdrawals_root(&[], &NativeCrypto)),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(hash("beacon root of the parent")),
        ..BlockHeader::default()
    }
}

/// The block of these transactions. ethrex runs it for what its header says.
fn finish(
    transactions: Vec<Transaction>,
    parent: &BlockHeader,
    witness: &RpcExecutionWitness,
) -> Result<Block> {
    let crypto = Arc::new(NativeCrypto);
    let config = chain_config(CHAIN_ID)?;
    let header = BlockHeader {
        parent_hash: parent.compute_block_hash(crypto.as_ref()),
        transactions_root: compute_transactions_root(&transactions, crypto.as_ref()),
        number: NUMBER,
        timestamp: TIMESTAMP,
        prev_randao: hash("randomness"),
        parent_beacon_block_root: Some(hash("beacon root")),
        ..parent.clone()
    };
    let body = BlockBody { transactions, ommers: Vec::new(), withdrawals: Some(Vec::new()) };
    let mut block = Block::new(header, body);

    let mut state = start(&config, parent, witness)?;
    let mut evm = Evm::new_for_l1(state.clone(), crypto.clone());
    let (result, _) = evm.execute_block(&block)?;
    ensure!(result.receipts.iter().all(|receipt| receipt.succeeded), "a transfer failed");
    state.apply_account_updates(&evm.get_state_transitions()?)?;
    block.header.state_root = state.state_trie_root()?;
    block.header.gas_used = result.block_gas_used;
    (block.header.receipts_root, block.header.logs_bloom) =
        compute_receipts_root_and_logs_bloom(&result.receipts, crypto.as_ref());
    Ok(block)
}

/// The state that the witness holds.
fn start(
    config: &ChainConfig,
    parent: &BlockHeader,
    witness: &RpcExecutionWitness,
) -> Result<GuestProgramStateWrapper> {
    let parents = std::slice::from_ref(parent);
    let witness = witness.clone().into_execution_witness(*config, NUMBER, parents, &NativeCrypto)?;
    let state = GuestProgramState::from_witness(witness, &NativeCrypto)?;
    Ok(GuestProgramStateWrapper::new(state, Arc::new(NativeCrypto)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{input::Input, stateless::verify};

    /// The file of a small block.
    fn json(size: Size) -> String {
        serde_json::to_string(&make(size).expect("there are accounts enough")).expect("plain data")
    }

    #[test]
    fn the_path_accepts_the_block_and_it_is_always_the_same() {
        let size = Size { transfers: 30, accounts: 1_000 };
        let json = json(size);
        assert_eq!(json, self::json(size));
        let input = Input::from_json(json.as_bytes()).expect("a witness file");
        let outcome = verify(input.job().expect("a block")).expect("a valid block");
        assert_eq!(outcome.gas_used, 30 * TRANSFER_GAS);
        assert_eq!((outcome.state_root, outcome.gas_used), (input.state_root, input.gas_used));
    }

    #[test]
    fn nobody_pays_twice() {
        assert!(make(Size { transfers: 51, accounts: 100 }).is_err());
        assert!(make(Size { transfers: 0, accounts: 100 }).is_err());
        assert!(make(Size { transfers: 50, accounts: 100 }).is_ok());
    }
}
