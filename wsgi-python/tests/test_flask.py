"""Flask over real sockets: forms, uploads, sessions, streams, files, errors."""

import json

import pytest


@pytest.fixture
def server(serve):
    return serve("flasks:app")


def test_pages_and_variables(server):
    with server.connect() as client:
        assert client.get("/").text == "Hello, World!"
        page = json.loads(client.get("/who/J%C3%BCrgen?a=1&a=%C3%A9").body)
        assert page == {"name": "Jürgen", "arguments": {"a": ["1", "é"]}, "scheme": "http", "host": "localhost"}
        assert client.get("/missing").status == 404
        moved = client.get("/moved")
        assert (moved.status, moved.headers["location"]) == (302, "/")
        assert client.get("/", "PUT").status == 405
        assert client.get("/", "HEAD").headers["content-length"] == "13"


def test_forms_uploads_and_json(server):
    boundary = "x----x"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="field"\r\n\r\nvalue\r\n'.encode(),
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n\r\n'.encode(),
        b"\0\xff" * 1_000_000, f"\r\n--{boundary}--\r\n".encode(),
    ]
    with server.connect() as client:
        kind = f"multipart/form-data; boundary={boundary}"
        page = json.loads(client.get("/form", "POST", b"".join(parts), Content_Type=kind).body)
        assert page == {"form": {"field": "value"}, "files": {"file": 2_000_000}}
        assert json.loads(client.get("/json", "POST", b'{"number": 21}', Content_Type="application/json").body) == {"double": 42}
        assert client.get("/json", "POST", b"{", Content_Type="application/json").status == 400
        chunked = "5\r\n{\"num\r\n9\r\nber\": 21}\r\n0\r\n\r\n"
        client.send("POST /json HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked)
        assert json.loads(client.read().body) == {"double": 42}


def test_an_upload_that_is_too_large_is_refused_by_flask_and_by_the_server(server):
    with server.connect() as client:
        client.send("POST /form HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                    "Content-Length: 9000000\r\n\r\n")
        assert client.read().status == 413
    with server.connect() as client:
        client.send("POST /json HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 99000000\r\n\r\n")
        assert client.read().status == 413


def test_sessions(server):
    with server.connect() as client:
        first = client.get("/count")
        cookie = first.headers["set-cookie"].split(";")[0]
        assert (first.text, client.get("/count", Cookie=cookie).text) == ("1", "2")


def test_streams_and_files(server):
    with server.connect() as client:
        stream = client.get("/stream")
        assert (stream.text, stream.headers["transfer-encoding"]) == ("0\n1\n2\n3\n4\n", "chunked")
        part = client.get("/file", Range="bytes=10-19")
        assert (part.status, part.body, part.headers["content-range"]) == (206, b"0123456789", "bytes 10-19/10000")
        assert client.get("/file", If_None_Match='"x"').status == 304
        source = client.get("/source")
        assert source.body.startswith(b'"""A Flask application') and source.headers["content-length"] == str(len(source.body))


def test_errors_are_logged_and_not_shown(server):
    response = server.get("/fail")
    assert response.status == 500 and b"secret" not in response.body
    server.wait_for_log("RuntimeError: secret of the application")
    assert server.get("/").status == 200
