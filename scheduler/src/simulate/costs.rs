//! What things take in virtual time, and what they took. All in nanoseconds.

/// What one transaction takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TxCosts {
    /// A run ahead of the frontier, its records and its publishing included.
    pub run: u64,
    /// When it reads, counted from its beginning, in order.
    pub reads: Box<[u64]>,
    /// A validation of it.
    pub validation: u64,
    /// Its commit, with the validation before it.
    pub commit: u64,
}

/// What the kernel takes, whatever the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelCosts {
    /// To find a task and take it.
    pub claim: u64,
    /// To find none.
    pub look: u64,
    /// One turn of a spin loop.
    pub pause: u64,
    /// To let another thread run, if there is none.
    pub yield_now: u64,
    /// To ring for a sleeper, for whoever rings.
    pub ring: u64,
    /// From the beginning of the ringing until the sleeper moves; of several sleepers, each wakes the next.
    pub wake: u64,
    /// To hand the work out to one helper, for the caller.
    pub hand_out: u64,
    /// From the beginning of that until the helper begins.
    pub begin: u64,
}

/// All that a simulation needs to know of time.
#[derive(Debug, Clone, Copy)]
pub struct Costs<'c> {
    /// By transaction. What is missing takes no time.
    pub transactions: &'c [TxCosts],
    /// For all of them.
    pub kernel: KernelCosts,
}

/// What a simulation came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeline {
    /// When the last worker had left, counted from the moment at which the caller began.
    pub end: u64,
    /// What each worker spent its time on.
    pub spent: Vec<Spent>,
}

/// What one worker spent its time on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spent {
    /// Runs that came to their end, whatever became of them.
    pub runs: u64,
    /// Runs that were given up halfway.
    pub waits: u64,
    /// Validations ahead of the frontier.
    pub validations: u64,
    /// Commits.
    pub commits: u64,
    /// Taking tasks, and ringing for sleepers.
    pub claims: u64,
    /// Not there yet, looking for work in vain, asleep, or not needed any more.
    pub idle: u64,
}

impl KernelCosts {
    /// When a worker begins, if the caller is worker 0 and hands out the work to the others first.
    pub(super) fn start(&self, worker: usize, workers: usize) -> u64 {
        match worker as u64 {
            0 => self.hand_out * (workers as u64 - 1),
            nth => self.hand_out * (nth - 1) + self.begin,
        }
    }

    /// One of the fruitless looks before a worker lies down, of which this is the `nth` in a row, with the pause
    /// behind it (`crossbeam_utils::Backoff::snooze`).
    pub(super) fn snooze(&self, nth: u32) -> u64 {
        let pause = if nth <= SPINS_MAX { self.pause << nth } else { self.yield_now };
        // A look takes time, or nobody would ever get past it.
        self.look.max(1) + pause
    }
}

/// From this look on, `Backoff::snooze` yields instead of spinning.
const SPINS_MAX: u32 = 6;

/// From this look on, `Backoff::is_completed`.
pub(super) const SNOOZES: u32 = 11;

impl Costs<'_> {
    /// A time by which every block is over but one that goes round in circles.
    pub(super) fn time_max(&self) -> u64 {
        let one = |tx: &TxCosts| tx.run + tx.validation + tx.commit + self.kernel.claim;
        let all: u64 = self.transactions.iter().map(one).sum();
        all.saturating_mul(1_000).saturating_add(10_000_000_000)
    }
}

impl Spent {
    /// All but the idle time.
    pub const fn busy(&self) -> u64 {
        self.runs + self.waits + self.validations + self.commits + self.claims
    }

    /// The sum of two.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            runs: self.runs + other.runs,
            waits: self.waits + other.waits,
            validations: self.validations + other.validations,
            commits: self.commits + other.commits,
            claims: self.claims + other.claims,
            idle: self.idle + other.idle,
        }
    }
}
