//! The layers of a crate, as `ARCHITECTURE.md` lists them.
//!
//! A table is a fenced block whose info string contains `layers=PACKAGE`. Its lines go from the top layer down. The
//! first column of a line lists modules, separated by single spaces; after two or more spaces a sentence may follow,
//! which is ignored. `name` is `src/name.rs` or `src/name/mod.rs`; `name/` is that file and everything below
//! `src/name/`. The more specific name wins: `machine/state` can have a separate line from `machine/`.

/// The file that holds the tables.
pub(super) const DOCUMENT: &str = "ARCHITECTURE.md";

/// The layers of one crate.
#[derive(Debug)]
pub(super) struct Table<'a> {
    pub(super) package: &'a str,
    /// The line of the document on which the block begins.
    pub(super) line: usize,
    /// From the top down.
    pub(super) layers: Vec<Layer<'a>>,
}

/// One line of a table.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    /// The line of the document.
    pub(super) line: usize,
    pub(super) names: Vec<&'a str>,
}

impl Table<'_> {
    /// Reports a table that belongs to no published crate.
    pub(super) fn stray(&self) -> String {
        format!("{DOCUMENT}:{}: `layers={}` does not name a crate with layers", self.line, self.package)
    }
}

impl Layer<'_> {
    /// The description of the layer in messages.
    pub(super) fn shown(&self) -> String {
        format!("`{}` ({DOCUMENT}:{})", self.names.join(" "), self.line)
    }
}

/// Reports a published crate without a table.
pub(super) fn missing(package: &str) -> String {
    format!(
        "{DOCUMENT} has no layers for {package} (expected a block that begins with ```text layers={package})"
    )
}

/// Parses the tables of a document, and collects their problems.
pub(super) fn parse(document: &str) -> (Vec<Table<'_>>, Vec<String>) {
    let mut tables: Vec<Table<'_>> = Vec::new();
    let mut problems = Vec::new();
    // The fence that ends the open block, and whether that block is a table.
    let mut open: Option<(&str, bool)> = None;
    for (index, text) in document.lines().enumerate() {
        let (line, text) = (index + 1, text.trim());
        match open {
            None => {
                let fence = fence(text);
                if fence.is_empty() {
                    continue;
                }
                let info = &text[fence.len()..];
                let package = info.split_whitespace().find_map(|word| word.strip_prefix("layers="));
                if let Some(package) = package {
                    if let Some(first) = tables.iter().find(|table| table.package == package) {
                        problems.push(format!(
                            "{DOCUMENT}:{line}: second block for {package} (the first is in line {})",
                            first.line
                        ));
                    }
                    tables.push(Table { package, line, layers: Vec::new() });
                }
                open = Some((fence, package.is_some()));
            }
            Some((opened, _)) if text.starts_with(opened) && fence(text) == text => open = None,
            Some((_, true)) if !text.is_empty() => {
                let column = text.split("  ").next().unwrap_or(text);
                let names = column.split_whitespace().collect();
                tables.last_mut().expect("a table is open").layers.push(Layer { line, names });
            }
            Some(_) => {}
        }
    }
    if let (Some((_, true)), Some(table)) = (open, tables.last()) {
        problems.push(format!("{DOCUMENT}:{}: the block for {} is not closed", table.line, table.package));
    }
    (tables, problems)
}

/// The fence at the start of a line, or an empty string.
fn fence(line: &str) -> &str {
    let end =
        ['`', '~'].iter().map(|mark| line.len() - line.trim_start_matches(*mark).len()).max().unwrap_or(0);
    // Code between backticks on one line is not a block.
    if end < 3 || line[end..].contains('`') { "" } else { &line[..end] }
}
