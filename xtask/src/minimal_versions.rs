//! Checks the workspace with the lowest versions of its dependencies that each `Cargo.toml` allows.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::command::{Cmd, lines_of, require_nightly, root, target_dir};
use crate::{Options, Outcome};

/// Entries of the root that are not linked into the copy of the workspace.
const OWN: &[&str] = &["Cargo.lock", "target", ".git"];

/// Works on a copy of `Cargo.lock`. Only direct dependencies are lowered. The others stay locked unless that is
/// impossible, so that their new releases do not change the result.
pub(crate) fn run(_: &Options) -> Outcome {
    require_nightly()?;
    let folder = target_dir().join("minimal-versions");
    let workspace = folder.join("workspace");
    mirror(&workspace).map_err(|error| format!("cannot write {}: {error}", workspace.display()))?;
    let tree =
        "cargo tree --workspace --all-features --target all --depth 1 --prefix depth --no-dedupe -f {p}";
    let direct = direct(&lines_of(Cmd::new(tree)));
    if direct.is_empty() {
        return Err(format!("`{tree}` shows no dependencies"));
    }
    let manifest = workspace.join("Cargo.toml");
    let update =
        Cmd::new("cargo +nightly update --quiet -Z direct-minimal-versions --manifest-path").arg(&manifest);
    let check = Cmd::new("cargo check --locked --workspace --all-targets --all-features --manifest-path")
        .arg(&manifest);
    direct
        .iter()
        .fold(update, Cmd::arg)
        .run()
        .and_then(|()| check.env("CARGO_TARGET_DIR", &folder).run())
        .map_err(|error| format!("{error}; a version in a Cargo.toml is lower than required"))?;
    Ok(format!("{} direct dependencies", direct.len()))
}

/// Makes a folder with links to the files of the workspace and a separate lock file.
fn mirror(folder: &Path) -> std::io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(root())? {
        let entry = entry?;
        if !OWN.iter().any(|own| entry.file_name() == *own) {
            symlink(entry.path(), folder.join(entry.file_name()))?;
        }
    }
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).map(|_| ())
}

#[cfg(not(unix))]
fn symlink(_: impl AsRef<Path>, _: impl AsRef<Path>) -> std::io::Result<()> {
    Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "this step needs symbolic links"))
}

/// The dependencies of the workspace's packages as `name@version`, from the lines of `cargo tree`.
fn direct(tree: &[String]) -> Vec<String> {
    let dependency = |line: &String| {
        // Packages of the workspace have a path in parentheses after the version.
        let (name, version) = line.strip_prefix('1')?.split_once(" v")?;
        (!version.contains('(')).then(|| format!("{name}@{version}"))
    };
    let mut found: Vec<String> = tree.iter().filter_map(dependency).collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_dependencies_are_read_from_the_output_of_cargo_tree() {
        let tree = [
            "0wsgi-app v0.1.0 (/src/wsgi-app)",
            "1bytes v1.12.2",
            "1wsgi-proto v0.1.0 (/src/wsgi-proto)",
            "2memchr v2.8.3",
            "",
            "0wsgi-proto v0.1.0 (/src/wsgi-proto)",
            "1tracing-core v0.1.36+x",
            "1bytes v1.12.2",
        ];
        assert_eq!(direct(&tree.map(str::to_owned)), ["bytes@1.12.2", "tracing-core@0.1.36+x"]);
    }
}
