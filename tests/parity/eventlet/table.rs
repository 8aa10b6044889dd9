//! The table: one row per test of eventlet's `tests/wsgi_test.py`, in the same order.

use super::{bodies, continues, logs, requests, responses, running, streaming, tls};

/// A test of eventlet.
pub(crate) struct Row {
    /// Its name in eventlet.
    pub(crate) name: &'static str,
    /// Whether it holds here.
    pub(crate) verdict: Verdict,
    /// The check for it.
    pub(crate) check: Option<fn()>,
}

/// Whether a test of eventlet holds here.
pub(crate) enum Verdict {
    /// The same holds here.
    Same,
    /// The behaviour differs on purpose.
    Departure(&'static str),
    /// The tested feature does not exist here.
    NotApplicable(&'static str),
}

macro_rules! row {
    ($file:ident::$name:ident) => {
        Row { name: stringify!($name), verdict: Verdict::Same, check: Some($file::$name) }
    };
    ($file:ident::$name:ident, $why:literal) => {
        Row { name: stringify!($name), verdict: Verdict::Departure($why), check: Some($file::$name) }
    };
    ($name:ident, $why:literal) => {
        Row { name: stringify!($name), verdict: Verdict::NotApplicable($why), check: None }
    };
}

pub(crate) const ROWS: [Row; 89] = [
    row!(requests::test_001_server),
    row!(requests::test_002_keepalive),
    row!(requests::test_004_close_keepalive),
    row!(requests::test_006_reject_long_urls),
    row!(requests::test_007_get_arg),
    row!(requests::test_008_correctresponse),
    row!(responses::test_009_chunked_response),
    row!(responses::test_010_no_chunked_http_1_0),
    row!(responses::test_011_multiple_chunks),
    row!(responses::test_partial_writes_are_handled),
    row!(tls::test_012_ssl_server),
    row!(tls::test_013_empty_return),
    row!(bodies::test_014_chunked_post),
    row!(responses::test_015_write),
    row!(responses::test_016_repeated_content_length),
    row!(tls::test_017_ssl_zeroreturnerror),
    row!(requests::test_018_http_10_keepalive),
    row!(
        requests::test_018b_http_10_keepalive_framing,
        "an expectation of HTTP/1.0 is ignored (RFC 9110, 10.1.1), so its unread body is dropped like any other and \
         the connection stays open; no byte of a body is parsed as a request in either case"
    ),
    row!(test_019_fieldstorage_compat, "Python's module `cgi`, which was removed from Python"),
    row!(logs::test_020_x_forwarded_for),
    row!(running::test_socket_remains_open),
    row!(requests::test_021_environ_clobbering),
    row!(running::test_022_custom_pool),
    row!(requests::test_023_bad_content_length),
    row!(continues::test_024_expect_100_continue),
    row!(continues::test_024a_expect_100_continue_with_headers),
    row!(
        continues::test_024b_expect_100_continue_with_headers_multiple_chunked,
        "several 100s are sent, but a request has one body: a second chunked one after it is not HTTP, and is read as \
         the next request"
    ),
    row!(continues::test_024c_expect_100_continue_with_headers_multiple_nonchunked),
    row!(continues::test_024d_expect_100_continue_with_eager_app_chunked),
    row!(
        running::test_025_accept_errors,
        "a listener that cannot accept is a log entry and the error of `serve`, not a traceback on standard \
         error"
    ),
    row!(logs::test_026_log_format),
    row!(responses::test_close_chunked_with_1_0_client),
    row!(responses::test_chunked_response_when_app_yields_empty_string),
    row!(streaming::test_minimum_chunk_size_parameter_leaves_httpprotocol_class_member_intact),
    row!(streaming::test_error_in_chunked_closes_connection),
    row!(requests::test_026_http_10_nokeepalive),
    row!(requests::test_026b_http_10_zero_keepalive),
    row!(bodies::test_027_keepalive_chunked),
    row!(tls::test_028_ssl_handshake_errors),
    row!(running::test_029_posthooks),
    row!(requests::test_030_reject_long_header_lines, "the status is 431 (RFC 6585, 5), the version 1.1"),
    row!(requests::test_031_reject_large_headers, "the status is 431 (RFC 6585, 5), the version 1.1"),
    row!(bodies::test_032_wsgi_input_as_iterable, "iteration gives lines (PEP 3333)"),
    row!(
        responses::test_zero_length_chunked_response,
        "a response that is known to be empty before its head is sent has `Content-Length: 0`"
    ),
    row!(requests::test_configurable_url_length_limit),
    row!(bodies::test_aborted_chunked_post),
    row!(bodies::test_aborted_chunked_post_between_chunks),
    row!(bodies::test_aborted_chunked_post_bad_chunks),
    row!(running::test_aborted_post_io_error),
    row!(
        responses::test_exceptions_close_connection,
        "the connection stays open, since the request has no body; an error is a value without a traceback: the log has \
         it with its causes, or the panic with its location"
    ),
    row!(
        streaming::test_timeouts_in_app_call,
        "without `minimum_chunk_size` a block is sent immediately (PEP 3333), and then the response is cut off; with it, \
         the answer is the clean 500, and the connection stays open"
    ),
    row!(streaming::test_timeouts_in_app_iter),
    row!(responses::test_unicode_with_only_ascii_characters_works),
    row!(
        responses::test_unicode_with_nonascii_characters_raises_error,
        "text is UTF-8 by type, so there is nothing to reject: its bytes are sent"
    ),
    row!(requests::test_path_info_decoding),
    row!(requests::test_path_info_latin1),
    row!(logs::test_ipv6),
    row!(responses::test_debug, "`debug` shows the error with its causes, or the panic with its location"),
    row!(streaming::test_client_disconnect),
    row!(running::test_server_connection_timeout_exception),
    row!(
        running::test_server_socket_timeout,
        "a connection that is idle before a request is closed silently; a stalled request is answered 408 (RFC 9110, \
         15.5.9)"
    ),
    row!(running::test_server_keepalive_as_timeout),
    row!(running::test_server_keepalive_sent_in_headers),
    row!(
        responses::test_header_name_capitalization,
        "a field name is a token (RFC 9110, 5.6.2): a name with other characters is rejected"
    ),
    row!(responses::test_disable_header_name_capitalization),
    row!(logs::test_log_unix_address),
    row!(requests::test_headers_raw),
    row!(requests::test_env_headers),
    row!(requests::test_env_header_stripping),
    row!(logs::test_log_disable),
    row!(running::test_close_idle_connections),
    row!(responses::test_no_transfer_encoding_in_empty_response),
    row!(running::test_close_idle_connections_listen_socket_closed),
    row!(running::test_do_not_close_non_idle_connections),
    row!(requests::test_rfc9112_reject_bad_request),
    row!(
        requests::test_rfc9112_content_length_and_transfer_encoding_escape_hatch,
        "there is no such option: two ways to find the end of a body allow request smuggling (RFC 9112, 6.1)"
    ),
    row!(requests::test_no_content_length_or_transfer_encoding),
    row!(
        responses::test_iterable_app_keeps_socket_open_unless_connection_close_sent,
        "an empty return value is an empty response, `Content-Length: 0`; `take_over` returns the stream itself"
    ),
    row!(
        test_proxied_iterable_app_keeps_socket_open_unless_connection_close_sent,
        "a proxy object of eventlet's thread pool"
    ),
    row!(bodies::test_short_read),
    row!(bodies::test_short_read_with_content_length),
    row!(bodies::test_short_read_with_zero_content_length),
    row!(
        bodies::test_dirt,
        "extensions are ignored, but a control character in one is rejected (RFC 9112, 7.1.1)"
    ),
    row!(bodies::test_chunked_readline),
    row!(bodies::test_chunked_readline_from_input),
    row!(bodies::test_chunked_readlines_from_input),
    row!(streaming::test_chunked_readline_wsgi_override_minimum_chunk_size),
    row!(
        streaming::test_chunked_readline_wsgi_not_override_minimum_chunk_size,
        "by default each block is sent immediately (PEP 3333); `minimum_chunk_size` delays blocks"
    ),
    row!(bodies::test_close_before_finished),
];
