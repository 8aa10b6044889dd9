"""Stops: Ctrl-C and SIGTERM, idle and under load. What has begun is finished, and nothing hangs."""

import contextlib
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from conftest import APPS, PATIENCE, Client, environment, eventually


# More than an action takes that was not held up, on a busy machine too, and less than anything that holds it up.
NOT_HELD_UP = 10.0


class Load:
    """Clients that send requests until the server ends, and count what was lost."""

    def __init__(self, server, path="/", clients=8):
        self.server, self.path = server, path
        self.finished = 0
        self.lost = []
        self.refused = 0
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        while True:
            try:
                client = self.server.connect()
            except OSError:
                self.refused += 1
                return
            with client:
                if not self._talk(client):
                    return

    def _talk(self, client: Client) -> bool:
        """Uses one connection to its end; false if the server has ended."""
        while True:
            try:
                response = client.get(self.path)
            except (EOFError, OSError):
                # The connection was idle when the server closed it, or the request never began: the client repeats it.
                return True
            if not response.complete:
                self.lost.append(response)
            self.finished += 1
            if response.headers.get("connection") == "close":
                return True

    def join(self):
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("threads", ["1", "8"])
def test_a_signal_ends_an_idle_server(serve, number, threads):
    server = serve("pages:app", "--threads", threads)
    assert server.get("/").status == 200
    assert server.stop(number) == 0
    assert "Traceback" not in server.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("path", ["/", "/generator", "/sleep?0.01"])
def test_a_stop_under_load_loses_nothing_that_has_begun(serve, number, path):
    for _ in range(3):
        server = serve("pages:plain", "--access-log", "none", "--threads", "4")
        load = Load(server, path)
        eventually(lambda: load.finished > 0, "requests are finished")
        assert server.stop(number) == 0
        load.join()
        assert load.lost == []
        assert "Traceback" not in server.log


def test_a_stop_waits_for_a_request_and_then_cuts_it(serve):
    server = serve("pages:plain", "--graceful-timeout", "2")
    with server.connect() as short, server.connect() as long:
        short.send("GET /sleep?0.2 HTTP/1.1\r\nHost: h\r\n\r\n")
        long.send("GET /sleep?60 HTTP/1.1\r\nHost: h\r\n\r\n")
        server.process.send_signal(signal.SIGTERM)
        assert short.read().body == b"hello\n"
        assert long.rest() == b""
    assert server.wait() == 0


@pytest.mark.parametrize("kind", ["tcp", "unix", "inherited"])
def test_new_clients_are_refused_while_a_stop_waits(serve, folder, kind):
    """They would otherwise wait in a queue that nobody serves, and a proxy could not send them to another server."""
    path = f"{folder}/socket"
    if kind == "inherited":
        with socket.create_server(("127.0.0.1", 0)) as sock:
            server = serve("pages:plain", bind=f"fd://{sock.fileno()}", pass_fds=[sock.fileno()])
    else:
        server = serve("pages:plain", bind=f"unix:{path}" if kind == "unix" else "127.0.0.1:0")

    def connect():
        if kind != "unix":
            return server.connect()
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        return Client(sock)

    with connect() as client:
        client.send("GET /sleep?4 HTTP/1.1\r\nHost: h\r\n\r\n")
        server.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + PATIENCE
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            while time.monotonic() < end:
                connect().sock.close()
                time.sleep(0.02)
        assert not select.select([client.sock], [], [], 0)[0], "the request is not finished yet"
        assert client.read().body == b"hello\n"
    assert server.wait() == 0


@pytest.mark.parametrize("path", [
    "/stuck", "/stuck?0.001", "/stuck-in-body", "/stuck-in-close", "/stuck-in-hook", "/stuck-in-result", "/stuck-in-iterator",
    "/stuck-in-variables", "/stuck-in-error", "/stuck-in-getattr",
])
def test_a_stop_does_not_wait_for_an_application_that_never_returns(serve, path):
    server = serve("pages:plain", "--graceful-timeout", "0.2")
    with contextlib.ExitStack() as clients:
        for _ in range(3):
            client = clients.enter_context(server.connect())
            client.send(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait_for_log("(?s)" + "stuck.*" * 3)
        assert server.stop() == 0
    # The interpreter ends while these threads run.
    assert "FATAL" not in server.log and "Fatal" not in server.log


def test_a_second_signal_ends_the_wait(serve):
    server = serve("pages:plain", "--graceful-timeout", "60")
    with server.connect() as client, server.connect() as idle:
        assert idle.get("/").status == 200
        client.send("GET /sleep?60 HTTP/1.1\r\nHost: h\r\n\r\n")
        server.process.send_signal(signal.SIGINT)
        # The stop has begun.
        assert idle.rest() == b""
        assert server.process.poll() is None
        before = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        assert server.wait() == 1
        assert time.monotonic() - before < NOT_HELD_UP


ENDS_ITSELF = """
import os, socket, sys, threading, time
import wsgi_python, pages
sock = socket.create_server(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
threading.Thread(target=wsgi_python.server, args=(sock, pages.plain), kwargs={"log_output": False},
                 daemon=DAEMON).start()
sys.stdin.readline()
END
"""


@pytest.mark.parametrize("end", ["", "sys.exit(0)", "import signal; os.kill(os.getpid(), signal.SIGINT); time.sleep(9)"])
@pytest.mark.parametrize("daemon", [True, False])
def test_the_interpreter_ends_under_load(folder, end, daemon):
    """The main thread returns while a server runs on another thread: the server stops first."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENDS_ITSELF.replace("DAEMON", str(daemon)).replace("END", end)], cwd=APPS, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )
    port = int(process.stdout.readline())

    class Started:
        @staticmethod
        def connect():
            return Client(socket.create_connection(("127.0.0.1", port)))

    load = Load(Started, "/generator", clients=4)
    eventually(lambda: load.finished > 0, "requests are finished")
    try:
        _, errors = process.communicate(b"\n", timeout=PATIENCE * 2)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        pytest.fail(f"it does not end: {process.communicate()[1].decode()}")
    load.join()
    interrupted = "SIGINT" in end
    assert process.returncode == (-signal.SIGINT if interrupted else 0), errors.decode()
    assert load.lost == []
    assert b"Fatal" not in errors and (interrupted or b"Traceback" not in errors), errors.decode()


IS_SIGNALLED = """
import os, signal, socket, sys, threading
import wsgi_python, pages
number = signal.NUMBER
sock = socket.create_server(("127.0.0.1", 0))

class Early:
    # `server` reads it just before it serves.
    def keys(self):
        os.kill(os.getpid(), number)
        return []

class Started:
    def send(self, handle):
        os.kill(os.getpid(), number)

wsgi_python.server(sock, pages.plain, log_output=False, ARGUMENT)
print("returned")
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("argument", ["environ=Early()", "server_event=Started()"])
def test_server_returns_after_a_signal_that_comes_with_its_start(number, argument):
    program = IS_SIGNALLED.replace("NUMBER", number).replace("ARGUMENT", argument)
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=APPS, capture_output=True, timeout=PATIENCE, env=environment(), check=False,
    )
    assert (process.returncode, process.stdout) == (0, b"returned\n"), process.stderr.decode()


SERVES_FOR_LONG = """
import socket, threading, wsgi_python, pages
sock = socket.create_server(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
serve = lambda: wsgi_python.server(sock, pages.plain, log_output=False, graceful_timeout=60)
CALL
"""


def started(call):
    """A program that serves, a client whose request runs for a minute, and one that is idle: the begin of a stop ends it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVES_FOR_LONG.replace("CALL", call)], cwd=APPS, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment(),
    )
    address = ("127.0.0.1", int(process.stdout.readline()))
    client, idle = [Client(socket.create_connection(address, PATIENCE)) for _ in range(2)]
    assert idle.get("/").status == 200
    client.send("GET /sleep?60 HTTP/1.1\r\nHost: h\r\n\r\n")
    return process, client, idle


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, -signal.SIGINT)])
@pytest.mark.parametrize("call", ["serve()", "import atexit; atexit.register(print, 'at exit'); serve()"])
def test_a_second_signal_ends_the_program_of_server_at_once(call, number, status):
    process, client, idle = started(call)
    with client, idle:
        process.send_signal(number)
        assert idle.rest() == b""
        assert process.poll() is None
        before = time.monotonic()
        process.send_signal(number)
        output, errors = process.communicate(timeout=PATIENCE * 2)
        assert process.returncode == status, errors.decode()
        assert time.monotonic() - before < NOT_HELD_UP
        # The interpreter ends as always.
        assert output == (b"at exit\n" if "atexit" in call else b""), errors.decode()
        assert client.rest() == b""


def test_a_signal_ends_the_wait_at_the_end_of_the_interpreter():
    process, client, idle = started("threading.Thread(target=serve, daemon=True).start()\nimport time; time.sleep(1)")
    with client, idle:
        # The end of the interpreter stops the server.
        assert idle.rest() == b""
        assert process.poll() is None
        before = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE * 2)
        assert process.returncode in (0, 1, -signal.SIGINT), errors.decode()
        assert time.monotonic() - before < NOT_HELD_UP and b"KeyboardInterrupt" in errors


@pytest.mark.parametrize("end", ["sys.exit(3)", "atexit.register(lambda: 1 / 0)"])
def test_the_status_of_a_program_is_its_own_though_its_server_does_not_end(end):
    """The application never returns: it is left behind after `graceful_timeout`."""
    program = ENDS_ITSELF.replace("DAEMON", "True").replace("END", f"import atexit; {end}")
    program = program.replace('"log_output": False', '"log_output": False, "graceful_timeout": 0.1')
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=APPS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment(),
    )
    address = ("127.0.0.1", int(process.stdout.readline()))
    with Client(socket.create_connection(address)) as one, Client(socket.create_connection(address)) as other:
        for client, path in ((one, "/stuck"), (other, "/stuck-in-body?0.001")):
            client.send(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
        begun = b""
        while begun.count(b"stuck") < 2:
            line = process.stderr.readline()
            assert line, begun.decode()
            begun += line
        _, errors = process.communicate(b"\n", timeout=PATIENCE * 2)
        errors = begun + errors
    assert process.returncode == (3 if "exit(3)" in end else 0), errors.decode()
    assert errors.count(b"stuck") == 2 and (b"ZeroDivisionError" in errors) == ("1 / 0" in end), errors.decode()


RAISES_EARLY = """
import signal, socket, time
import wsgi_python, pages
sock = socket.create_server(("127.0.0.1", 0))
address = sock.getsockname()

# As if the handler of the program had raised while the server started.
def raises(*_, **__):
    raise RuntimeError("of the handler")

signal.set_wakeup_fd = raises
try:
    wsgi_python.server(sock, pages.plain, log_output=False)
except RuntimeError as error:
    assert str(error) == "of the handler"
sock.close()
end = time.monotonic() + 10
while time.monotonic() < end:
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        print("stopped")
        break
    time.sleep(0.01)
"""


def test_no_server_is_left_behind_by_an_exception_at_its_start():
    process = subprocess.run(
        [sys.executable, "-c", RAISES_EARLY], cwd=APPS, capture_output=True, timeout=PATIENCE * 2, env=environment(), check=False,
    )
    assert (process.returncode, process.stdout) == (0, b"stopped\n"), process.stderr.decode()
