//! The program chooses the crypto provider of rustls: no adapter enables one, a program with its own provider works
//! (`tests/tls-provider`), and this proof can fail.

use crate::command::{Cmd, target_dir};
use crate::{Options, Outcome};

/// The crates with TLS.
const ADAPTERS: &[&str] = &["wsgi-tokio", "wsgi-smol", "wsgi-std"];

/// Packages that are a provider, and features of rustls and related crates that enable or replace one.
const PROVIDERS: &[&str] =
    &["aws-lc-rs", "aws-lc-sys", "aws_lc_rs", "custom-provider", "fips", "prefer-post-quantum", "ring"];

/// The error of rustls when two providers are enabled.
const REFUSAL: &str = "Could not automatically determine the process-level CryptoProvider";

pub(crate) fn run(_: &Options) -> Outcome {
    for package in ADAPTERS {
        enables_none(package)?;
    }
    proof("").run()?;
    let output = proof("--features second-provider").output()?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() || !stdout.contains(REFUSAL) {
        return Err(format!("the proof does not notice a second provider; its output:\n{stdout}{stderr}"));
    }
    println!("with a second provider it fails, as expected: {REFUSAL}");
    Ok(String::new())
}

/// Checks the dependencies of a program that has only this package, with all its features.
fn enables_none(package: &str) -> Result<(), String> {
    let command =
        format!("cargo tree -p {package} --all-features --target all -e normal,build --prefix none");
    let output = Cmd::new(&command).arg("--format").arg("{p} features: {f}").output()?;
    let tree = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!(
            "`{command}` ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    match enabled(&tree) {
        _ if !tree.lines().any(|line| line.starts_with("rustls v")) => {
            Err(format!("`{command}` does not list rustls, so it proves nothing"))
        }
        Some(line) => {
            Err(format!("{package} enables a crypto provider (`{line}`), which only programs may choose"))
        }
        None => {
            println!("{package} enables no crypto provider");
            Ok(())
        }
    }
}

/// The first line of the tree that is a provider or enables one.
fn enabled(tree: &str) -> Option<&str> {
    let is_provider = |word: &str| PROVIDERS.contains(&word);
    tree.lines().find(|line| {
        let (package, features) = line.split_once(" features: ").unwrap_or((line, ""));
        let name = package.split(' ').next().unwrap_or_default();
        // A repeated package ends with ` (*)`.
        let features = features.trim_end_matches("(*)").trim();
        // Other crates may use these names for anything.
        is_provider(name) || name.contains("rustls") && features.split(',').any(is_provider)
    })
}

fn proof(features: &str) -> Cmd {
    Cmd::new(&format!("cargo test --manifest-path tests/tls-provider/Cargo.toml {features}"))
        .arg("--target-dir")
        .arg(target_dir().join("tls-provider"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_found_as_a_package_and_as_a_feature() {
        for line in [
            "ring v0.17.14 features: alloc,default",
            "aws-lc-sys v0.47.0 features: ",
            "rustls v0.23.46 features: ring,std,tls12",
            "rustls v0.23.46 features: std,aws_lc_rs (*)",
            "tokio-rustls v0.26.6 features: ring",
            "rustls-webpki v0.103.17 features: aws-lc-rs",
        ] {
            let tree =
                format!("wsgi-tokio v0.1.0 (/a/path) features: tls\n{line}\nlibc v0.2.1 features: std");
            assert_eq!(enabled(&tree), Some(line));
        }
    }

    #[test]
    fn a_tree_without_a_provider_passes() {
        let tree = "wsgi-tokio v0.1.0 (/ring/fips) features: default,tls\n\
                    rustls v0.23.46 features: std,tls12\n\
                    rustls v0.23.46 features: std,tls12 (*)\n\
                    string v1.0.0 features: ring";
        assert_eq!(enabled(tree), None);
    }
}
