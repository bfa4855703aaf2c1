//! Blocks of mainnet with all they read, from `$WEFT_DATA/data/blocks` or beside the checkout.

use std::path::{Path, PathBuf};

use anyhow::Context;
use weft_engine::replay::PlainBlock;

use super::Plan;
use crate::scene::Workload;

/// Adds the workloads; none if there is no data.
pub(super) fn plan(plans: &mut Vec<Plan>) {
    let mut files: Vec<(u64, PathBuf)> = weft_tests::folder("blocks")
        .map(|folder| weft_tests::files(&folder))
        .unwrap_or_default()
        .into_iter()
        .filter_map(|path| Some((number(&path)?, path)))
        .collect();
    files.sort();
    for (number, path) in files {
        plans.push(Plan::fallible(format!("mainnet/{number}"), move |name| read(name, &path)));
    }
}

/// The number of the block in the file of this name.
fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.split('.').next()?.parse().ok()
}

/// Reads a block.
fn read(name: String, path: &Path) -> anyhow::Result<Workload> {
    let block = PlainBlock::from_json(&weft_tests::read(path), None)
        .with_context(|| format!("{}", path.display()))?;
    let (chain, block, pre_state) = block.into_parts();
    Ok(Workload { name, chain, block, pre_state, senders: None })
}
