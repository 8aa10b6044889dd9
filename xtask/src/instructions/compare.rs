//! Compares figures with those of the baseline.

use super::baseline::Figures;

/// How much more the machine alone may need, in percent. It counts the same on every run.
const MACHINE: u64 = 3;
/// How much more a server may need. Threads and timers change its count a little.
const SERVER: u64 = 6;

/// The result of a comparison.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// All figures, for people.
    pub(crate) table: String,
    /// What is too slow, or is no longer counted.
    pub(crate) worse: Vec<String>,
}

/// Compares each figure of `before` with the one of the same name in `now`.
pub(crate) fn compare(before: &Figures, now: &Figures) -> Comparison {
    let mut table = format!("{:<24} {:>9} {:>9} {:>8}  limit\n", "instructions", "before", "now", "change");
    let mut worse = Vec::new();
    for (name, old) in &before.0 {
        let limit = if name.starts_with("machine") { MACHINE } else { SERVER };
        let Some(new) = now.named(name) else {
            worse.push(format!("{name} is no longer counted"));
            continue;
        };
        let change = (new as f64 / *old as f64 - 1.0) * 100.0;
        table.push_str(&format!("{name:<24} {old:>9} {new:>9} {change:>+7.1}%  +{limit}%\n"));
        if new * 100 > old * (100 + limit) {
            worse.push(format!(
                "{name} needs {new} instructions instead of {old}, {change:+.1} % (limit: +{limit} %)"
            ));
        }
    }
    for (name, new) in now.0.iter().filter(|(name, _)| before.named(name).is_none()) {
        table.push_str(&format!("{name:<24} {:>9} {new:>9} {:>8}  not in the baseline\n", "-", "-"));
    }
    Comparison { table, worse }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(pairs: &[(&str, u64)]) -> Figures {
        Figures(pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect())
    }

    #[test]
    fn a_figure_above_its_limit_is_worse() {
        let before = figures(&[("machine-hello", 1000), ("tokio-hello", 1000)]);
        for (machine, server, worse) in [
            (1000, 1000, 0),
            (1030, 1060, 0),
            (1031, 1060, 1),
            (1030, 1061, 1),
            (1031, 1061, 2),
            (500, 500, 0),
        ] {
            let now = figures(&[("machine-hello", machine), ("tokio-hello", server)]);
            let comparison = compare(&before, &now);
            assert_eq!(comparison.worse.len(), worse, "{machine}, {server}: {:?}", comparison.worse);
        }
    }

    #[test]
    fn a_figure_that_is_missing_is_worse_and_a_new_one_is_not() {
        let comparison = compare(&figures(&[("std-hello", 10)]), &figures(&[("machine-kept-hello", 10)]));
        assert_eq!(comparison.worse, ["std-hello is no longer counted"]);
        assert!(comparison.table.contains("machine-kept-hello"), "{}", comparison.table);
    }
}
