"""`server`, with the parameters of `eventlet.wsgi.server`."""

from __future__ import annotations

import os
import sys
import warnings

from . import _native
from ._signals import stopped_by_signals

DEFAULT_LOG_FORMAT = (
    '%(client_ip)s - - [%(date_time)s] "%(request_line)s" %(status_code)s %(body_length)s %(wall_seconds).6f'
)


def server(
    sock,
    site,
    log=None,
    environ=None,
    max_size=None,
    max_http_version="HTTP/1.1",
    protocol=None,
    server_event=None,
    minimum_chunk_size=None,
    log_x_forwarded_for=True,
    custom_pool=None,
    keepalive=True,
    log_output=True,
    log_format=DEFAULT_LOG_FORMAT,
    url_length_limit=8192,
    debug=True,
    socket_timeout=None,
    capitalize_response_headers=True,
    *,
    threads=None,
    certfile=None,
    keyfile=None,
    proxy_protocol=None,
    access_log=None,
    **options,
):
    """Serves the WSGI application `site` on the listening socket `sock`. Returns when the server has stopped.

    The parameters up to `capitalize_response_headers` are those of `eventlet.wsgi.server`. The application runs on
    threads, so it must be thread-safe: at most `threads`, by default as many as connections, as eventlet's green threads.
    They start only when requests wait. If `threads` is given they stay, and what they keep in `threading.local` with them.

    `sock` is bound and listening: TCP, IPv6 or unix. It is closed at the end; a duplicate of it stays usable.

    `site` is the WSGI application.

    `log` is standard error, an object with `write`, which gets one line at a time, or a logger with `debug`, `info` and
    `error`. `access_log` is a separate object with `write`, or a descriptor, for access lines.

    `environ` has variables for every request, of any type. Those of the request take precedence.

    `max_size` is the maximum number of connections (default: 1024).

    `max_http_version` is "HTTP/1.1" or "HTTP/1.0".

    `protocol` is refused: there is no class to replace.

    `server_event` is deprecated: its method `send` is called with the handle of the server, which has `stop()`.

    `minimum_chunk_size` joins blocks of a response up to this number of bytes (default: 0, each block is sent at once;
    eventlet's 4096 delays them).

    `log_x_forwarded_for` begins `%(client_ip)s` with the value of `X-Forwarded-For`, which any client can send.

    `custom_pool` is a number of threads, or a pool whose size is taken: `size`, or that of a `ThreadPoolExecutor`.
    `max_size` is then ignored.

    `keepalive` is a bool, or how many seconds a connection may be idle.

    `log_output` is false to log nothing. `log_format` is the template of access lines.

    `url_length_limit` is the maximum length of a request target in bytes.

    `debug` shows tracebacks to clients and logs debug lines. Turn it off where clients are not trusted.

    `socket_timeout` is the maximum time of each wait for a client, in seconds; `None` is no limit.

    `capitalize_response_headers` writes the names of header fields Like-This.

    `certfile` and `keyfile` are PEM files: the server then speaks HTTPS only. `proxy_protocol` requires the PROXY protocol
    from these sources, such as "127.0.0.1, unix".

    `options` are further options of `_native.serve`, such as `max_body_size`, `graceful_timeout` or `limits`.

    On the main thread, Ctrl-C and SIGTERM begin a graceful stop: the server stops listening, and requests that have begun
    are finished or cut after `graceful_timeout` (30 s). A second one raises `KeyboardInterrupt` or `SystemExit` at once. The
    end of the interpreter stops servers of other threads in the same way.

    Raises `TypeError` or `ValueError` for an argument that is not allowed, before anything is served, and `OSError` if the
    listener fails.
    """
    if protocol is not None:
        raise TypeError("protocol must be None: a class of another server cannot replace the protocol of this one")
    if hasattr(sock, "do_handshake"):
        raise TypeError("sock must be a plain socket, not a TLS socket: pass certfile and keyfile instead")
    if server_event is not None:
        warnings.warn("server_event is deprecated", DeprecationWarning, stacklevel=2)
    if keyfile is not None and certfile is None:
        raise TypeError("keyfile needs a certfile")
    if custom_pool is not None and threads is not None:
        raise TypeError("custom_pool and threads exclude each other")
    options = {
        "max_http_version": max_http_version or "HTTP/1.1",
        "log_x_forwarded_for": bool(log_x_forwarded_for),
        "keepalive": bool(keepalive) if keepalive is None else keepalive,
        "log_output": bool(log_output),
        "log_format": log_format,
        "url_length_limit": url_length_limit,
        "debug": bool(debug),
        "socket_timeout": socket_timeout,
        "capitalize_response_headers": bool(capitalize_response_headers),
        **options,
    }
    if max_size is not None:
        options["max_size"] = max_size
    if minimum_chunk_size is not None:
        options["minimum_chunk_size"] = minimum_chunk_size
    if custom_pool is not None:
        pool = {"custom_pool": _size(custom_pool)}
    else:
        pool = {"threads": threads}
    # The end of this function restores what duplicates share.
    descriptor = os.dup(sock.fileno())
    blocking = os.get_blocking(descriptor)
    began = False

    def started(handle):
        nonlocal began
        began = True
        signals.started(handle)
        if server_event is not None:
            server_event.send(handle)

    try:
        with stopped_by_signals() as signals:
            _native.serve(
                [descriptor],
                site,
                options,
                tls=[(certfile, keyfile or certfile)] if certfile is not None else None,
                proxy=proxy_protocol,
                environ=dict(environ) if environ is not None else None,
                log=_standard_error() if log is None else log,
                access_log=access_log,
                started=started,
                eventlet=True,
                **pool,
            )
    finally:
        os.set_blocking(descriptor, blocking)
        os.close(descriptor)
        if began:
            sock.close()


def _size(pool):
    """The number of threads of a pool."""
    for size in (pool, getattr(pool, "size", None), getattr(pool, "_max_workers", None)):
        if isinstance(size, int) and not isinstance(size, bool):
            return size
    raise TypeError(f"custom_pool must be a number of threads or a pool with a size, not {type(pool).__name__}")


def _standard_error():
    """The log that is standard error: `None` if it is that of the process, which needs no object of Python."""
    stream = sys.stderr
    try:
        return None if stream is None or stream.fileno() == 2 else stream
    except (AttributeError, OSError, ValueError):
        return stream
