//! Plain transfers of ether, without the EVM.
//!
//! Where no code runs and nothing else is asked for, a transaction moves an amount and pays for its gas, and that is
//! all. An EVM takes longer to set up for it than to run it. So such a transaction is recognised here, and what is left
//! of it is two balances and a nonce. Everything that is not as plain as that, or does not go well, is left to the EVM,
//! which finds the error too: `sequential` runs everything there, and is what this must match.
//!
//! # Invariants
//!
//! - **X1.** A transfer leaves the state, the gas and the reward that revm leaves. The tests below compare them in order,
//!   from fork to fork, with balances and nonces on both sides of each limit; `tests/determinism/transfers.rs` compares
//!   whole blocks, speculative runs among them.

use core::convert::Infallible;

use alloy_primitives::{Address, TxKind, U256};
use revm::context::{ContextSetters, ContextTr, TxEnv};
use revm::context_interface::result::{EVMError, ResultGas};
use revm::context_interface::transaction::TransactionType;
use revm::context_interface::{Block, Cfg, Transaction};
use revm::handler::{EvmTr, validation};
use revm::precompile::{PrecompileSpecId, Precompiles};
use revm::primitives::hardfork::SpecId;
use revm::state::AccountInfo;

use crate::commit::Summary;
use crate::evm::{EthEvm, StateDb};

/// What a plain transfer does, if its sender can pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transfer {
    /// Who pays.
    pub(crate) sender: Address,
    /// Who is paid, if it is another one.
    pub(crate) recipient: Option<Address>,
    /// What the beneficiary gets.
    pub(crate) reward: U256,
    /// Gas used.
    gas: u64,
    /// The nonce that the sender must have.
    nonce: u64,
    /// What the sender must have.
    needed: U256,
    /// What the sender has less then.
    paid: U256,
    /// What the recipient has more then, which is not nothing.
    value: U256,
}

impl Transfer {
    /// What a transaction does, as far as that is known without the state. `None` if it may be more than a transfer, or
    /// is not valid.
    pub(crate) fn of<'t, DB: StateDb>(evm: &mut EthEvm<'t, DB>, transaction: &'t TxEnv) -> Option<Self> {
        let TxKind::Call(recipient) = transaction.kind else { return None };
        if !is_plain(transaction) {
            return None;
        }
        let context = evm.ctx();
        let spec = *context.cfg().spec();
        let sender = transaction.caller;
        // Before EIP-161 a transfer may bring an empty account about; from Amsterdam on it leaves a log (EIP-7708), and
        // gas is another matter.
        if !spec.is_enabled_in(SpecId::SPURIOUS_DRAGON)
            || spec.is_enabled_in(SpecId::AMSTERDAM)
            || Precompiles::new(PrecompileSpecId::from_spec_id(spec)).contains(&recipient)
        {
            return None;
        }
        let gas = context.cfg().gas_params().initial_tx_gas_for_tx(transaction, None);
        let used = gas.initial_regular_gas().max(gas.floor_gas());
        if used > transaction.gas_limit || gas.initial_state_gas != 0 {
            return None;
        }
        let base_fee = u128::from(context.block().basefee());
        context.set_tx(transaction);
        validation::validate_env::<_, EVMError<Infallible>>(&mut *context).ok()?;
        let price = transaction.effective_gas_price(base_fee);
        let burned = if spec.is_enabled_in(SpecId::LONDON) { base_fee } else { 0 };
        let fee = |price: u128| U256::from(price) * U256::from(used);
        let given = if recipient == sender { U256::ZERO } else { transaction.value };
        Some(Self {
            sender,
            recipient: (recipient != sender).then_some(recipient),
            reward: fee(price.saturating_sub(burned)),
            gas: used,
            nonce: transaction.nonce,
            needed: transaction.max_balance_spending().ok()?,
            // No more than what is needed, so it does not overflow.
            paid: fee(price) + given,
            value: transaction.value,
        })
    }

    /// What the block wants to know of it, once it is made.
    pub(crate) fn summary(&self) -> Summary {
        let gas = ResultGas::default().with_total_gas_spent(self.gas);
        Summary { gas, success: true, logs: Vec::new() }
    }

    /// What it leaves to this sender, if that one may send it and can pay. He has the next nonce then.
    pub(crate) fn left(&self, sender: &AccountInfo) -> Option<U256> {
        // EIP-2681: there is no nonce after the last.
        let may = sender.is_empty_code_hash()
            && sender.nonce == self.nonce
            && self.nonce != u64::MAX
            && sender.balance >= self.needed;
        may.then(|| sender.balance - self.paid)
    }

    /// What this recipient has then, if there is no code to run.
    pub(crate) fn sum(&self, recipient: Option<&AccountInfo>) -> Option<U256> {
        let Some(recipient) = recipient else { return Some(self.value) };
        if recipient.is_empty_code_hash() { recipient.balance.checked_add(self.value) } else { None }
    }
}

/// Whether a transaction asks for nothing but a transfer of something.
fn is_plain(transaction: &TxEnv) -> bool {
    let old = [TransactionType::Legacy, TransactionType::Eip2930, TransactionType::Eip1559];
    old.contains(&transaction.tx_type.into())
        && transaction.data.is_empty()
        && !transaction.value.is_zero()
        && transaction.access_list.is_empty()
        && transaction.authorization_list.is_empty()
        && transaction.blob_hashes.is_empty()
}

#[cfg(test)]
mod tests {
    use alloy_evm::EvmEnv;
    use alloy_primitives::Bytes;
    use alloy_primitives::map::AddressMap;
    use revm::bytecode::Bytecode;
    use revm::context::{BlockEnv, CfgEnv};
    use revm::context_interface::block::BlobExcessGasAndPrice;

    use super::*;
    use crate::block_state::{BlockState, Committing};
    use crate::ledger::Ledger;
    use crate::pre_state::{Ancestors, PlainAccount, PlainState};
    use crate::transaction;

    const SENDER: Address = Address::repeat_byte(0x51);
    const CONTRACT: Address = Address::repeat_byte(0xc0);
    const BENEFICIARY: Address = Address::repeat_byte(0xbe);
    const BASE_FEE: u64 = 7;

    /// A sender that has sent three and owns so much, somebody with a code, and somebody whose balance is nearly full.
    fn pre_state(balance: U256, nonce: u64, delegated: bool) -> PlainState {
        let codes = [Bytes::from_static(&[0x00]), Bytecode::new_eip7702(CONTRACT).original_bytes()];
        let info = |code: Option<&Bytes>, nonce, balance| {
            let code = code.map_or_else(Bytecode::default, |code| Bytecode::new_raw(code.clone()));
            let info = AccountInfo { nonce, balance, ..AccountInfo::from_bytecode(code) };
            PlainAccount { info: info.without_code(), ..PlainAccount::default() }
        };
        let accounts: AddressMap<PlainAccount> = [
            (SENDER, info(codes.last().filter(|_| delegated), nonce, balance)),
            (BENEFICIARY, info(None, 3, balance)),
            (CONTRACT, info(codes.first(), 1, U256::ZERO)),
            (Address::repeat_byte(0xff), info(None, 0, U256::MAX)),
            (Address::repeat_byte(0xee), PlainAccount::default()),
        ]
        .into_iter()
        .collect();
        PlainState::new(accounts, &codes, Ancestors::default())
    }

    /// A block of this fork.
    fn environment(spec: SpecId) -> EvmEnv<SpecId> {
        let block = BlockEnv {
            beneficiary: BENEFICIARY,
            basefee: if spec.is_enabled_in(SpecId::LONDON) { BASE_FEE } else { 0 },
            gas_limit: 100_000,
            prevrandao: Some(alloy_primitives::B256::ZERO),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: 1 }),
            ..BlockEnv::default()
        };
        EvmEnv::new(CfgEnv::new_with_spec(spec), block)
    }

    /// Transactions on both sides of every limit.
    fn transactions() -> Vec<TxEnv> {
        let plain = TxEnv {
            caller: SENDER,
            kind: TxKind::Call(Address::repeat_byte(0x52)),
            nonce: 3,
            value: U256::from(10),
            gas_limit: 21_000,
            gas_price: 9,
            chain_id: Some(1),
            ..TxEnv::default()
        };
        let mut all = vec![plain.clone()];
        let mut vary = |change: &dyn Fn(&mut TxEnv)| {
            let mut varied = plain.clone();
            change(&mut varied);
            all.push(varied);
        };
        let recipients =
            [SENDER, CONTRACT, BENEFICIARY, Address::with_last_byte(1), Address::with_last_byte(0x0b)];
        for to in recipients.into_iter().chain([0xff, 0xee].map(Address::repeat_byte)) {
            vary(&|tx| tx.kind = TxKind::Call(to));
        }
        vary(&|tx| tx.kind = TxKind::Create);
        vary(&|tx| tx.caller = BENEFICIARY);
        vary(&|tx| (tx.caller, tx.kind) = (BENEFICIARY, TxKind::Call(BENEFICIARY)));
        for nonce in [2, 4, u64::MAX] {
            vary(&|tx| tx.nonce = nonce);
        }
        for value in [U256::ZERO, U256::from(11), U256::MAX] {
            vary(&|tx| tx.value = value);
        }
        for gas_limit in [0, 20_999, 21_001, 100_000, 100_001, 1 << 24, (1 << 24) + 1, u64::MAX] {
            vary(&|tx| tx.gas_limit = gas_limit);
        }
        for gas_price in [0, u128::from(BASE_FEE) - 1, u128::from(BASE_FEE), u128::MAX] {
            vary(&|tx| tx.gas_price = gas_price);
        }
        for chain_id in [None, Some(2)] {
            vary(&|tx| tx.chain_id = chain_id);
        }
        for tx_type in 1..=4 {
            for priority in [None, Some(0), Some(1), Some(9), Some(10)] {
                vary(&|tx| (tx.tx_type, tx.gas_priority_fee) = (tx_type, priority));
            }
            vary(&|tx| {
                tx.tx_type = tx_type;
                tx.access_list = vec![alloy_eips::eip2930::AccessListItem::default()].into();
            });
        }
        vary(&|tx| tx.data = Bytes::from_static(&[0]));
        all
    }

    #[test]
    fn x1_what_is_transferred_without_the_evm_is_what_revm_transfers() {
        let specs = [
            SpecId::FRONTIER,
            SpecId::HOMESTEAD,
            SpecId::SPURIOUS_DRAGON,
            SpecId::BYZANTIUM,
            SpecId::ISTANBUL,
            SpecId::BERLIN,
            SpecId::LONDON,
            SpecId::MERGE,
            SpecId::SHANGHAI,
            SpecId::CANCUN,
            SpecId::PRAGUE,
            SpecId::OSAKA,
            SpecId::AMSTERDAM,
        ];
        let fee = 21_000 * 9;
        let rich = U256::from(1) << 200;
        for spec in specs {
            let (env, mut taken) = (environment(spec), 0);
            let wei = [fee + 9, fee + 10, fee + 11].map(|balance| (U256::from(balance), 3, false));
            let others = [(rich, 3, false), (rich, 3, true), (rich, u64::MAX, false)];
            for (balance, nonce, delegated) in wei.into_iter().chain(others) {
                let pre_state = pre_state(balance, nonce, delegated);
                for transaction in transactions() {
                    // The block pays the reward, unless the run has looked at the beneficiary.
                    let mut ledger = Ledger::with_parts(&pre_state, BENEFICIARY, 4, 0);
                    let mut evm = EthEvm::new(&mut ledger, &env);
                    let transfer = Transfer::of(&mut evm, &transaction);
                    let Some(transfer) = transfer.filter(|transfer| evm.database().transfer(transfer)) else {
                        continue;
                    };
                    taken += 1;

                    let mut expected = Ledger::with_parts(&pre_state, BENEFICIARY, 4, 0);
                    let mut evm = EthEvm::new(&mut expected, &env);
                    let transacted = transaction::transact_unpaid(&mut evm, &transaction).unwrap();
                    let Summary { gas, success, logs } = Summary::of(transacted.result);
                    let summary = transfer.summary();
                    assert_eq!(
                        (
                            gas.tx_gas_used(),
                            gas.block_regular_gas_used(),
                            gas.block_state_gas_used(),
                            success
                        ),
                        (21_000, summary.gas.block_regular_gas_used(), 0, true),
                        "{spec:?} {transaction:?}"
                    );
                    assert_eq!((summary.gas.tx_gas_used(), logs.len()), (21_000, 0));
                    expected.commit(transacted.state);
                    if let Some(reward) = transacted.unpaid_reward {
                        expected.credit(BENEFICIARY, reward).unwrap();
                    }
                    ledger.credit(BENEFICIARY, transfer.reward).unwrap();
                    assert_eq!(ledger.take_changes(), expected.take_changes(), "{spec:?} {transaction:?}");
                }
            }
            let plain = spec.is_enabled_in(SpecId::SPURIOUS_DRAGON) && !spec.is_enabled_in(SpecId::AMSTERDAM);
            assert_eq!(taken > 20, plain, "{spec:?}: {taken}");
            assert!(plain || taken == 0);
        }
    }
}
