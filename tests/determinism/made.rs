//! Makes blocks of signed transactions on a plain pre-state, and runs them on every engine.

use std::sync::Mutex;

use alloy_consensus::{BlockBody, Header, SignableTransaction, TxEip1559, TxEip7702};
use alloy_eips::eip4895::{Withdrawal, Withdrawals};
use alloy_eips::eip7702::Authorization;
use alloy_evm::block::system_calls::{
    BUILDER_DEPOSIT_REQUEST_PREDEPLOY_ADDRESS, BUILDER_EXIT_REQUEST_PREDEPLOY_ADDRESS,
};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::map::{AddressMap, HashMap};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use alloy_rlp::Decodable;
use k256::ecdsa::SigningKey;
use revm::state::AccountInfo;
use revm::state::bal::alloy::AlloyBal;
use weft_engine::error::ExecuteError;
use weft_engine::pre_state::{Ancestors, PlainAccount, PlainState};
use weft_engine::simulate::access_list;
use weft_engine::trace::{Trace, Work};
use weft_engine::{
    Block, Chain, Committed, InvalidTransactions, Outcome, ReadyBlock, Setup, SignedTransaction, parallel,
    sequential,
};

/// The gas limit of a transaction about which nothing else is said.
const GAS_LIMIT: u64 = 200_000;

/// Somebody who signs.
pub(crate) struct Signer(SigningKey);

impl Signer {
    /// The signer with this number.
    pub(crate) fn new(number: u64) -> Self {
        let secret = keccak256(number.to_be_bytes());
        Self(SigningKey::from_slice(&secret.0).unwrap())
    }

    /// Its address.
    pub(crate) fn address(&self) -> Address {
        let point = self.0.verifying_key().to_encoded_point(false);
        Address::from_raw_public_key(&point.as_bytes()[1..])
    }

    /// Signs a digest.
    pub(crate) fn sign(&self, digest: B256) -> Signature {
        self.0.sign_prehash_recoverable(&digest.0).unwrap().into()
    }

    /// A signed call.
    pub(crate) fn call(&self, nonce: u64, to: Address, input: Vec<u8>) -> SignedTransaction {
        self.send(nonce, TxKind::Call(to), input, GAS_LIMIT)
    }

    /// A signed call with a gas limit of its own.
    pub(crate) fn call_with_gas(&self, nonce: u64, to: Address, gas_limit: u64) -> SignedTransaction {
        self.send(nonce, TxKind::Call(to), Vec::new(), gas_limit)
    }

    /// A signed transfer of some wei.
    pub(crate) fn pay(&self, nonce: u64, to: Address, value: u64) -> SignedTransaction {
        self.pay_with_gas(nonce, to, value, 21_000)
    }

    /// The same with a gas limit of its own.
    pub(crate) fn pay_with_gas(
        &self,
        nonce: u64,
        to: Address,
        value: u64,
        gas_limit: u64,
    ) -> SignedTransaction {
        self.sign_for(TxEip1559 {
            nonce,
            gas_limit,
            to: TxKind::Call(to),
            value: U256::from(value),
            ..TxEip1559::default()
        })
    }

    /// A signed creation.
    pub(crate) fn create(&self, nonce: u64, init: Vec<u8>) -> SignedTransaction {
        self.send(nonce, TxKind::Create, init, GAS_LIMIT)
    }

    /// A signed delegation to `code` of an authority whose nonce is then the second of the pair (EIP-7702).
    pub(crate) fn delegate(
        &self,
        nonce: u64,
        (authority, its_nonce): (&Self, u64),
        code: Address,
    ) -> SignedTransaction {
        let authorization = Authorization { chain_id: U256::from(1), address: code, nonce: its_nonce };
        let signature = authority.sign(authorization.signature_hash());
        let transaction = TxEip7702 {
            nonce,
            chain_id: 1,
            gas_limit: GAS_LIMIT,
            max_fee_per_gas: 100,
            max_priority_fee_per_gas: 1,
            to: Address::repeat_byte(0xdd),
            authorization_list: vec![authorization.into_signed(signature)],
            ..TxEip7702::default()
        };
        let signature = self.sign(transaction.signature_hash());
        SignedTransaction::Eip7702(transaction.into_signed(signature))
    }

    /// A signed transaction of type 2.
    fn send(&self, nonce: u64, to: TxKind, input: Vec<u8>, gas_limit: u64) -> SignedTransaction {
        self.sign_for(TxEip1559 { nonce, gas_limit, to, input: input.into(), ..TxEip1559::default() })
    }

    /// Signs a transaction for the chain, with fees.
    fn sign_for(&self, transaction: TxEip1559) -> SignedTransaction {
        let transaction =
            TxEip1559 { chain_id: 1, max_fee_per_gas: 100, max_priority_fee_per_gas: 1, ..transaction };
        let signature = self.sign(transaction.signature_hash());
        SignedTransaction::Eip1559(transaction.into_signed(signature))
    }
}

/// How many transactions of a block ran in strands.
#[derive(Default)]
pub(crate) struct InStrands {
    /// In each run on two threads where gas stood for time and nobody wanted to see steps.
    pub(crate) by_gas: Vec<u64>,
    /// In any of them, in vain.
    pub(crate) in_vain: u64,
    /// On any number of threads where somebody was restless, at most.
    pub(crate) restless: u64,
}

impl InStrands {
    /// The least of what two threads have run in strands.
    pub(crate) fn least(&self) -> u64 {
        self.by_gas.iter().copied().min().unwrap()
    }

    /// The most of it.
    pub(crate) fn most(&self) -> u64 {
        self.by_gas.iter().copied().max().unwrap()
    }
}

/// A pre-state in the making.
pub(crate) struct World {
    accounts: AddressMap<PlainAccount>,
    codes: Vec<Bytes>,
    /// Who receives the fees.
    pub(crate) beneficiary: Address,
    /// The base fee of the block.
    pub(crate) base_fee: u64,
    /// The gas limit of the block.
    pub(crate) gas_limit: u64,
    /// What its header says of the gas that it uses: here it need not be true, and says how long it will take.
    pub(crate) gas_used: u64,
    /// What to do with invalid transactions.
    pub(crate) invalid: InvalidTransactions,
    /// Withdrawals, as address and Gwei.
    pub(crate) withdrawals: Vec<(Address, u64)>,
    /// The block comes with its access list, changed like this.
    pub(crate) list: Option<Box<dyn Fn(&mut AlloyBal)>>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            accounts: AddressMap::default(),
            codes: Vec::new(),
            beneficiary: Address::repeat_byte(0xbe),
            base_fee: 7,
            gas_limit: 30_000_000,
            gas_used: 0,
            invalid: InvalidTransactions::Reject,
            withdrawals: Vec::new(),
            list: None,
        }
    }
}

impl World {
    /// Puts an account with a code, or without one if it is empty.
    pub(crate) fn put(&mut self, address: Address, nonce: u64, code: Vec<u8>) {
        let code = Bytes::from(code);
        let balance = U256::from(10).pow(U256::from(18));
        let info = AccountInfo { balance, nonce, code_hash: keccak256(&code), ..AccountInfo::default() };
        self.accounts
            .insert(address, PlainAccount { info: info.without_code(), storage: HashMap::default() });
        self.codes.push(code);
    }

    /// Sets the balance of an account that was put, or puts one that has nothing else.
    pub(crate) fn set_balance(&mut self, address: Address, balance: U256) {
        let account = self.accounts.entry(address).or_insert_with(|| PlainAccount {
            info: AccountInfo::default().without_code(),
            storage: HashMap::default(),
        });
        account.info.balance = balance;
    }

    /// Puts an account without nonce and code that has a slot, as only a genesis can.
    pub(crate) fn put_bare_storage(&mut self, address: Address, balance: u64, slot: U256, value: U256) {
        let info = AccountInfo { balance: U256::from(balance), ..AccountInfo::default() };
        let storage = HashMap::from_iter([(slot, value)]);
        self.accounts.insert(address, PlainAccount { info: info.without_code(), storage });
    }

    /// Puts the request contracts that Prague demands at the end of a block, and those that Amsterdam adds (EIP-8282).
    pub(crate) fn put_request_contracts(&mut self) {
        self.put(alloy_eips::eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, 1, vec![0x00]);
        self.put(alloy_eips::eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, 1, vec![0x00]);
        self.put(BUILDER_DEPOSIT_REQUEST_PREDEPLOY_ADDRESS, 1, vec![0x00]);
        self.put(BUILDER_EXIT_REQUEST_PREDEPLOY_ADDRESS, 1, vec![0x00]);
    }

    /// Runs a Cancun-to-Osaka block of these transactions on every engine and checks that all agree.
    pub(crate) fn run(
        self,
        fork: EthereumHardfork,
        transactions: Vec<SignedTransaction>,
    ) -> Result<Outcome, ExecuteError> {
        self.run_counting(fork, transactions).0
    }

    /// As [`Self::run`], and says how many transactions ran in strands.
    pub(crate) fn run_counting(
        self,
        fork: EthereumHardfork,
        transactions: Vec<SignedTransaction>,
    ) -> (Result<Outcome, ExecuteError>, InStrands) {
        let pre_state = PlainState::new(self.accounts, &self.codes, Ancestors::default());
        let header = Header {
            number: 100,
            timestamp: 1_000,
            gas_limit: self.gas_limit,
            gas_used: self.gas_used,
            base_fee_per_gas: Some(self.base_fee),
            beneficiary: self.beneficiary,
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            ..Header::default()
        };
        let withdrawal = |(address, amount)| Withdrawal { address, amount, ..Withdrawal::default() };
        let withdrawals = self.withdrawals.into_iter().map(withdrawal).collect::<Vec<_>>();
        let body =
            BlockBody { transactions, ommers: Vec::new(), withdrawals: Some(Withdrawals::new(withdrawals)) };
        let block = Block { header, body };
        let rules = Chain::at_fork(1, fork).rules_at(100, 1_000);
        let mut ready = match ReadyBlock::new(&rules, &block, None) {
            Ok(ready) => ready,
            Err(error) => return (Err(error), InStrands::default()),
        };
        let list = self.list.map(|change| {
            let mut list = AlloyBal::decode(&mut &*access_list(&ready, &pre_state).unwrap()).unwrap();
            change(&mut list);
            alloy_rlp::encode(list)
        });
        if let Some(list) = &list {
            ready = ready.with_access_list(list);
        }
        let in_strands = Mutex::new(InStrands::default());
        let heard = |steps, run: &(dyn Fn(Setup<'_>) -> Result<Outcome, ExecuteError> + Sync)| {
            let told = Mutex::new(Vec::new());
            let listen = |committed: Committed<'_>| {
                let Committed { index, receipt, changes, .. } = committed;
                told.lock().unwrap().push((index, receipt.clone(), changes.cloned()));
            };
            let mut setup = Setup::default().with_invalid(self.invalid).with_on_commit(&listen);
            setup.steps = steps;
            let found = run(setup);
            (found, told.into_inner().unwrap())
        };
        // Where nobody wants to see the steps, the engine takes shorter ways.
        let [_, expected] = [false, true].map(|steps| {
            let expected = heard(steps, &|setup| sequential::run_with(&ready, &pre_state, setup));
            for options in &weft_tests::matrix()[1..] {
                for (by_gas, restless) in [(false, false), (true, false), (false, true)].repeat(10) {
                    let trace = Trace::default();
                    let run = |setup: Setup<'_>| {
                        let mut setup = setup.with_trace(by_gas.then_some(&trace));
                        (setup.by_gas, setup.restless) = (by_gas, restless);
                        let (found, counters) =
                            options.install(|| parallel::run_with(&ready, &pre_state, setup));
                        let spans = trace.lanes().into_iter().flat_map(|lane| lane.spans);
                        let aborts = spans.filter(|span| matches!(span.work, Work::Abort(_)));
                        let (seen, ahead) =
                            (aborts.count() as u64, counters.aborts - counters.aborts_at_frontier);
                        assert!(
                            !by_gas || (ahead..=counters.aborts).contains(&seen),
                            "a trace has those found ahead of commits"
                        );
                        let mut in_strands = in_strands.lock().unwrap();
                        if restless {
                            in_strands.restless = in_strands.restless.max(counters.in_strands);
                        } else if by_gas && !steps && options.threads() == 2 {
                            in_strands.by_gas.push(counters.in_strands);
                            in_strands.in_vain = in_strands.in_vain.max(counters.in_strands_in_vain);
                        }
                        found
                    };
                    assert_eq!(heard(steps, &run), expected, "{} threads, steps {steps}", options.threads());
                }
            }
            expected
        });
        let (outcome, told) = expected;
        if let Ok(outcome) = &outcome {
            let receipts = told.iter().map(|(_, receipt, _)| receipt);
            assert!(receipts.eq(&outcome.receipts), "each is told of once");
            assert!(told.iter().map(|(_, _, changes)| changes.as_ref()).eq(outcome.steps.iter().map(Some)));
        }
        (outcome, in_strands.into_inner().unwrap())
    }
}
