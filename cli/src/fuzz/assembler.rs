//! Puts small programs together, opcode by opcode.

use alloy_primitives::{Address, Bytes, U256};
use revm::bytecode::opcode as op;

/// A program in the making.
#[derive(Debug, Clone, Default)]
pub(super) struct Assembler(Vec<u8>);

impl Assembler {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Opcodes, as they stand.
    pub(super) fn ops(mut self, opcodes: &[u8]) -> Self {
        self.0.extend_from_slice(opcodes);
        self
    }

    /// Pushes a word, in as few bytes as it takes. `PUSH0` is left out, for the forks that do not know it.
    pub(super) fn word(mut self, value: U256) -> Self {
        let bytes = value.to_be_bytes_trimmed_vec();
        let bytes = if bytes.is_empty() { vec![0] } else { bytes };
        let length = u8::try_from(bytes.len()).expect("a word has 32 bytes");
        self.0.push(op::PUSH1 + length - 1);
        self.0.extend(bytes);
        self
    }

    /// Pushes a number.
    pub(super) fn push(self, value: u64) -> Self {
        self.word(U256::from(value))
    }

    /// Pushes an address.
    pub(super) fn address(self, address: Address) -> Self {
        self.word(U256::from_be_slice(address.as_slice()))
    }

    /// Pushes a word of the calldata.
    pub(super) fn argument(self, index: u64) -> Self {
        self.push(index * 32).ops(&[op::CALLDATALOAD])
    }

    /// Loads the storage slot whose number is on the stack.
    pub(super) fn load(self) -> Self {
        self.ops(&[op::SLOAD])
    }

    /// Stores: the slot's number is on top, its value below.
    pub(super) fn store(self) -> Self {
        self.ops(&[op::SSTORE])
    }

    /// Runs `body` if the top of the stack, which it takes, is not zero.
    pub(super) fn when(self, body: impl FnOnce(Self) -> Self) -> Self {
        let mut code = self.ops(&[op::ISZERO, op::PUSH2, 0, 0, op::JUMPI]);
        let patch = code.0.len() - 3;
        code = body(code);
        let end = u16::try_from(code.0.len()).expect("programs are short");
        code.0[patch..patch + 2].copy_from_slice(&end.to_be_bytes());
        code.ops(&[op::JUMPDEST])
    }

    /// Writes the top of the stack to memory at `at`.
    pub(super) fn remember(self, at: u64) -> Self {
        self.push(at).ops(&[op::MSTORE])
    }

    /// Logs the first bytes of the memory with `topics` topics, which are on the stack.
    pub(super) fn log(self, bytes: u64, topics: u8) -> Self {
        self.push(bytes).push(0).ops(&[op::LOG0 + topics])
    }

    /// Copies the calldata from `from` on to the start of the memory and leaves its length on the stack.
    pub(super) fn copy_calldata(self, from: u64) -> Self {
        let length = |code: Self| code.push(from).ops(&[op::CALLDATASIZE, op::SUB]);
        let code = length(self).push(from).push(0).ops(&[op::CALLDATACOPY]);
        length(code)
    }

    /// Ends with the top of the stack as what is returned.
    pub(super) fn give(self) -> Self {
        self.remember(0).push(32).push(0).ops(&[op::RETURN])
    }

    /// Ends with returning `program` as the code of the contract that is being made.
    pub(super) fn deploy(self, program: &Self) -> Self {
        let length = U256::from(program.0.len());
        let head = |code: Self, offset: usize| {
            // Two bytes, whatever the offset is.
            let [high, low] = u16::try_from(offset).expect("programs are short").to_be_bytes();
            let code = code.word(length).ops(&[op::DUP1, op::PUSH2, high, low]).push(0).ops(&[op::CODECOPY]);
            code.push(0).ops(&[op::RETURN])
        };
        let offset = head(self.clone(), 0).0.len();
        head(self, offset).ops(&program.0)
    }

    /// The finished program.
    pub(super) fn finish(self) -> Bytes {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_jumped_over() {
        let code = Assembler::new().push(7).when(|code| code.ops(&[op::STOP]));
        let expected = [op::PUSH1, 7, op::ISZERO, op::PUSH2, 0, 8, op::JUMPI, op::STOP, op::JUMPDEST];
        assert_eq!(code.0, expected);
    }

    #[test]
    fn a_deployment_returns_what_stands_behind_it() {
        let program = Assembler::new().ops(&[op::STOP; 300]);
        let code = Assembler::new().push(1).push(0).store().deploy(&program);
        let head = code.0.len() - 300;
        assert_eq!(code.0[9..12], [op::PUSH2, 0, u8::try_from(head).unwrap()]);
        assert!(code.0[head..].iter().all(|&byte| byte == op::STOP));
    }
}
