//! The rules: every file has a layer; an import goes downwards and names the defining module; there are no cycles.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Files;
use super::imports::{Import, Kind, Segments};
use super::table::{DOCUMENT, Table};
use super::tree::{Definition, File, Tree, joined};

/// Returns the problems of one crate.
pub(super) fn check(files: &Files, table: &Table<'_>) -> Vec<String> {
    let tree = Tree::new(table.package, files);
    let mut check = Check { table, tree: &tree, edges: BTreeMap::new(), problems: Vec::new() };
    check.names();
    check.files_without_layer();
    for file in tree.files.values() {
        for import in &file.source.imports {
            check.import(file, import);
        }
    }
    check.cycles();
    check.problems
}

struct Check<'a, 't> {
    table: &'t Table<'t>,
    tree: &'t Tree<'a>,
    /// The imports between files: importing module, defining module, line of the first such import.
    edges: BTreeMap<&'t [&'a str], BTreeMap<&'t [&'a str], usize>>,
    problems: Vec<String>,
}

impl<'a, 't> Check<'a, 't> {
    /// Reports the names in the table that match no file, or not for the first time.
    fn names(&mut self) {
        let package = self.table.package;
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let has_files = |folder: &str| self.tree.files.values().any(|file| file.path.starts_with(folder));
        let used: BTreeSet<&str> =
            self.tree.files.values().filter_map(|file| self.layer(file)).map(|(_, name)| name).collect();
        for layer in &self.table.layers {
            for &name in &layer.names {
                let place = format!("{DOCUMENT}:{}", layer.line);
                if let Some(first) = seen.insert(name, layer.line) {
                    self.problems.push(format!("{place}: `{name}` is already in line {first}"));
                } else if name == "lib" {
                    self.problems.push(format!("{place}: `lib` must not be listed: it is above all layers"));
                } else if !used.contains(name) || (name.ends_with('/') && !has_files(name)) {
                    let expected = match name.strip_suffix('/') {
                        Some(folder) => format!("no file below {package}/src/{folder}/ belongs to it"),
                        None => {
                            format!("neither {package}/src/{name}.rs nor {package}/src/{name}/mod.rs exists")
                        }
                    };
                    self.problems.push(format!(
                        "{place}: `{name}` is not a module: {expected} (a sentence begins after two spaces)"
                    ));
                }
            }
        }
    }

    fn files_without_layer(&mut self) {
        for file in self.tree.files.values().filter(|file| !file.module.is_empty()) {
            if self.layer(file).is_none() {
                self.problems.push(format!(
                    "{} is missing from the layers of {} ({DOCUMENT}:{})",
                    self.shown(file),
                    self.table.package,
                    self.table.line
                ));
            }
        }
    }

    /// The number of a file's layer, from the top, and the name that places it there; `None` for `lib.rs`.
    fn layer(&self, file: &File<'a>) -> Option<(usize, &'t str)> {
        let specificity = |name: &str| match name.strip_suffix('/') {
            Some(folder) => {
                let folder: Segments<'_> = folder.split('/').collect();
                file.module.starts_with(&folder).then_some((folder.len(), false))
            }
            None => name.split('/').eq(file.module.iter().copied()).then_some((file.module.len(), true)),
        };
        let layers = self.table.layers.iter().enumerate();
        let names = layers.flat_map(|(index, layer)| layer.names.iter().map(move |name| (index, *name)));
        names
            .filter_map(|(index, name)| Some((specificity(name)?, (index, name))))
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, found)| found)
    }

    fn shown(&self, file: &File<'_>) -> String {
        format!("{}/src/{}", self.table.package, file.path)
    }

    fn report(&mut self, file: &File<'a>, import: &Import<'a>, problem: &str) {
        let problem = format!("{}:{}: `{}` {problem}", self.shown(file), import.line, import.path.join("::"));
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn import(&mut self, file: &'t File<'a>, import: &Import<'a>) {
        let Some(path) = self.tree.resolve(file, import) else { return };
        let Some((target, rest)) = self.tree.locate(&path) else { return };
        // An inline module that imports from its own file.
        if target.path == file.path {
            return;
        }
        let (scope, item) = self.tree.inline(target, rest);
        let defining = match item.first() {
            None if target.module.is_empty() => {
                self.report(file, import, "is the crate root, from which no module may import");
                None
            }
            None => Some(target),
            Some(&"*") => self.glob(file, import, target, scope),
            Some(name) => self.item(file, import, target, &joined(scope, &[name])),
        };
        if let Some(defining) = defining.filter(|defining| defining.path != file.path) {
            self.edges.entry(&file.module).or_default().entry(&defining.module).or_insert(import.line);
            self.upward(file, import, defining);
        }
    }

    /// Checks the import of one item; returns the file that defines it.
    fn item(
        &mut self,
        file: &File<'a>,
        import: &Import<'a>,
        target: &'t File<'a>,
        item: &[&'a str],
    ) -> Option<&'t File<'a>> {
        let in_root = target.module.is_empty();
        if let (true, [name]) = (in_root, item)
            && let Some(defining) = self.tree.exported_macro(name)
        {
            return Some(defining);
        }
        let wrong = if in_root { "goes through the crate root" } else { "is a re-export" };
        match self.tree.definition(&joined(&target.module, item)) {
            Some(Definition::In(module, _)) if module == target.module => {
                if in_root {
                    self.report(file, import, "is defined in lib.rs, from which no module may import");
                }
                (!in_root).then_some(target)
            }
            Some(Definition::In(module, item)) => {
                let path = [&["crate"][..], &module, &item].concat().join("::");
                self.report(file, import, &format!("{wrong}; import `{path}` instead"));
                self.tree.files.get(&module)
            }
            // A module may re-export another crate, like `sync`, which re-exports std's locks or loom's.
            Some(Definition::Outside(_)) if !in_root => Some(target),
            Some(Definition::Outside(path)) => {
                self.report(file, import, &format!("{wrong}; import `{}` instead", path.join("::")));
                None
            }
            None if in_root => {
                self.report(file, import, &format!("{wrong}; import it from the module that defines it"));
                None
            }
            None => {
                self.report(file, import, &format!("is not defined in {}", self.shown(target)));
                Some(target)
            }
        }
    }

    /// Checks the import of everything in a module, which must not include that module's own imports.
    fn glob(
        &mut self,
        file: &File<'a>,
        import: &Import<'a>,
        target: &'t File<'a>,
        scope: &[&'a str],
    ) -> Option<&'t File<'a>> {
        if target.module.is_empty() {
            self.report(
                file,
                import,
                "goes through the crate root; import each item from the module that defines it",
            );
            return None;
        }
        let sees_private = file.module.starts_with(&target.module);
        let passed_on = target.source.imports.iter().find(|passed| {
            matches!(passed.kind, Kind::Use { item: true, public, .. } if public || sees_private)
                && passed.scope == scope
                && self.tree.resolve(target, passed).is_some_and(|path| !self.is_in(target, &path))
        });
        if let Some(passed_on) = passed_on {
            let path = passed_on.path.join("::");
            let problem =
                format!("includes the re-export `{path}` of {}; name the items instead", self.shown(target));
            self.report(file, import, &problem);
        }
        Some(target)
    }

    fn is_in(&self, file: &File<'a>, path: &[&'a str]) -> bool {
        self.tree.locate(path).is_some_and(|(found, _)| found.path == file.path)
    }

    fn upward(&mut self, file: &File<'a>, import: &Import<'a>, defining: &File<'a>) {
        if file.module.is_empty() {
            return;
        }
        let (Some((own, _)), Some((other, _))) = (self.layer(file), self.layer(defining)) else { return };
        if other < own {
            let [own, other] = [own, other].map(|index| self.table.layers[index].shown());
            let problem = format!(
                "is an import upwards: {other} is above {own}; import from the same line or a lower one"
            );
            self.report(file, import, &problem);
        }
    }

    /// Reports cycles until each file in a cycle has been reported.
    fn cycles(&mut self) {
        let mut shown: BTreeSet<&[&str]> = BTreeSet::new();
        for start in self.edges.keys() {
            if shown.contains(start) {
                continue;
            }
            let Some(cycle) = self.shortest_cycle(start) else { continue };
            let mut text = String::from("import cycle: ");
            for (module, line) in &cycle {
                text.push_str(&format!("{}:{line} -> ", self.shown(&self.tree.files[*module])));
            }
            text.push_str(&self.shown(&self.tree.files[*start]));
            self.problems.push(text);
            shown.extend(cycle.iter().map(|(module, _)| *module));
        }
    }

    /// The shortest cycle through a file: its modules, each with the line that imports the next.
    fn shortest_cycle(&self, start: &'t [&'a str]) -> Option<Vec<(&'t [&'a str], usize)>> {
        // The predecessor through which each module was reached first.
        let mut reached: BTreeMap<&[&str], (&'t [&'a str], usize)> = BTreeMap::new();
        let mut waiting = VecDeque::from([start]);
        while let Some(module) = waiting.pop_front() {
            for (&next, &line) in self.edges.get(module).into_iter().flatten() {
                if !reached.contains_key(next) {
                    reached.insert(next, (module, line));
                    waiting.push_back(next);
                }
            }
        }
        let mut cycle = vec![*reached.get(start)?];
        while let Some(&(module, _)) = cycle.last().filter(|(module, _)| *module != start) {
            cycle.push(reached[module]);
        }
        cycle.reverse();
        Some(cycle)
    }
}
