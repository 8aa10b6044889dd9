"""The command line: what it prints, what it refuses, and what it does."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import APPS, command, environment, eventually


def run(*flags, cwd=APPS, **variables):
    """Runs a command that ends by itself."""
    return subprocess.run(command(*flags), cwd=cwd, env=environment(**variables), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)


# A wrong flag or value: one line, status 2.
MISTAKES = [
    ((), "which application? Write MODULE:NAME, such as hello:app (--help lists everything)"),
    (("pages:app", "other:app"), "one application only; 'other:app' is the second one"),
    (("pages:app", "--treads", "2"), "there is no --treads; did you mean --threads?"),
    (("pages:app", "--bogus"), "there is no --bogus (--help lists all flags)"),
    (("pages:app", "--thread", "2"), "there is no --thread; did you mean --threads?"),
    (("pages:app", "-w", "4"), "there is no -w: there is one process; --threads sets how many requests run at a time"),
    (("pages:app", "-w4"), "there is no -w: there is one process; --threads sets how many requests run at a time"),
    (("pages:app", "--workers=4"), "there is no --workers: there is one process; --threads sets how many requests run at a time"),
    (("pages:app", "--port", "5000"), "there is no --port: write --bind HOST:PORT"),
    (("pages:app", "--threads"), "--threads needs a value"),
    (("pages:app", "--threads", "0"), "--threads cannot be '0' (allowed: a whole number, 1 or more)"),
    (("pages:app", "--threads", "-1"), "--threads cannot be '-1' (allowed: a whole number, 1 or more)"),
    (("pages:app", "--max-size", "many"), "--max-size cannot be 'many' (allowed: a whole number)"),
    (("pages:app", "--max-size", "0"), "option max_size cannot be 0 (allowed: 1 or more)"),
    (("pages:app", "--max-body-size", "1X"), "--max-body-size cannot be '1X' (allowed: bytes, such as 65536, or a number with K, M or G, or none)"),
    (("pages:app", "--header-timeout", "-1"), "--header-timeout cannot be '-1' (allowed: seconds, such as 30 or 0.5, or a number with ms, s, m, h or d, or none)"),
    (("pages:app", "--header-timeout", "0"), "option header_timeout cannot be 0 s (allowed: more than zero)"),
    (("pages:app", "--keepalive", "maybe"), "--keepalive cannot be 'maybe' (allowed: true, false, or seconds, such as 30 or 0.5, or a number with ms, s, m, h or d)"),
    (("pages:app", "--max-http-version", "2"), "--max-http-version cannot be '2' (allowed: HTTP/1.0 or HTTP/1.1)"),
    (("pages:app", "--bind", "8000"), "--bind cannot be '8000' (allowed: HOST:PORT, [IPv6]:PORT, :PORT, unix:PATH, fd://N or systemd)"),
    (("pages:app", "--bind", "127.0.0.1:65536"), "--bind cannot be '127.0.0.1:65536' (allowed: HOST:PORT, [IPv6]:PORT, :PORT, unix:PATH, fd://N or systemd)"),
    (("pages:app", "--bind", "unix:"), "--bind cannot be 'unix:' (allowed: HOST:PORT, [IPv6]:PORT, :PORT, unix:PATH, fd://N or systemd)"),
    (("pages:app", "--bind", "fd://99"), "--bind: fd://99 is not a listening socket (Bad file descriptor)"),
    (("pages:app", "--bind", "fd://0"), "--bind: fd://0 is not a listening socket (Socket operation on non-socket)"),
    (("pages:app", "--bind", "systemd"), "--bind: systemd has passed no socket: LISTEN_FDS and LISTEN_PID are not set for this process"),
    (("pages:app", "-b", "[::1]:80", "-b", "[::1]:80"), "--bind has [::1]:80 twice"),
    (("pages:app", "--environ", "novalue"), "--environ cannot be 'novalue' (allowed: NAME=VALUE)"),
    (("pages:app", "--limit", "height=1"), "--limit cannot be 'height=1' (allowed: NAME=NUMBER with one of method, field_line, fields_size, fields, chunk_line, chunk_extensions, drain, outbox, inbox)"),
    (("pages:app", "--keyfile", "key.pem"), "--keyfile needs a --certfile"),
    (("pages:app", "--certfile", "/no/such/file"), "--certfile cannot be '/no/such/file' (No such file or directory)"),
    (("pages:app", "--access-log", "/no/such/file"), "--access-log cannot be '/no/such/file' (No such file or directory)"),
    (("pages:app", "--chdir", "/no/such/folder"), "--chdir cannot be '/no/such/folder' (No such file or directory)"),
    (("pages:app", "--app-dir", "/no/such/folder"), "--app-dir cannot be '/no/such/folder' (it is not a folder)"),
    (("pages:app", "--socket-mode", "999"), "--socket-mode cannot be '999' (allowed: three octal digits, such as 660)"),
    (("pages.py",), "the application cannot be 'pages.py' (allowed: a module, not a file: pages)"),
    (("./apps/pages.py:app",), "the application cannot be './apps/pages.py:app' (allowed: a module, not a file: apps.pages:app)"),
    (("pages:app(",), "the application cannot be 'pages:app(' (allowed: MODULE:NAME, or a factory with literal arguments, such as hello:create_app('test'))"),
    (("pages:create(x)",), "the application cannot be 'pages:create(x)' (allowed: MODULE:NAME, or a factory with literal arguments, such as hello:create_app('test'))"),
    (("a-b:app",), "the application cannot be 'a-b:app' (allowed: MODULE:NAME, such as hello:app, or a factory, such as hello:create_app())"),
]


@pytest.mark.parametrize("flags, message", MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_a_mistake_is_one_line(flags, message):
    result = run(*flags)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"wsgi-python: {message}\n")


def test_a_wrong_template_names_its_part():
    result = run("pages:app", "--log-format", "%(nonsense)s")
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    assert "option log_format cannot be" in result.stderr and "nonsense" in result.stderr and "client_ip" in result.stderr


def test_wrong_sources_of_the_proxy_protocol_are_one_line():
    result = run("pages:app", "--proxy-protocol", "somewhere")
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1 and "somewhere" in result.stderr


# An application that cannot be used: one line, status 1.
UNUSABLE = [
    ("nowhere:app", f"there is no module nowhere in {APPS} or on the path of Python"),
    ("pages.sub:app", f"there is no module pages.sub in {APPS} or on the path of Python"),
    ("pages:nothing_there", "there is no pages:nothing_there; there is pages:app"),
    ("asgi:app", "asgi:app is an ASGI application; this server runs WSGI applications"),
    ("asgi:framework", "asgi:framework is an ASGI application; this server runs WSGI applications"),
    ("asgi:value", "asgi:value is not an application: it cannot be called (it is of type str)"),
    ("pages:create", "pages:create does not take environ and start_response; if it makes the application, write pages:create()"),
]


@pytest.mark.parametrize("app, message", UNUSABLE, ids=lambda value: value if ":" in value and " " not in value else "")
def test_an_application_that_cannot_be_used_is_one_line(app, message):
    result = run(app, "--check")
    assert (result.returncode, result.stdout, result.stderr) == (1, "", f"wsgi-python: {message}\n")


def test_an_import_that_fails_shows_its_traceback_and_one_line(folder):
    result = run("broken:app", "--bind", f"unix:{folder}/socket")
    first, *_, last = result.stderr.splitlines()
    assert result.returncode == 1 and first.startswith("Traceback")
    assert last == "wsgi-python: cannot import broken: ModuleNotFoundError: No module named 'no_such_module'"
    # The traceback begins in the application, and not in the server.
    assert "wsgi_python" not in result.stderr and "importlib" not in result.stderr
    (folder / "syntax.py").write_text("def app(:\n")
    result = run("syntax", cwd=folder)
    assert result.returncode == 1 and "line 1" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("wsgi-python: cannot import syntax: SyntaxError")
    result = run("pages:create(1, 2)")
    assert "the factory pages:create failed: TypeError" in result.stderr.splitlines()[-1]


def test_help_has_every_flag_and_fits_the_terminal():
    from wsgi_python._cli.settings import SETTINGS

    text = run("--help", COLUMNS="80").stdout
    assert [line for line in text.splitlines() if len(line) > 80] == []
    for setting in SETTINGS:
        flag = setting.flag if setting.metavar or not setting.default else "--no-" + setting.flag[2:]
        assert re.search(rf"^  (-\w, )?{flag}\b", text, re.MULTILINE), flag
    assert "127.0.0.1:8000" in text and "(default: 8)" in text and "WSGI_PYTHON_MAX_SIZE" in text


def test_version():
    result = run("--version")
    assert re.fullmatch(r"wsgi-python \d+\.\d+\.\d+ \(cpython 3\.\d+\.\d+\S*\)\n", result.stdout)


def test_check_imports_the_application_and_binds_nothing():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("pages:app", "--check", "--bind", f"127.0.0.1:{taken.getsockname()[1]}")
    assert (result.returncode, result.stderr) == (0, "wsgi-python: pages:app and all settings are as they should be\n")


def test_the_startup_line_says_where_it_listens(serve):
    server = serve("pages:app", "--threads", "1")
    assert re.search(r"^wsgi-python: 0\.\S+ serves pages:app on http://127\.0\.0\.1:[1-9]\d* with 1 thread "
                     rf"\(process {server.process.pid}\); Ctrl-C stops it$", server.log, re.MULTILINE)


def test_applications_and_factories(serve):
    for app, body in [("pages", b"hello\n"), ("pages:create()", b"factory"), ("pages:create('x')", b"x"),
                      ("pages:create(name='y')", b"y")]:
        assert serve(app).get("/").body == body, app


def test_folders(serve, folder):
    (folder / "here.py").write_text("import os\nfolder = os.getcwd()\ndef app(environ, start_response):\n"
                                    "    start_response('200 OK', [])\n    return [folder.encode()]\n")
    real = os.path.realpath(folder).encode()
    assert serve("here:app", cwd=folder).get("/").body == real
    assert serve("here:app", "--chdir", str(folder)).get("/").body == real
    assert serve("here:app", "--app-dir", str(folder)).get("/").body == str(APPS).encode()


def test_variables_are_flags(serve):
    server = serve("environs:marks", bind=None, variables={
        "WSGI_PYTHON_BIND": "127.0.0.1:0 '127.0.0.1:0'", "WSGI_PYTHON_ENVIRON": "'site.name=two words'", "WSGI_PYTHON_THREADS": "3",
        "WSGI_PYTHON_LOG_OUTPUT": "false", "WSGI_PYTHON_KEEPALIVE": "1m",
    })
    assert len(server.urls) == 2 and "with 3 threads" in server.log
    assert json.loads(server.get("/").body)["site.name"] == "two words"
    assert "GET /" not in server.log
    assert serve("pages:app", "--threads", "2", variables={"WSGI_PYTHON_THREADS": "3"}).log.count("with 2 threads") == 1


def test_a_wrong_variable_is_named():
    result = run("pages:app", WSGI_PYTHON_MAX_SIZE="x")
    assert result.stderr == "wsgi-python: WSGI_PYTHON_MAX_SIZE cannot be 'x' (allowed: a whole number)\n"
    result = run("pages:app", WSGI_PYTHON_BIND="'")
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1


def test_the_application_may_be_a_variable(serve):
    result = run("--check", WSGI_PYTHON_APP="pages:app")
    assert result.returncode == 0


def test_a_hosting_platform_sets_the_port(serve):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = serve("pages:app", bind=None, variables={"PORT": str(port)})
    assert server.urls == [f"http://0.0.0.0:{port}"]


@pytest.mark.parametrize("port", ["abc", "65536", "-1", "80 "])
def test_a_wrong_port_of_the_platform_is_one_line(port):
    for flags in ((), ("--check",)):
        result = run("pages:app", *flags, PORT=port)
        assert (result.returncode, result.stderr) == (2, f"wsgi-python: PORT cannot be {port!r} (allowed: a port, 0 to 65535)\n")


def test_access_lines_in_every_format(serve, folder):
    formats = {
        "common": r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:[\d:]{8} [+-]\d{4}\] "GET /\?a HTTP/1\.1" 200 6',
        "combined": r'127\.0\.0\.1 - - \[.*\] "GET /\?a HTTP/1\.1" 200 6 "-" "an \\"agent\\""',
        "eventlet": r'127\.0\.0\.1 - - \[.*\] "GET /\?a HTTP/1\.1" 200 6 0\.\d{6}',
        "%(status_code)d %({X-A}i)s": "200 -",
    }
    for name, pattern in formats.items():
        log = folder / "access"
        server = serve("pages:app", "--access-log", str(log), "--log-format", name)
        assert server.get("/?a", User_Agent='an "agent"').status == 200
        eventually(lambda: log.read_text(), "a line")
        assert re.fullmatch(pattern + "\n", log.read_text()), (name, log.read_text())
        assert "GET /" not in server.log
        log.unlink()


def test_json_access_lines_are_json(serve):
    server = serve("pages:app", "--log-format", "json", "--access-log", "-")
    with server.connect() as client:
        client.get("/?a", User_Agent='an "agent"\\ \xe9\t')
        client.send("\x16\x03\x01 no request\r\n\r\n")
        client.rest()
    first, second = (json.loads(server.wait_for_log(rf'(?m)^{{.*"status": {status},.*}}$')[0]) for status in (200, 400))
    assert (first["peer"], first["request"], first["status"], first["bytes"]) == ("127.0.0.1", "GET /?a HTTP/1.1", 200, 6)
    assert first["agent"] == 'an "agent"\\ \xe9' and first["referer"] == "-" and first["seconds"] >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", first["time"])
    assert second["status"] == 400 and second["request"].startswith("\x16\x03\x01")


def test_the_log_may_be_a_file(serve, folder):
    log = folder / "log.txt"
    log.write_text("kept\n")
    server = serve("bad:app", "--log", str(log))
    server.get("/raises")
    eventually(lambda: "RuntimeError: failed" in log.read_text() and '"GET /raises HTTP/1.1" 500' in log.read_text(), "lines")
    assert log.read_text().startswith("kept\n") and "RuntimeError" not in server.log


def test_access_lines_can_be_dropped(serve):
    server = serve("pages:app", "--access-log", "none")
    assert server.get("/").status == 200
    assert server.stop() == 0
    assert "GET /" not in server.log and "wsgi exited" in server.log


def test_the_limits_are_those_for_public_addresses(serve):
    server = serve("pages:app")
    with server.connect() as client:
        client.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 16777217\r\n\r\n")
        assert client.read().status == 413
    assert serve("pages:app", "--limit", "fields=3").get("/", A="1", B="2", C="3").status == 431


def edit(file: Path, text: str) -> None:
    before = file.stat().st_mtime_ns
    file.write_text(text)
    if file.stat().st_mtime_ns == before:
        os.utime(file, ns=(before + 1_000_000, before + 1_000_000))


PAGE = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"{text}"]
"""


def test_reload_serves_the_changed_application(serve, folder):
    page, extra = folder / "page.py", folder / "extra.txt"
    page.write_text(PAGE.format(text="first"))
    extra.write_text("")
    server = serve("page:app", "--reload", "--reload-extra-file", "extra.txt", cwd=folder)
    assert server.get("/").body == b"first"
    for text in ("second", "third"):
        edit(page, PAGE.format(text=text))
        server.wait_for_log(r"page\.py has changed; restarting")
        # No connection is refused meanwhile.
        eventually(lambda: server.get("/").body == text.encode(), f"{text}: {server.log}")
    edit(page, "def app(:\n")
    server.wait_for_log("cannot import page: SyntaxError")
    edit(page, PAGE.format(text="mended"))
    eventually(lambda: server.log.count(" serves page:app") == 4, lambda: server.log)
    assert server.get("/").body == b"mended"
    edit(extra, "changed")
    server.wait_for_log("extra.txt has changed; restarting")
    # A signal that arrives during a restart stops it, too.
    assert server.stop() == 0


@pytest.mark.parametrize("delay", [0, 0.05, 0.1, 0.2, 0.4])
def test_reload_stops_at_any_time(serve, delay):
    server = serve("pages:app", "--reload", ready=False)
    # The parent handles signals before it has a child.
    eventually(lambda: children(server.process.pid), "a child")
    time.sleep(delay)
    assert server.stop() == 0


def children(process):
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_reload_stops_with_one_signal(serve, number):
    server = serve("pages:app", "--reload")
    assert server.get("/").status == 200
    child = int(re.search(r"process (\d+)\)", server.log)[1])
    assert child != server.process.pid
    assert server.stop(number) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_the_child_of_reload_ends_with_its_parent(serve):
    server = serve("pages:app", "--reload")
    child = int(re.search(r"process (\d+)\)", server.log)[1])
    server.process.kill()

    def gone():
        try:
            return Path(f"/proc/{child}/stat").read_text().split(")")[1].split()[0] == "Z"
        except FileNotFoundError:
            return True

    eventually(gone, "the child ends")


def test_the_package_runs_with_every_warning_as_an_error():
    result = subprocess.run([sys.executable, "-W", "error", "-X", "dev", "-m", "wsgi_python", "pages:app", "--check"],
                            cwd=APPS, env=environment(), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
