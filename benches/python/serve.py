"""Starts a server that has no command with the options that the comparison needs: `serve.py SERVER MODULE PORT`.

Each of them writes no log, and may have as many connections in its queue as the others.
"""

import importlib
import sys

HOST, BACKLOG = "127.0.0.1", 4096


def bjoern(application, port):
    import bjoern

    bjoern.run(application, HOST, port, listen_backlog=BACKLOG)


def eventlet(application, port):
    import eventlet
    import eventlet.wsgi

    listener = eventlet.listen((HOST, port), backlog=BACKLOG)
    eventlet.wsgi.server(listener, application, log_output=False, max_size=16384)


def fastpysgi(application, port):
    import fastpysgi

    fastpysgi.server.backlog = BACKLOG
    fastpysgi.server.init(application, HOST, port)
    fastpysgi.server.run()


def fastwsgi(application, port):
    import fastwsgi

    fastwsgi.server.backlog = BACKLOG
    fastwsgi.server.init(application, HOST, port)
    fastwsgi.server.run()


SERVERS = {start.__name__: start for start in (bjoern, eventlet, fastpysgi, fastwsgi)}

if __name__ == "__main__":
    name, module, port = sys.argv[1:]
    SERVERS[name](importlib.import_module(module).application, int(port))
