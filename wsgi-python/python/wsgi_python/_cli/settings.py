"""The table of all settings: each is a flag and an environment variable, and most are an option of the server.

Knows names, groups, defaults and descriptions. Does not know how they are read or used. The defaults of the server's
options are those of `Options::public()`; a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wsgi_python._cli import listen, values
from wsgi_python._cli.values import Parser

ENVIRONMENT = "WSGI_PYTHON_"
DEFAULT_THREADS = 8
DEFAULT_BACKLOG = 2048
# Half a receive buffer: one read of a fast upload is enough, and the rest goes straight to the application.
DEFAULT_RECEIVED = 8 * 1024


@dataclass(frozen=True)
class Setting:
    """One setting.

    `metavar` is `None` for a switch, which has the flags `--name` and `--no-name`; `about` describes the one that is not
    the default. `many` settings may be repeated; in
    an environment variable, their values are separated by spaces, with quotes as in a shell. `option` is the name of
    the server's option, if it is one.
    """

    name: str
    group: str
    metavar: str | None
    parse: Parser
    default: Any
    about: str
    shown: str | None = None
    many: bool = False
    option: str | None = None
    flags: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return ENVIRONMENT + self.name.upper()

    def help(self) -> str:
        """The description with the default, for `--help`."""
        shown = self.shown
        if shown is None and not self.many and self.default is not None and self.metavar is not None:
            shown = str(self.default)
        return (self.about + (f" (default: {shown})" if shown else "")).replace("%", "%%")


APPLICATION, LISTENERS, LOG, TIME, SIZE, RESPONSES, STOP, DEVELOPMENT = (
    "application", "listeners", "log", "time limits", "size limits", "connections and responses", "stopping",
    "development",
)

GROUPS = {
    APPLICATION: None,
    LISTENERS: None,
    LOG: "A file is opened for appending; rotate it with copytruncate.",
    TIME: "In seconds, or with a unit: 90, 0.5, 500ms, 5m, 1h.",
    SIZE: "In bytes, or with a unit: 65536, 64K, 16M, 4G.",
    RESPONSES: None,
    STOP: "Ctrl-C and SIGTERM stop the server gracefully: what has begun is finished.",
    DEVELOPMENT: None,
}


def _option(name: str, group: str, metavar: str | None, parse: Parser, default: Any, about: str,
            shown: str | None = None, flags: tuple[str, ...] = ()) -> Setting:
    """A setting that is passed to the server under its name."""
    return Setting(name, group, metavar, parse, default, about, shown, option=name, flags=flags)


SETTINGS: tuple[Setting, ...] = (
    Setting("threads", APPLICATION, "N", values.positive, DEFAULT_THREADS,
            "How many requests the application works on at a time. With 1, it is never called by two threads at once, "
            "and wsgi.multithread is false. Idle clients occupy none, nor do slow uploads within --receive-before-call."),
    Setting("chdir", APPLICATION, "FOLDER", values.words, None,
            "Changes to this folder first. Other relative paths are relative to it.", shown="the current one"),
    Setting("app_dir", APPLICATION, "FOLDER", values.words, None,
            "Imports the application from this folder.", shown="the current one"),
    Setting("environ", APPLICATION, "NAME=VALUE", values.pair, (),
            "A variable in the environ of every request. May be repeated.", many=True),
    Setting("headers_raw", APPLICATION, None, values.switch, False,
            "Adds headers_raw to the environ, as eventlet does: the header fields as they were sent."),

    Setting("bind", LISTENERS, "ADDRESS", listen.place, (),
            "Where to listen: HOST:PORT, [IPv6]:PORT, :PORT for all addresses, unix:PATH, fd://N for an inherited "
            "socket, or systemd for the sockets of a systemd unit. May be repeated. Port 0 takes a free one. (default: "
            "systemd if it passed sockets, otherwise 127.0.0.1:8000; if the variable PORT is set, 0.0.0.0:$PORT)",
            many=True, flags=("-b",)),
    Setting("backlog", LISTENERS, "N", values.positive, DEFAULT_BACKLOG,
            "How many new connections may wait in the queue of a listener."),
    Setting("socket_mode", LISTENERS, "OCTAL", values.octal, None,
            "The permissions of unix sockets, such as 660.", shown="those of the umask"),
    Setting("certfile", LISTENERS, "FILE", values.words, None,
            "The certificate and its chain (PEM). All listeners then speak HTTPS only."),
    Setting("keyfile", LISTENERS, "FILE", values.words, None, "The private key (PEM).", shown="that in --certfile"),
    Setting("proxy_protocol", LISTENERS, "SOURCES", values.words, None,
            "Requires the PROXY protocol, version 1 or 2, from these sources only: addresses, networks and `unix`, "
            "separated by commas."),

    Setting("log", LOG, "FILE", values.words, None,
            "Appends the log to this file; - is standard output.", shown="standard error",
            flags=("--error-logfile", "--log-file")),
    Setting("access_log", LOG, "FILE", values.words, None,
            "Appends the access lines to this file; - is standard output, none drops them.", shown="part of the log",
            flags=("--access-logfile",)),
    Setting("log_format", LOG, "FORMAT", values.words, "common",
            "The format of access lines: common, combined, json, eventlet, or a template such as "
            "'%(client_ip)s %(status_code)d'.", option="log_format", flags=("--access-logformat",)),
    _option("log_output", LOG, None, values.switch, True, "Logs nothing, not even errors."),
    _option("log_x_forwarded_for", LOG, None, values.switch, False,
            "Begins %(client_ip)s with X-Forwarded-For. Only behind a proxy that overwrites this field: otherwise "
            "clients write into the log."),
    _option("debug", LOG, None, values.switch, False,
            "Shows tracebacks of the application to clients in 500 responses, and logs each connection. Never on a "
            "public address."),

    _option("header_timeout", TIME, "SECONDS", values.or_none(values.seconds), 15.0,
            "For a whole request head; otherwise 408.", shown="15"),
    _option("socket_timeout", TIME, "SECONDS", values.or_none(values.seconds), 30.0,
            "For every single wait for the client. The application may take any time.", shown="30"),
    _option("keepalive", TIME, "SECONDS|BOOL", values.keepalive, 75.0,
            "How long a connection may be idle between requests; false closes it after each response, true is no "
            "limit. Behind a proxy, more than the proxy's own limit.", shown="75", flags=("--keep-alive",)),
    _option("handshake_timeout", TIME, "SECONDS", values.seconds, 30.0,
            "For a TLS handshake and the header of the PROXY protocol.", shown="30"),
    _option("min_request_rate", TIME, "BYTES", values.or_none(values.size), 240,
            "The least rate per second of a request body that is being read; otherwise 408."),
    _option("min_response_rate", TIME, "BYTES", values.or_none(values.size), 240,
            "The least rate per second at which a client reads a response."),
    _option("rate_grace", TIME, "SECONDS", values.seconds, 10.0,
            "The time over which the two rates are measured.", shown="10"),
    _option("linger_timeout", TIME, "SECONDS", values.seconds, 2.0,
            "How long unread input is dropped, so that it does not destroy a response.", shown="2"),
    _option("linger_limit", TIME, "SECONDS", values.seconds, 30.0,
            "The same in all, for a client that continues to send.", shown="30"),

    _option("max_body_size", SIZE, "BYTES", values.or_none(values.size), 16 * 1024 * 1024,
            "The largest request body; otherwise 413. none is no limit.", shown="16M"),
    _option("url_length_limit", SIZE, "BYTES", values.size, 8192, "The longest request target; otherwise 414.",
            shown="8K", flags=("--limit-request-line",)),
    _option("receive_before_call", SIZE, "BYTES", values.size, DEFAULT_RECEIVED,
            "How much of a request body is received before the application is called: until then a slow upload occupies "
            "no thread, but up to twice as much memory, besides a buffer of 16K. 0 calls it at once, for clients that wait "
            "for a part of the response before they send on.", shown="8K"),
    Setting("limit", SIZE, "NAME=NUMBER", values.limit, (),
            "Another limit, may be repeated: fields=100, field_line=8K, fields_size=64K, method=32, chunk_line=4K, "
            "chunk_extensions=64K, drain=256K, outbox=64K, inbox=64K (these are the defaults).",
            many=True, option="limits"),

    _option("max_size", RESPONSES, "N", values.number, 1024,
            "The largest number of connections. When it is reached, one that waits for its client makes room.",
            flags=("--worker-connections",)),
    _option("make_room", RESPONSES, None, values.switch, True,
            "No connection is closed for a new one: at --max-size, new clients wait in the queue of the listener."),
    _option("max_requests", RESPONSES, "N", values.or_none(values.number), None,
            "A connection ends after this number of requests, up to a tenth more or less. (No process ends.)",
            shown="none"),
    _option("max_connection_age", RESPONSES, "SECONDS", values.or_none(values.seconds), None,
            "A connection ends at this age, up to a tenth more or less.", shown="none"),
    _option("max_http_version", RESPONSES, "VERSION", values.version, "HTTP/1.1",
            "HTTP/1.0 or HTTP/1.1. With 1.0 nothing is chunked and no connection is reused."),
    _option("require_host", RESPONSES, None, values.switch, True,
            "Serves requests of HTTP/1.1 without Host, which are otherwise answered with 400."),
    _option("minimum_chunk_size", RESPONSES, "BYTES", values.size, 0,
            "Joins blocks of a response up to this size. 0 sends each block at once."),
    _option("capitalize_response_headers", RESPONSES, None, values.switch, True,
            "Sends names of response headers as the application writes them, not Like-This."),

    _option("graceful_timeout", STOP, "SECONDS", values.seconds, 30.0,
            "How long a stop waits for requests that have begun; the rest is cut.", shown="30"),
    _option("drain_backlog", STOP, None, values.switch, True,
            "A stop does not serve the connections that wait in the queue of a listener: another process accepts on "
            "the same socket, and will."),

    Setting("reload", DEVELOPMENT, None, values.switch, False,
            "Restarts when a loaded module or a --reload-extra-file changes. Clients wait meanwhile."),
    Setting("reload_extra_file", DEVELOPMENT, "FILE", values.words, (),
            "Another file that --reload watches. May be repeated.", many=True),
    Setting("check", DEVELOPMENT, None, values.switch, False,
            "Checks the settings, imports the application, and ends: status 0 if all is well.",
            flags=("--check-config",)),
)

BY_NAME = {setting.name: setting for setting in SETTINGS}

FORMATS = {
    "common": '%(peer_ip)s - - [%(common_log_time)s] "%(request_line)s" %(status_code)d %(body_length)d',
    "combined": '%(peer_ip)s - - [%(common_log_time)s] "%(request_line)s" %(status_code)d %(body_length)d '
                '"%({Referer}i)s" "%({User-Agent}i)s"',
    "eventlet": '%(client_ip)s - - [%(date_time)s] "%(request_line)s" %(status_code)s %(body_length)s '
                "%(wall_seconds).6f",
    "json": '{"time": "%(iso_time)s", "peer": "%(peer_ip)s", "client": "%(client_ip)s", '
            '"request": "%(request_line)s", "status": %(status_code)d, "bytes": %(body_length)d, '
            '"seconds": %(wall_seconds).6f, "referer": "%({Referer}i)s", "agent": "%({User-Agent}i)s"}',
}
