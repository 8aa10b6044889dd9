//! Parses rustdoc's HTML: tags, text, and the code in it. Not a general HTML parser.

use std::collections::BTreeSet;

/// The names that decide how [`code`] shows a link.
#[derive(Debug)]
pub(super) struct Names<'a> {
    /// The crate that the pages document.
    pub(super) own_crate: &'a str,
    /// The items in its root.
    pub(super) root: BTreeSet<String>,
}

/// A part of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Open(Tag<'a>),
    Close(&'a str),
    /// The raw text of the page; [`code`] replaces the entities.
    Text(&'a str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    pub(super) name: &'a str,
    attributes: &'a str,
}

impl<'a> Tag<'a> {
    /// The value of an attribute; empty if it is missing.
    pub(super) fn attribute(&self, name: &str) -> &'a str {
        let mut rest = self.attributes;
        while let Some((before, after)) = rest.split_once('=') {
            let quote = if after.starts_with('\'') { '\'' } else { '"' };
            let Some((value, after)) = after.strip_prefix(quote).and_then(|value| value.split_once(quote))
            else {
                return "";
            };
            if before.split_ascii_whitespace().last() == Some(name) {
                return value;
            }
            rest = after;
        }
        ""
    }

    pub(super) fn has_class(&self, class: &str) -> bool {
        self.attribute("class").split_ascii_whitespace().any(|one| one == class)
    }
}

/// The pieces of a page. Text never contains `<`, which rustdoc writes as `&lt;`.
pub(super) fn pieces(page: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = page;
    while !rest.is_empty() {
        let Some(tag) = rest.strip_prefix('<') else {
            let length = rest.find('<').unwrap_or(rest.len());
            found.push(Piece::Text(&rest[..length]));
            rest = &rest[length..];
            continue;
        };
        let length = end_of_tag(tag);
        let inside = tag[..length].trim_end_matches('/');
        found.push(match inside.strip_prefix('/') {
            Some(name) => Piece::Close(name),
            None => {
                let (name, attributes) =
                    inside.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((inside, ""));
                Piece::Open(Tag { name, attributes })
            }
        });
        rest = tag.get(length + 1..).unwrap_or("");
    }
    found
}

/// The position of the `>` that ends a tag, ignoring those in quoted values.
fn end_of_tag(tag: &str) -> usize {
    let mut quote = None;
    for (at, c) in tag.char_indices() {
        match (quote, c) {
            (None, '>') => return at,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    tag.len()
}

/// The code of the element whose opening tag `pieces` begins with, on one line.
///
/// A link to an item of the crate becomes its path from the root, because several modules may have the same name. A
/// link to another crate's item includes its crate if the root has an item of the same name.
pub(super) fn code(pieces: &[Piece<'_>], names: &Names<'_>) -> String {
    let mut text = String::new();
    let mut depth = 0;
    let mut at = 0;
    while let Some(piece) = pieces.get(at) {
        match piece {
            Piece::Open(tag) if tag.name == "a" => {
                let end = (at..pieces.len()).find(|&end| pieces[end] == Piece::Close("a"));
                let end = end.unwrap_or(pieces.len());
                text.push_str(&link(tag, &pieces[at + 1..end], names));
                at = end;
            }
            Piece::Open(tag) => {
                // A separate line on the page, without white space around it.
                if ["div", "br"].contains(&tag.name) || tag.has_class("where") {
                    text.push(' ');
                }
                depth += i32::from(!["br", "wbr"].contains(&tag.name));
            }
            Piece::Close(name) => {
                if *name == "div" {
                    text.push(' ');
                }
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            Piece::Text(part) => text.push_str(part),
        }
        at += 1;
    }
    one_line(&unescaped(&text))
}

fn link(tag: &Tag<'_>, inside: &[Piece<'_>], names: &Names<'_>) -> String {
    if ["src", "anchor", "tooltip"].iter().any(|class| tag.has_class(class)) {
        return String::new();
    }
    let text: String =
        inside.iter().map(|piece| if let Piece::Text(text) = piece { *text } else { "" }).collect();
    let (_, path) = tag.attribute("title").split_once(' ').unwrap_or_default();
    let Some((crate_name, path)) = path.split_once("::") else { return text };
    if tag.has_class("associatedtype") || path.rsplit("::").next() != Some(&text) {
        return text;
    }
    match crate_name {
        own if own == names.own_crate => path.to_owned(),
        _ if !names.root.contains(&text) => text,
        // Items move between these three crates, and keep their module.
        "core" | "alloc" | "std" => format!("{}::{text}", path.split("::").next().unwrap_or_default()),
        other => format!("{other}::{text}"),
    }
}

fn unescaped(text: &str) -> String {
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#x27;", "'"), ("&nbsp;", " ")];
    let text = entities.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain));
    text.replace("&amp;", "&")
}

/// Removes the line breaks, and the commas before them, that depend on the length of a declaration.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    let marks = [("( ", "("), (", )", ")"), (" )", ")"), ("< ", "<"), (", >", ">"), (", }", " }")];
    let line = marks.iter().fold(line, |line, (wrapped, plain)| line.replace(wrapped, plain));
    line.trim_end_matches(',').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_cut_into_tags_and_text() {
        let page = "<p id='a>b' class=\"x y\">1 &lt; 2<br/></p>";
        let found = pieces(page);
        let Piece::Open(tag) = found[0] else { panic!("{found:?}") };
        assert_eq!((tag.name, tag.attribute("id"), tag.attribute("href")), ("p", "a>b", ""));
        assert!(tag.has_class("y") && !tag.has_class("x y"));
        assert_eq!(found[1], Piece::Text("1 &lt; 2"));
        assert!(matches!(found[2], Piece::Open(Tag { name: "br", .. })));
        assert_eq!(found[3..], [Piece::Close("p")]);
        assert_eq!(pieces("<p"), [Piece::Open(Tag { name: "p", attributes: "" })]);
    }

    #[test]
    fn code_is_one_line_in_which_names_are_unique() {
        let names = Names { own_crate: "own", root: ["Error".to_owned()].into() };
        for (page, expected) in [
            (
                "<h4>pub fn <a class=\"fn\" href=\"#x\">f</a>() -&gt; &amp;'a u8</h4> more",
                "pub fn f() -> &'a u8",
            ),
            ("<h4>a <a class=\"struct\" title=\"struct own::m::A\">A</a></h4>", "a m::A"),
            ("<h4>a <a class=\"struct\" title=\"struct owner::m::A\">A</a></h4>", "a A"),
            ("<h4>Self::<a class=\"associatedtype\" title=\"type own::T::A\">A</a></h4>", "Self::A"),
            ("<h4>a <a class=\"type\" title=\"type own::m::A\">B</a></h4>", "a B"),
            ("<h4>a <a class=\"type\" title=\"type own::Error\">Error</a></h4>", "a Error"),
            ("<h4>a <a class=\"trait\" title=\"trait core::error::Error\">Error</a></h4>", "a error::Error"),
            ("<h4>a <a class=\"enum\" title=\"enum other::m::Error\">Error</a></h4>", "a other::Error"),
            ("<h4>fn f(\n    a: A,\n    b: B,\n) -&gt; C&lt;\n    D,\n&gt;</h4>", "fn f(a: A, b: B) -> C<D>"),
            (
                "<h3>impl X<div class=\"where\">where\n    A: B,\n    C: D,</div></h3>",
                "impl X where A: B, C: D",
            ),
            (
                "<code><div>#[non_exhaustive]</div>pub enum E { A, }</code>",
                "#[non_exhaustive] pub enum E { A }",
            ),
            ("<h4>fn f()<a class=\"tooltip\" href=\"#\">i</a><a class=\"src\">Source</a></h4>", "fn f()"),
        ] {
            assert_eq!(code(&pieces(page), &names), expected, "{page}");
        }
    }
}
