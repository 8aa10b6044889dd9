//! Every combination of the features of every published crate.

use crate::command::{Cmd, lines_of};
use crate::{Options, Outcome, PUBLISHED};

/// Without dev-dependencies and examples, which could enable features of other crates. With clippy instead of `cargo
/// check`, so that code unused in some combinations is found as well.
pub(crate) fn run(_: &Options) -> Outcome {
    let mut count = 0;
    for (package, _) in PUBLISHED {
        for set in sets(&features(package)?) {
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

/// All sets of at most two features, and the set of all: smaller ones first, so that a failure names as few features as
/// possible. Code that depends on three features exists nowhere, and all subsets would take too long.
fn sets(features: &[String]) -> Vec<Vec<&str>> {
    let mut sets: Vec<Vec<&str>> = vec![Vec::new()];
    sets.extend(features.iter().map(|feature| vec![feature.as_str()]));
    for (index, first) in features.iter().enumerate() {
        sets.extend(features[index + 1..].iter().map(|second| vec![first.as_str(), second]));
    }
    if features.len() > 2 {
        sets.push(features.iter().map(String::as_str).collect());
    }
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
    fn the_sets_are_small_or_whole() {
        let joined = |features: &[String]| sets(features).iter().map(|set| set.join(",")).collect::<Vec<_>>();
        let features = ["a", "b", "c", "d"].map(str::to_owned);
        assert_eq!(joined(&features[..2]), ["", "a", "b", "a,b"]);
        let all = ["", "a", "b", "c", "d", "a,b", "a,c", "a,d", "b,c", "b,d", "c,d", "a,b,c,d"];
        assert_eq!(joined(&features), all);
        assert_eq!(joined(&[]), [""]);
    }
}
