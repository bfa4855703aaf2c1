//! A block in the making: people, contracts, and what is sent.

use alloy_consensus::{BlockBody, Header, SignableTransaction, TxEip1559, TxEip7702};
use alloy_eips::eip2930::AccessList;
use alloy_eips::eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
use alloy_eips::eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS;
use alloy_eips::eip7702::SignedAuthorization;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::map::{AddressMap, B256Map};
use alloy_primitives::{Address, Bytes, U256};
use rayon::prelude::*;
use revm::state::AccountInfo;
use weft_engine::error::ExecuteError;
use weft_engine::pre_state::{Ancestors, PlainAccount, PlainState};
use weft_engine::{Block, Chain, ReadyBlock, Rules, SignedTransaction, sequential};

use crate::contracts::Code;
use crate::person::Person;

/// Receives the fees, and nothing else.
pub(crate) const BENEFICIARY: Address = Address::repeat_byte(0xbe);
/// Chain id of the workloads.
pub(crate) const CHAIN_ID: u64 = 1_729;
/// Base fee, in wei; it is burned.
const BASE_FEE: u64 = 7;
/// Fee per gas that goes to the beneficiary, in wei.
const PRIORITY_FEE: u64 = 1;
/// Gas limit of the block: above any workload.
const GAS_LIMIT: u64 = 1 << 50;

/// A block and the state before it.
#[derive(Debug)]
pub struct Workload {
    /// What it is called in the catalogue.
    pub name: String,
    /// The chain it is of.
    pub chain: Chain,
    /// The block.
    pub block: Block,
    /// The state before it.
    pub pre_state: PlainState,
    /// Who sent its transactions, if that is known without their signatures.
    pub(crate) senders: Option<Vec<Address>>,
}

impl Workload {
    /// What the block has to obey.
    pub fn rules(&self) -> Rules {
        self.chain.rules_at(self.block.header.number, self.block.header.timestamp)
    }

    /// Has the header say how much gas the block uses, as that of a block from elsewhere does: the engine plans by it. The
    /// header of an invalid block says nothing.
    fn seal(&mut self) {
        let rules = self.rules();
        let outcome = ReadyBlock::new(&rules, &self.block, None)
            .and_then(|ready| sequential::run(&ready, &self.pre_state));
        self.block.header.gas_used = match outcome {
            Ok(outcome) => outcome.gas_used,
            Err(ExecuteError::Block(_)) => 0,
            Err(error) => panic!("{}: {error}", self.name),
        };
    }
}

/// A block in the making.
#[derive(Debug)]
pub(crate) struct Scene {
    /// Those who send. All are rich.
    pub(crate) people: Vec<Person>,
    /// The state before the block.
    accounts: AddressMap<PlainAccount>,
    /// Codes of the contracts.
    codes: B256Map<Bytes>,
    /// What is sent, in order.
    sent: Vec<Sent>,
}

/// A transaction before it is signed and has a nonce.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Number of the sender.
    pub(crate) from: usize,
    /// Recipient or contract.
    pub(crate) to: Address,
    /// Wei.
    pub(crate) value: u64,
    /// Calldata.
    pub(crate) input: Bytes,
    /// Gas limit.
    pub(crate) gas_limit: u64,
    /// Added to the nonce that would be right.
    pub(crate) nonce_gap: u64,
    /// Delegations (EIP-7702); if there are any, the transaction is of that type.
    pub(crate) delegations: Vec<SignedAuthorization>,
}

impl Sent {
    /// A call without ether.
    pub(crate) fn call(from: usize, to: Address, input: Bytes, gas_limit: u64) -> Self {
        Self { from, to, value: 0, input, gas_limit, nonce_gap: 0, delegations: Vec::new() }
    }

    /// A transfer of ether.
    pub(crate) fn ether(from: usize, to: Address, value: u64) -> Self {
        Self { value, ..Self::call(from, to, Bytes::new(), 21_000) }
    }
}

impl Scene {
    /// A scene with so many people.
    pub(crate) fn new(people: usize) -> Self {
        let people = Person::several(people);
        let ether = U256::from(1_000_000_000_000_000_000_u64);
        let mut scene = Self {
            accounts: AddressMap::default(),
            codes: B256Map::default(),
            sent: Vec::new(),
            people: Vec::new(),
        };
        for person in &people {
            scene.account(person.address).info.balance = ether * U256::from(1_000_000);
        }
        scene.account(BENEFICIARY).info.balance = ether;
        scene.people = people;
        scene
    }

    /// Address of the person with this number.
    pub(crate) fn address(&self, person: usize) -> Address {
        self.people[person].address
    }

    /// The account at this address, made if it is not there.
    pub(crate) fn account(&mut self, address: Address) -> &mut PlainAccount {
        self.accounts.entry(address).or_insert_with(|| PlainAccount {
            info: AccountInfo::default().without_code(),
            ..PlainAccount::default()
        })
    }

    /// Puts a contract at this address.
    pub(crate) fn deploy(&mut self, address: Address, code: &Code) -> &mut PlainAccount {
        self.codes.entry(code.hash).or_insert_with(|| code.bytes.clone());
        let account = self.account(address);
        (account.info.nonce, account.info.code_hash) = (1, code.hash);
        account
    }

    /// Adds a transaction.
    pub(crate) fn send(&mut self, sent: Sent) {
        self.sent.push(sent);
    }

    /// The order of what was sent so far.
    pub(crate) fn sent_mut(&mut self) -> &mut [Sent] {
        &mut self.sent
    }

    /// Signs everything and makes the block: of Cancun, or of Prague if it has delegations.
    ///
    /// The parent's beacon root is left out and the contract of EIP-2935 is absent, so that no system call does
    /// anything and a small block costs what its transactions cost.
    pub(crate) fn finish(mut self, name: String) -> Workload {
        let prague = self.sent.iter().any(|sent| !sent.delegations.is_empty());
        if prague {
            for queue in [WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS] {
                self.deploy(queue, &Code::stop());
            }
        }
        let mut nonces = vec![0; self.people.len()];
        let numbered: Vec<(u64, Sent)> = self
            .sent
            .into_iter()
            .map(|sent| {
                let nonce = nonces[sent.from] + sent.nonce_gap;
                nonces[sent.from] += 1;
                (nonce, sent)
            })
            .collect();
        let senders = numbered.iter().map(|(_, sent)| self.people[sent.from].address).collect();
        let transactions = numbered
            .into_par_iter()
            .map(|(nonce, sent)| sign(&self.people[sent.from], nonce, sent))
            .collect();
        let codes: Vec<Bytes> = self.codes.into_values().collect();
        let fork = if prague { EthereumHardfork::Prague } else { EthereumHardfork::Cancun };
        let mut workload = Workload {
            name,
            chain: Chain::at_fork(CHAIN_ID, fork),
            block: Block {
                header: header(),
                body: BlockBody { transactions, ommers: Vec::new(), withdrawals: Some(Vec::new().into()) },
            },
            pre_state: PlainState::new(self.accounts, &codes, Ancestors::default()),
            senders: Some(senders),
        };
        workload.seal();
        workload
    }
}

/// Signs a transaction.
fn sign(sender: &Person, nonce: u64, sent: Sent) -> SignedTransaction {
    let Sent { to, value, input, gas_limit, delegations, .. } = sent;
    let max_fee_per_gas = u128::from(BASE_FEE + PRIORITY_FEE);
    let max_priority_fee_per_gas = u128::from(PRIORITY_FEE);
    if delegations.is_empty() {
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: to.into(),
            value: U256::from(value),
            access_list: AccessList::default(),
            input,
        };
        let signature = sender.sign(&transaction);
        return SignedTransaction::Eip1559(transaction.into_signed(signature));
    }
    let transaction = TxEip7702 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit,
        max_fee_per_gas,
        max_priority_fee_per_gas,
        to,
        value: U256::from(value),
        access_list: AccessList::default(),
        authorization_list: delegations,
        input,
    };
    let signature = sender.sign(&transaction);
    SignedTransaction::Eip7702(transaction.into_signed(signature))
}

/// The header of a block that is only run: what it commits to is left empty.
fn header() -> Header {
    Header {
        beneficiary: BENEFICIARY,
        number: 100,
        gas_limit: GAS_LIMIT,
        timestamp: 1_800_000_000,
        base_fee_per_gas: Some(BASE_FEE),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        ..Header::default()
    }
}
