"""The WSGI applications of the comparison: one callable with a page for each thing that is measured.

Every answer has a Content-Type and a Content-Length, so that no server has to invent its framing. The pages do next to
nothing, so that what is measured is the server.
"""

import threading
import time

HELLO = b"Hello, World!"
ITEM = b"0123456789abcdef"
ITEMS = 100
#: The blocks of /blocks, the digits of each, and the pause after each of them but the last.
BLOCKS, DIGITS, PAUSE = 5, 16, 0.05
#: The time that /sleep waits, as for a database.
SLEEP = 0.01

TEXT = ("Content-Type", "text/plain")


def hello(environ, start_response):
    start_response("200 OK", [TEXT, ("Content-Length", "13")])
    return [HELLO]


def items_as_list(environ, start_response):
    start_response("200 OK", [TEXT, ("Content-Length", "1600")])
    return [ITEM] * ITEMS


def items_as_generator(environ, start_response):
    start_response("200 OK", [TEXT, ("Content-Length", "1600")])
    return (ITEM for _ in range(ITEMS))


def upload(environ, start_response):
    """Reads the body by one call, as frameworks do, and answers with its length."""
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    answer = str(len(body)).encode()
    start_response("200 OK", [TEXT, ("Content-Length", str(len(answer)))])
    return [answer]


def sleep(environ, start_response):
    time.sleep(SLEEP)
    start_response("200 OK", [TEXT, ("Content-Length", "13")])
    return [HELLO]


def blocks(environ, start_response):
    """Sends blocks with pauses between them. Each is the time at which it was made, so that a client knows its delay."""
    start_response("200 OK", [TEXT, ("Content-Length", str(BLOCKS * DIGITS))])
    return _with_pauses()


def _with_pauses():
    for block in range(BLOCKS):
        # Microseconds of the clock that all processes share.
        yield b"%0*d" % (DIGITS, time.monotonic_ns() // 1000)
        if block < BLOCKS - 1:
            time.sleep(PAUSE)


class Computing:
    """A thread that computes as fast as it can, and counts."""

    def __init__(self):
        self.count = 0
        self._started = False

    def __call__(self, environ, start_response):
        """Answers with the count; the first request starts the thread."""
        if not self._started:
            self._started = True
            threading.Thread(target=self._run, daemon=True).start()
        answer = str(self.count).encode()
        start_response("200 OK", [TEXT, ("Content-Length", str(len(answer)))])
        return [answer]

    def _run(self):
        while True:
            number = 0
            for _ in range(1000):
                number = (number * 31 + 7) % 65521
            self.count += 1


PAGES = {
    "/": hello,
    "/list": items_as_list,
    "/generator": items_as_generator,
    "/upload": upload,
    "/sleep": sleep,
    "/blocks": blocks,
    "/count": Computing(),
}


def application(environ, start_response):
    return PAGES[environ["PATH_INFO"]](environ, start_response)
