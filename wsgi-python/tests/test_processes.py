"""Processes and threads that an application starts."""

import concurrent.futures
import signal
import socket
import subprocess
import sys

import pytest

from conftest import APPS, Client, environment


@pytest.fixture
def server(serve):
    return serve("processes:app", "--threads", "4")


def test_programs_run_inside_an_application(server):
    with server.connect() as client:
        for path in ("/run", "/shell", "/multiprocess", "/multiprocess-fork"):
            assert client.get(path).text == "42", path


def test_programs_run_side_by_side(server):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert {response.text for response in pool.map(server.get, ["/run", "/shell"] * 8)} == {"42"}


def test_an_application_may_fork(server):
    with server.connect() as client:
        for _ in range(5):
            assert client.get("/fork").text == "from the child 0"


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, "-15"), (signal.SIGINT, "100")])
def test_a_signal_ends_a_child_and_not_the_server(server, number, status):
    """The child has not the handlers that stop the server."""
    assert server.get(f"/terminated?{number:d}").text == status
    assert server.get("/run").text == "42"
    assert "a second signal" not in server.log


def test_a_signal_ends_a_child_of_server():
    program = (
        "import os, socket, wsgi_python, processes\n"
        "sock = socket.create_server(('127.0.0.1', 0))\n"
        "print(sock.getsockname()[1], flush=True)\n"
        "wsgi_python.server(sock, processes.app, log_output=False)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=APPS, stdout=subprocess.PIPE, env=environment()) as process:
        with Client(socket.create_connection(("127.0.0.1", int(process.stdout.readline())))) as client:
            assert [client.get(path).text for path in ("/terminated?15", "/terminated?2", "/multiprocess-fork")] == ["-15", "100", "42"]
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


def test_a_child_that_returns_to_the_server_ends_and_sends_nothing(server):
    with server.connect() as client:
        for _ in range(3):
            response = client.get("/fork-that-returns")
            assert response.text.startswith("from the parent ") and not response.text.endswith(" 0")
    assert "must not return to the server" in server.log
    assert server.get("/run").text == "42"


@pytest.mark.parametrize("place", ["iter", "first", "next", "late", "end", "close", "hook"])
@pytest.mark.parametrize("ending, status", [("returns", 1), ("exits", 5)])
def test_a_child_that_is_forked_after_the_call_ends_and_sends_nothing(server, place, ending, status):
    with server.connect() as client:
        response = client.get(f"/fork-later?{place}+{ending}")
        assert response.complete and response.text == "one " + "x" * 100_000 + " two"
        server.wait_for_log(f"a child forked in {place} ended with {status}\n")
        # Nothing came after the response.
        assert client.get("/run").text == "42" and client.buffer == b""
    assert ("must not return to the server" in server.log) == (ending == "returns")
    assert "Traceback" not in server.log


def test_child_processes_inherit_no_sockets(server):
    with server.connect() as client:
        # The fourth is that of the folder that is being listed.
        assert client.get("/descriptors").text.strip() == "['0', '1', '2', '3']"


def test_thread_locals_survive_between_requests(serve):
    server = serve("processes:app", "--threads", "1")
    with server.connect() as client:
        assert [client.get("/local").text for _ in range(3)] == ["1", "2", "3"]


def test_the_current_thread_is_the_same_object_within_a_request(server):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert {response.text for response in pool.map(server.get, ["/names"] * 8)} == {"True"}
