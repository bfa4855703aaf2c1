//! Codes by hash, made ready to run: long ones on all threads at the start, short ones when somebody first runs them.
//!
//! Who sends a witness decides how many codes it has, and need run none of them. So a code that nobody runs costs its
//! bytes, its hash and a few words. What it takes to run is some hundred bytes more, which is little for a long code, and
//! a hundred times the size of a short one.
//!
//! - **C1.** A code is found under the Keccak-256 of its bytes, which is computed here, and under nothing else.
//! - **C2.** What a hash gives depends on the bytes alone: not on the other codes, nor on who asks, when or how often.
//!
//! The tests below check both.

use alloy_consensus::constants::KECCAK_EMPTY;
use alloy_primitives::map::B256Map;
use alloy_primitives::{B256, Bytes};
use parking_lot::RwLock;
use rayon::prelude::*;
use revm::bytecode::Bytecode;
use weft_trie::{KnownHashes, keccak256_batch_parallel};

use crate::error::WitnessError;

/// Parts of what is ready, each behind a lock of its own.
const SHARDS: usize = 16;

/// Bytes of a code that is made ready at the start: what that takes is then less than the code itself.
const LONG: usize = 1_024;

/// Codes by hash.
///
/// A code counts as present if it was sent, whatever else was sent with it.
#[derive(Debug, Default)]
pub struct Codes {
    /// All short codes that differ, end to end.
    bytes: Bytes,
    /// Where each ends.
    ends: Vec<usize>,
    /// Their hashes.
    hashes: Vec<B256>,
    /// Their places, in the order of their hashes.
    by_hash: Vec<u32>,
    /// All long codes, and the short ones that somebody has asked for.
    ready: Box<[RwLock<B256Map<Bytecode>>; SHARDS]>,
}

impl Codes {
    /// Hashes the codes and makes the long ones ready to run, on the threads of the current pool.
    ///
    /// # Panics
    ///
    /// With 2^32 codes that differ, which take 128 GiB to list.
    pub fn new(codes: &[Bytes]) -> Self {
        Self::with_known(codes, None)
    }

    /// [`Self::new`] with hashes known from other witnesses, for the same result.
    ///
    /// # Panics
    ///
    /// As [`Self::new`].
    pub(crate) fn with_known(codes: &[Bytes], known: Option<&KnownHashes>) -> Self {
        let mut different: Vec<&Bytes> = codes.iter().collect();
        different.sort_unstable();
        different.dedup();
        let mut hashes =
            known.map_or_else(|| keccak256_batch_parallel(&different), |known| known.hash(&different));
        let is_long = |code: &Bytes| code.len() >= LONG;
        let short = || different.iter().filter(|code| !is_long(code));
        let mut bytes = Vec::with_capacity(short().map(|code| code.len()).sum());
        let mut ends = Vec::with_capacity(short().count());
        let mut long = Vec::new();
        for (place, &code) in different.iter().enumerate() {
            if is_long(code) {
                long.push((code, hashes[place]));
            } else {
                bytes.extend_from_slice(code);
                // Never behind the place that it is taken from.
                hashes[ends.len()] = hashes[place];
                ends.push(bytes.len());
            }
        }
        hashes.truncate(ends.len());
        let count = u32::try_from(hashes.len()).expect("fewer than 2^32 codes");
        let mut by_hash: Vec<u32> = (0..count).collect();
        by_hash.sort_unstable_by_key(|&place| hashes[place as usize]);
        let codes = Self { bytes: bytes.into(), ends, hashes, by_hash, ready: Box::default() };
        long.into_par_iter().for_each(|(code, hash)| {
            let ready = ready(code.clone());
            codes.shard(hash).write().insert(hash, ready);
        });
        codes
    }

    /// The code with this hash.
    ///
    /// # Errors
    ///
    /// [`WitnessError::CodeMissing`] if no code has the hash.
    pub(crate) fn get(&self, hash: B256) -> Result<Bytecode, WitnessError> {
        if hash == KECCAK_EMPTY || hash.is_zero() {
            return Ok(Bytecode::default());
        }
        let shard = self.shard(hash);
        if let Some(code) = shard.read().get(&hash) {
            return Ok(code.clone());
        }
        let code = ready(self.find(hash).ok_or(WitnessError::CodeMissing { hash })?);
        // Two threads may meet here. The first one's code is everybody's.
        Ok(shard.write().entry(hash).or_insert(code).clone())
    }

    /// Where what is ready is kept of the code with this hash.
    fn shard(&self, hash: B256) -> &RwLock<B256Map<Bytecode>> {
        &self.ready[usize::from(hash[31]) % SHARDS]
    }

    /// The bytes of the short code with this hash.
    fn find(&self, hash: B256) -> Option<Bytes> {
        let found = self.by_hash.binary_search_by_key(&hash, |&place| self.hashes[place as usize]).ok()?;
        Some(self.bytes_at(self.by_hash[found] as usize))
    }

    /// The bytes of the code at this place.
    fn bytes_at(&self, place: usize) -> Bytes {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes.slice(start..self.ends[place])
    }
}

/// A code as the EVM runs it.
///
/// Bytes that begin like an EIP-7702 delegation but are none cannot be the code of any account that the EVM made; they
/// run as plain code.
fn ready(code: Bytes) -> Bytecode {
    Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    /// Codes of all kinds: plain, short, a delegation, and bytes that begin like one.
    fn samples() -> Vec<Bytes> {
        let delegation = [&[0xef, 0x01, 0x00][..], &[7; 20]].concat();
        let long = [&[0x5b; 70][..], &[0x60]].concat();
        let mut samples: Vec<Bytes> = (0..=255).map(|byte| Bytes::from(vec![byte])).collect();
        samples
            .extend([vec![0x60, 0x00], long, delegation.clone(), delegation[..22].to_vec()].map(Bytes::from));
        samples.extend(
            [&[0xef, 0x01][..], &[0xef, 0x01, 0x00], &[0xef, 0x01, 0x01]].map(Bytes::copy_from_slice),
        );
        samples
    }

    /// C1 and C2, in order and on threads, with every code sent twice and an empty one among them.
    #[test]
    fn every_code_is_found_as_revm_reads_it() {
        let samples = samples();
        let sent: Vec<Bytes> =
            samples.iter().chain([&Bytes::new()]).chain(samples.iter().rev()).cloned().collect();
        let codes = Codes::new(&sent);
        let check = || {
            for code in &samples {
                let expected = Bytecode::new_raw_checked(code.clone());
                let expected = expected.unwrap_or_else(|_| Bytecode::new_legacy(code.clone()));
                let found = codes.get(keccak256(code)).unwrap();
                assert_eq!(found, expected, "{code}");
                assert_eq!(found.is_eip7702(), code.len() == 23, "{code}");
                assert_eq!(found.original_bytes(), *code);
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(check))));
        check();
    }

    #[test]
    fn no_code_is_there_but_those_sent_and_the_empty_one() {
        for codes in [Codes::default(), Codes::new(&[]), Codes::new(&samples())] {
            assert!(codes.get(KECCAK_EMPTY).unwrap().is_empty());
            assert!(codes.get(B256::ZERO).unwrap().is_empty());
            for byte in 0..=255 {
                let hash = B256::repeat_byte(byte.max(1));
                assert_eq!(codes.get(hash), Err(WitnessError::CodeMissing { hash }));
            }
        }
    }

    /// A witness of short codes that nobody runs must not cost many times its size.
    #[test]
    fn short_codes_are_made_ready_when_they_are_used() {
        let mut samples = samples();
        samples.retain(|code| code.len() < LONG);
        let codes = Codes::new(&[samples.clone(), samples.clone()].concat());
        assert_eq!(codes.hashes.len(), samples.len());
        let ready = || codes.ready.iter().map(|shard| shard.read().len()).sum::<usize>();
        assert_eq!(ready(), 0);
        for _ in 0..2 {
            codes.get(keccak256(&samples[3])).unwrap();
            assert_eq!(ready(), 1);
        }
        let pointer = || codes.get(keccak256(&samples[3])).unwrap().bytes_ref().as_ptr();
        assert_eq!(pointer(), pointer(), "it is made once");

        let codes = Codes::new(&[LONG - 1, LONG, LONG + 1].map(|length| vec![0x5b; length].into()));
        assert_eq!(codes.ready.iter().map(|shard| shard.read().len()).sum::<usize>(), 2);
    }
}
