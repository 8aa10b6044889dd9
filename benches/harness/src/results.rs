//! The measured values: stored as text, one line each, and summarised.

use std::fs;
use std::io;
use std::path::Path;

/// A measured value: the metric, the scenario, the server, the round.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) metric: String,
    pub(crate) scenario: String,
    pub(crate) server: String,
    pub(crate) round: usize,
    pub(crate) value: f64,
}

/// All values of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results(Vec<Sample>);

impl Results {
    /// Adds a value.
    pub(crate) fn add(&mut self, metric: &str, scenario: &str, server: &str, round: usize, value: f64) {
        let sample =
            Sample { metric: metric.into(), scenario: scenario.into(), server: server.into(), round, value };
        self.0.push(sample);
    }

    /// The median of all rounds.
    pub(crate) fn median(&self, metric: &str, scenario: &str, server: &str) -> Option<f64> {
        median(self.of(metric, scenario, server).map(|sample| sample.value).collect())
    }

    /// The median of the ratios to another server in the same round, so that a change of the machine's speed during the
    /// run cancels out.
    pub(crate) fn ratio(&self, metric: &str, scenario: &str, server: &str, base: &str) -> Option<f64> {
        let same_round = |sample: &Sample| {
            let base = self.of(metric, scenario, base).find(|other| other.round == sample.round)?;
            Some(sample.value / base.value)
        };
        median(self.of(metric, scenario, server).filter_map(same_round).collect())
    }

    /// The number of rounds of a metric.
    pub(crate) fn rounds(&self, metric: &str) -> usize {
        self.0
            .iter()
            .filter(|sample| sample.metric == metric)
            .map(|sample| sample.round + 1)
            .max()
            .unwrap_or(0)
    }

    fn of(&self, metric: &str, scenario: &str, server: &str) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter(move |sample| {
            sample.metric == metric && sample.scenario == scenario && sample.server == server
        })
    }

    /// Writes one line for each value.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let line = |sample: &Sample| {
            let Sample { metric, scenario, server, round, value } = sample;
            format!("{metric}\t{scenario}\t{server}\t{round}\t{value}\n")
        };
        fs::write(path, self.0.iter().map(line).collect::<String>())
    }

    /// Reads what [`save`](Self::save) wrote.
    pub(crate) fn load(path: &Path) -> io::Result<Self> {
        let sample = |line: &str| {
            let mut fields = line.split('\t');
            Some(Sample {
                metric: fields.next()?.into(),
                scenario: fields.next()?.into(),
                server: fields.next()?.into(),
                round: fields.next()?.parse().ok()?,
                value: fields.next()?.parse().ok()?,
            })
        };
        Ok(Self(fs::read_to_string(path)?.lines().filter_map(sample).collect()))
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_compare_values_of_the_same_round() {
        let mut results = Results::default();
        for (round, speed) in [1.0, 10.0, 3.0].into_iter().enumerate() {
            results.add("cpu", "hello", "ours", round, 2.0 * speed);
            results.add("cpu", "hello", "hyper", round, 4.0 * speed);
        }
        results.add("cpu", "hello", "ours", 3, 1000.0);
        assert_eq!(results.ratio("cpu", "hello", "ours", "hyper"), Some(0.5));
        assert_eq!(results.median("cpu", "hello", "hyper"), Some(12.0));
        assert_eq!(results.median("cpu", "hello", "other"), None);
        assert_eq!(results.rounds("cpu"), 4);
    }

    #[test]
    fn saved_results_are_read_back() {
        let mut results = Results::default();
        results.add("cpu", "hello-32", "tokio", 6, 5.25);
        let path = std::env::temp_dir().join(format!("bench-results-{}", std::process::id()));
        results.save(&path).unwrap();
        let read = Results::load(&path).unwrap();
        fs::remove_file(path).unwrap();
        assert_eq!(read.0, results.0);
    }
}
