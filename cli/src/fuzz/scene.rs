//! The state before a block, and who is in it.

use alloy_eips::eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE};
use alloy_eips::eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE, SYSTEM_ADDRESS};
use alloy_eips::eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS;
use alloy_eips::eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_PREDEPLOY_CODE};
use alloy_eips::eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_CODE};
use alloy_primitives::{Address, B256, Bytes, U256, address, b256, keccak256};
use revm::bytecode::opcode as op;
use revm::primitives::hardfork::SpecId;

use super::assembler::Assembler;
use super::contracts::{self, Kind};
use super::feature::Feature;
use super::people::{self, person};
use super::programs;
use super::random::Random;
use crate::world::World;

/// Topic of a deposit's log (EIP-6110).
const DEPOSIT_EVENT: B256 = b256!("0x649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");
/// The queues that Amsterdam adds (EIP-8282).
const BUILDER_QUEUES: [Address; 2] = [
    address!("0x0000BFF46984E3725691FA540A8C7589300D8282"),
    address!("0x000064D678505AD48F8CCB093BC65613800E8282"),
];

/// Who is in a block, and what the state is like before it.
#[derive(Debug)]
pub(super) struct Scene {
    /// The fork.
    pub(super) fork: SpecId,
    /// What the block is made of.
    pub(super) features: Vec<Feature>,
    /// The state.
    pub(super) world: World,
    /// Numbers of those who send.
    pub(super) senders: Vec<usize>,
    /// Of them, those who own nothing until somebody pays them.
    pub(super) poor: Vec<usize>,
    /// Contracts, by what they do.
    pub(super) contracts: Vec<(Address, Kind)>,
    /// What factories and transactions make contracts with.
    pub(super) init_codes: Vec<Bytes>,
    /// Where contracts will be made, if all goes well.
    pub(super) unborn: Vec<Address>,
    /// Everybody that transactions speak of.
    pub(super) targets: Vec<Address>,
    /// Who earns the fees.
    pub(super) beneficiary: Address,
    /// Who is paid by everybody.
    pub(super) hot: Address,
}

impl Scene {
    /// Draws everything.
    pub(super) fn new(fork: SpecId, features: Vec<Feature>, random: &mut Random) -> Self {
        let crowd = if random.chance(60) { random.within(1..=4) } else { random.within(8..=30) };
        let crowd = usize::try_from(crowd).expect("it is small");
        let mut scene = Self {
            fork,
            features,
            world: World::default(),
            senders: (0..crowd).collect(),
            poor: Vec::new(),
            contracts: Vec::new(),
            init_codes: Vec::new(),
            unborn: Vec::new(),
            targets: (0..crowd).map(|number| person(number).address).collect(),
            beneficiary: Address::repeat_byte(0xbe),
            hot: Address::repeat_byte(0xa7),
        };
        scene.settle_people(random);
        scene.targets.extend([0xf1, 0xf2].map(Address::repeat_byte));
        if scene.has(Feature::EmptyAccounts) {
            scene.settle_empty(random);
        }
        if scene.has(Feature::Precompiles) {
            scene.targets.extend([1, 2, 3, 4, 5, 9, 10, 17].map(Address::with_last_byte));
        }
        scene.choose_beneficiary(random);
        scene.build_contracts(random);
        scene.foresee(random);
        if scene.has(Feature::BusyBeneficiary) && random.chance(30) {
            let contract = random.below(scene.targets.len());
            scene.beneficiary = scene.targets[contract];
        }
        scene.delegate_from_the_start(random);
        scene.install_system(random);
        if scene.has(Feature::Limits) {
            scene.reach_limits(random);
        }
        scene
    }

    /// Whether the block has a feature.
    pub(super) fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// Puts those who sign into the state.
    fn settle_people(&mut self, random: &mut Random) {
        for &number in &self.senders {
            let account = self.world.account(person(number).address);
            account.balance = U256::from(10).pow(U256::from(18));
            account.nonce = random.pick(&[0, 0, 0, 1, 5, 1_000]);
        }
        if self.has(Feature::Funding) {
            self.poor = (people::COUNT - 3..people::COUNT).collect();
            self.targets.extend(self.poor.iter().map(|&number| person(number).address));
        }
    }

    /// Puts accounts into the state that exist and are empty.
    fn settle_empty(&mut self, random: &mut Random) {
        let mut empty =
            vec![Address::repeat_byte(0xe1), Address::repeat_byte(0xe2), self.beneficiary, self.hot];
        empty.push(Address::with_last_byte(3));
        for address in empty {
            if random.chance(60) {
                self.world.account(address);
            }
            self.targets.push(address);
        }
    }

    /// Chooses who earns the fees.
    fn choose_beneficiary(&mut self, random: &mut Random) {
        if self.has(Feature::BusyBeneficiary) {
            let system = [Address::ZERO, SYSTEM_ADDRESS, BEACON_ROOTS_ADDRESS, HISTORY_STORAGE_ADDRESS];
            let choices = if random.chance(15) { &system[..] } else { &self.targets[..] };
            self.beneficiary = random.pick(choices);
        }
        if self.has(Feature::BusyBeneficiary) || self.has(Feature::CoinbaseReads) {
            self.targets.push(self.beneficiary);
        }
        if self.has(Feature::HotRecipient) {
            self.targets.push(self.hot);
        }
    }

    /// Puts the contracts that the features need into the state.
    fn build_contracts(&mut self, random: &mut Random) {
        let mut kinds: Vec<Kind> = Vec::new();
        for kind in self.features.iter().flat_map(|feature| feature.contracts()) {
            kinds.extend(vec![*kind; random.below(2) + 1]);
        }
        for (kind, index) in kinds.into_iter().zip(0..) {
            let address = Address::from_word(keccak256([0xc0, index]));
            self.targets.push(address);
            self.contracts.push((address, kind));
        }
        for (address, kind) in self.contracts.clone() {
            let account = self.world.account(address);
            account.nonce = 1;
            account.balance = U256::from(random.pick(&[0, 0, 1, 1_000]));
            account.code = programs::code(kind, self.fork, random).finish();
            account.storage = contracts::storage(kind, &self.targets, random)
                .into_iter()
                .filter(|(_, v)| !v.is_zero())
                .collect();
        }
        self.init_codes.push(contracts::reborn_code(self.fork, random));
        for _ in 0..random.below(4) {
            self.init_codes.push(contracts::init_code(self.fork, &self.targets, random));
        }
    }

    /// Works out where contracts will be made, and puts something there if the features want it.
    fn foresee(&mut self, random: &mut Random) {
        for &(factory, _) in self.contracts.iter().filter(|(_, kind)| *kind == Kind::Factory) {
            for salt in 0..2_u8 {
                let salt = B256::with_last_byte(salt);
                self.unborn.extend(self.init_codes.iter().map(|code| factory.create2_from_code(salt, code)));
            }
            self.unborn.extend((1..3).map(|nonce| factory.create(nonce)));
        }
        if self.has(Feature::Creations) {
            for &sender in self.senders.iter().take(3) {
                let sender = person(sender).address;
                let nonce = self.world.account(sender).nonce;
                self.unborn.extend((nonce..nonce + 3).map(|nonce| sender.create(nonce)));
            }
        }
        self.targets.extend(self.unborn.iter().take(8));
        if self.has(Feature::Factories) && random.chance(50) {
            // It is there already, and has to go before it can be made again.
            let account = self.world.account(self.unborn[0]);
            (account.nonce, account.code) = (1, programs::code(Kind::Destroyer, self.fork, random).finish());
            account.storage = (0..3).map(|slot| (U256::from(slot), U256::from(slot + 5))).collect();
        }
        if self.has(Feature::Collisions) {
            for &address in &self.unborn {
                if random.chance(50) {
                    continue;
                }
                let code = programs::code(Kind::Counter, self.fork, random).finish();
                let account = self.world.account(address);
                match random.below(6) {
                    0 => account.nonce = 1,
                    1 => (account.nonce, account.code) = (1, code),
                    2 | 3 => account.balance = U256::from(7),
                    _ => {}
                }
                if random.chance(60) {
                    account.storage.extend([(U256::ZERO, U256::from(3)), (U256::from(1), U256::from(4))]);
                }
            }
        }
    }

    /// Lets some people be delegated before the block begins (EIP-7702).
    fn delegate_from_the_start(&mut self, random: &mut Random) {
        if !self.has(Feature::Delegations) || self.fork < SpecId::PRAGUE || self.contracts.is_empty() {
            return;
        }
        for &number in &self.senders {
            if random.chance(30) {
                let (target, _) = random.pick(&self.contracts);
                let account = self.world.account(person(number).address);
                account.nonce = account.nonce.max(1);
                account.code = [&[0xef, 0x01, 0x00], target.as_slice()].concat().into();
                if random.chance(50) {
                    account.storage.insert(U256::ZERO, U256::from(2));
                }
            }
        }
    }

    /// Gives some accounts all the ether, or all the nonces, that there can be.
    fn reach_limits(&mut self, random: &mut Random) {
        for _ in 0..random.within(1..=3) {
            let account = self.world.account(random.pick(&self.targets));
            if random.chance(60) {
                account.balance = U256::MAX - U256::from(random.pick(&[0, 1, 100_000]));
            } else {
                account.nonce = u64::MAX - random.within(0..=2);
            }
        }
        if random.chance(40) {
            self.world.account(self.beneficiary).balance = U256::MAX - U256::from(random.below(3));
        }
    }

    /// Puts the system's contracts into the state, or now and then forgets one.
    fn install_system(&mut self, random: &mut Random) {
        let deposit = Assembler::new().copy_calldata(0).word(DEPOSIT_EVENT.into());
        let deposit = deposit.ops(&[op::CALLDATASIZE]).push(0).ops(&[op::LOG1]).finish();
        let stop = Bytes::from_static(&[op::STOP]);
        let contracts = [
            (SpecId::FRONTIER, MAINNET_DEPOSIT_CONTRACT_ADDRESS, deposit),
            (SpecId::CANCUN, BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE.clone()),
            (SpecId::PRAGUE, HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE.clone()),
            (SpecId::PRAGUE, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_PREDEPLOY_CODE.clone()),
            (
                SpecId::PRAGUE,
                CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
                CONSOLIDATION_REQUEST_PREDEPLOY_CODE.clone(),
            ),
            (SpecId::AMSTERDAM, BUILDER_QUEUES[0], stop.clone()),
            (SpecId::AMSTERDAM, BUILDER_QUEUES[1], stop),
        ];
        for (since, address, code) in contracts {
            if self.fork < since || random.chance(1) {
                continue;
            }
            let account = self.world.account(address);
            (account.nonce, account.code) = (1, code);
        }
        if self.has(Feature::Requests) {
            self.targets.push(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS);
        }
    }
}
