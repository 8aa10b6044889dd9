"""Where the server listens: TCP, IPv6, unix sockets, inherited descriptors, systemd, TLS, PROXY."""

import os
import socket
import ssl
import stat
import subprocess

import pytest

from conftest import APPS, Client, command, environment


def unix(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))
    return Client(sock)


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_a_server_listens_on_several_addresses(serve, folder):
    path = folder / "site.sock"
    places = ["127.0.0.1:0", f"unix:{path}"] + (["[::1]:0"] if has_ipv6() else [])
    flags = [word for place in places[1:] for word in ("--bind", place)]
    server = serve("pages:app", *flags, "--socket-mode", "660")
    assert len(server.urls) == len(places)
    assert server.get("/").status == 200
    with unix(path) as client:
        assert client.get("/").status == 200
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    if has_ipv6():
        assert server.urls[2].startswith("http://[::1]:")
        with Client(socket.create_connection(("::1", int(server.urls[2].rpartition(":")[2])))) as client:
            assert client.get("/").status == 200
    assert server.stop() == 0
    assert not path.exists()


def test_the_variables_of_a_unix_socket(serve, folder):
    path = folder / "site.sock"
    serve("environs:strings", bind=f"unix:{path}")
    with unix(path) as client:
        found = client.get("/").text
        assert '"REMOTE_ADDR": "unix"' in found and '"SERVER_NAME": "unix"' in found


def test_a_socket_that_a_killed_server_left_is_replaced(serve, folder):
    path = folder / "site.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    serve("pages:app", bind=f"unix:{path}")
    with unix(path) as client:
        assert client.get("/").status == 200
    second = serve("pages:app", bind=f"unix:{path}", ready=False)
    assert second.wait() == 1
    assert f"cannot listen on unix:{path}: the address is in use" in second.log
    with unix(path) as client:
        assert client.get("/").status == 200


def test_a_file_that_is_not_a_socket_is_kept(serve, folder):
    path = folder / "precious"
    path.write_text("precious")
    server = serve("pages:app", bind=f"unix:{path}", ready=False)
    assert server.wait() == 1 and "is not a socket" in server.log
    assert path.read_text() == "precious"


def test_an_address_in_use_is_one_line(serve):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = serve("pages:app", bind=f"127.0.0.1:{port}", ready=False)
        assert server.wait() == 1
        assert server.log == f"wsgi-python: cannot listen on 127.0.0.1:{port}: the address is in use by another process\n"


def test_an_inherited_descriptor_stays_usable(serve):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        server = serve("pages:app", bind=f"fd://{listener.fileno()}", pass_fds=[listener.fileno()])
        assert server.get("/").status == 200
        assert server.stop() == 0
        with Client(socket.create_connection(listener.getsockname())) as client:
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            serve("pages:app", bind=f"fd://{listener.fileno()}", pass_fds=[listener.fileno()])
            assert client.read().status == 200


def start_by_systemd(listeners, log, *flags):
    """Starts the server as systemd does: its sockets from descriptor 3 on, and its process in LISTEN_PID."""

    def prepare():
        # First beyond the numbers that are to be used.
        copies = [os.dup2(listener.fileno(), 100 + number) for number, listener in enumerate(listeners)]
        for number, copy in enumerate(copies):
            os.dup2(copy, 3 + number, inheritable=True)

    script = "import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[1], sys.argv[1:])"
    words = command("pages:app", *flags)
    with log.open("wb") as out:
        return subprocess.Popen(
            [words[0], "-c", script, *words], cwd=APPS, stdin=subprocess.DEVNULL, stdout=out, stderr=out, close_fds=False,
            preexec_fn=prepare, env=environment(LISTEN_FDS=str(len(listeners)), LISTEN_FDNAMES="a:b"),
        )


@pytest.mark.parametrize("flags", [(), ("--bind", "systemd")])
def test_sockets_of_systemd(folder, flags):
    from conftest import Server, finish

    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        process = start_by_systemd([first, second], folder / "log", *flags)
        server = Server(process, folder / "log")
        try:
            server.wait_until_ready()
            for listener in (first, second):
                with Client(socket.create_connection(listener.getsockname())) as client:
                    assert client.get("/").status == 200
        finally:
            finish(server)


def test_tls(serve, certificate):
    cert, key = certificate
    server = serve("environs:strings", "--certfile", str(cert), "--keyfile", str(key))
    assert server.url.startswith("https://127.0.0.1:")
    context = ssl.create_default_context(cafile=str(cert))
    with Client(context.wrap_socket(socket.create_connection(server.address), server_hostname="localhost")) as client:
        found = client.get("/").text
        assert '"wsgi.url_scheme": "https"' in found and '"HTTPS": "on"' in found
    with server.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"200" not in client.rest()


def test_the_key_may_be_in_the_file_of_the_certificate(serve, certificate):
    cert, _ = certificate
    server = serve("pages:app", "--certfile", str(cert.parent / "both.pem"))
    context = ssl.create_default_context(cafile=str(cert))
    with Client(context.wrap_socket(socket.create_connection(server.address), server_hostname="localhost")) as client:
        assert client.get("/").body == b"hello\n"
        assert client.get("/echo", "POST", b"x" * 200_000).body == b"x" * 200_000


def test_a_certificate_that_is_none_is_one_line(serve, certificate, folder):
    (folder / "wrong.pem").write_text("nothing")
    server = serve("pages:app", "--certfile", str(folder / "wrong.pem"), "--keyfile", str(certificate[1]), ready=False)
    assert server.wait() == 2
    assert len(server.log.splitlines()) == 1 and "wrong.pem" in server.log


def test_the_proxy_protocol_sets_the_address_of_the_client(serve):
    server = serve("environs:strings", "--proxy-protocol", "127.0.0.1,unix")
    with server.connect() as client:
        client.send("PROXY TCP4 192.0.2.7 192.0.2.1 1234 80\r\n")
        found = client.get("/").text
        assert '"REMOTE_ADDR": "192.0.2.7"' in found and '"REMOTE_PORT": "1234"' in found
    with server.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"200" not in client.rest()
