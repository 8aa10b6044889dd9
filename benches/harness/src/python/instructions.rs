//! Instructions in user space per request, counted by callgrind in all processes of a server.
//!
//! The server starts once and is warm. callgrind then writes what it has counted whenever it is asked to, so that the
//! start of Python does not count.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::{Client, short};
use crate::process::{Places, Server, Under};
use crate::python::Environment;
use crate::python::scenarios::Scenario;
use crate::python::servers::Kind;
use crate::usage::tree;

/// The connections of a counted run.
const CONNECTIONS: usize = 8;
/// The requests before the count, and those that are counted.
const WARM_UP: usize = 100;
const REQUESTS: usize = 400;

/// Counts all these scenarios of one module on a server; returns a value, or the error, for each.
pub(crate) fn count(
    kind: Kind,
    environment: &Environment,
    places: &Places,
    module: &str,
    scenarios: &[&'static Scenario],
) -> Vec<io::Result<f64>> {
    let counted = Counted::start(kind, environment, places, module);
    let count = |scenario: &&Scenario| match &counted {
        Ok(counted) => counted.count(scenario),
        Err(error) => Err(io::Error::other(error.to_string())),
    };
    scenarios.iter().map(count).collect()
}

/// A server under callgrind with one thread for the application.
struct Counted {
    server: Server,
    kind: Kind,
    folder: PathBuf,
}

impl Counted {
    fn start(kind: Kind, environment: &Environment, places: &Places, module: &str) -> io::Result<Self> {
        let folder = places.scratch.join(format!("callgrind-{}", kind.name.replace(", ", "-")));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let out = format!("--callgrind-out-file={}/%p", folder.display());
        let words = ["valgrind", "--tool=callgrind", "--trace-children=yes", &out].map(str::to_owned);
        let under = Under { words: words.into(), anywhere: true, ..Under::default() };
        let server = kind.start(environment, places, module, Some(1), &under)?;
        Ok(Self { server, kind, folder })
    }

    /// Instructions per request.
    fn count(&self, scenario: &Scenario) -> io::Result<f64> {
        let request = (scenario.request)();
        let mut load: Box<dyn FnMut(usize) -> io::Result<usize>> = if self.kind.closes {
            Box::new(|count| short::run_count(self.server.address, &None, &request, count))
        } else {
            let mut client = Client::connect(self.server.address, &None, &request, CONNECTIONS, 1)?;
            Box::new(move |count| client.run_count(count))
        };
        load(WARM_UP)?;
        self.dump()?;
        let answers = load(REQUESTS)?;
        let instructions = self.dump()?;
        Ok(instructions / answers as f64)
    }

    /// What all processes have executed since the last call.
    fn dump(&self) -> io::Result<f64> {
        let mut sum = 0.0;
        for process in tree(self.server.id()) {
            let output = Command::new("callgrind_control").args(["--dump", &process.to_string()]).output()?;
            if !output.status.success() {
                return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
            }
            sum += total(&newest(&self.folder, process)?)?;
        }
        Ok(sum)
    }
}

/// The last of the files `PROCESS.1`, `PROCESS.2` ...
fn newest(folder: &Path, process: u32) -> io::Result<PathBuf> {
    let file = |number: u32| folder.join(format!("{process}.{number}"));
    let last = (1..).take_while(|number| file(*number).exists()).last();
    last.map(file).ok_or_else(|| io::Error::other("callgrind wrote no file"))
}

/// The number after `totals:`.
fn total(path: &Path) -> io::Result<f64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
    let total = line.and_then(|number| number.trim().parse().ok());
    total.ok_or_else(|| io::Error::other(format!("{} has no total", path.display())))
}
