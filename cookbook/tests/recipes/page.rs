//! Whether `docs/cookbook.md` shows the programs as they are.

use std::fs;
use std::path::Path;

/// A section of the page that has a program.
struct Section {
    title: String,
    /// The name of its program.
    program: String,
    /// Its blocks of Rust.
    blocks: Vec<String>,
}

/// The sections of the page. A section names its program by a link to it, before its first block of Rust.
fn sections(page: &str) -> Vec<Section> {
    let mut sections = Vec::new();
    for text in page.split("\n## ").skip(1) {
        let title = text.lines().next().unwrap_or_default().to_owned();
        let mut blocks = text.split("\n```rust\n");
        let before = blocks.next().unwrap_or_default();
        let blocks: Vec<String> =
            blocks.map(|text| text.split("\n```").next().unwrap_or_default().to_owned()).collect();
        let program =
            before.split_once("(../cookbook/src/bin/").and_then(|(_, rest)| rest.split_once(".rs)"));
        match program {
            Some((program, _)) => sections.push(Section { title, program: program.to_owned(), blocks }),
            None => assert!(blocks.is_empty(), "`{title}` has Rust, and names no program before it"),
        }
    }
    sections
}

/// Whether `block` is in `program`, in one piece, with the same indentation relative to its first line.
fn is_excerpt(block: &str, program: &str) -> bool {
    let block: Vec<&str> = block.lines().collect();
    let lines: Vec<&str> = program.lines().collect();
    lines.windows(block.len().max(1)).any(|window| {
        let indented = window[0].len() - window[0].trim_start().len();
        let (indentation, _) = window[0].split_at(indented);
        window.iter().zip(&block).all(|(line, shown)| {
            line.is_empty() && shown.is_empty() || line.strip_prefix(indentation) == Some(*shown)
        })
    })
}

#[test]
fn the_page_shows_every_program_as_it_is() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(package.join("../docs/cookbook.md")).expect("the page");
    let sections = sections(&page);
    for section in &sections {
        let (title, file) = (&section.title, package.join(format!("src/bin/{}.rs", section.program)));
        let program = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(!section.blocks.is_empty(), "`{title}` shows nothing of {}.rs", section.program);
        for block in &section.blocks {
            assert!(is_excerpt(block, &program), "`{title}`: not in {}.rs:\n{block}", section.program);
        }
        let start = format!("`cargo run -p wsgi-cookbook --bin {} ", section.program);
        assert!(program.contains(&start), "{}.rs does not say how to start it: {start}", section.program);
        let contents = format!("[{}]", section.title);
        assert!(page.contains(&contents), "`{title}` is not in the contents");
    }
    for entry in fs::read_dir(package.join("src/bin")).expect("the programs") {
        let name = entry.expect("a file").file_name().into_string().expect("a name");
        let is_shown = sections.iter().any(|section| Some(&*section.program) == name.strip_suffix(".rs"));
        assert!(is_shown, "the page has no section for {name}");
    }
}

#[test]
fn an_excerpt_keeps_its_lines_together_and_its_indentation() {
    let program = "fn a() {\n    if b {\n        c();\n\n        d();\n    }\n}\n";
    for block in ["if b {\n    c();\n\n    d();\n}", "fn a() {\n    if b {", "c();"] {
        assert!(is_excerpt(block, program), "{block}");
    }
    for block in ["if b {\nc();", "c();\nd();", "c()", "if b {\n    d();", "e();"] {
        assert!(!is_excerpt(block, program), "{block}");
    }
}
