"""What all tests share: a running server, and a client that sees every byte."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

APPS = Path(__file__).parent / "apps"
PATIENCE = 20.0

# A program that a shell has started in the background ignores Ctrl-C, and so would the servers of the tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Response:
    """One response as it was received."""

    def __init__(self, head: bytes, body: bytes, complete: bool) -> None:
        line, *fields = head.decode("latin-1").split("\r\n")
        self.line = line
        self.status = int(line.split(" ", 2)[1])
        self.fields = [tuple(field.split(": ", 1)) for field in fields if field]
        self.headers = {name.lower(): value for name, value in self.fields}
        self.body = body
        self.complete = complete

    @property
    def text(self) -> str:
        return self.body.decode()

    def __repr__(self) -> str:
        return f"<{self.line!r} {self.fields} {self.body[:200]!r} complete={self.complete}>"


class Client:
    """A raw connection. Reads responses by Content-Length, by chunks, or to the end."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self.buffer = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes | str) -> None:
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def get(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Response:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body or method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        return self.read(method)

    def fill(self) -> bool:
        try:
            data = self.sock.recv(1 << 20)
        except (ConnectionResetError, ssl.SSLEOFError):
            return False
        self.buffer += data
        return bool(data)

    def until(self, end: bytes) -> bytes:
        while end not in self.buffer:
            if not self.fill():
                raise EOFError(f"the connection ended after {self.buffer!r}")
        found, _, self.buffer = self.buffer.partition(end)
        return found

    def exactly(self, count: int) -> tuple[bytes, bool]:
        while len(self.buffer) < count and self.fill():
            pass
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found, len(found) == count

    def rest(self) -> bytes:
        while self.fill():
            pass
        found, self.buffer = self.buffer, b""
        return found

    def read(self, method: str = "GET") -> Response:
        while True:
            head = self.until(b"\r\n\r\n")
            response = Response(head, b"", True)
            if response.status >= 200 or response.status == 101:
                break
        if method == "HEAD" or response.status in (101, 204, 304):
            return response
        if response.headers.get("transfer-encoding") == "chunked":
            response.body, response.complete = self._chunks()
        elif (length := response.headers.get("content-length")) is not None:
            response.body, response.complete = self.exactly(int(length))
        else:
            response.body = self.rest()
        return response

    def _chunks(self) -> tuple[bytes, bool]:
        body = b""
        try:
            while True:
                size = int(self.until(b"\r\n"), 16)
                data, whole = self.exactly(size)
                body += data
                if not whole:
                    return body, False
                self.until(b"\r\n")
                if size == 0:
                    return body, True
        except EOFError:
            return body, False


class Server:
    """A running `wsgi-python`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log_file = log
        self.urls: list[str] = []
        # Set it for a server that speaks TLS.
        self.context: ssl.SSLContext | None = None

    def wait_until_ready(self) -> "Server":
        found = self.wait_for_log(r"wsgi-python: \S+ serves \S+ on (.*) with \d+ threads? ")
        self.urls = found[1].split(" and ")
        return self

    @property
    def address(self) -> tuple[str, int]:
        match = re.fullmatch(r"https?://\[?(.*?)\]?:(\d+)", self.urls[0])
        assert match, self.urls
        return match[1], int(match[2])

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_for_log(self, pattern: str) -> "re.Match[str]":
        """Waits until the log has a line that matches."""

        def look() -> "re.Match[str] | None":
            found = re.search(pattern, self.log)
            if found is None and self.process.poll() is not None:
                # Its last line may just have been written.
                found = re.search(pattern, self.log)
                assert found, f"ended with {self.process.returncode} without {pattern!r}:\n{self.log}"
            return found

        return eventually(look, lambda: f"{pattern!r} in the log:\n{self.log}")

    def connect(self) -> Client:
        sock = socket.create_connection(self.address, PATIENCE)
        return Client(self.context.wrap_socket(sock, server_hostname="localhost") if self.context else sock)

    def get(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Response:
        with self.connect() as client:
            return client.get(path, method, body, **headers)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stops it and returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        try:
            return self.process.wait(PATIENCE * 2)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise AssertionError(f"it does not end:\n{self.log}") from None


def eventually(condition: Callable[[], Any], what: Callable[[], str] | str) -> Any:
    """Waits until the condition is true and returns its value."""
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {PATIENCE} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.01)
    return value


def environment(**variables: str) -> dict[str, str]:
    """The environment of a server, with the applications of the tests importable."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WSGI_PYTHON_") and name != "PORT"}
    return {**clean, "PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1", **variables}


def command(*flags: str) -> list[str]:
    return [sys.executable, "-m", "wsgi_python", *flags]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, as unix sockets need it."""
    with tempfile.TemporaryDirectory(prefix="wsgi-") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for localhost, by the openssl of the system."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )
    (folder / "both.pem").write_bytes(cert.read_bytes() + key.read_bytes())
    return cert, key


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers on free ports; at the end of the test, each has to stop with status 0 unless it has ended."""
    with contextlib.ExitStack() as running:

        def start(app: str, *flags: str, bind: str | None = "127.0.0.1:0", ready: bool = True, cwd: Path = APPS,
                  variables: dict[str, str] | None = None, **options: Any) -> Server:
            log = folder / f"log-{len(os.listdir(folder))}"
            places = ("--bind", bind) if bind else ()
            with log.open("wb") as out:
                process = subprocess.Popen(
                    command(app, *places, *flags), cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                    env=environment(**(variables or {})), **options,
                )
            server = Server(process, log)
            running.callback(finish, server)
            return server.wait_until_ready() if ready else server

        yield start


def finish(server: Server) -> None:
    if server.process.poll() is None:
        status = server.stop()
        assert status == 0, f"stopped with {status}:\n{server.log}"
