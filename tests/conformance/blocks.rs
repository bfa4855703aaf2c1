//! Real blocks: with witness, and with a plain pre-state.

use weft_engine::execute::{self, ExecuteInput};
use weft_engine::replay::PlainBlock;
use weft_tests::{files, folder, judge_all, matrix, read};

/// Every block with witness gives the roots of its header, pre-Byzantium receipts with their state roots included.
#[test]
fn blocks_with_witness_are_valid() {
    let Some(folder) = folder("witness") else { return };
    let matrix = matrix();
    let files = files(&folder);
    assert!(files.len() >= 11);
    for path in files {
        let name = path.display().to_string();
        let json = read(&path);
        let expected: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let input = ExecuteInput::read(json.into(), &execute::ReadOptions::default()).unwrap();
        let verdict = judge_all(&name, &matrix, |options| execute::run(&input, options));
        assert_eq!(verdict.error, None, "{name}");
        let root = |key: &str| expected[key].as_str().and_then(|root| root.parse().ok());
        assert_eq!(verdict.computed.state_root, root("stateRoot"), "{name}");
        assert_eq!(verdict.computed.receipts_root, root("receiptsRoot"), "{name}");
        assert_eq!(verdict.computed.gas_used, expected["gasUsed"].as_u64(), "{name}");
    }
}

/// Every block with a plain pre-state gives the receipts root, gas and bloom of its header.
#[test]
fn blocks_with_plain_state_replay() {
    let Some(folder) = folder("blocks") else { return };
    let matrix = matrix();
    let files = files(&folder);
    assert!(files.len() >= 42);
    for path in files {
        let name = path.display().to_string();
        let block = PlainBlock::from_json(&read(&path), None).unwrap();
        let verdict = judge_all(&name, &matrix, |options| block.run(options));
        assert_eq!(verdict.error, None, "{name}");
    }
}
