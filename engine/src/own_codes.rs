//! Codes that one worker runs again and again.
//!
//! Whoever uses a code counts himself in and out several times for each call. If all workers count at one place, each
//! waits for the others to have done so, although none of them changes the code. So a worker that keeps coming back to a
//! code makes a copy for itself.

use alloy_primitives::map::B256Map;
use alloy_primitives::{B256, Bytes};
use revm::bytecode::Bytecode;

/// After so many uses, a worker makes a copy of its own.
const OFTEN: u32 = 8;

/// How often a strand uses a code that it loads, at least: it keeps the account for a while.
pub(crate) const USES_BY_STRAND: u32 = 4;

/// What one worker has met, by hash.
#[derive(Debug, Default)]
pub(crate) struct Met(B256Map<Code>);

/// A code that a worker has met.
#[derive(Debug)]
enum Code {
    /// So many times.
    Seldom(u32),
    /// Often, and here is the copy.
    Often(Bytecode),
}

impl Met {
    /// The worker's own copy of a code.
    pub(crate) fn get(&self, hash: B256) -> Option<Bytecode> {
        match self.0.get(&hash) {
            Some(Code::Often(code)) => Some(code.clone()),
            Some(Code::Seldom(_)) | None => None,
        }
    }

    /// Notes that the worker uses a code so many times, and returns what it should use.
    pub(crate) fn note(&mut self, hash: B256, code: Bytecode, uses: u32) -> Bytecode {
        // It names whom to call instead, and is not run itself.
        if code.is_eip7702() {
            return code;
        }
        let met = self.0.entry(hash).or_insert(Code::Seldom(0));
        match met {
            Code::Often(own) => return own.clone(),
            Code::Seldom(times) if *times < OFTEN => {
                *times += uses;
                return code;
            }
            Code::Seldom(_) => {}
        }
        // Not by what it looks like: before London, a code may have begun like a delegation.
        let own = Bytecode::new_legacy(Bytes::copy_from_slice(code.original_byte_slice()));
        *met = Code::Often(own.clone());
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_often_gets_a_copy_and_keeps_it() {
        let (mut codes, hash) = (Met::default(), B256::repeat_byte(1));
        let code = Bytecode::new_raw([0x60, 0x01].into());
        for time in 0..2 * OFTEN {
            let known = codes.get(hash);
            assert_eq!(known.is_some(), time > OFTEN, "{time}");
            let used = known.unwrap_or_else(|| codes.note(hash, code.clone(), 1));
            assert_eq!(used, code);
            assert_eq!(used.bytecode_ptr() != code.bytecode_ptr(), time >= OFTEN, "{time}");
        }
    }

    /// Until London (EIP-3541), a contract could have 23 bytes that would be a delegation in Prague. Calls of it fail.
    #[test]
    fn what_only_looks_like_a_delegation_is_none_in_the_copy() {
        let bytes = [&[0xef, 0x01, 0x00][..], &[0xc0; 20]].concat();
        let (code, delegation) =
            (Bytecode::new_legacy(bytes.clone().into()), Bytecode::new_raw(bytes.into()));
        let mut codes = Met::default();
        for (hash, code) in [(B256::repeat_byte(1), code), (B256::repeat_byte(2), delegation)] {
            for _ in 0..2 * OFTEN {
                let used = codes.get(hash).unwrap_or_else(|| codes.note(hash, code.clone(), 1));
                assert_eq!(
                    (used.is_eip7702(), used.original_bytes()),
                    (code.is_eip7702(), code.original_bytes())
                );
            }
            assert_eq!(codes.get(hash).is_some(), !code.is_eip7702());
        }
    }
}
