//! Whether `docs/cookbook.md` shows the programs as they are. With `BLESS=1` its blocks are written again, each from the line
//! that is its first to the line that is its last.

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
    !block.is_empty() && starts(block, program).any(|text| text.starts_with(&format!("{block}\n")))
}

/// The part of `program` that begins and ends with the same lines as `block`, and has about as many.
fn excerpt(block: &str, program: &str) -> Option<String> {
    let same =
        |text: &String| text.lines().zip(block.lines()).take_while(|(line, shown)| line == shown).count();
    let text = starts(block, program).max_by_key(same)?;
    let (lines, last) = (block.lines().count(), block.lines().last()?);
    let ends = text.lines().enumerate().filter(|(_, line)| *line == last).map(|(index, _)| index + 1);
    let end = ends.min_by_key(|end| end.abs_diff(lines))?;
    Some(text.lines().take(end).collect::<Vec<_>>().join("\n"))
}

/// The program from each line on that is the first of `block`, without the indentation of that line.
fn starts<'a>(block: &str, program: &'a str) -> impl Iterator<Item = String> + use<'a> {
    let first = block.lines().next().unwrap_or_default().to_owned();
    let lines: Vec<&str> = program.lines().collect();
    (0..lines.len()).filter_map(move |index| {
        let indentation = lines[index].strip_suffix(&first)?;
        let rest = lines[index..].iter().map(|line| line.strip_prefix(indentation).unwrap_or(line));
        indentation.trim().is_empty().then(|| rest.map(|line| format!("{line}\n")).collect())
    })
}

#[test]
fn the_page_shows_every_program_as_it_is() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = package.join("../docs/cookbook.md");
    let mut page = fs::read_to_string(&path).expect("the page");
    let sections = sections(&page);
    let bless = std::env::var_os("BLESS").is_some();
    for section in &sections {
        let (title, file) = (&section.title, package.join(format!("src/bin/{}.rs", section.program)));
        let program = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(!section.blocks.is_empty(), "`{title}` shows nothing of {}.rs", section.program);
        for block in &section.blocks {
            if bless && let Some(new) = excerpt(block, &program) {
                page = page.replace(&format!("```rust\n{block}\n```"), &format!("```rust\n{new}\n```"));
                continue;
            }
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
    if bless {
        fs::write(path, page).expect("the page can be written");
    }
}

#[test]
fn an_excerpt_keeps_its_lines_together_and_its_indentation() {
    let program = "fn a() {\n    if b {\n        c();\n\n        d();\n    }\n}\n";
    for block in ["if b {\n    c();\n\n    d();\n}", "fn a() {\n    if b {", "c();"] {
        assert!(is_excerpt(block, program), "{block}");
    }
    for block in ["if b {\nc();", "c();\nd();", "c()", "if b {\n    d();", "e();", ""] {
        assert!(!is_excerpt(block, program), "{block}");
    }
    assert_eq!(excerpt("if b {\n    x();\n}", program).as_deref(), Some("if b {\n    c();\n\n    d();\n}"));
    assert_eq!(excerpt("fn a() {\n}", program).as_deref(), Some(program.trim_end()));
    assert_eq!(excerpt("c();", program).as_deref(), Some("c();"));
    assert_eq!(excerpt("if c {\n}", program), None);
}
