//! Where tests lie: files, folders and archives.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::source;

/// Calls `visit` with name and contents of every JSON file at `path`: the file itself, all files below a folder, all
/// files of an archive. One file at a time is in memory.
///
/// # Errors
///
/// If something cannot be read.
pub(super) fn visit(path: &Path, visit: &mut dyn FnMut(&str, &[u8])) -> anyhow::Result<()> {
    for file in files(path)? {
        let name = file.display().to_string();
        visit_file(&file, &name, visit).with_context(|| name.clone())?;
    }
    Ok(())
}

/// The file, or all files below a folder, by name.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).with_context(|| path.display().to_string())? {
        let entry = entry?;
        let path = entry.path();
        // A link to a folder may lead in a circle.
        if entry.file_type()?.is_dir() {
            found.extend(files(&path)?);
        } else if is_test_file(&path.display().to_string()) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Visits a file or what is in an archive.
fn visit_file(path: &Path, name: &str, visit: &mut dyn FnMut(&str, &[u8])) -> anyhow::Result<()> {
    let mut contents = Vec::new();
    let source = source::open(path)?;
    let taken = source.taken();
    if !path.file_name().is_some_and(|file| file.to_string_lossy().contains(".tar")) {
        source.read_all(&mut contents)?;
        visit(name, &contents);
        return Ok(());
    }
    for entry in tar::Archive::new(source).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.display().to_string();
        if Path::new(&name).extension().is_some_and(|extension| extension == "json") {
            taken.read_all(&mut entry, &mut contents)?;
            visit(&name, &contents);
        }
    }
    Ok(())
}

/// Whether a file in a folder may hold tests, by its name.
fn is_test_file(name: &str) -> bool {
    [".json", ".json.gz", ".json.xz", ".json.zst", ".tar", ".tar.gz", ".tar.xz", ".tar.zst"]
        .iter()
        .any(|ending| name.ends_with(ending))
}
