//! The declarations and imports of a file, read from its tokens.
//!
//! Items that are compiled only for tests are left out. Paths are kept as written; `tree.rs` resolves them.

use std::collections::HashSet;

use super::tokens::{Token, tokens};

/// The segments of a path.
pub(super) type Segments<'a> = Vec<&'a str>;

/// A path that is used in a file.
#[derive(Debug)]
pub(super) struct Import<'a> {
    pub(super) line: usize,
    /// The inline modules around it.
    pub(super) scope: Segments<'a>,
    /// The path as written; the last segment is `*` for a glob, the first one is empty if the path begins with `::`.
    pub(super) path: Segments<'a>,
    pub(super) kind: Kind<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind<'a> {
    /// A part of a `use` declaration.
    Use {
        /// The name that it binds; `None` for a glob.
        name: Option<&'a str>,
        /// Whether it is an item of a module, not a statement in a function.
        item: bool,
        /// Whether it has any visibility.
        public: bool,
    },
    /// In a type or an expression.
    Inline,
}

/// The declarations and imports of one file.
#[derive(Debug, Default)]
pub(super) struct Source<'a> {
    /// Items of modules: inline modules around them, and the name.
    pub(super) items: HashSet<Segments<'a>>,
    /// Inline modules.
    pub(super) inline: HashSet<Segments<'a>>,
    /// Modules in separate files.
    pub(super) children: HashSet<Segments<'a>>,
    /// Modules in separate files, compiled only for tests.
    pub(super) test_children: Vec<Segments<'a>>,
    /// Macros that `#[macro_export]` puts into the root of the crate.
    pub(super) exported_macros: HashSet<&'a str>,
    /// Words in the arguments of macros outside functions; the macros may define items with these names.
    pub(super) macro_words: HashSet<&'a str>,
    pub(super) imports: Vec<Import<'a>>,
    /// The whole file is `#![cfg(test)]`.
    pub(super) test_only: bool,
}

/// Parses a file of the crate that paths call `own_name`.
pub(super) fn read<'a>(text: &'a str, own_name: &str) -> Source<'a> {
    let mut reader =
        Reader { tokens: tokens(text), blocks: Vec::new(), macro_export: false, source: Source::default() };
    let mut at = 0;
    while at < reader.tokens.len() && !reader.source.test_only {
        at = reader.step(at, own_name);
    }
    reader.source
}

struct Reader<'a> {
    tokens: Vec<(Token<'a>, usize)>,
    /// The open braces; a module's brace has its name.
    blocks: Vec<Option<&'a str>>,
    /// An attribute before the next macro exports it.
    macro_export: bool,
    source: Source<'a>,
}

impl<'a> Reader<'a> {
    fn token(&self, at: usize) -> Option<Token<'a>> {
        self.tokens.get(at).map(|(token, _)| *token)
    }

    fn word(&self, at: usize) -> Option<&'a str> {
        match self.token(at) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn is_mark(&self, at: usize, mark: char) -> bool {
        self.token(at) == Some(Token::Mark(mark))
    }

    fn before(&self, at: usize) -> Option<Token<'a>> {
        at.checked_sub(1).and_then(|at| self.token(at))
    }

    fn scope(&self) -> Segments<'a> {
        self.blocks.iter().copied().flatten().collect()
    }

    fn named(&self, name: &'a str) -> Segments<'a> {
        let mut path = self.scope();
        path.push(name);
        path
    }

    fn in_module(&self) -> bool {
        self.blocks.iter().all(Option::is_some)
    }

    /// Parses the item at a token; returns the position of the next step.
    fn step(&mut self, at: usize, own_name: &str) -> usize {
        match self.tokens[at].0 {
            Token::Mark('#') => self.attribute(at),
            Token::Mark('{') => {
                self.blocks.push(None);
                at + 1
            }
            Token::Mark('}') => {
                self.blocks.pop();
                at + 1
            }
            Token::Word("use") => self.use_declaration(at),
            Token::Word("mod") if self.word(at + 1).is_some() && self.in_module() => self.module(at),
            Token::Word(word) if self.token(at + 1) == Some(Token::PathSep) => {
                self.inline_path(at, word, own_name)
            }
            Token::Word(word) if self.is_mark(at + 1, '!') => self.macro_call(at, word),
            Token::Word(word) if self.in_module() => self.item(at, word),
            _ => at + 1,
        }
    }

    fn attribute(&mut self, at: usize) -> usize {
        let inner = self.is_mark(at + 1, '!');
        let start = at + 1 + usize::from(inner);
        if !self.is_mark(start, '[') {
            return at + 1;
        }
        let end = self.closing(start);
        let content = self.tokens.get(start + 1..end).unwrap_or_default();
        let content: Vec<Token<'a>> = content.iter().map(|(token, _)| *token).collect();
        let only_in_tests = match &content[..] {
            [Token::Word("test")] => true,
            [Token::Word("cfg"), Token::Mark('('), condition @ .., Token::Mark(')')] => {
                requires_test(condition)
            }
            _ => false,
        };
        match (only_in_tests, inner) {
            (true, true) if self.blocks.is_empty() => {
                self.source.test_only = true;
                end + 1
            }
            (true, false) => self.skip_item(end + 1),
            _ => {
                self.macro_export |= content.first() == Some(&Token::Word("macro_export"));
                // Paths in attributes are imports too.
                start
            }
        }
    }

    /// The position of the bracket that closes the one at `at`.
    fn closing(&self, at: usize) -> usize {
        let mut depth = 0;
        for (offset, (token, _)) in self.tokens[at..].iter().enumerate() {
            match token {
                Token::Mark('(' | '[' | '{') => depth += 1,
                Token::Mark(')' | ']' | '}') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return at + offset;
            }
        }
        self.tokens.len() - 1
    }

    /// Skips an item (or a field, an arm, a statement) that is compiled only for tests.
    fn skip_item(&mut self, mut at: usize) -> usize {
        let mut ends_with_block = self.is_mark(at, '{');
        let mut ends_with_comma = true;
        let mut first = true;
        while let Some(token) = self.token(at) {
            match token {
                Token::Mark('#') if first && self.is_mark(at + 1, '[') => {
                    at = self.closing(at + 1) + 1;
                    continue;
                }
                Token::Word("mod") => {
                    if let (Some(name), true) = (self.word(at + 1), self.is_mark(at + 2, ';')) {
                        let path = self.named(name);
                        self.source.test_children.push(path);
                    }
                    (ends_with_block, ends_with_comma) = (true, false);
                }
                Token::Word(
                    "fn" | "impl" | "struct" | "enum" | "trait" | "union" | "macro_rules" | "extern",
                ) => {
                    (ends_with_block, ends_with_comma) = (true, false);
                }
                Token::Word("use" | "const" | "static" | "type" | "let") => ends_with_comma = false,
                Token::Mark(';') => return at + 1,
                Token::Mark(',') if ends_with_comma => return at + 1,
                Token::Mark('}' | ')' | ']') => return at,
                Token::Mark(open @ ('(' | '[' | '{')) => {
                    at = self.closing(at);
                    if open == '{' && ends_with_block {
                        return at + 1;
                    }
                }
                _ => {}
            }
            first = false;
            at += 1;
        }
        at
    }

    fn module(&mut self, at: usize) -> usize {
        let name = self.word(at + 1).expect("checked by the caller");
        let path = self.named(name);
        if self.is_mark(at + 2, '{') {
            self.source.items.insert(path.clone());
            self.source.inline.insert(path);
            self.blocks.push(Some(name));
        } else {
            self.source.children.insert(path);
        }
        at + 3
    }

    fn item(&mut self, at: usize, keyword: &str) -> usize {
        if !["struct", "enum", "trait", "union", "fn", "const", "static", "type"].contains(&keyword) {
            return at + 1;
        }
        let at = if self.word(at + 1) == Some("mut") { at + 1 } else { at };
        // In `const fn name` the next keyword names the item.
        let name = self.word(at + 1).filter(|name| !["fn", "unsafe", "extern", "async"].contains(name));
        if let Some(name) = name {
            let path = self.named(name);
            self.source.items.insert(path);
        }
        at + 1 + usize::from(name.is_some())
    }

    fn macro_call(&mut self, at: usize, word: &'a str) -> usize {
        if let ("macro_rules", Some(name)) = (word, self.word(at + 2)) {
            let path = self.named(name);
            self.source.items.insert(path);
            if std::mem::take(&mut self.macro_export) {
                self.source.exported_macros.insert(name);
            }
            return at + 3;
        }
        if self.in_module() && matches!(self.token(at + 2), Some(Token::Mark('(' | '[' | '{'))) {
            let content = &self.tokens[at + 2..self.closing(at + 2)];
            let words = content.iter().filter_map(|(token, _)| match token {
                Token::Word(word) => Some(*word),
                _ => None,
            });
            self.source.macro_words.extend(words);
        }
        at + 2
    }

    fn inline_path(&mut self, mut at: usize, first: &'a str, own_name: &str) -> usize {
        let start = at;
        let mut path = vec![first];
        while let (Some(Token::PathSep), Some(word)) = (self.token(at + 1), self.word(at + 2)) {
            path.push(word);
            at += 2;
        }
        let is_import = match self.before(start) {
            // `$crate` in a macro.
            Some(Token::Mark('$')) => false,
            // The remainder of a longer path, or `::name`.
            Some(Token::PathSep) => first == own_name,
            // `pub(in crate::connection)`
            Some(Token::Word("in")) => start < 3 || self.word(start - 3) != Some("pub"),
            _ => true,
        };
        if is_import && path.len() > 1 {
            let (line, scope) = (self.tokens[start].1, self.scope());
            self.source.imports.push(Import { line, scope, path, kind: Kind::Inline });
        }
        // A `!` may follow: then this is a macro's name, and its arguments are parsed as usual.
        at + 1
    }

    fn use_declaration(&mut self, at: usize) -> usize {
        let public = matches!(self.before(at), Some(Token::Word("pub") | Token::Mark(')')));
        let mut imported = Vec::new();
        let (start, prefix) = if self.token(at + 1) == Some(Token::PathSep) {
            (at + 2, vec![""])
        } else {
            (at + 1, Vec::new())
        };
        let end = match self.use_tree(start, &prefix, &mut imported) {
            Some(end) if self.is_mark(end, ';') => end + 1,
            // `use<'a>` of a type, or a pattern of a macro.
            _ => return at + 1,
        };
        let (scope, item) = (self.scope(), self.in_module());
        for (line, path, name) in imported {
            let kind = Kind::Use { name, item, public };
            self.source.imports.push(Import { line, scope: scope.clone(), path, kind });
        }
        end
    }

    /// Flattens a `use` tree: the line, the path and the bound name of each import.
    fn use_tree(
        &self,
        mut at: usize,
        prefix: &Segments<'a>,
        imported: &mut Vec<(usize, Segments<'a>, Option<&'a str>)>,
    ) -> Option<usize> {
        let mut path = prefix.clone();
        loop {
            let line = self.tokens.get(at)?.1;
            match self.token(at)? {
                Token::Mark('{') => {
                    at += 1;
                    while !self.is_mark(at, '}') {
                        at = self.use_tree(at, &path, imported)?;
                        at += usize::from(self.is_mark(at, ','));
                    }
                    return Some(at + 1);
                }
                Token::Mark('*') => {
                    path.push("*");
                    imported.push((line, path, None));
                    return Some(at + 1);
                }
                Token::Word(word) => {
                    // `self` in braces is the module before them.
                    if word != "self" || path.is_empty() {
                        path.push(word);
                    }
                    if self.token(at + 1) == Some(Token::PathSep) {
                        at += 2;
                        continue;
                    }
                    let alias = self.word(at + 2).filter(|_| self.word(at + 1) == Some("as"));
                    let name = alias.or(path.last().copied());
                    imported.push((line, path, name));
                    return Some(at + if alias.is_some() { 3 } else { 1 });
                }
                _ => return None,
            }
        }
    }
}

/// Whether the condition of a `cfg` cannot hold outside tests.
fn requires_test(condition: &[Token<'_>]) -> bool {
    match condition {
        [Token::Word("test")] => true,
        [Token::Word("all"), Token::Mark('('), parts @ .., Token::Mark(')')] => {
            let mut depth = 0;
            let mut parts = parts.split(|token| {
                match token {
                    Token::Mark('(') => depth += 1,
                    Token::Mark(')') => depth -= 1,
                    _ => {}
                }
                depth == 0 && *token == Token::Mark(',')
            });
            parts.any(requires_test)
        }
        _ => false,
    }
}
