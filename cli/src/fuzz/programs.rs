//! The programs of the contracts.

use alloy_primitives::{Address, B256, U256};
use revm::bytecode::opcode as op;
use revm::primitives::hardfork::SpecId;

use super::assembler::Assembler;
use super::contracts::Kind;
use super::random::Random;

/// The code of a contract at a fork.
pub(super) fn code(kind: Kind, fork: SpecId, random: &mut Random) -> Assembler {
    let code = Assembler::new();
    match kind {
        Kind::Token => token(),
        Kind::Counter => counter(code, 0),
        Kind::Conditional => conditional(),
        Kind::Chain => {
            code.argument(2).argument(1).load().ops(&[op::ADD]).argument(0).store().ops(&[op::STOP])
        }
        Kind::Pointer => pointer(),
        Kind::Destroyer => {
            counter(code.argument(1).when(|code| code.argument(0).ops(&[op::SELFDESTRUCT])), 2)
        }
        Kind::Factory => factory(),
        Kind::Probe => probe(fork),
        Kind::Recorder => code
            .argument(0)
            .ops(&[op::BALANCE])
            .push(0)
            .store()
            .argument(0)
            .ops(&[op::EXTCODESIZE])
            .push(1)
            .store(),
        Kind::CoinbaseReader => code.ops(&[op::COINBASE, op::BALANCE]).argument(0).store(),
        Kind::Proxy => proxy(),
        Kind::Recursive => recursive(),
        Kind::Transient => transient(),
        Kind::Returner => returner(),
        Kind::Burner => code.ops(&[op::JUMPDEST, op::PUSH1, 0, op::JUMP]),
        Kind::Invalid => code.push(1).argument(0).store().ops(&[op::INVALID]),
        Kind::Ancestor => code.argument(0).ops(&[op::NUMBER, op::SUB, op::BLOCKHASH]).argument(1).store(),
        Kind::Environment => environment(fork),
        Kind::Sweeper => code
            .push(0)
            .push(0)
            .push(0)
            .push(0)
            .ops(&[op::ADDRESS, op::BALANCE])
            .argument(0)
            .ops(&[op::GAS, op::CALL])
            .push(0)
            .store(),
        Kind::Chance => chance(fork, random),
    }
}

/// Adds one to the slot that an argument names, and returns what it is then.
fn counter(code: Assembler, slot: u64) -> Assembler {
    code.push(1).argument(slot).load().ops(&[op::ADD, op::DUP1]).argument(slot).store().give()
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
