//! The contracts that blocks are made of: small, each with one idea, and the input that makes it do something.
//!
//! Arguments are whole words of the calldata. Slots are taken from a handful, so that transactions meet.

use alloy_primitives::{Address, B256, Bytes, U256};
use revm::bytecode::opcode as op;
use revm::primitives::hardfork::SpecId;

use super::assembler::Assembler;
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
    /// Destroys itself in favour of the first argument, if the second is not zero; else counts.
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
    /// Its code at a fork.
    pub(super) fn code(self, fork: SpecId, random: &mut Random) -> Assembler {
        let code = Assembler::new();
        match self {
            Self::Token => token(),
            Self::Counter => counter(code),
            Self::Conditional => conditional(),
            Self::Chain => {
                code.argument(2).argument(1).load().ops(&[op::ADD]).argument(0).store().ops(&[op::STOP])
            }
            Self::Pointer => pointer(),
            Self::Destroyer => {
                counter(code.argument(1).when(|code| code.argument(0).ops(&[op::SELFDESTRUCT])))
            }
            Self::Factory => factory(),
            Self::Probe => probe(fork),
            Self::Recorder => code
                .argument(0)
                .ops(&[op::BALANCE])
                .push(0)
                .store()
                .argument(0)
                .ops(&[op::EXTCODESIZE])
                .push(1)
                .store(),
            Self::CoinbaseReader => code.ops(&[op::COINBASE, op::BALANCE]).argument(0).store(),
            Self::Proxy => proxy(),
            Self::Recursive => recursive(),
            Self::Transient => transient(),
            Self::Returner => returner(),
            Self::Burner => code.ops(&[op::JUMPDEST, op::PUSH1, 0, op::JUMP]),
            Self::Invalid => code.push(1).argument(0).store().ops(&[op::INVALID]),
            Self::Ancestor => code.argument(0).ops(&[op::NUMBER, op::SUB, op::BLOCKHASH]).argument(1).store(),
            Self::Environment => environment(fork),
            Self::Sweeper => code
                .push(0)
                .push(0)
                .push(0)
                .push(0)
                .ops(&[op::ADDRESS, op::BALANCE])
                .argument(0)
                .ops(&[op::GAS, op::CALL])
                .push(0)
                .store(),
            Self::Chance => chance(fork, random),
        }
    }

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
            Self::Destroyer => words(&[someone(random), U256::from(random.within(0..=3))]),
            Self::Factory => {
                let flags =
                    [random.below(2), usize::from(random.chance(20)), random.below(2)].map(U256::from);
                [words(&flags), init_codes[random.below(init_codes.len())].to_vec()].concat()
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

/// Code that makes a contract, or fails to.
pub(super) fn init_code(fork: SpecId, targets: &[Address], random: &mut Random) -> Bytes {
    let kinds =
        [Kind::Destroyer, Kind::Destroyer, Kind::Counter, Kind::Conditional, Kind::Probe, Kind::Sweeper];
    let code = Assembler::new();
    let program = random.pick(&kinds).code(fork, random);
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

/// `storage[a] += 1`, and what it is then.
fn counter(code: Assembler) -> Assembler {
    code.push(1).argument(0).load().ops(&[op::ADD, op::DUP1]).argument(0).store().give()
}

/// A token whose balances lie in the slots named after their owners.
fn token() -> Assembler {
    Assembler::new()
        .argument(1)
        .ops(&[op::CALLER])
        .load()
        .ops(&[op::LT])
        .when(|code| code.push(0).push(0).ops(&[op::REVERT]))
        .argument(1)
        .ops(&[op::CALLER])
        .load()
        .ops(&[op::SUB, op::CALLER])
        .store()
        .argument(1)
        .argument(0)
        .load()
        .ops(&[op::ADD])
        .argument(0)
        .store()
        .argument(1)
        .remember(0)
        .argument(0)
        .ops(&[op::CALLER])
        .push(0xddf2_52ad)
        .log(32, 3)
        .push(1)
        .give()
}

/// Writes only if a slot has a certain value.
fn conditional() -> Assembler {
    Assembler::new()
        .argument(1)
        .argument(0)
        .load()
        .ops(&[op::EQ])
        .when(|code| code.argument(3).argument(2).store().ops(&[op::STOP]))
        .argument(4)
        .when(|code| code.push(1).argument(0).load().ops(&[op::ADD]).argument(0).store())
        .ops(&[op::STOP])
}

/// Which slot is written depends on what is read.
fn pointer() -> Assembler {
    let place = |code: Assembler| code.push(7).argument(0).load().ops(&[op::AND]);
    let code = place(Assembler::new().argument(1)).load().ops(&[op::ADD]);
    place(code).store().ops(&[op::STOP])
}

/// Creates contracts.
fn factory() -> Assembler {
    let code = Assembler::new().push(0);
    let code = code.argument(1).ops(&[op::ISZERO]).when(|code| {
        let code = code.ops(&[op::POP]).argument(0).copy_calldata(96);
        code.push(0).ops(&[op::CALLVALUE, op::CREATE2])
    });
    let code = code
        .argument(1)
        .when(|code| code.ops(&[op::POP]).copy_calldata(96).push(0).ops(&[op::CALLVALUE, op::CREATE]));
    let code = code.argument(2).when(|code| {
        // Two words of input: whatever it is, it is called with what makes it destroy itself.
        let code = code.ops(&[op::DUP1]).remember(0).push(1).remember(32);
        code.push(0).push(0).push(64).push(0).push(0).ops(&[op::DUP6, op::GAS, op::CALL, op::POP])
    });
    code.ops(&[op::DUP1]).argument(0).store().give()
}

/// Looks at an account.
fn probe(fork: SpecId) -> Assembler {
    let code = Assembler::new().argument(0).ops(&[op::EXTCODESIZE]).remember(0);
    let code = code.argument(0).ops(&[op::BALANCE]).remember(32);
    let code = if fork.is_enabled_in(SpecId::PETERSBURG) {
        code.argument(0).ops(&[op::EXTCODEHASH]).remember(64)
    } else {
        code
    };
    let own: &[u8] =
        if fork.is_enabled_in(SpecId::ISTANBUL) { &[op::SELFBALANCE] } else { &[op::ADDRESS, op::BALANCE] };
    let code = code.ops(own).remember(96).push(32).push(0).push(128);
    code.argument(0).ops(&[op::EXTCODECOPY]).log(160, 0)
}

/// Calls in one of four ways.
fn proxy() -> Assembler {
    let mut code = Assembler::new();
    for (how, opcode) in [op::CALL, op::DELEGATECALL, op::STATICCALL, op::CALLCODE].into_iter().enumerate() {
        code = code.argument(2).word(U256::from(how)).ops(&[op::EQ]).when(|code| {
            // Where the result goes, where the input comes from.
            let code = code.push(32).push(0).copy_calldata(128).push(0);
            let valued = matches!(opcode, op::CALL | op::CALLCODE);
            let code = if valued { code.argument(1) } else { code };
            code.argument(0).ops(&[op::GAS, opcode]).push(9).store()
        });
    }
    code.argument(3).when(|code| code.push(32).push(0).ops(&[op::REVERT])).push(32).push(0).ops(&[op::RETURN])
}

/// Goes down, storing on the way.
fn recursive() -> Assembler {
    Assembler::new()
        .push(1)
        .push(0)
        .load()
        .ops(&[op::ADD])
        .push(0)
        .store()
        .argument(0)
        .when(|code| {
            let code = code.push(1).argument(0).ops(&[op::SUB]).remember(0);
            code.push(0)
                .push(0)
                .push(32)
                .push(0)
                .push(0)
                .ops(&[op::ADDRESS, op::GAS, op::CALL])
                .push(1)
                .store()
        })
        .ops(&[op::STOP])
}

/// Counts in transient storage over nested calls.
fn transient() -> Assembler {
    Assembler::new()
        .push(1)
        .push(0)
        .ops(&[op::TLOAD, op::ADD])
        .push(0)
        .ops(&[op::TSTORE])
        .argument(0)
        .when(|code| {
            let code = code.push(1).argument(0).ops(&[op::SUB]).remember(0);
            code.push(0).push(0).push(32).push(0).push(0).ops(&[op::ADDRESS, op::GAS, op::CALL, op::POP])
        })
        .push(0)
        .ops(&[op::TLOAD])
        .argument(0)
        .store()
        .ops(&[op::STOP])
}

/// Returns or reverts with many bytes.
fn returner() -> Assembler {
    let code = Assembler::new().ops(&[op::CALLER]).remember(0).argument(1);
    code.when(|code| code.argument(0).push(0).ops(&[op::REVERT])).argument(0).push(0).ops(&[op::RETURN])
}

/// Logs what the environment says.
fn environment(fork: SpecId) -> Assembler {
    let mut code = Assembler::new();
    let always = [
        op::COINBASE,
        op::TIMESTAMP,
        op::NUMBER,
        op::DIFFICULTY,
        op::GASLIMIT,
        op::GASPRICE,
        op::ORIGIN,
        op::GAS,
    ];
    let by_fork = [
        (SpecId::ISTANBUL, op::CHAINID),
        (SpecId::LONDON, op::BASEFEE),
        (SpecId::CANCUN, op::BLOBBASEFEE),
        (SpecId::AMSTERDAM, op::SLOTNUM),
    ];
    let known = by_fork.into_iter().filter(|(since, _)| fork.is_enabled_in(*since)).map(|(_, opcode)| opcode);
    for (opcode, at) in always.into_iter().chain(known).zip((0..).step_by(32)) {
        code = code.ops(&[opcode]).remember(at);
    }
    if fork.is_enabled_in(SpecId::CANCUN) {
        code = code.push(0).ops(&[op::BLOBHASH]).push(2).store();
    }
    code.log(32 * 12, 0)
}

/// A sequence that ends, since it never jumps back. Most words are small, so that memory and gas last a while.
fn chance(fork: SpecId, random: &mut Random) -> Assembler {
    let plain = [
        op::ADD,
        op::MUL,
        op::SUB,
        op::DIV,
        op::EXP,
        op::LT,
        op::EQ,
        op::ISZERO,
        op::AND,
        op::XOR,
        op::BYTE,
        op::KECCAK256,
        op::ADDRESS,
        op::BALANCE,
        op::CALLER,
        op::CALLVALUE,
        op::CALLDATALOAD,
        op::CODESIZE,
        op::EXTCODESIZE,
        op::COINBASE,
        op::TIMESTAMP,
        op::POP,
        op::MLOAD,
        op::MSTORE,
        op::MSTORE8,
        op::SLOAD,
        op::SSTORE,
        op::PC,
        op::MSIZE,
        op::GAS,
        op::DUP1,
        op::DUP2,
        op::DUP3,
        op::SWAP1,
        op::SWAP2,
        op::LOG0,
        op::LOG1,
        op::CREATE,
        op::CALL,
        op::CALLCODE,
        op::EXTCODECOPY,
    ];
    let recent = [
        op::EXTCODEHASH,
        op::SELFBALANCE,
        op::STATICCALL,
        op::DELEGATECALL,
        op::CREATE2,
        op::RETURNDATASIZE,
        op::RETURNDATACOPY,
        op::SHL,
        op::SAR,
        op::TLOAD,
        op::TSTORE,
        op::MCOPY,
        op::BASEFEE,
        op::CLZ,
    ];
    let ends = [op::STOP, op::RETURN, op::REVERT, op::SELFDESTRUCT, op::INVALID];
    let mut code = Assembler::new();
    for _ in 0..random.within(5..=80) {
        code = match random.below(10) {
            0..=4 => code.push(random.pick(&[0, 0, 1, 1, 2, 3, 4, 5, 9, 32])),
            5 => code.address(Address::from_word(B256::from(U256::from(random.below(12))))),
            6 if fork.is_enabled_in(SpecId::ISTANBUL) => code.ops(&[random.pick(&recent)]),
            _ => code.ops(&[random.pick(&plain)]),
        };
    }
    code.ops(&[random.pick(&ends)])
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
                assert!(!kind.code(fork, &mut random).finish().is_empty());
                kind.input(&[Address::ZERO], &[Bytes::new()], &mut random);
            }
        }
    }
}
