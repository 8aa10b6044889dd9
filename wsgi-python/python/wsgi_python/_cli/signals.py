"""Ctrl-C and SIGTERM: the first one begins a graceful stop, the second one ends the process.

Knows signals and the handle of a server. The handlers raise nothing, since an exception could strike anywhere before the
server waits, and be lost.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from wsgi_python._fork import StopsServer

if TYPE_CHECKING:
    from wsgi_python._native import Handle


class Signals(StopsServer):
    """Handles both signals from its creation on. `started` is for the parameter of `_native.serve`."""

    def __init__(self, end: Callable[[], None], status: int) -> None:
        self._handle: Handle | None = None
        self._count = 0
        self._end = end
        self._status = status
        for number in (signal.SIGINT, signal.SIGTERM):
            # Shells start background jobs with SIGINT ignored: then it stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handler)

    def started(self, handle: Handle) -> None:
        """The server runs, and a signal that has already arrived stops it."""
        self._handle = handle
        if self._count:
            handle.stop()

    def _handler(self, _number: int, _frame: object) -> None:
        self._count += 1
        if self._count > 1:
            self._end()
            os._exit(self._status)
        if self._handle is not None:
            self._handle.stop()
