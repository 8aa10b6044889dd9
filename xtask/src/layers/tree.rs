//! The modules of a crate: resolves paths and finds the definitions of items.

use std::collections::BTreeMap;

use super::Files;
use super::imports::{Import, Kind, Segments, Source, read};

/// A crate's files by the path of their module; the root's is empty.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    /// The crate's name in paths.
    own_name: String,
    pub(super) files: BTreeMap<Segments<'a>, File<'a>>,
}

#[derive(Debug)]
pub(super) struct File<'a> {
    /// Below `src`.
    pub(super) path: &'a str,
    pub(super) module: Segments<'a>,
    pub(super) source: Source<'a>,
}

/// The place of an item's definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Definition<'a> {
    /// The module of the file, and the item in it, with the inline modules around it; empty for the module itself.
    In(Segments<'a>, Segments<'a>),
    /// In another crate: the path as written in this one.
    Outside(Segments<'a>),
}

/// The longest chain of re-exports that is followed; only a circular one is longer.
const LONGEST_CHAIN: usize = 16;

impl<'a> Tree<'a> {
    /// Reads the files of a package. Files that are compiled only for tests are left out.
    pub(super) fn new(package: &str, files: &'a Files) -> Tree<'a> {
        let own_name = package.replace('-', "_");
        let read = |(path, text): (&'a String, &'a String)| {
            let module = module_of(path);
            (module.clone(), File { path, module, source: read(text, &own_name) })
        };
        let mut files: BTreeMap<Segments<'a>, File<'a>> = files.iter().map(read).collect();
        let mut tests = Vec::new();
        for file in files.values() {
            tests.extend(file.source.test_children.iter().map(|child| joined(&file.module, child)));
            tests.extend(file.source.test_only.then(|| file.module.clone()));
        }
        files.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        Tree { own_name, files }
    }

    /// The path from the crate root that an import stands for; `None` if it leads out of the crate.
    pub(super) fn resolve(&self, file: &File<'a>, import: &Import<'a>) -> Option<Segments<'a>> {
        self.absolute(file, &import.scope, &import.path, LONGEST_CHAIN)
    }

    fn absolute(
        &self,
        file: &File<'a>,
        scope: &[&'a str],
        path: &[&'a str],
        left: usize,
    ) -> Option<Segments<'a>> {
        let (&first, rest) = path.split_first()?;
        let left = left.checked_sub(1)?;
        let here = joined(&file.module, scope);
        let mut head = match first {
            "crate" => Vec::new(),
            "" if rest.first() == Some(&self.own_name.as_str()) => return Some(rest[1..].to_vec()),
            name if name == self.own_name => Vec::new(),
            "self" => here,
            "super" => joined(&here[..here.len().checked_sub(1)?], &[]),
            name if self.is_module(&joined(&here, &[name])) => joined(&here, &[name]),
            // A module imported by a `use` in the same scope, as in `use crate::response; response::Framing`.
            name => {
                let mut uses = file.source.imports.iter().filter(|import| {
                    let is_it = matches!(import.kind, Kind::Use { name: Some(given), .. } if given == name);
                    is_it && import.scope == scope && import.path.first() != Some(&name)
                });
                uses.find_map(|import| {
                    self.absolute(file, scope, &import.path, left).filter(|path| self.is_module(path))
                })?
            }
        };
        let mut rest = rest;
        while let ("self" | "super", Some((&"super", after))) = (first, rest.split_first()) {
            head.pop()?;
            rest = after;
        }
        Some(joined(&head, rest))
    }

    /// Splits a path at its file: the file's module, and the remaining segments.
    pub(super) fn locate<'p>(&self, path: &'p [&'a str]) -> Option<(&File<'a>, &'p [&'a str])> {
        (0..=path.len()).rev().find_map(|length| Some((self.files.get(&path[..length])?, &path[length..])))
    }

    fn is_module(&self, path: &[&'a str]) -> bool {
        self.locate(path).is_some_and(|(file, rest)| rest.is_empty() || file.source.inline.contains(rest))
    }

    /// Splits the remaining segments at the inline modules of their file.
    pub(super) fn inline<'p>(&self, file: &File<'a>, rest: &'p [&'a str]) -> (&'p [&'a str], &'p [&'a str]) {
        let length = (0..rest.len()).rev().find(|length| file.source.inline.contains(&rest[..*length]));
        rest.split_at(length.unwrap_or(0))
    }

    /// The definition of the item at a path; `None` if the text does not show it.
    pub(super) fn definition(&self, path: &[&'a str]) -> Option<Definition<'a>> {
        self.follow(path, LONGEST_CHAIN)
    }

    fn follow(&self, path: &[&'a str], left: usize) -> Option<Definition<'a>> {
        let left = left.checked_sub(1)?;
        let (file, rest) = self.locate(path)?;
        let (scope, item) = self.inline(file, rest);
        let Some((&name, after)) = item.split_first() else {
            return Some(Definition::In(file.module.clone(), Vec::new()));
        };
        let here = Definition::In(file.module.clone(), joined(scope, &[name]));
        if file.source.items.contains(&joined(scope, &[name])) {
            return Some(here);
        }
        let mut outside = None;
        for import in file.source.imports.iter().filter(|import| import.scope == scope) {
            let Kind::Use { name: bound, item: true, .. } = import.kind else { continue };
            let (path, remaining) = match bound {
                Some(bound) if bound == name => (&import.path[..], after),
                Some(_) => continue,
                None => (&import.path[..import.path.len() - 1], item),
            };
            let Some(inside) = self.absolute(file, scope, path, left) else {
                // An explicit name takes precedence over a glob.
                if bound.is_some() || outside.is_none() {
                    outside = Some(Definition::Outside(joined(path, remaining)));
                }
                continue;
            };
            match self.follow(&joined(&inside, remaining), left) {
                Some(found @ Definition::In(..)) => return Some(found),
                found => outside = found.or(outside),
            }
        }
        outside.or_else(|| file.source.macro_words.contains(name).then_some(here))
    }

    /// The module of a macro that `#[macro_export]` puts into the root.
    pub(super) fn exported_macro(&self, name: &str) -> Option<&File<'a>> {
        self.files.values().find(|file| file.source.exported_macros.contains(name))
    }
}

/// `exchange/input.rs` is `exchange::input`, `exchange/mod.rs` is `exchange`.
fn module_of(path: &str) -> Segments<'_> {
    let mut module: Segments<'_> = path.trim_end_matches(".rs").split('/').collect();
    if module == ["lib"] || (module.len() > 1 && module.last() == Some(&"mod")) {
        module.pop();
    }
    module
}

pub(super) fn joined<'a>(first: &[&'a str], second: &[&'a str]) -> Segments<'a> {
    [first, second].concat()
}
