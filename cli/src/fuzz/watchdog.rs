//! Ends the command if a block never ends: a hang is a failure like any other, and must name its seed.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::console::Console;

/// Longest time that a block may take on all engines, in a machine that has other things to do as well.
const LONGEST: Duration = Duration::from_mins(3);

/// Sees whether blocks end.
#[derive(Debug, Clone)]
pub(super) struct Watchdog(Arc<Mutex<(u64, Instant)>>);

impl Watchdog {
    /// Starts to watch.
    pub(super) fn start() -> Self {
        let shared = Arc::new(Mutex::new((0, Instant::now())));
        let watched = Arc::clone(&shared);
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_secs(1));
                let (seed, since) = *watched.lock().unwrap_or_else(PoisonError::into_inner);
                if since.elapsed() > LONGEST {
                    let console = Console::for_items(1);
                    console.note(format_args!("FAILED seed {seed}: no end after {} s", LONGEST.as_secs()));
                    console.note(format_args!("replay: weft fuzz --seed {seed} --blocks 1"));
                    std::process::exit(1);
                }
            }
        });
        Self(shared)
    }

    /// Says that the block of this seed begins.
    pub(super) fn begin(&self, seed: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (seed, Instant::now());
    }
}
