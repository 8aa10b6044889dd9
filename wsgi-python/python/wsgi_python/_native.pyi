"""The native module: `server` and the command line are built on `serve`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from typing import Any, Protocol

__all__ = [
    "Exchange",
    "FileWrapper",
    "Handle",
    "Input",
    "RawHeaders",
    "Socket",
    "check",
    "format_date_time",
    "serve",
]

__version__: str

Path = str | PathLike[str]
Headers = Iterable[tuple[str, str | int]]

class Writer(Protocol):
    def write(self, text: str, /) -> object: ...

class Logger(Protocol):
    def debug(self, message: str, /) -> object: ...
    def info(self, message: str, /) -> object: ...
    def error(self, message: str, /) -> object: ...

def serve(
    listeners: Sequence[int],
    site: Callable[..., Iterable[bytes]],
    options: dict[str, Any],
    *,
    threads: int | None = None,
    custom_pool: int | None = None,
    tls: Sequence[tuple[Path, Path] | None] | None = None,
    proxy: str | None = None,
    environ: dict[str, Any] | None = None,
    log: int | Logger | Writer | None = None,
    access_log: int | Writer | None = None,
    started: Callable[[Handle], object] | None = None,
    eventlet: bool = False,
) -> tuple[int, int]:
    """Serves the WSGI application `site` until the server is stopped.

    `listeners` are descriptors of listening sockets, TCP or unix. They are duplicated: the caller's stay open and usable.
    (The server sets `O_NONBLOCK`, which duplicates share.) The caller binds them, and removes the files of unix sockets.

    `options` has the names of the options of the server:

    | name | value | default |
    | --- | --- | --- |
    | `public` | `bool`: begin with the values for open networks (the column on the right), instead of the defaults | `False` |
    | `debug` | `bool`: show tracebacks to clients, and log debug lines | `True`; public: `False` |
    | `max_size` | `int`: the maximum number of connections | 1024 |
    | `make_room` | `bool`: whether a connection that waits for its client is closed for a new one then | `True` |
    | `max_http_version` | `"HTTP/1.0"` or `"HTTP/1.1"` | `"HTTP/1.1"` |
    | `minimum_chunk_size` | `int`: join blocks up to this number of bytes | 0 |
    | `keepalive` | `bool`, or seconds that a connection may be idle | `True`; public: 75 |
    | `socket_timeout` | seconds, or `None`: the maximum time of each wait for a client | `None`; public: 30 |
    | `header_timeout` | seconds, or `None`: the maximum time for a head | 30; public: 15 |
    | `handshake_timeout` | seconds: the maximum time for TLS and PROXY | 30 |
    | `graceful_timeout` | seconds: how long a stop waits for requests | 30 |
    | `linger_timeout`, `linger_limit` | seconds: how long unread input is discarded | 2, 30 |
    | `min_request_rate`, `min_response_rate` | bytes per second, or `None` | `None`; public: 240 |
    | `rate_grace` | seconds over which these rates are measured | 10 |
    | `max_body_size` | bytes, or `None` | `None`; public: 16 MiB |
    | `receive_before_call` | bytes of a request body that are received before the application is called; no thread waits for them | 0 |
    | `max_connection_age` | seconds, or `None` | `None` |
    | `max_requests` | requests of one connection, or `None` | `None` |
    | `url_length_limit` | bytes | 8192 |
    | `capitalize_response_headers` | `bool` | `True` |
    | `log_output` | `bool`: whether anything is logged | `True` |
    | `log_format` | the template of access lines | that of eventlet |
    | `log_x_forwarded_for` | `bool` | `True`; public: `False` |
    | `require_host` | `bool`: whether requests of HTTP/1.1 without `Host` are refused | `True` |
    | `drain_backlog` | `bool`: whether a stop serves connections that were not accepted yet | `True` |
    | `limits` | `dict[str, int]`: `method`, `field_line`, `fields_size`, `fields`, `chunk_line`, `chunk_extensions`, `drain`, `outbox`, `inbox` | |

    `threads` is the number of threads that run the application, 1 or more; `None` is as many as connections.
    `wsgi.multithread` is false only for 1. `custom_pool` is the same, and `max_size` is ignored.

    `tls` has an item for each listener: `None`, or the PEM files of the certificate chain and of the private key.
    `proxy` requires the PROXY protocol on all listeners, from these sources: `"127.0.0.1, 10.0.0.0/8, unix"`.

    `environ` has variables for every request, of any type. Those of the request take precedence.

    `log` is the log: `None` is standard error, an `int` a descriptor, which is duplicated; an object with `debug`, `info`
    and `error` is a logger; any other object has `write`, which gets one line at a time. `access_log` is a separate
    destination for access lines.

    `started` is called with the handle of the server before this function waits. An exception in it stops the server.

    `eventlet` adds `headers_raw` to each environ, as eventlet has it. PEP 3333 does not allow a variable that is not `str`
    under a name without a dot, so `wsgiref.validate` refuses it.

    Called on the main thread, this function waits for signals, too: their handlers run meanwhile. If a handler raises an
    exception, a graceful stop begins: `KeyboardInterrupt` and `SystemExit` are swallowed, others are raised after the stop.
    A second exception ends the wait at once, and is raised, whatever it is.

    Returns the number of connections that finished after the stop began, and of those that were cut at
    `graceful_timeout`.

    Raises `ValueError` for an unknown option and for a value that is not allowed, `TypeError` for a value of another
    type, both with one line that names the option, its value and what is allowed. Raises `OSError` if a listener fails.
    """

def check(options: dict[str, Any], *, tls: tuple[Path, Path] | None = None, proxy: str | None = None) -> None:
    """Raises what `serve` would raise for these arguments, and serves nothing. `tls` is one item of that of `serve`."""

def format_date_time(timestamp: float | None = None) -> str:
    """An HTTP date, such as `Sun, 06 Nov 1994 08:49:37 GMT`.

    `timestamp` is in seconds since 1970; a fraction is rounded down. `None` is now. Raises `ValueError` for a time that is
    not a number or not in the years 1 to 9999.
    """

class Handle:
    """Stops and observes a server, from any thread."""

    def stop(self) -> None:
        """Begins a graceful stop and returns immediately. Further calls do nothing."""
    @property
    def stopping(self) -> bool: ...
    @property
    def connections(self) -> int:
        """The number of open connections."""
    @property
    def requests(self) -> int:
        """The number of requests that the application is handling."""

class Exchange:
    """One request and its response: `environ["wsgi_python.exchange"]`."""

    @property
    def headers_raw(self) -> RawHeaders:
        """The header fields as sent, in their order and case."""
    def start_response(self, status: str, headers: Headers, exc_info: Any = None, /) -> Callable[[bytes], None]: ...
    def write(self, block: bytes) -> None: ...
    def early_hints(self, headers: Headers) -> None:
        """Sends `103 Early Hints` with these header fields: `environ["wsgi.early_hints"]`.

        No effect for clients of HTTP/1.0, and after the response has begun.
        """
    def client_gone(self) -> bool:
        """Whether the client has disconnected: `environ["wsgi_python.client_gone"]`.

        It queries the system and does not wait. True after the response. A client that has closed only its sending half
        counts as gone, although it can still read.
        """
    def variables(self) -> dict[str, str]:
        """The variables of the request as the core of the server has them, all of them strings."""
    def set_trailers(self, headers: Headers) -> None:
        """Sets the trailer fields of a chunked response. They replace those set before."""

class Input:
    """The body of a request: `environ["wsgi.input"]`. It ends by itself (`wsgi.input_terminated`)."""

    def read(self, size: int | None = None, /) -> bytes: ...
    def readline(self, size: int | None = None, /) -> bytes: ...
    def readlines(self, hint: int | None = None, /) -> list[bytes]: ...
    def readinto(self, buffer: Any, /) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...
    def discard(self, buffer_size: int = 16384) -> None: ...
    def get_socket(self) -> Socket: ...
    def set_hundred_continue_response_headers(
        self, headers: Headers, capitalize_response_headers: bool = True
    ) -> None: ...
    def send_hundred_continue_response(self) -> None: ...
    @property
    def should_send_hundred_continue(self) -> bool: ...
    @property
    def trailers(self) -> tuple[tuple[str, str], ...] | None:
        """The trailer fields of a chunked body; `None` until its end was read."""

class FileWrapper:
    """`wsgi.file_wrapper` (PEP 3333)."""

    def __init__(self, filelike: Any, blksize: int = 65536) -> None: ...
    @property
    def filelike(self) -> Any: ...
    @property
    def blksize(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None: ...

class RawHeaders(Sequence[tuple[str, str]]):
    """The header fields as sent, in their order and case: `environ["headers_raw"]`."""

class Socket:
    """The connection of a request, as a socket: `environ["wsgi.input"].get_socket()`, and `environ["werkzeug.socket"]` if
    the request has an `Upgrade`.

    The first call that sends or receives ends HTTP on the connection. If `start_response` was called with a 101, that is
    sent first; otherwise the application sends its own answer. What the application returns is then ignored. The request
    body has to be read first.
    """

    def recv(self, size: int, flags: int = 0, /) -> bytes: ...
    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0, /) -> int: ...
    def send(self, data: Any, flags: int = 0, /) -> int: ...
    def sendall(self, data: Any, flags: int = 0, /) -> None: ...
    def shutdown(self, how: int = 1, /) -> None: ...
    def close(self) -> None: ...
    def fileno(self) -> int:
        """The descriptor, for selectors: readable when `recv` does not wait. This ends HTTP on the connection.

        Over TLS it is that of another socket, to which a thread moves the decrypted bytes; bytes written to it are lost.
        """
    def getpeername(self) -> tuple[str, int] | str: ...
    def getsockname(self) -> tuple[str, int] | str: ...
    def gettimeout(self) -> float | None: ...
    def settimeout(self, timeout: float | None, /) -> None: ...
    def setblocking(self, flag: bool, /) -> None: ...
    def __enter__(self) -> Socket: ...
    def __exit__(self, *args: object) -> None: ...
