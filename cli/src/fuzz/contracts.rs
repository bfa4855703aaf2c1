//! The contracts that blocks are made of: small, each with one idea, and the input that makes it do something.
//!
//! Arguments are whole words of the calldata. Slots are taken from a handful, so that transactions meet.

use alloy_primitives::{Address, Bytes, U256};
use revm::bytecode::opcode as op;
use revm::primitives::hardfork::SpecId;

use super::assembler::Assembler;
use super::programs;
use super::random::Random;

/// Slots that contracts use, but for those named after addresses.
const SLOTS: u64 = 6;

/// What a contract does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `transfer(to, amount)`: reverts without funds, logs.
    Token,
    /// `storage[slot] += 1`, returned.
    Counter,
    /// `if storage[a] == b { storage[c] = d } else if e { storage[a] += 1 }`.
    Conditional,
    /// `storage[a] = storage[b] + c`.
    Chain,
    /// `storage[storage[a] % 8] += b`: which slot is written depends on what is read.
    Pointer,
    /// Destroys itself in favour of the first argument, if the second is not zero; else `storage[third] += 1`.
    Destroyer,
    /// `CREATE2(salt, the rest of the input)` if the second argument is zero, else `CREATE`; then calls what it made
    /// if the third is not zero, and stores its address.
    Factory,
    /// Logs code hash, code size, balance of the argument and its own balance.
    Probe,
    /// Stores code size and balance of the argument.
    Recorder,
    /// Stores the beneficiary's balance.
    CoinbaseReader,
    /// Calls: address, value, how (call, delegate, static, callcode), whether to revert afterwards, then the input.
    Proxy,
    /// Calls itself so many times, storing on the way down.
    Recursive,
    /// Transient storage: counts, calls itself, stores what it counted.
    Transient,
    /// Returns, or reverts with, so many bytes.
    Returner,
    /// Never ends.
    Burner,
    /// Writes, then meets an invalid opcode.
    Invalid,
    /// Stores the hash of the ancestor that many blocks ago.
    Ancestor,
    /// Logs everything that the environment says.
    Environment,
    /// Sends its whole balance to the argument.
    Sweeper,
    /// A chance sequence of opcodes that ends.
    Chance,
}

impl Kind {
    /// Input for it; `targets` are addresses to speak of, `init_codes` what a factory makes contracts with.
    pub(super) fn input(self, targets: &[Address], init_codes: &[Bytes], random: &mut Random) -> Vec<u8> {
        let slot = |random: &mut Random| U256::from(random.within(0..=SLOTS - 1));
        let someone = |random: &mut Random| random.pick(targets).into_word().into();
        match self {
            Self::Token => words(&[someone(random), U256::from(random.within(0..=60))]),
            Self::Conditional => {
                let of = |random: &mut Random| U256::from(random.within(0..=3));
                words(&[slot(random), of(random), slot(random), of(random), of(random)])
            }
            Self::Chain => words(&[slot(random), slot(random), U256::from(random.within(0..=2))]),
            Self::Destroyer => destruction(targets, random),
            Self::Factory => {
                // Most of them make the same contract, so that it comes and goes.
                let favourite = random.chance(60);
                let salt = if favourite { 0 } else { random.below(2) };
                let index = if favourite { 0 } else { random.below(init_codes.len()) };
                let flags = [salt, usize::from(random.chance(20)), random.below(4) / 3].map(U256::from);
                [words(&flags), init_codes[index].to_vec()].concat()
            }
            Self::Probe | Self::Recorder | Self::Sweeper => words(&[someone(random)]),
            Self::Proxy => {
                let value = U256::from(if random.chance(30) { random.within(0..=3) } else { 0 });
                let how = U256::from(random.below(4));
                let revert = U256::from(random.below(5) / 4);
                // The call beyond this one is made up by the caller, who knows what lies at the address.
                words(&[someone(random), value, how, revert])
            }
            Self::Recursive => {
                let depth = if random.chance(5) { 1_025 } else { random.within(1..=20) };
                words(&[U256::from(depth)])
            }
            Self::Transient => words(&[U256::from(random.within(0..=4))]),
            Self::Returner => {
                let size = if random.chance(10) { 40_000 } else { random.within(0..=200) };
                words(&[U256::from(size), U256::from(random.below(2))])
            }
            Self::Ancestor => words(&[U256::from(random.within(0..=300)), slot(random)]),
            Self::Counter
            | Self::Pointer
            | Self::CoinbaseReader
            | Self::Burner
            | Self::Invalid
            | Self::Environment
            | Self::Chance => words(&[slot(random), slot(random)]),
        }
    }
}

/// Input that makes a [`Kind::Destroyer`] destroy itself, or count.
pub(super) fn destruction(targets: &[Address], random: &mut Random) -> Vec<u8> {
    let heir = random.pick(targets).into_word().into();
    words(&[heir, U256::from(random.below(2)), U256::from(random.below(3))])
}

/// Code that counts in its storage, and makes a contract that can destroy itself.
pub(super) fn reborn_code(fork: SpecId, random: &mut Random) -> Bytes {
    let code = Assembler::new().push(1).push(0).load().ops(&[op::ADD]).push(0).store();
    code.deploy(&programs::code(Kind::Destroyer, fork, random)).finish()
}

/// Code that makes a contract, or fails to.
pub(super) fn init_code(fork: SpecId, targets: &[Address], random: &mut Random) -> Bytes {
    let kinds =
        [Kind::Destroyer, Kind::Destroyer, Kind::Counter, Kind::Conditional, Kind::Probe, Kind::Sweeper];
    let code = Assembler::new();
    let program = programs::code(random.pick(&kinds), fork, random);
    let stores =
        |code: Assembler| code.push(1).push(0).load().ops(&[op::ADD]).push(0).store().push(2).push(1).store();
    match random.below(14) {
        // Destroys what it has not finished to create.
        0 => code.address(random.pick(targets)).ops(&[op::SELFDESTRUCT]),
        1 => stores(code).address(random.pick(targets)).ops(&[op::SELFDESTRUCT]),
        // Leaves storage, and no code.
        2 => stores(code),
        3 => code.push(0).push(0).ops(&[op::REVERT]),
        4 => stores(code).ops(&[op::INVALID]),
        // Code that EIP-3541 forbids.
        5 => code.deploy(&Assembler::new().ops(&[0xef, 0])),
        // Code that depends on what other transactions did: the same address gets different codes.
        6 => code.address(random.pick(targets)).ops(&[op::BALANCE]).give(),
        7 => {
            let code = code.address(random.pick(targets)).ops(&[op::EXTCODESIZE]).push(3).ops(&[op::AND]);
            code.push(29).ops(&[op::RETURN])
        }
        8 | 9 => stores(code).deploy(&program),
        _ => code.deploy(&program),
    }
    .finish()
}

/// Words, one after the other.
pub(super) fn words(words: &[U256]) -> Vec<u8> {
    words.iter().flat_map(U256::to_be_bytes::<32>).collect()
}

/// Slots that a contract holds from the start; zero stands for those that it does not.
pub(super) fn storage(kind: Kind, targets: &[Address], random: &mut Random) -> Vec<(U256, U256)> {
    if kind == Kind::Token {
        let of = |target: &Address| (target.into_word().into(), U256::from(random.below(100)));
        return targets.iter().map(of).collect();
    }
    (0..SLOTS).map(|slot| (U256::from(slot), U256::from(random.pick(&[0, 0, 0, 1, 2, 3])))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All contracts.
    const ALL: [Kind; 20] = [
        Kind::Token,
        Kind::Counter,
        Kind::Conditional,
        Kind::Chain,
        Kind::Pointer,
        Kind::Destroyer,
        Kind::Factory,
        Kind::Probe,
        Kind::Recorder,
        Kind::CoinbaseReader,
        Kind::Proxy,
        Kind::Recursive,
        Kind::Transient,
        Kind::Returner,
        Kind::Burner,
        Kind::Invalid,
        Kind::Ancestor,
        Kind::Environment,
        Kind::Sweeper,
        Kind::Chance,
    ];

    #[test]
    fn every_contract_has_a_code_at_every_fork() {
        let mut random = Random::new(1);
        for fork in [SpecId::FRONTIER, SpecId::ISTANBUL, SpecId::AMSTERDAM] {
            for kind in ALL {
                assert!(!programs::code(kind, fork, &mut random).finish().is_empty());
                kind.input(&[Address::ZERO], &[Bytes::new()], &mut random);
            }
        }
    }
}
