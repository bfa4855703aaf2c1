//! What the block has changed, account by account, and how to undo it.
//!
//! ```text
//!  entries ─► how to undo them ─► what has become of them
//!             one thread          another, one piece behind
//! ```
//!
//! How to undo a change is found out before the bundle takes what has become of the account. Both are written to memory
//! that nobody has touched before, and that is most of what it takes.

use std::sync::mpsc;

use alloy_primitives::Address;
use alloy_primitives::map::B256Map;
use revm::bytecode::Bytecode;
use revm::database::states::reverts::Reverts;
use revm::database::{AccountRevert, BundleState};

use super::entry::Entry;
use super::part::Part;

/// So many accounts are handed on together.
const PIECE: usize = 256;

/// So many accounts are worth waking another thread.
const ACCOUNTS_WORTH_SHARING: usize = 1_024;

/// How to undo what the block has changed, and the codes that it has brought.
#[derive(Debug)]
struct Undo {
    /// The accounts that have changed.
    reverts: Vec<(Address, AccountRevert)>,
    /// How large revm takes them to be.
    size: usize,
    /// The codes.
    codes: B256Map<Bytecode>,
}

/// Takes what has become of the accounts that have changed, on two threads of the current pool if it has them and it is
/// worth it. The parts are of no use afterwards.
pub(super) fn take<'p>(parts: impl Iterator<Item = &'p mut Part>) -> BundleState {
    let parts: Vec<&mut Part> = parts.collect();
    let count = parts.iter().map(|part| part.len()).sum();
    let pieces = parts.into_iter().flat_map(|part| part.pieces(PIECE));
    let mut undo = Undo { reverts: Vec::with_capacity(count), size: 0, codes: B256Map::default() };
    let mut bundle = BundleState::default();
    bundle.state.reserve(count);
    if count < ACCOUNTS_WORTH_SHARING || rayon::current_num_threads() == 1 {
        for piece in pieces {
            undo.note(piece);
            take_accounts(piece, &mut bundle);
        }
    } else {
        let (noted, to_take) = mpsc::channel();
        let note = || {
            // Moved, so that the other thread finds the end.
            let noted = noted;
            for piece in pieces {
                undo.note(piece);
                // It fails only where taking has panicked, and then all is over.
                let _ = noted.send(piece);
            }
        };
        rayon::join(note, || to_take.into_iter().for_each(|piece| take_accounts(piece, &mut bundle)));
    }
    let Undo { reverts, size, codes } = undo;
    BundleState { contracts: codes, reverts: Reverts::new(vec![reverts]), reverts_size: size, ..bundle }
}

impl Undo {
    /// Notes how to undo what has become of some accounts. They are [taken](take_accounts) afterwards.
    fn note(&mut self, accounts: &mut [Entry]) {
        for entry in accounts.iter_mut().filter(|entry| entry.changed) {
            self.codes.extend(entry.new_code());
            let revert = entry.take_revert();
            entry.changed = revert.is_some();
            if let Some(revert) = revert {
                self.size += revert.size_hint();
                self.reverts.push((entry.address, revert));
            }
        }
    }
}

/// Puts what has become of some accounts into the bundle.
fn take_accounts(accounts: &mut [Entry], bundle: &mut BundleState) {
    // They are large: each is moved once.
    for entry in accounts.iter_mut().filter(|entry| entry.changed) {
        let account = entry.take_account();
        bundle.state_size += account.size_hint();
        bundle.state.insert(entry.address, account);
    }
}
