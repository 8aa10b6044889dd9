"""Applications that fail: 500 or a visibly cut answer, a traceback in the log, and the server goes on."""

import ssl
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "apps"))
import bad  # noqa: E402


@pytest.fixture(params=["plain", "tls"])
def server(serve, certificate, request):
    if request.param == "plain":
        return serve("bad:app", "--threads", "4")
    cert, key = map(str, certificate)
    server = serve("bad:app", "--threads", "4", "--certfile", cert, "--keyfile", key)
    server.context = ssl.create_default_context(cafile=cert)
    return server


def alive(server):
    assert server.process.poll() is None, server.log
    with server.connect() as client:
        assert client.get("/").text == "well"


def test_failures_before_the_head_are_500_and_logged(server):
    for path in bad.FAILING:
        before = len(server.log)
        with server.connect() as client:
            response = client.get(path)
        assert response.status == 500, (path, response)
        assert response.complete, path
        assert b"Injected" not in response.body and "x-injected" not in response.headers, path
        assert b"Traceback" not in response.body, path
        server.wait_for_log(rf'(?s)^.{{{before}}}.*"GET {path} HTTP/1.1" 500')
        logged = server.log[before:]
        assert "the application failed" in logged, (path, logged)
        assert "Traceback" in logged or path.startswith(("/no-start", "/body-")), (path, logged)
        alive(server)


def test_failures_within_the_body_cut_it(server):
    for path in bad.CUT:
        response = server.get(path)
        assert response.status == 200 and not response.complete, (path, response)
        alive(server)
    server.wait_for_log("RuntimeError: failed in block 2")
    server.wait_for_log("SystemExit: failed in block 3")


def test_close_is_called_however_the_iterable_fails(server):
    for path, moment in (("/first", "first"), ("/block", "block 2"), ("/close", "close")):
        server.get(path)
        server.wait_for_log(f"closed {moment}")


def test_a_close_that_fails_is_logged(server):
    with server.connect() as client:
        client.get("/close")
    server.wait_for_log("RuntimeError: failed in close")
    alive(server)


def test_a_body_longer_than_its_length_is_not_sent_on(server):
    with server.connect() as client:
        response = client.get("/long")
        assert (response.status, response.body, client.rest()) == (200, b"12345", b"")
    alive(server)


def test_a_generator_without_an_end_ends_with_its_client(server):
    with server.connect() as client:
        client.send("GET /never-ends HTTP/1.1\r\nHost: h\r\n\r\n")
        client.until(b"\r\n\r\n")
        client.exactly(1_000_000)
    server.wait_for_log("the generator has ended")
    alive(server)


def test_tracebacks_are_shown_to_clients_only_with_debug(serve):
    server = serve("bad:app", "--debug")
    response = server.get("/raises")
    assert response.status == 500 and b"RuntimeError: failed" in response.body


def test_rules_that_a_server_can_do_without(server):
    for path in bad.HARMLESS:
        with server.connect() as client:
            response = client.get(path)
            assert response.status == 200 and response.complete, (path, response)
            # The connection is kept.
            assert client.get("/").text == "well", path
    server.wait_for_log("SystemExit: no close")
    server.wait_for_log("KeyboardInterrupt")
    alive(server)


def test_what_is_kept_of_a_request_is_harmless_when_it_is_over(server):
    with server.connect() as client:
        assert client.get("/keeps").text == "kept"
        found = client.get("/uses-what-it-kept").text.splitlines()
        assert client.get("/").text == "well"
    kept = dict(line.split(": ", 1) for line in found)
    for name in ("write", "start_response", "early hints", "trailers"):
        assert "Error" in kept[name], found
    # Nothing of the next request.
    assert kept["gone"] == "True" and kept["headers"] != "0" and "GET" not in "".join(found), found


def test_a_thread_that_writes_while_the_request_ends(server):
    for _ in range(5):
        with server.connect() as client:
            client.send("POST /uses-it-meanwhile HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
            response = client.read()
            assert response.status == 200 and set(response.body.split(b"\n")) <= {b"block", b"end", b""}, response
    alive(server)


def test_a_generator_that_refuses_to_end_is_left(server):
    with server.connect() as client:
        client.send("GET /refuses-to-end HTTP/1.1\r\nHost: h\r\n\r\n")
        client.until(b"\r\n\r\n")
    server.wait_for_log("the generator is closed")
    server.wait_for_log("RuntimeError: generator ignored GeneratorExit")
    alive(server)
