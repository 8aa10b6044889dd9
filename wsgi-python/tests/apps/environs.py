"""Applications that show their environ."""

import gc
import json
import sys
import threading
import time
import weakref


def answer(start_response, value):
    body = json.dumps(value).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def strings(environ, start_response):
    return answer(start_response, {name: value for name, value in environ.items() if isinstance(value, str)})


def types(environ, start_response):
    simple = (str, int, bool, tuple)
    found = {name: str(value) if isinstance(value, simple) else type(value).__name__ for name, value in environ.items()}
    return answer(start_response, {**found, "environ": type(environ).__name__})


def marks(environ, start_response):
    found = {"site.name": environ.get("site.name"), "mark": environ.get("mark")}
    environ["mark"] = "left behind"
    environ["wsgi.version"] = environ["REQUEST_METHOD"] = None
    environ["eventlet.posthooks"].append((print, ("hook",), {"file": sys.stderr}))
    return answer(start_response, {**found, "count": len(environ["eventlet.posthooks"])})


def raw(environ, start_response):
    assert environ["headers_raw"] == environ["wsgi_python.exchange"].headers_raw
    return answer(start_response, [list(pair) for pair in environ["headers_raw"]])


def hooks(environ, start_response):
    def hook(environ, a, b):
        assert environ["REQUEST_METHOD"] == "GET"
        print(f"hook a={a} b={b}", file=sys.stderr)

    environ["eventlet.posthooks"].append((hook, (1,), {"b": 2}))
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hooks"]


def peer(environ, start_response):
    sock = environ["eventlet.input"].get_socket()
    start_response("200 OK", [])
    return [str(sock.getpeername()[1]).encode()]


def gone(environ, start_response):
    is_gone = environ["wsgi_python.client_gone"]
    assert not is_gone()
    print("waiting for the client to disconnect", file=sys.stderr)
    while not is_gone():
        time.sleep(0.01)
    print("the client has disconnected", file=sys.stderr)
    start_response("200 OK", [])
    return [b"nobody reads this"]


OBJECTS = ("wsgi.input", "wsgi.early_hints", "wsgi_python.exchange", "wsgi_python.client_gone", "eventlet.posthooks",
           "start_response")
kept = {}


def keeps(environ, start_response):
    """Keeps what the query names, and answers which objects of this request were kept before."""
    objects = {**environ, "start_response": start_response}
    found = [name for name in OBJECTS if any(objects[name] is one for one in kept.values())]
    name = environ["QUERY_STRING"]
    if name in objects:
        kept[name] = objects[name]
    if name == "environ":
        kept[name] = environ
    if name == "write":
        kept[name] = start_response("200 OK", [])
        return [json.dumps(found).encode()]
    return answer(start_response, found)


def counts(environ, start_response):
    """Answers how many exchanges there are, by their methods."""
    exchange = type(environ["wsgi_python.exchange"])
    methods = [one for one in gc.get_objects() if type(one) is type(start_response) and type(one.__self__) is exchange]
    return answer(start_response, len({id(method.__self__) for method in methods}))


class Thing:
    """Something that a weak reference can refer to."""


def watch(name, thing):
    """Writes to the log when nothing but the collector of cycles refers to a thing any more."""
    reference = weakref.ref(thing)

    def wait():
        end = time.monotonic() + 10
        while reference() is not None and time.monotonic() < end:
            time.sleep(0.01)
            gc.collect()
        print(f"{name} is {'kept' if reference() else 'gone'}", file=sys.stderr, flush=True)

    threading.Thread(target=wait, daemon=True).start()


def leaves(environ, start_response):
    """Leaves things in its environ that no request needs after the response."""
    things = {"hook": Thing(), "cycle": Thing()}
    for name, thing in things.items():
        watch(name, thing)
    # A cycle keeps the environ longer than the response.
    things["cycle"].environ = environ
    environ["cycle"] = things["cycle"]
    environ["eventlet.posthooks"].append((lambda environ, thing: None, (things["hook"],), {}))
    start_response("200 OK", [("Content-Length", "4")])
    return (block for block in (b"le", b"ft")) if environ["QUERY_STRING"] else [b"left"]


def finds(environ, start_response):
    """The first request ends, and then a thread finds its exchange on the heap. The second one answers what that led to."""
    kind = type(environ["wsgi_python.exchange"])
    if not kept:
        kept["exchange"] = None

        def find():
            time.sleep(0.2)
            methods = [one for one in gc.get_objects() if type(one) is type(print) and type(one.__self__) is kind]
            kept["exchange"] = methods[0].__self__
            calls = ("client_gone", "variables", "early_hints", "start_response", "write")
            arguments = {"early_hints": ([],), "start_response": ("200 OK", []), "write": (b"",)}
            for name in calls:
                try:
                    getattr(kept["exchange"], name)(*arguments.get(name, ()))
                except BaseException as error:
                    kept[name] = type(error).__name__
            print("the exchange was found", file=sys.stderr, flush=True)

        threading.Thread(target=find).start()
        return answer(start_response, [])
    return answer(start_response, {**kept, "exchange": kept["exchange"] is environ["wsgi_python.exchange"]})


def uses(environ, start_response):
    """Uses the objects of the first request during the second one."""
    if not kept:
        kept.update(environ, start_response=start_response)
        return answer(start_response, [])
    calls = {
        "input": lambda: kept["wsgi.input"].read(),
        "early_hints": lambda: kept["wsgi.early_hints"]([("Link", "</a>")]),
        "start_response": lambda: kept["start_response"]("404 Not Found", []),
    }
    found = {"client_gone": kept["wsgi_python.client_gone"](), "body": environ["wsgi.input"].read().decode()}
    for name, call in calls.items():
        try:
            call()
        except Exception as error:
            found[name] = type(error).__name__
    return answer(start_response, found)
