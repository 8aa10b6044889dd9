//! The command line of a server: pairs of `--name value`, so that the harness can start all of them alike.

use std::path::PathBuf;

/// The options of a server.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// Which server of the program: a runtime, or a peer.
    pub kind: String,
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The folder with `certificate.der` and `key.der`; plain HTTP if it is not given.
    pub tls: Option<PathBuf>,
    /// Whether requests are logged on standard error.
    pub log: bool,
    /// The file that `/file` serves.
    pub file: Option<PathBuf>,
}

impl Arguments {
    /// Parses the command line of this process.
    ///
    /// # Errors
    ///
    /// A name is unknown, or its value is missing or malformed.
    pub fn from_env() -> Result<Self, String> {
        Self::parse(std::env::args().skip(1))
    }

    fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let (mut arguments, mut words) = (Self::default(), words.into_iter());
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("`{name}` has no value"))?;
            match name.as_str() {
                "--kind" => arguments.kind = value,
                "--port" => arguments.port = value.parse().map_err(|_| format!("`{value}` is not a port"))?,
                "--tls" => arguments.tls = Some(value.into()),
                "--log" => arguments.log = value == "on",
                "--file" => arguments.file = Some(value.into()),
                _ => return Err(format!("`{name}` is not an option of a server")),
            }
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_understood_and_anything_else_is_refused() {
        let parse = |words: &str| Arguments::parse(words.split_whitespace().map(str::to_owned));
        let arguments = parse("--kind std --port 9001 --log on --tls /a --file /b").unwrap();
        assert_eq!((arguments.kind.as_str(), arguments.port, arguments.log), ("std", 9001, true));
        assert_eq!((arguments.tls, arguments.file), (Some("/a".into()), Some("/b".into())));
        for wrong in ["--port", "--port x", "--bogus 1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
