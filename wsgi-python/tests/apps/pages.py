"""Correct applications in every style that PEP 3333 allows. `app` has the checker of the standard library around it."""

import io
import json
import os
import sys
import tempfile
import time
import wsgiref.validate

TEXT = [("Content-Type", "text/plain")]


def hello(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "6")])
    return [b"hello\n"]


def blocks(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"one\n", b"", b"two\n"]


def generator(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"one\n"
    yield b""
    yield b"two\n"


def late_start(environ, start_response):
    yield_first = iter([b"one\n", b"two\n"])
    start_response("200 OK", TEXT)
    return yield_first


def write(environ, start_response):
    send = start_response("200 OK", TEXT)
    send(b"one\n")
    send(b"two\n")
    return [b"three\n"]


def replaced(environ, start_response):
    start_response("200 OK", [*TEXT, ("X-Old", "1")])
    try:
        raise RuntimeError("replaced")
    except RuntimeError:
        start_response("503 Service Unavailable", TEXT, sys.exc_info())
    return [b"replaced\n"]


def nothing(environ, start_response):
    start_response("204 No Content", [])
    return []


def echo(environ, start_response):
    stream = environ["wsgi.input"]
    body = b"".join(iter(lambda: stream.read(7), b""))
    start_response("200 OK", [*TEXT, ("Content-Length", str(len(body)))])
    return [body]


def lines(environ, start_response):
    stream = environ["wsgi.input"]
    found = [stream.readline(), *stream.readlines(), *stream]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([line.decode("latin-1") for line in found]).encode()]


def errors(environ, start_response):
    environ["wsgi.errors"].write("written to wsgi.errors\n")
    environ["wsgi.errors"].writelines(["and ", "lines\n"])
    environ["wsgi.errors"].flush()
    return hello(environ, start_response)


def file(environ, start_response):
    content = tempfile.TemporaryFile()
    content.write(b"0123456789" * 20000)
    content.seek(5)
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](content, 4096)


def memory_file(environ, start_response):
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"in memory\n"))


def variables(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    shown = {name: value if isinstance(value, (str, int, bool, tuple)) else None for name, value in environ.items()}
    return [json.dumps(shown).encode()]


def closing(environ, start_response):
    start_response("200 OK", TEXT)
    return Closing()


class Closing:
    """An iterable whose `close` has to be called exactly once."""

    closed = 0

    def __iter__(self):
        yield b"closed "
        yield str(Closing.closed).encode()

    def close(self):
        Closing.closed += 1


def sleep(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"] or 0.1))
    return hello(environ, start_response)


def stuck(environ, start_response):
    """Does not return, as if in an endless loop, or in one that waits."""
    never_ends(environ)


def never_ends(environ):
    print("stuck", file=sys.stderr, flush=True)
    pause = float(environ["QUERY_STRING"] or 0)
    while True:
        if pause:
            time.sleep(pause)


def stuck_in_body(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"one\n"
    never_ends(environ)


def endless(environ, start_response):
    """A stream that nobody gets: its second block never comes."""
    start_response("200 OK" if environ["REQUEST_METHOD"] == "HEAD" else "304 Not Modified", TEXT)
    try:
        yield b"one\n"
        never_ends(environ)
    finally:
        print("closed", file=sys.stderr, flush=True)


def writes_for_ever(environ, start_response):
    """The blocks of a HEAD are dropped, so only the client can end it."""
    write = start_response("200 OK", TEXT)
    try:
        while True:
            write(b"one\n")
            time.sleep(0.001)
    finally:
        print("closed", file=sys.stderr, flush=True)


def stuck_in_close(environ, start_response):
    start_response("200 OK", TEXT)
    return StuckInClose(environ)


class StuckInClose:
    def __init__(self, environ):
        self.environ = environ

    def __iter__(self):
        return iter([b"one\n"])

    def close(self):
        never_ends(self.environ)


class StuckInFinalizer:
    def __init__(self, environ):
        self.query = {"QUERY_STRING": environ["QUERY_STRING"]}

    def __iter__(self):
        return iter([b"one\n"])

    def __del__(self):
        never_ends(self.query)


def stuck_at_drop(environ, start_response):
    """Does not return when the server drops the result, its iterator, the environ or an exception."""
    place = environ["PATH_INFO"].rpartition("-")[2]
    environ = environ if place == "variables" else dict(environ)
    start_response("200 OK", [*TEXT, ("Content-Length", "4")])
    if place == "result":
        return StuckInFinalizer(environ)
    if place == "iterator":
        return Suspended(environ)
    stuck = StuckInFinalizer(environ)
    if place == "error":
        raise ValueError(stuck)
    environ["stuck"] = stuck
    return [b"one\n"]


class Suspended:
    """An iterable without `close`, whose iterator is dropped after its first step."""

    def __init__(self, environ):
        self.environ = environ

    def __iter__(self):
        try:
            yield b"one\n"
        finally:
            never_ends(self.environ)


def stuck_in_getattr(environ, start_response):
    start_response("200 OK", TEXT)
    return StuckInGetattr(environ)


class StuckInGetattr(Suspended):
    def __iter__(self):
        return iter([b"one\n"])

    @property
    def close(self):
        never_ends(self.environ)


def stuck_in_hook(environ, start_response):
    environ["eventlet.posthooks"].append((never_ends, (), {}))
    return hello(environ, start_response)


def large(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "8000000")])
    return [b"x" * 8_000_000]


def large_generator(environ, start_response):
    start_response("200 OK", TEXT)
    for _ in range(125):
        yield b"x" * 64_000


def process(environ, start_response):
    start_response("200 OK", TEXT)
    return [str(os.getpid()).encode()]


PAGES = {
    "/": hello, "/blocks": blocks, "/generator": generator, "/late-start": late_start, "/write": write,
    "/replaced": replaced, "/nothing": nothing, "/echo": echo, "/lines": lines, "/errors": errors, "/file": file,
    "/memory-file": memory_file, "/variables": variables, "/closing": closing, "/sleep": sleep, "/process": process,
    "/stuck": stuck, "/stuck-in-body": stuck_in_body, "/stuck-in-close": stuck_in_close, "/stuck-in-hook": stuck_in_hook,
    "/stuck-in-getattr": stuck_in_getattr,
    **{f"/stuck-in-{place}": stuck_at_drop for place in ("result", "iterator", "variables", "error")},
    "/endless": endless, "/writes": writes_for_ever, "/large": large, "/large-generator": large_generator,
}


def plain(environ, start_response):
    return PAGES.get(environ["PATH_INFO"], hello)(environ, start_response)


app = wsgiref.validate.validator(plain)


def create(name="factory"):
    def made(environ, start_response):
        start_response("200 OK", TEXT)
        return [name.encode()]

    return made
