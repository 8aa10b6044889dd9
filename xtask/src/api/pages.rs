//! The public items on the pages that rustdoc writes for one crate.
//!
//! Relies on the ids in these pages (`method.name`, `variant.Name`, …), which are link targets and therefore hardly
//! ever change, and on the classes of declarations.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::html::{Names, Piece, Tag, code, pieces};

/// The auto traits that count as part of the API; rustdoc also shows some that only the compiler uses.
const AUTO_TRAITS: &[&str] = &["Send", "Sync", "Unpin"];

/// Derived together with `PartialEq`, and internal to the compiler.
const INTERNAL_TRAIT: &str = "impl StructuralPartialEq for ";

/// The text that a declaration shows instead of private fields.
const PRIVATE: &str = "/* private fields */";

/// Parses the pages of a crate: one line per item. `read` returns the page at a path.
pub(super) fn items(
    own_crate: &str,
    read: impl Fn(&str) -> Result<String, String>,
) -> Result<BTreeSet<String>, String> {
    let entries = entries(&read("all.html")?);
    let root = entries.iter().map(|entry| entry.path.clone()).filter(|path| !path.contains("::")).collect();
    let names = Names { own_crate, root };
    let mut lines = reexports("", &read("index.html")?, &names);
    // The path of each module, and whether this crate defines it.
    let mut modules: BTreeMap<&str, bool> = BTreeMap::new();
    for entry in &entries {
        let mut is_own = true;
        for (end, _) in entry.path.match_indices("::") {
            let module = &entry.path[..end];
            if is_own && !modules.contains_key(module) {
                let page = read(&format!("{}/index.html", module.replace("::", "/")))?;
                let origin = Page::read(&page, module, "mod", &names).origin;
                if origin == own_crate {
                    lines.insert(format!("{module}: pub mod"));
                    lines.extend(reexports(&format!("{module}::"), &page, &names));
                } else {
                    lines.insert(foreign(module, "mod", origin));
                }
                modules.insert(module, origin == own_crate);
            }
            is_own = is_own && modules[module];
        }
        if is_own {
            let text = read(&entry.page)?;
            let page = Page::read(&text, &entry.path, &entry.kind, &names);
            if page.origin == own_crate {
                lines.extend(page.lines);
            } else {
                lines.insert(foreign(&entry.path, &entry.kind, page.origin));
            }
        }
    }
    if lines.is_empty() { Err(format!("rustdoc's pages of {own_crate} show no item")) } else { Ok(lines) }
}

/// The line of an item that another crate defines; its members are in that crate's list.
fn foreign(path: &str, kind: &str, origin: &str) -> String {
    format!("{path}: {kind} re-exported from {origin}")
}

/// An entry of the page that lists all items.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    page: String,
    path: String,
    kind: String,
}

fn entries(page: &str) -> Vec<Entry> {
    let links = pieces(page).into_iter().filter_map(|piece| match piece {
        Piece::Open(tag) if tag.name == "a" => Some(tag.attribute("href")),
        _ => None,
    });
    // `blocking/struct.Environ.html`
    let entry = |link: &str| {
        let (folders, file) = link.rsplit_once('/').map_or(("", link), |(folders, file)| (folders, file));
        let (kind, name) = file.strip_suffix(".html")?.split_once('.')?;
        if folders.starts_with("..") || link.contains(':') {
            return None;
        }
        let path: Vec<&str> = folders.split('/').filter(|folder| !folder.is_empty()).chain([name]).collect();
        Some(Entry { page: link.to_owned(), path: path.join("::"), kind: kind.to_owned() })
    };
    links.filter_map(entry).collect()
}

/// The `pub use` lines on a module's page for which rustdoc makes no page, such as those of whole crates.
fn reexports(module: &str, page: &str, names: &Names<'_>) -> BTreeSet<String> {
    let pieces = pieces(page);
    let starts = pieces.iter().enumerate().filter_map(|(at, piece)| match piece {
        Piece::Open(tag) => Some((at, tag.attribute("id").strip_prefix("reexport.")?)),
        _ => None,
    });
    let line = |(at, name): (usize, &str)| {
        let declaration = code(&pieces[element(&pieces, at, |tag| tag.name == "code")?..], names);
        Some(format!("{module}{name}: {}", declaration.trim_end_matches(';')))
    };
    starts.filter_map(line).collect()
}

/// The first element from `start` on that `matches` accepts.
fn element(pieces: &[Piece<'_>], start: usize, matches: impl Fn(&Tag<'_>) -> bool) -> Option<usize> {
    let found = |piece: &Piece<'_>| matches!(piece, Piece::Open(tag) if matches(tag));
    pieces[start..].iter().position(found).map(|at| start + at)
}

/// The page of an item or a module.
#[derive(Debug, Default)]
struct Page<'a> {
    /// The crate that defines the item.
    origin: &'a str,
    lines: BTreeSet<String>,
}

impl<'a> Page<'a> {
    fn read(text: &'a str, path: &str, kind: &str, names: &Names<'_>) -> Page<'a> {
        let pieces = pieces(text);
        let mut page = Page { origin: "another crate", lines: BTreeSet::new() };
        // Rustdoc's own heading above the current piece; empty before the first one.
        let mut section = "";
        let mut declared = false;
        // The line of an impl, complete when the next one begins.
        let mut of_impl = String::new();
        for (at, piece) in pieces.iter().enumerate() {
            let Piece::Open(tag) = piece else { continue };
            let id = tag.attribute("id");
            let code_from = |is_it: fn(&Tag<'_>) -> bool| {
                element(&pieces, at, is_it).map(|start| code(&pieces[start..], names)).unwrap_or_default()
            };
            if tag.name == "h2" && tag.has_class("section-header") {
                section = id;
            } else if section.is_empty() && !declared && tag.name == "a" && tag.has_class("src") {
                page.origin = origin(tag.attribute("href")).unwrap_or(page.origin);
            } else if section.is_empty() && !declared && tag.has_class("item-decl") {
                declared = true;
                let code = code_from(|tag| tag.name == "code");
                page.lines.insert(format!("{path}: {}", declaration(&code, kind)));
            } else if tag.name == "section" && tag.has_class("impl") {
                page.lines.insert(std::mem::take(&mut of_impl));
                let header = code_from(|tag| tag.has_class("code-header"));
                if is_listed(&header, section, path) {
                    of_impl = header;
                }
            } else if tag.has_class("trait-impl") {
                if id.starts_with("associatedtype.") && !of_impl.is_empty() {
                    let header = code_from(|tag| tag.has_class("code-header"));
                    of_impl.push_str(&format!(" {{ {header} }}"));
                }
            } else if let Some((name, required)) =
                member(id).filter(|_| kind != "type" && has_members(section))
            {
                let declaration = code_from(|tag| tag.name == "code" || tag.has_class("code-header"));
                page.lines.insert(member_line(path, &name, required, &declaration));
            }
        }
        page.lines.insert(of_impl);
        page.lines.remove("");
        page
    }
}

/// `../src/wsgi_app/application/body.rs.html#28`
fn origin(source: &str) -> Option<&str> {
    let (_, path) = source.split_once("src/")?;
    path.split('/').next()
}

/// The declaration of an item, without the members that have lines of their own.
fn declaration<'a>(code: &'a str, kind: &str) -> Cow<'a, str> {
    let has_members = ["struct", "enum", "union", "trait"].contains(&kind);
    match code.split_once(" {").filter(|_| has_members) {
        Some((head, members)) if members.contains(PRIVATE) => format!("{head} {{ {PRIVATE} }}").into(),
        Some((head, _)) => head.into(),
        None => code.trim_end_matches(';').into(),
    }
}

/// The name of a member with this id, and whether an implementation must provide it.
fn member(id: &str) -> Option<(String, bool)> {
    let (kind, name) = id.split_once('.')?;
    if !["method", "tymethod", "variant", "structfield", "associatedtype", "associatedconstant"]
        .contains(&kind)
    {
        return None;
    }
    // `variant.Access.field.line`; `variant.Access.fields` is the heading above.
    let name = name.replace(".field.", "::");
    (!name.contains('.')).then(|| (without_number(&name).to_owned(), kind == "tymethod"))
}

fn member_line(path: &str, name: &str, required: bool, declaration: &str) -> String {
    let last = name.rsplit("::").next().unwrap_or(name);
    match declaration.strip_prefix(last) {
        // A field or a variant.
        Some(rest) => format!("{path}::{name}{rest}"),
        None if required => format!("{path}::{name} (required): {declaration}"),
        None => format!("{path}::{name}: {declaration}"),
    }
}

/// Rustdoc appends a number to an id that occurs twice on a page: `method.new-1`.
fn without_number(name: &str) -> &str {
    name.rsplit_once('-').filter(|(_, number)| number.parse::<usize>().is_ok()).map_or(name, |(name, _)| name)
}

fn has_members(section: &str) -> bool {
    ["fields", "variants", "implementations"].contains(&section)
        || section.starts_with("required-")
        || section.starts_with("provided-")
}

/// Whether an impl in a section gets a line: impls for every type do not, and auto traits only where they are missing
/// or conditional.
fn is_listed(header: &str, section: &str, path: &str) -> bool {
    match section {
        "implementations" => header != format!("impl {path}"),
        "trait-implementations" | "implementors" | "foreign-impls" => !header.starts_with(INTERNAL_TRAIT),
        "synthetic-implementations" => {
            let (trait_, _) = header.split_once(" for ").unwrap_or_default();
            let name = trait_.rsplit([' ', '!']).next().unwrap_or_default();
            let conditional = header.contains('!') || header.contains(" where ") || header.contains(": ");
            AUTO_TRAITS.contains(&name) && conditional
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pages: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let read = |path: &str| {
            let page = pages.iter().find(|(name, _)| *name == path);
            page.map(|(_, text)| (*text).to_owned()).ok_or(format!("no page {path}"))
        };
        items("own", read).map(|lines| lines.into_iter().collect())
    }

    /// The lines of a crate with nothing but one item.
    fn lines(kind: &str, page: &str) -> Vec<String> {
        let file = format!("{kind}.Item.html");
        let all = format!("<a href='../own/index.html'></a><a href='{file}'>Item</a>");
        let page = format!("<a class='src' href='../src/own/item.rs.html#7'>Source</a>{page}");
        found(&[("all.html", &all), ("index.html", ""), (&file, &page)]).unwrap()
    }

    fn section(id: &str, header: &str) -> String {
        format!("<section id='{id}' class='method'><h4 class='code-header'>{header}</h4></section>")
    }

    fn of_impl(header: &str) -> String {
        format!("<section id='impl' class='impl'><h3 class='code-header'>{header}</h3></section>")
    }

    #[test]
    fn a_struct_has_lines_for_fields_and_methods() {
        let page = [
            "<pre class='rust item-decl'><code>pub struct Item { pub size: usize, <span>/* private fields */</span> }</code></pre>",
            "<h2 id='made-up'>A heading of the documentation</h2>",
            "<h2 id='fields' class='fields section-header'>Fields</h2>",
            "<span id='structfield.size' class='structfield section-header'><code>size: usize</code></span>",
            "<h2 id='implementations' class='section-header'>Implementations</h2>",
            &of_impl("impl Item"),
            &section("method.new", "pub fn <a class='fn'>new</a>() -&gt; Self"),
            &of_impl("impl&lt;'a&gt; Item&lt;'a&gt;"),
            &section("method.new-1", "pub fn <a class='fn'>new</a>() -&gt; u8"),
            "<h2 id='deref-methods-str' class='section-header'>Methods from Deref</h2>",
            &section("method.len", "pub fn <a class='fn'>len</a>()"),
        ];
        let expected = [
            "Item: pub struct Item { /* private fields */ }",
            "Item::new: pub fn new() -> Self",
            "Item::new: pub fn new() -> u8",
            "Item::size: usize",
            "impl<'a> Item<'a>",
        ];
        assert_eq!(lines("struct", &page.concat()), expected);
    }

    #[test]
    fn an_enum_has_lines_for_variants_and_their_fields() {
        let page = [
            "<pre class='rust item-decl'><code><div>#[non_exhaustive]</div>pub enum Item { A, }</code></pre>",
            "<h2 id='variants' class='variants section-header'>Variants</h2>",
            "<section id='variant.A' class='variant'><h3 class='code-header'>A</h3></section>",
            "<section id='variant.B' class='variant'><h3 class='code-header'>B(u8)</h3></section>",
            "<div class='sub-variant' id='variant.A.fields'><h4>Fields</h4>",
            "<span id='variant.A.field.line' class='section-header'><code>line: &amp;'a str</code></span></div>",
        ];
        let expected =
            ["Item: #[non_exhaustive] pub enum Item", "Item::A", "Item::A::line: &'a str", "Item::B(u8)"];
        assert_eq!(lines("enum", &page.concat()), expected);
    }

    #[test]
    fn a_trait_shows_what_has_to_be_implemented() {
        let page = [
            "<pre class='rust item-decl'><code>pub trait Item: Send {\n fn a(); }</code></pre>",
            "<h2 id='required-associated-types' class='section-header'></h2>",
            &section("associatedtype.Out", "type <a class='associatedtype'>Out</a>: Send"),
            "<h2 id='required-methods' class='section-header'></h2>",
            &section("tymethod.a", "fn <a class='fn'>a</a>()"),
            "<h2 id='provided-methods' class='section-header'></h2>",
            &section("method.b", "fn <a class='fn'>b</a>()"),
        ];
        let expected = [
            "Item: pub trait Item: Send",
            "Item::Out: type Out: Send",
            "Item::a (required): fn a()",
            "Item::b: fn b()",
        ];
        assert_eq!(lines("trait", &page.concat()), expected);
    }

    #[test]
    fn implementations_are_listed_unless_every_type_has_them() {
        let page = [
            "<h2 id='trait-implementations' class='section-header'></h2>",
            &of_impl("impl StructuralPartialEq for Item"),
            &of_impl("impl Iterator for Item"),
            "<section id='associatedtype.Item' class='associatedtype trait-impl'><h4 class='code-header'>",
            "type <a class='associatedtype'>Item</a> = u8</h4></section>",
            "<section id='method.next' class='method trait-impl'><h4 class='code-header'>fn next()</h4></section>",
            &of_impl("impl Clone for Item"),
            "<h2 id='synthetic-implementations' class='section-header'></h2>",
            &of_impl("impl Send for Item"),
            &of_impl("impl !Sync for Item"),
            &of_impl("impl&lt;A&gt; Unpin for Item&lt;A&gt; where A: Unpin"),
            &of_impl("impl !Freeze for Item"),
            "<h2 id='blanket-implementations' class='section-header'></h2>",
            &of_impl("impl&lt;T&gt; Any for T"),
        ];
        let expected = [
            "impl !Sync for Item",
            "impl Clone for Item",
            "impl Iterator for Item { type Item = u8 }",
            "impl<A> Unpin for Item<A> where A: Unpin",
        ];
        assert_eq!(lines("struct", &page.concat()), expected);
    }

    #[test]
    fn type_aliases_have_no_members() {
        let page = [
            "<pre class='rust item-decl'><code>pub type Item = Result&lt;()&gt;;</code></pre>",
            "<h2 id='variants' class='variants section-header'></h2>",
            "<section id='variant.Ok' class='variant'><h3 class='code-header'>Ok(T)</h3></section>",
        ];
        assert_eq!(lines("type", &page.concat()), ["Item: pub type Item = Result<()>"]);
    }

    #[test]
    fn other_crates_items_have_one_line() {
        let from = |source: &str| format!("<a class='src' href='{source}'>Source</a>");
        let entries =
            ["struct.Own.html", "struct.Item.html", "fn.there.html", "own/fn.go.html", "other/fn.go.html"];
        let all: String = entries.iter().map(|entry| format!("<a href='{entry}'>")).collect();
        let function = "<pre class='item-decl'><code>pub fn go()</code></pre>";
        let reexport = "<dt id='reexport.tls'><code>pub use rustls as tls;</code></dt>";
        let found = found(&[
            ("all.html", &all),
            ("index.html", reexport),
            (
                "struct.Own.html",
                &(from("../src/own/a.rs.html") + "<pre class='item-decl'><code>pub struct Own;</code></pre>"),
            ),
            ("struct.Item.html", &(from("../src/core_crate/a.rs.html") + function)),
            ("fn.there.html", function),
            ("own/index.html", &(from("../../src/own/mod.rs.html") + reexport)),
            ("own/fn.go.html", &(from("../../src/own/mod.rs.html") + function)),
            ("other/index.html", &from("https://docs.rs/other/1.2/src/other/lib.rs.html")),
        ]);
        let expected = [
            "Item: struct re-exported from core_crate",
            "Own: pub struct Own",
            "other: mod re-exported from other",
            "own: pub mod",
            "own::go: pub fn go()",
            "own::tls: pub use rustls as tls",
            "there: fn re-exported from another crate",
            "tls: pub use rustls as tls",
        ];
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn pages_without_items_are_an_error() {
        assert_eq!(found(&[]), Err("no page all.html".to_owned()));
        let nothing = found(&[("all.html", "<p>"), ("index.html", "<p>")]);
        assert_eq!(nothing, Err("rustdoc's pages of own show no item".to_owned()));
    }
}
