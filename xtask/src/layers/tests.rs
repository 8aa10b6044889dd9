//! The checks on small trees in memory.

use super::Files;
use super::check::check;
use super::table::{self, parse};

/// The problems of a crate `demo-app` with these layers and files; an empty `lib.rs` is added where none is given.
fn problems(layers: &str, files: &[(&str, &str)]) -> Vec<String> {
    let document = format!("```text layers=demo-app\n{layers}\n```\n");
    let (tables, mut problems) = parse(&document);
    let mut tree: Files =
        files.iter().map(|(path, text)| (String::from(*path), String::from(*text))).collect();
    tree.entry(String::from("lib.rs")).or_default();
    problems.extend(check(&tree, &tables[0]));
    problems
}

#[track_caller]
fn assert_clean(layers: &str, files: &[(&str, &str)]) {
    assert_eq!(problems(layers, files), Vec::<String>::new());
}

#[track_caller]
fn assert_problems(layers: &str, files: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(problems(layers, files), expected);
}

/// The problems of `high.rs` with this text, above `low.rs` and `low/deep.rs`, all under a root with re-exports.
fn in_high(text: &str) -> Vec<String> {
    problems(
        "high\nlow/",
        &[
            (
                "lib.rs",
                "mod high; mod low; pub use low::{Low, deep::Deep}; pub use bytes::Bytes; pub use bytes::*; struct Own;",
            ),
            ("high.rs", text),
            (
                "low.rs",
                "mod deep; use deep::Deep; pub struct Low(Deep); pub fn low() {} pub mod part { pub enum Part {} }",
            ),
            ("low/deep.rs", "pub struct Deep;"),
        ],
    )
}

#[test]
fn imports_downwards_and_within_a_line_pass() {
    assert_clean(
        "top  the module above all\nmiddle/ left right  some more\n\nbottom",
        &[
            (
                "top.rs",
                "use crate::{middle::inner::Inner, left::{self, Left}, bottom::*}; fn f() { left::left() }",
            ),
            ("middle/mod.rs", "mod inner; use self::inner::Inner; use crate::right::RIGHT;"),
            ("middle/inner.rs", "pub struct Inner;"),
            (
                "left.rs",
                "use super::middle::inner::Inner as Other; pub struct Left; pub(crate) const fn left() {}",
            ),
            ("right.rs", "pub(super) static mut RIGHT: crate::bottom::Bottom = 1;"),
            ("bottom.rs", "pub type Bottom = u8;"),
        ],
    );
}

#[test]
fn an_import_upwards_is_refused() {
    assert_problems(
        "high wide  one\nlow  two",
        &[("high.rs", "pub struct High;"), ("wide.rs", ""), ("low.rs", "\nuse crate::high::High;")],
        &[
            "demo-app/src/low.rs:2: `crate::high::High` is an import upwards: `high wide` (ARCHITECTURE.md:2) is above \
           `low` (ARCHITECTURE.md:3); import from the same line or a lower one",
        ],
    );
}

#[test]
fn an_import_through_the_root_is_refused_and_the_defining_module_named() {
    for (path, said) in [
        ("crate::Low", "goes through the crate root; import `crate::low::Low` instead"),
        ("super::Low", "goes through the crate root; import `crate::low::Low` instead"),
        ("demo_app::Low", "goes through the crate root; import `crate::low::Low` instead"),
        ("::demo_app::Low", "goes through the crate root; import `crate::low::Low` instead"),
        ("crate::Deep", "goes through the crate root; import `crate::low::deep::Deep` instead"),
        ("crate::Bytes", "goes through the crate root; import `bytes::Bytes` instead"),
        ("crate::Buf", "goes through the crate root; import `bytes::Buf` instead"),
        ("crate::Own", "is defined in lib.rs, from which no module may import"),
        ("crate::*", "goes through the crate root; import each item from the module that defines it"),
    ] {
        let expected = format!("demo-app/src/high.rs:1: `{path}` {said}");
        assert_eq!(in_high(&format!("use {path};")), [expected]);
    }
    assert_problems(
        "a",
        &[("a.rs", "use crate::Generated;")],
        &[
            "demo-app/src/a.rs:1: `crate::Generated` goes through the crate root; import it from the module that \
           defines it",
        ],
    );
    assert_eq!(
        in_high("use crate as root;"),
        ["demo-app/src/high.rs:1: `crate` is the crate root, from which no module may import"]
    );
}

#[test]
fn an_import_through_another_modules_re_export_is_refused() {
    let expected = |path: &str| {
        format!("demo-app/src/high.rs:1: `{path}` is a re-export; import `crate::low::deep::Deep` instead")
    };
    assert_eq!(in_high("use crate::low::Deep;"), [expected("crate::low::Deep")]);
    assert_eq!(in_high("use crate::low; type D = low::Deep;"), [expected("low::Deep")]);
    let files = &[
        ("a.rs", "use crate::b::Other;"),
        ("b.rs", "pub use crate::c::*;"),
        ("c.rs", "pub use crate::d::Thing as Other;"),
        ("d.rs", "pub struct Thing;"),
    ];
    assert_problems(
        "a\nb\nc\nd",
        files,
        &[
            "demo-app/src/a.rs:1: `crate::b::Other` is a re-export; import `crate::d::Thing` instead",
            "demo-app/src/b.rs:1: `crate::c::*` includes the re-export `crate::d::Thing` of demo-app/src/c.rs; name \
             the items instead",
        ],
    );
}

#[test]
fn a_module_may_stand_for_another_crate() {
    assert_clean(
        "a\nsync",
        &[
            ("a.rs", "use crate::sync::{Mutex, Arc};"),
            ("sync.rs", "#[cfg(loom)] pub use loom::sync::*; pub(crate) use std::sync::Mutex;"),
        ],
    );
}

#[test]
fn an_import_of_what_the_file_does_not_define_is_refused() {
    assert_eq!(
        in_high("use crate::low::Gone;"),
        ["demo-app/src/high.rs:1: `crate::low::Gone` is not defined in demo-app/src/low.rs"]
    );
}

#[test]
fn what_a_file_defines_is_found() {
    let low = "
        pub(in crate::low) union Union { a: u8 }
        pub async unsafe fn function() { use crate::other::Local; }
        pub const fn constant() {}
        pub mod part { pub mod inner { pub trait Trait {} } }
        macro_rules! rules { ($x:ident) => { pub struct $x; } }
        pub(crate) use rules;
        rules!(Generated);
        thread_local! { static LOCAL: u8 = 0; }
        pub enum Phase { Idle }";
    let high = "
        use crate::low::{Union, function, constant, part, part::inner::{self, Trait}, rules, Generated, LOCAL};
        use crate::low::Phase::*;
        const P: crate::low::Phase = crate::low::Phase::Idle;";
    assert_clean(
        "high\nlow\nother",
        &[("high.rs", high), ("low.rs", low), ("other.rs", "pub struct Local;")],
    );
}

#[test]
fn an_exported_macro_belongs_to_its_module_although_its_path_is_in_the_root() {
    let exported = "#[macro_export]\nmacro_rules! build { () => { $crate::Options::new() } }";
    assert_clean("high\nlow", &[("low.rs", exported), ("high.rs", "crate::build!();")]);
    let found = problems("high\nlow", &[("high.rs", exported), ("low.rs", "crate::build!();")]);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("`crate::build` is an import upwards"), "{found:?}");
}

#[test]
fn a_cycle_is_refused_within_a_line_too() {
    assert_problems(
        "a b c d",
        &[
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "\nuse crate::c::C; pub struct B;"),
            ("c.rs", "\n\nuse crate::a::A; use crate::d::D; pub struct C;"),
            ("d.rs", "pub struct D;"),
        ],
        &[
            "import cycle: demo-app/src/a.rs:1 -> demo-app/src/b.rs:2 -> demo-app/src/c.rs:3 -> demo-app/src/a.rs",
        ],
    );
}

#[test]
fn every_cycle_is_reported() {
    let file = |other: &str| format!("use crate::{other}::f; pub fn f() {{}}");
    let [to_a, to_b, to_c, to_d] = ["a", "b", "c", "d"].map(file);
    let found = problems("a b c d", &[("a.rs", &to_b), ("b.rs", &to_a), ("c.rs", &to_d), ("d.rs", &to_c)]);
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn a_parent_that_re_exports_its_child_must_not_be_imported_by_it() {
    assert_problems(
        "folder/",
        &[
            ("folder/mod.rs", "mod child; pub use child::Child; pub struct Parent;"),
            ("folder/child.rs", "use super::Parent; pub struct Child;"),
        ],
        &[
            "import cycle: demo-app/src/folder/mod.rs:1 -> demo-app/src/folder/child.rs:1 -> demo-app/src/folder/mod.rs",
        ],
    );
    // Declaring a module is not an import.
    assert_clean(
        "folder/",
        &[("folder.rs", "mod child; pub struct Parent;"), ("folder/child.rs", "use super::Parent;")],
    );
}

#[test]
fn a_cycle_that_hides_behind_the_root_is_found() {
    let found = problems(
        "a b",
        &[
            ("lib.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
            ("a.rs", "use crate::B; pub struct A;"),
            ("b.rs", "use crate::A; pub struct B;"),
        ],
    );
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[2].starts_with("import cycle"), "{found:?}");
}

#[test]
fn the_root_may_import_everything() {
    assert_clean(
        "high\nlow",
        &[
            ("lib.rs", "mod high; mod low; pub use high::High; pub mod adapter { pub use crate::low::Low; }"),
            ("high.rs", "pub struct High;"),
            ("low.rs", "pub struct Low;"),
        ],
    );
}

#[test]
fn imports_are_found_wherever_they_stand() {
    for text in [
        "use crate::{low::{deep::{Deep as D}, low}, Low};",
        "fn f() { use crate::Low; }",
        "fn f() { let x = crate::Low::new::<u8>(); }",
        "fn f<'a>(c: char) { if c == '{' { } } struct S(&'static crate::Low);",
        "impl From<crate::Low> for High {}",
        "type T = <crate::Low as Clone>::Item;",
        "mod inner { mod innermost { fn f() { super::super::super::Low } } }",
        "macro_rules! m { () => { crate::Low } }",
        "fn f() { println!(\"{}\", crate::Low) }",
        "#[derive(crate::Low)] struct S;",
        "const R: std::ops::Range<u8> = 0..crate::Low;",
        "#[cfg(any(test, unix))] use crate::Low;",
        "#[cfg(not(test))] use crate::Low;",
        "const A: [u8; 2] = br##\"\"# \"##; use crate::Low;",
        "const A: char = '\\''; const B: &str = \"\\\"\"; use crate::Low;",
        "/* a /* nested */ comment */ use crate::Low;",
        "#[cfg(test)] const A: Map<u8, u8> = 1; use crate::Low;",
        "#[cfg(test)] mod tests { fn f() {} } use crate::Low;",
        "pub use crate::Low as r#type;",
    ] {
        let found = in_high(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(
            found[0].contains("goes through the crate root; import `crate::low::Low` instead"),
            "{found:?}"
        );
    }
}

#[test]
fn what_is_not_an_import_is_left_alone() {
    for text in [
        "// crate::Low\n/// crate::Low\n//! crate::Low\n/* crate::Low /* */ crate::Low */",
        "const A: &str = \"crate::Low\"; const B: &str = r#\"crate::Low \" \"#; const C: &[u8] = b\"crate::Low\";",
        "#[cfg(test)] mod tests { use super::*; use crate::Low; }",
        "#[cfg(all(unix, test))]\n#[allow(dead_code, reason = \"x\")]\npub(crate) mod tests { use crate::Low; }",
        "#[cfg(test)] use crate::{Low, Deep};",
        "#[cfg(test)] fn f() -> [crate::Low; 2] { crate::Low }",
        "#[test] fn fact() { crate::Low }",
        "struct S { #[cfg(test)] low: crate::Low, high: u8 }",
        "#![cfg(test)] use crate::Low;",
        "macro_rules! m { () => { use $crate::Low; $crate::Low::new() } }",
        "pub(in crate::high) fn f() {}",
        "fn f() -> impl Sized + use<> { std::crate_name::Low; bytes::Bytes }",
        "use std::io; use bytes::{self, Bytes}; fn f() -> io::Result<()> {}",
        "use self::inner::Inner; mod inner { use super::Outer; pub struct Inner; } struct Outer;",
    ] {
        // A file that is only for tests needs no layer, so a line for it would be stale.
        let found: Vec<String> =
            in_high(text).into_iter().filter(|problem| !problem.contains("not a module")).collect();
        assert_eq!(found, Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_file_without_layer_is_refused_unless_it_is_for_tests() {
    assert_problems(
        "a",
        &[
            ("a.rs", "#[cfg(test)]\nmod tests;"),
            ("a/tests.rs", "mod more; use crate::Anything;"),
            ("a/tests/more.rs", "use super::*;"),
            ("b/mod.rs", ""),
            ("b/c.rs", "#![cfg(test)]"),
        ],
        &["demo-app/src/b/mod.rs is missing from the layers of demo-app (ARCHITECTURE.md:1)"],
    );
}

#[test]
fn a_line_without_file_is_refused() {
    assert_problems(
        "a  the first\ngone gone/ a/\na\nlib\nb a sentence",
        &[("a.rs", ""), ("b.rs", "")],
        &[
            "ARCHITECTURE.md:3: `gone` is not a module: neither demo-app/src/gone.rs nor demo-app/src/gone/mod.rs \
             exists (a sentence begins after two spaces)",
            "ARCHITECTURE.md:3: `gone/` is not a module: no file below demo-app/src/gone/ belongs to it (a sentence \
             begins after two spaces)",
            "ARCHITECTURE.md:3: `a/` is not a module: no file below demo-app/src/a/ belongs to it (a sentence begins \
             after two spaces)",
            "ARCHITECTURE.md:4: `a` is already in line 2",
            "ARCHITECTURE.md:5: `lib` must not be listed: it is above all layers",
            "ARCHITECTURE.md:6: `a` is already in line 4",
            "ARCHITECTURE.md:6: `sentence` is not a module: neither demo-app/src/sentence.rs nor \
             demo-app/src/sentence/mod.rs exists (a sentence begins after two spaces)",
        ],
    );
}

#[test]
fn the_more_specific_name_of_the_table_counts() {
    let files = &[
        ("machine/mod.rs", "mod step; mod state; use self::step::step;"),
        ("machine/step.rs", "use super::state::State; pub fn step() {}"),
        ("machine/state.rs", "pub struct State;"),
    ];
    assert_clean("machine/\nmachine/state", files);
    assert_clean("machine\nmachine/step machine/state", files);
    let found = problems("machine/state\nmachine/", files);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("machine/step.rs:1: `super::state::State` is an import upwards"), "{found:?}");
}

#[test]
fn tables_are_found_by_their_info_strings() {
    let document = "\
# Title
```text
layers=none
```
  ```text layers=one
  a   b  c
  ```
````text
```text layers=shown
```
````
A ```code span layers=two``` is not a block.
~~~ layers=two
a

b c
~~~
";
    let (tables, problems) = parse(document);
    assert_eq!(problems, Vec::<String>::new());
    let found: Vec<_> = tables
        .iter()
        .map(|table| {
            let layers: Vec<_> =
                table.layers.iter().map(|layer| (layer.line, layer.names.join(" "))).collect();
            (table.package, table.line, layers)
        })
        .collect();
    let expected =
        [("one", 5, vec![(6, String::from("a"))]), ("two", 13, vec![(14, "a".into()), (16, "b c".into())])];
    assert_eq!(found, expected);
}

#[test]
fn a_wrong_document_is_refused() {
    let (tables, problems) = parse("```text layers=a\n```\n```text layers=a\nx\n");
    assert_eq!(tables.len(), 2);
    assert_eq!(
        problems,
        [
            "ARCHITECTURE.md:3: second block for a (the first is in line 1)",
            "ARCHITECTURE.md:3: the block for a is not closed",
        ]
    );
    assert_eq!(
        table::missing("demo-app"),
        "ARCHITECTURE.md has no layers for demo-app (expected a block that begins with ```text layers=demo-app)"
    );
    assert_eq!(tables[0].stray(), "ARCHITECTURE.md:1: `layers=a` does not name a crate with layers");
}
