//! Plays generated scenarios with generated schedules, and compares each outcome with that of the whole input in one
//! piece.
//!
//! `cargo run --release -p wsgi-tests --bin schedules -- --count 1000000 --seed N`
//!
//! The last line has a digest of all outcomes. Two builds that print the same digest for one seed and count behave
//! identically in every scenario, down to the byte. Use this to compare a rewrite of the machine with the previous
//! code.

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use wsgi_tests::machine::choose::Seeded;
use wsgi_tests::machine::generate::{self, Drawn};
use wsgi_tests::machine::play::play;
use wsgi_tests::machine::scenario::{Action, Outcome, Scenario, Schedule, Whole};

/// The number of schedules that play one scenario.
const EACH: u64 = 4;

#[derive(Debug, Parser)]
#[command(about = "Split invariance: any schedule gives the same outcome as the whole input in one piece")]
struct Options {
    /// The number of schedules.
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// The seed of the generator; taken from the clock if not given.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let seed = options.seed.unwrap_or_else(clock);
    let mut out = std::io::stdout();
    writeln!(out, "seed {seed}")?;
    let (started, mut seeds, mut done, mut bytes) = (Instant::now(), Seeded(seed), 0, 0_usize);
    let mut digest = Digest::default();
    while done < options.count {
        let scenario = generate::scenario(&mut Seeded(seeds.bits()));
        let wanted = play(&scenario, &mut Whole);
        digest.add(&wanted);
        for _ in 0..EACH.min(options.count - done) {
            let drawn = seeds.bits();
            let got = play(&scenario, &mut Drawn::new(Seeded(drawn)));
            if let Some(difference) = wanted.difference(&got) {
                writeln!(out, "schedule {done} of seed {seed} disagrees with the whole: {scenario:?}")?;
                writeln!(out, "moves: {}\n{difference}", moves(&scenario, drawn))?;
                return Err("two schedules of one scenario disagree".into());
            }
            done += 1;
            bytes += scenario.input.0.len();
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    writeln!(
        out,
        "{done} schedules agree ({bytes} bytes in), {seconds:.1} s, seed {seed}, digest {digest:016x}"
    )?;
    Ok(())
}

/// All outcomes in order, as one number: FNV-1a over their text.
struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    fn add(&mut self, outcome: &Outcome) {
        // Writing to a string cannot fail.
        let _ = fmt::write(self, format_args!("{outcome:?}"));
    }
}

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

impl fmt::LowerHex for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

/// The moves of a schedule, for the report.
fn moves(scenario: &Scenario, seed: u64) -> String {
    struct Heard(Drawn<Seeded>, String);
    impl Schedule for Heard {
        fn action(&mut self) -> Action {
            let action = self.0.action();
            self.1 += &format!("{action:?} ");
            action
        }

        fn read(&mut self, at: usize, most: usize) -> usize {
            let count = self.0.read(at, most);
            self.1 += &format!("[read {count} of {most}] ");
            count
        }

        fn write(&mut self, most: usize) -> usize {
            let count = self.0.write(most);
            self.1 += &format!("[write {count} of {most}] ");
            count
        }
    }
    let mut heard = Heard(Drawn::new(Seeded(seed)), String::new());
    let _ = play(scenario, &mut heard);
    heard.1
}
