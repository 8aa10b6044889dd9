from collections.abc import Callable, Iterable, Mapping
from socket import socket
from typing import Any

from ._native import Logger, Path, Writer

DEFAULT_LOG_FORMAT: str
DEFAULT_THREADS: int

def server(
    sock: socket,
    site: Callable[..., Iterable[bytes]],
    log: Logger | Writer | int | None = None,
    environ: Mapping[str, Any] | None = None,
    max_size: int | None = None,
    max_http_version: str | None = "HTTP/1.1",
    protocol: None = None,
    server_event: Any = None,
    minimum_chunk_size: int | None = None,
    log_x_forwarded_for: bool = True,
    custom_pool: Any = None,
    keepalive: bool | float | None = True,
    log_output: bool = True,
    log_format: str = ...,
    url_length_limit: int = 8192,
    debug: bool = True,
    socket_timeout: float | None = None,
    capitalize_response_headers: bool = True,
    *,
    threads: int | None = None,
    certfile: Path | None = None,
    keyfile: Path | None = None,
    proxy_protocol: str | None = None,
    access_log: int | Writer | None = None,
    **options: Any,
) -> None: ...
