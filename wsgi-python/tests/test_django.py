"""Django: an application over real sockets, and Django's own live server tests on this server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def server(serve):
    # The usual name `application` need not be written.
    return serve("djangos")


def test_pages(server):
    with server.connect() as client:
        assert client.get("/").text == "Hello, World!"
        page = json.loads(client.get("/echo/%C3%A9?a=b").body)
        assert page == {"post": {}, "files": {}, "path": "/echo/é", "get": {"a": "b"}, "secure": False}
        form = client.get("/echo/x", "POST", b"a=1&b=%20", Content_Type="application/x-www-form-urlencoded")
        assert json.loads(form.body)["post"] == {"a": "1", "b": " "}
        assert client.get("/stream").text == "0\n1\n2\n3\n4\n"
        assert client.get("/file").body == (Path(__file__).parent / "apps/djangos.py").read_bytes()
        assert client.get("/nowhere").status == 404
        client.send("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert client.read().status == 400


def test_errors_are_logged_and_not_shown(server):
    response = server.get("/fail")
    assert response.status == 500 and b"secret" not in response.body
    server.wait_for_log("RuntimeError: secret of the application")


def test_the_live_server_tests_of_django_run_on_this_server(folder):
    result = subprocess.run(
        [sys.executable, "-m", "django", "test", "live_server", "--verbosity", "2"], cwd=Path(__file__).parent / "apps",
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "live_settings", "PYTHONPATH": os.environ["PYTHONPATH"] + ":."},
        capture_output=True, text=True, timeout=120,
    )
    assert result.returncode == 0 and "Ran 4 tests" in result.stderr, result.stdout + result.stderr
