"""Restarts the server when a file changes (`--reload`).

Two processes: the parent keeps the listeners, so that clients wait during a restart and are not refused; its child runs
the server and watches the files. Knows processes and files. Does not know the server.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from wsgi_python._cli.listen import INHERITED

CHANGED = 75
"""The exit status with which a child requests to be started again (EX_TEMPFAIL of sysexits.h)."""

PARENT = "WSGI_PYTHON__PARENT"
INTERVAL = 0.5
PATIENCE = 0.3


def run_parent(sockets: Iterable[socket.socket], folder: str) -> int:
    """Starts the same command again and again, until it ends for another reason than a change."""
    descriptors = [sock.fileno() for sock in sockets]
    # The child sees the end of this pipe when this process has ended, however that happened.
    alive, ours = os.pipe()
    environ = dict(os.environ)
    environ[INHERITED] = ",".join(map(str, descriptors))
    environ[PARENT] = str(alive)
    child: subprocess.Popen[bytes] | None = None
    stopping: int | None = None

    def forward(number: int, _frame: object) -> None:
        nonlocal stopping
        stopping = number
        if child is None:
            return
        # Ctrl-C reaches the child, too, and a second signal would cut requests.
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            if number != signal.SIGINT or not sys.stdin.isatty():
                child.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    try:
        while stopping is None:
            child = None
            child = subprocess.Popen(
                sys.orig_argv, executable=sys.executable, cwd=folder, env=environ, pass_fds=[*descriptors, alive]
            )
            if stopping is not None:
                # It arrived before there was a child.
                child.send_signal(stopping)
            status = child.wait()
            if status == CHANGED:
                continue
            if status < 0 and -status == stopping:
                # The child had not begun to handle signals.
                break
            return status if status >= 0 else 128 - status
        return 0
    finally:
        os.close(alive)
        os.close(ours)


def is_child() -> bool:
    """Whether this process was started by `run_parent`."""
    return PARENT in os.environ


class Watcher:
    """A thread that looks at the files of all loaded modules twice per second, and stops the server when one changes."""

    def __init__(self, extra: Iterable[str], report: Callable[[str], None]) -> None:
        self.changed = threading.Event()
        self._extra = [os.path.abspath(file) for file in extra]
        self._parent = int(os.environ.pop(PARENT))
        os.set_inheritable(self._parent, False)
        self._report = report
        self._seen: dict[str, int] = {}
        self.look()
        threading.Thread(target=self._run, name="wsgi-python-reload", daemon=True).start()

    def watch(self, files: Iterable[str]) -> None:
        """Adds files, such as those of a module that could not be imported."""
        self._extra.extend(os.path.abspath(file) for file in files if not file.startswith("<"))
        self.look()

    def wait(self) -> None:
        """Blocks until a file has changed or the parent has ended. Ctrl-C interrupts it."""
        while not self.changed.wait(INTERVAL):
            pass

    def _run(self) -> None:
        while True:
            # Also the pause between two looks.
            readable, _, _ = select.select([self._parent], [], [], INTERVAL)
            file = None if readable else self.look()
            if readable or file is not None:
                if file is not None:
                    self._report(f"{_short(file)} has changed; restarting")
                else:
                    # The parent has ended, and nobody would start this process again.
                    self._report("the parent process has ended; stopping")
                self.changed.set()
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def look(self) -> str | None:
        """The first file that differs from the last look. Files that are new are noted; call it after an import."""
        loaded = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        for file in [*self._extra, *loaded]:
            if not isinstance(file, str):
                continue
            try:
                time = os.stat(file).st_mtime_ns
            except OSError:
                # An editor may be replacing it.
                continue
            if self._seen.setdefault(file, time) != time:
                return file
        return None


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
