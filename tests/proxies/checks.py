"""The checks. Each gets a `Run` and returns its result as one line, or raises `Failed` with that line."""
import base64
import collections
import contextlib
import gzip
import hashlib
import json
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import threading
import time

import page
from client import Client, Lost
from programs import HOST, START, Apache, Control, Echo, Missing, Program, find, free_port, wait_until

# Threads that send requests. More of them would only wait for the processor.
CLIENTS = 8
# How many causes of a failure are shown.
SHOWN = 3


class Failed(Exception):
    """The check failed."""


class Skipped(Exception):
    """The check cannot run here; the text is the reason."""


class Run:
    """The settings of a run, and the programs that it has started."""

    def __init__(self, options, folder):
        self.options, self.folder, self.quick = options, folder, options.quick
        self.programs = []

    def start(self, kind, *arguments, **named):
        program = kind(self.folder, *arguments, **named)
        self.programs.append(program)
        return program

    def echo(self, port=None, flags=()):
        return self.start(Echo, self.options.echo, self.options.runtime, port or free_port(), flags)

    def end(self, *programs):
        for program in programs or self.programs[::-1]:
            program.end()
            self.programs.remove(program)

    @contextlib.contextmanager
    def behind(self, kind, **named):
        """A proxy with two servers behind it, which are ended afterwards."""
        servers = [self.echo(), self.echo()]
        started = [*servers]
        try:
            proxy = self.start(kind, [server.port for server in servers], **named)
            started.append(proxy)
            yield proxy, servers
        finally:
            self.end(*started[::-1])


def spread(count, work, clients=CLIENTS):
    """Calls `work(number, client)` for all numbers below `count`, on several threads. The faults, as (number, text)."""
    faults, lock = [], threading.Lock()

    def some(first, address):
        with Client(address) as client:
            for number in range(first, count, clients):
                try:
                    fault = work(number, client)
                except Lost as lost:
                    fault = "no answer: %s" % lost
                except (ValueError, KeyError) as error:
                    fault = "not the expected answer: %r" % error
                if fault:
                    with lock:
                        faults.append((number, fault))

    threads = [threading.Thread(target=some, args=(first, work.address)) for first in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return faults


def to(address):
    """Gives the work of `spread` the address that its clients connect to."""
    def mark(work):
        work.address = address
        return work
    return mark


def verdict(line, faults, proxy):
    if not faults:
        return line
    kinds = collections.Counter(text for _, text in faults)
    shown = "; ".join("%d × %s" % (count, text) for text, count in kinds.most_common(SHOWN))
    said = [text for text in proxy.errors() if "rror" in text][-1:] if proxy else []
    raise Failed("%s; %d faults: %s%s" % (line, len(faults), shown, "; the proxy's log: " + said[0] if said else ""))


# ---------------------------------------------------------------- requests and bodies

def requests(run, kind):
    """GET and POST on kept connections: each answer describes its own request."""
    count = 2 * (250 if run.quick else 10_000)
    with run.behind(kind) as (proxy, _):
        @to((HOST, proxy.port))
        def exchange(number, client):
            target = "/number/%d?q=%d" % (number, number * 7)
            method, body = ("POST", b"number=%d&" % number * (number % 50 + 1)) if number % 2 else ("GET", None)
            answer = client.request(method, target, body, [("X-Number", number)])
            if answer.status != 200:
                return "%s: status %d" % (method, answer.status)
            description = json.loads(answer.body)
            fields = {name.upper().replace("-", "_").removeprefix("HTTP_"): value for name, value in description["headers"].items()}
            seen = (description["method"], description["path"] + "?" + description["query"], base64.b64decode(description["body_base64"]),
                    fields["X_NUMBER"], fields["X_FORWARDED_FOR"])
            if seen != (method, target, body or b"", str(number), HOST):
                return "%s: another request was answered" % method
            return None

        faults = spread(count, exchange)
        line = "%d GET and %d POST: %d answered as sent" % (count // 2, count // 2, count - len(faults))
        return verdict(line, faults, proxy)


def bodies(run, kind):
    """Uploads and downloads of varied sizes, with a length and chunked, compared by their hash."""
    count = 80 if run.quick else 1200
    edges = [size + step for size in (1, 4096, 8192, 16384, 32768, 65536, 131072, 1 << 20) for step in (-1, 0, 1)]
    chance = random.Random(run.options.seed)
    sizes = [edges[number // 3 % len(edges)] if number % 3 == 0 else int(2 ** chance.uniform(0, 20)) for number in range(count)]
    source = chance.randbytes(2 << 20)
    with run.behind(kind) as (proxy, _):
        @to((HOST, proxy.port))
        def exchange(number, client):
            size, start = sizes[number], number * 37 % (1 << 20) // 2
            body = source[start:start + size]
            if number % 4 == 3:
                answer = client.request("GET", "/big%s?n=%d" % (("", "-chunked")[number % 8 == 7], size))
                return None if (answer.status, answer.body) == (200, b"x" * size) else "another body was received"
            if number % 4 == 2:
                answer = client.request("PUT", "/", chunks=[body[at:at + 50_000] for at in range(0, size, 50_000)])
            else:
                answer = client.request("PUT", "/", body)
            if answer.status != 200:
                return "status %d" % answer.status
            description = json.loads(answer.body)
            same = hashlib.sha256(base64.b64decode(description["body_base64"])).digest() == hashlib.sha256(body).digest()
            return None if same and description["body_length"] == size else "another body was sent on"

        faults = spread(count, exchange)
        line = "%d bodies of 0 to %d bytes, %d MB: %d the same" % (
            count, max(sizes), sum(sizes) // 1_000_000, count - len(faults))
        return verdict(line, faults, proxy)


# ---------------------------------------------------------------- early answers

def early(run, kind, **named):
    """The application answers without reading the upload. The control answers as early and then reads everything."""
    count = 4 if run.quick else 100
    control, servers = run.start(Control), [run.echo()]
    started = [control, *servers]
    try:
        if kind is None:
            ports = {"server": servers[0].port, "control": control.port}
            proxy = None
        else:
            through = [run.start(kind, [port, port], **named) for port in (servers[0].port, control.port)]
            started += through
            ports = {"server": through[0].port, "control": through[1].port}
            proxy = through[0]
        parts, faults = [], []
        for megabytes in (3, 20) if run.quick else (3, 5, 20):
            body = bytes(megabytes * 1_000_000)
            lost = {}
            for name, port in ports.items():
                @to((HOST, port))
                def exchange(number, client):
                    # A proxy may close its side after such an answer without announcing it. That concerns the next request.
                    client.close()
                    status = (413, 401)[number % 2]
                    answer = client.request("POST", "/status/%d" % status, body)
                    return None if answer.status == status else "status %d" % answer.status

                lost[name] = spread(count, exchange, 2)
            ours, theirs = len(lost["server"]), len(lost["control"])
            parts.append("%d MB %d (%d)" % (megabytes, ours, theirs))
            # Where the proxy itself loses some, chance decides how many.
            if ours > theirs + 3 * theirs ** 0.5:
                faults += lost["server"]
        return verdict("answers lost of %d, in brackets those of the control: %s" % (count, ", ".join(parts)), faults, proxy)
    finally:
        run.end(*started[::-1])


# ---------------------------------------------------------------- another protocol

def upgrade(run, kind):
    """A connection that the application takes over carries bytes both ways through the proxy."""
    count = 5 if run.quick else 50
    with run.behind(kind) as (proxy, _):
        @to((HOST, proxy.port))
        def exchange(number, _):
            with Client((HOST, proxy.port)) as client:
                answer = client.request("GET", "/upgrade", fields=[("Connection", "Upgrade"), ("Upgrade", "echo")])
                if answer.status != 101 or answer.fields.get("upgrade") != "echo":
                    return "status %d, Upgrade %s" % (answer.status, answer.fields.get("upgrade"))
                for sent in (b"GET / HTTP/1.1\r\n\r\n", b"\0\1\2", random.Random(number).randbytes(500_000)):
                    sending = threading.Thread(target=client.sock.sendall, args=(sent,))
                    sending.start()
                    echoed = client.take(len(sent))
                    sending.join()
                    if echoed != sent:
                        return "other bytes were sent back"
            return None

        faults = spread(count, exchange, 2)
        return verdict("%d connections taken over: %d echo" % (count, count - len(faults)), faults, proxy)


# ---------------------------------------------------------------- PROXY protocol

def proxy_flag(echo):
    """The flag of `echo` that requires the PROXY protocol from an address, if it has one."""
    result = subprocess.run([echo, "--help"], capture_output=True, text=True, timeout=START)
    found = re.search(r"--proxy-protocol[a-z-]*", result.stdout)
    return found and found.group()


def proxy_protocol(run, kind, **named):
    """The address of the client, not that of the proxy, is in the environ and in the log."""
    flag = proxy_flag(run.options.echo)
    if not flag:
        raise Skipped("echo has no flag --proxy-protocol…")
    count = 5 if run.quick else 50
    plain, listed = run.echo(), run.echo(flags=[flag, HOST])
    proxy = run.start(kind, [plain.port, plain.port], stream=listed.port, **named)
    faults, sources = [], ["127.0.0.%d" % (2 + number) for number in range(count)]
    for number, source in enumerate(sources):
        with Client((HOST, proxy.stream_port), source=source) as client:
            try:
                for _ in range(3):
                    description = json.loads(client.request("GET", "/environ").body)
                    port = client.sock.getsockname()[1]
                    if (description["REMOTE_ADDR"], description["REMOTE_PORT"]) != (source, str(port)):
                        faults.append((number, "REMOTE_ADDR and REMOTE_PORT are not the client's"))
            except (Lost, ValueError, KeyError) as error:
                faults.append((number, "no answer: %r" % error))
    # The log is written a moment later than the answer.
    wait_until(lambda: sum("/environ" in text for text in listed.requests()) >= 3 * len(sources))
    logged = collections.Counter(text.split()[0].split(":")[0] for text in listed.requests() if "/environ" in text)
    faults += [(number, "the log has another address") for number, source in enumerate(sources) if logged[source] != 3]
    line = "%d clients, each with its own address: %d seen" % (count, count - len({number for number, _ in faults}))
    return verdict(line, faults, proxy)


# ---------------------------------------------------------------- stops

ID = re.compile(r"(GET|POST) /stop/(\d+) (.*)")


class Load:
    """Clients that send GET and POST in turn until `end`; each request has a number that the logs show."""

    def __init__(self, address, clients):
        self.address = address
        self.sent, self.lost = collections.Counter(), {}
        self.number, self.lock, self.ended = 0, threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.client, args=(seed,)) for seed in range(clients)]
        for thread in self.threads:
            thread.start()

    def client(self, seed):
        chance = random.Random(seed)
        with Client(self.address) as client:
            while not self.ended.is_set():
                with self.lock:
                    self.number += 1
                    number = self.number
                method = ("GET", "POST")[chance.random() < 0.5]
                body = b"x" * chance.randrange(1, 3000) if method == "POST" else None
                try:
                    answer = client.request(method, "/stop/%d" % number, body)
                    right = answer.status == 200 and b"/stop/%d" % number in answer.body
                    fault = None if right else "status %d" % answer.status
                except Lost as lost:
                    fault = str(lost)
                with self.lock:
                    self.sent[method] += 1
                    if fault:
                        self.lost[number] = (method, fault)
                # Some connections are idle for a while, so that the proxy has idle ones to the servers.
                if chance.random() < 0.02:
                    time.sleep(chance.random() * 0.3)

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()


def stops(run, kind):
    """Under load, one of the two servers is stopped by SIGTERM and started again, in turn."""
    count = run.options.stops or (3 if run.quick else 100)
    with run.behind(kind) as (proxy, servers):
        load = Load((HOST, proxy.port), CLIENTS)
        faults, done = [], 0
        try:
            for number in range(count):
                which = number % 2
                # Also the other one: HAProxy holds a server for down if two of its checks fall into pauses like these, and
                # has none left if the other server stops before its next check.
                if not all(grows(server.log) for server in servers):
                    faults.append((number, "a server that was started again gets no requests"))
                    break
                time.sleep(0.1 + 0.2 * random.random())
                status = servers[which].end()
                if status != 0:
                    faults.append((number, "a stopped server ended with status %s" % status))
                time.sleep(0.1)
                servers[which].launch()
                done += 1
        finally:
            load.end()
        # The servers write their logs a moment later, at the latest when they end.
        for server in servers:
            server.end()
        line, lost = judge(load, done, [line for server in servers for line in server.requests()], proxy)
        # A server may close an idle connection just as the proxy sends a request on it. What no server has seen cannot be
        # answered, and a POST cannot be repeated. Apache repeats nothing.
        unseen = [text for _, text in lost if "server's" not in text and (kind is Apache or text.startswith("POST"))]
        allowed = max(1, done // 50)
        if len(unseen) == len(lost) <= allowed:
            lost = []
        return verdict(line, faults + lost, proxy)


def grows(log):
    """Whether the server writes its access log, which shows that it gets requests."""
    before, end = os.path.getsize(log), time.monotonic() + START
    while time.monotonic() < end:
        time.sleep(0.05)
        if os.path.getsize(log) > before:
            return True
    return False


def judge(load, done, server_log, proxy):
    """The line, and the faults: requests lost, POSTs that were done twice."""
    by_server, by_proxy = collections.Counter(), {}
    for line in server_log:
        if found := ID.search(line):
            by_server[int(found.group(2))] += 1
    if proxy:
        for line in proxy.requests():
            if found := ID.match(line):
                by_proxy[int(found.group(2))] = found.group(3)
    lost = collections.Counter(method for method, _ in load.lost.values())
    faults, named = [], collections.Counter()
    for number, (method, fault) in sorted(load.lost.items()):
        where = [name for name, log in (("server's", by_server), ("proxy's", by_proxy)) if number in log]
        where = "the %s log" % " and the ".join(where) if where else "no log"
        named[where] += 1
        faults.append((number, "%s, %s, named in %s" % (method, fault, where)))
    line = "%d stops, lost %d of %d GET and %d of %d POST" % (
        done, lost["GET"], load.sent["GET"], lost["POST"], load.sent["POST"])
    if named:
        line += ", in " + ", ".join("%s: %d" % item for item in named.items())
    twice = sum(count > 1 for number, count in by_server.items())
    return line + ", done twice: %d" % twice, faults


# ---------------------------------------------------------------- a listener that outlives the server

class Activated(Program):
    """A program that gets its listener from its parent, as systemd hands it over."""

    def __init__(self, folder, path, listener):
        self.log = pathlib.Path(folder) / ("activated-%d.log" % time.monotonic_ns())
        # The number of the process is known in the child alone; a shell sets it before it becomes the program.
        argv = ["sh", "-c", "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\"", path]
        super().__init__("socket_activation", argv, self.log, listener)


def activation(run):
    """The listener stays open while the program is stopped and started again: clients wait and are not refused."""
    path = run.options.example or pathlib.Path(run.options.echo).with_name("examples") / "socket_activation"
    if not os.access(path, os.X_OK):
        raise Skipped("%s is not built (cargo build --release -p wsgi-tokio --example socket_activation)" % path)
    count = run.options.stops or (3 if run.quick else 100)
    with socket.create_server((HOST, 0), backlog=1024) as listener:
        program = run.start(Activated, path, listener)
        logs, done = [program.log], 0
        load = Load(listener.getsockname(), CLIENTS)
        try:
            for _ in range(count):
                time.sleep(0.2 + 0.2 * random.random())
                run.end(program)
                if program.process.returncode != 0:
                    raise Failed("a stopped server ended with status %s" % program.process.returncode)
                program = run.start(Activated, path, listener)
                logs.append(program.log)
                done += 1
        finally:
            load.end()
            run.end(program)
        lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
        line, faults = judge(load, done, lines, None)
        return verdict(line, faults, None)


# ---------------------------------------------------------------- the other configurations of the page

def tool(name, package):
    try:
        return find(name, package)
    except Missing as missing:
        raise Skipped(str(missing)) from None


def units(run):
    """systemd accepts the units without a warning."""
    # A template is checked as an instance.
    return verify(run, {
        "site@8090.socket": page.block("site@.socket"),
        "site@8090.service": page.replaced("site@.service", [("/usr/local/bin/site", sys.executable)]),
    })


def verify(run, texts):
    """Has systemd read units, given as names with texts."""
    analyze = tool("systemd-analyze", "systemd")
    folder = pathlib.Path(run.folder) / "units"
    folder.mkdir(exist_ok=True)
    names = []
    for name, text in texts.items():
        names.append(folder / name)
        names[-1].write_text(text)
    result = subprocess.run([analyze, "verify", *map(str, names)], capture_output=True, text=True, timeout=START * 3)
    complaints = [line for line in (result.stdout + result.stderr).splitlines()
                  if any(name.partition(".")[0] + "." in line for name in texts)]
    if result.returncode or complaints:
        raise Failed("systemd-analyze: %s" % "; ".join(complaints or [result.stderr.strip()])[:400])
    return "the units are valid"


def rotation(run):
    """logrotate moves the lines of a server that goes on writing."""
    rotate = tool("logrotate", "logrotate")
    server, count = run.echo(), 200
    folder = pathlib.Path(run.folder)
    settings = folder / "logrotate.conf"
    # logrotate ignores a file that others may write.
    settings.write_text(page.replaced("logrotate", [("/var/log/site/*.log", str(server.log))]))
    settings.chmod(0o644)
    with Client((HOST, server.port)) as client:
        for number in range(count):
            client.request("GET", "/stop/%d" % number)
            if number in (count // 3, 2 * count // 3):
                # The last lines may not be written yet. Lines that logrotate itself loses are not the subject.
                wait_until(lambda: any("/stop/%d " % number in text for text in server.requests()))
                result = subprocess.run([rotate, "--force", "--state", str(folder / "logrotate.state"), str(settings)],
                                      capture_output=True, text=True, timeout=START)
                if result.returncode:
                    raise Failed("logrotate: %s" % result.stderr.strip()[:400])
    run.end(server)
    found = collections.Counter()
    parts = sorted(folder.glob(server.log.name + "*"))
    for part in parts:
        data = part.read_bytes()
        text = gzip.decompress(data) if part.suffix == ".gz" else data
        if b"\0" in text:
            raise Failed("%s has a hole" % part.name)
        found.update(int(match.group(2)) for match in map(ID.search, text.decode().splitlines()) if match)
    if len(parts) != 3 or found != collections.Counter(range(count)):
        raise Failed("%d of %d lines in %d files" % (sum(found.values()), count, len(parts)))
    return "%d lines in %d files, none lost" % (count, len(parts))
