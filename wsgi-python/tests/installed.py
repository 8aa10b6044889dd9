"""Serves one request of a Flask application by the installed command, and stops it, even while another request never ends.

`cargo xtask python` runs it. It is the test of the optimized library.
"""

import importlib.metadata
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

APPLICATION = """
from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello():
    return "Hello, World!"


@app.get("/never")
def never():
    while True:
        pass
"""


def main() -> None:
    program = Path(sys.executable).with_name("wsgi-python")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "hello.py").write_text(APPLICATION)
        server = subprocess.Popen(
            [program, "hello:app", "--bind", "127.0.0.1:0", "--graceful-timeout", "1"], cwd=folder, stderr=subprocess.PIPE, text=True
        )
        try:
            line = server.stderr.readline()
            url = re.search(r"http://\S+", line)
            assert url, line
            with urllib.request.urlopen(url[0], timeout=20) as response:
                body = response.read()
            assert body == b"Hello, World!", body
            host, port = url[0].removeprefix("http://").split(":")
            with socket.create_connection((host, int(port))) as client:
                client.sendall(b"GET /never HTTP/1.1\r\nHost: h\r\n\r\n")
                time.sleep(0.5)
                server.send_signal(signal.SIGTERM)
                assert server.wait(40) == 0, server.returncode
        finally:
            server.kill()
            server.communicate()
    files = {file.name for file in importlib.metadata.files("wsgi-python")}
    assert {"py.typed", "_native.pyi", "_native.abi3.so"} <= files, files
    print(f"wsgi-python {importlib.metadata.version('wsgi-python')} serves Flask on Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
