"""The environ: the variables of the core for generated heads, and the objects of PEP 3333 and eventlet."""

import json
import os
import socket

import pytest

# These differ per connection or are not strings; `test_the_objects_of_wsgi` checks them.
OWN = {"REMOTE_PORT", "SERVER_PORT", "wsgi.version", "wsgi.input_terminated", "wsgi.multithread", "wsgi.multiprocess",
       "wsgi.run_once"}


def test_the_environ_has_the_variables_of_the_core(serve):
    heads = os.environ.get("WSGI_PYTHON_TEST_HEADS")
    assert heads, "`cargo test -p wsgi-python` generates the heads"
    server = serve("environs:strings", "--limit", "fields=100", "--access-log", "none")
    count = 0
    with server.connect() as client, open(heads, encoding="ascii") as lines:
        ports = {"REMOTE_PORT": str(client.sock.getsockname()[1]), "SERVER_PORT": str(server.address[1])}
        for line in lines:
            case = json.loads(line)
            client.send((case["head"] + case["body"]).encode("latin-1"))
            found = json.loads(client.read().body)
            expected = case["variables"]
            assert {name: found.get(name) for name in ports} == ports
            strip = lambda variables: {name: value for name, value in variables.items() if name not in OWN}
            assert strip(found) == strip(expected), case["head"]
            count += 1
    assert count == 10_000


@pytest.fixture
def types(serve):
    return json.loads(serve("environs:types").get("/?a=b").body)


def test_the_objects_of_wsgi(types):
    assert types["environ"] == "dict"
    assert types["wsgi.version"] == "(1, 0)"
    assert types["wsgi.multithread"] == "True" and types["wsgi.multiprocess"] == "False"
    assert types["wsgi.run_once"] == "False" and types["wsgi.input_terminated"] == "True"
    assert {"wsgi.input", "wsgi.errors", "wsgi.file_wrapper", "eventlet.input", "eventlet.posthooks", "wsgi.early_hints",
            "wsgi_python.exchange", "wsgi_python.client_gone"} <= set(types)


def test_one_thread_is_not_multithread(serve):
    server = serve("environs:types", "--threads", "1")
    assert json.loads(server.get("/").body)["wsgi.multithread"] == "False"


def test_an_environ_belongs_to_one_request(serve):
    server = serve("environs:marks", "--environ", "site.name=a=b", "--threads", "1")
    with server.connect() as client:
        for _ in range(3):
            assert json.loads(client.get("/").body) == {"site.name": "a=b", "mark": None, "count": 1}


def test_a_variable_is_that_of_this_request_or_configured(serve):
    """Variables of the last request do not stay."""
    server = serve("environs:strings", "--environ", "HTTP_X_SITE=own", "--environ", "QUERY_STRING=q", "--threads", "1")
    large = b"".join(b"X-Large-%d: %s\r\n" % (number, b"a" * 5000) for number in range(2))
    with server.connect() as client:

        def send(target, fields):
            client.send(b"GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n" % (target, fields))
            found = json.loads(client.read().body)
            names = ("PATH_INFO", "QUERY_STRING", "HTTP_X_SITE", "HTTP_X_A", "HTTP_X_B")
            return [found.get(name) for name in names]

        for _ in range(2):
            assert send(b"/", b"") == ["/", "q", "own", None, None]
            assert send(b"/a%20b?c", b"X-Site: 1\r\nX-A: 1\r\nX-A: 2\r\n") == ["/a b", "c", "1", "1,2", None]
            assert send(b"/a%20b?", b"x-b: 1\r\nX-A: 1\r\n" + large) == ["/a b", "", "own", "1", "1"]
            assert send(b"/a", b"x-b: 1\r\n") == ["/a", "q", "own", None, "1"]
            assert send(b"/a", b"X-B: \xe9\r\n") == ["/a", "q", "own", None, "\xe9"]


def test_objects_that_an_application_keeps_belong_to_their_request(serve):
    server = serve("environs:keeps", "--threads", "1")
    names = ["wsgi.input", "wsgi.early_hints", "wsgi_python.exchange", "eventlet.posthooks", "start_response", "write",
             "environ"]
    with server.connect() as client:
        for name in names:
            for target in ("/", f"/?{name}", "/", "/"):
                assert json.loads(client.get(target).body) == [], name


@pytest.mark.parametrize("target", ["/", "/?generator"])
def test_an_idle_thread_keeps_nothing_of_its_last_request(serve, target):
    server = serve("environs:leaves", "--threads", "1")
    assert server.get(target).text == "left"
    for name in ("hook", "cycle"):
        assert server.wait_for_log(f"{name} is (gone|kept)")[1] == "gone", name


def test_objects_that_are_found_on_the_heap_belong_to_no_request(serve):
    server = serve("environs:finds", "--threads", "1")
    with server.connect() as client:
        assert client.get("/").status == 200
        server.wait_for_log("the exchange was found")
        found = json.loads(client.get("/").body)
    assert found.pop("exchange") is False, "nobody else has it"
    assert found == dict.fromkeys(("client_gone", "variables", "early_hints", "start_response", "write"), "ValueError")
    assert "panicked" not in server.log


def test_no_exchange_is_left(serve):
    server = serve("environs:counts", "--threads", "1")
    large = b"".join(b"X-Large-%d: %s\r\n" % (number, b"a" * 5000) for number in range(2))
    with server.connect() as client:
        for fields in (b"", large, large, large, b"", b""):
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n")
            count = json.loads(client.read().body)
    assert count == 1


def test_objects_of_an_earlier_request_do_nothing(serve):
    server = serve("environs:uses", "--threads", "1")
    with server.connect() as client:
        client.get("/")
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
        response = client.read()
        assert response.status == 200
        found = json.loads(response.body)
        assert found.pop("client_gone") is True and found.pop("body") == "abc"
        assert found == {"input": "ValueError", "early_hints": "ValueError", "start_response": "ValueError"}


def test_raw_headers_keep_order_case_and_duplicates(serve):
    """Under the name of eventlet only on request: `wsgiref.validate` allows only strings under names without a dot."""
    server = serve("environs:raw", "--headers-raw")
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\nx-B: 1\r\nX_C: \xe9\r\nX-b:  2 \r\n\r\n")
        assert json.loads(client.read().body) == [["Host", "h"], ["x-B", "1"], ["X_C", "\xe9"], ["X-b", "2"]]


def test_hooks_run_after_the_response(serve):
    server = serve("environs:hooks")
    assert server.get("/").body == b"hooks"
    server.wait_for_log("hook a=1 b=2")


def test_the_socket_of_the_input_is_the_connection(serve):
    server = serve("environs:peer")
    with server.connect() as client:
        assert client.get("/").text == str(client.sock.getsockname()[1])


def test_the_client_can_be_seen_to_disconnect(serve):
    server = serve("environs:gone")
    client = socket.create_connection(server.address)
    client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    server.wait_for_log("waiting for the client to disconnect")
    client.close()
    server.wait_for_log("the client has disconnected")
