"""Stops a server on SIGTERM, as on Ctrl-C."""

import signal
import threading

from ._fork import StopsServer


class stopped_by_signals(StopsServer):
    """While it is entered on the main thread, the first SIGTERM or SIGINT begins a graceful stop of the server whose handle
    `started` gets, and the next one raises `SystemExit` or `KeyboardInterrupt`. A handler that the program has installed is
    kept.

    The first one raises nothing, since an exception could strike anywhere before the server waits, and be lost.
    """

    _defaults = {
        signal.SIGTERM: (signal.SIG_DFL,),
        # Shells start background jobs with SIGINT ignored: then it stays ignored.
        signal.SIGINT: (signal.SIG_DFL, signal.default_int_handler),
    }

    def __init__(self):
        self._handle = None
        self._count = 0
        self._replaced = []

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number, defaults in self._defaults.items():
                handler = signal.getsignal(number)
                if handler in defaults:
                    signal.signal(number, self._stop)
                    self._replaced.append((number, handler))
        return self

    def __exit__(self, *_):
        for number, handler in self._replaced:
            signal.signal(number, handler)

    def started(self, handle):
        """The server runs, and a signal that has already arrived stops it."""
        self._handle = handle
        if self._count:
            handle.stop()

    def _stop(self, number, _frame):
        self._count += 1
        if self._count > 1:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        if self._handle is not None:
            self._handle.stop()
