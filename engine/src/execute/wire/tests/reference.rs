//! The containers as the specification writes them, decoded and hashed by libssz.

use libssz::SszDecode;
use libssz_derive::{HashTreeRoot, SszDecode};
use libssz_merkle::{HashTreeRoot, Node, Sha2Hasher};
use libssz_types::{ProgressiveList, SszList};

use super::super::Dialect;

/// The root, or `None` if libssz refuses the bytes.
pub(super) fn root(bytes: &[u8], dialect: Dialect) -> Option<Node> {
    let body = if dialect == Dialect::V0_3_3 { bytes } else { bytes.strip_prefix(b"\x15\x01")? };
    match dialect {
        Dialect::V21_0_1 => Some(hash(&WithoutKeys::from_ssz_bytes(body).ok()?.request)),
        Dialect::V21_0_0 => Some(hash(&WithKeys::from_ssz_bytes(body).ok()?.request)),
        Dialect::V0_3_3 => {
            let input = Bounded::from_ssz_bytes(body).ok()?;
            input.public_keys.is_empty().then(|| hash(&input.request))
        }
    }
}

/// `hash_tree_root`.
fn hash(value: &impl HashTreeRoot) -> Node {
    value.hash_tree_root(&Sha2Hasher)
}

/// Declares containers that are decoded, and hashed if they say so.
macro_rules! containers {
    ($($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(SszDecode)]
        struct $name { $($field: $type,)* }
    )*};
}

/// Newest form of a list.
type List<T> = ProgressiveList<T>;

containers! {
    /// v21.0.1.
    #[expect(dead_code, reason = "some fields only have to decode")]
    WithoutKeys { request: Request, witness: Witness, chain_id: u64, }
    /// v21.0.0.
    #[expect(dead_code, reason = "some fields only have to decode")]
    WithKeys { request: Request, witness: Witness, chain_id: u64, public_keys: List<[u8; 65]>, }
    /// v0.3.3.
    #[expect(dead_code, reason = "some fields only have to decode")]
    Bounded {
        request: BoundedRequest,
        witness: BoundedWitness,
        chain_id: u64,
        public_keys: SszList<SszList<u8, 48>, 0x10_0000>,
    }
    /// `ExecutionWitness`.
    #[expect(dead_code, reason = "some fields only have to decode")]
    Witness {
        state: List<SszList<u8, 1024>>,
        codes: List<SszList<u8, 65536>>,
        headers: SszList<SszList<u8, 1024>, 256>,
    }
    /// `ExecutionWitness` of v0.3.3.
    #[expect(dead_code, reason = "some fields only have to decode")]
    BoundedWitness {
        state: SszList<SszList<u8, 0x10_0000>, 0x10_0000>,
        codes: SszList<SszList<u8, 0x100_0000>, 0x1_0000>,
        headers: SszList<SszList<u8, 1024>, 256>,
    }
    /// `NewPayloadRequest`.
    #[derive(HashTreeRoot)]
    Request {
        payload: Payload,
        versioned_hashes: List<[u8; 32]>,
        parent_beacon_block_root: [u8; 32],
        requests: Requests,
    }
    /// `NewPayloadRequest` of v0.3.3.
    #[derive(HashTreeRoot)]
    BoundedRequest {
        payload: BoundedPayload,
        versioned_hashes: SszList<[u8; 32], 4096>,
        parent_beacon_block_root: [u8; 32],
        requests: SszList<SszList<u8, 0x10_0000>, 16>,
    }
    /// `ExecutionPayload`.
    #[derive(HashTreeRoot)]
    #[ssz(progressive_container)]
    Payload {
        parent_hash: [u8; 32],
        fee_recipient: [u8; 20],
        state_root: [u8; 32],
        receipts_root: [u8; 32],
        logs_bloom: [u8; 256],
        prev_randao: [u8; 32],
        numbers_0: u64,
        numbers_1: u64,
        numbers_2: u64,
        numbers_3: u64,
        extra_data: SszList<u8, 32>,
        base_fee_per_gas: [u8; 32],
        block_hash: [u8; 32],
        transactions: List<List<u8>>,
        withdrawals: List<Withdrawal>,
        blob_gas_used: u64,
        excess_blob_gas: u64,
        block_access_list: List<u8>,
        slot_number: u64,
    }
    /// `ExecutionPayload` of v0.3.3.
    #[derive(HashTreeRoot)]
    BoundedPayload {
        parent_hash: [u8; 32],
        fee_recipient: [u8; 20],
        state_root: [u8; 32],
        receipts_root: [u8; 32],
        logs_bloom: [u8; 256],
        prev_randao: [u8; 32],
        numbers_0: u64,
        numbers_1: u64,
        numbers_2: u64,
        numbers_3: u64,
        extra_data: SszList<u8, 32>,
        base_fee_per_gas: [u8; 32],
        block_hash: [u8; 32],
        transactions: SszList<SszList<u8, 0x4000_0000>, 0x10_0000>,
        withdrawals: SszList<Withdrawal, 0x1_0000>,
        blob_gas_used: u64,
        excess_blob_gas: u64,
        block_access_list: SszList<u8, 0x100_0000>,
        slot_number: u64,
    }
    /// `ExecutionRequests`.
    #[derive(HashTreeRoot)]
    #[ssz(progressive_container)]
    Requests {
        deposits: List<Deposit>,
        withdrawals: List<WithdrawalRequest>,
        consolidations: List<Consolidation>,
        builder_deposits: List<BuilderDeposit>,
        builder_exits: List<BuilderExit>,
    }
}

/// Declares containers of fixed length, which lists ask to be encoded as well.
macro_rules! items {
    ($($name:ident { $($field:ident: $type:ty,)* })*) => {$(
        /// One item of a list.
        #[derive(SszDecode, libssz_derive::SszEncode, HashTreeRoot)]
        struct $name { $($field: $type,)* }
    )*};
}

items! {
    Withdrawal { index: u64, validator_index: u64, address: [u8; 20], amount: u64, }
    Deposit {
        pubkey: [u8; 48],
        withdrawal_credentials: [u8; 32],
        amount: u64,
        signature: [u8; 96],
        index: u64,
    }
    WithdrawalRequest { source_address: [u8; 20], validator_pubkey: [u8; 48], amount: u64, }
    Consolidation { source_address: [u8; 20], source_pubkey: [u8; 48], target_pubkey: [u8; 48], }
    BuilderDeposit {
        pubkey: [u8; 48],
        withdrawal_credentials: [u8; 32],
        amount: u64,
        signature: [u8; 96],
    }
    BuilderExit { source_address: [u8; 20], pubkey: [u8; 48], }
}
