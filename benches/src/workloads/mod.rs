//! The catalogue: every workload by name, made when it is asked for.
//!
//! | group | |
//! |---|---|
//! | `raw/…`, `erc20/…`, `swap/…` | a gas of 10⁹ each: independent, in clusters, in chains |
//! | `sweep/…` | transfers between random accounts, from two of them to ten thousand |
//! | `small/…` | blocks of 1 to 64 transactions |
//! | `short/…` | blocks of 100 to 1,500 transactions of several kinds, at random |
//! | `adversarial/…` | a thousand transactions that a hostile sender would choose |
//! | `mainnet/…` | blocks of mainnet, if there are any beside the checkout |

mod adversarial;
mod mainnet;
mod short;
mod small;
mod swaps;
mod sweep;
mod tokens;
mod transfers;

use std::fmt;

use crate::scene::Workload;

/// A workload that can be made.
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Makes it.
    make: Box<dyn Fn(String) -> anyhow::Result<Workload>>,
}

/// Part of the full size that generated workloads have: above 0 and up to 1.
#[derive(Debug, Clone, Copy)]
pub struct Scale(f64);

/// All workloads at this scale, in the order of the table.
pub fn catalogue(scale: Scale) -> Vec<Plan> {
    let mut plans = Vec::new();
    transfers::plan(scale, &mut plans);
    tokens::plan(scale, &mut plans);
    swaps::plan(scale, &mut plans);
    sweep::plan(scale, &mut plans);
    small::plan(&mut plans);
    short::plan(scale, &mut plans);
    adversarial::plan(scale, &mut plans);
    mainnet::plan(&mut plans);
    plans
}

impl Plan {
    /// A generated workload.
    fn new(name: impl Into<String>, make: impl Fn(String) -> Workload + 'static) -> Self {
        Self::fallible(name, move |name| Ok(make(name)))
    }

    /// A workload that is read.
    fn fallible(
        name: impl Into<String>,
        make: impl Fn(String) -> anyhow::Result<Workload> + 'static,
    ) -> Self {
        Self { name: name.into(), make: Box::new(make) }
    }

    /// Makes the workload.
    ///
    /// # Errors
    ///
    /// If it is read from a file that cannot be read.
    pub fn make(&self) -> anyhow::Result<Workload> {
        (self.make)(self.name.clone())
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Scale {
    /// The full size.
    pub const FULL: Self = Self(1.0);

    /// A part of it.
    ///
    /// # Errors
    ///
    /// If `part` is not above 0 and up to 1.
    pub fn new(part: f64) -> anyhow::Result<Self> {
        anyhow::ensure!(part > 0.0 && part <= 1.0, "a scale is above 0 and up to 1");
        Ok(Self(part))
    }

    /// So much of `full`, and at least one.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "sizes are positive and far below 2^52"
    )]
    fn of(self, full: usize) -> usize {
        ((full as f64 * self.0).round() as usize).max(1)
    }
}
