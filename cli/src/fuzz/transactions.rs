//! Makes the transactions of a block, one feature at a time.

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS;
use alloy_eips::eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
use alloy_eips::eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS;
use alloy_primitives::{Address, B256, TxKind, U256};
use revm::primitives::hardfork::SpecId;

use super::case::CHAIN_ID;
use super::contracts::{self, Kind};
use super::feature::Feature;
use super::gas;
use super::people::person;
use super::plan::{Consent, Envelope, Nonce, Plan};
use super::precompiles;
use super::random::Random;
use super::scene::Scene;

/// A call: whom, with what.
type Call = (Address, Vec<u8>);

/// Features with transactions of their own, the fork that brings them, and who makes them.
const MAKERS: [(Feature, SpecId, fn(&mut Maker<'_>, &mut Plan)); 8] = [
    (Feature::SelfTransfers, SpecId::FRONTIER, |maker, plan| maker.pay_oneself(plan)),
    (Feature::HotRecipient, SpecId::FRONTIER, |maker, plan| maker.pay_hot(plan)),
    (Feature::Funding, SpecId::FRONTIER, |maker, plan| maker.fund(plan)),
    (Feature::Creations, SpecId::FRONTIER, |maker, plan| maker.create(plan)),
    (Feature::Precompiles, SpecId::FRONTIER, |maker, plan| maker.call_precompile(plan)),
    (Feature::Requests, SpecId::FRONTIER, |maker, plan| maker.request(plan)),
    (Feature::Blobs, SpecId::CANCUN, |maker, plan| maker.carry_blobs(plan)),
    (Feature::Delegations, SpecId::PRAGUE, |maker, plan| maker.delegate(plan)),
];

/// Makes the transactions of a block.
#[derive(Debug)]
pub(super) struct Maker<'a> {
    /// Who is there.
    pub(super) scene: &'a Scene,
    /// The block's base fee.
    pub(super) base_fee: u64,
    /// What chance decides.
    pub(super) random: &'a mut Random,
    /// What is still to happen to the first contract of the first factory, last things first.
    pub(super) story: Vec<Act>,
}

/// What happens to a contract that comes and goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// It destroys itself.
    Destroy,
    /// The factory makes it.
    Make,
    /// It counts, in a slot that its making does not write.
    Count,
}

impl Maker<'_> {
    /// A transaction for one of the features, drawn.
    pub(super) fn transaction(&mut self) -> Plan {
        let choices: Vec<Feature> =
            self.scene.features.iter().copied().filter(|feature| feature.has_transactions()).collect();
        let continued = !self.story.is_empty() && self.random.chance(60);
        let feature = if continued { Feature::Factories } else { self.random.pick(&choices) };
        let mut plan = self.plain(feature);
        let fork = self.scene.fork;
        let own = MAKERS.iter().find(|(made_for, since, _)| *made_for == feature && fork >= *since);
        if let Some((_, _, make)) = own {
            make(self, &mut plan);
        } else if feature.contracts().is_empty() {
            plan.value = self.small_value();
        } else if continued {
            self.act(&mut plan);
        } else if feature == Feature::Factories && !self.scene.unborn.is_empty() && self.random.chance(50) {
            self.visit_unborn(&mut plan);
        } else {
            let kind = self.random.pick(feature.contracts());
            let (to, input) = self.call(kind);
            (plan.to, plan.input) = (to.into(), input.into());
        }
        self.wrap(&mut plan);
        self.clothe(&mut plan);
        plan.gas_limit = gas::limit(self.scene, &plan, self.random);
        plan
    }

    /// A call of a contract of this kind, with input for it.
    fn call(&mut self, kind: Kind) -> Call {
        let scene = self.scene;
        let known: Vec<Address> =
            scene.contracts.iter().filter(|(_, other)| *other == kind).map(|(address, _)| *address).collect();
        let to = self.random.pick(&known);
        let input = kind.input(&scene.targets, &scene.init_codes, self.random);
        if kind != Kind::Proxy {
            return (to, input);
        }
        // What the proxy calls gets input of its own.
        let (_, inner) = self.random.pick(&scene.contracts);
        let (inner_to, inner_input) = if inner == Kind::Proxy {
            (self.random.pick(&scene.targets), Vec::new())
        } else {
            self.call(inner)
        };
        (to, [inner_to.into_word().as_slice(), &input[32..], &inner_input].concat())
    }

    /// Now and then puts a proxy between the transaction and what it calls.
    fn wrap(&mut self, plan: &mut Plan) {
        let proxies = self.scene.contracts.iter().filter(|(_, kind)| *kind == Kind::Proxy);
        let proxies: Vec<Address> = proxies.map(|(address, _)| *address).collect();
        if proxies.is_empty() || plan.envelope == Envelope::Eip7702 || !self.random.chance(25) {
            return;
        }
        let TxKind::Call(to) = plan.to else { return };
        let how = U256::from(self.random.below(4));
        let revert = U256::from(self.random.below(6) / 5);
        let head = contracts::words(&[to.into_word().into(), plan.value, how, revert]);
        plan.input = [head, plan.input.to_vec()].concat().into();
        plan.to = self.random.pick(&proxies).into();
    }

    /// A transfer of nothing to nobody in particular.
    pub(super) fn plain(&mut self, feature: Feature) -> Plan {
        let scene = self.scene;
        let chain = scene.has(Feature::NonceChain) && self.random.chance(70);
        let sender = if chain { scene.senders[0] } else { self.random.pick(&scene.senders) };
        let free = scene.has(Feature::NoFees) && self.random.chance(50);
        let priority_fee = if free { 0 } else { self.random.pick(&[0, 1, 1, 3, 1_000]) };
        Plan {
            feature,
            sender,
            nonce: Nonce::Next,
            envelope: Envelope::Legacy,
            chain_id: Some(CHAIN_ID).filter(|_| scene.fork >= SpecId::SPURIOUS_DRAGON),
            gas_limit: 0,
            max_fee: u128::from(self.base_fee) + priority_fee,
            priority_fee,
            to: self.random.pick(&scene.targets).into(),
            value: U256::ZERO,
            input: alloy_primitives::Bytes::new(),
            access_list: AccessList::default(),
            blobs: Vec::new(),
            max_blob_fee: 0,
            authorizations: Vec::new(),
        }
    }

    /// A few wei, often none.
    fn small_value(&mut self) -> U256 {
        U256::from(self.random.pick(&[0, 0, 1, 2, 1_000_000]))
    }

    /// Pays its own sender.
    fn pay_oneself(&mut self, plan: &mut Plan) {
        plan.to = person(plan.sender).address.into();
        plan.value = self.small_value();
    }

    /// Pays whom everybody pays.
    fn pay_hot(&mut self, plan: &mut Plan) {
        plan.to = self.scene.hot.into();
        plan.value = U256::from(self.random.below(2));
    }

    /// Calls a precompile.
    fn call_precompile(&mut self, plan: &mut Plan) {
        let (to, input) = precompiles::call(self.random);
        (plan.to, plan.input) = (to.into(), input.into());
    }

    /// Goes on with the story.
    fn act(&mut self, plan: &mut Plan) {
        let Some(act) = self.story.pop() else { return };
        let factories = &mut self.scene.contracts.iter().filter(|(_, kind)| *kind == Kind::Factory);
        let Some(&(factory, _)) = factories.next() else { return };
        let heir = self.random.pick(&self.scene.targets).into_word().into();
        let slot = U256::from(self.random.within(1..=2));
        let (to, input) = match act {
            Act::Destroy => (self.scene.unborn[0], contracts::words(&[heir, U256::ONE, slot])),
            Act::Count => (self.scene.unborn[0], contracts::words(&[heir, U256::ZERO, slot])),
            Act::Make => {
                let flags = contracts::words(&[U256::ZERO; 3]);
                (factory, [&flags[..], &self.scene.init_codes[0]].concat())
            }
        };
        (plan.to, plan.input) = (to.into(), input.into());
    }

    /// Calls what a factory may have made by now, with what makes it destroy itself, or count.
    fn visit_unborn(&mut self, plan: &mut Plan) {
        let unborn = &self.scene.unborn;
        plan.to = if self.random.chance(50) { unborn[0] } else { self.random.pick(unborn) }.into();
        plan.input = contracts::destruction(&self.scene.targets, self.random).into();
    }

    /// Pays somebody who owns nothing, or is sent by them.
    fn fund(&mut self, plan: &mut Plan) {
        let poor = self.random.pick(&self.scene.poor);
        if self.random.chance(50) {
            plan.to = person(poor).address.into();
            plan.value = U256::from(10).pow(U256::from(15));
        } else {
            plan.sender = poor;
            plan.value = self.small_value();
        }
    }

    /// Creates a contract.
    fn create(&mut self, plan: &mut Plan) {
        let codes = &self.scene.init_codes;
        plan.to = TxKind::Create;
        plan.input = codes[self.random.below(codes.len())].clone();
        plan.value = self.small_value();
    }

    /// Delegates accounts (EIP-7702), and calls one of them or something else.
    fn delegate(&mut self, plan: &mut Plan) {
        plan.envelope = Envelope::Eip7702;
        let scene = self.scene;
        for _ in 0..=self.random.below(3) {
            let authority =
                if self.random.chance(25) { plan.sender } else { self.random.pick(&scene.senders) };
            let target = match self.random.below(8) {
                0 | 1 => Address::ZERO,
                2 => self.random.pick(&scene.targets),
                _ if !scene.contracts.is_empty() => self.random.pick(&scene.contracts).0,
                _ => self.random.pick(&scene.targets),
            };
            let chain_id = self.random.pick(&[CHAIN_ID, CHAIN_ID, CHAIN_ID, 0, 7]);
            let nonce = self.random.pick(&[
                Nonce::Next,
                Nonce::Next,
                Nonce::Next,
                Nonce::Next,
                Nonce::Next,
                Nonce::Ahead(1),
                Nonce::Behind(1),
                Nonce::Last,
            ]);
            plan.authorizations.push(Consent { authority, target, chain_id, nonce });
        }
        let authority = plan.authorizations[0].authority;
        plan.to = match self.random.below(3) {
            0 => self.random.pick(&scene.targets).into(),
            _ => person(authority).address.into(),
        };
        // Input that many contracts understand.
        plan.input = contracts::destruction(&scene.targets, self.random).into();
        plan.value = self.small_value();
    }

    /// Carries blobs.
    fn carry_blobs(&mut self, plan: &mut Plan) {
        plan.envelope = Envelope::Eip4844;
        let count = self.random.within(1..=2);
        plan.blobs = (0..count)
            .map(|_| {
                let mut hash = B256::from_slice(&self.random.bytes(32));
                hash[0] = 1;
                hash
            })
            .collect();
        plan.max_blob_fee = 1_000_000;
        plan.value = self.small_value();
    }

    /// Makes a deposit, or queues a request.
    fn request(&mut self, plan: &mut Plan) {
        plan.value = U256::from(self.random.within(1..=10));
        (plan.to, plan.input) = match self.random.below(4) {
            0 => (WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS.into(), self.random.bytes(56).into()),
            1 => (CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS.into(), self.random.bytes(96).into()),
            2 => (MAINNET_DEPOSIT_CONTRACT_ADDRESS.into(), deposit(self.random).into()),
            _ => {
                let queues = [WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS];
                (self.random.pick(&queues).into(), alloy_primitives::Bytes::new())
            }
        };
    }

    /// Gives it one of the forms that the fork knows, and maybe an access list.
    fn clothe(&mut self, plan: &mut Plan) {
        let fork = self.scene.fork;
        if plan.envelope == Envelope::Legacy {
            let forms = [
                (SpecId::FRONTIER, Envelope::Legacy),
                (SpecId::BERLIN, Envelope::Eip2930),
                (SpecId::LONDON, Envelope::Eip1559),
                (SpecId::LONDON, Envelope::Eip1559),
            ];
            let known: Vec<Envelope> =
                forms.into_iter().filter(|(since, _)| fork >= *since).map(|(_, form)| form).collect();
            plan.envelope = self.random.pick(&known);
        }
        if plan.envelope == Envelope::Legacy {
            if self.random.chance(10) {
                plan.chain_id = None;
            }
        } else if self.scene.has(Feature::AccessLists) && self.random.chance(50) {
            let items = (0..self.random.below(4)).map(|_| AccessListItem {
                address: self.random.pick(&self.scene.targets),
                storage_keys: (0..self.random.below(3)).map(|slot| U256::from(slot).into()).collect(),
            });
            plan.access_list = items.collect::<Vec<_>>().into();
        }
    }
}

/// The data of a deposit's log (EIP-6110), now and then with something wrong.
fn deposit(random: &mut Random) -> Vec<u8> {
    let mut data = vec![0; 576];
    for (index, (at, length)) in [(160, 48), (256, 32), (320, 8), (384, 96), (512, 8)].into_iter().enumerate()
    {
        let start: usize = at;
        data[index * 32..][..32].copy_from_slice(&U256::from(at).to_be_bytes::<32>());
        data[start..][..32].copy_from_slice(&U256::from(length).to_be_bytes::<32>());
        let bytes = random.bytes(length);
        data[start + 32..][..length].copy_from_slice(&bytes);
    }
    if random.chance(5) {
        data[31] ^= 1;
    }
    data
}
