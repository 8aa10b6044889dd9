//! The baseline: a commit, the versions that counted it, and its figures.

use std::fmt;
use std::str::FromStr;

/// What `benches/baseline.txt` holds.
#[derive(Debug, PartialEq)]
pub(crate) struct Baseline {
    pub(crate) commit: String,
    pub(crate) key: Key,
    pub(crate) figures: Figures,
}

/// The versions on which instructions depend.
#[derive(Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) rustc: String,
    pub(crate) valgrind: String,
    pub(crate) glibc: String,
}

/// Instructions per request, each with its name.
#[derive(Debug, PartialEq)]
pub(crate) struct Figures(pub(crate) Vec<(String, u64)>);

const HEAD: &str = "\
# Instructions per request of the commit below. Written by `BLESS=1 cargo xtask instructions`; see benches/README.md.
";

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Key { rustc, valgrind, glibc } = &self.key;
        write!(f, "{HEAD}commit\t{}\nrustc\t{rustc}\nvalgrind\t{valgrind}\nglibc\t{glibc}\n", self.commit)?;
        self.figures.0.iter().try_for_each(|(name, count)| writeln!(f, "{name}\t{count}"))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.rustc, self.valgrind, self.glibc)
    }
}

impl FromStr for Baseline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let mut value = |name: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix('\t'));
            line.map(str::to_owned)
                .ok_or_else(|| format!("the baseline has no line `{name}` where it belongs"))
        };
        let commit = value("commit")?;
        let key = Key { rustc: value("rustc")?, valgrind: value("valgrind")?, glibc: value("glibc")? };
        let rest: Vec<&str> = lines.collect();
        Ok(Self { commit, key, figures: Figures::parse(&rest.join("\n"))? })
    }
}

impl Figures {
    /// Parses lines of a name, a tab and a number.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let figure = |line: &str| {
            let (name, count) = line.split_once('\t')?;
            Some((name.to_owned(), count.parse().ok()?))
        };
        let parsed = text.lines().map(|line| figure(line).ok_or_else(|| format!("`{line}` is not a figure")));
        Ok(Self(parsed.collect::<Result<_, _>>()?))
    }

    /// The figure of this name.
    pub(crate) fn named(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, count)| *count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_baseline_is_read_back() {
        let baseline = Baseline {
            commit: "0123abc".into(),
            key: Key {
                rustc: "rustc 1.95.0".into(),
                valgrind: "valgrind-3.19.0".into(),
                glibc: "glibc 2.36".into(),
            },
            figures: Figures(vec![("machine-hello".into(), 3134), ("tokio-hello".into(), 5790)]),
        };
        assert_eq!(baseline.to_string().parse(), Ok(baseline));
    }

    #[test]
    fn the_committed_baseline_is_well_formed() {
        let path = crate::command::root().join("benches/baseline.txt");
        let baseline: Baseline = std::fs::read_to_string(path).unwrap().parse().unwrap();
        for name in ["machine-hello", "machine-browser", "machine-chunks", "tokio-hello", "std-browser"] {
            assert!(baseline.figures.named(name).is_some_and(|count| count > 0), "{name}");
        }
        assert_eq!(baseline.commit.len(), 40);
    }

    #[test]
    fn a_line_that_is_not_a_figure_is_refused() {
        assert!(Figures::parse("machine-hello 3134").is_err());
        assert!("commit\tx\n".parse::<Baseline>().is_err());
    }
}
