//! A value that is not allowed is an error when the server is built. It names the option, the value, and what is
//! allowed.

use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::time::Duration;

use wsgi_tests::live::{PATIENCE, eventually};
use wsgi_tests::runtimes::TOKIO;
use wsgi_tokio::{Body, OptionError, Options, Report, Result, Version};

use super::site::{HELLO, Serve as _, on_each, quiet};

/// Options with one bad value: what is named, the value as it is shown, and what is said to be allowed.
type Bad = (fn(Options) -> Options, &'static str, &'static str, &'static str);

const LARGEST: usize = 16 * 1024 * 1024;

const ALL: &[Bad] = &[
    (|options| options.max_size(0), "max_size", "0", "1 or more"),
    (|options| options.url_length_limit(0), "url_length_limit", "0", "1 to 16777216"),
    (|options| options.url_length_limit(LARGEST + 1), "url_length_limit", "16777217", "1 to 16777216"),
    (|options| options.socket_timeout(Duration::ZERO), "socket_timeout", "0 s", "more than zero"),
    (|options| options.header_timeout(Duration::ZERO), "header_timeout", "0 s", "more than zero"),
    (|options| options.max_connection_age(Duration::ZERO), "max_connection_age", "0 s", "more than zero"),
    (|options| options.max_requests(0), "max_requests", "0", "1 or more"),
    (|options| options.min_request_rate(0), "min_request_rate", "0", "1 or more"),
    (|options| options.min_response_rate(0), "min_response_rate", "0", "1 or more"),
    (|options| options.rate_grace(Duration::ZERO), "rate_grace", "0 s", "more than zero"),
    (|options| options.handshake_timeout(Duration::ZERO), "handshake_timeout", "0 s", "more than zero"),
    (|options| options.environ("", "x"), "environ", "\"\"", "names that are not empty"),
    (|options| options.log_format("%(colour)s"), "log_format", "\"%(colour)s\"", "client_ip"),
    (|options| options.log_format("%(client_ip)x"), "log_format", "\"%(client_ip)x\"", "d"),
    (|options| options.limits(|limits| limits.target = 0), "url_length_limit", "0", "1 to 16777216"),
    (|options| options.limits(|limits| limits.method = 0), "limits.method", "0", "1 to 16777216"),
    (
        |options| options.limits(|limits| limits.method = LARGEST + 1),
        "limits.method",
        "16777217",
        "1 to 16777216",
    ),
    (|options| options.limits(|limits| limits.field_line = 15), "limits.field_line", "15", "16 to 16777216"),
    (
        |options| options.limits(|limits| limits.field_line = LARGEST + 1),
        "limits.field_line",
        "16777217",
        "16 to 16777216",
    ),
    (
        |options| options.limits(|limits| limits.fields_size = 15),
        "limits.fields_size",
        "15",
        "16 to 16777216",
    ),
    (
        |options| options.limits(|limits| limits.fields_size = LARGEST + 1),
        "limits.fields_size",
        "16777217",
        "16 to 16777216",
    ),
    (|options| options.limits(|limits| limits.fields = 0), "limits.fields", "0", "1 to 16777216"),
    (
        |options| options.limits(|limits| limits.fields = LARGEST + 1),
        "limits.fields",
        "16777217",
        "1 to 16777216",
    ),
    (|options| options.limits(|limits| limits.chunk_line = 2), "limits.chunk_line", "2", "3 to 16777216"),
    (
        |options| options.limits(|limits| limits.chunk_line = LARGEST + 1),
        "limits.chunk_line",
        "16777217",
        "3 to 16777216",
    ),
    (|options| options.limits(|limits| limits.outbox = 0), "limits.outbox", "0", "1 or more"),
    (|options| options.limits(|limits| limits.inbox = 1023), "limits.inbox", "1023", "1024 or more"),
];

/// What a server that was not allowed to begin ended with.
fn complains(ended: io::Result<Report>, option: &str, value: &str, allowed: &str) {
    let error = ended.expect_err(option);
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<OptionError>());
    assert_eq!(inner.expect("it is the error of an option").option(), option);
    let text = error.to_string();
    let (before, behind) = text.split_once(" (allowed: ").expect("it shows what is allowed");
    assert_eq!(before, format!("option {option} cannot be {value}"));
    assert!(behind.contains(allowed), "{text}");
}

#[test]
fn a_bad_value_is_named_with_what_is_allowed() {
    on_each("that has a bad value", |runtime| {
        for (change, option, value, allowed) in ALL {
            let running = runtime.start(change(quiet()), HELLO);
            let ended = running.ended.recv_timeout(PATIENCE);
            let ended = ended.unwrap_or_else(|_| panic!("{option} may be {value}"));
            complains(ended, option, value, allowed);
            assert!(running.handle.addresses().is_empty(), "{option}: nothing was served");
        }
    });
}

#[test]
fn the_first_bad_value_is_named_whatever_the_good_ones_are() {
    on_each("max_size", |runtime| {
        let options = quiet().max_http_version(Version::Http10).keepalive(false).max_body_size(0).max_size(0);
        let running = runtime.start(options, HELLO);
        let ended = running.ended.recv_timeout(PATIENCE).expect("it does not begin");
        complains(ended, "max_size", "0", "1 or more");
    });
}

#[test]
fn the_outermost_values_are_allowed() {
    on_each("that has an outermost value", |runtime| {
        let moment = Duration::from_nanos(1);
        let least = quiet()
            .max_size(1)
            .url_length_limit(1)
            .socket_timeout(moment)
            .header_timeout(moment)
            .linger_timeout(Duration::ZERO)
            .linger_limit(Duration::ZERO)
            .max_connection_age(moment)
            .max_requests(1)
            .min_request_rate(1)
            .min_response_rate(1)
            .rate_grace(moment)
            .graceful_timeout(Duration::ZERO)
            .max_body_size(0)
            .receive_before_call(0)
            .limits(|limits| {
                (limits.method, limits.field_line, limits.fields_size, limits.fields) = (1, 16, 16, 1);
                (limits.chunk_line, limits.chunk_extensions) = (3, 0);
                (limits.drain, limits.outbox, limits.inbox) = (0, 1, 1024);
            });
        let most = quiet()
            .max_size(usize::MAX)
            .url_length_limit(LARGEST)
            .receive_before_call(usize::MAX)
            .socket_timeout(Duration::MAX)
            .header_timeout(Duration::MAX)
            .linger_timeout(Duration::MAX)
            .linger_limit(Duration::MAX)
            .max_connection_age(Duration::MAX)
            .max_requests(u64::MAX)
            .min_request_rate(u64::MAX)
            .min_response_rate(u64::MAX)
            .rate_grace(Duration::MAX)
            .graceful_timeout(Duration::MAX)
            .max_body_size(u64::MAX)
            .minimum_chunk_size(usize::MAX)
            .limits(|limits| {
                (limits.method, limits.field_line, limits.fields_size) = (LARGEST, LARGEST, LARGEST);
                (limits.fields, limits.chunk_line, limits.chunk_extensions) = (LARGEST, LARGEST, usize::MAX);
                (limits.drain, limits.outbox, limits.inbox) = (u64::MAX, usize::MAX, usize::MAX);
            });
        for options in [least, most] {
            let site = runtime.serve(options, HELLO);
            eventually("it accepts", || !site.handle().addresses().is_empty());
            assert_eq!(site.stop(), Report::default());
        }
    });
}

#[test]
fn the_largest_values_are_served_with() {
    on_each("that is as large as can be", |runtime| {
        let most = quiet()
            .max_size(usize::MAX)
            .socket_timeout(Duration::MAX)
            .header_timeout(Duration::MAX)
            .linger_timeout(Duration::MAX)
            .linger_limit(Duration::MAX)
            .graceful_timeout(Duration::MAX)
            .keepalive(Duration::MAX)
            .limits(|limits| {
                (limits.outbox, limits.inbox, limits.drain) = (usize::MAX, usize::MAX, u64::MAX)
            });
        let site = runtime.serve(most, HELLO);
        let mut client = site.connect();
        for _ in 0..2 {
            client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
            assert_eq!(client.answer().text(), "hello");
        }
    });
}

/// Everywhere else `options` sets all of them at once; each builder has the methods as well.
#[test]
fn the_builder_of_each_crate_has_the_same_methods() {
    fn bound() -> TcpListener {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        listener
    }

    async fn nothing(_: wsgi_tokio::Environ, _: wsgi_tokio::StartResponse) -> Result<Body> {
        Ok(Body::empty())
    }

    // They are stopped before they begin, so that one that takes the value ends as well.
    let complains = |ended| complains(ended, "max_size", "0", "1 or more");
    complains(TOKIO.0.block_on(async {
        let listener = tokio::net::TcpListener::from_std(bound())?;
        let server = wsgi_tokio::Server::new(listener, nothing).log_output(false).max_size(0);
        server.handle().shutdown();
        server.serve().await
    }));
    complains(smol::block_on(async {
        let listener = smol::Async::new(bound())?;
        let server = wsgi_smol::Server::new(listener, nothing).log_output(false).max_size(0);
        server.handle().shutdown();
        server.serve().await
    }));
    complains(async_std::task::block_on(async {
        let listener = async_std::net::TcpListener::from(bound());
        let server = wsgi_smol::Server::new(listener, nothing).log_output(false).max_size(0);
        server.handle().shutdown();
        server.serve().await
    }));
    #[cfg(unix)]
    {
        let nothing = wsgi_std::application_fn(|_, _| Ok(Body::empty()));
        let server = wsgi_std::Server::new(bound(), nothing).log_output(false).max_size(0);
        server.handle().shutdown();
        complains(server.serve());
    }
}
