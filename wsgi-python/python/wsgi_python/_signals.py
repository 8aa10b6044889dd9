"""Stops a server on SIGTERM, as on Ctrl-C."""

import signal
import threading


class stopped_by_signals:
    """While it is entered on the main thread, SIGTERM and SIGINT raise `SystemExit` and `KeyboardInterrupt`, which begin a
    graceful stop of a server that waits in `_native.serve`. A handler that the program has installed is kept.
    """

    _defaults = {
        signal.SIGTERM: (signal.SIG_DFL,),
        # Shells start background jobs with SIGINT ignored: then it stays ignored.
        signal.SIGINT: (signal.SIG_DFL,),
    }

    def __enter__(self):
        self._replaced = []
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

    @staticmethod
    def _stop(number, _frame):
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
