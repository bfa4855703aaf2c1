//! Deposits read from the logs of the deposit contract (EIP-6110).
//!
//! An ABI decoder would accept other layouts of the same values; the specification accepts exactly one.

use alloy_primitives::{Address, B256, Log, U256, b256};

use crate::error::BlockError;

/// Topic of `DepositEvent(bytes,bytes,bytes,bytes,bytes)`.
const DEPOSIT_EVENT: B256 = b256!("0x649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");

/// Bytes of the log's data.
const DATA_LENGTH: usize = 576;

/// The five fields: where in the data its length stands, and the length it must have.
const FIELDS: [(usize, usize); 5] = [(160, 48), (256, 32), (320, 8), (384, 96), (512, 8)];

/// All deposits in the logs, concatenated: the data of the EIP-7685 request of type 0.
///
/// # Errors
///
/// [`BlockError::DepositLog`] if a deposit log has another layout than the contract's own.
pub(crate) fn from_logs<'a>(
    contract: Address,
    logs: impl Iterator<Item = &'a Log>,
) -> Result<Vec<u8>, BlockError> {
    let mut deposits = Vec::new();
    for log in logs {
        if log.address == contract && log.topics().first() == Some(&DEPOSIT_EVENT) {
            append(&log.data.data, &mut deposits).ok_or(BlockError::DepositLog)?;
        }
    }
    Ok(deposits)
}

/// Appends the fields of one log, or returns `None` if its layout is wrong.
fn append(data: &[u8], deposits: &mut Vec<u8>) -> Option<()> {
    if data.len() != DATA_LENGTH {
        return None;
    }
    let word = |at: usize| data.get(at..at + 32).map(U256::from_be_slice);
    for (index, (at, length)) in FIELDS.into_iter().enumerate() {
        if word(index * 32)? != U256::from(at) || word(at)? != U256::from(length) {
            return None;
        }
        deposits.extend_from_slice(data.get(at + 32..at + 32 + length)?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data of a deposit log whose fields are filled with 1, 2, 3, 4, 5.
    fn data() -> Vec<u8> {
        let mut data = vec![0; DATA_LENGTH];
        for (index, (at, length)) in FIELDS.into_iter().enumerate() {
            data[index * 32 + 30..index * 32 + 32].copy_from_slice(&u16::try_from(at).unwrap().to_be_bytes());
            data[at + 31] = u8::try_from(length).unwrap();
            data[at + 32..at + 32 + length].fill(u8::try_from(index).unwrap() + 1);
        }
        data
    }

    fn parse(data: Vec<u8>) -> Result<Vec<u8>, BlockError> {
        let contract = Address::repeat_byte(7);
        let log = Log::new_unchecked(contract, vec![DEPOSIT_EVENT], data.into());
        from_logs(contract, [&log].into_iter())
    }

    #[test]
    fn fields_are_concatenated() {
        let expected = [vec![1; 48], vec![2; 32], vec![3; 8], vec![4; 96], vec![5; 8]].concat();
        assert_eq!(parse(data()), Ok(expected));
    }

    #[test]
    fn any_other_layout_is_an_error() {
        for at in (0..160).step_by(32).chain(FIELDS.map(|(at, _)| at)) {
            let mut wrong = data();
            wrong[at + 31] ^= 1;
            assert_eq!(parse(wrong), Err(BlockError::DepositLog), "word at {at}");
        }
        assert_eq!(parse(data()[1..].to_vec()), Err(BlockError::DepositLog));
        assert_eq!(parse([data(), vec![0]].concat()), Err(BlockError::DepositLog));
    }

    #[test]
    fn other_logs_are_ignored() {
        let contract = Address::repeat_byte(7);
        let elsewhere = Log::new_unchecked(Address::ZERO, vec![DEPOSIT_EVENT], vec![1].into());
        let other = Log::new_unchecked(contract, vec![B256::ZERO], vec![1].into());
        assert_eq!(from_logs(contract, [&elsewhere, &other].into_iter()), Ok(Vec::new()));
    }
}
