//! Public test vectors: the trie tests of `ethereum/tests`, and the blocks with witness of EIP-8025.
//!
//! Where the vectors are not at hand, a test says so and passes.

use crate::{
    support::{EMPTY, data},
    world::World,
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path};
use weft_trie::{AccountChange, AccountFields, SparseTrie, StateChanges, Witness, WitnessError};

/// The files of `ethereum/tests` whose keys are hashed, as those of states are.
const SECURE_TRIES: [&str; 3] =
    ["trietest_secureTrie.json", "trieanyorder_secureTrie.json", "hex_encoded_securetrie_test.json"];

/// A file as JSON.
fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Text that is hex if it starts with `0x`, and otherwise itself.
fn bytes(text: &str) -> Bytes {
    if text.starts_with("0x") { text.parse().unwrap() } else { Bytes::copy_from_slice(text.as_bytes()) }
}

/// The steps of a trie test: keys with the values they get, `None` to remove.
fn steps(input: &Value) -> Vec<(B256, Option<Bytes>)> {
    let step = |key: &str, value: &Value| (keccak256(bytes(key)), value.as_str().map(bytes));
    match input.as_array() {
        Some(pairs) => pairs.iter().map(|pair| step(pair[0].as_str().unwrap(), &pair[1])).collect(),
        None => input.as_object().unwrap().iter().map(|(key, value)| step(key, value)).collect(),
    }
}

/// T9: the roots of `ethereum/tests`, step by step and at once.
#[test]
fn ethereum_trie_tests() {
    let Some(folder) = data("trie-tests") else { return eprintln!("skipped: no trie-tests") };
    let mut cases = 0;
    for file in SECURE_TRIES {
        for (name, case) in json(&folder.join(file)).as_object().unwrap() {
            let root: B256 = case["root"].as_str().unwrap().parse().unwrap();
            let steps = steps(&case["in"]);
            let mut single = SparseTrie::empty();
            for (key, value) in &steps {
                match value {
                    Some(value) => single.insert(*key, value.clone()).unwrap(),
                    None => single.remove(*key).unwrap(),
                }
            }
            assert_eq!(single.root(), root, "{file}: {name}");
            let mut batched = SparseTrie::empty();
            batched.apply(steps.clone()).unwrap();
            assert_eq!(batched.root(), root, "{file}: {name}");
            batched.apply(steps.into_iter().map(|(key, _)| (key, None))).unwrap();
            assert_eq!(batched.root(), EMPTY, "{file}: {name}");
            cases += 1;
        }
    }
    assert!(cases >= 10, "{cases} cases");
}

/// All JSON files below a folder.
fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
}

/// A number of the fixtures.
fn number(value: &Value) -> U256 {
    value.as_str().unwrap().parse().unwrap()
}

/// The state that a fixture writes out.
fn world(state: &Value) -> World {
    let account = |(address, account): (&String, &Value)| {
        let code: Bytes = account["code"].as_str().unwrap().parse().unwrap();
        let fields = AccountFields {
            nonce: number(&account["nonce"]).to(),
            balance: number(&account["balance"]),
            code_hash: keccak256(code),
        };
        let slots = account["storage"].as_object().unwrap().iter();
        let slots: BTreeMap<_, _> =
            slots.map(|(slot, value)| (slot.parse().unwrap(), number(value))).collect();
        (address.parse::<Address>().unwrap(), (fields, slots))
    };
    World(state.as_object().unwrap().iter().map(account).collect())
}

/// What the block changed.
fn changes(before: &World, after: &World) -> StateChanges {
    let addresses = before.0.keys().chain(after.0.keys());
    let change = |address: &Address| {
        let empty = BTreeMap::new();
        let old = before.0.get(address);
        let Some((fields, new_slots)) = after.0.get(address) else {
            return Some((*address, AccountChange::default()));
        };
        let old_slots = old.map_or(&empty, |(_, slots)| slots);
        let slots = old_slots.keys().chain(new_slots.keys());
        let storage: BTreeMap<_, _> = slots
            .map(|slot| (*slot, new_slots.get(slot).copied().unwrap_or_default()))
            .filter(|(slot, value)| old_slots.get(slot).copied().unwrap_or_default() != *value)
            .collect();
        let same = old.is_some_and(|(old, _)| old == fields) && storage.is_empty();
        let change = AccountChange { account: Some(*fields), storage_wiped: false, storage };
        (!same).then_some((*address, change))
    };
    addresses.filter_map(change).collect()
}

/// The witness of a block.
fn witness(block: &Value) -> Witness {
    let nodes = block["executionWitness"]["state"].as_array().unwrap();
    Witness::new(nodes.iter().map(|node| node.as_str().unwrap().parse().unwrap()).collect())
}

/// Whether the block is valid: byte 32 of what the reference put out.
fn is_valid(block: &Value) -> bool {
    let output: Bytes = block["statelessOutputBytes"].as_str().unwrap().parse().unwrap();
    output[32] == 1
}

/// The state root in a header.
fn state_root(header: &Value) -> B256 {
    header["stateRoot"].as_str().unwrap().parse().unwrap()
}

/// T9: from the parent's root and the block's witness to the block's root.
#[test]
fn blocks_with_witness() {
    let Some(folder) = data("zkevm-v0.3.3") else { return eprintln!("skipped: no zkevm-v0.3.3") };
    let mut found = Vec::new();
    files(&folder, &mut found);
    let (mut verified, mut valid, mut invalid, mut refused) = (0, 0, 0, 0);
    for (name, case) in found.iter().flat_map(|file| json(file).as_object().unwrap().clone()) {
        let blocks = case["blocks"].as_array().unwrap();
        let mut parent = state_root(&case["genesisBlockHeader"]);
        // Every valid block's witness ties to its parent's root.
        for block in blocks.iter().filter(|block| is_valid(block)) {
            assert!(witness(block).verify(parent).is_ok(), "{name}");
            parent = state_root(&block["blockHeader"]);
            verified += 1;
        }
        // Of one block alone, the fixture also has the states before and after.
        let [block] = &blocks[..] else { continue };
        let (before, after) = (world(&case["pre"]), world(&case["postState"]));
        let genesis = state_root(&case["genesisBlockHeader"]);
        assert_eq!(genesis, before.root(), "{name}");
        let changes = changes(&before, &after);
        let result = witness(block).verify(genesis).and_then(|witness| {
            for address in changes.accounts.keys() {
                assert_eq!(witness.account(*address)?, before.account(*address), "{name}");
            }
            Ok(witness.post_state(&changes)?.state_root())
        });
        if is_valid(block) {
            assert_eq!(result, Ok(state_root(&block["blockHeader"])), "{name}");
            valid += 1;
        } else {
            // What is wrong may be seen only by execution; the trie never makes up a root.
            match result {
                Ok(root) => assert_eq!(root, after.root(), "{name}"),
                Err(WitnessError::MissingNode { .. }) => refused += 1,
                Err(error) => panic!("{name}: {error}"),
            }
            invalid += 1;
        }
    }
    eprintln!("{verified} witnesses, {valid} valid blocks, {refused} of {invalid} invalid ones refused");
    assert!(verified > 100 && valid > 80 && refused > 0);
}

/// T3: witnesses of real blocks are well-formed all the way down.
#[test]
fn witnesses_of_real_blocks() {
    let Some(folder) = data("witness") else { return eprintln!("skipped: no witness") };
    let mut found = Vec::new();
    files(&folder, &mut found);
    assert!(!found.is_empty());
    for file in found {
        let block = json(&file);
        let nodes = block["witness"]["state"].as_array().unwrap();
        let nodes = nodes.iter().map(|node| node.as_str().unwrap().parse().unwrap()).collect();
        let root: B256 = block["preStateRoot"].as_str().unwrap().parse().unwrap();
        let witness = Witness::new(nodes).verify(root).unwrap();
        assert_eq!(witness.state_trie().root(), root);
        // Nobody has this account, and no witness proves it, unless by chance.
        match witness.account(Address::repeat_byte(0x77)) {
            Ok(account) => assert_eq!(account, None),
            Err(error) => assert!(matches!(error, WitnessError::MissingNode { account: None, .. })),
        }
    }
}
