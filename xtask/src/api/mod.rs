//! The public API of each published crate, compared with the list in `api/`.
//!
//! The items are read from rustdoc's pages, which show everything that users can name, including items from macros and
//! re-exports. Rustdoc's JSON would be easier to parse, but needs a nightly, and its format changes.

mod html;
mod pages;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::command::{Cmd, lines_of, root, target_dir};
use crate::layers::{Files, sources};
use crate::{Options, Outcome, PUBLISHED, checks};

pub(crate) fn run(options: &Options) -> Outcome {
    for (package, _) in PUBLISHED {
        // Cargo considers pages of a `cargo doc` with other features fresh, but not missing pages.
        let pages = pages_of(package);
        if pages.exists() {
            fs::remove_dir_all(&pages)
                .map_err(|error| format!("cannot remove {}: {error}", pages.display()))?;
        }
    }
    checks::docs(options)?;
    let rustdoc = lines_of(Cmd::new("rustdoc --version")).concat();
    let bless = std::env::var_os("BLESS").is_some();
    let (mut count, mut wrong) = (0, Vec::new());
    for (package, _) in PUBLISHED {
        let path = format!("api/{package}.txt");
        let listed = fs::read_to_string(root().join(&path)).unwrap_or_default();
        let found = items(package)?;
        count += found.len();
        let difference = difference(&listed, &found);
        if difference.is_empty() {
            continue;
        }
        println!("{path}:");
        difference.iter().for_each(|line| println!("  {line}"));
        if let Some(other) = written_by(&listed).filter(|other| *other != rustdoc) {
            println!("  (the list was written with {other}, this is {rustdoc})");
        }
        if bless {
            fs::create_dir_all(root().join("api"))
                .and_then(|()| fs::write(root().join(&path), list(package, &rustdoc, &found)))
                .map_err(|error| format!("cannot write {path}: {error}"))?;
        } else {
            wrong.push(path);
        }
    }
    if wrong.is_empty() {
        return Ok(format!("{count} items"));
    }
    Err(format!(
        "the public API differs from {} (-: only in the list, +: only in the code); if that is intended, \
         `BLESS=1 cargo xtask api` rewrites the lists",
        wrong.join(", ")
    ))
}

/// The lines for the public items of a package.
fn items(package: &str) -> Result<BTreeSet<String>, String> {
    let read = |page: &str| {
        let path = pages_of(package).join(page);
        fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let mut items = pages::items(&package.replace('-', "_"), read)?;
    items.extend(hidden(&sources(package)?));
    Ok(items)
}

/// One line for each file with public items that are hidden from the pages.
fn hidden(files: &Files) -> Vec<String> {
    let count =
        |text: &str| text.lines().filter(|line| line.trim_start().starts_with("#[doc(hidden)]")).count();
    let counts = files.iter().map(|(path, text)| (path, count(text))).filter(|(_, count)| *count > 0);
    counts.map(|(path, count)| format!("(hidden items in src/{path}: {count})")).collect()
}

/// The folder of rustdoc's pages for a package.
fn pages_of(package: &str) -> PathBuf {
    target_dir().join("doc").join(package.replace('-', "_"))
}

/// Compares the lines of a list, without comments, with the items found; the old line of an item precedes the new one.
fn difference(listed: &str, found: &BTreeSet<String>) -> Vec<String> {
    let listed: BTreeSet<&str> =
        listed.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let mut lines: Vec<&str> = listed.symmetric_difference(&found).copied().collect();
    let path = |line: &str| line.split(": ").next().unwrap_or_default().to_owned();
    lines.sort_by_key(|line| (path(line), found.contains(line)));
    let sign = |line: &str| if found.contains(line) { '+' } else { '-' };
    lines.into_iter().map(|line| format!("{} {line}", sign(line))).collect()
}

/// The rustdoc version that wrote a list.
fn written_by(listed: &str) -> Option<&str> {
    listed.lines().find_map(|line| line.strip_prefix("# ").filter(|line| line.starts_with("rustdoc ")))
}

fn list(package: &str, rustdoc: &str, items: &BTreeSet<String>) -> String {
    let mut text = format!(
        "# The public items of {package} with all features. Written by `BLESS=1 cargo xtask api`.\n\
         # Send, Sync and Unpin are listed only where they are missing or conditional.\n\
         # {rustdoc}\n"
    );
    items.iter().for_each(|line| text.extend([line, "\n"]));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_shown_as_plus_and_minus_lines() {
        let items: BTreeSet<String> = ["A", "C: a", "D"].map(str::to_owned).into();
        assert_eq!(difference("# a comment\nA\n\nB\nC: b\nD\n", &items), ["- B", "- C: b", "+ C: a"]);
        assert_eq!(difference("", &items).len(), 3);
    }

    #[test]
    fn hidden_items_are_counted() {
        let text = "    #[doc(hidden)]\n    pub fn a() {}\n// #[doc(hidden)]\n#[doc(hidden)] pub mod b {}\n";
        let files = Files::from([("a/b.rs".to_owned(), text.to_owned()), ("c.rs".to_owned(), String::new())]);
        assert_eq!(hidden(&files), ["(hidden items in src/a/b.rs: 2)"]);
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let items: BTreeSet<String> = ["A", "B"].map(str::to_owned).into();
        let text = list("own", "rustdoc 1.95.0 (x)", &items);
        assert_eq!(difference(&text, &items), Vec::<String>::new());
        assert_eq!(written_by(&text), Some("rustdoc 1.95.0 (x)"));
        assert_eq!(written_by("# of a rustdoc\nA\n"), None);
    }
}
