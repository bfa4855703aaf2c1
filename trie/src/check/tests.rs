//! Heights, and the ways to flaws.

use super::*;

#[test]
fn heights_agree_or_not() {
    use Height::{AtLeast, Exactly};
    for (one, two, both) in [
        (AtLeast(3), AtLeast(5), Ok(AtLeast(5))),
        (AtLeast(5), Exactly(5), Ok(Exactly(5))),
        (Exactly(5), AtLeast(1), Ok(Exactly(5))),
        (Exactly(5), Exactly(5), Ok(Exactly(5))),
        (Exactly(5), Exactly(6), Err(BadNodeReason::UnevenKeys)),
        (Exactly(5), AtLeast(6), Err(BadNodeReason::UnevenKeys)),
    ] {
        assert_eq!(one.agreed(two), both);
        assert_eq!(two.agreed(one), both);
    }
    assert_eq!(Exactly(60).raised(4), Ok(Exactly(64)));
    assert_eq!(AtLeast(60).raised(5), Err(BadNodeReason::KeysTooLong));
    assert!(Exactly(64).of_whole_key(B256::ZERO).is_ok());
    assert!(AtLeast(1).of_whole_key(B256::ZERO).is_ok());
    let flaw = Exactly(63).of_whole_key(B256::ZERO).map_err(|flaw| flaw.reason);
    assert_eq!(flaw, Err(BadNodeReason::KeyLength { nibbles: 63 }));
}

/// A way longer than a key is cut off, whatever the steps.
#[test]
fn paths_of_flaws_end_after_a_key() {
    let mut flaw = Flaw::at(B256::ZERO, BadNodeReason::NotAList);
    for (nibble, steps) in [(1, 1), (2, 62), (3, 3)] {
        flaw = flaw.below(&Nibbles::from_nibbles(vec![nibble; steps]));
    }
    assert_eq!(flaw.path, Nibbles::from_nibbles([&[3; 3][..], &[2; 61]].concat()));
    let flaw = flaw.below(&Nibbles::from_nibbles([4; 64]));
    assert_eq!(flaw.path, Nibbles::from_nibbles([4; 64]));
}

/// T4: what is found at a node takes a few bytes.
#[test]
fn findings_are_small() {
    assert!(size_of::<Finding>() <= 2);
}
