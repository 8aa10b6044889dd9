"""`wsgi_python.server`, the function with the parameters of `eventlet.wsgi.server`."""

import ast
import inspect
import json
import logging
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import wsgi_python
from conftest import APPS, PATIENCE, Client, environment, eventually

sys.path.insert(0, str(APPS))
import environs  # noqa: E402
import pages  # noqa: E402

MANUAL = """sock site log=None environ=None max_size=None max_http_version='HTTP/1.1' protocol server_event=None
minimum_chunk_size=None log_x_forwarded_for=True custom_pool=None keepalive=True log_output=True log_format
url_length_limit=8192 debug=True socket_timeout=None capitalize_response_headers=True"""


def run(body, site=pages.plain, **options):
    """Runs a server on another thread, calls `body` with its address, and stops it."""
    handles = []
    started = threading.Event()
    result = []

    def note(handle):
        handles.append(handle)
        started.set()

    sock = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: result.append(
        wsgi_python._native.serve([sock.fileno()], site, options.pop("options", {}), started=note, **options)))
    thread.start()
    assert started.wait(PATIENCE)
    try:
        with Client(socket.create_connection(sock.getsockname())) as client:
            body(client)
    finally:
        handles[0].stop()
        thread.join(PATIENCE)
        sock.close()
    assert not thread.is_alive()
    return result[0]


def test_the_signature_is_that_of_the_manual():
    parameters = inspect.signature(wsgi_python.server).parameters
    for word in MANUAL.split():
        name, _, default = word.partition("=")
        assert name in parameters, name
        if default:
            assert repr(parameters[name].default) == default, name
    assert list(parameters)[:18] == [word.partition("=")[0] for word in MANUAL.split()]


def test_a_handle_stops_a_server_on_another_thread():
    finished, cut = run(lambda client: client.get("/"))
    assert cut == 0


def test_the_socket_behind_a_duplicate_stays_usable(folder):
    script = """
import os, signal, socket, threading, wsgi_python, pages
sock = socket.create_server(("127.0.0.1", 0))
kept = sock.dup()
print(sock.getsockname()[1], flush=True)
wsgi_python.server(sock, pages.plain, log_output=False)
kept.setblocking(True)
connection, _ = kept.accept()
connection.sendall(b"accepted by the duplicate")
"""
    process = subprocess.Popen([sys.executable, "-c", script], cwd=APPS, stdout=subprocess.PIPE, env=environment())
    port = int(process.stdout.readline())
    with Client(socket.create_connection(("127.0.0.1", port))) as client:
        assert client.get("/").status == 200
    process.send_signal(2)

    def answered():
        try:
            with Client(socket.create_connection(("127.0.0.1", port))) as client:
                return client.rest() == b"accepted by the duplicate"
        except OSError:
            return False

    eventually(answered, "the duplicate accepts")
    assert process.wait(PATIENCE) == 0


def test_a_log_is_a_writer_or_a_logger():
    lines = []

    class Writer:
        write = staticmethod(lines.append)

    run(lambda client: client.get("/"), log=Writer())
    assert any('"GET / HTTP/1.1" 200' in line for line in lines) and all(line.count("\n") == 1 for line in lines)
    logger = logging.getLogger("of the test")
    logger.setLevel(logging.DEBUG)
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    run(lambda client: client.get("/"), log=logger)
    assert any(record.levelname == "INFO" and "GET /" in record.getMessage() for record in records)


def test_variables_may_have_any_type():
    marker = object()
    seen = []

    def site(environ, start_response):
        seen.append(environ["site.marker"])
        return environs.answer(start_response, environ["wsgi.url_scheme"])

    def body(client):
        assert json.loads(client.get("/").body) == "https"

    run(body, site, environ={"site.marker": marker, "wsgi.url_scheme": "https"})
    assert seen == [marker]


@pytest.mark.parametrize("options, error, message", [
    ({"bogus": 1}, ValueError, "bogus"),
    ({"max_size": 0}, ValueError, "option max_size cannot be 0 (allowed: 1 or more)"),
    ({"max_size": "1"}, TypeError, "max_size"),
    ({"socket_timeout": -1}, ValueError, "socket_timeout"),
    ({"keepalive": "x"}, TypeError, "keepalive"),
    ({"limits": {"bogus": 1}}, ValueError, "bogus"),
])
def test_a_wrong_option_is_an_error_before_anything_is_served(options, error, message):
    with socket.create_server(("127.0.0.1", 0)) as sock, pytest.raises(error) as raised:
        wsgi_python._native.serve([sock.fileno()], pages.plain, options)
    assert message in str(raised.value) and "\n" not in str(raised.value)
    with pytest.raises(error):
        wsgi_python._native.check(options)


def test_dates():
    assert wsgi_python.format_date_time(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert wsgi_python.format_date_time(784111777.9) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert wsgi_python.format_date_time().endswith(" GMT")
    for wrong in (float("nan"), float("inf"), 1e18, -1e12):
        with pytest.raises(ValueError):
            wsgi_python.format_date_time(wrong)


def test_public_names_have_docstrings():
    for name in wsgi_python.__all__:
        value = getattr(wsgi_python, name)
        assert not callable(value) or value.__doc__, name


def stub_of(module):
    return ast.parse((Path(wsgi_python.__file__).parent / f"{module}.pyi").read_text())


def test_the_stub_of_server_has_its_parameters():
    (function,) = [node for node in stub_of("_server").body if isinstance(node, ast.FunctionDef)]
    named = [one.arg for one in (*function.args.args, *function.args.kwonlyargs, function.args.kwarg)]
    assert named == list(inspect.signature(wsgi_python.server).parameters)


def test_the_stub_names_what_the_module_has():
    stub = stub_of("_native")
    names = {node.name for node in stub.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))} - {"Writer", "Logger"}
    assert names == {name for name in dir(wsgi_python._native) if not name.startswith("_")}
    for node in stub.body:
        if isinstance(node, ast.ClassDef) and node.name not in ("Writer", "Logger"):
            methods = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
            assert all(hasattr(getattr(wsgi_python._native, node.name), method) for method in methods), node.name
    assert (Path(wsgi_python.__file__).parent / "py.typed").exists()
