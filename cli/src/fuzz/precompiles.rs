//! Calls of precompiles: every address that any fork knows, with input that could be right and input that is not.

use alloy_primitives::{Address, B256, U256, keccak256};

use super::contracts::words;
use super::people::person;
use super::random::Random;

/// Addresses of precompiles, and two beyond.
const ADDRESSES: [u64; 20] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 0x100, 0x101];

/// A precompile and input for it.
pub(super) fn call(random: &mut Random) -> (Address, Vec<u8>) {
    let number = random.pick(&ADDRESSES);
    let address = Address::from_word(B256::from(U256::from(number)));
    let input = match random.below(4) {
        0 => {
            let length = random.pick(&[0, 1, 31, 32, 64, 96, 128, 160, 192, 213, 256, 288, 384]);
            random.bytes(length)
        }
        1 => Vec::new(),
        _ => plausible(number, random),
    };
    (address, input)
}

/// Input that the precompile takes.
fn plausible(number: u64, random: &mut Random) -> Vec<u8> {
    match number {
        1 => {
            let digest = keccak256(random.bytes(8));
            let signature = person(random.below(8)).sign(digest);
            let parity = U256::from(27 + u64::from(signature.v()));
            words(&[digest.into(), parity, signature.r(), signature.s()])
        }
        5 => {
            let lengths = [1, 1, 1].map(U256::from);
            [words(&lengths), random.bytes(3)].concat()
        }
        // Multiples of the generator of alt_bn128; the same again is on the curve, too.
        6 => words(&[1, 2, 1, 2].map(U256::from)),
        7 => words(&[U256::from(1), U256::from(2), U256::from(random.word())]),
        8 => vec![0; 192],
        9 => {
            let mut input = vec![0; 213];
            input[3] = u8::try_from(random.below(20)).expect("it is small");
            input[4..212].copy_from_slice(&random.bytes(208));
            input[212] = u8::from(random.chance(50));
            input
        }
        // Points at infinity, of the lengths of EIP-2537.
        11 => vec![0; 256],
        12 => vec![0; 160],
        13 => vec![0; 512],
        14 => vec![0; 288],
        15 => vec![0; 384],
        16 => vec![0; 64],
        17 => vec![0; 128],
        _ => {
            let length = random.below(200);
            random.bytes(length)
        }
    }
}
