//! The fuzz target `operations` makes every call of the machine's API.

use std::fs;
use std::path::{Path, PathBuf};

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder, or the one file that `path` names.
fn files(path: PathBuf) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path];
    }
    let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("the folder is readable").path()).collect();
    files.sort();
    files
}

/// The names of the public functions in `source`.
fn public(source: &str) -> impl Iterator<Item = &str> {
    let named = source.lines().filter_map(|line| line.trim_start().strip_prefix("pub fn "));
    named.filter_map(|rest| rest.split(['(', '<']).next())
}

/// The calls required of the target, by the defining file or folder: methods as `.name(`, functions of a type as
/// `Type::name(`.
const FILES: [(&str, &str); 9] = [
    ("connection.rs", "Connection"),
    ("exchange.rs", "Exchange"),
    ("exchange/", "Exchange"),
    ("config.rs", "Config"),
    ("http/response_head.rs", "ResponseHead"),
    ("http/head.rs", "Head"),
    ("http/parse.rs", "Head"),
    ("machine/buffers.rs", "Buffers"),
    ("wsgi/environ.rs", "Variables"),
];

#[test]
fn every_public_call_of_the_machine_is_fuzzed() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let proto = root.join("wsgi-proto/src");
    let fuzzed =
        read(&root.join("fuzz/fuzz_targets/operations.rs")) + &read(&root.join("tests/src/machine/mod.rs"));
    let mut missing = Vec::new();
    let defining =
        FILES.iter().flat_map(|(name, of)| files(proto.join(name)).into_iter().map(move |file| (file, of)));
    for (file, of) in defining {
        let source = read(&file);
        let before_tests = source.split("\nmod tests {").next().unwrap_or_default();
        for name in public(before_tests) {
            // `new` and similar functions take no receiver.
            let method = name != "new" && fuzzed.contains(&format!(".{name}("));
            if !method && !fuzzed.contains(&format!("{of}::{name}(")) {
                missing.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(missing.is_empty(), "not called by fuzz/fuzz_targets/operations.rs: {missing:#?}");
}
