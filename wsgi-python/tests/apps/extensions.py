"""Applications that use what this server and eventlet add to WSGI."""

import os
import tempfile

import wsgi_python

TEXT = [("Content-Type", "text/plain")]


def answer(start_response, text, status="200 OK"):
    body = text if isinstance(text, bytes) else str(text).encode()
    start_response(status, [*TEXT, ("Content-Length", str(len(body)))])
    return [body]


def hints(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload")])
    return answer(start_response, "hinted")


def trailers(environ, start_response):
    environ["wsgi_python.exchange"].set_trailers([("X-Sum", "42")])
    start_response("200 OK", [*TEXT, ("Trailer", "X-Sum")])
    yield b"body"


def sent_trailers(environ, start_response):
    before = environ["wsgi.input"].trailers
    body = environ["wsgi.input"].read()
    return answer(start_response, f"{before} {body.decode()} {environ['wsgi.input'].trailers}")


def joined(environ, start_response):
    environ["eventlet.minimum_write_chunk_size"] = 6
    start_response("200 OK", TEXT)
    return iter([b"abc", b"def", b"g"])


def hundred(environ, start_response):
    stream = environ["wsgi.input"]
    stream.set_hundred_continue_response_headers([("X-Hint", "a")])
    first = stream.read(2)
    stream.set_hundred_continue_response_headers([("X-Hint", "b")])
    stream.send_hundred_continue_response()
    return answer(start_response, first + stream.read())


def into(environ, start_response):
    buffer = bytearray(10)
    count = environ["wsgi.input"].readinto(memoryview(buffer)[2:6])
    return answer(start_response, bytes(buffer[:6]).replace(b"\0", b".") + f" {count}".encode())


def errors(environ, start_response):
    try:
        environ["wsgi.input"].read()
    except wsgi_python.InputError as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        return answer(start_response, " ".join(kinds), "400 Bad Request")
    return answer(start_response, "read")


def uncaught(environ, start_response):
    return answer(start_response, environ["wsgi.input"].read())


def sink(environ, start_response):
    count = 0
    while block := environ["wsgi.input"].read(65536):
        count += len(block)
    return answer(start_response, count)


def source(environ, start_response):
    size = int(environ["QUERY_STRING"])
    start_response("200 OK", [*TEXT, ("Content-Length", str(size))])
    block = b"x" * 65536
    return (block for _ in range(size // len(block)))


def pushed(environ, start_response):
    send = start_response("200 OK", TEXT)
    for _ in range(int(environ["QUERY_STRING"]) // 65536):
        send(b"x" * 65536)
    return []


def file(environ, start_response):
    content = tempfile.TemporaryFile()
    content.truncate(int(environ["QUERY_STRING"]))
    start_response("200 OK", [*TEXT, ("Content-Length", environ["QUERY_STRING"])])
    return environ["wsgi.file_wrapper"](content)


def file_part(environ, start_response):
    """A length below that of the rest of the file, as for a range."""
    content = open(__file__, "rb")
    content.seek(3)
    start_response("206 Partial Content", [*TEXT, ("Content-Length", "17")])
    return environ["wsgi.file_wrapper"](content)


def pipe(environ, start_response):
    """A file that is not a regular one, and is read."""
    reader, writer = os.pipe()
    os.write(writer, b"from a pipe")
    os.close(writer)
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](open(reader, "rb"))


def memory(environ, start_response):
    status = open("/proc/self/status").read()
    return answer(start_response, status.split("VmHWM:")[1].split()[0])


PAGES = {f"/{page.__name__.replace('_', '-')}": page for page in (
    hints, trailers, sent_trailers, joined, hundred, into, errors, uncaught, sink, source, pushed, file, file_part, pipe, memory)}


def app(environ, start_response):
    return PAGES[environ["PATH_INFO"]](environ, start_response)
