"""Every style of a correct application, with `wsgiref.validate` around it: no complaint, and the right bytes."""

import pytest

EXPECTED = {
    "/": b"hello\n", "/blocks": b"one\ntwo\n", "/generator": b"one\ntwo\n", "/late-start": b"one\ntwo\n",
    "/write": b"one\ntwo\nthree\n", "/memory-file": b"in memory\n", "/errors": b"hello\n",
    "/file": (b"0123456789" * 20000)[5:],
}


@pytest.fixture
def server(serve):
    return serve("pages:app")


def complaints(server):
    return [line for line in server.log.splitlines() if "AssertionError" in line or "Traceback" in line
            or "garbage collected" in line or "Warning" in line]


def test_pages_are_served_without_a_complaint(server):
    with server.connect() as client:
        for path, body in EXPECTED.items():
            response = client.get(path)
            assert (response.status, response.body) == (200, body), path
            assert client.get(path, "HEAD").status == 200, path
    assert complaints(server) == []
    assert "written to wsgi.errors\nand lines\n" in server.log


def test_the_length_is_sent_where_it_is_known(serve):
    # The checker would hide the type of a body.
    server = serve("pages:plain")
    with server.connect() as client:
        assert client.get("/blocks").headers["content-length"] == "8"
        assert client.get("/late-start").headers["transfer-encoding"] == "chunked"
        assert client.get("/file").headers["content-length"] == str(200_000 - 5)
        assert client.get("/generator").headers["transfer-encoding"] == "chunked"


def test_bodies_are_read_in_every_way(server):
    with server.connect() as client:
        assert client.get("/echo", "POST", b"x" * 100_000).body == b"x" * 100_000
        assert client.get("/echo", "POST", b"").body == b""
        client.send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n4\r\n you\r\n0\r\n\r\n")
        assert client.read().body == b"hello you"
        assert client.get("/lines", "POST", b"a\nb\r\nc").text == '["a\\n", "b\\r\\n", "c"]'
    assert complaints(server) == []


def test_a_response_can_be_replaced_before_its_head_is_sent(server):
    response = server.get("/replaced")
    assert (response.status, response.body) == (503, b"replaced\n")
    assert "x-old" not in response.headers


def test_a_response_without_content_has_no_body(server):
    with server.connect() as client:
        response = client.get("/nothing")
        assert response.status == 204 and "content-length" not in response.headers
        assert client.get("/").body == b"hello\n"


def test_close_is_called_once_per_response(serve):
    server = serve("pages:plain", "--threads", "1")
    with server.connect() as client:
        assert [client.get("/closing").body for _ in range(3)] == [b"closed 0", b"closed 1", b"closed 2"]
        client.get("/closing", "HEAD")
        assert client.get("/closing").body == b"closed 4"


def test_expect_continue_is_answered_when_the_body_is_read(server):
    with server.connect() as client:
        client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
        client.send("ok")
        assert client.read().body == b"ok"
    assert complaints(server) == []
