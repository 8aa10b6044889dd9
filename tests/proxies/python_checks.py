"""The checks of docs/python.md: a Flask application on `wsgi-python`, started as its unit does, behind nginx as the page has it."""
import collections
import hashlib
import json
import os
import pathlib
import random
import re
import shlex
import socket
import time

import page
from checks import CLIENTS, Failed, Load, judge, spread, to, verdict, verify
from programs import HOST, START, NotStarted, Program, PythonNginx

APPLICATION = "described:app"


def command(run):
    """The words of `ExecStart` in the unit, with the installed command and the application of this folder."""
    line = re.search(r"^ExecStart=(.*)$", page.block("site.service"), re.M).group(1)
    path, *flags, application = shlex.split(line)
    if not path.endswith("/bin/wsgi-python") or application != "hello:app":
        raise Failed("the unit starts `%s`" % line)
    return [os.path.abspath(run.options.python), *flags, "--log-x-forwarded-for", "--log-format", "eventlet", APPLICATION]


class Service(Program):
    """The unit, with the listener of its socket."""

    def __init__(self, folder, words, listener):
        self.log = pathlib.Path(folder) / ("python-%d.log" % time.monotonic_ns())
        # The number of the process is known in the child alone; a shell sets it before it becomes the program.
        script = 'exec 3<&0 </dev/null; cd "$0"; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
        folder = str(pathlib.Path(__file__).resolve().parent)
        super().__init__("wsgi-python", ["sh", "-c", script, folder, *words], self.log, listener)

    def launch(self, stdin):
        super().launch(stdin)
        # Before it handles signals, one ends it as any process.
        end = time.monotonic() + START
        while b" serves " not in self.log.read_bytes():
            if self.process.poll() is not None or time.monotonic() > end:
                text = self.log.read_text(errors="replace").strip()
                self.end()
                raise NotStarted("wsgi-python did not start: %s" % text[-400:])
            time.sleep(0.01)


def listen(run):
    """The socket of the unit, as systemd binds it."""
    path = pathlib.Path(run.folder) / ("site-%d.sock" % time.monotonic_ns())
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1024)
    return path, listener


def requests(run):
    """GET and POST through nginx: each answer describes its own request, with the address and scheme of the client."""
    words, count = command(run), 2 * (250 if run.quick else 10_000)
    path, listener = listen(run)
    with listener:
        service = run.start(Service, words, listener)
        proxy = run.start(PythonNginx, path)

        @to((HOST, proxy.port))
        def exchange(number, client):
            body = random.Random(number).randbytes(number * 40) if number % 2 else b""
            method = "POST" if number % 2 else "GET"
            answer = client.request(method, "/number/%d?q=%d" % (number, number * 7), body if number % 2 else None)
            if answer.status != 200:
                return "%s: status %d" % (method, answer.status)
            expected = [method, "/number/%d" % number, "q=%d" % (number * 7), hashlib.sha256(body).hexdigest(), HOST, "http",
                        "example.com"]
            return None if json.loads(answer.body) == expected else "%s: another request was answered" % method

        faults = spread(count, exchange)
        run.end(proxy)
        run.end(service)
        if service.process.returncode != 0:
            raise Failed("wsgi-python ended with status %s" % service.process.returncode)
        addresses = collections.Counter(line.split()[0] for line in service.log.read_text().splitlines() if "/number/" in line)
        if not faults and addresses != {"%s,unix" % HOST: count}:
            raise Failed("the access log has the clients %s" % dict(addresses))
        return verdict("%d GET and %d POST: %d answered as sent" % (count // 2, count // 2, count - len(faults)), faults, proxy)


def restarts(run):
    """The unit is stopped and started again under load: new requests wait in the queue of the socket."""
    words, count = command(run), run.options.stops or (3 if run.quick else 100)
    path, listener = listen(run)
    with listener:
        service = run.start(Service, words, listener)
        proxy = run.start(PythonNginx, path)
        logs, faults, done = [service.log], [], 0
        load = Load((HOST, proxy.port), CLIENTS)
        try:
            for number in range(count):
                time.sleep(0.2 + 0.2 * random.random())
                run.end(service)
                if service.process.returncode != 0:
                    faults.append((number, "wsgi-python ended with status %s" % service.process.returncode))
                service = run.start(Service, words, listener)
                logs.append(service.log)
                done += 1
            time.sleep(0.2)
        finally:
            load.end()
            run.end(service)
        line, lost = judge(load, done, [line for log in logs for line in log.read_text(errors="replace").splitlines()], proxy)
        # As behind `stops`: a POST that no server has seen and that nginx may not repeat.
        unseen = [text for _, text in lost if "server's" not in text and text.startswith("POST")]
        if len(unseen) == len(lost) <= max(1, done // 50):
            lost = []
        result = verdict(line, faults + lost, proxy)
        run.end(proxy)
        return result


def units(run):
    """systemd accepts the units without a warning."""
    words = command(run)
    # As in the unit, without the folders of the page.
    changes = [("/srv/site/environment/bin/wsgi-python", words[0]), ("WorkingDirectory=/srv/site\n", "WorkingDirectory=/\n")]
    return verify(run, {"site.socket": page.block("site.socket"), "site.service": page.replaced("site.service", changes)})
