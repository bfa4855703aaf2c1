//! Hostile input: always a verdict or an error, the same from every engine and thread count.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use alloy_consensus::{Header, SignableTransaction, TxLegacy, proofs};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{B256, Signature, U256};
use alloy_rlp::Decodable;
use revm::primitives::hardfork::SpecId;
use weft_engine::error::{BlockError, Commitment, ExecuteError, HeaderError, WitnessError};
use weft_engine::execute::wire::{self, DialectChoice, StatelessInput};
use weft_engine::execute::{self, BlockWitness, ExecuteInput, InputError, Options, ReadOptions, Verdict};
use weft_engine::{Chain, SignedTransaction};
use weft_tests::{cases, folder, judge_all, matrix, read};

/// A small generator (`SplitMix64`: Steele, Lea, Flood, OOPSLA 2014), so that a failure is one seed.
struct Random(u64);

impl Random {
    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((word ^ (word >> 31)) % end as u64).unwrap()
    }
}

/// The bytes of the smallest valid input with transfers, if there is data.
fn sample() -> Option<Vec<u8>> {
    let cases = cases("zkevm-v21");
    let data = !cases.is_empty();
    let valid = cases
        .into_iter()
        .filter(|case| case.name.starts_with("scenario/transfers") && case.output[32] == 1)
        .map(|case| case.input)
        .min_by_key(Vec::len);
    assert!(valid.is_some() || !data, "no case fits");
    valid
}

/// Judges bytes on all engines; `None` if they do not decode.
fn judge(name: &str, bytes: Vec<u8>, matrix: &[Options]) -> Option<Verdict> {
    let input = ExecuteInput::read(bytes.into(), &ReadOptions::default()).ok()?;
    Some(judge_all(name, matrix, |options| execute::run(&input, options)))
}

/// Judges an input on all engines.
fn judge_input(name: &str, input: &StatelessInput, matrix: &[Options]) -> Verdict {
    judge(name, wire::encode(input).unwrap(), matrix).expect("what was encoded decodes")
}

#[test]
fn truncations_at_every_length() {
    let Some(bytes) = sample() else { return };
    let matrix = matrix();
    for length in 0..bytes.len() {
        let verdict = judge(&format!("{length} bytes"), bytes[..length].to_vec(), &matrix);
        assert!(verdict.is_none_or(|verdict| !verdict.valid()), "{length} bytes are valid");
    }
}

#[test]
fn ten_thousand_flipped_bytes() {
    let Some(bytes) = sample() else { return };
    let matrix = [0, 2, 6].map(|index| matrix()[index].clone());
    let expected = wire::decode(&bytes, DialectChoice::Current).unwrap().new_payload_request_root;
    let mut random = Random(1);
    for round in 0..10_000 {
        let mut flipped = bytes.clone();
        let at = random.below(flipped.len());
        flipped[at] ^= u8::try_from(1 + random.below(255)).unwrap();
        let verdict = judge(&format!("round {round}, byte {at}"), flipped, &matrix);
        // What the request root does not cover is the witness, of which some may not be needed.
        let root =
            verdict.filter(Verdict::valid).and_then(|verdict| verdict.output).map(|output| output.root);
        assert!(root.is_none_or(|root| root == expected), "round {round}, byte {at} is valid");
    }
}

#[test]
fn wrong_schema_ids() {
    let Some(bytes) = sample() else { return };
    for id in (0..=u16::MAX).filter(|&id| id != 0x1501) {
        let mut wrong = bytes.clone();
        wrong[..2].copy_from_slice(&id.to_be_bytes());
        assert!(wire::decode(&wrong, DialectChoice::Current).is_err(), "{id:#06x}");
    }
}

#[test]
fn witness_nodes_dropped_altered_duplicated_shuffled() {
    let Some(bytes) = sample() else { return };
    let matrix = matrix();
    let input = wire::decode(&bytes, DialectChoice::Current).unwrap();
    assert!(judge_input("as it is", &input, &matrix).valid());
    let mut random = Random(2);
    for index in 0..input.witness.state.len() {
        let mut dropped = input.clone();
        dropped.witness.state.remove(index);
        let verdict = judge_input(&format!("without node {index}"), &dropped, &matrix);
        assert!(!verdict.valid(), "node {index} is not needed");

        let mut altered = input.clone();
        let mut node = altered.witness.state[index].to_vec();
        let at = random.below(node.len());
        node[at] ^= 1;
        altered.witness.state[index] = node.into();
        assert!(!judge_input(&format!("node {index} altered"), &altered, &matrix).valid());

        let mut duplicated = input.clone();
        let node = duplicated.witness.state[index].clone();
        duplicated.witness.state.push(node);
        assert!(judge_input(&format!("node {index} twice"), &duplicated, &matrix).valid());
    }
    let mut shuffled = input.clone();
    for index in (1..shuffled.witness.state.len()).rev() {
        shuffled.witness.state.swap(index, random.below(index + 1));
    }
    assert!(judge_input("shuffled", &shuffled, &matrix).valid());
}

#[test]
fn codes_and_headers_dropped() {
    let Some(bytes) = sample() else { return };
    let matrix = matrix();
    let input = wire::decode(&bytes, DialectChoice::Current).unwrap();
    let mut headless = input.clone();
    headless.witness.headers.clear();
    let verdict = judge_input("no headers", &headless, &matrix);
    assert_eq!(verdict.error.map(|error| error.blame()), Some("witness"));
    let mut foreign = input.clone();
    let mut parent = Header::decode(&mut foreign.witness.headers.last().unwrap().as_ref()).unwrap();
    parent.extra_data = vec![1].into();
    *foreign.witness.headers.last_mut().unwrap() = alloy_rlp::encode(parent).into();
    let error = judge_input("another parent", &foreign, &matrix).error;
    let expected = input.payload.parent_hash;
    assert!(
        matches!(error, Some(ExecuteError::Witness(WitnessError::ParentHash { expected: named, .. })) if named == expected),
        "{error:?}"
    );
    for index in 0..input.witness.codes.len() {
        let mut dropped = input.clone();
        dropped.witness.codes.remove(index);
        let verdict = judge_input(&format!("without code {index}"), &dropped, &matrix);
        assert_eq!(verdict.error.map(|error| error.blame()), Some("witness"), "code {index}");
    }
}

/// The block may be valid, but is not one of the chain that the caller has asked for.
#[test]
fn another_chain_than_the_one_asked_for_is_the_inputs_fault() {
    let Some(bytes) = sample() else { return };
    let input = wire::decode(&bytes, DialectChoice::Current).unwrap();
    let id = input.chain_id;
    let input = ExecuteInput::Stateless(Box::new(input));
    let matrix = matrix();
    let asked_for = |chain: Chain| {
        judge_all("a chain asked for", &matrix, |options| {
            execute::run(&input, &options.clone().with_expected_chain(chain.clone()))
        })
        .error
    };
    assert_eq!(asked_for(Chain::at_fork(id, EthereumHardfork::Amsterdam)), None);
    let other = InputError::ChainId { found: id, expected: id + 1 };
    assert_eq!(asked_for(Chain::at_fork(id + 1, EthereumHardfork::Amsterdam)), Some(other.into()));
    let earlier = InputError::Fork { found: SpecId::OSAKA, expected: SpecId::AMSTERDAM };
    assert_eq!(asked_for(Chain::at_fork(id, EthereumHardfork::Osaka)), Some(earlier.into()));
}

/// What is wrong with a block is found in no particular order, but reported in that of the specification.
#[test]
fn of_several_errors_the_first_counts() {
    let Some(folder) = folder("witness") else { return };
    let bytes = read(&folder.join("mainnet-23587691.json"));
    let mut input = ExecuteInput::read(bytes.into(), &ReadOptions::default()).unwrap();
    let matrix = matrix();
    // Each step makes one more thing wrong, which comes before all others.
    let mut error_after = |step: fn(&mut BlockWitness)| {
        let ExecuteInput::Witness(block) = &mut input else { panic!("it is a block with a witness") };
        step(block);
        judge_all("a block with errors", &matrix, |options| execute::run(&input, options)).error
    };
    assert_eq!(error_after(|_| ()), None);

    let execution = error_after(|input| input.witness.codes.clear());
    assert!(
        matches!(execution, Some(ExecuteError::Witness(WitnessError::CodeMissing { .. }))),
        "{execution:?}"
    );

    let signature = error_after(|input| {
        // There is no point whose x is five.
        let nobody = Signature::new(U256::from(5), U256::ONE, false);
        let transactions = &mut input.block.body.transactions;
        transactions.push(SignedTransaction::Legacy(TxLegacy::default().into_signed(nobody)));
        input.block.header.transactions_root = proofs::calculate_transaction_root(transactions);
    });
    assert!(
        matches!(signature, Some(ExecuteError::Block(BlockError::Signature { index: 1.. }))),
        "{signature:?}"
    );

    let header = error_after(|input| input.block.header.extra_data = vec![0; 33].into());
    let range = HeaderError::Range { field: "extra_data" };
    assert_eq!(header, Some(BlockError::Header(range).into()));

    let body = error_after(|input| input.block.header.transactions_root = B256::ZERO);
    let Some(ExecuteError::Block(BlockError::Commitment { field, .. })) = body else { panic!("{body:?}") };
    assert_eq!(field, Commitment::TransactionsRoot);

    let witness = error_after(|input| input.witness.state.clear());
    assert!(matches!(witness, Some(ExecuteError::Witness(WitnessError::Trie(_)))), "{witness:?}");
}
