"""A WSGI server: `server(sock, site)` has the parameters of `eventlet.wsgi.server`."""

from ._errors import BodyTooLarge, ChunkReadError, ClientDisconnected, InputError, InputTimeout
from ._native import __version__, format_date_time
from ._server import DEFAULT_LOG_FORMAT, server

__all__ = [
    "BodyTooLarge",
    "ChunkReadError",
    "ClientDisconnected",
    "DEFAULT_LOG_FORMAT",
    "InputError",
    "InputTimeout",
    "__version__",
    "format_date_time",
    "server",
]
