//! What recovery does once in a process is done for whoever gains by it, and for nobody else.
//!
//! A program of its own, since it looks at what a process has done.

use weft_engine::Recovery;
use weft_engine::execute::Options;

/// Signatures that the fastest way takes together, once all that the threads were told to do is done.
fn lanes(options: &Options) -> usize {
    // One thread takes one after the other.
    options.install(|| Recovery::best().lanes())
}

#[test]
fn tables_are_made_for_who_uses_them() {
    let options = || Options::with_threads(1).expect("there is a thread");
    assert_eq!(lanes(&options()), 1, "nobody has settled who recovers");
    assert_eq!(
        lanes(&options().with_recovery(Recovery::Libsecp256k1).prepared()),
        1,
        "libsecp256k1 has no tables"
    );
    let best = lanes(&options().prepared());
    assert_eq!(best > 1, Recovery::Ifma.is_available());
}
