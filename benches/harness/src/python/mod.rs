//! The comparison of servers for Python: `cargo xtask bench --python`.
//!
//! The applications, the servers' versions, and a script that starts servers without a command are in
//! `benches/python`. xtask installs all of them in an environment beside the programs.

mod blocks;
mod computing;
mod goals;
mod instructions;
mod measure;
mod plots;
mod report;
mod run;
mod scenarios;
mod servers;

use std::fs;
use std::path::PathBuf;

use crate::Outcome;
use crate::options::Options;
use crate::process::Places;
use crate::report::root;
use crate::results::Results;

pub(crate) use run::names;

/// Measures what the options include, and writes the report.
///
/// # Errors
///
/// There is no environment, or a file cannot be written. A server that fails has no figures.
pub(crate) fn measured(options: &Options, places: &Places) -> Outcome {
    let environment = Environment::find(places)?;
    let results = run::run(options, places, &environment)?;
    results.save(&places.scratch.join("results-python"))?;
    fs::write(places.scratch.join("full-python"), if options.is_full() { "full" } else { "part" })?;
    write(&results, places, &environment, options.is_full())
}

/// Writes the report of the last run again.
///
/// # Errors
///
/// There was none, or a file cannot be written.
pub(crate) fn report(places: &Places) -> Outcome {
    let results = Results::load(&places.scratch.join("results-python"))?;
    let full = fs::read_to_string(places.scratch.join("full-python")).is_ok_and(|text| text == "full");
    write(&results, places, &Environment::find(places)?, full)
}

fn write(results: &Results, places: &Places, environment: &Environment, full: bool) -> Outcome {
    let folder = if full { root().join("docs") } else { places.scratch.join("report") };
    report::write(results, environment, &folder)?;
    println!("\nthe report is {}", folder.join("performance-python.md").display());
    Ok(())
}

/// The interpreter with all servers, and the folder of the applications.
#[derive(Clone, Debug)]
struct Environment {
    interpreter: PathBuf,
    applications: PathBuf,
    /// The installed packages and their versions, as `name==version`.
    packages: Vec<String>,
    /// Why servers are left out, a line each.
    left_out: Vec<String>,
}

impl Environment {
    fn find(places: &Places) -> Outcome<Self> {
        let folder = places.programs.join("../python");
        let interpreter = folder.join("bin/python");
        let list =
            "import importlib.metadata as m\nfor d in m.distributions(): print(d.name + '==' + d.version)";
        let output = std::process::Command::new(&interpreter).args(["-c", list]).output();
        let output =
            output.map_err(|error| format!("`{}` cannot be started: {error}", interpreter.display()))?;
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        Ok(Self {
            interpreter: fs::canonicalize(&folder)?.join("bin/python"),
            applications: fs::canonicalize(root().join("benches/python"))?,
            packages: lines(&String::from_utf8_lossy(&output.stdout)),
            left_out: lines(&fs::read_to_string(folder.join("left-out")).unwrap_or_default()),
        })
    }

    /// The version of an installed package.
    fn version(&self, package: &str) -> Option<&str> {
        self.packages.iter().find_map(|line| line.strip_prefix(package)?.strip_prefix("=="))
    }
}
