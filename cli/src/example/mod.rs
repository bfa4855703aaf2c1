//! The built-in example: a seeded L2 block, generated with its state and witness.
//!
//! Four hundred transactions of a rollup's day: transfers of ether, token transfers, swaps on a constant-product pool,
//! and one contract creation. The block is put together by running it once in order; what comes out is a
//! `StatelessInput` like any other.

mod contracts;

use alloy_consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy_consensus::{BlockBody, Header, SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::AccessList;
use alloy_eips::eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE};
use alloy_eips::eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE};
use alloy_eips::eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
use alloy_eips::eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address, keccak256};
use alloy_rlp::Encodable;
use k256::ecdsa::SigningKey;
use weft_engine::execute::wire::{self, Dialect, ExecutionPayload, ExecutionWitness, StatelessInput};
use weft_engine::pre_state::{Ancestors, Codes, WitnessState};
use weft_engine::{Block, Chain, Outcome, ReadyBlock, SignedTransaction, sequential};

use crate::world::World;

/// Chain id of the example.
const CHAIN_ID: u64 = 1_729;
/// Number of accounts that send.
const SENDERS: usize = 100;
/// Number of transactions.
const TRANSACTIONS: usize = 400;
/// Gas limit of the block and of its parent, which used half of it: so the base fee stays.
const GAS_LIMIT: u64 = 400_000_000;
/// Base fee, in wei.
const BASE_FEE: u64 = 1_000_000_000;
/// The two tokens.
const TOKENS: [Address; 2] = [Address::repeat_byte(0x70), Address::repeat_byte(0x71)];
/// The pool.
const POOL: Address = Address::repeat_byte(0x90);
/// Contracts whose queues Amsterdam empties at the end of a block. A rollup has no validators and no builders, so
/// here they do nothing: their code is `STOP`.
const REQUEST_QUEUES: [Address; 4] = [
    WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    address!("0x0000BFF46984E3725691FA540A8C7589300D8282"),
    address!("0x000064D678505AD48F8CCB093BC65613800E8282"),
];

/// The example, as bytes that EXECUTE takes.
///
/// # Errors
///
/// If the example is not a valid block; a bug.
pub(crate) fn input() -> anyhow::Result<Vec<u8>> {
    let senders: Vec<Sender> = (0..SENDERS).map(Sender::new).collect();
    let (state_root, mut witness) = world(&senders).witness()?;
    let parent = parent(state_root);
    let transactions = transactions(&senders);
    let mut rlp = Vec::with_capacity(parent.length());
    parent.encode(&mut rlp);
    witness.headers = vec![rlp.into()];
    let mut block = Block {
        header: unfinished_header(&parent, &transactions),
        body: BlockBody { transactions, ommers: Vec::new(), withdrawals: Some(Vec::new().into()) },
    };
    let outcome = finish_header(&mut block, state_root, &witness)?;
    Ok(wire::encode(&stateless_input(&block, &outcome, witness))?)
}

/// Somebody who signs.
struct Sender {
    /// The key.
    key: SigningKey,
    /// Its address.
    address: Address,
}

impl Sender {
    /// The sender with this number.
    fn new(number: usize) -> Self {
        let secret = keccak256(format!("weft example {number}"));
        let key = SigningKey::from_slice(&secret.0).expect("a hash is a key, but for one in 2^128");
        let point = key.verifying_key().to_encoded_point(false);
        Self { address: Address::from_raw_public_key(&point.as_bytes()[1..]), key }
    }

    /// Signs a transaction.
    fn sign(&self, nonce: u64, to: TxKind, value: u64, input: Vec<u8>) -> SignedTransaction {
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: if to.is_create() { 5_000_000 } else { 600_000 },
            max_fee_per_gas: u128::from(BASE_FEE) * 2,
            max_priority_fee_per_gas: 1_000_000,
            to,
            value: U256::from(value),
            access_list: AccessList::default(),
            input: input.into(),
        };
        let digest = transaction.signature_hash();
        let signature = self.key.sign_prehash_recoverable(&digest.0).expect("a digest can be signed");
        SignedTransaction::Eip1559(transaction.into_signed(signature.into()))
    }
}

/// The state before the block.
fn world(senders: &[Sender]) -> World {
    let ether = U256::from(1_000_000_000_000_000_000_u64);
    let mut world = World::default();
    for sender in senders {
        world.account(sender.address).balance = U256::from(100) * ether;
        for token in TOKENS {
            let storage = &mut world.account(token).storage;
            storage.insert(contracts::balance_slot(sender.address), U256::from(1_000_000));
            storage.insert(contracts::allowance_slot(sender.address, POOL), U256::from(1_000_000));
        }
    }
    for token in TOKENS {
        let account = world.account(token);
        (account.nonce, account.code) = (1, contracts::token());
        account.storage.insert(contracts::balance_slot(POOL), U256::from(50_000_000));
    }
    let pool = world.account(POOL);
    (pool.nonce, pool.code) = (1, contracts::pool());
    let reserve = U256::from(50_000_000);
    let words = [TOKENS[0].into_word().into(), TOKENS[1].into_word().into(), reserve, reserve];
    pool.storage = (0..).map(U256::from).zip(words).collect();
    let system = [
        (BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE.clone()),
        (HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE.clone()),
    ];
    for (address, code) in
        system.into_iter().chain(REQUEST_QUEUES.map(|queue| (queue, Bytes::from_static(&[0]))))
    {
        let account = world.account(address);
        (account.nonce, account.code) = (1, code);
    }
    world
}

/// The transactions: in every ten, four transfers of ether, three of a token, three swaps; and one creation.
fn transactions(senders: &[Sender]) -> Vec<SignedTransaction> {
    let mut random = Random(1);
    let mut nonces = vec![0; senders.len()];
    (0..TRANSACTIONS)
        .map(|index| {
            let who = random.below(senders.len());
            let (sender, nonce) = (&senders[who], nonces[who]);
            nonces[who] += 1;
            let amount = 1 + random.below(1_000) as u64;
            let other = senders[random.below(senders.len())].address;
            let (to, value, input) = match index % 10 {
                _ if index == TRANSACTIONS / 2 => (TxKind::Create, 0, contracts::token_deployment().to_vec()),
                0..=3 => (other.into(), amount, Vec::new()),
                4..=6 => (TOKENS[index % 2].into(), 0, contracts::transfer(other, amount)),
                _ => (POOL.into(), 0, contracts::swap(amount % 2, amount)),
            };
            sender.sign(nonce, to, value, input)
        })
        .collect()
}

/// The block before the example.
fn parent(state_root: B256) -> Header {
    Header {
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        state_root,
        number: 99,
        gas_limit: GAS_LIMIT,
        gas_used: GAS_LIMIT / 2,
        timestamp: 1_800_000_000,
        base_fee_per_gas: Some(BASE_FEE),
        withdrawals_root: Some(weft_trie::ordered_root(Vec::<Vec<u8>>::new())),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(alloy_eips::eip7685::EMPTY_REQUESTS_HASH),
        block_access_list_hash: Some(keccak256([alloy_rlp::EMPTY_LIST_CODE])),
        slot_number: Some(99),
        ..Header::default()
    }
}

/// The header without what running the block gives.
fn unfinished_header(parent: &Header, transactions: &[SignedTransaction]) -> Header {
    Header {
        parent_hash: parent.hash_slow(),
        beneficiary: Address::repeat_byte(0xbe),
        transactions_root: weft_trie::ordered_root(transactions.iter().map(Encodable2718::encoded_2718)),
        number: parent.number + 1,
        timestamp: parent.timestamp + 2,
        parent_beacon_block_root: Some(B256::repeat_byte(0x11)),
        slot_number: Some(100),
        ..parent.clone()
    }
}

/// Runs the block in order and completes its header.
fn finish_header(block: &mut Block, state_root: B256, witness: &ExecutionWitness) -> anyhow::Result<Outcome> {
    let tries = weft_trie::Witness::new(witness.state.clone()).verify(state_root)?;
    let codes = Codes::new(&witness.codes);
    let pre_state = WitnessState { tries, codes, ancestors: Ancestors::default() };
    let chain = Chain::at_fork(CHAIN_ID, EthereumHardfork::Amsterdam);
    let rules = chain.rules_at(block.header.number, block.header.timestamp);
    let outcome = sequential::run(&ReadyBlock::new(&rules, block, None)?, &pre_state)?;
    let receipts = outcome.summarize_receipts();
    let header = &mut block.header;
    header.gas_used = outcome.gas_used;
    header.state_root = pre_state.tries.post_state(&outcome.changes.to_trie())?.state_root();
    header.receipts_root = receipts.root;
    header.logs_bloom = receipts.bloom;
    header.requests_hash = Some(outcome.requests.requests_hash());
    header.block_access_list_hash =
        outcome.block_access_list.as_ref().map(|list| keccak256(alloy_rlp::encode(list)));
    Ok(outcome)
}

/// The block as EXECUTE takes it.
fn stateless_input(block: &Block, outcome: &Outcome, witness: ExecutionWitness) -> StatelessInput {
    let header = &block.header;
    let payload = ExecutionPayload {
        parent_hash: header.parent_hash,
        fee_recipient: header.beneficiary,
        state_root: header.state_root,
        receipts_root: header.receipts_root,
        logs_bloom: header.logs_bloom,
        prev_randao: header.mix_hash,
        block_number: header.number,
        gas_limit: header.gas_limit,
        gas_used: header.gas_used,
        timestamp: header.timestamp,
        extra_data: header.extra_data.clone(),
        base_fee_per_gas: U256::from(BASE_FEE),
        block_hash: header.hash_slow(),
        transactions: block.body.transactions.iter().map(|signed| signed.encoded_2718().into()).collect(),
        withdrawals: Vec::new(),
        blob_gas_used: 0,
        excess_blob_gas: 0,
        block_access_list: outcome
            .block_access_list
            .as_ref()
            .map(alloy_rlp::encode)
            .unwrap_or_default()
            .into(),
        slot_number: header.slot_number.unwrap_or_default(),
    };
    StatelessInput {
        dialect: Dialect::V21_0_1,
        chain_id: CHAIN_ID,
        payload,
        versioned_hashes: Vec::new(),
        parent_beacon_block_root: header.parent_beacon_block_root.unwrap_or_default(),
        execution_requests: outcome.requests.iter().cloned().collect(),
        witness,
        public_keys: None,
        new_payload_request_root: B256::ZERO,
    }
}

/// A small generator (`SplitMix64`: Steele, Lea, Flood, OOPSLA 2014), so that the example is always the same.
struct Random(u64);

impl Random {
    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((word ^ (word >> 31)) % end as u64).expect("it is below a usize")
    }
}

#[cfg(test)]
mod tests {
    use weft_engine::execute::{self, ExecuteInput, Options, ReadOptions, Verdict};

    use super::*;

    fn judge(bytes: Vec<u8>, threads: usize) -> Verdict {
        let input = ExecuteInput::read(bytes.into(), &ReadOptions::default()).unwrap();
        execute::run(&input, &Options::with_threads(threads).unwrap())
    }

    #[test]
    fn the_example_is_valid_and_always_the_same() {
        let bytes = input().unwrap();
        assert_eq!(bytes, input().unwrap());
        for threads in [1, 2] {
            let verdict = judge(bytes.clone(), threads);
            assert_eq!(verdict.error, None);
            let outcome = verdict.outcome.unwrap();
            assert_eq!(outcome.receipts.len(), TRANSACTIONS);
            assert!(outcome.receipts.iter().all(|receipt| receipt.status.coerce_status()));
        }
    }

    #[test]
    fn an_altered_witness_makes_the_example_invalid() {
        let bytes = input().unwrap();
        let mut altered = wire::decode(&bytes, wire::DialectChoice::Current).unwrap();
        let mut node = altered.witness.state[0].to_vec();
        *node.last_mut().unwrap() ^= 1;
        altered.witness.state[0] = node.into();
        let verdict = judge(wire::encode(&altered).unwrap(), 2);
        assert_eq!(verdict.error.map(|error| error.blame()), Some("witness"));
    }
}
