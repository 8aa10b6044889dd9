"""A Flask application: forms, uploads, sessions, streams, files, errors, WebSocket."""

import io

from flask import Flask, Response, abort, redirect, request, send_file, session, url_for
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server

app = Flask(__name__)
sock = Sock(app)
app.secret_key = "of the tests"
app.config["MAX_CONTENT_LENGTH"] = 8 * 1024 * 1024


@app.get("/")
def hello():
    return "Hello, World!"


@app.get("/who/<name>")
def who(name):
    return {"name": name, "arguments": request.args.to_dict(flat=False), "scheme": request.scheme, "host": request.host}


@app.post("/form")
def form():
    return {"form": request.form.to_dict(), "files": {name: len(file.read()) for name, file in request.files.items()}}


@app.post("/json")
def json():
    return {"double": request.get_json()["number"] * 2}


@app.get("/count")
def count():
    session["count"] = session.get("count", 0) + 1
    return str(session["count"])


@app.get("/stream")
def stream():
    def numbers():
        for number in range(5):
            yield f"{number}\n"

    return Response(numbers(), mimetype="text/plain")


@app.get("/file")
def file():
    return send_file(io.BytesIO(b"0123456789" * 1000), mimetype="text/plain", etag="x", conditional=True)


@app.get("/source")
def source():
    return send_file(__file__, conditional=True)


@app.get("/moved")
def moved():
    return redirect(url_for("hello"))


@app.get("/missing")
def missing():
    abort(404)


@app.get("/fail")
def fail():
    raise RuntimeError("secret of the application")


@sock.route("/socket")
def socket(websocket):
    while True:
        message = websocket.receive()
        if message == "close":
            return
        websocket.send(message)


@app.route("/plain-socket", websocket=True)
def plain_socket():
    """Without the extension, and with an answer that can no longer be sent."""
    websocket = Server.accept(request.environ)
    # The client of simple-websocket misses a message that arrives together with the 101.
    websocket.receive()
    websocket.send("hello")
    try:
        while True:
            websocket.send(websocket.receive())
    except ConnectionClosed:
        return "too late"


@app.route("/pinged-socket", websocket=True)
def pinged_socket():
    """It waits with a selector, because it sends pings."""
    websocket = Server.accept(request.environ, ping_interval=0.3, max_message_size=1 << 24)
    try:
        while True:
            websocket.send(websocket.receive())
    except ConnectionClosed:
        return ""
