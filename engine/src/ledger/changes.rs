//! What the block has changed, account by account, and how to undo it.
//!
//! ```text
//!  entries, in pieces ─► what has become of them ─► the bundle's map     one thread
//!                        and how to undo it      ─► the bundle's list    another
//!                        all threads
//! ```
//!
//! Only one thread can fill the map, so all the rest is done before, by whoever comes first. A thread waits only while
//! another one prepares the piece that it needs.

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
const ACCOUNTS_WORTH_SHARING: usize = 4_096;

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
    /// Their entries; none any more when somebody has prepared them.
    entries: &'p mut [Entry],
    /// What has become of them, until the map takes it. It was moved once more for that, by a thread that would have had
    /// less to do.
    accounts: Vec<(Address, BundleAccount)>,
    /// How to undo that, until the list takes it.
    undo: Undo,
}

/// Takes what has become of the accounts that have changed, on several threads of the current pool if they are many. The
/// parts are of no use afterwards.
pub(super) fn take<'p>(parts: impl Iterator<Item = &'p mut Part>) -> BundleState {
    let parts: Vec<&mut Part> = parts.collect();
    let count = parts.iter().map(|part| part.len()).sum();
    let pieces = parts.into_iter().flat_map(|part| part.pieces(PIECE));
    let mut undo = Undo { reverts: Vec::with_capacity(count), ..Undo::default() };
    let mut bundle = BundleState::default();
    bundle.state.reserve(count);
    let threads = rayon::current_num_threads().min(count / ACCOUNTS_WORTH_SHARING + 1);
    if threads == 1 {
        pieces.flatten().filter_map(|entry| undo.take(entry)).for_each(|account| put(&mut bundle, account));
    } else {
        let pieces: Vec<Mutex<Piece<'_>>> =
            pieces.map(|entries| Mutex::new(Piece { entries, ..Piece::default() })).collect();
        take_together(&pieces, threads, &mut bundle, &mut undo);
    }
    let Undo { reverts, size, codes } = undo;
    BundleState { contracts: codes, reverts: Reverts::new(vec![reverts]), reverts_size: size, ..bundle }
}

/// Takes all pieces, on so many threads: two at least.
fn take_together(pieces: &[Mutex<Piece<'_>>], threads: usize, bundle: &mut BundleState, undo: &mut Undo) {
    let fill = || {
        for piece in pieces {
            // Not under the lock: the next thread must not wait for the map.
            let accounts = piece.lock().take_accounts();
            for account in accounts {
                put(bundle, account);
            }
        }
    };
    let list = || pieces.iter().for_each(|piece| undo.append(piece.lock().take_undo()));
    let next = AtomicUsize::new(0);
    // ORDERING: it only spreads the work; the pieces are behind locks.
    let help = || {
        while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            // Whoever has the lock prepares it, or somebody has.
            if let Some(mut piece) = piece.try_lock() {
                piece.prepare();
            }
        }
    };
    rayon::scope(|scope| {
        for _ in 2..threads {
            scope.spawn(|_| help());
        }
        rayon::join(fill, list);
    });
}

/// Puts what has become of an account into the bundle.
#[inline]
fn put(bundle: &mut BundleState, (address, account): (Address, BundleAccount)) {
    bundle.state_size += account.size_hint();
    bundle.state.insert(address, account);
}

impl Piece<'_> {
    /// Finds out what has become of the accounts, and how to undo it, if nobody has.
    fn prepare(&mut self) {
        let entries = core::mem::take(&mut self.entries);
        self.accounts.reserve(entries.len());
        self.undo.reverts.reserve(entries.len());
        self.accounts.extend(entries.iter_mut().filter_map(|entry| self.undo.take(entry)));
    }

    /// Takes what has become of the accounts.
    fn take_accounts(&mut self) -> Vec<(Address, BundleAccount)> {
        self.prepare();
        core::mem::take(&mut self.accounts)
    }

    /// Takes how to undo that.
    fn take_undo(&mut self) -> Undo {
        self.prepare();
        core::mem::take(&mut self.undo)
    }
}

impl Undo {
    /// Takes what has become of an account, if it has changed, and notes how to undo it.
    #[inline]
    fn take(&mut self, entry: &mut Entry) -> Option<(Address, BundleAccount)> {
        if !entry.changed {
            return None;
        }
        self.codes.extend(entry.new_code());
        let revert = entry.take_revert()?;
        self.size += revert.size_hint();
        self.reverts.push((entry.address, revert));
        Some((entry.address, entry.take_account()))
    }

    /// Takes over what was noted elsewhere.
    fn append(&mut self, mut other: Self) {
        self.reverts.append(&mut other.reverts);
        self.size += other.size;
        self.codes.extend(other.codes);
    }
}
