//! What blocks are made of. Each seed leaves about half of it out (swarm testing: Groce and others, ISSTA 2012), so
//! that what is left meets itself more often.

use super::contracts::Kind;
use super::random::Random;

/// Something that a block may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Feature {
    /// Ether from one account to another, often none of it.
    Transfers,
    /// Transfers to oneself.
    SelfTransfers,
    /// Many transactions of one sender.
    NonceChain,
    /// One recipient that everybody pays.
    HotRecipient,
    /// Senders that own nothing until the block pays them.
    Funding,
    /// Token transfers.
    Tokens,
    /// Counters in storage.
    Counters,
    /// Writes that depend on what is read.
    Conditions,
    /// Values, and places, that depend on what is read.
    Chains,
    /// `SELFDESTRUCT`.
    Destruction,
    /// `CREATE2` and `CREATE` by contracts, again and again at the same addresses.
    Factories,
    /// Transactions that create contracts.
    Creations,
    /// Accounts that lie where contracts will be created (EIP-7610 and others).
    Collisions,
    /// EIP-7702.
    Delegations,
    /// Calls through other contracts, in all four ways.
    Proxies,
    /// Deep calls.
    Depth,
    /// Transient storage.
    Transient,
    /// Large results, and reverts with them.
    Results,
    /// Running out of gas.
    OutOfGas,
    /// Invalid opcodes.
    InvalidOpcodes,
    /// Looks at accounts that others change.
    Probes,
    /// Reads of the beneficiary's balance.
    CoinbaseReads,
    /// The beneficiary is somebody: a sender, a contract, an authority, a recipient.
    BusyBeneficiary,
    /// Transactions that pay nothing.
    NoFees,
    /// Accounts that exist and are empty (EIP-161).
    EmptyAccounts,
    /// Calls of precompiles.
    Precompiles,
    /// Access lists.
    AccessLists,
    /// Blob transactions.
    Blobs,
    /// `BLOCKHASH`.
    Ancestors,
    /// Everything the environment says.
    Environment,
    /// Chance programs.
    Chance,
    /// Deposits and the queues of requests.
    Requests,
    /// Withdrawals and ommers.
    Credits,
    /// Balances and nonces that cannot grow any more.
    Limits,
    /// Transactions that make the block invalid.
    InvalidTransactions,
}

impl Feature {
    /// All of them.
    const ALL: [Self; 35] = [
        Self::Transfers,
        Self::SelfTransfers,
        Self::NonceChain,
        Self::HotRecipient,
        Self::Funding,
        Self::Tokens,
        Self::Counters,
        Self::Conditions,
        Self::Chains,
        Self::Destruction,
        Self::Factories,
        Self::Creations,
        Self::Collisions,
        Self::Delegations,
        Self::Proxies,
        Self::Depth,
        Self::Transient,
        Self::Results,
        Self::OutOfGas,
        Self::InvalidOpcodes,
        Self::Probes,
        Self::CoinbaseReads,
        Self::BusyBeneficiary,
        Self::NoFees,
        Self::EmptyAccounts,
        Self::Precompiles,
        Self::AccessLists,
        Self::Blobs,
        Self::Ancestors,
        Self::Environment,
        Self::Chance,
        Self::Requests,
        Self::Credits,
        Self::Limits,
        Self::InvalidTransactions,
    ];

    /// The contracts it needs.
    pub(super) fn contracts(self) -> &'static [Kind] {
        match self {
            Self::Tokens => &[Kind::Token],
            Self::Counters => &[Kind::Counter],
            Self::Conditions => &[Kind::Conditional],
            Self::Chains => &[Kind::Chain, Kind::Pointer],
            Self::Destruction => &[Kind::Destroyer, Kind::Sweeper],
            Self::Factories => &[Kind::Factory],
            Self::Proxies => &[Kind::Proxy],
            Self::Depth => &[Kind::Recursive],
            Self::Transient => &[Kind::Transient],
            Self::Results => &[Kind::Returner],
            Self::OutOfGas => &[Kind::Burner],
            Self::InvalidOpcodes => &[Kind::Invalid],
            Self::Probes => &[Kind::Probe, Kind::Recorder],
            Self::CoinbaseReads => &[Kind::CoinbaseReader],
            Self::Ancestors => &[Kind::Ancestor],
            Self::Environment => &[Kind::Environment],
            Self::Chance => &[Kind::Chance],
            Self::Transfers
            | Self::SelfTransfers
            | Self::NonceChain
            | Self::HotRecipient
            | Self::Funding
            | Self::Creations
            | Self::Collisions
            | Self::Delegations
            | Self::BusyBeneficiary
            | Self::NoFees
            | Self::EmptyAccounts
            | Self::Precompiles
            | Self::AccessLists
            | Self::Blobs
            | Self::Requests
            | Self::Credits
            | Self::Limits
            | Self::InvalidTransactions => &[],
        }
    }

    /// Whether transactions are made for it; the others change what transactions and state look like.
    pub(super) fn has_transactions(self) -> bool {
        match self {
            Self::NonceChain
            | Self::Collisions
            | Self::BusyBeneficiary
            | Self::NoFees
            | Self::EmptyAccounts
            | Self::AccessLists
            | Self::Credits
            | Self::Limits
            | Self::InvalidTransactions => false,
            Self::Transfers
            | Self::SelfTransfers
            | Self::HotRecipient
            | Self::Funding
            | Self::Tokens
            | Self::Counters
            | Self::Conditions
            | Self::Chains
            | Self::Destruction
            | Self::Factories
            | Self::Creations
            | Self::Delegations
            | Self::Proxies
            | Self::Depth
            | Self::Transient
            | Self::Results
            | Self::OutOfGas
            | Self::InvalidOpcodes
            | Self::Probes
            | Self::CoinbaseReads
            | Self::Precompiles
            | Self::Blobs
            | Self::Ancestors
            | Self::Environment
            | Self::Chance
            | Self::Requests => true,
        }
    }
}

/// About half of the features; some that end blocks early are rarer.
pub(super) fn draw(random: &mut Random) -> Vec<Feature> {
    let mut features: Vec<Feature> = Feature::ALL
        .into_iter()
        .filter(|feature| {
            let rare = [Feature::InvalidTransactions, Feature::Limits].contains(feature);
            random.chance(if rare { 15 } else { 45 })
        })
        .collect();
    if !features.iter().any(|feature| feature.has_transactions()) {
        features.push(Feature::Transfers);
    }
    features
}
