"""The exceptions of `wsgi.input` and `write`.

An application that does not catch them ends its request: the client gets 400, 408 or 413 if it is still there.
"""

__all__ = ["BodyTooLarge", "ChunkReadError", "ClientDisconnected", "InputError", "InputTimeout"]


class InputError(OSError):
    """The request body cannot be read."""


class ChunkReadError(InputError, ValueError):
    """The request body is malformed."""


class BodyTooLarge(InputError):
    """The request body exceeds `max_body_size`."""


class InputTimeout(InputError, TimeoutError):
    """The request body did not arrive within `socket_timeout`, or too slowly."""


class ClientDisconnected(InputError, ConnectionError):
    """The client has disconnected, before the end of its body or of the response."""
