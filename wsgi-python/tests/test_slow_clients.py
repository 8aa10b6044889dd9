"""Clients that send or read slowly, against few threads, and what remains of them."""

import os
import socket

import pytest

from conftest import Client, eventually

HEAD = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n"


def test_uploads_that_arrive_slowly_do_not_keep_others_out(serve):
    server = serve("pages:plain")
    slow = [server.connect() for _ in range(20)]
    for client in slow:
        client.send(HEAD.format(10) + "hello")
    assert server.get("/echo", "POST", b"honest").text == "honest"
    for client in slow:
        client.send("world")
        assert client.read().text == "helloworld"
        client.sock.close()


@pytest.mark.parametrize("page", ["large", "large-generator"])
def test_responses_that_are_read_slowly_do_not_keep_others_out(serve, page):
    server = serve("pages:plain", "--threads", "1")
    slow = []
    for _ in range(5):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(server.address)
        slow.append(Client(sock))
        slow[-1].send(f"GET /{page} HTTP/1.1\r\nHost: h\r\n\r\n")
    for client in slow:
        client.until(b"\r\n\r\n")
    assert server.get("/").text == "hello\n"
    for client in slow:
        client.sock.close()


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_stream_without_a_body_ends_after_its_first_block(serve, method):
    server = serve("pages:plain", "--threads", "1")
    with server.connect() as client:
        response = client.get("/endless?0.01", method)
        assert response.status == (200 if method == "HEAD" else 304)
        server.wait_for_log("closed")
        assert client.get("/").text == "hello\n"
    assert "stuck" not in server.log


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_an_endless_write_ends_when_its_client_has_left(serve, method):
    server = serve("pages:plain", "--threads", "1")
    client = server.connect()
    client.send(f"{method} /writes HTTP/1.1\r\nHost: h\r\n\r\n")
    client.until(b"\r\n\r\n")
    client.sock.close()
    server.wait_for_log("closed")
    assert server.get("/").text == "hello\n"


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="only Linux lists descriptors there")
def test_the_number_of_descriptors_does_not_depend_on_the_threads_that_have_waited(serve):
    # With 0, each upload has a thread that waits for it.
    server = serve("pages:plain", "--threads", "8", "--receive-before-call", "0")

    def descriptors():
        return len(os.listdir(f"/proc/{server.process.pid}/fd"))

    server.get("/")
    before = descriptors()
    slow = [server.connect() for _ in range(8)]
    for client in slow:
        client.send(HEAD.format(10) + "hello")
    # One more is answered when a thread is free.
    honest = server.connect()
    honest.send(HEAD.format(2) + "ok")
    for client in slow:
        client.send("world")
        assert client.read().text == "helloworld"
        client.sock.close()
    assert honest.read().text == "ok"
    honest.sock.close()
    eventually(lambda: descriptors() <= before, lambda: f"{before} descriptors before, {descriptors()} after")
