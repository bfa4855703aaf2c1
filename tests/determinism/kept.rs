//! Long rows of transactions of every kind, for what an engine keeps from one to the next (invariant J1).

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256, keccak256};
use weft_engine::{InvalidTransactions, SignedTransaction};

use crate::made::{Signer, World};

/// Adds one to the slot that the first word names, and keeps the ether.
const COUNT: [u8; 10] = [0x60, 0x00, 0x35, 0x80, 0x54, 0x60, 0x01, 0x01, 0x90, 0x55];
/// Sends all that it has to the address that the first word names.
const FORWARD: [u8; 16] =
    [0x5f, 0x5f, 0x5f, 0x5f, 0x47, 0x5f, 0x35, 0x5a, 0xf1, 0x5f, 0x55, 0x00, 0x00, 0x00, 0x00, 0x00];
/// Destroys itself for the address that the first word names.
const DIE: [u8; 4] = [0x60, 0x00, 0x35, 0xff];
/// Counts like [`COUNT`], and takes it back.
const REVERT: [u8; 14] = [0x60, 0x00, 0x35, 0x80, 0x54, 0x60, 0x01, 0x01, 0x90, 0x55, 0x5f, 0x5f, 0xfd, 0x00];
/// Initialisation that writes a slot and leaves `SELFDESTRUCT` for the caller as code.
const INIT: [u8; 13] = [0x60, 0x07, 0x5f, 0x55, 0x61, 0x33, 0xff, 0x5f, 0x52, 0x60, 0x02, 0x60, 0x1e];
/// Initialisation that destroys what it makes.
const STILLBORN: [u8; 2] = [0x33, 0xff];

/// What the dice say.
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: usize) -> usize {
        self.0 += 1;
        U256::from_be_bytes(keccak256(self.0.to_be_bytes()).0).wrapping_rem(U256::from(sides)).to()
    }
}

/// A row of so many transactions by some senders, who meet at a few contracts and addresses.
fn transactions(
    dice: &mut Dice,
    signers: &[Signer],
    fork: EthereumHardfork,
    count: u64,
) -> Vec<SignedTransaction> {
    let mut nonces = vec![0u64; signers.len()];
    // Accounts that are there, that are not, and precompiles; among them the beneficiary and somebody's first creation.
    let mut places: Vec<Address> = (1..=5).map(Address::with_last_byte).collect();
    places.extend([0xbe, 0xc0, 0xc1, 0xc2, 0xc3, 0xe0, 0xe1].map(Address::repeat_byte));
    places.extend(signers.iter().map(Signer::address));
    places.extend((0..3).map(|nonce| signers[0].address().create(nonce)));
    let kinds = if fork == EthereumHardfork::Prague { 12 } else { 11 };
    (0..count)
        .map(|_| {
            let from = dice.roll(signers.len());
            let place = places[dice.roll(places.len())];
            let word = if dice.roll(2) == 0 { U256::from(dice.roll(4)) } else { place.into_word().into() };
            let contract = [0xc0, 0xc1, 0xc2, 0xc3][dice.roll(4)];
            let nonce = nonces[from];
            nonces[from] += 1;
            let signer = &signers[from];
            match dice.roll(kinds) {
                0..=4 => {
                    let to = Address::repeat_byte(contract);
                    signer.call(nonce, to, word.to_be_bytes::<32>().to_vec())
                }
                5 | 6 => signer.pay(nonce, place, dice.roll(3) as u64),
                7 => signer.call(nonce, place, Vec::new()),
                8 => signer.create(nonce, [&INIT[..], &[0xf3]].concat()),
                9 => signer.create(nonce, STILLBORN.to_vec()),
                10 => signer.call_with_gas(nonce, Address::repeat_byte(contract), 24_000),
                _ => {
                    let other = dice.roll(signers.len());
                    let authority = &signers[other];
                    // A sender's own authorization comes after his nonce has gone up.
                    let delegated =
                        signer.delegate(nonce, (authority, nonces[other]), Address::repeat_byte(contract));
                    nonces[other] += 1;
                    delegated
                }
            }
        })
        .collect()
}

/// Runs a row of so many transactions, of which at least so many are part of the block, and returns how many of those fail.
fn run_row(fork: EthereumHardfork, seed: u64, count: u64, least: usize) -> usize {
    let mut dice = Dice(seed << 32);
    let signers: Vec<Signer> = (1..=4).map(Signer::new).collect();
    // Who is delegated may lose all his ether.
    let mut world = World::default();
    world.invalid = InvalidTransactions::Skip;
    for signer in &signers {
        world.put(signer.address(), 0, Vec::new());
    }
    for (contract, code) in [(0xc0, &COUNT[..]), (0xc1, &FORWARD), (0xc2, &DIE), (0xc3, &REVERT)] {
        world.put(Address::repeat_byte(contract), 1, code.to_vec());
    }
    if seed % 3 == 1 {
        // One that is there and empty, and goes when it is touched.
        world.put_bare_storage(Address::with_last_byte(3), 0, U256::ZERO, U256::from(7));
    }
    if seed % 3 == 2 {
        world.put(Address::repeat_byte(0xbe), 0, Vec::new());
    }
    world.put_request_contracts();
    world.base_fee = if seed.is_multiple_of(2) { 7 } else { 100 };
    // So they seem to be short.
    world.gas_used = 30_000 * count;
    world.gas_limit *= 100;
    let transactions = transactions(&mut dice, &signers, fork, count);
    let outcome = world.run(fork, transactions).unwrap();
    let included = outcome.receipts.len();
    assert!(included >= least, "{fork:?}, {seed}: {included} of {count} are part of the block");
    outcome.receipts.iter().filter(|receipt| !receipt.status.coerce_status()).count()
}

#[test]
fn j1_what_is_kept_between_transactions_changes_nothing() {
    // Until Cancun, contracts can be destroyed; from Prague on, accounts can be delegated.
    for (fork, seeds) in [(EthereumHardfork::Shanghai, 0..6), (EthereumHardfork::Prague, 6..12)] {
        let failed: usize = seeds.map(|seed| run_row(fork, seed, 120, 61)).sum();
        assert!((50..500).contains(&failed), "{fork:?}: {failed} fail");
    }
}

/// Where others could help, samples cut them into several stretches in order.
#[test]
fn j1_what_is_kept_between_stretches_changes_nothing() {
    for (fork, seeds) in [(EthereumHardfork::Shanghai, 12..15), (EthereumHardfork::Prague, 15..18)] {
        for seed in seeds {
            run_row(fork, seed, 900, 100);
        }
    }
}

/// A call touches an account that is not there. When it then delegates, its creation is not refunded (EIP-7702): it is
/// still not there.
#[test]
fn j1_who_was_touched_and_is_not_there_is_still_not_there() {
    let [caller, sponsor, authority] = [1, 2, 9].map(Signer::new);
    let mut world = World::default();
    for signer in [&caller, &sponsor] {
        world.put(signer.address(), 0, Vec::new());
    }
    world.put(Address::repeat_byte(0xc0), 1, COUNT.to_vec());
    world.put_request_contracts();
    let transactions = vec![
        caller.call(0, authority.address(), Vec::new()),
        sponsor.delegate(0, (&authority, 0), Address::repeat_byte(0xc0)),
    ];
    let outcome = world.run(EthereumHardfork::Prague, transactions).unwrap();
    let gas = outcome.receipts.last().unwrap().cumulative_gas_used - outcome.receipts[0].cumulative_gas_used;
    assert_eq!(gas, 46_000, "21,000 and 25,000, nothing back");
}

/// A payment that would overflow fails, and leaves its payer what he had, for the next transaction too.
#[test]
fn j1_a_payment_that_overflows_takes_nothing() {
    let [caller, reader] = [1, 2].map(Signer::new);
    let [payer, look, rich] = [0xc0, 0xc1, 0xf0].map(Address::repeat_byte);
    let mut world = World::default();
    for signer in [&caller, &reader] {
        world.put(signer.address(), 0, Vec::new());
    }
    // Pays 50 to whom the first word names.
    world.put(payer, 1, vec![0x5f, 0x5f, 0x5f, 0x5f, 0x60, 0x32, 0x5f, 0x35, 0x5a, 0xf1, 0x00]);
    // Stores the balance of whom the first word names.
    world.put(look, 1, vec![0x5f, 0x35, 0x31, 0x5f, 0x55, 0x00]);
    world.set_balance(payer, U256::from(100));
    world.set_balance(rich, U256::MAX);
    world.put_request_contracts();
    let input = |address: Address| address.into_word().to_vec();
    let transactions = vec![
        caller.call(0, payer, input(rich)),
        reader.call(0, look, input(payer)),
        caller.call(1, payer, input(rich)),
    ];
    let outcome = world.run(EthereumHardfork::Cancun, transactions).unwrap();
    assert_eq!(outcome.changes.changed_slot(look, U256::ZERO), Some(U256::from(100)));
}

/// A creation that fails has revm forget that the account has no code. Whether the account is new is the same, and so the
/// code of no bytes is listed: once where the account gets the fees, and once where it gets what another leaves.
#[test]
fn j1_where_a_creation_failed_a_new_account_is_new() {
    let [creator, caller] = [1, 2].map(Signer::new);
    let factory = Address::repeat_byte(0xc0);
    let fail = vec![0x5f, 0x5f, 0xfd];
    // `CREATE` with these three bytes, then `SELFDESTRUCT` for whom the first word names.
    let code =
        [&[0x62], &fail[..], &[0x5f, 0x52, 0x60, 3, 0x60, 29, 0x5f, 0xf0, 0x50, 0x5f, 0x35, 0xff]].concat();
    for (beneficiary, pays_first) in [
        (creator.address().create(0), true),
        (creator.address().create(0), false),
        (factory, true),
        (factory, false),
    ] {
        let mut world = World::default();
        world.beneficiary = beneficiary;
        for signer in [&creator, &caller] {
            world.put(signer.address(), 0, Vec::new());
        }
        world.put(factory, 1, code.clone());
        let heir = factory.create(1);
        let mut transactions = vec![
            creator.create(0, fail.clone()),
            creator.call(1, factory, heir.into_word().to_vec()),
            creator.call(2, Address::repeat_byte(4), Vec::new()),
        ];
        if pays_first {
            transactions.insert(0, caller.pay(0, heir, 1));
        }
        let outcome = world.run(EthereumHardfork::Cancun, transactions).unwrap();
        let bundle = &outcome.changes.bundle;
        assert!(bundle.state[&heir].original_info.is_none());
        assert_eq!(bundle.contracts.len(), 1);
        assert!(bundle.contracts[&KECCAK256_EMPTY].is_empty());
    }
}

/// What destroys itself for somebody whose balance then wraps to nothing leaves him empty, and he goes (EIP-161).
#[test]
fn j1_who_is_left_empty_by_a_gift_goes() {
    let caller = Signer::new(1);
    let [dying, heir] = [0xc0, 0xe0].map(Address::repeat_byte);
    let mut world = World::default();
    world.put(caller.address(), 0, Vec::new());
    world.put(dying, 1, DIE.to_vec());
    world.set_balance(dying, U256::from(100));
    world.set_balance(heir, U256::MAX - U256::from(99));
    world.put_request_contracts();
    let transactions =
        vec![caller.call(0, dying, heir.into_word().to_vec()), caller.call(1, heir, Vec::new())];
    let outcome = world.run(EthereumHardfork::Cancun, transactions).unwrap();
    assert!(outcome.changes.wiped.contains(&heir));
}

/// Counts in its first slot and returns the count; without data, it destroys itself for its caller.
const MORTAL: [u8; 22] = [
    0x36, 0x15, 0x60, 0x13, 0x57, 0x5f, 0x54, 0x60, 0x01, 0x01, 0x80, 0x5f, 0x55, 0x5f, 0x52, 0x60, 0x20,
    0x5f, 0xf3, 0x5b, 0x33, 0xff,
];

/// Contracts that are destroyed and made again where they were, while others count with them: each finds what it was left,
/// and no more.
#[test]
fn j1_who_is_made_again_has_forgotten() {
    // Leaves MORTAL.
    let init = [&[0x75], &MORTAL[..], &[0x5f, 0x52, 0x60, 22, 0x60, 10, 0xf3]].concat();
    // Has it made by `CREATE2`.
    let factory = [&[0x7d], &init[..], &[0x5f, 0x52, 0x5f, 0x60, 30, 0x60, 2, 0x5f, 0xf5, 0x00]].concat();
    let makers = [0xf0, 0xf1].map(Address::repeat_byte);
    let [one, other] = makers.map(|maker| maker.create2(B256::ZERO, keccak256(&init)));
    // Puts the sum of what three of them return into a slot of its caller's.
    let call =
        |of: Address| [&[0x60, 32, 0x5f, 0x60, 1, 0x5f, 0x5f, 0x73], &of.0[..], &[0x5a, 0xf1, 0x50]].concat();
    let add = |of: Address| [&call(of)[..], &[0x5f, 0x51, 0x01]].concat();
    let sum = [&[0x5f][..], &add(one), &add(other), &add(one), &[0x33, 0x55, 0x00]].concat();
    let reader = Address::repeat_byte(0xe0);
    let signers: Vec<Signer> = (0..24).map(Signer::new).collect();
    for (fork, seed) in [
        (EthereumHardfork::Shanghai, 0),
        (EthereumHardfork::Shanghai, 1_000),
        (EthereumHardfork::Cancun, 2_000),
    ] {
        let mut world = World::default();
        for signer in &signers {
            world.put(signer.address(), 0, Vec::new());
        }
        for maker in makers {
            world.put(maker, 1, factory.clone());
        }
        world.put(reader, 1, sum.clone());
        let mut dice = Dice(seed);
        let mut nonces = [0; 24];
        let mut send = |from: usize, to, data: &[u8]| {
            nonces[from] += 1;
            signers[from].call(nonces[from] - 1, to, data.to_vec())
        };
        let mut transactions = vec![send(0, makers[0], &[]), send(1, makers[1], &[])];
        transactions.extend((0..120).map(|_| {
            let (from, which) = (dice.roll(signers.len()), dice.roll(2));
            match dice.roll(8) {
                0 => send(from, [one, other][which], &[]),
                1 | 2 => send(from, makers[which], &[]),
                3 => send(from, [one, other][which], &[1]),
                _ => send(from, reader, &[1]),
            }
        }));
        let outcome = world.run(fork, transactions).unwrap();
        let counts = signers.iter().filter_map(|signer| {
            outcome.changes.changed_slot(reader, U256::from_be_slice(&signer.address().into_word().0))
        });
        assert!(counts.clone().any(|count| count > U256::from(9)), "they count on");
        assert!(
            counts.clone().any(|count| count < U256::from(30)),
            "and begin again: {:?}",
            counts.collect::<Vec<_>>()
        );
    }
}
