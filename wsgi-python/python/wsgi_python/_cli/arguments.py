"""Reads the command line and the environment variables into one value for each setting.

Knows flags and their precedence. Does not know what a setting does.
"""

from __future__ import annotations

import argparse
import difflib
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from wsgi_python._cli import application, settings
from wsgi_python._cli.settings import SETTINGS, Setting
from wsgi_python._cli.values import Wrong

PROGRAM = "wsgi-python"

# Flags of gunicorn that this server does not have, and what to do.
ELSEWHERE = {
    "-w": "there is one process; --threads sets how many requests run at a time",
    "--workers": "there is one process; --threads sets how many requests run at a time",
    "-k": "there is one kind of worker: threads, see --threads",
    "--worker-class": "there is one kind of worker: threads, see --threads",
    "-t": "the application may take any time; see the time limits in --help for those of clients",
    "--timeout": "the application may take any time; see the time limits in --help for those of clients",
    "-c": "there is no configuration file; each flag is also an environment variable",
    "--config": "there is no configuration file; each flag is also an environment variable",
    "-D": "it stays in the foreground; let systemd or another supervisor start it",
    "--daemon": "it stays in the foreground; let systemd or another supervisor start it",
    "-p": "it writes no PID file; let systemd or another supervisor start it",
    "--pid": "it writes no PID file; let systemd or another supervisor start it",
    "-u": "it keeps its user; let systemd start it as another one (User=)",
    "--user": "it keeps its user; let systemd start it as another one (User=)",
    "-g": "it keeps its group; let systemd start it with another one (Group=)",
    "--group": "it keeps its group; let systemd start it with another one (Group=)",
    "--host": "write --bind HOST:PORT",
    "--port": "write --bind HOST:PORT",
    "--preload": "the application is always imported before the first request",
    "--log-level": "see --debug and --log-output",
    "--pythonpath": "see --app-dir",
    "-e": "see --environ for variables of requests; set those of the process in the shell",
    "--env": "see --environ for variables of requests; set those of the process in the shell",
    "--forwarded-allow-ips": "X-Forwarded-* is for the application, for instance ProxyFix of werkzeug",
    "--proxy-allow-from": "see --proxy-protocol",
    "--limit-request-fields": "write --limit fields=N",
    "--limit-request-field_size": "write --limit field_line=BYTES",
}


class Usage(Exception):
    """A mistake on the command line or in a variable; the message is one line."""


class Arguments:
    """The application and a value for each setting."""

    def __init__(self, app: str, values: Mapping[str, Any], given: frozenset[str]) -> None:
        self.app = app
        self.values = dict(values)
        self.given = given

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def parse(words: Sequence[str], environ: Mapping[str, str]) -> Arguments:
    """Reads flags, then variables, then defaults. Raises `Usage`; ends the program for `--help` and `--version`."""
    found, unknown = _parser().parse_known_args(list(words))
    if unknown:
        raise Usage(_unknown(unknown[0]))
    app = found.application or environ.get(settings.ENVIRONMENT + "APP")
    if not app:
        raise Usage("which application? Write MODULE:NAME, such as hello:app (--help lists everything)")
    try:
        application.check(app)
    except Wrong as wrong:
        raise Usage(f"the application cannot be {app!r} (allowed: {wrong})") from None
    values, given = {}, set()
    for setting in SETTINGS:
        texts = getattr(found, setting.name)
        source = setting.flag
        if texts is None and setting.variable in environ:
            source = setting.variable
            texts = _split(setting, environ[source])
        if texts is None:
            values[setting.name] = setting.default
            continue
        given.add(setting.name)
        parsed = [_value(setting, source, text) for text in texts]
        values[setting.name] = tuple(parsed) if setting.many else parsed[-1]
    return Arguments(app, values, frozenset(given))


def _value(setting: Setting, source: str, text: str) -> Any:
    try:
        return setting.parse(text)
    except Wrong as wrong:
        raise Usage(f"{source} cannot be {text!r} (allowed: {wrong})") from None


def _split(setting: Setting, text: str) -> list[str]:
    if not setting.many:
        return [text]
    try:
        return shlex.split(text)
    except ValueError as error:
        raise Usage(f"{setting.variable} cannot be {text!r} ({error})") from None


def _unknown(word: str) -> str:
    flag = word.partition("=")[0]
    for short in (flag, flag[:2] if not flag.startswith("--") else flag):
        if short in ELSEWHERE:
            return f"there is no {short}: {ELSEWHERE[short]}"
    if not flag.startswith("-"):
        return f"one application only; {word!r} is the second one"
    flags = [flag for setting in SETTINGS for flag in (setting.flag, *setting.flags)]
    close = difflib.get_close_matches(flag, flags, n=1, cutoff=0.7)
    return f"there is no {flag}" + (f"; did you mean {close[0]}?" if close else " (--help lists all flags)")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if match := re.fullmatch(r"argument (\S+): expected one argument", message):
            raise Usage(f"{self._last(match[1])} needs a value")
        raise Usage(message.removeprefix("argument "))

    @staticmethod
    def _last(names: str) -> str:
        """The first long name of a flag with several."""
        return next(name for name in names.split("/") if name.startswith("--"))


class _Help(argparse.RawDescriptionHelpFormatter):
    """Wraps descriptions at the terminal's width, at most 100 columns; shows one name of each flag."""

    def __init__(self, prog: str) -> None:
        width = min(shutil.get_terminal_size((80, 24)).columns, 100)
        super().__init__(prog, max_help_position=32, width=max(width - 2, 40))

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        short = [flag for flag in action.option_strings if len(flag) == 2]
        names = ", ".join([*short, next(flag for flag in action.option_strings if len(flag) > 2)])
        return names if action.nargs == 0 else f"{names} {action.metavar}"


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from wsgi_python import __version__

        name = f"{sys.implementation.name} {sys.version.split()[0]}"
        print(f"{PROGRAM} {__version__} ({name})")
        parser.exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [FLAGS] MODULE:NAME",
        description="Serves a WSGI application, such as one of Flask or Django, over HTTP/1.1.\n\n"
        f"  {PROGRAM} hello:app                  `app` in hello.py, on 127.0.0.1:8000\n"
        f"  {PROGRAM} -b :80 'shop:create_app()' from a factory, on all addresses\n"
        f"  {PROGRAM} -b unix:/run/site.sock mysite.wsgi",
        epilog="Each flag is also an environment variable: --max-size is WSGI_PYTHON_MAX_SIZE,\n"
        "and the application WSGI_PYTHON_APP. A flag takes precedence. Switches are true\n"
        "or false there; values of flags that may be repeated are separated by spaces,\n"
        "with quotes as in a shell. The defaults suit a public address.\n\n"
        "Exit status: 0 after a stop; 1 if the application or a listener fails, or a\n"
        "second signal ended the stop; 2 for a wrong flag or value.",
        formatter_class=_Help,
        allow_abbrev=False,
        add_help=False,
    )
    groups = {name: parser.add_argument_group(name, about) for name, about in settings.GROUPS.items()}
    groups[settings.APPLICATION].add_argument(
        "application", nargs="?", metavar="MODULE:NAME",
        help="The module, and the application in it. NAME(...) calls a factory. (default: application or app)")
    for setting in SETTINGS:
        _add(groups[setting.group], setting)
    others = parser.add_argument_group("others")
    others.add_argument("-h", "--help", action="help", help="Shows this text.")
    others.add_argument("-v", "--version", action=_Version, help="Shows the version of the server and of Python.")
    return parser


def _add(group: Any, setting: Setting) -> None:
    names = [flag for flag in setting.flags if len(flag) == 2] + [setting.flag]
    hidden = [flag for flag in setting.flags if len(flag) > 2]
    if setting.metavar is not None:
        group.add_argument(*names, *hidden, dest=setting.name, metavar=setting.metavar, action="append",
                           help=setting.help())
        return
    # A switch is shown with the flag that changes something.
    on, off = [*names, *hidden], ["--no-" + setting.flag[2:]]
    shown, other = (off, on) if setting.default else (on, off)
    for flags, value, about in ((shown, not setting.default, setting.help()), (other, setting.default, None)):
        group.add_argument(*flags, dest=setting.name, action="append_const", const=str(value).lower(),
                           help=about or argparse.SUPPRESS)
