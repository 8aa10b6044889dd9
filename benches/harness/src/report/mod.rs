//! The report: `performance.md` and its plots.

mod goals;
pub(crate) mod machine;
pub(crate) mod plots;
pub(crate) mod svg;
pub(crate) mod tables;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::results::Results;

const HEAD: &str = "\
# Performance

This page is written by `cargo xtask bench`, in one run; do not edit it. [benches/README.md](../benches/README.md) describes what is measured,
how, and why the comparison is fair.

On a small request the kernel does about 80 % of the work, for every server. So processor time differs little between good servers, and
instructions in user space and system calls, which are the same on every run, decide between them.

";

/// Writes the page and the plots into this folder.
///
/// # Errors
///
/// A file cannot be written.
pub(crate) fn write(results: &Results, folder: &Path) -> io::Result<()> {
    let plots = folder.join("performance");
    fs::create_dir_all(&plots)?;
    let mut page = HEAD.to_owned();
    for plot in plots::all(results) {
        fs::write(plots.join(format!("{}.svg", plot.name)), &plot.svg)?;
        page.push_str(&format!("![{}](performance/{}.svg)\n\n", plot.title, plot.name));
    }
    page.push_str(&goals::table(results));
    page.push_str(&tables::all(results));
    page.push_str(&machine::description(results));
    fs::write(folder.join("performance.md"), page)
}

/// The root folder of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
