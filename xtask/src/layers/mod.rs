//! The step `layers`: imports go only downwards, name the module that defines the item, and form no cycle.
//!
//! The layers are listed only in `ARCHITECTURE.md`, so the document and the check cannot disagree. Imports are read as
//! text, without a compiler; this is sufficient because each import must name the defining module.

mod check;
mod imports;
mod table;
#[cfg(test)]
mod tests;
mod tokens;
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::command::root;
use crate::{Options, Outcome, PUBLISHED};

/// The source files of a crate: the path below `src`, with `/` on every system, and the text.
pub(crate) type Files = BTreeMap<String, String>;

pub(crate) fn run(_: &Options) -> Outcome {
    let document = fs::read_to_string(root().join(table::DOCUMENT))
        .map_err(|error| format!("cannot read {}: {error}", table::DOCUMENT))?;
    let (tables, mut problems) = table::parse(&document);
    let mut count = 0;
    for package in layered() {
        let files = sources(package)?;
        count += files.len();
        match tables.iter().find(|table| table.package == package) {
            Some(table) => problems.extend(check::check(&files, table)),
            None => problems.push(table::missing(package)),
        }
    }
    let is_layered = |name: &str| layered().any(|package| package == name);
    problems.extend(tables.iter().filter(|table| !is_layered(table.package)).map(table::Table::stray));
    if problems.is_empty() {
        return Ok(format!("{} crates, {count} files", layered().count()));
    }
    problems.iter().for_each(|problem| eprintln!("{problem}"));
    Err(match problems.len() {
        1 => String::from("1 problem"),
        several => format!("{several} problems"),
    })
}

/// The crates that have layers: the published ones, and the package for Python.
fn layered() -> impl Iterator<Item = &'static str> {
    PUBLISHED.iter().map(|(package, _)| *package).chain(["wsgi-python"])
}

/// Reads the source files of a package.
pub(crate) fn sources(package: &str) -> Result<Files, String> {
    let mut files = Files::new();
    read_sources(&root().join(package).join("src"), "", &mut files)?;
    Ok(files)
}

/// Reads every Rust file of `folder`; `prefix` is its path below `src`, empty or with a trailing `/`.
fn read_sources(folder: &Path, prefix: &str, files: &mut Files) -> Result<(), String> {
    let failed = |error| format!("cannot read {}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read_sources(&entry.path(), &format!("{name}/"), files)?;
        } else if name.ends_with(".rs") {
            let text =
                fs::read_to_string(entry.path()).map_err(|error| format!("cannot read {name}: {error}"))?;
            files.insert(name, text);
        }
    }
    Ok(())
}
