//! Transactions that may not stand where they stand.

use alloy_primitives::{Address, B256, TxKind, U256};

use super::plan::{Envelope, Nonce, Plan};
use super::random::Random;

/// Makes a transaction break a rule. What it breaks may be no rule at this fork.
pub(super) fn spoil(plan: &mut Plan, random: &mut Random) {
    match random.below(16) {
        0 | 1 => plan.nonce = Nonce::Ahead(random.within(1..=3)),
        2 | 3 => plan.nonce = Nonce::Behind(random.within(1..=2)),
        4 => plan.nonce = Nonce::Last,
        5 => plan.value = U256::MAX,
        // Just about what a sender owns.
        6 => plan.value = U256::from(10).pow(U256::from(18)) - U256::from(random.within(0..=40_000_000)),
        7 => plan.gas_limit = 2_000_000_000,
        8 => plan.gas_limit = random.pick(&[0, 20_999, 21_000, 16_777_216, 16_777_217]),
        9 => (plan.max_fee, plan.priority_fee) = (0, 0),
        10 => (plan.priority_fee, plan.envelope) = (plan.max_fee + 1, Envelope::Eip1559),
        11 => (plan.chain_id, plan.max_fee) = (Some(7), plan.max_fee),
        12 => plan.max_fee = u128::MAX,
        13 => {
            plan.envelope = Envelope::Eip4844;
            plan.max_blob_fee = u128::from(random.word() % 2);
            plan.blobs = vec![B256::with_last_byte(1); random.below(8)];
            for hash in &mut plan.blobs {
                hash[0] = u8::from(random.chance(90));
            }
        }
        14 => (plan.envelope, plan.authorizations) = (Envelope::Eip7702, Vec::new()),
        _ => {
            // Init code beyond EIP-3860's limit, or a call that is not allowed to be a creation.
            plan.to = if random.chance(50) { TxKind::Create } else { Address::ZERO.into() };
            plan.input = vec![0; 49_153].into();
            plan.gas_limit += 3_000_000;
        }
    }
}
