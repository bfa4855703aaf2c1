//! The chain of ancestors in a witness: oldest first, the parent last.

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::Decodable;

use crate::error::WitnessError;
use crate::pre_state::Ancestors;

/// Headers that `BLOCKHASH` can reach.
const MAX_HEADERS: usize = 256;

/// What a header in the witness may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderForm {
    /// Of Amsterdam or of the fork before it, as the reference decodes them.
    AmsterdamOrPrevious,
    /// Of any fork; the block's own rules decide.
    Any,
}

/// The parent and what is known of the blocks before it.
#[derive(Debug)]
pub(super) struct HeaderChain {
    /// The parent's header.
    pub(super) parent: Header,
    /// Hashes of all headers, by number.
    pub(super) ancestors: Ancestors,
}

impl HeaderChain {
    /// Decodes the headers and checks that each names the one before it as its parent, and that the last has this hash.
    ///
    /// # Errors
    ///
    /// [`WitnessError`] if there is none, if there are too many, if one does not decode or follow, or if the last is not
    /// the parent.
    pub(super) fn new(headers: &[Bytes], parent_hash: B256, form: HeaderForm) -> Result<Self, WitnessError> {
        if headers.len() > MAX_HEADERS {
            return Err(WitnessError::TooManyHeaders { count: headers.len() });
        }
        let decode = |(index, bytes)| decode(index, bytes, form);
        let decoded = headers.iter().enumerate().map(decode).collect::<Result<Vec<_>, _>>()?;
        let hashes: Vec<B256> = headers.iter().map(keccak256).collect();
        for (index, (header, expected)) in decoded.iter().skip(1).zip(&hashes).enumerate() {
            if header.parent_hash != *expected {
                let (expected, found) = (*expected, header.parent_hash);
                return Err(WitnessError::HeaderChain { index: index + 1, expected, found });
            }
        }
        let (Some(parent), Some(&found)) = (decoded.last(), hashes.last()) else {
            return Err(WitnessError::ParentMissing);
        };
        if found != parent_hash {
            return Err(WitnessError::ParentHash { expected: parent_hash, found });
        }
        let parent = parent.clone();
        let ancestors = (0..=parent.number).rev().zip(hashes.into_iter().rev()).collect();
        Ok(Self { parent, ancestors })
    }
}

/// Decodes one header.
fn decode(index: usize, bytes: &Bytes, form: HeaderForm) -> Result<Header, WitnessError> {
    let malformed = |reason| WitnessError::HeaderMalformed { index, reason };
    let mut rest = bytes.as_ref();
    let header = Header::decode(&mut rest).map_err(malformed)?;
    if !rest.is_empty() {
        return Err(malformed(alloy_rlp::Error::UnexpectedLength));
    }
    // Fields are positional, so the last one of a fork implies all before it.
    let amsterdam = header.slot_number.is_some();
    let previous = header.requests_hash.is_some() && header.block_access_list_hash.is_none();
    if form == HeaderForm::AmsterdamOrPrevious && !amsterdam && !previous {
        return Err(WitnessError::HeaderFields { index });
    }
    Ok(header)
}
