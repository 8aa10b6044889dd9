//! Each option of a server, on each runtime: a conversation that differs when the option is ignored.
//!
//! A check is written once and runs on every runtime, see [`site::on_each`]. Wherever it is cheap, the same
//! conversation runs with a second server without the option, and must end differently there. This proves that the
//! option causes the difference. Nothing waits for a fixed time. If an option is a time, the server with the option
//! must act after that time, and the other server, tested afterwards, must not have acted.
#![cfg(unix)]

mod connections;
mod logs;
mod responses;
mod site;
mod sizes;
mod times;
mod values;

use std::fs;
use std::path::Path;

/// Setters that need no check here, with the reason.
const ELSEWHERE: [(&str, &str); 1] = [("limits", "each limit is checked by itself")];

/// The files searched for the names of the checks. `values.rs` is not among them: its options need not have an effect.
const CHECKS: [&str; 5] = [
    include_str!("connections.rs"),
    include_str!("logs.rs"),
    include_str!("responses.rs"),
    include_str!("sizes.rs"),
    include_str!("times.rs"),
];

/// The effect of `handshake_timeout` is checked there, where handshakes happen.
const HANDSHAKES: &str = include_str!("../../servers/tls/handshakes.rs");

fn complain_unless_checked(option: &str) {
    let named = format!("\"{option}\"");
    let elsewhere = ELSEWHERE.iter().any(|(name, _)| *name == option)
        || HANDSHAKES.contains(&format!("options().{option}(TIME)"));
    assert!(elsewhere || CHECKS.iter().any(|file| file.contains(&named)), "no check of the option {option}");
}

/// The source file with this name, in any folder of the package.
fn source_of(package: &str, name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is in a workspace");
    let mut folders = vec![root.join(package).join("src")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("it is a folder") {
            let path = entry.expect("it is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|file| file == name) {
                found.push(path);
            }
        }
    }
    assert_eq!(found.len(), 1, "{name} in {package}: {found:?}");
    fs::read_to_string(&found[0]).expect("it is readable")
}

#[test]
fn no_option_is_without_a_check() {
    let source = source_of("wsgi-app", "options.rs");
    let setters: Vec<_> = source
        .split("pub fn ")
        .skip(1)
        .filter_map(|text| text.split_once("(mut self, ").map(|(name, _)| name))
        .filter(|name| name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'))
        .collect();
    assert!(setters.len() >= 20, "only {setters:?} were found");
    setters.into_iter().for_each(complain_unless_checked);
}

#[test]
fn no_limit_is_without_a_check() {
    let source = include_str!("../../../wsgi-proto/src/config.rs");
    let (_, limits) = source.split_once("pub struct Limits {").expect("the limits are there");
    let (limits, _) = limits.split_once("\n}").expect("they have an end");
    let fields = limits.lines().filter_map(|line| line.trim().strip_prefix("pub "));
    let fields: Vec<_> = fields.filter_map(|field| field.split_once(':')).map(|(name, _)| name).collect();
    assert_eq!(fields.len(), 11, "{fields:?}");
    fields.into_iter().for_each(|field| complain_unless_checked(&format!("limits.{field}")));
}
