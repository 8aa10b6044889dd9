//! Cores in memory: the programs `bench-machine` and `bench-cores`.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use bench_common::works::{UNKNOWN, Work};

use crate::measure::instructions;

/// A core: its name in the results, its program, and the words before and in the name of a work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Core {
    /// Its name in the results.
    pub(crate) name: &'static str,
    program: &'static str,
    word: Option<&'static str>,
    prefix: &'static str,
}

/// All cores.
pub(crate) const CORES: &[Core] = &[
    Core { name: "ours", program: "bench-machine", word: None, prefix: "" },
    Core { name: "ours-answer", program: "bench-machine", word: None, prefix: "answer-" },
    Core { name: "ours-kept", program: "bench-machine", word: None, prefix: "kept-" },
    peer("http-net"),
    peer("http-net-prebuilt"),
    peer("h11r"),
    peer("hyper"),
    peer("httparse"),
];

const fn peer(name: &'static str) -> Core {
    Core { name, program: "bench-cores", word: Some(name), prefix: "" }
}

impl Core {
    fn command(self, programs: &Path, work: Work) -> Vec<String> {
        let mut words = vec![programs.join(self.program).to_string_lossy().into_owned()];
        words.extend(self.word.map(str::to_owned));
        words.push(format!("{}{}", self.prefix, work.name()));
        words
    }

    /// Nanoseconds of a repetition; `None` if the core has no such work.
    ///
    /// # Errors
    ///
    /// The program fails.
    pub(crate) fn time(self, programs: &Path, work: Work, quick: bool) -> io::Result<Option<f64>> {
        let repetitions = match (work, quick) {
            (Work::Hello | Work::Browser, false) => 200_000,
            (Work::Hello | Work::Browser, true) => 30_000,
            (_, false) => 3_000,
            (_, true) => 400,
        };
        let words = self.command(programs, work);
        let output = Command::new(&words[0])
            .args(&words[1..])
            .arg(repetitions.to_string())
            .stdin(Stdio::null())
            .output()?;
        if output.status.code() == Some(UNKNOWN.into()) {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let failed = || io::Error::other(format!("{words:?} failed: {text}"));
        text.trim().parse().map(Some).map_err(|_| failed())
    }

    /// Instructions of a repetition.
    ///
    /// # Errors
    ///
    /// The program or valgrind fails.
    pub(crate) fn instructions(self, programs: &Path, work: Work) -> io::Result<f64> {
        let repetitions = if matches!(work, Work::Hello | Work::Browser) { 1000 } else { 10 };
        instructions::of_program(&self.command(programs, work), repetitions)
    }
}
