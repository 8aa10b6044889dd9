//! The machine and the versions of everything that takes part.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::report::root;
use crate::results::Results;

/// The packages whose versions are printed.
const PACKAGES: &[&str] = &[
    "actix-http",
    "actix-web",
    "async-std",
    "h11r",
    "http-net",
    "httparse",
    "hyper",
    "hyper-util",
    "may",
    "may_minihttp",
    "mio",
    "ring",
    "rustls",
    "smol",
    "tokio",
    "tokio-rustls",
];

/// The last section of the page.
pub(crate) fn description(results: &Results) -> String {
    let nginx = first_line(&["nginx", "-v"]).or_else(|| first_line(&["/usr/sbin/nginx", "-v"]));
    let more = [
        (
            "build",
            Some("release, `lto = \"fat\"`, `codegen-units = 1`; the allocator of libc, for all".into()),
        ),
        ("nginx", nginx),
        ("packages", Some(packages())),
        ("rounds", Some(format!("{} of processor time", results.rounds("cpu")))),
    ];
    section(rows().into_iter().chain(more))
}

/// The section with these rows.
pub(crate) fn section(rows: impl IntoIterator<Item = (&'static str, Option<String>)>) -> String {
    let row = |(name, value): (&str, Option<String>)| {
        format!("| {name} | {} |\n", value.unwrap_or_else(|| "not known".into()))
    };
    format!(
        "## Machine and versions\n\n| | |\n| --- | --- |\n{}",
        rows.into_iter().map(row).collect::<String>()
    )
}

/// What every page needs: the machine, the commit, the compiler, the tools.
pub(crate) fn rows() -> [(&'static str, Option<String>); 8] {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let processors = info.lines().filter(|line| line.starts_with("processor")).count();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let gigabytes = memory.lines().find_map(|line| {
        let kilobytes: u64 = line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes / (1 << 20))
    });
    [
        ("date", first_line(&["date", "-u", "+%Y-%m-%d"])),
        ("commit", commit()),
        ("processor", model.map(|(_, name)| format!("{name}, {processors} processors"))),
        ("memory", gigabytes.map(|size| format!("{size} GiB"))),
        ("system", first_line(&["uname", "-sr"])),
        ("libc", first_line(&["getconf", "GNU_LIBC_VERSION"])),
        ("compiler", first_line(&["rustc", "-V"])),
        ("valgrind, strace", both(&["valgrind", "--version"], &["strace", "-V"])),
    ]
}

fn first_line(words: &[&str]) -> Option<String> {
    let output = Command::new(words[0]).args(&words[1..]).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_owned())
}

fn both(one: &[&str], other: &[&str]) -> Option<String> {
    Some(format!("{}, {}", first_line(one)?, first_line(other)?))
}

fn commit() -> Option<String> {
    let git = |words: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root()).args(words).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // The report itself, which this run writes, is no change of what was measured.
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/performance*"])?;
    Some(format!(
        "{}{}",
        git(&["rev-parse", "--short=12", "HEAD"])?,
        if changed.is_empty() { "" } else { ", with changes" }
    ))
}

/// The versions in the lockfile.
fn packages() -> String {
    let lock = fs::read_to_string(root().join("benches/Cargo.lock")).unwrap_or_default();
    let version = |package: &str| {
        let (name, rest) = package.split_once('\n')?;
        let name = name.strip_prefix("name = \"")?.strip_suffix('"')?;
        let version = rest.lines().next()?.strip_prefix("version = \"")?.strip_suffix('"')?;
        PACKAGES.contains(&name).then(|| format!("{name} {version}"))
    };
    let found: BTreeSet<String> = lock.split("[[package]]\n").filter_map(version).collect();
    found.into_iter().collect::<Vec<_>>().join(", ")
}
