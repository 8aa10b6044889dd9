"""The command `wsgi-python MODULE:NAME`.

Knows the order of a start: settings, folder, listeners, application, server. Its modules do the work.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from wsgi_python._cli import application, arguments, listen, reload, signals
from wsgi_python._cli.arguments import PROGRAM, Arguments, Usage
from wsgi_python._cli.settings import BY_NAME, FORMATS, SETTINGS
from wsgi_python._cli.values import Wrong

FAILED, MISUSED = 1, 2


class Failure(Exception):
    """The server cannot start; the message is one line."""


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command with these words (default: those of the process) and returns its exit status."""
    try:
        return _run(arguments.parse(sys.argv[1:] if words is None else words, os.environ))
    except Usage as usage:
        _report(str(usage))
        return MISUSED
    except (Failure, listen.CannotListen, application.CannotLoad) as failure:
        _report(str(failure))
        return FAILED
    except KeyboardInterrupt:
        # Before the server runs; afterwards it handles the signal itself.
        return 130


def _run(given: Arguments) -> int:
    folder = os.getcwd()
    _enter(given)
    options = _options(given)
    tls = _tls(given)
    logs = {name: _log(name, given[name]) for name in ("log", "access_log")}
    _check(options, given, tls)
    places = _places(given)
    if given["check"]:
        application.load(given.app)
        _report(f"{given.app} and all settings are as they should be")
        return 0
    listeners = listen.Listeners()
    try:
        if not listeners.inherit():
            _open(listeners, places, given)
        if given["reload"] and not reload.is_child():
            return reload.run_parent(listeners.sockets, folder)
        return _serve(given, listeners, options, tls, logs)
    finally:
        listeners.close()


def _serve(given: Arguments, listeners: listen.Listeners, options: dict[str, Any], tls: tuple[str, str] | None,
           logs: dict[str, int | None]) -> int:
    from wsgi_python import __version__, _native

    watcher = reload.Watcher(given["reload_extra_file"], _report) if reload.is_child() else None
    try:
        site = application.load(given.app)
    except application.CannotLoad as error:
        if watcher is None:
            raise
        watcher.watch(error.files)
        _report(str(error))
        signal.signal(signal.SIGTERM, _raise_exit)
        try:
            watcher.wait()
        except (KeyboardInterrupt, SystemExit):
            # The watcher sends SIGTERM, too.
            pass
        return reload.CHANGED if watcher.changed.is_set() else 0
    if watcher is not None:
        watcher.look()
    urls = " and ".join(listeners.urls("https" if tls else "http"))
    threads = given["threads"]
    count = "1 thread" if threads == 1 else f"{threads} threads"

    def end() -> None:
        _report("a second signal: requests that have begun are cut")
        listeners.close()

    stop = signals.Signals(end, FAILED)

    def started(handle: _native.Handle) -> None:
        listeners.close_sockets()
        stop.started(handle)

    _report(f"{__version__} serves {given.app} on {urls} with {count} (process {os.getpid()}); Ctrl-C stops it")
    _native.serve(
        [sock.fileno() for sock in listeners.sockets], site, options, threads=threads, tls=[tls] * len(listeners.sockets),
        proxy=given["proxy_protocol"], environ=dict(given["environ"]), eventlet=given["headers_raw"],
        started=started, **logs,
    )
    return reload.CHANGED if watcher is not None and watcher.changed.is_set() else 0


def _raise_exit(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def _enter(given: Arguments) -> None:
    """Changes to the folder, and makes the application importable, as `python -m` does."""
    try:
        if given["chdir"] is not None:
            os.chdir(given["chdir"])
        search = os.path.abspath(given["app_dir"] or os.getcwd())
        if not os.path.isdir(search):
            raise NotADirectoryError(0, "it is not a folder")
    except OSError as error:
        name = "chdir" if given["chdir"] is not None and not os.path.isdir(given["chdir"]) else "app_dir"
        raise Usage(f"{BY_NAME[name].flag} cannot be {given[name]!r} ({error.strerror})") from None
    if sys.path[:1] != [search]:
        sys.path.insert(0, search)


def _options(given: Arguments) -> dict[str, Any]:
    """The options of the server, under their names there."""
    options = {setting.option: given[setting.name] for setting in SETTINGS if setting.option}
    options["limits"] = dict(given["limit"])
    options["log_format"] = FORMATS.get(given["log_format"], given["log_format"])
    if given["reload"] and "graceful_timeout" not in given.given:
        options["graceful_timeout"] = 1.0
    return options


def _log(name: str, file: str | None) -> int | None:
    """The descriptor of a log; `None` if it goes where it usually goes."""
    if file is None:
        return None
    if file == "-":
        return 1
    path = os.devnull if file == "none" else file
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise Usage(f"{BY_NAME[name].flag} cannot be {file!r} ({error.strerror})") from None


def _tls(given: Arguments) -> tuple[str, str] | None:
    if given["certfile"] is None:
        if given["keyfile"] is not None:
            raise Usage("--keyfile needs a --certfile")
        return None
    files = {name: given[name] for name in ("certfile", "keyfile") if given[name] is not None}
    for name, file in files.items():
        try:
            with open(file, "rb"):
                pass
        except OSError as error:
            raise Usage(f"{BY_NAME[name].flag} cannot be {file!r} ({error.strerror})") from None
    return given["certfile"], given["keyfile"] or given["certfile"]


def _check(options: dict[str, Any], given: Arguments, tls: Any) -> None:
    """Lets the server check its options before anything is bound or imported."""
    from wsgi_python import _native

    try:
        _native.check(options, tls=tls, proxy=given["proxy_protocol"])
    except (ValueError, OSError) as error:
        raise Usage(str(error)) from None


def _places(given: Arguments) -> Sequence[listen.Place]:
    """Where to listen."""
    try:
        places = given["bind"] or listen.default_places()
    except Wrong as wrong:
        raise Usage(f"PORT cannot be {os.environ['PORT']!r} (allowed: {wrong})") from None
    for place in places:
        if places.count(place) > 1 and place.port != 0:
            raise Usage(f"--bind has {place} twice")
    return places


def _open(listeners: listen.Listeners, places: Sequence[listen.Place], given: Arguments) -> None:
    try:
        listeners.open(places, given["backlog"], given["socket_mode"])
    except listen.NotAListener as wrong:
        raise Usage(f"--bind: {wrong}") from None


def _report(text: str) -> None:
    print(f"{PROGRAM}: {text}", file=sys.stderr, flush=True)
