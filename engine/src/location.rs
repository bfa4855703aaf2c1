//! What a transaction can touch, and the value each place holds.

use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;
use revm::state::{Account, AccountInfo, EvmState};
use weft_scheduler::TxIndex;

/// One place a transaction can read or write.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Location {
    /// Balance, nonce and code hash of an account.
    Account(Address),
    /// A storage slot.
    Slot(Address, U256),
    /// The last time an account's storage was emptied.
    Wipe(Address),
    /// The last time that the beneficiary's account changed otherwise than by a tip ([`tip`]).
    Beneficiary,
    /// A code that a transaction of this block brought.
    Code(B256),
}

/// What a place holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// An account without its code, or none.
    Account(Option<AccountInfo>),
    /// A slot's value and the transaction that wrote it, if one did, to be compared with the account's last wipe.
    Slot(U256, Option<TxIndex>),
    /// The transaction that last did what the location tells of. An account's storage is emptied before the
    /// transaction writes any of its own slots.
    By(TxIndex),
    /// A code.
    Code(Bytecode),
}

/// What one transaction may add to the beneficiary's balance for it to be a tip. More than all the ether there is, and
/// so little that all tips of a block together cannot make a balance overflow that is below [`TIPPED_MAX`]; nor can the
/// fees, each of which is a product of 128 and 64 bits.
pub(crate) const TIP_MAX: U256 = U256::from_limbs([0, 0, 1, 0]);

/// The highest balance to which tips are added unseen.
pub(crate) const TIPPED_MAX: U256 = U256::from_limbs([0, 0, 0, 1 << 8]);

/// What was added to the balance of an account that `before` describes, if nothing else has happened to it, and if it
/// is not so much that the sum could matter.
pub(crate) fn tip(account: &Account, before: &AccountInfo) -> Option<U256> {
    let amount = account.info.balance.checked_sub(before.balance)?;
    let same = (account.info.nonce, account.info.code_hash) == (before.nonce, before.code_hash)
        && !account.is_created()
        && !account.is_selfdestructed()
        && account.changed_storage_slots().next().is_none();
    (same && amount < TIP_MAX).then_some(amount)
}

/// Whether a touched account is there when its transaction is over. EIP-161 removes empty ones; revm's journal has
/// already undone this for the forks before it.
pub(crate) fn exists_after(account: &Account) -> bool {
    !account.is_selfdestructed() && (!account.is_empty() || account.is_created())
}

/// The write set of a transaction: every place it changed, with the value it left.
///
/// An account or slot that ends as it began is left out, so that nobody has to wait for it; so is the
/// beneficiary's account, which is only read from committed state: here it says that it is no more what it was.
pub(crate) fn write_set(tx: TxIndex, state: &mut EvmState, beneficiary: Address) -> Vec<(Location, Value)> {
    // Most accounts come with a slot or none.
    let mut writes = Vec::with_capacity(2 * state.len());
    for (&address, account) in state {
        // revm's `State` ignores accounts that were not touched.
        if !account.is_touched() {
            continue;
        }
        let existed = !account.is_loaded_as_not_existing();
        let exists = exists_after(account);
        if address == beneficiary {
            if tip(account, &account.original_info()).is_none() {
                writes.push((Location::Beneficiary, Value::By(tx)));
            }
        } else if existed != exists || account.is_changed() {
            writes.push((
                Location::Account(address),
                Value::Account(exists.then(|| account.info.copy_without_code())),
            ));
        }
        if brought_code(account)
            && let Some(code) = &account.info.code
        {
            writes.push((Location::Code(account.info.code_hash), Value::Code(code.clone())));
        }
        // An account that did not exist has nothing to wipe: either it never had storage, or whoever removed it
        // has wiped it.
        if existed && (account.is_created() || !exists) || account.is_selfdestructed() {
            writes.push((Location::Wipe(address), Value::By(tx)));
        }
        if exists {
            let changed = account.changed_storage_slots();
            writes.extend(changed.map(|(slot, value)| {
                (Location::Slot(address, *slot), Value::Slot(value.present_value, Some(tx)))
            }));
        }
    }
    writes
}

/// Whether the transaction that has left these accounts neither made nor removed one, brought no code, and had nothing to
/// do with the beneficiary's account.
pub(crate) fn are_ordinary(state: &mut EvmState, beneficiary: Address) -> bool {
    !state.contains_key(&beneficiary)
        && state.values_mut().filter(|account| account.is_touched()).all(|account| {
            !account.is_created()
                && !account.is_selfdestructed()
                && !account.is_empty()
                && !brought_code(account)
        })
}

/// Whether an account has a code that it had not before its transaction.
fn brought_code(account: &mut Account) -> bool {
    let hash = account.info.code_hash;
    if account.is_loaded_as_not_existing() {
        !account.info.is_empty_code_hash()
    } else {
        account.is_changed() && account.original_info_mut().code_hash != hash
    }
}
