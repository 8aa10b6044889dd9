"""Applications that break the rules of WSGI, or fail at every moment."""

import ast
import asyncio
import json
import sys
import threading
import time

TEXT = [("Content-Type", "text/plain")]


class Fails:
    """An iterable that raises at one moment."""

    def __init__(self, moment, error=RuntimeError):
        self.moment = moment
        self.error = error
        self.count = 0

    def fail(self, moment):
        if moment == self.moment:
            raise self.error(f"failed in {moment}")

    def __iter__(self):
        self.fail("iter")
        return self

    def __next__(self):
        self.count += 1
        self.fail("first" if self.count == 1 else f"block {self.count}")
        if self.count > 3:
            raise StopIteration
        return b"block\n"

    def close(self):
        print("closed", self.moment, file=sys.stderr)
        self.fail("close")


def deep(depth=0):
    return deep(depth + 1)


def recursion_in_c():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    return repr(nested)


def nested(depth=100_000):
    value = []
    for _ in range(depth):
        value = [value]
    return value


class Unprintable(Exception):
    """Its message cannot be made, nor its repr."""

    def __str__(self):
        raise RuntimeError("no message")

    __repr__ = __str__


def chained():
    try:
        raise ValueError("first")
    except ValueError as first:
        error = RuntimeError("second")
        first.__cause__ = error
        error.__cause__ = first
        raise error


class BadList(list):
    """A list that breaks the rules of lists."""

    def __len__(self):
        raise RuntimeError("no length")

    def __iter__(self):
        raise RuntimeError("no iterator")


class NoIterator:
    def __iter__(self):
        return 7


class BadClose:
    """Its `close` cannot even be looked up."""

    def __iter__(self):
        return iter([b"body"])

    @property
    def close(self):
        raise SystemExit("no close")


class CloseIsNoMethod(BadClose):
    close = 7


def refuses_to_end(environ, start_response):
    """A generator that yields when it is closed."""
    start_response("200 OK", TEXT)
    try:
        while True:
            yield b"x" * 10_000
    finally:
        print("the generator is closed", file=sys.stderr)
        yield b"more"


def replaces_badly(exc_info):
    def application(environ, start_response):
        start_response("200 OK", TEXT)(b"sent")
        start_response("500 Internal Server Error", TEXT, exc_info)
        return []

    return application


def starts_again_in_its_body(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"block\n"
    start_response("200 OK", TEXT)
    yield b"never reached\n"


def changes_its_headers(environ, start_response):
    """Lists that change while they are read."""

    class Grows(list):
        def __iter__(self):
            for pair in list.__iter__(self):
                self.append(pair)
                if len(self) > 10_000:
                    raise RuntimeError("headers without an end")
                yield pair

    start_response("200 OK", iter(Grows([("A", "b")])))
    return [b"body"]


class Kept:
    """What an application keeps of a request and uses when it is over."""

    environ = write = None


def keeps(environ, start_response):
    Kept.environ, Kept.write = environ, start_response("200 OK", TEXT)
    Kept.start_response = start_response
    return [b"kept"]


def attempt(name, call):
    try:
        return f"{name}: {call()!r}"
    except Exception as error:
        return f"{name}: {type(error).__name__}: {error}"


def uses_what_it_kept(environ, start_response):
    """On another thread, after that request."""
    found = []
    old = Kept.environ
    exchange = old["wsgi_python.exchange"]

    def use():
        found.extend([
            attempt("write", lambda: Kept.write(b"HTTP/1.1 200 OK\r\n\r\n")),
            attempt("start_response", lambda: Kept.start_response("200 OK", TEXT)),
            attempt("read", lambda: old["wsgi.input"].read()),
            attempt("readline", lambda: old["wsgi.input"].readline()),
            attempt("early hints", lambda: old["wsgi.early_hints"]([("Link", "x")])),
            attempt("trailers", lambda: exchange.set_trailers([("A", "b")])),
            attempt("gone", lambda: exchange.client_gone()),
            attempt("headers", lambda: len(exchange.headers_raw)),
        ])

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    start_response("200 OK", TEXT)
    return ["\n".join(found).encode()]


def uses_it_meanwhile(environ, start_response):
    """Another thread writes and reads while this one ends the request."""
    write = start_response("200 OK", TEXT)
    over = threading.Event()

    def use():
        while not over.is_set():
            try:
                write(b"block\n")
                environ["wsgi.input"].read(1)
            except Exception:
                return

    thread = threading.Thread(target=use)
    thread.start()
    time.sleep(0.01)
    threading.Timer(0.5, over.set).start()
    return [b"end\n"]


def empties_its_environ(environ, start_response):
    start_response("200 OK", TEXT)
    environ.clear()
    return (block for block in [b"well"])


def ruins_its_environ(environ, start_response):
    start_response("200 OK", TEXT)
    for name in environ:
        environ[name] = object()
    return (block for block in [b"well"])


def interrupts(environ):
    raise KeyboardInterrupt


def ruins_its_hooks(environ, start_response):
    start_response("200 OK", TEXT)
    environ["eventlet.posthooks"] = [7, (), (print,), (interrupts, (), {}), (print, 7, {}), (print, (), 7)]
    return [b"well"]


def without_streams(environ, start_response):
    """Standard error is missing while the application fails."""
    before, sys.stderr, sys.stdout = (sys.stderr, sys.stdout), None, None
    try:
        raise RuntimeError("failed without standard error")
    finally:
        sys.stderr, sys.stdout = before


def closes_errors(environ, start_response):
    stream = open("/dev/null", "w")
    before, sys.stderr = sys.stderr, stream
    stream.close()
    try:
        print("text", file=sys.stderr)
    finally:
        sys.stderr = before


def raises(error):
    raise error


def never_ends(environ, start_response):
    start_response("200 OK", TEXT)

    def blocks():
        try:
            while True:
                yield b"x" * 10_000
        finally:
            print("the generator has ended", file=sys.stderr)

    return blocks()


def started(status="200 OK", headers=TEXT, body=(b"body",)):
    def application(environ, start_response):
        start_response(status, headers)
        return body

    return application


def twice(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)
    return [b"body"]


def too_late(environ, start_response):
    start_response("200 OK", TEXT)(b"sent")
    try:
        raise RuntimeError("failed after the head was sent")
    except RuntimeError:
        start_response("500 Internal Server Error", TEXT, sys.exc_info())
    return [b"never reached"]


def wrote(environ, start_response):
    start_response("200 OK", TEXT)("text")
    return []


# Each of them is answered with 500, before anything is sent.
FAILING = {
    "/status-no-number": started(status="OK"),
    "/status-number": started(status=200),
    "/status-bytes": started(status=b"200 OK"),
    "/status-lines": started(status="200 OK\r\nX-Injected: 1"),
    "/status-1xx": started(status="100 Continue"),
    "/headers-none": started(headers=None),
    "/headers-text": started(headers="text"),
    "/header-no-pair": started(headers=["Content-Type"]),
    "/header-three": started(headers=[("A", "b", "c")]),
    "/header-bytes": started(headers=[(b"A", b"b")]),
    "/header-none": started(headers=[("A", None)]),
    "/header-not-latin1": started(headers=[("A", "\u20ac")]),
    "/header-lines": started(headers=[("A", "b\r\nX-Injected: 1")]),
    "/header-name": started(headers=[("A: b\r\nX-Injected", "1")]),
    "/header-empty-name": started(headers=[("", "b")]),
    "/body-text": started(body="text"),
    "/body-list-of-text": started(body=["text"]),
    "/body-later-text": started(body=[b"bytes", "text"]),
    "/body-none": started(body=None),
    "/body-number": started(body=[1]),
    "/body-not-iterable": started(body=7),
    "/no-start": lambda environ, start_response: [b"body"],
    "/no-start-empty": lambda environ, start_response: [],
    "/twice": twice,
    "/write-text": wrote,
    "/raises": lambda environ, start_response: raises(RuntimeError("failed")),
    "/raises-system-exit": lambda environ, start_response: raises(SystemExit(3)),
    "/raises-keyboard-interrupt": lambda environ, start_response: raises(KeyboardInterrupt()),
    "/raises-base": lambda environ, start_response: raises(BaseException("base")),
    "/raises-generator-exit": lambda environ, start_response: raises(GeneratorExit()),
    "/raises-surrogate": lambda environ, start_response: raises(RuntimeError("\udc80")),
    "/exit": lambda environ, start_response: sys.exit("leaving"),
    "/deep": lambda environ, start_response: deep(),
    "/deep-in-c": lambda environ, start_response: recursion_in_c(),
    "/deep-json": lambda environ, start_response: json.dumps(nested()),
    "/deep-json-read": lambda environ, start_response: json.loads("[" * 100_000),
    "/deep-compile": lambda environ, start_response: compile("(" * 10_000, "deep", "eval"),
    "/deep-ast": lambda environ, start_response: ast.parse("-" * 3_000 + "1"),
    "/deep-equal": lambda environ, start_response: nested() == nested(),
    "/raises-unprintable": lambda environ, start_response: raises(Unprintable()),
    "/raises-chained": lambda environ, start_response: chained(),
    "/raises-memory-error": lambda environ, start_response: bytearray(1 << 62),
    "/raises-cancelled": lambda environ, start_response: raises(asyncio.CancelledError()),
    "/raises-stop": lambda environ, start_response: raises(StopIteration()),
    "/raises-long": lambda environ, start_response: raises(RuntimeError("failed " * 100_000)),
    "/without-streams": without_streams,
    "/closes-errors": closes_errors,
    "/bad-list": started(body=BadList([b"body"])),
    "/body-no-iterator": started(body=NoIterator()),
    "/changes-its-headers": changes_its_headers,
    "/status-surrogate": started(status="200 \udc80"),
    "/status-not-latin1": started(status="200 \u20ac"),
    "/status-empty": started(status=""),
    "/header-zero": started(headers=[("A", "b\0c")]),
    "/header-encoding": started(headers=[("Transfer-Encoding", "chunked")]),
    "/header-length": started(headers=[("Content-Length", "-1")]),
    "/header-lengths": started(headers=[("Content-Length", "4"), ("Content-Length", "5")]),
    "/body-start-response": lambda environ, start_response: start_response,
    "/iter": started(body=Fails("iter")),
    "/first": lambda environ, start_response: started(body=Fails("first"))(environ, start_response),
    "/first-exit": lambda environ, start_response: started(body=Fails("first", SystemExit))(environ, start_response),
}

# Each of them is cut: the client can see that something is missing.
CUT = {
    "/block": lambda environ, start_response: started(body=Fails("block 2"))(environ, start_response),
    "/block-exit": lambda environ, start_response: started(body=Fails("block 3", SystemExit))(environ, start_response),
    "/block-interrupt": lambda environ, start_response: started(body=Fails("block 2", KeyboardInterrupt))(environ, start_response),
    "/later-text": lambda environ, start_response: started(body=iter([b"bytes", "text"]))(environ, start_response),
    "/short": started(headers=[("Content-Length", "10")], body=[b"12345"]),
    "/too-late": too_late,
    "/too-late-none": replaces_badly((None, None, None)),
    "/too-late-number": replaces_badly(7),
    "/too-late-one": replaces_badly((RuntimeError,)),
    "/starts-again": starts_again_in_its_body,
    "/block-unprintable": lambda environ, start_response: started(body=Fails("block 2", Unprintable))(environ, start_response),
    "/block-cancelled": lambda environ, start_response: started(body=Fails("block 2", asyncio.CancelledError))(environ, start_response),
    "/block-memory": lambda environ, start_response: started(body=Fails("block 2", MemoryError))(environ, start_response),
}

# They break rules that a server can do without.
HARMLESS = {
    "/close-exit": started(body=BadClose()),
    "/close-no-method": started(body=CloseIsNoMethod()),
    "/empties-its-environ": empties_its_environ,
    "/ruins-its-environ": ruins_its_environ,
    "/ruins-its-hooks": ruins_its_hooks,
    "/keeps": keeps,
}

OTHERS = {
    "/close": lambda environ, start_response: started(body=Fails("close"))(environ, start_response),
    "/long": started(headers=[("Content-Length", "5")], body=[b"12345", b"HTTP/1.1 200 OK\r\n\r\n"]),
    "/never-ends": never_ends,
    "/": started(body=[b"well"]),
    "/refuses-to-end": refuses_to_end,
    "/uses-what-it-kept": uses_what_it_kept,
    "/uses-it-meanwhile": uses_it_meanwhile,
}

PAGES = {**FAILING, **CUT, **HARMLESS, **OTHERS}


def app(environ, start_response):
    return PAGES[environ["PATH_INFO"]](environ, start_response)
