//! Splits Rust source into tokens, without comments and without the content of literals.

/// A token; a lifetime counts as a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Word(&'a str),
    /// `::`
    PathSep,
    Mark(char),
    Literal,
}

/// The tokens of a file, each with its line.
pub(super) fn tokens(text: &str) -> Vec<(Token<'_>, usize)> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (token, length) = if rest.starts_with("//") {
            (None, rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (None, comment(rest))
        } else if first.is_whitespace() {
            (None, first.len_utf8())
        } else if rest.starts_with("::") {
            (Some(Token::PathSep), 2)
        } else if let Some(length) = literal(rest) {
            (Some(Token::Literal), length)
        } else if let Some(raw) = rest.strip_prefix("r#") {
            let length = word(raw);
            (Some(Token::Word(&raw[..length])), 2 + length)
        } else if word(rest) > 0 {
            (Some(Token::Word(&rest[..word(rest)])), word(rest))
        } else {
            (Some(Token::Mark(first)), first.len_utf8())
        };
        found.extend(token.map(|token| (token, line)));
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

fn word(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// The length of a block comment; block comments nest.
fn comment(text: &str) -> usize {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 && at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of the literal or lifetime at the start of `text`.
fn literal(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    if first.is_ascii_digit() {
        let whole = word(text);
        // `0.5` is one number, `0..5` and `0.max(5)` are not.
        let part =
            text[whole..].strip_prefix('.').filter(|part| part.starts_with(|c: char| c.is_ascii_digit()));
        return Some(whole + part.map_or(0, |part| 1 + word(part)));
    }
    let prefix = ["br", "cr", "b", "c", "r"].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| rest.trim_start_matches('#').starts_with(['"', '\'']))
    });
    let prefix = prefix.unwrap_or("");
    let body = &text[prefix.len()..];
    let hashes = body.len() - body.trim_start_matches('#').len();
    if prefix.ends_with('r') && body[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let start = hashes + 1;
        return Some(prefix.len() + body[start..].find(&end).map_or(body.len(), |at| start + at + end.len()));
    }
    let length = match body.chars().next()? {
        '"' => quoted(body, '"'),
        '\'' => {
            let mut after = body[1..].chars();
            let is_character = after.next() == Some('\\') || after.next() == Some('\'');
            if is_character { quoted(body, '\'') } else { 1 + word(&body[1..]) }
        }
        _ => return None,
    };
    Some(prefix.len() + length)
}

/// The length of a literal that begins and ends with `quote`.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}
