"""What this server and eventlet add to WSGI; files; bodies larger than memory should hold."""

import ssl

import pytest

SIZE = 128 * 1024 * 1024


@pytest.fixture
def server(serve):
    return serve("extensions:app", "--max-body-size", "none")


def test_early_hints(server):
    with server.connect() as client:
        client.send("GET /hints HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload"
        assert client.read().text == "hinted"


def test_trailers_in_both_directions(server):
    with server.connect() as client:
        client.send("GET /trailers HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: close\r\n\r\n")
        assert client.rest().endswith(b"\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n")
    with server.connect() as client:
        client.send("POST /sent-trailers HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 7\r\n\r\n")
        assert client.read().text == "None ab (('X-Sum', '7'),)"


def test_blocks_are_joined_on_request(server):
    with server.connect() as client:
        client.send("GET /joined HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert client.rest().endswith(b"\r\n\r\n6\r\nabcdef\r\n1\r\ng\r\n0\r\n\r\n")


def test_several_interim_responses_with_headers(server):
    with server.connect() as client:
        client.send("POST /hundred HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\nX-Hint: a"
        client.send("ab")
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\nX-Hint: b"
        client.send("cd")
        assert client.read().text == "abcd"


def test_a_body_is_read_into_a_buffer(server):
    assert server.get("/into", "POST", b"abcdef").text == "..abcd 4"


def test_errors_of_the_body_have_types_and_statuses(serve, server):
    chunked = "POST {} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\ncats\r\n"
    with server.connect() as client:
        client.send(chunked.format("/errors"))
        response = client.read()
        assert response.status == 400 and response.text.split()[:3] == ["ChunkReadError", "InputError", "OSError"]
        assert "ValueError" in response.text
    with server.connect() as client:
        client.send(chunked.format("/uncaught"))
        assert client.read().status == 400
    assert "Traceback" not in server.log
    limited = serve("extensions:app", "--max-body-size", "4")
    with limited.connect() as client:
        client.send("POST /uncaught HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n")
        assert client.read().status == 413
    hasty = serve("extensions:app", "--socket-timeout", "1")
    with hasty.connect() as client:
        client.send("POST /uncaught HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab")
        assert client.read().status == 408


def test_files_and_parts_of_files(server):
    from conftest import APPS

    with server.connect() as client:
        part = client.get("/file-part")
        assert (part.status, part.body) == (206, (APPS / "extensions.py").read_bytes()[3:20])
        assert client.get("/pipe").text == "from a pipe"


@pytest.mark.parametrize("path", ["/source", "/pushed", "/file"])
def test_large_responses_need_little_memory(server, path):
    with server.connect() as client:
        before = int(client.get("/memory").text)
        client.send(f"GET {path}?{SIZE} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        client.until(b"\r\n\r\n")
        count, client.buffer = len(client.buffer), b""
        while data := client.sock.recv(1 << 20):
            count += len(data)
    # `/pushed` is chunked: each chunk has some more bytes.
    assert SIZE <= count < SIZE * 1.001
    assert int(server.get("/memory").text) - before < 16 * 1024


def test_large_uploads_need_little_memory(server):
    with server.connect() as client:
        before = int(client.get("/memory").text)
        client.send(f"POST /sink HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n")
        for _ in range(SIZE // (1 << 20)):
            client.send(b"x" * (1 << 20))
        assert client.read().text == str(SIZE)
        assert int(client.get("/memory").text) - before < 16 * 1024


@pytest.mark.parametrize("tls", [False, True])
def test_a_signal_does_not_end_a_call_of_a_socket(serve, certificate, tls):
    cert, key = certificate
    server = serve("interrupted:app", *(("--certfile", cert, "--keyfile", key) if tls else ()))
    server.context = ssl.create_default_context(cafile=cert) if tls else None
    with server.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.exactly(11) == (b"interrupted", True)
        client.send("hello")
        assert client.rest() == b"hello"
