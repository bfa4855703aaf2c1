//! How changed nodes are encoded.
//!
//! Of a branch that still has the children it had, and only some of them other than before, the old
//! bytes are copied and the hashes of those replaced. That is nearly every branch that changes.

use crate::{
    arena::{Arena, Branch, Child, Node, Origin, Place, Reference},
    encoded::{ChildRef, HASH_CODE, NodeRef},
    key::nibble,
    shape::Kind,
};
use alloy_primitives::B256;
use alloy_rlp::{EMPTY_STRING_CODE, Encodable, Header};

impl Arena<'_> {
    /// Appends the RLP of the changed node at an index, all of whose changed children are hashed.
    pub(crate) fn encode(&self, index: usize, out: &mut Vec<u8>) {
        match &self.nodes[index] {
            Node::Branch(branch) => match self.origin_to_patch(branch) {
                Some(origin) => {
                    let start = out.len();
                    out.extend_from_slice(self.store().bytes(origin.place()));
                    self.patch(branch, origin, &mut out[start..]);
                }
                None => self.encode_branch(branch, out),
            },
            Node::Extension { key, start, end, child } => {
                let mut path = [0; 33];
                let path = hex_prefix(key, usize::from(*start), usize::from(*end), 0, &mut path);
                let payload_length = path.length() + self.child_length(*child);
                Header { list: true, payload_length }.encode(out);
                path.encode(out);
                self.encode_child(*child, out);
            }
            Node::Leaf { key, start, end, value } => {
                let value = self.values.get(*value);
                encode_leaf_head(key, (*start, *end), value, out);
                out.extend_from_slice(value);
            }
        }
    }

    /// The branch of which this one differs in hashes alone, if there is one.
    pub(crate) fn origin_to_patch(&self, branch: &Branch) -> Option<Origin> {
        let origin = branch.origin?;
        let shape = self.store().shape(origin.place());
        let is_like_it = shape.kind == Kind::Branch && branch.present == shape.children;
        let has_hashes = |child: &Child| self.hash_of(*child).is_some();
        (is_like_it && self.fresh(branch).iter().all(has_hashes)).then_some(origin)
    }

    /// Makes the RLP of the branch that it was that of a branch.
    pub(crate) fn patch(&self, branch: &Branch, origin: Origin, bytes: &mut [u8]) {
        let shape = self.store().shape(origin.place());
        let mut fresh = branch.fresh;
        for child in self.fresh(branch) {
            let start = shape.hash_start(fresh.trailing_zeros() as usize);
            let hash = self.hash_of(*child).expect("only branches whose children have hashes are patched");
            bytes[start..start + 32].copy_from_slice(hash.as_slice());
            fresh &= fresh - 1;
        }
    }

    /// Appends the RLP of a branch: sixteen references and the empty value.
    fn encode_branch(&self, branch: &Branch, out: &mut Vec<u8>) {
        // An item takes at most 33 bytes; the header is written when the length is known.
        let mut items = [0; 16 * 33 + 1];
        let mut length = 0;
        for nibble in 0..16 {
            let item = &mut items[length..];
            length += match self.place(branch, nibble) {
                Place::Kept => put(item, self.kept_item(branch, nibble)),
                place @ (Place::None | Place::Changed(_) | Place::Supplied(_) | Place::Loose(_)) => {
                    self.put_child(place, item)
                }
            };
        }
        items[length] = EMPTY_STRING_CODE;
        Header { list: true, payload_length: length + 1 }.encode(out);
        out.extend_from_slice(&items[..=length]);
    }

    /// What the origin of a branch has for one nibble, as it is encoded.
    fn kept_item(&self, branch: &Branch, nibble: usize) -> &[u8] {
        let origin = branch.origin.expect("what is kept has an origin");
        let store = self.store();
        let (shape, bytes) = (store.shape(origin.place()), store.bytes(origin.place()));
        if shape.kind == Kind::Branch {
            let start = shape.hash_start(nibble);
            return &bytes[start - 1..start + 32];
        }
        match NodeRef::decode(bytes) {
            Ok(NodeRef::Branch(branch)) => branch.item(nibble),
            _ => unreachable!("the origin is a branch"),
        }
    }

    /// The hash of a child, unless it is inlined.
    fn hash_of(&self, child: Child) -> Option<&B256> {
        let reference = match child.place() {
            Place::Changed(index) => &self.references[index],
            Place::Loose(index) => &self.loose[index],
            Place::Supplied(place) => return Some(self.store().hash(place)),
            Place::None | Place::Kept => return None,
        };
        match reference.read() {
            ChildRef::Hash(hash) => Some(hash),
            ChildRef::Inlined(_) => None,
        }
    }

    /// Writes what a parent writes for a child that is not kept, and gives its length.
    fn put_child(&self, place: Place, out: &mut [u8]) -> usize {
        let reference = match place {
            Place::None | Place::Kept => return put(out, &[EMPTY_STRING_CODE]),
            Place::Changed(index) => self.references[index],
            Place::Loose(index) => self.loose[index],
            Place::Supplied(place) => Reference::hashed(self.store().hash(place)),
        };
        match reference.read() {
            ChildRef::Inlined(node) => put(out, node),
            ChildRef::Hash(hash) => {
                out[0] = HASH_CODE;
                1 + put(&mut out[1..], hash.as_slice())
            }
        }
    }

    /// Appends what a parent writes for a child that is not kept.
    fn encode_child(&self, child: Child, out: &mut Vec<u8>) {
        let mut item = [0; 33];
        let length = self.put_child(child.place(), &mut item);
        out.extend_from_slice(&item[..length]);
    }

    /// The length of what a parent writes for a child that is not kept.
    fn child_length(&self, child: Child) -> usize {
        self.put_child(child.place(), &mut [0; 33])
    }
}

/// Copies bytes to the start of others, and gives their number.
fn put(out: &mut [u8], bytes: &[u8]) -> usize {
    out[..bytes.len()].copy_from_slice(bytes);
    bytes.len()
}

/// Appends all of a leaf but the bytes of its value: its path goes from one depth of its key to the other.
pub(crate) fn encode_leaf_head(key: &B256, (start, end): (u8, u8), value: &[u8], out: &mut Vec<u8>) {
    let mut path = [0; 33];
    let path = hex_prefix(key, usize::from(start), usize::from(end), 2, &mut path);
    Header { list: true, payload_length: path.length() + value.length() }.encode(out);
    path.encode(out);
    // A byte that is an item by itself has no header.
    if !matches!(value, [..EMPTY_STRING_CODE]) {
        Header { list: false, payload_length: value.len() }.encode(out);
    }
}

/// The hex-prefix encoding of the nibbles of a key from `start` to `end`. `flag` is two for a leaf.
fn hex_prefix<'o>(key: &B256, start: usize, end: usize, flag: u8, out: &'o mut [u8; 33]) -> &'o [u8] {
    let is_odd = !(end - start).is_multiple_of(2);
    let length = 1 + (end - start) / 2;
    let small = |nibble: usize| u8::try_from(nibble).expect("a nibble is less than sixteen");
    out[0] = if is_odd { (flag | 1) << 4 | small(nibble(key, start)) } else { flag << 4 };
    let first = start + usize::from(is_odd);
    if end.is_multiple_of(2) {
        // The whole bytes lie as in the key.
        out[1..length].copy_from_slice(&key[first / 2..end / 2]);
    } else {
        for (byte, place) in out[1..length].iter_mut().zip((first..end).step_by(2)) {
            *byte = small(nibble(key, place) << 4 | nibble(key, place + 1));
        }
    }
    &out[..length]
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::keccak256;
    use alloy_trie::{Nibbles, nodes::encode_path_leaf};

    /// All stretches of a key, as leaves and as extensions.
    #[test]
    fn paths_are_hex_prefix_encoded() {
        let key = keccak256("key");
        for start in 0..=64 {
            for end in start..=64 {
                for (flag, is_leaf) in [(0, false), (2, true)] {
                    let expected = encode_path_leaf(&Nibbles::unpack(key).slice(start..end), is_leaf);
                    assert_eq!(hex_prefix(&key, start, end, flag, &mut [0; 33]), &expected[..]);
                }
            }
        }
    }
}
