//! Witnesses made to be wrong, or to be expensive.

use crate::support::{
    ACCOUNT, EMPTY, FullTrie, Leaves, branch, extension, filling, key, leaf, list, long_slot, nibbles,
    reference, rlp, storage_trie, storage_witness,
};
use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_rlp::EMPTY_STRING_CODE;
use alloy_trie::{Nibbles, TrieAccount, nodes::RlpNode};
use weft_trie::{BadNodeReason, Witness, WitnessError};

/// A reference to a node that nobody has.
fn unknown(seed: u8) -> RlpNode {
    RlpNode::word_rlp(&B256::repeat_byte(seed))
}

/// The leaf of an account with 63 nibbles left, as below a root branch.
fn account_leaf(nonce: u64) -> Bytes {
    leaf(&nibbles(&[0; 63]), &rlp(TrieAccount { nonce, ..TrieAccount::default() }))
}

/// A state trie with a good account at nibble 1 and `node` at nibble 2.
fn state_with(node: &[u8]) -> (B256, Vec<Bytes>) {
    let good = account_leaf(1);
    let child = RlpNode::word_rlp(&keccak256(node));
    let root = branch(&[(1, reference(&good)), (2, child)]);
    (keccak256(&root), vec![root, good, Bytes::copy_from_slice(node)])
}

/// What `verify` says about a state with this node at nibble 2.
fn verify_with(node: &[u8]) -> Result<(), WitnessError> {
    let (root, nodes) = state_with(node);
    Witness::new(nodes).verify(root).map(drop)
}

/// That error, for the node itself.
fn bad(node: &[u8], reason: BadNodeReason) -> Result<(), WitnessError> {
    Err(WitnessError::BadNode { hash: keccak256(node), account: None, path: nibbles(&[2]), reason })
}

/// Nodes that are malformed whatever the trie around them, by the reason.
fn malformed() -> Vec<(Bytes, BadNodeReason)> {
    let hash = |seed| unknown(seed).to_vec();
    let path = |first: u8, rest: usize| rlp(&[&[first][..], &vec![0; rest]].concat()[..]);
    let value = rlp(&rlp(TrieAccount::default())[..]);
    let empty = || vec![EMPTY_STRING_CODE];
    let branch_of = |children: Vec<Vec<u8>>, last: Vec<u8>| {
        let mut items = children;
        items.resize(16, empty());
        items.push(last);
        list(&items)
    };
    let long_inlined = list(&[path(0x20, 1), vec![0x9e; 1], rlp(&[1; 28][..])]).to_vec();
    assert_eq!(long_inlined.len(), 34);
    let mut padded_header = vec![0xf9, 0, 0];
    padded_header.extend_from_slice(&account_leaf(1)[2..]);
    vec![
        (Bytes::from([0x81, 0x01].repeat(20)), BadNodeReason::Rlp),
        (rlp(&[7; 40][..]).into(), BadNodeReason::NotAList),
        (padded_header.into(), BadNodeReason::Rlp),
        (account_leaf(1).slice(..account_leaf(1).len() - 1), BadNodeReason::Rlp),
        ([&account_leaf(1)[..], &[0]].concat().into(), BadNodeReason::TrailingBytes),
        (vec![0xc0; 533].into(), BadNodeReason::TooLong),
        (list(&[hash(1)]), BadNodeReason::ItemCount),
        (list(&[hash(1), hash(2), hash(3)]), BadNodeReason::ItemCount),
        (list(&vec![vec![1]; 40]), BadNodeReason::ItemCount),
        (list(&vec![hash(1); 16]), BadNodeReason::ItemCount),
        (branch_of(vec![hash(1), hash(2)], vec![5]), BadNodeReason::BranchValue),
        (branch_of(vec![hash(1)], empty()), BadNodeReason::FewChildren { children: 1 }),
        (branch_of(vec![hash(1), vec![5]], empty()), BadNodeReason::ChildReference),
        (branch_of(vec![hash(1), rlp(&[5; 31][..])], empty()), BadNodeReason::ChildReference),
        (branch_of(vec![hash(1), rlp(&[5; 33][..])], empty()), BadNodeReason::ChildReference),
        (branch_of(vec![hash(1), long_inlined], empty()), BadNodeReason::InlinedTooLong { length: 34 }),
        (list(&[empty(), value.clone()]), BadNodeReason::PathFlag),
        (list(&[path(0x40, 31), value.clone()]), BadNodeReason::PathFlag),
        (list(&[path(0xf0, 31), value.clone()]), BadNodeReason::PathFlag),
        (list(&[path(0x2a, 31), value.clone()]), BadNodeReason::PathPadding),
        (list(&[path(0x0a, 31), hash(1)]), BadNodeReason::PathPadding),
        (list(&[path(0x20, 33), value.clone()]), BadNodeReason::PathTooLong),
        (list(&[path(0x30, 32), value.clone()]), BadNodeReason::PathTooLong),
        (list(&[vec![0xc1, 0x20], value.clone()]), BadNodeReason::Rlp),
        (list(&[vec![0x81, 0x20], value.clone()]), BadNodeReason::Rlp),
        (list(&[vec![0], hash(1)]), BadNodeReason::EmptyExtension),
        (list(&[path(0x00, 31), empty()]), BadNodeReason::ChildReference),
        (list(&[path(0x00, 31), vec![5]]), BadNodeReason::ChildReference),
        (list(&[path(0x30, 31), empty()]), BadNodeReason::EmptyLeaf),
        (list(&[path(0x30, 31), vec![0xc1, 5]]), BadNodeReason::Rlp),
    ]
}

/// T3: a malformed node below the state root fails the block though no read meets it.
#[test]
fn a_malformed_reachable_node_fails_the_state() {
    for (node, reason) in malformed() {
        assert_eq!(verify_with(&node), bad(&node, reason), "{node}");
    }
}

/// T1: the same nodes do no harm where nothing refers to them.
#[test]
fn unreachable_bytes_are_tolerated() {
    let (root, nodes) = state_with(&account_leaf(2));
    let mut junk: Vec<_> = malformed().into_iter().map(|(node, _)| node).collect();
    junk.extend([Bytes::new(), vec![0x81, 0x99].into(), vec![0xff; 1 << 20].into()]);
    junk.extend(nodes.iter().cloned());
    junk.extend(nodes.into_iter().rev());
    junk.push(account_leaf(3));
    let witness = Witness::new(junk).verify(root).unwrap();
    assert_eq!(witness.account_by_hash(key("2", "")).unwrap().unwrap().nonce, 2);
    assert_eq!(witness.account_by_hash(key("3", "")).unwrap(), None);
}

/// T3, T5: a malformed node below a storage root matters to those who read that storage.
#[test]
fn a_malformed_storage_node_fails_its_storage() {
    for (node, reason) in malformed() {
        let child = RlpNode::word_rlp(&keccak256(&node));
        let good = leaf(&nibbles(&[0; 63]), &long_slot(1));
        let root = branch(&[(1, reference(&good)), (2, child)]);
        let witness = storage_witness(keccak256(&root), [root, good, node.clone()]).unwrap();
        assert!(witness.account_by_hash(ACCOUNT).unwrap().is_some());
        let account = Some(ACCOUNT);
        let error = WitnessError::BadNode { hash: keccak256(&node), account, path: nibbles(&[2]), reason };
        // Whoever comes, and however often, and for whatever slot.
        for _ in 0..2 {
            assert_eq!(storage_trie(&witness).unwrap_err(), error);
        }
    }
}

/// Nodes that are well-formed, but not where they stand.
#[test]
fn a_node_in_the_wrong_place_fails_the_state() {
    let hashed = |node: &[u8]| RlpNode::word_rlp(&keccak256(node));
    // Keys of 63 and 65 nibbles, beside a good one of 64.
    for length in [62, 64] {
        let account = rlp(TrieAccount::default());
        let node = leaf(&nibbles(&vec![0; length]), &account);
        let root = branch(&[(1, reference(&account_leaf(1))), (2, hashed(&node))]);
        let error = match length {
            62 => BadNodeReason::UnevenKeys,
            _ => BadNodeReason::KeysTooLong,
        };
        let result = Witness::new(vec![root.clone(), account_leaf(1), node]).verify(keccak256(&root));
        assert_eq!(
            result.unwrap_err(),
            WitnessError::BadNode {
                hash: keccak256(&root),
                account: None,
                path: Nibbles::new(),
                reason: error
            }
        );
    }
    // A whole trie of keys that are too short.
    let short = leaf(&nibbles(&[0; 62]), &rlp(TrieAccount::default()));
    let result = Witness::new(vec![short.clone()]).verify(keccak256(&short));
    assert!(matches!(
        result,
        Err(WitnessError::BadNode { reason: BadNodeReason::KeyLength { nibbles: 62 }, .. })
    ));
    // Two extensions in a row, and an extension to a leaf; hashed and inlined.
    let inner = extension(&nibbles(&[1]), &unknown(1));
    let lone = leaf(&nibbles(&[0; 61]), &rlp(TrieAccount::default()));
    for child in [inner, lone] {
        let outer = extension(&nibbles(&[7, 8]), &hashed(&child));
        let root = branch(&[(1, reference(&account_leaf(1))), (2, hashed(&outer))]);
        let result = Witness::new(vec![root.clone(), child.clone(), outer]).verify(keccak256(&root));
        assert_eq!(
            result.unwrap_err(),
            WitnessError::BadNode {
                hash: keccak256(&child),
                account: None,
                path: nibbles(&[2, 7, 8]),
                reason: BadNodeReason::ExtensionChild
            }
        );
    }
    let inlined = leaf(&nibbles(&[1]), &[5]);
    let outer = extension(&nibbles(&[0; 62]), &inlined);
    let no_node = branch(&[(0, unknown(1)), (9, RlpNode::from_raw(&[0xc0]).unwrap())]);
    // The path is that of the inlined node, the hash that of the node around it.
    for (node, path, reason) in
        [(outer, &[0; 62][..], BadNodeReason::ExtensionChild), (no_node, &[9][..], BadNodeReason::ItemCount)]
    {
        assert_eq!(
            verify_with(&node),
            Err(WitnessError::BadNode {
                hash: keccak256(&node),
                account: None,
                path: nibbles(&[&[2], path].concat()),
                reason
            })
        );
    }
}

/// A node below 32 bytes has no hash of its own, unless it is a root.
#[test]
fn short_nodes_are_inlined() {
    let short = leaf(&nibbles(&[1]), &[5]);
    let length = u16::try_from(short.len()).unwrap();
    assert_eq!(verify_with(&short), bad(&short, BadNodeReason::HashedTooShort { length }));
    // The encoding of the empty trie is no node, either, except that its root needs none.
    let empty = [EMPTY_STRING_CODE];
    assert_eq!(verify_with(&empty), bad(&empty, BadNodeReason::HashedTooShort { length: 1 }));
    assert!(Witness::new(vec![]).verify(EMPTY).is_ok());
    assert!(Witness::new(vec![empty.to_vec().into()]).verify(EMPTY).is_ok());
    // A short root is looked at as such.
    let result = Witness::new(vec![short.clone()]).verify(keccak256(&short));
    assert!(matches!(result, Err(WitnessError::BadNode { reason: BadNodeReason::Account, .. })));
}

/// What an account leaf may not hold.
#[test]
fn accounts_are_four_canonical_fields() {
    let root_and_code = [rlp(EMPTY), rlp(B256::ZERO)];
    let [storage, code] = &root_and_code;
    let one = vec![1];
    let zero = vec![EMPTY_STRING_CODE];
    let nonce = |nonce: &[u8]| list(&[nonce, &one, storage, code]);
    assert_eq!(verify_with(&leaf(&nibbles(&[0; 63]), &nonce(&zero))), Ok(()));
    let wide = rlp(U256::from(u64::MAX) + U256::from(1));
    for account in [
        list(&[&one[..], &one, storage]),
        list(&[&one[..], &one, storage, code, &one]),
        nonce(&[0]),
        nonce(&[0x81, 1]),
        nonce(&[0x82, 0, 1]),
        nonce(&[0xc1, 1]),
        nonce(&wide),
        list(&[&one[..], &rlp(&[1; 33][..]), storage, code]),
        list(&[&one[..], &[0x82, 0, 1], storage, code]),
        list(&[&one[..], &one, &rlp(&[1; 31][..]), code]),
        list(&[&one[..], &one, storage, &rlp(&[1; 33][..])]),
        list(&[&one[..], &one, storage, &zero]),
        [&nonce(&one)[..], &[0]].concat().into(),
        vec![1; 70].into(),
    ] {
        let node = leaf(&nibbles(&[0; 63]), &account);
        assert_eq!(verify_with(&node), bad(&node, BadNodeReason::Account), "{account}");
    }
}

/// N1: ways down go through storage tries that may be no tries at all.
#[test]
fn whatever_is_brought_near_says_the_same() {
    // More than go together.
    let firsts = [B256::ZERO, B256::repeat_byte(0x11), B256::repeat_byte(0x12), B256::repeat_byte(0xff)];
    let slots = firsts.repeat(10);
    // Deeper than any key is long.
    let deep = |parent: &dyn Fn(RlpNode) -> Bytes| {
        let mut nodes = vec![leaf(&nibbles(&[0; 63]), &long_slot(1))];
        for _ in 0..200 {
            nodes.push(parent(reference(nodes.last().unwrap())));
        }
        nodes
    };
    let mut tries = vec![
        deep(&|child| extension(&nibbles(&[1]), &child)),
        deep(&|child| extension(&nibbles(&[1; 60]), &child)),
        deep(&|child| branch(&[(1, child.clone()), (2, child)])),
        deep(&|child| branch(&[(1, child), (2, unknown(1))])),
        vec![account_leaf(1)],
        vec![leaf(&nibbles(&[1; 64]), &long_slot(1))],
        vec![branch(&[(1, unknown(1)), (2, unknown(2))])],
        vec![vec![7; 31].into()],
    ];
    tries.extend(malformed().into_iter().map(|(node, _)| {
        let child = RlpNode::word_rlp(&keccak256(&node));
        vec![node, branch(&[(1, child.clone()), (2, child)])]
    }));
    for nodes in tries {
        let root = keccak256(nodes.last().unwrap());
        let one = storage_witness(root, nodes.iter().cloned().chain(filling())).unwrap();
        let other = storage_witness(root, nodes).unwrap();
        let keys = [(&ACCOUNT, &slots[..]), (&B256::ZERO, &slots[..]), (&ACCOUNT, &[])];
        one.bring_near(keys.repeat(13));
        assert_eq!(one.account_by_hash(ACCOUNT), other.account_by_hash(ACCOUNT));
        match (storage_trie(&one), storage_trie(&other)) {
            (Ok(one), Ok(other)) => slots.iter().for_each(|key| assert_eq!(one.get(*key), other.get(*key))),
            (one, other) => assert_eq!(one.unwrap_err(), other.unwrap_err()),
        }
    }
}

/// What a storage leaf may not hold.
#[test]
fn slots_are_canonical_integers_but_zero() {
    for (value, reason) in [
        (vec![EMPTY_STRING_CODE], BadNodeReason::ZeroSlot),
        (vec![0], BadNodeReason::Slot),
        (vec![0x81, 5], BadNodeReason::Slot),
        (vec![0x82, 0, 5], BadNodeReason::Slot),
        (rlp(&[1; 33][..]), BadNodeReason::Slot),
        (vec![0xc1, 5], BadNodeReason::Slot),
        (vec![5, 5], BadNodeReason::Slot),
    ] {
        let root = leaf(&nibbles(&[0; 64]), &value);
        let witness = storage_witness(keccak256(&root), [root.clone()]).unwrap();
        match storage_trie(&witness) {
            Err(WitnessError::BadNode { hash, reason: found, .. }) => {
                assert_eq!((hash, found), (keccak256(&root), reason));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The root itself must be there.
#[test]
fn a_missing_root_is_named() {
    let (root, nodes) = state_with(&account_leaf(2));
    let others: Vec<_> = nodes[1..].iter().chain(&nodes[1..]).cloned().collect();
    let error = Witness::new(others).verify(root).unwrap_err();
    assert_eq!(error, WitnessError::RootMissing { pre_state_root: root, received: 2 });
    let witness = storage_witness(root, []).unwrap();
    let account = Some(ACCOUNT);
    assert_eq!(
        storage_trie(&witness).unwrap_err(),
        WitnessError::MissingNode { hash: root, account, path: Nibbles::new() }
    );
}

/// T1, T2: with a byte flipped or a node left out, a read is right or fails, never wrong.
#[test]
fn damage_never_changes_an_answer() {
    let leaves: Leaves = (0..40u8).map(|index| (keccak256([index]), rlp(index + 1).into())).collect();
    let full = FullTrie::new(leaves.clone());
    let nodes: Vec<_> = full.nodes.values().cloned().collect();
    for place in 0..nodes.len() {
        for byte in (0..nodes[place].len()).step_by(7).map(Some).chain([None]) {
            let mut damaged = nodes.clone();
            match byte {
                None => drop(damaged.remove(place)),
                Some(byte) => {
                    let mut node = damaged[place].to_vec();
                    node[byte] ^= 1 << (byte % 8);
                    damaged[place] = node.into();
                }
            }
            let lost = keccak256(&nodes[place]);
            let witness = storage_witness(full.root, damaged).unwrap();
            let is_lost = |error: &WitnessError| matches!(error, WitnessError::MissingNode { hash, .. } if *hash == lost);
            let trie = match storage_trie(&witness) {
                Ok(trie) => trie,
                Err(error) => {
                    assert!(is_lost(&error) && lost == full.root);
                    continue;
                }
            };
            let mut failed = 0;
            for (key, value) in &leaves {
                match trie.get(*key) {
                    Ok(found) => assert_eq!(found, Some(&value[..])),
                    Err(error) => {
                        assert!(is_lost(&error), "{error}");
                        failed += 1;
                    }
                }
            }
            assert!(failed > 0);
        }
    }
}

/// T4: sixteen times the same child, level upon level. This is a valid trie, of 16^64 keys.
#[test]
fn sixteen_to_the_sixty_four_keys() {
    let grow = |bottom: Bytes| {
        let mut nodes = vec![bottom];
        for _ in 0..64 {
            let child = reference(nodes.last().unwrap());
            nodes.push(branch(&std::array::from_fn::<_, 16, _>(|nibble| (nibble, child.clone()))));
        }
        nodes
    };
    let account = TrieAccount { nonce: 7, ..TrieAccount::default() };
    let nodes = grow(leaf(&Nibbles::new(), &rlp(account)));
    let root = keccak256(nodes.last().unwrap());
    let witness = Witness::new(nodes).verify(root).unwrap();
    assert_eq!(witness.account_by_hash(B256::repeat_byte(0x5a)).unwrap(), Some(account));

    let nodes = grow(leaf(&Nibbles::new(), &long_slot(3)));
    let root = keccak256(nodes.last().unwrap());
    let witness = storage_witness(root, nodes.clone()).unwrap();
    let mut trie = storage_trie(&witness).unwrap();
    assert_eq!(trie.get(B256::repeat_byte(0xa5)).unwrap(), Some(&long_slot(3)[..]));
    trie.remove(B256::repeat_byte(0xa5)).unwrap();
    assert_eq!(trie.get(B256::repeat_byte(0xa5)).unwrap(), None);
    assert_eq!(trie.get(B256::repeat_byte(0xa6)).unwrap(), Some(&long_slot(3)[..]));

    // One level more or less is no trie.
    for levels in [63, 65] {
        let mut nodes = nodes[..nodes.len().min(levels + 1)].to_vec();
        if levels == 65 {
            let child = reference(nodes.last().unwrap());
            nodes.push(branch(&[(0, child.clone()), (1, child)]));
        }
        let witness = storage_witness(keccak256(nodes.last().unwrap()), nodes).unwrap();
        let Err(WitnessError::BadNode { reason, .. }) = storage_trie(&witness) else { panic!() };
        match levels {
            63 => assert_eq!(reason, BadNodeReason::KeyLength { nibbles: 63 }),
            _ => assert_eq!(reason, BadNodeReason::KeysTooLong),
        }
    }
}

/// T4: a chain of nodes far longer than any key is seen through without deep recursion.
#[test]
fn depth_bombs_fall_flat() {
    let branches = |child: RlpNode| branch(&[(0, child.clone()), (15, child)]);
    let extended = |child: RlpNode| {
        let inner = branch(&[(3, child.clone()), (4, child)]);
        extension(&nibbles(&[5]), &reference(&inner))
    };
    let mut chains = vec![];
    let mut nodes = vec![branches(unknown(1))];
    for _ in 0..50_000 {
        nodes.push(branches(reference(nodes.last().unwrap())));
    }
    chains.push((nodes, BadNodeReason::KeysTooLong));
    let mut nodes = vec![extension(&nibbles(&[1]), &unknown(1))];
    for _ in 0..50_000 {
        nodes.push(extension(&nibbles(&[1]), &reference(nodes.last().unwrap())));
    }
    chains.push((nodes, BadNodeReason::ExtensionChild));
    let mut nodes = vec![extended(unknown(1))];
    for _ in 0..50_000 {
        let child = reference(nodes.last().unwrap());
        nodes.push(branch(&[(3, child.clone()), (4, child.clone())]));
        nodes.push(extended(child));
    }
    chains.push((nodes, BadNodeReason::KeysTooLong));
    for (nodes, expected) in chains {
        let root = keccak256(nodes.last().unwrap());
        let error = Witness::new(nodes).verify(root).unwrap_err();
        let WitnessError::BadNode { reason, .. } = error else { panic!("{error}") };
        assert_eq!(reason, expected);
    }
}

/// A path that the supplied nodes take up entirely, and more than entirely.
#[test]
fn blinded_nodes_need_room() {
    // 63 nibbles, a branch, and blinded leaves without a path: fits. A blinded
    // branch below 64 nibbles does not.
    for (length, fits) in [(63, true), (64, false)] {
        let node = extension(&nibbles(&vec![0; length]), &unknown(1));
        let witness = storage_witness(keccak256(&node), [node]).unwrap();
        assert_eq!(storage_trie(&witness).is_ok(), fits);
    }
}

/// Entries that cannot be nodes with a hash of their own are told from absent ones, as roots and as children.
#[test]
fn strays_are_no_nodes() {
    let long = Bytes::from(vec![0xc0; 600]);
    let root = keccak256(&long);
    let error = WitnessError::BadNode {
        hash: root,
        account: None,
        path: Nibbles::new(),
        reason: BadNodeReason::TooLong,
    };
    assert_eq!(Witness::new(vec![long.clone()]).verify(root).unwrap_err(), error);
    // Thousands of them, in an account's storage and among the nodes, change nothing.
    let (root, mut nodes) = state_with(&account_leaf(2));
    nodes.extend((0..10_000u32).map(|number| Bytes::from(number.to_be_bytes().to_vec())));
    nodes.extend((0..5_000u32).map(|_| Bytes::from(vec![7; 3])));
    let witness = Witness::new(nodes.clone()).verify(root).unwrap();
    assert_eq!(witness.account_by_hash(key("2", "")).unwrap().unwrap().nonce, 2);
    let error = Witness::new(nodes[1..].to_vec()).verify(root).unwrap_err();
    assert_eq!(error, WitnessError::RootMissing { pre_state_root: root, received: 2 + 10_000 + 1 });
    // As the root of a storage trie.
    let short = leaf(&nibbles(&[1]), &[5]);
    let witness = storage_witness(keccak256(&short), [short.clone()]).unwrap();
    let Err(WitnessError::BadNode { account: Some(ACCOUNT), reason, .. }) = storage_trie(&witness) else {
        panic!("a leaf of one nibble is no trie")
    };
    assert_eq!(reason, BadNodeReason::KeyLength { nibbles: 1 });
}

/// The root of a storage trie that no account in the witness has is checked all the same.
#[test]
fn foreign_storage_roots_are_checked() {
    let good = leaf(&nibbles(&[0; 64]), &long_slot(1));
    let bad = leaf(&nibbles(&[0; 64]), &[0x80]);
    let witness = storage_witness(EMPTY, [good.clone(), bad.clone()]).unwrap();
    let trie = witness.storage_trie(ACCOUNT, keccak256(&good)).unwrap();
    assert_eq!(trie.get(B256::ZERO).unwrap(), Some(&long_slot(1)[..]));
    for _ in 0..2 {
        let error = witness.storage_trie(ACCOUNT, keccak256(&bad)).unwrap_err();
        assert!(matches!(error, WitnessError::BadNode { reason: BadNodeReason::ZeroSlot, .. }), "{error}");
    }
}
