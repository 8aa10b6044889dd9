//! The gate on instructions: our machine alone, and our servers on tokio and std, must not become slower.
//!
//! Instructions depend on the compiler, valgrind and libc. With those of the baseline its figures count; with others the
//! commit of the baseline is built and counted in the same run. `BLESS=1` writes a new baseline.

mod baseline;
mod compare;

use std::fs;
use std::path::Path;

use crate::benches::{build, build_harness, folder};
use crate::command::{Cmd, lines_of, root};
use crate::{Options, Outcome};
use baseline::{Baseline, Figures, Key};

/// The programs that are counted. smol and async-std are left out to save time.
const PROGRAMS: &[&str] = &["-p bench-machine", "-p bench-ours --no-default-features"];

pub(crate) fn run(_: &Options) -> Outcome {
    let key = key()?;
    let blesses = std::env::var_os("BLESS").is_some();
    if blesses {
        require_clean()?;
    }
    let now = count(root(), &folder())?;
    let path = root().join("benches").join("baseline.txt");
    if blesses {
        let baseline = Baseline { commit: head()?, key, figures: now };
        fs::write(&path, baseline.to_string())
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        return Ok(format!("{} is written; commit it", path.display()));
    }
    let text =
        fs::read_to_string(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let baseline: Baseline = text.parse()?;
    let (before, note) = if baseline.key == key {
        (baseline.figures, "against the baseline")
    } else {
        println!("the baseline has {}, this machine {key}", baseline.key);
        (count_commit(&baseline.commit)?, "against the commit of the baseline, counted here")
    };
    let comparison = compare::compare(&before, &now);
    println!("\n{}", comparison.table);
    if comparison.worse.is_empty() {
        return Ok(note.to_owned());
    }
    Err(format!(
        "{}; if the change is worth it, commit it, run `BLESS=1 cargo xtask instructions`, and commit the baseline",
        comparison.worse.join("; ")
    ))
}

/// The versions on which instructions depend.
fn key() -> Result<Key, String> {
    let first = |words: &str, install: &str| {
        let line = lines_of(Cmd::new(words)).into_iter().next();
        line.ok_or_else(|| format!("`{words}` does not work; {install}"))
    };
    Ok(Key {
        rustc: first("rustc -V", "install Rust")?,
        valgrind: first("valgrind --version", "install it with `apt-get install valgrind`")?,
        glibc: first("getconf GNU_LIBC_VERSION", "this step needs Linux with glibc")?,
    })
}

/// Builds the programs of a checkout and counts them. The harness is always the one of this checkout.
fn count(checkout: &Path, folder: &Path) -> Result<Figures, String> {
    for options in PROGRAMS {
        build(checkout, options, folder)?;
    }
    let mut command = Cmd::program(build_harness()?).arg("instructions").arg(folder.join("release")).show();
    let output = command.output().map_err(|error| format!("the harness could not be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("the harness failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    // The figures that these programs do not know.
    print!("{}", String::from_utf8_lossy(&output.stderr));
    Figures::parse(&String::from_utf8_lossy(&output.stdout))
}

/// Counts another commit in a temporary checkout.
fn count_commit(commit: &str) -> Result<Figures, String> {
    if !git("cat-file -e").arg(format!("{commit}^{{commit}}")).works() {
        return Err(format!(
            "commit {commit} of the baseline is not in this clone; get the history with `git fetch --unshallow` \
             (in a workflow: `fetch-depth: 0`), or write a new baseline with `BLESS=1 cargo xtask instructions`"
        ));
    }
    let checkout = folder().join("baseline");
    // One that an interrupted run left behind.
    git("worktree remove --force").arg(&checkout).works();
    git("worktree add --force --detach").arg(&checkout).arg(commit).run()?;
    let counted = count(&checkout, &folder().join("baseline-target"));
    git("worktree remove --force").arg(&checkout).run()?;
    counted
}

fn git(words: &str) -> Cmd {
    Cmd::new(&format!("git {words}"))
}

fn head() -> Result<String, String> {
    lines_of(git("rev-parse HEAD")).pop().ok_or_else(|| "this is not a git checkout".to_owned())
}

/// The baseline names a commit, so that commit must be what is counted.
fn require_clean() -> Result<(), String> {
    let changed = lines_of(git("status --porcelain"));
    let changed: Vec<_> = changed.iter().filter(|line| !line.ends_with(" benches/baseline.txt")).collect();
    match changed.first() {
        None => Ok(()),
        Some(first) => Err(format!("commit your changes first: the baseline names a commit ({first})")),
    }
}
