"""What a child process needs that an application has forked. The server itself does not exist in it."""

import signal
import threading


class StopsServer:
    """The base of classes whose methods handle signals in order to stop a server."""


def after_fork_in_child():
    """Runs in the child, on its only thread, after the hook of the module `threading`."""
    for number, default in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        # Otherwise they would stop a server that is not there, and `Pool.terminate()` could not end the child.
        if isinstance(getattr(signal.getsignal(number), "__self__", None), StopsServer):
            signal.signal(number, default)
    _become_main_thread(threading.main_thread())


def _become_main_thread(thread):
    # CPython before 3.13 (gh-102512): a child of a thread that Python has not started fails at its end, and a process of
    # `multiprocessing` has the exit code 1.
    if not isinstance(thread, threading._DummyThread) or not hasattr(thread, "_set_tstate_lock"):
        return
    thread.__class__ = threading._MainThread
    thread._name = "MainThread"
    thread._daemon = False
    thread._set_tstate_lock()
