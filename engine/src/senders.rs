//! Who signed: senders of transactions and authorities of EIP-7702 delegations.
//!
//! Signatures depend on nothing but themselves, so all of a block are checked before it runs, on all cores:
//!
//! ```text
//!  transactions, authorizations ─► one list ─► pieces ─► digests ─► keys ─► addresses
//!                                              a thread   many at once, each
//! ```
//!
//! How many signatures of a piece are worth a vector is known only when their points have been looked for. The others, few
//! where there are vectors at all, are recovered one by one, on all threads that have nothing else to do.
//!
//! Keys come from `weft-recover`. The precompile ECRECOVER meets its signatures one at a time, while the block runs;
//! there revm calls the same libsecp256k1 that `weft-recover` has for single signatures. To put ourselves in between
//! would take revm's provider of cryptography, which is one for the whole process, and so not ours to choose.

use alloy_consensus::{SignableTransaction, Transaction};
use alloy_eips::eip7702::constants::MAGIC;
use alloy_eips::eip7702::{RecoveredAuthority, RecoveredAuthorization, SignedAuthorization};
use alloy_evm::FromRecoveredTx;
use alloy_primitives::{Address, Signature, U256};
use alloy_rlp::Encodable;
use rayon::prelude::*;
use revm::context::TxEnv;
use revm::context::either::Either;
use weft_recover::{Backend, Item, NoKey};
use weft_trie::keccak256_batch;

use crate::block::{ReadyTransaction, SignedTransaction};
use crate::error::{BlockError, ExecuteError};
use crate::execute::InputError;

/// Half the order of secp256k1's group: from Homestead on, `s` of a transaction must not be above it (EIP-2).
const HALF_ORDER: U256 = U256::from_limbs([
    0xdfe9_2f46_681b_20a0,
    0x5d57_6e73_57a4_501d,
    0xffff_ffff_ffff_ffff,
    0x7fff_ffff_ffff_ffff,
]);

/// Signatures that a thread takes at once if there is no other; more gain nothing.
const PIECE_ALONE: usize = 256;

/// Signatures that a thread takes at once beside others. They take a fiftieth longer than in larger pieces.
const PIECE_MAX: usize = 128;

/// Where pieces stop getting shorter, but for the last of each thread: a signature takes a tenth longer, but nobody waits
/// long for the last of them.
const PIECE_MIN: usize = 32;

/// Transactions that take longer to make ready than a thread to come.
const TRANSACTIONS_MIN: usize = 128;

/// An uncompressed public key: `04 ‖ x ‖ y`.
pub type PublicKey = [u8; 65];

/// Which signatures the fork accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malleability {
    /// Any `s` (Frontier).
    Accepted,
    /// `s` up to half the order (EIP-2, Homestead and later).
    Rejected,
}

/// What somebody signed.
#[derive(Clone, Copy)]
enum Signed<'a> {
    /// A transaction.
    Transaction(&'a SignedTransaction),
    /// A delegation that a transaction carries.
    Authorization(&'a SignedAuthorization),
}

/// Who signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signer {
    /// Its key.
    key: weft_recover::PublicKey,
    /// Its address.
    address: Address,
}

impl Signed<'_> {
    /// The signature, if the fork accepts one with such numbers.
    fn signature(&self, malleability: Malleability) -> Option<Signature> {
        let (signature, malleability) = match self {
            Self::Transaction(transaction) => (*transaction.signature(), malleability),
            Self::Authorization(signed) => (signed.signature().ok()?, Malleability::Rejected),
        };
        (malleability == Malleability::Accepted || signature.s() <= HALF_ORDER).then_some(signature)
    }

    /// The bytes whose hash was signed.
    fn message(&self) -> Vec<u8> {
        match self {
            Self::Transaction(SignedTransaction::Legacy(signed)) => signed.tx().encoded_for_signing(),
            Self::Transaction(SignedTransaction::Eip2930(signed)) => signed.tx().encoded_for_signing(),
            Self::Transaction(SignedTransaction::Eip1559(signed)) => signed.tx().encoded_for_signing(),
            Self::Transaction(SignedTransaction::Eip4844(signed)) => signed.tx().encoded_for_signing(),
            Self::Transaction(SignedTransaction::Eip7702(signed)) => signed.tx().encoded_for_signing(),
            Self::Authorization(signed) => {
                let mut message = vec![MAGIC];
                signed.inner().encode(&mut message);
                message
            }
        }
    }
}

/// Recovers all senders and authorities on the threads of the current pool.
///
/// With `public_keys`, each must be the key that signed; a key cannot replace recovery, since it must also match
/// the signature's parity.
///
/// # Errors
///
/// That of the first transaction that has one: [`BlockError::Signature`], or [`InputError`] of the keys.
pub(crate) fn recover_all(
    transactions: &[SignedTransaction],
    public_keys: Option<&[PublicKey]>,
    malleability: Malleability,
    backend: Backend,
) -> Result<Vec<ReadyTransaction>, ExecuteError> {
    if let Some(keys) = public_keys
        && keys.len() != transactions.len()
    {
        return Err(InputError::PublicKeyCount { keys: keys.len(), transactions: transactions.len() }.into());
    }
    let mut signed = Vec::with_capacity(transactions.len());
    let mut places = Vec::with_capacity(transactions.len());
    for transaction in transactions {
        places.push(signed.len());
        signed.push(Signed::Transaction(transaction));
        let authorizations = transaction.authorization_list().unwrap_or_default();
        signed.extend(authorizations.iter().map(Signed::Authorization));
    }
    let mut signers = vec![None; signed.len()];
    Pieces::of(&signed, &mut signers, rayon::current_num_threads(), backend)
        // Handed out one by one, so that the shortest come last.
        .par_bridge()
        .for_each(|(signed, signers)| recover(signed, signers, malleability, backend));
    let mut senders = Vec::with_capacity(transactions.len());
    for (index, place) in places.into_iter().enumerate() {
        let sender = signers[place].ok_or(BlockError::Signature { index })?;
        if public_keys.is_some_and(|keys| keys[index].strip_prefix(&[4]) != Some(&sender.key.0)) {
            return Err(InputError::PublicKey { index }.into());
        }
        senders.push((sender.address, &signers[place + 1..]));
    }
    let ready = transactions.par_iter().zip(senders).with_min_len(TRANSACTIONS_MIN);
    Ok(ready
        .map(|(transaction, (sender, authorities))| ready_transaction(transaction, sender, authorities))
        .collect())
}

/// Signatures in pieces, with places for their signers: as many as a thread is to take at once.
///
/// Threads need not begin together, so each takes the next piece when it is done with one, and pieces get shorter.
struct Pieces<'a> {
    /// The signatures that are left.
    signed: &'a [Signed<'a>],
    /// The places of their signers.
    signers: &'a mut [Option<Signer>],
    /// How many threads take them.
    threads: usize,
    /// How many go into a vector.
    lanes: usize,
    /// How long the pieces are from now on, once there is one left for each thread.
    last: Option<usize>,
}

impl<'a> Pieces<'a> {
    /// All of them.
    fn of(
        signed: &'a [Signed<'a>],
        signers: &'a mut [Option<Signer>],
        threads: usize,
        backend: Backend,
    ) -> Self {
        Self { signed, signers, threads, lanes: backend.lanes(), last: None }
    }

    /// Signatures in the next piece.
    fn length(&mut self) -> usize {
        let share = self.signed.len().div_ceil(self.threads);
        let length = match self.last {
            Some(length) => length,
            None if self.threads == 1 => share.min(PIECE_ALONE),
            None if share > PIECE_MIN => (share / 2).clamp(PIECE_MIN, PIECE_MAX),
            None => *self.last.insert(share),
        };
        // Two, one after the other, take no longer than a vector.
        if length <= 2 { length } else { length.next_multiple_of(self.lanes) }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = (&'a [Signed<'a>], &'a mut [Option<Signer>]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = self.length().min(self.signed.len());
        let signed = self.signed.split_off(..length).filter(|signed| !signed.is_empty())?;
        Some((signed, self.signers.split_off_mut(..length)?))
    }
}

/// Finds the signer of each; there may be none.
fn recover(
    signed: &[Signed<'_>],
    signers: &mut [Option<Signer>],
    malleability: Malleability,
    backend: Backend,
) {
    let accepted: Vec<(usize, Signature)> = signed
        .iter()
        .enumerate()
        .filter_map(|(place, signed)| Some((place, signed.signature(malleability)?)))
        .collect();
    let messages: Vec<Vec<u8>> = accepted.iter().map(|(place, _)| signed[*place].message()).collect();
    let digests = keccak256_batch(&messages);
    let items: Vec<Item> = accepted
        .iter()
        .zip(&digests)
        .map(|((_, signature), digest)| Item {
            digest: digest.0,
            r: signature.r().to_be_bytes(),
            s: signature.s().to_be_bytes(),
            y_odd: signature.v(),
        })
        .collect();
    let recovered = recover_rest(backend.recover_together(&items), &items, |item| backend.recover_one(item));
    let recovered = accepted.iter().zip(recovered);
    let keys: Vec<_> = recovered.filter_map(|((place, _), key)| Some((*place, key.ok()?))).collect();
    let hashes = keccak256_batch(&keys.iter().map(|(_, key)| key.0).collect::<Vec<_>>());
    for ((place, key), hash) in keys.into_iter().zip(hashes) {
        signers[place] = Some(Signer { key, address: Address::from_word(hash) });
    }
}

/// What is known of a piece, with the rest recovered by `one`, on all threads that have nothing else to do: each takes as
/// long as half a vector, and only now does anybody know how many there are.
fn recover_rest(
    known: Vec<Option<Recovered>>,
    items: &[Item],
    one: impl Fn(&Item) -> Recovered + Sync + Send,
) -> Vec<Recovered> {
    let rest: Vec<&Item> =
        known.iter().zip(items).filter(|(known, _)| known.is_none()).map(|(_, item)| item).collect();
    let rest: Vec<Recovered> = rest.into_par_iter().with_max_len(1).map(one).collect();
    let mut rest = rest.into_iter();
    known.into_iter().map(|known| known.unwrap_or_else(|| rest.next().expect("one for each"))).collect()
}

/// The key of a signature, if it has one.
type Recovered = Result<weft_recover::PublicKey, NoKey>;

/// A transaction with its sender, and whatever signers come after him, of which the first are those of its
/// authorizations.
fn ready_transaction(
    transaction: &SignedTransaction,
    sender: Address,
    authorities: &[Option<Signer>],
) -> ReadyTransaction {
    ReadyTransaction {
        env: environment(transaction, sender, authorities),
        tx_type: transaction.tx_type(),
        blob_gas: transaction.blob_gas_used().unwrap_or_default(),
    }
}

/// What revm needs to know of a transaction.
fn environment(transaction: &SignedTransaction, sender: Address, authorities: &[Option<Signer>]) -> TxEnv {
    if let SignedTransaction::Eip7702(signed) = transaction {
        // alloy-evm would recover the authorities as well, one by one and with another library.
        let mut bare = signed.tx().clone();
        let authorizations = std::mem::take(&mut bare.authorization_list);
        let mut env = TxEnv::from_recovered_tx(&bare, sender);
        env.authorization_list = authorizations
            .into_iter()
            .zip(authorities)
            .map(|(signed, authority)| Either::Right(authorization(signed, *authority)))
            .collect();
        return env;
    }
    TxEnv::from_recovered_tx(transaction, sender)
}

/// An EIP-7702 authorization with its authority, if its signature has one.
fn authorization(signed: SignedAuthorization, authority: Option<Signer>) -> RecoveredAuthorization {
    let authority =
        authority.map_or(RecoveredAuthority::Invalid, |signer| RecoveredAuthority::Valid(signer.address));
    RecoveredAuthorization::new_unchecked(signed.strip_signature(), authority)
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    use alloy_consensus::transaction::SignerRecoverable;
    use alloy_consensus::{SignableTransaction, TxEip7702, TxLegacy};
    use alloy_eips::eip7702::Authorization;
    use alloy_primitives::{address, hex, uint};

    use super::*;

    /// The signer of [`example`].
    const SIGNER: Address = address!("0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F");

    /// A signature made by libsecp256k1 for key 0x46…46 (the example of EIP-155).
    fn example() -> SignedTransaction {
        let transaction = TxLegacy {
            chain_id: Some(1),
            nonce: 9,
            gas_price: 20_000_000_000,
            gas_limit: 21_000,
            to: Address::repeat_byte(0x35).into(),
            value: U256::from(10).pow(U256::from(18)),
            input: alloy_primitives::Bytes::new(),
        };
        let signature = Signature::new(
            uint!(0x28ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276_U256),
            uint!(0x67cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83_U256),
            false,
        );
        SignedTransaction::Legacy(transaction.into_signed(signature))
    }

    /// [`example`] with another signature.
    fn with_signature(signature: Signature) -> SignedTransaction {
        let SignedTransaction::Legacy(signed) = example() else { panic!("it is a legacy transaction") };
        SignedTransaction::Legacy(signed.strip_signature().into_signed(signature))
    }

    /// The sender, or the error.
    fn sender(transaction: SignedTransaction, malleability: Malleability) -> Result<Address, ExecuteError> {
        Ok(recover_all(&[transaction], None, malleability, Backend::best())?[0].env.caller)
    }

    #[test]
    fn eip155_example_is_recovered() {
        assert_eq!(sender(example(), Malleability::Rejected), Ok(SIGNER));
    }

    #[test]
    fn high_s_is_accepted_on_frontier_only() {
        let signature = example().signature().to_owned();
        let order = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);
        let high = with_signature(Signature::new(signature.r(), order - signature.s(), !signature.v()));
        assert_eq!(
            sender(high.clone(), Malleability::Rejected),
            Err(BlockError::Signature { index: 0 }.into())
        );
        assert_eq!(sender(high, Malleability::Accepted), Ok(SIGNER));
    }

    #[test]
    fn wrong_keys_are_rejected() {
        let transactions = [example()];
        let judge = |keys: &[PublicKey]| {
            recover_all(&transactions, Some(keys), Malleability::Rejected, Backend::best()).map(|_| ())
        };
        assert_eq!(judge(&[]), Err(InputError::PublicKeyCount { keys: 0, transactions: 1 }.into()));
        assert_eq!(judge(&[[4; 65]]), Err(InputError::PublicKey { index: 0 }.into()));
        let right = hex!(
            "044bc2a31265153f07e70e0bab08724e6b85e217f8cd628ceb62974247bb493382"
            "ce28cab79ad7119ee1ad3ebcdb98a16805211530ecc6cfefa1b88e6dff99232a"
        );
        assert_eq!(judge(&[right]), Ok(()));
        for (place, byte) in [(0, 6), (1, 0), (64, 0x2b)] {
            let mut wrong = right;
            wrong[place] = byte;
            assert_eq!(judge(&[wrong]), Err(InputError::PublicKey { index: 0 }.into()));
        }
    }

    /// A block of transactions, some of them with delegations, with whom everybody is.
    fn block() -> (Vec<SignedTransaction>, Vec<Vec<RecoveredAuthority>>) {
        let signature = *example().signature();
        // Whose signatures these are matters to nobody: any point is somebody's key.
        let somebody =
            |number: u64| Signature::new(signature.r(), signature.s() - U256::from(number), number % 3 == 1);
        let nobody = Signature::new(U256::from(5), signature.s(), false);
        let (mut transactions, mut authorities) = (Vec::new(), Vec::new());
        for number in 0..300 {
            let list = (0..number % 4).map(|place| {
                let inner = Authorization { chain_id: U256::ONE, address: SIGNER, nonce: number };
                let bad = (number + place) % 5 == 0;
                let signed = inner.into_signed(if bad { nobody } else { somebody(number + place) });
                // With another parity than 0 or 1 there is no signature at all.
                if (number + place) % 7 == 0 {
                    SignedAuthorization::new_unchecked(signed.inner().clone(), 2, signed.r(), signed.s())
                } else {
                    signed
                }
            });
            let list: Vec<SignedAuthorization> = list.collect();
            authorities.push(
                list.iter()
                    .map(|signed| {
                        let authority = signed.recover_authority();
                        authority.map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid)
                    })
                    .collect(),
            );
            let transaction = TxEip7702 { nonce: number, authorization_list: list, ..TxEip7702::default() };
            transactions.push(SignedTransaction::Eip7702(transaction.into_signed(somebody(number))));
        }
        (transactions, authorities)
    }

    #[test]
    fn backends_and_threads_give_the_same() {
        let (transactions, authorities) = block();
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for (backend, length) in Backend::ALL.into_iter().flat_map(|b| [(b, 300), (b, 7), (b, 1), (b, 0)])
            {
                let transactions = &transactions[..length];
                let recover = || recover_all(transactions, None, Malleability::Rejected, backend);
                let ready = pool.install(recover).unwrap();
                assert_eq!(ready.len(), length);
                for ((ready, transaction), authorities) in ready.iter().zip(transactions).zip(&authorities) {
                    let env = &ready.env;
                    assert_eq!(env.caller, transaction.recover_signer().unwrap());
                    let found = env.authorization_list.iter().map(|signed| match signed {
                        Either::Right(recovered) => recovered
                            .authority()
                            .map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid),
                        Either::Left(_) => panic!("authorities were recovered"),
                    });
                    assert_eq!(found.collect::<Vec<_>>(), *authorities);
                }
            }
        }
    }

    #[test]
    fn the_first_bad_transaction_is_named() {
        let (mut transactions, _) = block();
        let nobody = with_signature(Signature::new(U256::from(5), U256::ONE, false));
        for index in [299, 270, 31, 0] {
            transactions[index] = nobody.clone();
            for backend in Backend::ALL {
                let error = recover_all(&transactions, None, Malleability::Rejected, backend).unwrap_err();
                assert_eq!(error, BlockError::Signature { index }.into());
            }
        }
        // A wrong key before it comes first.
        transactions[0] = example();
        let keys = vec![[4; 65]; transactions.len()];
        let error = recover_all(&transactions, Some(&keys), Malleability::Rejected, Backend::best());
        assert_eq!(error.unwrap_err(), InputError::PublicKey { index: 0 }.into());
    }

    #[test]
    fn what_is_left_of_a_piece_is_recovered_side_by_side() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let items = [Item { digest: [1; 32], r: [2; 32], s: [3; 32], y_odd: false }; 9];
        let key = |number: usize| Ok(weft_recover::PublicKey([u8::try_from(number).unwrap(); 64]));
        let mut known: Vec<_> = (0..9).map(|place| Some(key(place))).collect();
        (known[0], known[5]) = (None, None);
        let (begun, other) = (Mutex::new(0), Condvar::new());
        // Each waits until the other one has begun, too.
        let one = |_: &Item| {
            let mut count = begun.lock().unwrap();
            *count += 1;
            other.notify_all();
            let limit = Duration::from_secs(10);
            let waited = other.wait_timeout_while(count, limit, |count| *count < 2).unwrap().1;
            assert!(!waited.timed_out(), "one after the other");
            Err(NoKey)
        };
        let all = pool.install(|| recover_rest(known, &items, one));
        let expected: Vec<_> =
            (0..9).map(|place| if [0, 5].contains(&place) { Err(NoKey) } else { key(place) }).collect();
        assert_eq!((all, *begun.lock().unwrap()), (expected, 2), "each in its place");
    }

    #[test]
    fn pieces_fit_threads_and_lanes() {
        Backend::best().prepare();
        let lanes = Backend::best().lanes();
        let transaction = example();
        let lengths = |signatures, threads| {
            let signed = vec![Signed::Transaction(&transaction); signatures];
            let mut signers = vec![None; signatures];
            let pieces = Pieces::of(&signed, &mut signers, threads, Backend::best());
            let lengths = pieces.map(|(signed, signers)| {
                assert_eq!(signed.len(), signers.len());
                signed.len()
            });
            lengths.collect::<Vec<_>>()
        };
        for threads in [1, 2, 3, 8, 64] {
            for signatures in (0..300).chain([1_000, 1_999, 2_000]) {
                let lengths = lengths(signatures, threads);
                assert_eq!(lengths.iter().sum::<usize>(), signatures);
                let Some((last, before)) = lengths.split_last() else { continue };
                assert!((1..=PIECE_ALONE).contains(last), "{signatures} on {threads}");
                for length in before {
                    assert!(*length <= 2 || length.is_multiple_of(lanes), "{signatures} on {threads}");
                    assert!(*length <= PIECE_ALONE && length >= last, "{signatures} on {threads}");
                }
            }
        }
        assert_eq!(lengths(2, 2), [1, 1]);
        if lanes == 8 {
            assert_eq!(lengths(16, 2), [8, 8]);
            assert_eq!(lengths(200, 2), [56, 40, 32, 32, 24, 16]);
        }
    }
}
