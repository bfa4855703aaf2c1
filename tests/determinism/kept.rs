//! Long rows of transactions of every kind, for what an engine keeps from one to the next (invariant J1).

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, U256, keccak256};
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

/// A row of transactions by some senders, who meet at a few contracts and addresses.
fn transactions(dice: &mut Dice, signers: &[Signer], fork: EthereumHardfork) -> Vec<SignedTransaction> {
    let mut nonces = vec![0u64; signers.len()];
    // Accounts that are there, that are not, and precompiles; among them the beneficiary and somebody's first creation.
    let mut places: Vec<Address> = (1..=5).map(Address::with_last_byte).collect();
    places.extend([0xbe, 0xc0, 0xc1, 0xc2, 0xc3, 0xe0, 0xe1].map(Address::repeat_byte));
    places.extend(signers.iter().map(Signer::address));
    places.extend((0..3).map(|nonce| signers[0].address().create(nonce)));
    let kinds = if fork == EthereumHardfork::Prague { 12 } else { 11 };
    (0..120)
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
                    let delegated = signer.delegate(authority, nonces[other], Address::repeat_byte(contract));
                    nonces[other] += 1;
                    delegated
                }
            }
        })
        .collect()
}

#[test]
fn j1_what_is_kept_between_transactions_changes_nothing() {
    // Until Cancun, contracts can be destroyed; from Prague on, accounts can be delegated.
    for (fork, seeds) in [(EthereumHardfork::Shanghai, 0..6), (EthereumHardfork::Prague, 6..12)] {
        let mut failed = 0;
        for seed in seeds {
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
            world.base_fee = if seed % 2 == 0 { 7 } else { 100 };
            let transactions = transactions(&mut dice, &signers, fork);
            let outcome = world.run(fork, transactions).unwrap();
            failed += outcome.receipts.iter().filter(|receipt| !receipt.status.coerce_status()).count();
        }
        assert!((50..500).contains(&failed), "{fork:?}: {failed} fail");
    }
}
