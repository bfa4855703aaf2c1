//! What happens in block order: system calls, admission, gas, fees, receipts, withdrawals, requests.
//!
//! Both engines drive the same [`BlockRun`]. They differ in who runs the transactions and when; what a
//! transaction does to the block is decided here, one after the other. The committed state is passed in, because
//! an EVM that runs in order owns it while the block runs.
//!
//! ```text
//! begin ─► ( admit ─► commit )* ─► finish
//! ```

use alloy_consensus::{Eip658Value, Header};
use alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy_eips::eip4788::BEACON_ROOTS_ADDRESS;
use alloy_eips::eip6110::DEPOSIT_REQUEST_TYPE;
use alloy_eips::eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_TYPE};
use alloy_eips::eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_TYPE};
use alloy_eips::eip7685::Requests;
use alloy_evm::block::calc;
use alloy_evm::block::system_calls::{
    BUILDER_DEPOSIT_REQUEST_PREDEPLOY_ADDRESS, BUILDER_DEPOSIT_REQUEST_TYPE,
    BUILDER_EXIT_REQUEST_PREDEPLOY_ADDRESS, BUILDER_EXIT_REQUEST_TYPE,
};
use alloy_evm::eth::dao_fork;
use alloy_primitives::map::AddressSet;
use alloy_primitives::{Address, Bytes, Log, U256};
use revm::context_interface::result::{ExecutionResult, HaltReason, ResultGas};
use revm::primitives::hardfork::SpecId;
use revm::state::{Account, EvmState, TransactionId};
use weft_trie::{AccountChange, StateChanges};

use crate::access_list::AccessList;
use crate::block::ReadyBlock;
use crate::block_state::{BlockState, Committing};
use crate::deposits;
use crate::error::{BlockError, ExecuteError, WitnessError};
use crate::gas::GasTally;
use crate::location::exists_after;
use crate::outcome::{Changes, Outcome, TransactionReceipt, fields};
use crate::setup::{Committed, InvalidTransactions, LeftOut, Setup};
use crate::transaction::{self, Transacted, blame};

/// Gas that one item of a block access list stands for (EIP-7928).
const ACCESS_LIST_ITEM_COST: u64 = 2_000;

/// A block between its first system call and its last.
pub(crate) struct BlockRun<'a> {
    /// The block.
    block: &'a ReadyBlock<'a>,
    /// Receipts of the committed transactions.
    receipts: Vec<TransactionReceipt>,
    /// Gas of the committed transactions.
    gas: GasTally,
    /// Accounts created or destroyed so far.
    wiped: AddressSet,
    /// What was read and written, and when, if the header commits to it.
    access_list: AccessList,
    /// What each transaction has changed, if that is wanted.
    steps: Vec<StateChanges>,
    /// What has changed since the last transaction, if that is wanted.
    step: Option<StateChanges>,
    /// What to do with invalid transactions, and whom to tell of the others.
    setup: Setup<'a>,
    /// Of how many transactions he has been told before.
    told: usize,
    /// Transactions that are no part of the block.
    left_out: Vec<LeftOut>,
    /// The block ends here.
    stopped: bool,
}

/// What the block wants to know of a transaction, besides the accounts.
#[derive(Debug)]
pub(crate) struct Summary {
    /// Its gas.
    pub(crate) gas: ResultGas,
    /// It has neither failed nor reverted.
    pub(crate) success: bool,
    /// Its logs.
    pub(crate) logs: Vec<Log>,
}

impl Summary {
    /// What the block wants to know of a result.
    pub(crate) fn of(result: ExecutionResult<HaltReason>) -> Self {
        Self { gas: *result.gas(), success: result.is_success(), logs: result.into_logs() }
    }
}

impl<'a> BlockRun<'a> {
    /// Starts the block: the DAO fork's transfer, then the system calls that precede the transactions.
    ///
    /// # Errors
    ///
    /// [`ExecuteError::Witness`] if the state they touch is absent.
    pub(crate) fn begin(
        block: &'a ReadyBlock<'a>,
        state: &mut impl BlockState,
        setup: Setup<'a>,
    ) -> Result<Self, ExecuteError> {
        let mut run = Self {
            block,
            receipts: Vec::with_capacity(block.transactions.len()),
            gas: GasTally::default(),
            wiped: AddressSet::default(),
            access_list: AccessList::new(has_access_list(block)),
            steps: Vec::new(),
            step: keeps_steps(block, &setup).then(StateChanges::default),
            setup,
            told: 0,
            left_out: Vec::new(),
            stopped: false,
        };
        if block.rules.dao_transition {
            run.move_dao_balances(state)?;
        }
        run.call_before_transactions(state)?;
        Ok(run)
    }

    /// The same run for somebody who has been told of the first transactions before.
    pub(crate) fn telling_from(mut self, told: usize) -> Self {
        self.told = told;
        self
    }

    /// Of how many transactions somebody has been told.
    pub(crate) fn told(&self) -> usize {
        self.told
    }

    /// Gas that was paid for so far.
    pub(crate) const fn gas_paid(&self) -> u64 {
        self.gas.paid
    }

    /// Gas that is left to pay for.
    pub(crate) const fn gas_left(&self) -> u64 {
        self.block.header.gas_limit.saturating_sub(self.gas.paid)
    }

    /// How many transactions are decided: part of the block, or left out.
    pub(crate) fn decided(&self) -> u32 {
        let decided = self.receipts.len() + self.left_out.len();
        u32::try_from(decided).expect("a receipt takes more than a byte of memory")
    }

    /// How many transactions are not.
    pub(crate) fn left(&self) -> u32 {
        if self.stopped {
            return 0;
        }
        let left = self.block.transactions.len() - self.receipts.len() - self.left_out.len();
        u32::try_from(left).expect("a transaction takes more than a byte of memory")
    }

    /// Makes what transaction `index` did part of the block, or leaves it out if it cannot be, and the setup lets it.
    /// Returns whether it is part.
    ///
    /// # Errors
    ///
    /// As [`Self::commit`] and [`Self::leave_out`].
    pub(crate) fn decide(
        &mut self,
        state: &mut impl Committing,
        index: usize,
        transacted: Result<Transacted, ExecuteError>,
    ) -> Result<bool, ExecuteError> {
        match transacted {
            Ok(transacted) => self.commit(state, index, transacted).map(|()| true),
            Err(error) => self.leave_out(error).map(|()| false),
        }
    }

    /// A transaction is no part of the block, if the setup lets it be left out. Otherwise, or if the error is another
    /// one, the block fails.
    ///
    /// # Errors
    ///
    /// The same error.
    fn leave_out(&mut self, error: ExecuteError) -> Result<(), ExecuteError> {
        let ExecuteError::Block(BlockError::Transaction { index, reason }) = error else { return Err(error) };
        if self.setup.invalid == InvalidTransactions::Reject {
            return Err(BlockError::Transaction { index, reason }.into());
        }
        self.left_out.push(LeftOut { index, reason });
        self.stopped = self.setup.invalid == InvalidTransactions::Stop;
        Ok(())
    }

    /// Whether the block has room for transaction `index`.
    ///
    /// # Errors
    ///
    /// As [`GasTally::admit`].
    pub(crate) fn admit(&self, index: usize) -> Result<(), BlockError> {
        self.gas.admit(self.block, index)
    }

    /// Whether the block has room for the transactions from the next one on, which use so much gas.
    pub(crate) fn has_room(&self, transactions: impl Iterator<Item = ResultGas>) -> bool {
        let mut gas = self.gas;
        (self.decided() as usize..).zip(transactions).all(|(index, used)| {
            let is_admitted = gas.admit(self.block, index).is_ok();
            if is_admitted {
                gas.add(&used, self.block.transactions[index].blob_gas);
            }
            is_admitted
        })
    }

    /// Makes what transaction `index` did part of the block.
    ///
    /// # Errors
    ///
    /// [`ExecuteError::Witness`] if the beneficiary is still to be paid and its account is absent.
    fn commit(
        &mut self,
        state: &mut impl Committing,
        index: usize,
        transacted: Transacted,
    ) -> Result<(), ExecuteError> {
        let Transacted { result, state: mut accounts, unpaid_reward } = transacted;
        let beneficiary = self.block.header.beneficiary;
        if let Some(reward) = unpaid_reward
            && !self.credit_in_place(state, beneficiary, reward)?
        {
            accounts.insert(beneficiary, self.credited(state, beneficiary, reward)?);
        }
        self.add_receipt(index, Summary::of(result));
        self.access_list.begin_transaction(self.receipts.len() - 1);
        self.commit_accounts(state, accounts);
        if let Some(step) = &mut self.step {
            self.steps.push(core::mem::take(step));
        }
        self.tell(index);
        Ok(())
    }

    /// Whether anybody wants to see the accounts that a transaction touched before they become part of the state.
    pub(crate) fn is_watching(&self) -> bool {
        self.access_list.is_wanted() || self.step.is_some()
    }

    /// As [`Self::commit`], where nobody [is watching](Self::is_watching), and the accounts, among which there are no
    /// new codes and none that is wiped, have become part of the state already, or will.
    ///
    /// # Errors
    ///
    /// As [`Self::commit`].
    pub(crate) fn commit_summary(
        &mut self,
        state: &mut impl Committing,
        index: usize,
        summary: Summary,
        reward: Option<U256>,
    ) -> Result<(), ExecuteError> {
        if let Some(reward) = reward {
            self.credit(state, self.block.header.beneficiary, reward)?;
        }
        self.add_receipt(index, summary);
        self.tell(index);
        Ok(())
    }

    /// Counts the gas of a transaction, and adds its receipt.
    fn add_receipt(&mut self, index: usize, summary: Summary) {
        let Summary { gas, success, logs } = summary;
        self.gas.add(&gas, self.block.transactions[index].blob_gas);
        self.receipts.push(TransactionReceipt {
            tx_type: self.block.transactions[index].tx_type,
            status: Eip658Value::Eip658(success),
            cumulative_gas_used: self.gas.paid,
            logs,
        });
    }

    /// Tells whoever wants to know of the last commit.
    fn tell(&mut self, index: usize) {
        if let Some(on_commit) = self.setup.on_commit
            && let Some(receipt) = self.receipts.last()
            && self.receipts.len() > self.told
        {
            self.told = self.receipts.len();
            on_commit(Committed { index, receipt, changes: self.steps.last() });
        }
    }

    /// Ends the block: rewards, withdrawals, requests.
    ///
    /// # Errors
    ///
    /// [`ExecuteError`] if a system call that must succeed does not, or if state is absent.
    pub(crate) fn finish(mut self, state: &mut impl BlockState) -> Result<Outcome, ExecuteError> {
        self.access_list.begin_end(self.receipts.len());
        for (address, amount) in self.credits()? {
            self.credit(state, address, U256::from(amount))?;
        }
        let requests =
            if self.block.rules.has(SpecId::PRAGUE) { self.requests(state)? } else { Requests::default() };
        let gas_used = if self.block.rules.has(SpecId::AMSTERDAM) {
            self.gas.execution.max(self.gas.state)
        } else {
            self.gas.paid
        };
        let block_access_list = self.access_list.take();
        if let Some(list) = &block_access_list {
            check_access_list_size(list, self.block.header.gas_limit)?;
        }
        let changes = Changes { bundle: state.take_changes(), wiped: self.wiped };
        Ok(Outcome {
            receipts: self.receipts,
            gas_used,
            blob_gas_used: self.gas.blob,
            requests,
            changes,
            block_access_list,
            steps: self.steps,
            left_out: self.left_out,
        })
    }

    /// The calls that store the parent's beacon root (EIP-4788) and hash (EIP-2935). Neither can fail a block.
    fn call_before_transactions(&mut self, state: &mut impl BlockState) -> Result<(), ExecuteError> {
        // The genesis block has no parent to store anything of.
        if self.block.header.number == 0 {
            return Ok(());
        }
        if let Some(root) = self.block.header.parent_beacon_block_root
            && self.block.rules.has(SpecId::CANCUN)
        {
            self.system_call(state, BEACON_ROOTS_ADDRESS, root.0.into())?;
        }
        if self.block.rules.has(SpecId::PRAGUE) {
            self.system_call(state, HISTORY_STORAGE_ADDRESS, self.block.header.parent_hash.0.into())?;
        }
        Ok(())
    }

    /// Calls a system contract and commits what it changed.
    fn system_call<S: BlockState>(
        &mut self,
        state: &mut S,
        contract: Address,
        data: Bytes,
    ) -> Result<ExecutionResult<HaltReason>, ExecuteError> {
        let (result, accounts) = transaction::call_system(&mut *state, &self.block.env, contract, data)
            // A system call is no transaction: only the database can fail it.
            .map_err(|error| blame(usize::MAX, error, S::blame))?;
        self.commit_accounts(state, accounts);
        Ok(result)
    }

    /// Commits the accounts that a transaction or system call touched.
    fn commit_accounts(&mut self, state: &mut impl Committing, accounts: EvmState) {
        for (address, account) in &accounts {
            let is_wiped = account.is_touched()
                && (account.is_created() || account.is_selfdestructed() || self.is_cleared(account));
            if is_wiped {
                self.wiped.insert(*address);
            }
            if let Some(step) = &mut self.step
                && account.is_touched()
                && let Some(change) = change_of(account, is_wiped)
            {
                step.append([(*address, change)]);
            }
            // Code set in this block answers for its hash from now on, whoever has it: the witness need not
            // hold what the block itself brought.
            if let Some(code) = &account.info.code
                && account.is_touched()
                && account.info.code_hash != account.original_info().code_hash
            {
                state.add_code(account.info.code_hash, code);
            }
            self.access_list.record(*address, account);
        }
        state.commit(accounts);
    }

    /// Whether a touched account is removed for being empty (EIP-161), and its storage with it.
    fn is_cleared(&self, account: &Account) -> bool {
        self.block.rules.has(SpecId::SPURIOUS_DRAGON)
            && account.is_empty()
            && !account.is_loaded_as_not_existing()
    }

    /// Adds to the balance of an account outside of any transaction. Adding nothing touches it.
    fn credit(
        &mut self,
        state: &mut impl Committing,
        address: Address,
        amount: U256,
    ) -> Result<(), WitnessError> {
        if !self.credit_in_place(state, address, amount)? {
            let account = self.credited(state, address, amount)?;
            self.commit_accounts(state, EvmState::from_iter([(address, account)]));
        }
        Ok(())
    }

    /// Adds to the balance of an account if that takes no commit; false, and no change, if it does.
    fn credit_in_place(
        &self,
        state: &mut impl Committing,
        address: Address,
        amount: U256,
    ) -> Result<bool, WitnessError> {
        Ok(!self.is_watching() && state.credit(address, amount)?)
    }

    /// The account with `amount` added, as revm's journal would leave it.
    fn credited(
        &self,
        state: &mut impl Committing,
        address: Address,
        amount: U256,
    ) -> Result<Account, WitnessError> {
        let mut account = match state.account(address)? {
            Some(info) => Account::from(info),
            None => Account::new_not_existing(TransactionId::ZERO),
        };
        if let Some(balance) = account.info.balance.checked_add(amount) {
            account.info.balance = balance;
        }
        account.mark_touch();
        // Before EIP-161 a touched empty account comes to be, or stays.
        if !self.block.rules.has(SpecId::SPURIOUS_DRAGON) && account.is_empty() {
            if account.is_loaded_as_not_existing() {
                account.mark_created();
            } else {
                account.unmark_touch();
            }
        }
        Ok(account)
    }

    /// Takes the balances of the DAO and its children to the refund contract (EIP-779).
    fn move_dao_balances(&mut self, state: &mut impl BlockState) -> Result<(), WitnessError> {
        let mut drained = U256::ZERO;
        for address in dao_fork::DAO_HARDFORK_ACCOUNTS {
            let Some(info) = state.account(address)? else { continue };
            let mut account = Account::from(info);
            // Saturates where the ether is more than there can be, as in a pre-state made up for the purpose.
            drained = drained.saturating_add(core::mem::take(&mut account.info.balance));
            account.mark_touch();
            self.commit_accounts(state, EvmState::from_iter([(address, account)]));
        }
        self.credit(state, dao_fork::DAO_HARDFORK_BENEFICIARY, drained)
    }

    /// Balances credited after the transactions, in wei and in order: block and ommer rewards before the merge,
    /// withdrawals after.
    fn credits(&self) -> Result<Vec<(Address, u128)>, BlockError> {
        let mut credits = Vec::new();
        let header = self.block.header;
        if let Some(base) = self.block.rules.block_reward {
            check_ommers(header.number, self.block.ommers)?;
            for ommer in self.block.ommers {
                credits.push((ommer.beneficiary, calc::ommer_reward(base, header.number, ommer.number)));
            }
            credits.push((header.beneficiary, calc::block_reward(base, self.block.ommers.len())));
        }
        let withdrawals = self.block.withdrawals.iter();
        credits.extend(withdrawals.map(|withdrawal| (withdrawal.address, withdrawal.amount_wei().to())));
        Ok(credits)
    }

    /// Execution requests (EIP-7685): deposits from the logs, the others from their contracts' queues.
    fn requests(&mut self, state: &mut impl BlockState) -> Result<Requests, ExecuteError> {
        let mut requests = Requests::default();
        let mut push = |kind: u8, data: Bytes| {
            if !data.is_empty() {
                requests.push_request_with_type(kind, data);
            }
        };
        let logs = self.receipts.iter().flat_map(|receipt| &receipt.logs);
        push(DEPOSIT_REQUEST_TYPE, deposits::from_logs(self.block.rules.deposit_contract, logs)?.into());
        let queues = [
            (WITHDRAWAL_REQUEST_TYPE, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS),
            (CONSOLIDATION_REQUEST_TYPE, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS),
            (BUILDER_DEPOSIT_REQUEST_TYPE, BUILDER_DEPOSIT_REQUEST_PREDEPLOY_ADDRESS),
            (BUILDER_EXIT_REQUEST_TYPE, BUILDER_EXIT_REQUEST_PREDEPLOY_ADDRESS),
        ];
        // EIP-8282 brings the two of the builders with Amsterdam.
        let known = if self.block.rules.has(SpecId::AMSTERDAM) { 4 } else { 2 };
        for (kind, contract) in queues.into_iter().take(known) {
            push(kind, self.drain_queue(state, contract)?);
        }
        Ok(requests)
    }

    /// Calls the contract that queues requests of one kind and returns them.
    fn drain_queue(&mut self, state: &mut impl BlockState, address: Address) -> Result<Bytes, ExecuteError> {
        if state.account(address)?.is_none_or(|contract| contract.is_empty_code_hash()) {
            return Err(BlockError::SystemContractMissing { address }.into());
        }
        match self.system_call(state, address, Bytes::new())? {
            ExecutionResult::Success { output, .. } => Ok(output.into_data()),
            ExecutionResult::Revert { output, .. } => Err(BlockError::SystemCall { address, output }.into()),
            ExecutionResult::Halt { .. } => {
                Err(BlockError::SystemCall { address, output: Bytes::new() }.into())
            }
        }
    }
}

/// What a commit makes of a touched account; `None` if there was none and is none.
fn change_of(account: &Account, storage_wiped: bool) -> Option<AccountChange> {
    let exists = exists_after(account);
    if !exists && account.is_loaded_as_not_existing() {
        return None;
    }
    let slots = account.changed_storage_slots().filter(|_| exists);
    Some(AccountChange {
        account: exists.then(|| fields(&account.info)),
        storage_wiped,
        storage: slots.map(|(slot, value)| (*slot, value.present_value)).collect(),
    })
}

/// Ommers: at most two, different ones, of the six generations before the block.
fn check_ommers(number: u64, ommers: &[Header]) -> Result<(), BlockError> {
    let near = |ommer: &Header| ommer.number < number && number - ommer.number <= 6;
    let twice = matches!(ommers, [first, second] if first == second);
    if ommers.len() > 2 || twice || !ommers.iter().all(near) { Err(BlockError::Ommers) } else { Ok(()) }
}

/// [`BlockRun::is_watching`] of the run of a block.
pub(crate) fn is_watched(block: &ReadyBlock<'_>, setup: &Setup<'_>) -> bool {
    has_access_list(block) || keeps_steps(block, setup)
}

/// Whether the header of a block commits to its access list (EIP-7928).
fn has_access_list(block: &ReadyBlock<'_>) -> bool {
    block.rules.header_has(SpecId::AMSTERDAM)
}

/// Whether what each transaction changed is kept: receipts held state roots once.
fn keeps_steps(block: &ReadyBlock<'_>, setup: &Setup<'_>) -> bool {
    setup.steps || !block.rules.has(SpecId::BYZANTIUM)
}

/// EIP-7928: addresses and slots of the list must be paid for by the gas limit.
fn check_access_list_size(
    list: &revm::state::bal::alloy::AlloyBal,
    gas_limit: u64,
) -> Result<(), BlockError> {
    let items = list
        .iter()
        .map(|account| 1 + account.storage_changes.len() + account.storage_reads.len())
        .sum::<usize>() as u64;
    let limit = gas_limit / ACCESS_LIST_ITEM_COST;
    if items > limit { Err(BlockError::AccessListSize { items, limit }) } else { Ok(()) }
}
