//! Runs one test: every block statelessly, from a witness of the whole state, on every engine and thread count.

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes};
use alloy_rlp::Decodable;
use weft_engine::error::{ExecuteError, WitnessError};
use weft_engine::execute::wire::{Dialect, DialectChoice, StatelessOutput};
use weft_engine::execute::{self, BlockWitness, ExecuteInput, Options, ReadOptions, Verdict};
use weft_engine::{Block, Chain};

use super::fixture::{BlockJson, Fixture};
use crate::world::World;

/// How a test ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// All of it holds.
    Passed,
    /// It was not run, for this reason.
    Skipped(String),
    /// Something does not hold.
    Failed(String),
}

/// Headers that `BLOCKHASH` can reach.
const REACH: usize = 256;

/// Runs a test.
pub(super) fn run(fixture: &Fixture, matrix: &[Options]) -> Ending {
    let done = stateless(fixture, matrix).and_then(|judged| {
        // Those blocks were made with gas rules that no released EVM has.
        if judged.contains(&DialectChoice::Only(Dialect::V0_3_3)) {
            return Ok(Ending::Passed);
        }
        Ok(match chain_of_blocks(fixture, matrix)? {
            // Files of EXECUTE's inputs alone have no state.
            Some(reason) if judged.is_empty() => Ending::Skipped(reason),
            _ => Ending::Passed,
        })
    });
    done.unwrap_or_else(Ending::Failed)
}

/// Judges the test's inputs of EXECUTE; says in which dialects they are.
fn stateless(fixture: &Fixture, matrix: &[Options]) -> Result<Vec<DialectChoice>, String> {
    let mut judged = Vec::new();
    for (index, block) in fixture.blocks.iter().enumerate() {
        let BlockJson { stateless_input_bytes: Some(input), stateless_output_bytes: Some(expected), .. } =
            block
        else {
            continue;
        };
        let dialect = match expected.len() {
            41 => DialectChoice::Only(Dialect::V0_3_3),
            _ => DialectChoice::Current,
        };
        judged.push(dialect);
        let mut read_options = ReadOptions::default();
        read_options.dialect = dialect;
        let (found, error) = match ExecuteInput::read(input.clone(), &read_options) {
            Err(error) => (StatelessOutput::undecodable(dialect), Some(error.to_string())),
            Ok(input) => {
                let verdict = judge(&input, matrix).map_err(|error| format!("block {index}: {error}"))?;
                let output = verdict.output.map(|output| output.to_bytes()).unwrap_or_default();
                (output, verdict.error.map(|error| error.to_string()))
            }
        };
        if found != *expected {
            let error = error.unwrap_or_else(|| "judged valid".to_owned());
            return Err(format!("block {index}: EXECUTE gives {}: {error}", Bytes::from(found)));
        }
    }
    Ok(judged)
}

/// Judges on every engine and thread count; all must agree.
fn judge(input: &ExecuteInput, matrix: &[Options]) -> Result<Verdict, String> {
    let expected = execute::run(input, &matrix[0]);
    for options in &matrix[1..] {
        let found = execute::run(input, options);
        if found.error != expected.error
            || found.computed != expected.computed
            || found.output != expected.output
            || found.outcome != expected.outcome
        {
            let (threads, error, other) = (options.threads(), found.error, expected.error);
            return Err(format!("engines differ on {threads} threads: {error:?}, in order {other:?}"));
        }
    }
    Ok(expected)
}

/// Runs the test's blocks one after the other; says why if there is nothing to run.
fn chain_of_blocks(fixture: &Fixture, matrix: &[Options]) -> Result<Option<String>, String> {
    let (Some(genesis), Some(mut world)) = (&fixture.genesis_rlp, fixture.pre_state()) else {
        return Ok(Some("no genesis block".to_owned()));
    };
    let Some(chain) = fixture.chain() else {
        return Ok(Some(format!("network {} is not known", fixture.network())));
    };
    let genesis = Block::decode(&mut genesis.as_ref()).map_err(|error| format!("genesis: {error}"))?;
    let mut headers = vec![genesis.header];
    for (index, block) in fixture.blocks.iter().enumerate() {
        let Some(rlp) = &block.rlp else { return Ok(Some("blocks without RLP".to_owned())) };
        let verdict = run_block(rlp, &chain, &world, &headers, matrix)
            .map_err(|error| format!("block {index}: {error}"))?;
        match (verdict, &block.expect_exception) {
            (Ok((header, verdict)), None) => {
                let outcome = verdict.outcome.ok_or("a valid block without an outcome")?;
                world.apply(&outcome.changes);
                headers.push(header);
            }
            (Ok(_), Some(expected)) => return Err(format!("block {index} is valid, expected {expected}")),
            (Err(_), Some(_)) => {}
            (Err(error), None) => return Err(format!("block {index}: {error}")),
        }
    }
    check_end(fixture, &world, &headers)?;
    Ok(None)
}

/// A block's header with its verdict, or why it is rejected.
type Judged = Result<(Header, Verdict), String>;

/// Judges one block on the state before it.
fn run_block(
    rlp: &Bytes,
    chain: &Chain,
    world: &World,
    headers: &[Header],
    matrix: &[Options],
) -> Result<Judged, String> {
    let mut rest = rlp.as_ref();
    let block = match Block::decode(&mut rest) {
        Ok(block) if rest.is_empty() => block,
        Ok(_) => return Ok(Err("bytes behind the block".to_owned())),
        Err(error) => return Ok(Err(error.to_string())),
    };
    let (root, mut witness) = world.witness().map_err(|error| error.to_string())?;
    let expected = headers.last().map(|parent| parent.state_root);
    if expected != Some(root) {
        return Err(format!("the state before it has root {root}, its parent says {expected:?}"));
    }
    let reachable = &headers[headers.len().saturating_sub(REACH)..];
    witness.headers = reachable.iter().map(|header| alloy_rlp::encode(header).into()).collect();
    let header = block.header.clone();
    let input = ExecuteInput::Witness(Box::new(BlockWitness::new(chain.clone(), block, witness)));
    let verdict = judge(&input, matrix)?;
    match &verdict.error {
        None => Ok(Ok((header, verdict))),
        Some(ExecuteError::Block(error)) => Ok(Err(error.to_string())),
        // It names a parent that is not the last valid block.
        Some(ExecuteError::Witness(error @ WitnessError::ParentHash { .. })) => Ok(Err(error.to_string())),
        // The witness is the whole state, so what is missing is our fault.
        Some(error) => Err(error.to_string()),
    }
}

/// Compares the last valid block and its state with what the test says.
fn check_end(fixture: &Fixture, world: &World, headers: &[Header]) -> Result<(), String> {
    let last = headers.last().map(Header::hash_slow).unwrap_or_default();
    if fixture.last_block_hash.is_some_and(|expected| expected != last) {
        return Err(format!("last valid block {last}, expected {:?}", fixture.last_block_hash));
    }
    let root: Option<B256> = world.witness().ok().map(|(root, _)| root);
    if fixture.post_state_root.is_some() && fixture.post_state_root != root {
        return Err(format!("post-state root {root:?}, expected {:?}", fixture.post_state_root));
    }
    if fixture.post_state().is_some_and(|expected| expected != *world) {
        return Err("the post-state differs".to_owned());
    }
    Ok(())
}
