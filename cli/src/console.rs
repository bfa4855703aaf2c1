//! The standard streams, and a progress bar that keeps out of their way.
//!
//! The bar is drawn on a terminal only. A reader that has gone away ends the command: nobody is left to work for.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};
use std::process::exit;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Exit status when the reader of standard output has gone away, as a shell shows it for a broken pipe.
const READER_GONE: i32 = 141;

/// Where a command speaks.
#[derive(Debug)]
pub(crate) struct Console {
    /// How far the work is.
    bar: ProgressBar,
}

impl Console {
    /// For work on this many items; a single one needs no bar.
    pub(crate) fn for_items(items: usize) -> Self {
        let bar = if items > 1 { ProgressBar::new(items as u64) } else { ProgressBar::hidden() };
        Self { bar: bar.with_style(style("{bar:30} {pos}/{len} {wide_msg}")) }
    }

    /// For work of unknown length.
    pub(crate) fn for_many() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        Self { bar: bar.with_style(style("{spinner} {pos} done, {per_sec}, {wide_msg}")) }
    }

    /// Shows what is being worked on.
    pub(crate) fn working_on(&self, item: &str) {
        self.bar.set_message(item.to_owned());
    }

    /// Shows that one item is done.
    pub(crate) fn item_done(&self) {
        self.bar.inc(1);
    }

    /// Writes a line to standard output.
    pub(crate) fn line(&self, text: impl Display) {
        if self.bar.suspend(|| writeln!(stdout().lock(), "{text}")).is_err() {
            exit(READER_GONE);
        }
    }

    /// Writes a line to standard error, if anybody reads it.
    pub(crate) fn note(&self, text: impl Display) {
        // Whoever has closed standard error does not want to hear that it failed.
        let _ = self.bar.suspend(|| writeln!(stderr().lock(), "{text}"));
    }

    /// Whether nobody sees the bar.
    pub(crate) fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }

    /// Takes the bar away.
    pub(crate) fn clear_bar(&self) {
        self.bar.finish_and_clear();
    }
}

/// The look of a bar.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
