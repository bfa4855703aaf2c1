//! What the block has changed, account by account, and how to undo it.
//!
//! ```text
//!  entries, in pieces ─► what has become of them ─► the bundle's map     one thread
//!                        and how to undo it      ─► the bundle's list    another
//!                        all threads
//! ```
//!
//! The map is filled by one thread, whatever the others do: so all that can be done before is, and what it takes lies side
//! by side. Who finds that nobody has looked at a piece yet does so himself; nobody waits but for somebody who is at it.

use core::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::Address;
use alloy_primitives::map::B256Map;
use parking_lot::Mutex;
use revm::bytecode::Bytecode;
use revm::database::states::reverts::Reverts;
use revm::database::{AccountRevert, BundleAccount, BundleState};

use super::entry::Entry;
use super::part::Part;

/// So many accounts make a piece.
const PIECE: usize = 256;

/// So many accounts are worth waking another thread.
const ACCOUNTS_WORTH_SHARING: usize = 1_024;

/// How to undo what the block has changed, and the codes that it has brought.
#[derive(Debug, Default)]
struct Undo {
    /// The accounts that have changed.
    reverts: Vec<(Address, AccountRevert)>,
    /// How large revm takes them to be.
    size: usize,
    /// The codes.
    codes: B256Map<Bytecode>,
}

/// Some accounts on their way into the bundle.
#[derive(Debug, Default)]
struct Piece<'p> {
    /// Those at which nobody has looked: all or none.
    entries: &'p mut [Entry],
    /// What has become of the others.
    accounts: Vec<(Address, BundleAccount)>,
    /// How to undo that.
    undo: Undo,
}

/// Takes what has become of the accounts that have changed, on the threads of the current pool if it is worth it. The parts
/// are of no use afterwards.
pub(super) fn take<'p>(parts: impl Iterator<Item = &'p mut Part>) -> BundleState {
    let parts: Vec<&mut Part> = parts.collect();
    let count = parts.iter().map(|part| part.len()).sum();
    let entries = parts.into_iter().flat_map(|part| part.pieces(PIECE));
    let mut undo = Undo { reverts: Vec::with_capacity(count), ..Undo::default() };
    let mut bundle = BundleState::default();
    bundle.state.reserve(count);
    let threads = rayon::current_num_threads().min(count / ACCOUNTS_WORTH_SHARING + 1);
    if threads == 1 {
        for entry in entries.flatten() {
            if undo.note(entry) {
                put(&mut bundle, entry.address, entry.take_account());
            }
        }
    } else {
        let pieces: Vec<Mutex<Piece<'_>>> =
            entries.map(|entries| Mutex::new(Piece { entries, ..Piece::default() })).collect();
        let next = AtomicUsize::new(0);
        // ORDERING: it only spreads the work; the pieces are behind locks.
        let help = || {
            while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
                piece.lock().look();
            }
        };
        let fill = || {
            for piece in &pieces {
                for (address, account) in piece.lock().take_accounts() {
                    put(&mut bundle, address, account);
                }
            }
        };
        let list = || pieces.iter().for_each(|piece| piece.lock().take_undo(&mut undo));
        rayon::scope(|scope| {
            for _ in 2..threads {
                scope.spawn(|_| help());
            }
            rayon::join(list, fill);
        });
    }
    let Undo { reverts, size, codes } = undo;
    BundleState { contracts: codes, reverts: Reverts::new(vec![reverts]), reverts_size: size, ..bundle }
}

/// Puts what has become of an account into the bundle.
fn put(bundle: &mut BundleState, address: Address, account: BundleAccount) {
    bundle.state_size += account.size_hint();
    bundle.state.insert(address, account);
}

impl Piece<'_> {
    /// Looks at the accounts, if nobody has.
    fn look(&mut self) {
        let mut undo = core::mem::take(&mut self.undo);
        self.look_into(&mut undo);
        self.undo = undo;
    }

    /// The same, and notes there how to undo what has become of them.
    fn look_into(&mut self, undo: &mut Undo) {
        let entries = core::mem::take(&mut self.entries);
        self.accounts.reserve(entries.len());
        for entry in entries {
            if undo.note(entry) {
                self.accounts.push((entry.address, entry.take_account()));
            }
        }
    }

    /// Takes what has become of the accounts.
    fn take_accounts(&mut self) -> Vec<(Address, BundleAccount)> {
        self.look();
        core::mem::take(&mut self.accounts)
    }

    /// Takes how to undo that.
    fn take_undo(&mut self, all: &mut Undo) {
        self.look_into(all);
        all.append(core::mem::take(&mut self.undo));
    }
}

impl Undo {
    /// Notes how to undo what has become of an account, and returns whether anything has. If so, it is to be
    /// [taken](Entry::take_account).
    fn note(&mut self, entry: &mut Entry) -> bool {
        if !entry.changed {
            return false;
        }
        self.codes.extend(entry.new_code());
        let Some(revert) = entry.take_revert() else { return false };
        self.size += revert.size_hint();
        self.reverts.push((entry.address, revert));
        true
    }

    /// Takes over what was noted elsewhere.
    fn append(&mut self, mut other: Self) {
        self.reverts.append(&mut other.reverts);
        self.size += other.size;
        self.codes.extend(other.codes);
    }
}
