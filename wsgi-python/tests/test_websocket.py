"""WebSocket by simple-websocket and flask-sock: the application answers on the connection itself, with real frames."""

import ssl
import threading
import time

import pytest
from simple_websocket import Client, ConnectionClosed


@pytest.fixture
def server(serve):
    return serve("flasks:app", "--debug", "--threads", "4")


def url(server, path):
    host, port = server.address
    return f"ws://{host}:{port}{path}"


def test_messages_go_in_both_directions(server):
    client = Client(url(server, "/socket"))
    for message in ("hello", "x" * 100_000, b"\0\xff" * 40_000, "é"):
        client.send(message)
        assert client.receive(10) == message
    client.send("close")
    with pytest.raises(ConnectionClosed) as closed:
        client.receive(10)
    assert closed.value.reason == 1000
    assert server.get("/").text == "Hello, World!"
    assert "Traceback" not in server.log


def test_an_application_may_answer_after_it_has_taken_the_connection(server):
    client = Client(url(server, "/plain-socket"))
    client.send("start")
    assert client.receive(10) == "hello"
    client.send("echo")
    assert client.receive(10) == "echo"
    client.close()
    server.wait_for_log(r"GET /plain-socket")
    assert server.get("/").text == "Hello, World!"
    assert "Traceback" not in server.log


def test_a_client_that_disconnects_ends_its_socket(server):
    with server.connect() as client:
        client.send("GET /socket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        response = client.read()
        assert (response.status, response.headers["sec-websocket-accept"]) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    server.wait_for_log(r"GET /socket")
    assert server.get("/").text == "Hello, World!"


@pytest.mark.parametrize("tls", [False, True])
def test_a_socket_with_pings(serve, certificate, tls):
    cert, key = map(str, certificate)
    server = serve("flasks:app", *(("--certfile", cert, "--keyfile", key) if tls else ()))
    context = ssl.create_default_context(cafile=cert) if tls else None
    address = url(server, "/pinged-socket")
    client = Client(address.replace("ws://", "wss://") if tls else address, ssl_context=context, max_message_size=1 << 24)
    before = time.monotonic()
    # Larger than what is received at a time: the rest is decrypted already.
    for message in ("hello", "x" * 20_000, b"\0\xff" * 1_000_000, "", "é"):
        client.send(message)
        assert client.receive(10) == message
    # No message waits for a ping.
    assert time.monotonic() - before < 15
    time.sleep(1)
    client.send("after the pings")
    assert client.receive(10) == "after the pings"
    client.close()
    server.wait_for_log(r"GET /pinged-socket")
    assert "Traceback" not in server.log


def test_sockets_are_independent(server):
    clients = [Client(url(server, "/socket")) for _ in range(3)]
    wrong = []

    def talk(number):
        for count in range(50):
            clients[number].send(f"{number} {count}")
            if clients[number].receive(10) != f"{number} {count}":
                wrong.append((number, count))

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    # Three of four threads have a socket; pages are still served.
    assert server.get("/").text == "Hello, World!"
    for client in clients:
        client.close()


def test_a_stop_ends_open_sockets(serve):
    server = serve("flasks:app", "--graceful-timeout", "0.5")
    client = Client(url(server, "/socket"))
    client.send("hello")
    assert client.receive(10) == "hello"
    assert server.stop() == 0
    with pytest.raises(ConnectionClosed):
        client.receive(10)
