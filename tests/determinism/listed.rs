//! Long blocks in which each transaction goes on where the one before it has ended, with access lists that say how (S2).

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, U256};
use revm::state::bal::BlockAccessIndex;
use revm::state::bal::alloy::{
    AlloyAccountChanges, AlloyBal, AlloyBalanceChange, AlloyCodeChange, AlloyNonceChange, AlloyStorageChange,
};
use weft_engine::{Outcome, SignedTransaction};

use crate::made::{Signer, World};

/// Adds one to the slot that the first word names: PUSH0 CALLDATALOAD DUP1 SLOAD PUSH1 1 ADD SWAP1 SSTORE.
const COUNT: [u8; 9] = [0x5f, 0x35, 0x80, 0x54, 0x60, 0x01, 0x01, 0x90, 0x55];

/// How many transactions there are.
const MANY: usize = 700;

/// How many of them run before strands are tried.
const BEFORE: u64 = 64;

/// How many run in strands if the list is right.
const ALL: u64 = MANY as u64 - BEFORE;

/// How many people send them.
const PEOPLE: usize = 25;

/// Who is paid by all.
const PAID: Address = Address::repeat_byte(0xaa);

/// Where [`COUNT`] is.
const COUNTER: Address = Address::repeat_byte(0xc0);

/// Gas of so many transfers and a bit: runs seem too short for the scheduler to follow a list.
const SHORT: u64 = 21_000 * MANY as u64 + 2_600_000;

/// Runs a block in which a few people count in three slots and pay one person, each of them in turn, but for what `change`
/// changes. It comes with its access list, which `mislead` changes. Also says how many ran in strands on two threads,
/// each time.
fn run_changed(
    change: impl FnOnce(&[Signer], &mut [SignedTransaction]),
    mislead: impl Fn(&mut AlloyBal) + 'static,
) -> (Outcome, u64) {
    run_that_uses(SHORT, change, mislead)
}

/// As [`run_changed`], if the header says that so much gas is used.
fn run_that_uses(
    gas: u64,
    change: impl FnOnce(&[Signer], &mut [SignedTransaction]),
    mislead: impl Fn(&mut AlloyBal) + 'static,
) -> (Outcome, u64) {
    let people: Vec<Signer> = (0..PEOPLE as u64).map(Signer::new).collect();
    let mut world = World::default();
    world.gas_limit = 1_000_000_000;
    world.gas_used = gas;
    world.put(COUNTER, 1, COUNT.to_vec());
    for signer in &people {
        world.put(signer.address(), 0, Vec::new());
    }
    world.list = Some(Box::new(mislead));
    let transaction = |index: usize| match index % 4 {
        0 => people[index % PEOPLE].pay_with_gas(nonce(index), PAID, 1, GAS),
        slot => people[index % PEOPLE].call(nonce(index), COUNTER, U256::from(slot).to_be_bytes_vec()),
    };
    let mut transactions: Vec<_> = (0..MANY).map(transaction).collect();
    change(&people, &mut transactions);
    let (outcome, in_strands) = world.run_counting(EthereumHardfork::Cancun, transactions);
    assert_eq!(in_strands.least(), in_strands.most());
    (outcome.unwrap(), in_strands.least())
}

/// The same if nothing is changed.
fn run(mislead: impl Fn(&mut AlloyBal) + 'static) -> u64 {
    run_changed(|_, _| (), mislead).1
}

/// The nonce of a transaction.
const fn nonce(index: usize) -> u64 {
    (index / PEOPLE) as u64
}

/// What a list says of an account.
fn of(list: &mut AlloyBal, address: Address) -> &mut AlloyAccountChanges {
    list.iter_mut().find(|account| account.address == address).unwrap()
}

/// What a list says of one of the counted slots.
fn of_slot(list: &mut AlloyBal, slot: u64) -> &mut Vec<AlloyStorageChange> {
    let account = of(list, COUNTER);
    &mut account.storage_changes.iter_mut().find(|listed| listed.slot == U256::from(slot)).unwrap().changes
}

/// Which change of a slot is the last one before a transaction.
fn last_before(changes: &[AlloyStorageChange], transaction: u64) -> usize {
    changes.iter().rposition(|change| change.block_access_index.0 <= transaction).unwrap()
}

/// The gas limit of a payment: more than it takes, so that it does not look like a plain transfer.
const GAS: u64 = 30_000;

/// What they pay for gas.
const PRICE: u64 = 8;

/// Where on two threads the first row of a stretch ends, and the second begins.
const BORDERS: [u64; 3] = [64 + 32, 128 + 64, 256 + 128];

/// How many run in strands if those of the stretch with this border don't hold: the stretches before it are as long as all
/// that came before them.
const fn until(border: u64) -> u64 {
    border * 2 / 3 - BEFORE
}

#[test]
fn s2_whatever_depends_on_the_one_before_runs_in_strands() {
    let in_strands = run(|_| ());
    assert_eq!(in_strands, ALL);
}

/// Where the header says nothing, transactions seem to use what they may.
#[test]
fn where_runs_are_long_the_scheduler_follows_the_list_whether_or_not_it_is_right() {
    let wrong = |list: &mut AlloyBal| {
        for change in of_slot(list, 1).iter_mut().filter(|change| change.block_access_index.0 > 300) {
            change.new_value += U256::ONE;
        }
    };
    let right = |_: &mut AlloyBal| ();
    let (outcomes, in_strands): (Vec<_>, Vec<_>) =
        [run_that_uses(0, |_, _| (), right), run_that_uses(0, |_, _| (), wrong)].into_iter().unzip();
    assert_eq!(in_strands, [0, 0]);
    assert_eq!(outcomes[0], outcomes[1]);
}

#[test]
fn s2_what_was_another_value_is_found_out() {
    for border in BORDERS {
        let in_strands = run(move |list| {
            let changes = of_slot(list, 2);
            let at = last_before(changes, border);
            changes[at].new_value += U256::from(7);
        });
        assert_eq!(in_strands, until(border));
        let in_strands = run(move |list| {
            let changes = &mut of(list, PAID).balance_changes;
            let at = changes.iter().rposition(|change| change.block_access_index.0 <= border).unwrap();
            changes[at].post_balance += U256::from(7);
        });
        assert_eq!(in_strands, until(border));
    }
}

#[test]
fn s2_a_code_that_is_listed_is_never_there() {
    for border in BORDERS {
        let in_strands = run(move |list| {
            let index = BlockAccessIndex::new(border - 3);
            of(list, COUNTER).code_changes.push(AlloyCodeChange::new(index, vec![0x00].into()));
        });
        assert_eq!(in_strands, until(border));
    }
}

#[test]
fn s2_what_is_not_listed_is_found_out() {
    for border in BORDERS {
        let in_strands = run(move |list| {
            let changes = of_slot(list, 3);
            changes.remove(last_before(changes, border));
        });
        assert_eq!(in_strands, until(border));
    }
    let in_strands = run(|list| list.retain(|account| account.address != PAID));
    assert_eq!(in_strands, 0);
    let in_strands = run(|list| of(list, Signer::new(3).address()).nonce_changes.clear());
    assert_eq!(in_strands, 0);
}

/// Who comes behind a border finds a slot, or an account, to which the list says that somebody before it has done
/// something. Nobody has; but all that the list says fits together.
#[test]
fn s2_what_has_not_happened_is_found_out() {
    const SLOT: u64 = 9;
    const PERSON: Address = Address::repeat_byte(0xab);
    for border in BORDERS {
        let (before, behind) = (BlockAccessIndex::new(border - 3), usize::try_from(border).unwrap() + 5);
        let (outcome, in_strands) = run_changed(
            |people, calls| {
                let input = U256::from(SLOT).to_be_bytes_vec();
                calls[behind] = people[behind % PEOPLE].call(nonce(behind), COUNTER, input);
            },
            move |list| {
                let changes = of_slot(list, SLOT);
                changes[0].new_value = U256::from(6);
                changes.insert(0, AlloyStorageChange::new(before, U256::from(5)));
                // To change it takes less than to set it, and so who does keeps more.
                let saved = U256::from(17_100 * PRICE);
                for change in &mut of(list, Signer::new((behind % PEOPLE) as u64).address()).balance_changes {
                    if change.block_access_index.0 > behind as u64 {
                        change.post_balance += saved;
                    }
                }
            },
        );
        assert_eq!(outcome.changes.changed_slot(COUNTER, U256::from(SLOT)), Some(U256::ONE));
        assert_eq!(in_strands, until(border));
        let (outcome, in_strands) = run_changed(
            |people, calls| {
                calls[behind] = people[behind % PEOPLE].pay_with_gas(nonce(behind), PERSON, 1, GAS);
            },
            move |list| {
                let changes = &mut of(list, PERSON).balance_changes;
                changes[0].post_balance = U256::from(6);
                changes.insert(0, AlloyBalanceChange::new(before, U256::from(5)));
            },
        );
        assert_eq!(outcome.changes.bundle.state[&PERSON].info.as_ref().unwrap().balance, U256::ONE);
        assert_eq!(in_strands, until(border));
        let (outcome, in_strands) = run_changed(
            |people, calls| {
                calls[behind] = people[behind % PEOPLE].pay_with_gas(nonce(behind), PERSON, 1, GAS);
            },
            move |list| of(list, PERSON).nonce_changes.push(AlloyNonceChange::new(before, 1)),
        );
        assert_eq!(outcome.changes.bundle.state[&PERSON].info.as_ref().unwrap().nonce, 0);
        assert_eq!(in_strands, until(border));
    }
}

#[test]
fn s2_a_list_that_is_not_in_order_is_not_followed() {
    let mislead: [fn(&mut AlloyBal); 5] = [
        |list| list.clear(),
        |list| list.reverse(),
        |list| of(list, COUNTER).storage_changes.reverse(),
        |list| of_slot(list, 1).reverse(),
        |list| {
            let twice = of(list, PAID).clone();
            list.push(twice);
        },
    ];
    for mislead in mislead {
        let in_strands = run(mislead);
        assert_eq!(in_strands, 0);
    }
}
