//! Every combination of the features of every published crate.

use crate::command::{Cmd, lines_of};
use crate::{Options, Outcome, PUBLISHED};

/// Without dev-dependencies and examples, which could enable features of other crates. With clippy instead of `cargo
/// check`, so that code unused in some combinations is found as well.
pub(crate) fn run(_: &Options) -> Outcome {
    let mut count = 0;
    for (package, _) in PUBLISHED {
        for set in powerset(&features(package)?) {
            count += 1;
            Cmd::new(&format!("cargo clippy --quiet -p {package} --lib --no-default-features"))
                .arg(format!("--features={}", set.join(",")))
                .arg("--")
                .arg("-D")
                .arg("warnings")
                .run()?;
        }
    }
    Ok(format!("{count} combinations"))
}

/// The names of a package's features, according to cargo: optional dependencies may be features, too.
fn features(package: &str) -> Result<Vec<String>, String> {
    let tree = Cmd::new(&format!("cargo tree -p {package} --all-features --depth 0 --edges normal -f"));
    // An unknown package prints nothing, a package without features an empty line.
    let lines = lines_of(tree.arg("{f}"));
    let line = lines.first().ok_or(format!("`cargo tree` does not list the features of {package}"))?;
    Ok(listed(line))
}

/// Without `default`, which only groups others.
fn listed(line: &str) -> Vec<String> {
    line.split(',').filter(|name| !["", "default"].contains(name)).map(str::to_owned).collect()
}

/// All subsets, smaller ones first, so that a failure names as few features as possible.
fn powerset(features: &[String]) -> Vec<Vec<&str>> {
    let mut sets: Vec<Vec<&str>> = vec![Vec::new()];
    for feature in features {
        let with = sets.iter().map(|set| [&set[..], &[feature.as_str()]].concat());
        sets.extend(with.collect::<Vec<_>>());
    }
    sets.sort_by_key(Vec::len);
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_read_from_the_output_of_cargo_tree() {
        assert_eq!(listed("async-std,default,tls"), ["async-std", "tls"]);
        assert_eq!(listed(""), Vec::<String>::new());
    }

    #[test]
    fn the_powerset_has_every_combination_once_and_small_ones_first() {
        let features = ["a", "b", "c"].map(str::to_owned);
        let sets: Vec<String> = powerset(&features).iter().map(|set| set.join(",")).collect();
        assert_eq!(sets, ["", "a", "b", "c", "a,b", "a,c", "b,c", "a,b,c"]);
        assert_eq!(powerset(&[]), [Vec::<&str>::new()]);
    }
}
