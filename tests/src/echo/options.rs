//! The command line of `echo`: the server's options, each as a flag named like the manual's parameter.

use std::fmt;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, ValueEnum};
use wsgi_tokio::{KeepAlive, Limits};
use wsgi_tokio::{Options, ProxySources, Version};

use super::tls::TlsSettings;

/// The command line of `echo`.
#[derive(Debug, Parser)]
#[command(
    name = "echo",
    allow_negative_numbers = true,
    about = "Serves the echo application of tests/conform/CONTRACT.md",
    after_help = "Times are in seconds, fractions are allowed. The log goes to standard error."
)]
pub struct Settings {
    /// The runtime of the connections.
    #[arg(long, value_enum)]
    pub runtime: Runtime,

    /// Where to accept connections: 127.0.0.1:8090, `[::1]:8090`, unix:PATH; port 0 picks a free one. May be repeated.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    pub listen: Vec<Place>,

    /// Number of runtime threads; 0 runs everything on the main thread. The default is the runtime's own; it cannot be
    /// changed for async-std.
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    pub threads: Option<usize>,

    /// Runs connections on a pool of this many threads, separate from the accept loop; --max-size is ignored.
    #[arg(long, value_name = "N", value_parser = at_least_one, conflicts_with = "threads")]
    pub custom_pool: Option<usize>,

    /// The files for HTTPS.
    #[command(flatten)]
    pub tls: TlsSettings,

    /// Requires the PROXY protocol, from these sources only: IP addresses, networks and `unix`, separated by commas.
    #[arg(long, value_name = "SOURCES")]
    pub proxy_protocol: Option<ProxySources>,

    /// The file that the path `/file` serves, from the byte `from` in the query, which is 0 by default.
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,

    /// The options of the server.
    #[command(flatten)]
    pub server: ServerSettings,
}

/// The runtime of the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Runtime {
    /// tokio
    Tokio,
    /// smol
    Smol,
    /// async-std, discontinued in favour of smol
    AsyncStd,
    /// the sockets of std, for blocking applications
    #[cfg(unix)]
    Std,
    /// tokio, for blocking applications
    BlockingOnTokio,
    /// smol, for blocking applications
    BlockingOnSmol,
    /// async-std, for blocking applications
    BlockingOnAsyncStd,
}

/// The options of the server; a missing one keeps its default, except `debug`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of the server")]
pub struct ServerSettings {
    /// Appends the log to this file, instead of writing it to standard error.
    #[arg(long, value_name = "FILE", value_parser = log_file)]
    log: Option<LogFile>,

    /// Appends access lines to this file instead of the log, or none.
    #[arg(long, value_name = "FILE", value_parser = or_none(log_file))]
    access_log: Option<Bound<LogFile>>,

    /// A variable of every request; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    environ: Vec<(String, String)>,

    /// The maximum number of concurrent connections.
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    max_size: Option<usize>,

    /// The HTTP version of responses: HTTP/1.0 or HTTP/1.1.
    #[arg(long, value_name = "VERSION", value_parser = version)]
    max_http_version: Option<Version>,

    /// Joins blocks of a response up to this size.
    #[arg(long, value_name = "BYTES", value_parser = whole::<usize>)]
    minimum_chunk_size: Option<usize>,

    /// Whether %(client_ip)s includes the addresses from X-Forwarded-For.
    #[arg(long, value_name = "BOOL")]
    log_x_forwarded_for: Option<bool>,

    /// Whether connections are reused: true, false, or the maximum idle time in seconds.
    #[arg(long, value_name = "BOOL|SECONDS", value_parser = keepalive)]
    keepalive: Option<KeepAlive>,

    /// Whether the server logs at all.
    #[arg(long, value_name = "BOOL")]
    log_output: Option<bool>,

    /// The template of access lines.
    #[arg(long, value_name = "TEMPLATE")]
    log_format: Option<String>,

    /// The maximum length of the request target.
    #[arg(long, value_name = "BYTES", value_parser = whole::<usize>)]
    url_length_limit: Option<usize>,

    /// Show application errors in 500 responses.
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, default_value_t = false)]
    debug: bool,

    /// Time limit of every single wait for the client, or none.
    #[arg(long, value_name = "SECONDS", value_parser = or_none(seconds))]
    socket_timeout: Option<Bound<Duration>>,

    /// Whether names of response headers are written Like-This.
    #[arg(long, value_name = "BOOL")]
    capitalize_response_headers: Option<bool>,

    /// Whether requests of HTTP/1.1 without Host are refused.
    #[arg(long, value_name = "BOOL")]
    require_host: Option<bool>,

    /// The maximum size of the request body, or none.
    #[arg(long, value_name = "BYTES", value_parser = or_none(whole::<u64>))]
    max_body_size: Option<Bound<u64>>,

    /// Time limit for a whole head, or none.
    #[arg(long, value_name = "SECONDS", value_parser = or_none(seconds))]
    header_timeout: Option<Bound<Duration>>,

    /// The age at which a connection ends, or none.
    #[arg(long, value_name = "SECONDS", value_parser = or_none(seconds))]
    max_connection_age: Option<Bound<Duration>>,

    /// The number of requests after which a connection ends, or none.
    #[arg(long, value_name = "N", value_parser = or_none(whole::<u64>))]
    max_requests: Option<Bound<u64>>,

    /// The minimum rate of a request body that is being read, per second, or none.
    #[arg(long, value_name = "BYTES", value_parser = or_none(whole::<u64>))]
    min_request_rate: Option<Bound<u64>>,

    /// The minimum rate at which responses are read, per second, or none.
    #[arg(long, value_name = "BYTES", value_parser = or_none(whole::<u64>))]
    min_response_rate: Option<Bound<u64>>,

    /// The time over which the minimum rates are measured.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    rate_grace: Option<Duration>,

    /// How long unread input is read and dropped, so that the last answer is not lost.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    linger_timeout: Option<Duration>,

    /// How long unread input is dropped in all, while the client continues to send.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    linger_limit: Option<Duration>,

    /// Time limit for a TLS handshake and the header of the PROXY protocol.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    handshake_timeout: Option<Duration>,

    /// Time limit for requests in progress during a graceful stop.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    graceful_timeout: Option<Duration>,

    /// Whether a connection that waits for its client is closed for a new one at --max-size.
    #[arg(long, value_name = "BOOL")]
    make_room: Option<bool>,

    /// Whether a stop serves the connections that wait in the queues of the listeners.
    #[arg(long, value_name = "BOOL")]
    drain_backlog: Option<bool>,

    /// How much of a body is received before a blocking application is called.
    #[arg(long, value_name = "BYTES", value_parser = whole::<usize>)]
    receive_before_call: Option<usize>,

    /// Another limit; may be repeated.
    #[arg(long = "limit", value_name = "NAME=BYTES", value_parser = limit)]
    limits: Vec<Limit>,
}

impl ServerSettings {
    /// The options in the form that adapters accept.
    pub fn options(self) -> Options {
        // Sets only the given options, so that a run without flags uses the defaults.
        let mut options = Options::default().debug(self.debug);
        for (name, value) in self.environ {
            options = options.environ(name, value);
        }
        macro_rules! set {
            ($($name:ident),*) => { $(if let Some(value) = self.$name { options = options.$name(value); })* };
        }
        set!(
            max_size,
            make_room,
            max_http_version,
            minimum_chunk_size,
            log_x_forwarded_for,
            keepalive,
            log_output
        );
        set!(log_format, url_length_limit, capitalize_response_headers, require_host);
        set!(rate_grace, linger_timeout, linger_limit, handshake_timeout, graceful_timeout, drain_backlog);
        set!(receive_before_call);
        if let Some(LogFile(file)) = self.log {
            options = options.log_to(file);
        }
        options = match self.access_log {
            Some(Bound(Some(LogFile(file)))) => options.access_log_to(file),
            Some(Bound(None)) => options.access_log(false),
            None => options,
        };
        if let Some(Bound(bytes)) = self.max_body_size {
            options = options.max_body_size(bytes);
        }
        if let Some(Bound(time)) = self.socket_timeout {
            options = options.socket_timeout(time);
        }
        if let Some(Bound(time)) = self.header_timeout {
            options = options.header_timeout(time);
        }
        if let Some(Bound(age)) = self.max_connection_age {
            options = options.max_connection_age(age);
        }
        if let Some(Bound(requests)) = self.max_requests {
            options = options.max_requests(requests);
        }
        if let Some(Bound(rate)) = self.min_request_rate {
            options = options.min_request_rate(rate);
        }
        if let Some(Bound(rate)) = self.min_response_rate {
            options = options.min_response_rate(rate);
        }
        let limits = self.limits;
        options.limits(|changed| limits.into_iter().for_each(|Limit { set, value }| set(changed, value)))
    }
}

/// Where to accept connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An internet address.
    Tcp(SocketAddr),
    /// A unix socket, by its path.
    Unix(PathBuf),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("no path after unix:".into()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text
                .parse()
                .map(Self::Tcp)
                .map_err(|_| "allowed: 127.0.0.1:8090, [::1]:8090 or unix:PATH".into()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A limit, or `none`.
#[derive(Clone, Copy, Debug)]
struct Bound<T>(Option<T>);

fn or_none<T>(parse: fn(&str) -> Result<T, String>) -> impl Fn(&str) -> Result<Bound<T>, String> + Clone {
    move |text| match text {
        "none" => Ok(Bound(None)),
        text => parse(text).map(|bound| Bound(Some(bound))).map_err(|allowed| format!("{allowed}, or none")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let time = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| "allowed: seconds, such as 5 or 0.5".into())
}

/// A log file, shared by all copies of the command line.
#[derive(Clone, Debug)]
struct LogFile(Arc<File>);

fn log_file(path: &str) -> Result<LogFile, String> {
    match File::options().append(true).create(true).open(path) {
        Ok(file) => Ok(LogFile(Arc::new(file))),
        Err(error) => Err(format!("cannot be opened for writing: {error} (allowed: the path of a file)")),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    whole(text).ok().filter(|number| *number > 0).ok_or_else(|| "allowed: 1 or more".into())
}

fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "allowed: a whole number".into())
}

fn keepalive(text: &str) -> Result<KeepAlive, String> {
    match text {
        "true" => Ok(KeepAlive::On),
        "false" => Ok(KeepAlive::Off),
        text => seconds(text)
            .map(KeepAlive::from)
            .map_err(|_| "allowed: true, false, or seconds, such as 5 or 0.5".into()),
    }
}

fn version(text: &str) -> Result<Version, String> {
    [Version::Http10, Version::Http11]
        .into_iter()
        .find(|version| version.as_str() == text)
        .ok_or_else(|| "allowed: HTTP/1.0 or HTTP/1.1".into())
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("allowed: NAME=VALUE".into()),
    }
}

/// A change to one of the limits that have no separate option.
#[derive(Clone, Copy, Debug)]
struct Limit {
    set: SetLimit,
    value: u64,
}

type SetLimit = fn(&mut Limits, u64);

const LIMITS: [(&str, SetLimit); 9] = [
    ("method", |limits, value| limits.method = value as usize),
    ("field_line", |limits, value| limits.field_line = value as usize),
    ("fields_size", |limits, value| limits.fields_size = value as usize),
    ("fields", |limits, value| limits.fields = value as usize),
    ("chunk_line", |limits, value| limits.chunk_line = value as usize),
    ("chunk_extensions", |limits, value| limits.chunk_extensions = value as usize),
    ("drain", |limits, value| limits.drain = value),
    ("outbox", |limits, value| limits.outbox = value as usize),
    ("inbox", |limits, value| limits.inbox = value as usize),
];

fn limit(text: &str) -> Result<Limit, String> {
    let parsed = text.split_once('=').and_then(|(name, value)| {
        let (_, set) = *LIMITS.iter().find(|(known, _)| *known == name)?;
        Some(Limit { set, value: value.parse().ok()? })
    });
    parsed.ok_or_else(|| {
        let names = LIMITS.map(|(name, _)| name).join(", ");
        format!("allowed: NAME=NUMBER with one of {names}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &str) -> Result<Settings, clap::Error> {
        Settings::try_parse_from(["echo", "--runtime", "tokio"].into_iter().chain(flags.split_whitespace()))
    }

    #[test]
    fn every_option_has_a_flag() {
        let settings = parse(
            "--listen 127.0.0.1:0 --listen [::1]:8090 --listen unix:/tmp/echo --threads 0 --environ A=b=c \
             --environ D= --max-size 100 --make-room false --max-http-version HTTP/1.0 --minimum-chunk-size 7 \
             --log-x-forwarded-for false --keepalive 2.5 --log-output false --log-format %(path)s \
             --url-length-limit 99 --debug true --socket-timeout 0.5 --capitalize-response-headers false \
             --max-body-size none --header-timeout 30 --handshake-timeout 3 --graceful-timeout 0 \
             --max-connection-age 60 --max-requests 1000 --linger-timeout 1.5 --linger-limit 9 --min-request-rate 240 \
             --min-response-rate 120 --rate-grace 5 --drain-backlog false --log /dev/null --access-log /dev/null \
             --require-host false --receive-before-call 4096 --limit fields=60",
        )
        .unwrap();
        assert_eq!(
            settings.listen.iter().map(Place::to_string).collect::<Vec<_>>(),
            ["127.0.0.1:0", "[::1]:8090", "unix:/tmp/echo"]
        );
        let options = settings.server.options();
        let wanted = Options::default()
            .max_size(100)
            .make_room(false)
            .environ("A", "b=c")
            .environ("D", "")
            .max_http_version(Version::Http10)
            .minimum_chunk_size(7)
            .log_x_forwarded_for(false)
            .capitalize_response_headers(false)
            .require_host(false)
            .keepalive(Duration::from_millis(2500))
            .socket_timeout(Duration::from_millis(500))
            .header_timeout(Duration::from_secs(30))
            .linger_timeout(Duration::from_millis(1500))
            .drain_backlog(false)
            .linger_limit(Duration::from_secs(9))
            .max_connection_age(Duration::from_secs(60))
            .max_requests(1000)
            .min_request_rate(240)
            .min_response_rate(120)
            .rate_grace(Duration::from_secs(5))
            .url_length_limit(99)
            .receive_before_call(4096)
            .limits(|limits| limits.fields = 60);
        assert_eq!(format!("{options:?}"), format!("{wanted:?}"));
        assert!(format!("{options:?}").contains("max_size: 100"), "{options:?}");
    }

    #[test]
    fn what_is_not_given_keeps_its_default_but_debug_is_off() {
        let settings = parse("").unwrap();
        assert_eq!(settings.listen, [Place::Tcp(([127, 0, 0, 1], 8090).into())]);
        let options = settings.server.options();
        assert_eq!(format!("{options:?}"), format!("{:?}", Options::default().debug(false)));
    }

    #[test]
    fn an_error_about_a_bad_value_shows_what_is_allowed() {
        for (flag, value, allowed) in [
            ("--runtime", "mio", "tokio"),
            ("--listen", "localhost", "unix:PATH"),
            ("--listen", "unix:", "no path"),
            ("--keepalive", "no", "true, false, or seconds"),
            ("--keepalive", "-1", "true, false, or seconds"),
            ("--debug", "1", "true, false"),
            ("--socket-timeout", "5s", "such as 5 or 0.5, or none"),
            ("--max-size", "-1", "a whole number"),
            ("--max-body-size", "1k", "a whole number, or none"),
            ("--max-http-version", "1.0", "HTTP/1.0 or HTTP/1.1"),
            ("--environ", "=x", "NAME=VALUE"),
            ("--limit", "head=1", "chunk_line"),
            ("--custom-pool", "0", "1 or more"),
            ("--log", "/", "the path of a file"),
            ("--access-log", "/", "the path of a file), or none"),
        ] {
            let flag = format!("{flag}={value}");
            let error = Settings::try_parse_from(["echo", &flag]).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(allowed), "{error}");
        }
    }
}
