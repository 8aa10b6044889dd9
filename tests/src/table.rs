//! The table of raw exchanges: files with a client's bytes, the application's operations, and the expected answer.
//!
//! ```text
//! === a_name_that_is_a_fact
//! Why it is right, with the rule that decides it.
//! --- config                          optional, see `Exchange::config`
//! keepalive = off
//! --- app                             optional and repeatable: the n-th request gets the n-th, later ones the last
//! respond 204 No Content              see `script`
//! --- client                          see `wire`; once more for what is sent only after an answer
//! GET / HTTP/1.1
//! Host: h
//!
//! --- client closes its half          or: `client falls silent`; without either it waits
//! --- server                          written by the machine when `BLESS` is set, judged by a person
//! HTTP/1.1 204 No Content
//! --- closed, by the peer             how it ends; what follows the comma only the machine knows
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use wsgi_proto::{Config, KeepAlive, Version};

use crate::script::Script;
use crate::wire;

/// One exchange, or several on one connection.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The name, which states a fact.
    pub name: String,
    /// Settings that differ from the defaults, unparsed.
    pub settings: Vec<(String, String)>,
    /// The application for each request; the last one serves all later requests.
    pub apps: Vec<Script>,
    /// The client's bytes; each part except the first is sent only after an answer.
    pub client: Vec<Vec<u8>>,
    /// The client's behaviour after its last part.
    pub afterwards: Afterwards,
    /// The expected answer.
    pub answer: Answer,
    /// The unparsed text before the answer.
    source: String,
}

/// The behaviour of a client after it has sent everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// Waits for answers, and closes when the server does.
    Waits,
    /// Closes its sending half immediately.
    Closes,
    /// Does nothing until the server times out.
    FallsSilent,
}

/// The answer of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// All bytes.
    pub bytes: Vec<u8>,
    /// `open`, `closed` or `taken over`, and after a comma a detail that only the machine knows.
    pub end: String,
}

impl Answer {
    /// The text of the answer in the file.
    pub fn text(&self) -> String {
        let end = if self.end.is_empty() { String::new() } else { format!("--- {}\n", self.end) };
        format!("--- server\n{}{end}", wire::encode(&self.bytes))
    }
}

/// One file of the table.
#[derive(Clone, Debug)]
pub struct Table {
    path: PathBuf,
    /// The text before the first exchange.
    preamble: String,
    /// The exchanges in the order written.
    pub exchanges: Vec<Exchange>,
}

impl Table {
    /// Reads every file of `tests/exchanges`, by name.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or that is malformed: the message includes the location.
    pub fn all() -> io::Result<Vec<Self>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("exchanges");
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder)? {
            paths.push(entry?.path());
        }
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
        paths.sort();
        paths.into_iter().map(Self::read).collect()
    }

    fn read(path: PathBuf) -> io::Result<Self> {
        let text = fs::read_to_string(&path)?;
        let wrong = |message: String| io::Error::other(format!("{}: {message}", path.display()));
        let (preamble, exchanges) = Self::parse(&text).map_err(wrong)?;
        Ok(Self { path, preamble, exchanges })
    }

    fn parse(text: &str) -> Result<(String, Vec<Exchange>), String> {
        let starts: Vec<usize> = text.match_indices("=== ").map(|(at, _)| at).collect();
        let starts = starts.into_iter().filter(|&at| at == 0 || text.as_bytes()[at - 1] == b'\n');
        let mut bounds: Vec<usize> = starts.chain([text.len()]).collect();
        bounds.dedup();
        let exchanges = bounds.windows(2).map(|pair| {
            let part = &text[pair[0]..pair[1]];
            Exchange::parse(part)
                .map_err(|error| format!("{}: {error}", part.lines().next().unwrap_or_default()))
        });
        Ok((text[..bounds[0]].into(), exchanges.collect::<Result<_, _>>()?))
    }

    /// The name of the file, for messages.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into()
    }

    /// The whole file as text.
    pub fn text(&self) -> String {
        let exchanges =
            self.exchanges.iter().map(|exchange| exchange.source.clone() + &exchange.answer.text());
        self.preamble.clone() + &exchanges.collect::<Vec<_>>().join("\n")
    }

    /// Writes the file with the current answers of the exchanges.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&self) -> io::Result<()> {
        fs::write(&self.path, self.text())
    }
}

/// Whether answers are written into the files instead of being compared with them (`BLESS=1`).
pub fn blessing() -> bool {
    std::env::var_os("BLESS").is_some()
}

/// Checks every exchange of every file, several at a time.
///
/// # Panics
///
/// With all messages that `check` returns for failed exchanges.
pub fn each(check: impl Fn(&Exchange) -> Result<(), String> + Sync) {
    let tables = Table::all().expect("the files are part of this crate");
    let all = tables.iter().flat_map(|table| table.exchanges.iter().map(move |exchange| (table, exchange)));
    let (all, complaints) = (Mutex::new(all), Mutex::new(Vec::new()));
    let work = || {
        while let Some((table, exchange)) = next(&all) {
            if let Err(complaint) = check(exchange) {
                let complaint = format!("{}: {}\n{complaint}", table.name(), exchange.name);
                complaints.lock().expect("no check panics").push(complaint);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(work);
        }
    });
    let complaints = complaints.into_inner().expect("no check panics");
    let (count, text) = (complaints.len(), complaints.join("\n"));
    assert!(complaints.is_empty(), "{count} exchanges failed:\n\n{text}");
}

fn next<T>(all: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    all.lock().expect("no iterator panics").next()
}

impl Exchange {
    fn parse(part: &str) -> Result<Self, String> {
        let server =
            part.find("\n--- server\n").ok_or("the line `--- server` before the answer is missing")?;
        let (source, answer) = part.split_at(server + 1);
        let mut exchange = Self {
            name: source.lines().next().unwrap_or_default().trim_start_matches("=== ").into(),
            settings: Vec::new(),
            apps: Vec::new(),
            client: Vec::new(),
            afterwards: Afterwards::Waits,
            answer: Answer { bytes: Vec::new(), end: String::new() },
            source: source.into(),
        };
        for (title, lines) in sections(source).skip(1).chain(sections(answer)) {
            match title {
                "config" => exchange.settings = lines.into_iter().map(setting).collect::<Result<_, _>>()?,
                "app" => exchange.apps.push(Script::parse(lines)?),
                "client" => exchange.client.push(wire::decode(lines)?),
                "client closes its half" => exchange.afterwards = Afterwards::Closes,
                "client falls silent" => exchange.afterwards = Afterwards::FallsSilent,
                "server" => exchange.answer.bytes = wire::decode(lines)?,
                end if ["open", "closed", "taken over"]
                    .contains(&end.split(',').next().unwrap_or_default()) =>
                {
                    exchange.answer.end = end.into();
                }
                other => return Err(format!("no such section: {other}")),
            }
        }
        if exchange.answer.end.is_empty() {
            // Not blessed yet; the empty lines only separate two exchanges.
            exchange.answer.bytes.clear();
        }
        if exchange.apps.is_empty() {
            exchange.apps.push(Script::default());
        }
        exchange.config()?;
        Ok(exchange)
    }

    /// The settings for the machine.
    ///
    /// # Errors
    ///
    /// A setting that does not exist, or a malformed value.
    pub fn config(&self) -> Result<Config, String> {
        let mut config = Config::default();
        for (name, value) in &self.settings {
            let number = || value.parse::<usize>().map_err(|_| format!("{name}: not a number: {value}"));
            let time = || {
                let seconds = value.strip_suffix(" s").and_then(|seconds| seconds.parse().ok());
                seconds.map(Duration::from_secs_f64).ok_or_else(|| format!("{name}: not a time: {value}"))
            };
            match name.as_str() {
                "keepalive" => {
                    config.keepalive = match value.as_str() {
                        "on" => KeepAlive::On,
                        "off" => KeepAlive::Off,
                        _ => KeepAlive::For(time()?),
                    }
                }
                "max_http_version" => {
                    config.max_http_version =
                        if value == "1.0" { Version::Http10 } else { return Err(format!("version {value}")) }
                }
                "minimum_chunk_size" => config.minimum_chunk_size = number()?,
                "capitalize_response_headers" => config.capitalize_response_headers = value == "true",
                "require_host" => config.require_host = value == "true",
                "socket_timeout" => config.socket_timeout = Some(time()?),
                "header_timeout" => config.header_timeout = Some(time()?),
                "linger_timeout" => config.linger_timeout = time()?,
                "url_length_limit" => config.limits.target = number()?,
                "method_limit" => config.limits.method = number()?,
                "field_line_limit" => config.limits.field_line = number()?,
                "fields_size_limit" => config.limits.fields_size = number()?,
                "fields_limit" => config.limits.fields = number()?,
                "chunk_line_limit" => config.limits.chunk_line = number()?,
                "chunk_extensions_limit" => config.limits.chunk_extensions = number()?,
                "max_body_size" => config.limits.body = Some(number()? as u64),
                "drain_limit" => config.limits.drain = number()? as u64,
                "outbox_limit" => config.limits.outbox = number()?,
                "debug" => {}
                _ => return Err(format!("no such setting: {name}")),
            }
        }
        Ok(config)
    }

    /// The expected bytes from a server with a real clock.
    pub fn masked(&self) -> Vec<u8> {
        wire::mask_dates(&self.answer.bytes)
    }

    /// Whether application errors are shown to the client.
    pub fn debug(&self) -> bool {
        self.settings.iter().any(|(name, value)| name == "debug" && value == "true")
    }
}

/// The parts that begin with a line `--- title`, with their lines; the part before the first title has none.
fn sections(text: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let mut parts: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("--- "), parts.last_mut()) {
            (Some(title), _) => parts.push((title, Vec::new())),
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => parts.push(("", vec![line])),
        }
    }
    parts.into_iter()
}

fn setting(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(" = ").ok_or_else(|| format!("not a setting: {line}"))?;
    Ok((name.into(), value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_written_is_the_table_that_was_read() {
        for table in Table::all().unwrap() {
            let (preamble, exchanges) = Table::parse(&table.text()).unwrap();
            let again = Table { path: table.path.clone(), preamble, exchanges };
            assert_eq!(again.text(), table.text());
        }
    }

    #[test]
    fn the_empty_line_of_a_head_is_part_of_it() {
        let text = "# why\n=== a\n--- client\nGET / HTTP/1.1\n\n--- server\n--- open\n\n=== b\n--- server\n--- closed\n";
        let (preamble, exchanges) = Table::parse(text).unwrap();
        assert_eq!((preamble.as_str(), exchanges.len()), ("# why\n", 2));
        assert_eq!(exchanges[0].client, [b"GET / HTTP/1.1\r\n\r\n"]);
        assert_eq!(exchanges[1].answer.end, "closed");
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for wrong in ["--- sing\n", "--- config\nb = c\n", "--- app\nsing\n", "--- client\n\\q\n"] {
            assert!(Table::parse(&format!("=== a\n{wrong}--- server\n")).is_err(), "{wrong}");
        }
    }
}
