"""Applications that fail: 500 or a visibly cut answer, a traceback in the log, and the server goes on."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "apps"))
import bad  # noqa: E402


@pytest.fixture
def server(serve):
    return serve("bad:app", "--threads", "4")


def alive(server):
    assert server.process.poll() is None, server.log
    assert server.get("/").text == "well"


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
