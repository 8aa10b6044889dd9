"""An application of Flask that describes each request in its response. Behind one proxy, as docs/python.md configures it."""
import hashlib

from flask import Flask, jsonify, request
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1)


@app.route("/number/<int:number>", methods=["GET", "POST"])
def described(number):
    digest = hashlib.sha256(request.get_data()).hexdigest()
    return jsonify(request.method, request.path, request.query_string.decode(), digest, request.remote_addr, request.scheme,
                   request.host)


@app.route("/stop/<int:number>", methods=["GET", "POST"])
def stop(number):
    return "%s %d bytes\n" % (request.path, len(request.get_data()))
