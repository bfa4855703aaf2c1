//! Transactions before they are signed.
//!
//! Nonces are only said relative to what they should be, so that transactions can be taken out of a block and those
//! behind them stay what they are.

use std::collections::BTreeMap;
use std::fmt;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::eip2930::AccessList;
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use weft_engine::SignedTransaction;

use super::case::CHAIN_ID;
use super::feature::Feature;
use super::people::person;
use crate::world::World;

/// A transaction before it is signed.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// What it was made for.
    pub(super) feature: Feature,
    /// Number of the person who sends it.
    pub(super) sender: usize,
    /// Its nonce, relative to the sender's.
    pub(super) nonce: Nonce,
    /// Its form.
    pub(super) envelope: Envelope,
    /// Chain id; a legacy transaction may have none.
    pub(super) chain_id: Option<u64>,
    /// Gas limit.
    pub(super) gas_limit: u64,
    /// Most that it pays for a unit of gas: the price itself, where there is no other.
    pub(super) max_fee: u128,
    /// Most that the beneficiary gets of it.
    pub(super) priority_fee: u128,
    /// Whom it calls.
    pub(super) to: TxKind,
    /// Wei that it sends.
    pub(super) value: U256,
    /// Calldata, or code that makes a contract.
    pub(super) input: Bytes,
    /// Access list.
    pub(super) access_list: AccessList,
    /// Versioned hashes of blobs.
    pub(super) blobs: Vec<B256>,
    /// Most that it pays for a unit of blob gas.
    pub(super) max_blob_fee: u128,
    /// Authorisations (EIP-7702).
    pub(super) authorizations: Vec<Consent>,
}

/// A nonce, relative to what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nonce {
    /// The next one.
    Next,
    /// Too high by so many.
    Ahead(u64),
    /// Too low by so many.
    Behind(u64),
    /// The highest there is.
    Last,
}

impl Nonce {
    /// The nonce, if `next` is the next one.
    fn from(self, next: u64) -> u64 {
        match self {
            Self::Next => next,
            Self::Ahead(by) => next.saturating_add(by),
            Self::Behind(by) => next.saturating_sub(by),
            Self::Last => u64::MAX,
        }
    }
}

/// Form of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Envelope {
    /// Before EIP-2718.
    Legacy,
    /// With access list.
    Eip2930,
    /// With two fees.
    Eip1559,
    /// With blobs.
    Eip4844,
    /// With authorisations.
    Eip7702,
}

/// An authorisation (EIP-7702) before it is signed.
#[derive(Debug, Clone)]
pub(super) struct Consent {
    /// Number of the person who gives it.
    pub(super) authority: usize,
    /// Whose code the authority gets; zero takes it away.
    pub(super) target: Address,
    /// Chain id; zero for any.
    pub(super) chain_id: u64,
    /// Its nonce, relative to the authority's.
    pub(super) nonce: Nonce,
}

/// Signs all transactions, with the nonces that they should have if all of them are valid.
pub(super) fn sign(plans: &[Plan], world: &World) -> Vec<SignedTransaction> {
    let mut nonces = Nonces { world, next: BTreeMap::new() };
    plans.iter().map(|plan| plan.sign(&mut nonces)).collect()
}

/// The next nonce of everybody.
struct Nonces<'a> {
    /// The state before the block.
    world: &'a World,
    /// Nonces of those who have used one.
    next: BTreeMap<usize, u64>,
}

impl Nonces<'_> {
    /// The nonce of this person.
    fn of(&mut self, number: usize) -> &mut u64 {
        let known = || self.world.get(person(number).address).map_or(0, |account| account.nonce);
        self.next.entry(number).or_insert_with(known)
    }
}

impl Plan {
    /// Signs it.
    fn sign(&self, nonces: &mut Nonces<'_>) -> SignedTransaction {
        let next = nonces.of(self.sender);
        let nonce = self.nonce.from(*next);
        *next = next.saturating_add(1);
        let authorization_list = self.authorizations.iter().map(|consent| consent.sign(nonces)).collect();
        let to = self.to.to().copied().unwrap_or_default();
        let chain_id = self.chain_id.unwrap_or(CHAIN_ID);
        let (gas_limit, value, input) = (self.gas_limit, self.value, self.input.clone());
        let access_list = self.access_list.clone();
        let (max_fee_per_gas, max_priority_fee_per_gas) = (self.max_fee, self.priority_fee);
        match self.envelope {
            Envelope::Legacy => {
                let (chain_id, gas_price) = (self.chain_id, self.max_fee);
                self.seal(TxLegacy { chain_id, nonce, gas_price, gas_limit, to: self.to, value, input })
            }
            Envelope::Eip2930 => self.seal(TxEip2930 {
                chain_id,
                nonce,
                gas_price: self.max_fee,
                gas_limit,
                to: self.to,
                value,
                access_list,
                input,
            }),
            Envelope::Eip1559 => self.seal(TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to: self.to,
                value,
                access_list,
                input,
            }),
            Envelope::Eip4844 => self.seal(TxEip4844 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                blob_versioned_hashes: self.blobs.clone(),
                max_fee_per_blob_gas: self.max_blob_fee,
                input,
            }),
            Envelope::Eip7702 => self.seal(TxEip7702 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                authorization_list,
                input,
            }),
        }
    }

    /// The signed transaction.
    fn seal<T: SignableTransaction<alloy_primitives::Signature>>(&self, transaction: T) -> SignedTransaction
    where
        SignedTransaction: From<alloy_consensus::Signed<T>>,
    {
        let signature = person(self.sender).sign(transaction.signature_hash());
        transaction.into_signed(signature).into()
    }
}

impl Consent {
    /// Signs it. The authority's nonce goes up if the authorisation counts.
    fn sign(&self, nonces: &mut Nonces<'_>) -> SignedAuthorization {
        let next = nonces.of(self.authority);
        let nonce = self.nonce.from(*next);
        if nonce == *next && [0, CHAIN_ID].contains(&self.chain_id) {
            *next = next.saturating_add(1);
        }
        let authorization =
            Authorization { chain_id: U256::from(self.chain_id), address: self.target, nonce };
        let signature = person(self.authority).sign(authorization.signature_hash());
        authorization.into_signed(signature)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:?}) {:?} from {}", self.feature, self.envelope, person(self.sender).address)?;
        match self.to {
            TxKind::Call(to) => write!(f, " to {to}")?,
            TxKind::Create => write!(f, " creates")?,
        }
        write!(
            f,
            ", nonce {:?}, value {}, gas limit {}, fees {}/{}, input {}",
            self.nonce, self.value, self.gas_limit, self.max_fee, self.priority_fee, self.input
        )?;
        if self.chain_id != Some(CHAIN_ID) {
            write!(f, ", chain {:?}", self.chain_id)?;
        }
        for item in self.access_list.iter() {
            write!(f, ", accesses {} {:?}", item.address, item.storage_keys)?;
        }
        if !self.blobs.is_empty() {
            write!(f, ", {} blobs for {}", self.blobs.len(), self.max_blob_fee)?;
        }
        for consent in &self.authorizations {
            let authority = person(consent.authority).address;
            let Consent { target, chain_id, nonce, .. } = consent;
            write!(f, ", {authority} delegates to {target} on chain {chain_id} with nonce {nonce:?}")?;
        }
        Ok(())
    }
}
