"""Applications that break the rules of WSGI, or fail at every moment."""

import sys

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
}

OTHERS = {
    "/close": lambda environ, start_response: started(body=Fails("close"))(environ, start_response),
    "/long": started(headers=[("Content-Length", "5")], body=[b"12345", b"HTTP/1.1 200 OK\r\n\r\n"]),
    "/never-ends": never_ends,
    "/": started(body=[b"well"]),
}

PAGES = {**FAILING, **CUT, **OTHERS}


def app(environ, start_response):
    return PAGES[environ["PATH_INFO"]](environ, start_response)
