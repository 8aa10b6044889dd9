#!/usr/bin/env python3
"""HTTPS with the echo server: features that must work, and clients that abort the handshake, stall, or do not use TLS.

usage: handshakes.py --cmd "target/release/echo --runtime tokio --listen 127.0.0.1:0"
                     [--only NAME,NAME] [--clients 1000] [--cert FILE --key FILE]

Each test starts a fresh server, reads `listening on ADDRESS` from its standard output, and adds `--tls-cert`,
`--tls-key` (of a certificate that `openssl` makes, unless one is given), `--handshake-timeout 2` and
`--graceful-timeout 10`. The rules are in RULES. In addition, after each test an honest client is served, the server has
the same descriptors as before (Linux: they are counted in /proc/PID/fd), on SIGTERM it ends with status 0 and cuts no
connection, and its log has only access lines and the server's start and end.

Prints one JSON line per test; exit status 0: all rules held.
"""
import argparse
import json
import os
import random
import re
import resource
import select
import shlex
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

RULES = {
    "answers": "/environ shows https and on; keep-alive, pipelining, a POST of 16 MB, HEAD, TLS 1.2 and 1.3; after `Connection: "
               "close` close_notify follows",
    "pieces": "a client whose bytes arrive one at a time is served, including the handshake",
    "curl": "curl -k is served (if curl is installed)",
    "large": "a response of 100 MB arrives whole, twice on one connection",
    "disconnects": "clients that disconnect in the middle of a response, in every way, do no harm",
    "breaks": "clients that abort the handshake in every way: an honest one still gets all its answers, p99 < 1 s",
    "stalls": "clients that stall in the handshake are disconnected within 2 + 3 s; an honest one still gets all its answers, p99 < 1 s",
    "crowded": "--max-size 8, 8 clients in the application, 32 more: these wait, and all are served",
    "last_moment": "30 times SIGTERM, every second time on one processor: a request sent just before it on an idle connection is answered whole; one "
                   "sent after it is answered whole or not at all, and then not in the access log",
    "stop": "on SIGTERM requests in flight are answered whole, with close_notify; idle clients get close_notify; handshakes are "
            "not waited for",
}
# How long the server may take to listen.
START = 15.0
HANDSHAKE, GRACE = 2.0, 10.0
# How much later than `--handshake-timeout` a stalling client may be disconnected.
LATE = 3.0
# How long descriptors may take to be closed, and an idle thread to end.
SETTLE = 8.0
# A thread that waits for a socket keeps a pipe for wake-ups.
SPARE = 2
LANES = 64
# How often a server is stopped at the last moment.
ROUNDS = 30
# The minimum time of aborted handshakes, so that there are enough honest requests to judge.
WHILE = 3.0
HUGE = 100 << 20
# The log has no other lines when debug lines are off.
GOOD_LINE = re.compile(rb"\(\d+\) wsgi starting up on https://|\(\d+\) wsgi exited, \d+ finished and 0 cut |\S+ - - \[")
RESET = struct.pack("ii", 1, 0)


class Failure(Exception):
    """A rule was broken."""


def need(holds, why):
    if not holds:
        raise Failure(why)


# ---------------------------------------------------------------- the server

class Server:
    def __init__(self, command, certificate, more=(), alone=False):
        def pin():
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
        self.log = tempfile.TemporaryFile()
        flags = ["--tls-cert", certificate[0], "--tls-key", certificate[1], "--handshake-timeout", str(HANDSHAKE),
                 "--graceful-timeout", str(GRACE), *more]
        self.process = subprocess.Popen(shlex.split(command) + flags, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        preexec_fn=pin if alone and hasattr(os, "sched_setaffinity") else None)
        said, _, _ = select.select([self.process.stdout], [], [], START)
        line = self.process.stdout.readline() if said else ""
        if not line.startswith("listening on "):
            said = self.text()[-300:]
            self.close()
            raise Failure("the server did not start: %r %r" % (line, said))
        host, _, port = line.split()[-1].rpartition(":")
        self.address = (host.strip("[]"), int(port))
        self.context = context(certificate[0])

    def text(self):
        """The log; the server's write position is not changed."""
        return os.pread(self.log.fileno(), os.fstat(self.log.fileno()).st_size, 0)

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def ends(self, timeout):
        """Requires that it ends, with status 0."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure("after SIGTERM the server had not ended within %.1f s" % timeout) from None
        need(status == 0, "after SIGTERM the server ended with status %d" % status)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()


def context(certificate, version=None):
    made = ssl.create_default_context(cafile=certificate)
    made.check_hostname = False
    if version:
        made.minimum_version = made.maximum_version = version
    return made


def certificate(folder):
    """A self-signed certificate for localhost, and its key."""
    need(shutil.which("openssl"), "openssl is not installed to make a certificate; pass --cert and --key")
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                           "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    need(made.returncode == 0, "openssl made no certificate: %s" % made.stderr[-300:])
    return cert, key


# ---------------------------------------------------------------- the clients

def connect(server, timeout=15.0, receive=None):
    """A connection without TLS."""
    sock = socket.socket(socket.AF_INET6 if ":" in server.address[0] else socket.AF_INET)
    if receive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    sock.settimeout(timeout)
    sock.connect(server.address)
    return sock


class Client:
    """An honest client, which notices an end of the stream without close_notify."""

    def __init__(self, server, tls=None, **options):
        plain = connect(server, **options)
        try:
            self.sock = (tls or server.context).wrap_socket(plain, suppress_ragged_eofs=False)
        except BaseException:
            plain.close()
            raise
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def ask(self, target, method="GET", *fields):
        lines = ["%s %s HTTP/1.1" % (method, target), "Host: localhost", *fields, "", ""]
        self.sock.sendall("\r\n".join(lines).encode())

    def fill(self):
        more = self.sock.recv(1 << 17)
        need(more, "the connection ended in the middle of an answer")
        self.data += more

    def head(self):
        """The status and the fields of an answer."""
        while b"\r\n\r\n" not in self.data:
            self.fill()
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def answer(self, bodyless=False):
        """The status, the fields and the body of an answer."""
        status, fields = self.head()
        length = 0 if bodyless else int(fields["content-length"])
        while len(self.data) < length:
            self.fill()
        body, self.data = self.data[:length], self.data[length:]
        return status, fields, body

    def skip(self, count):
        """Reads and drops the given number of bytes of an answer, and checks that they are those of /big."""
        while count:
            if not self.data:
                self.fill()
            part, self.data = self.data[:count], self.data[count:]
            need(part.count(b"x") == len(part), "the answer has foreign bytes")
            count -= len(part)

    def ends(self):
        """Requires that the stream ends here with close_notify."""
        need(not self.data, "unexpected bytes after the answer: %r" % self.data[:60])
        try:
            more = self.sock.recv(1000)
        except ssl.SSLEOFError:
            raise Failure("the connection ended without close_notify") from None
        need(not more, "unexpected bytes after the answer: %r" % more[:60])


def visit(server, tls=None):
    """A new client with one request, until the end of its connection."""
    with Client(server, tls) as client:
        client.ask("/early", "GET", "Connection: close")
        status, fields, body = client.answer()
        need((status, body, fields.get("connection")) == (200, b"early\n", "close"), "answered %r" % ((status, fields, body),))
        client.ends()


class Honest:
    """Clients that send requests between enter and exit: one on one connection, one with a new connection per request."""

    def __init__(self, server):
        self.server, self.over = server, threading.Event()
        self.times, self.failures = [], []

    def __enter__(self):
        self.threads = [threading.Thread(target=self.visits), threading.Thread(target=self.stays)]
        for thread in self.threads:
            thread.start()
        return self

    def time(self, work):
        begun = time.monotonic()
        try:
            work()
            self.times.append(time.monotonic() - begun)
        except (Failure, OSError, ValueError, KeyError) as failure:
            self.failures.append(repr(failure))
        self.over.wait(0.005)

    def visits(self):
        while not self.over.is_set():
            self.time(lambda: visit(self.server))

    def stays(self):
        try:
            with Client(self.server) as client:
                def once():
                    client.ask("/early")
                    got = client.answer()
                    need((got[0], got[2]) == (200, b"early\n"), "answered %r" % (got,))
                while not self.over.is_set() and len(self.failures) < 10:
                    self.time(once)
        except (Failure, OSError) as failure:
            self.failures.append(repr(failure))

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def judge(self):
        times = sorted(self.times)
        need(not self.failures, "%d of %d honest requests failed: %s" % (
            len(self.failures), len(self.failures) + len(times), self.failures[:1]))
        p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
        need(p99 < 1, "p99 of honest requests is %.2f s" % p99)
        return {"honest": len(times), "p50_ms": round(times[len(times) // 2] * 1000, 1), "p99_ms": round(p99 * 1000, 1)}


def hello():
    """The first bytes of a client."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    half = tls.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    try:
        half.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


class Pieces:
    """A TLS client that sends all its bytes one at a time."""

    def __init__(self, server):
        self.sock = connect(server)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = server.context.wrap_bio(self.into, self.out)

    def run(self, call):
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                self.push()
                more = self.sock.recv(1 << 16)
                self.into.write(more) if more else self.into.write_eof()

    def push(self):
        for byte in self.out.read():
            self.sock.send(bytes([byte]))

    def ask(self, text):
        self.tls.write(text)
        self.push()

    def rest(self):
        """The plaintext until close_notify."""
        data = b""
        while True:
            try:
                more = self.run(lambda: self.tls.read(1 << 16))
            except ssl.SSLZeroReturnError:
                return data
            if not more:
                return data
            data += more


def close(clients):
    for client in clients:
        client.sock.close()


def in_lanes(work, items):
    with ThreadPoolExecutor(LANES) as pool:
        return list(pool.map(work, items))


# ---------------------------------------------------------------- the tests

def answers(server, args):
    with Client(server) as client:
        client.ask("/environ")
        status, _, body = client.answer()
        environ = json.loads(body)
        need(status == 200 and (environ.get("wsgi.url_scheme"), environ.get("HTTPS")) == ("https", "on"),
             "wsgi.url_scheme is %r, HTTPS is %r" % (environ.get("wsgi.url_scheme"), environ.get("HTTPS")))
        need(environ.get("SERVER_PORT") == str(server.address[1]), "SERVER_PORT is %r" % environ.get("SERVER_PORT"))
        for i in range(20):
            client.ask("/kept?i=%d" % i)
            status, _, body = client.answer()
            need(status == 200 and json.loads(body)["query"] == "i=%d" % i, "request %d was answered %d %r" % (i, status, body))
        text = "".join("GET /piped?i=%d HTTP/1.1\r\nHost: h\r\n\r\n" % i for i in range(50))
        client.sock.sendall(text.encode())
        for i in range(50):
            status, _, body = client.answer()
            need(status == 200 and json.loads(body)["query"] == "i=%d" % i, "pipelined %d was answered %d %r" % (i, status, body))
        client.ask("/early", "HEAD")
        status, fields, _ = client.answer(bodyless=True)
        need((status, fields.get("content-length")) == (200, "6"), "HEAD was answered %d %r" % (status, fields))
        size = 16 << 20
        client.ask("/sink", "POST", "Content-Length: %d" % size)
        client.sock.sendall(b"p" * size)
        status, _, body = client.answer()
        need((status, body) == (200, b"%d\n" % size), "a POST of 16 MB was answered %d %r" % (status, body))
        client.ask("/sink", "POST", "Transfer-Encoding: chunked")
        for _ in range(256):
            client.sock.sendall(b"10000\r\n" + b"c" * 65536 + b"\r\n")
        client.sock.sendall(b"0\r\n\r\n")
        status, _, body = client.answer()
        need((status, body) == (200, b"%d\n" % size), "a chunked POST of 16 MB was answered %d %r" % (status, body))
        client.ask("/sink", "POST", "Content-Length: 5", "Expect: 100-continue")
        status, _ = client.head()
        need(status == 100, "an expectation was answered %d" % status)
        client.sock.sendall(b"hello")
        status, _, body = client.answer()
        need((status, body) == (200, b"5\n"), "after 100 the answer was %d %r" % (status, body))
        client.ask("/early", "GET", "Connection: close")
        client.answer()
        client.ends()
    versions = []
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        tls = context(args.certificate[0], version)
        for _ in range(3):
            visit(server, tls)
        versions.append(version.name)
    # The end of a refused connection is also announced.
    with Client(server) as client:
        client.sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n")
        status, fields, _ = client.answer()
        need((status, fields.get("connection")) == (400, "close"), "two hosts were answered %d %r" % (status, fields))
        client.ends()
    # A client that sends close_notify first is answered.
    with Client(server) as client:
        client.ask("/early", "GET", "Connection: close")
        client.answer()
        plain = client.sock.unwrap()
        need(plain.recv(10) == b"", "data arrived after both had sent close_notify")
    return {"versions": versions}


def pieces(server, args):
    client = Pieces(server)
    try:
        client.run(client.tls.do_handshake)
        client.push()
        client.ask(b"POST /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" + b"GET /early HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        got = client.rest()
        need(got.count(b"HTTP/1.1 200 OK\r\n") == 2 and b"3\n" in got and got.endswith(b"early\n"), "the answer was %r" % got)
        return {}
    finally:
        client.sock.close()


def curl(server, args):
    if not shutil.which("curl"):
        return {"skipped": "curl is not installed"}
    host, port = server.address
    base = "https://%s:%d" % ("[%s]" % host if ":" in host else host, port)
    for options, wanted in ([["-k", base + "/early", base + "/early"], "early\nearly\n"],
                            [["--cacert", args.certificate[0], base + "/early"], "early\n"],
                            [["-k", "--tlsv1.2", "--tls-max", "1.2", base + "/early"], "early\n"],
                            [["-k", "-d", "12345", base + "/sink"], "5\n"],
                            [["-k", "--http2", base + "/early"], "early\n"]):
        ran = subprocess.run(["curl", "-sS", "--noproxy", "*", "-m", "10", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        need((ran.returncode, ran.stdout) == (0, wanted), "curl %s: status %d %r %r" % (options[:-1], ran.returncode, ran.stdout, ran.stderr))
    return {}


def large(server, args):
    begun = time.monotonic()
    with Client(server) as client:
        for target in ("/big", "/big"):
            client.ask("%s?n=%d" % (target, HUGE))
            status, fields = client.head()
            need((status, fields.get("content-length")) == (200, str(HUGE)), "head %d %r" % (status, fields))
            client.skip(HUGE)
        client.ask("/early", "GET", "Connection: close")
        need(client.answer()[2] == b"early\n", "out of step after a large answer")
        client.ends()
    return {"mib_a_second": round(2 * HUGE / (1 << 20) / (time.monotonic() - begun))}


def disconnects(server, args):
    def leave(i):
        way = i % 4
        client = Client(server, receive=16 << 10)
        client.ask("/big?n=%d" % HUGE)
        client.skip(len(client.data)) if client.head()[0] != 200 else client.fill()
        if way == 0:                        # without any message
            pass
        elif way == 1:                      # with a reset
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        elif way == 2:                      # with close_notify, without reading on
            client.sock.setblocking(False)
            try:
                client.sock.unwrap()
            except (ssl.SSLError, OSError):
                pass
        else:                               # half-closed, without close_notify
            socket.socket.shutdown(client.sock, socket.SHUT_WR)
            time.sleep(0.05)
        client.sock.close()
    with Honest(server) as honest:
        begun, count = time.monotonic(), 0
        while count < args.clients // 10 or time.monotonic() - begun < WHILE:
            in_lanes(leave, range(count, count + LANES))
            count += LANES
    return dict(honest.judge(), left=count)


FULL = hello()
HTTP = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
# The bytes of each client, and how it ends: "close", "reset", or "stay" until the server ends it.
BREAKS = {
    "nothing": (lambda rng: b"", "close"),
    "nothing, reset": (lambda rng: b"", "reset"),
    "half a hello": (lambda rng: FULL[:rng.randrange(1, len(FULL))], "close"),
    "half a hello, reset": (lambda rng: FULL[:rng.randrange(1, len(FULL))], "reset"),
    "a hello": (lambda rng: FULL, "close"),
    "a hello, reset": (lambda rng: FULL, "reset"),
    "a hello and noise": (lambda rng: FULL + rng.getrandbits(800).to_bytes(100, "big"), "stay"),
    "plain HTTP": (lambda rng: HTTP, "stay"),
    "plain HTTP, at length": (lambda rng: b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\n" + b"p" * 90000, "stay"),
    "noise": (lambda rng: rng.getrandbits(8 * 500).to_bytes(500, "big"), "stay"),
    "a large record": (lambda rng: b"\x16\x03\x01\xff\xff" + b"\1" * 70000, "stay"),
    "an alert": (lambda rng: b"\x15\x03\x01\0\2\2\x28", "stay"),
    "early data": (lambda rng: b"\x17\x03\x03\0\x20" + b"e" * 32, "stay"),
}


def breaks(server, args):
    served, late, outcomes = [], [], Counter()

    def break_off(i):
        rng = random.Random(i)
        name = list(BREAKS)[i % len(BREAKS)]
        data, end = BREAKS[name]
        try:
            sock = connect(server, timeout=HANDSHAKE + LATE)
        except OSError:
            outcomes["not connected"] += 1
            return
        try:
            sock.sendall(data(rng))
            if end == "stay":
                got = b""
                while True:
                    more = sock.recv(1 << 16)
                    if not more:
                        break
                    got += more
                if b"HTTP/1" in got:
                    served.append("%s: %r" % (name, got[:100]))
        except socket.timeout:
            late.append(name)
        except OSError:
            # The connection was reset, or closed while the client was still sending.
            pass
        if end == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()
        outcomes["broken off"] += 1
    with Honest(server) as honest:
        begun, count = time.monotonic(), 0
        while count < args.clients or time.monotonic() - begun < WHILE:
            in_lanes(break_off, range(count, count + LANES))
            count += LANES
    need(not served, "a client without TLS got an answer: %s" % served[:1])
    need(not late, "%d clients were not disconnected within %.0f s: %s" % (len(late), HANDSHAKE + LATE, Counter(late)))
    return dict(honest.judge(), **{name.replace(" ", "_"): count for name, count in outcomes.items()})


def stalls(server, args):
    waiting, slow, longest = {}, [], 0.0

    def begin(i):
        begun = time.monotonic()
        sock = connect(server)
        data = [b"", FULL[:5], FULL[:len(FULL) // 2], FULL[:-1], FULL][i % 5]
        sock.sendall(data)
        sock.setblocking(False)
        return sock, begun, i % 10 == 1
    with Honest(server) as honest:
        for sock, begun, trickles in in_lanes(begin, range(args.clients // 2)):
            waiting[sock.fileno()] = (sock, begun)
            if trickles:
                slow.append(sock)
        poll = select.poll()
        for fileno in waiting:
            poll.register(fileno, select.POLLIN)
        first = min(begun for _, begun in waiting.values())
        end, soonest, next_byte = max(begun for _, begun in waiting.values()) + HANDSHAKE + LATE + 1, 99.0, first
        sent = 5
        while waiting and time.monotonic() < end:
            for fileno, _ in poll.poll(100):
                sock, begun = waiting[fileno]
                try:
                    if sock.recv(1 << 16):
                        continue            # the server's part of the handshake
                except BlockingIOError:
                    continue
                except OSError:
                    pass
                took = time.monotonic() - begun
                longest, soonest = max(longest, took), min(soonest, took)
                poll.unregister(fileno)
                del waiting[fileno]
                sock.close()
            if time.monotonic() >= next_byte:
                # A few bytes do not make it an honest client.
                next_byte, sent = time.monotonic() + 0.3, sent + 1
                for sock in slow:
                    try:
                        sock.send(FULL[sent - 1:sent])
                    except OSError:
                        pass
        for sock, _ in waiting.values():
            sock.close()
    need(not waiting, "%d stalling clients are still connected" % len(waiting))
    need(longest < HANDSHAKE + LATE, "a stalling client was disconnected after %.2f s" % longest)
    need(soonest > HANDSHAKE - 0.2, "a client was disconnected after %.2f s, too early" % soonest)
    return dict(honest.judge(), stalled=args.clients // 2, let_go_s=[round(soonest, 2), round(longest, 2)])


def crowded(server, args):
    def wait(_):
        begun = time.monotonic()
        try:
            with Client(server) as client:
                client.ask("/sleep?ms=300", "GET", "Connection: close")
                status, _, body = client.answer()
                need((status, body) == (200, b"slept\n"), "answered %d %r" % (status, body))
                client.ends()
        except (Failure, OSError) as failure:
            faults.append(repr(failure))
        return time.monotonic() - begun
    faults = []
    times = in_lanes(wait, range(40))
    need(not faults, "%d of 40 were not served: %s" % (len(faults), faults[:1]))
    return {"waited_s": [round(min(times), 2), round(max(times), 2)]}


def last_moment(_, args):
    lost, refused, answered = [], 0, 0
    for number in range(ROUNDS):
        server, clients = Server(args.cmd, args.certificate, alone=number % 2), []
        try:
            for _ in range(24):
                clients.append(Client(server))
                clients[-1].ask("/early")
                clients[-1].answer()
            time.sleep(random.uniform(0.01, 0.04))
            # This way it notices the requests and the signal at the same time.
            server.process.send_signal(signal.SIGSTOP)
            time.sleep(0.002)
            for i, client in enumerate(clients):
                if i == len(clients) // 2:
                    server.terminate()
                    server.process.send_signal(signal.SIGCONT)
                try:
                    client.ask("/last?id=%d" % i)
                except OSError:
                    need(i >= len(clients) // 2, "an idle connection ended before SIGTERM")
            outcomes = []
            for client in clients:
                try:
                    status, fields, _ = client.answer()
                    outcomes.append(status == 200)
                    if fields.get("connection") == "close":
                        client.ends()
                except (Failure, OSError) as failure:
                    need(not client.data, "an answer was cut: %r" % failure)
                    outcomes.append(False)
            close(clients)
            server.ends(GRACE)
            logged = {int(one) for one in re.findall(rb"/last\?id=(\d+)", server.text())}
            half = len(clients) // 2
            lost += ["%d in round %d" % (half - i, number + 1) for i in range(half) if not outcomes[i]]
            unanswered = [i for i in logged if not outcomes[i]]
            need(not unanswered, "%d requests are in the access log, and were not answered" % len(unanswered))
            refused, answered = refused + outcomes[half:].count(False), answered + outcomes.count(True)
        finally:
            close(clients)
            server.close()
    need(not lost, "%d of %d requests sent before SIGTERM were not answered: the last but %s" % (
        len(lost), 12 * ROUNDS, ", the last but ".join(lost[:4])))
    return {"answered": answered, "sent_after_and_refused": refused}


def stop(server, args):
    stopping, outcomes, faults = threading.Event(), Counter(), []
    begun = Counter()

    def play(kind):
        try:
            with Client(server, receive=(16 << 10) if kind == "big" else None) as client:
                client.ask("/early")
                client.answer()
                if kind == "sleep":
                    client.ask("/sleep?ms=800")
                elif kind == "big":
                    client.ask("/big?n=%d" % (20 << 20))
                elif kind == "post":
                    client.ask("/sink", "POST", "Content-Length: 6")
                    client.sock.sendall(b"abc")
                elif kind == "half":
                    client.sock.sendall(b"GET /early HTTP/1.1\r\nHo")
                begun[kind] += 1
                stopping.wait(20)
                time.sleep(0.2)
                if kind == "idle":
                    client.ends()
                    outcomes[kind] += 1
                    return
                if kind == "post":
                    client.sock.sendall(b"def")
                elif kind == "half":
                    client.sock.sendall(b"st: h\r\n\r\n")
                status, fields = client.head()
                need(status == 200, "status %d" % status)
                length = int(fields["content-length"])
                if kind == "big":
                    while length:
                        part = min(length, 1 << 20)
                        client.skip(part)
                        length -= part
                        time.sleep(0.01)
                else:
                    need(fields.get("connection") == "close", "the answer lacks `Connection: close`")
                    client.data or client.fill()
                    wanted = {"sleep": b"slept\n", "post": b"6\n", "half": b"early\n"}[kind]
                    need(client.data == wanted, "the answer was %r" % client.data)
                    client.data = b""
                client.ends()
                outcomes[kind] += 1
        except (Failure, OSError, ValueError, KeyError) as failure:
            faults.append("%s: %r" % (kind, failure))
    kinds = ["sleep"] * 10 + ["big"] * 4 + ["post"] * 5 + ["half"] * 5 + ["idle"] * 5
    threads = [threading.Thread(target=play, args=(kind,)) for kind in kinds]
    for thread in threads:
        thread.start()
    # Handshakes that stall.
    stuck = [connect(server) for _ in range(6)]
    for i, sock in enumerate(stuck):
        sock.sendall([b"", FULL[:20], FULL][i % 3])
    end = time.monotonic() + 5
    while sum(begun.values()) < len(kinds) and time.monotonic() < end and not faults:
        time.sleep(0.01)
    time.sleep(0.2)
    server.terminate()
    at = time.monotonic()
    stopping.set()
    ended = []
    for sock in stuck:
        try:
            sock.settimeout(max(0.1, at + 1.5 - time.monotonic()))
            while sock.recv(1 << 16):
                pass
            ended.append(True)
        except socket.timeout:
            ended.append(False)
        except OSError:
            ended.append(True)
        sock.close()
    for thread in threads:
        thread.join()
    left = time.monotonic()
    need(not faults, "%d of %d clients: %s" % (len(faults), len(kinds), faults[:2]))
    need(all(ended), "%d handshakes were not closed" % ended.count(False))
    server.ends(GRACE)
    took = time.monotonic() - left
    need(took < 1, "the process ended %.2f s after the last client" % took)
    return {"answered": outcomes, "exit_s": round(time.monotonic() - at, 2)}


TESTS = {"answers": answers, "pieces": pieces, "curl": curl, "large": large, "disconnects": disconnects, "breaks": breaks,
         "stalls": stalls, "crowded": crowded, "last_moment": last_moment, "stop": stop}
FLAGS = {"crowded": ["--max-size", "8"]}


def run(name, args):
    server = Server(args.cmd, args.certificate, FLAGS.get(name, []))
    try:
        visit(server)
        time.sleep(0.1)
        base = server.descriptors()
        out = TESTS[name](server, args)
        if name != "stop":
            need(server.process.poll() is None, "the server ended with status %s" % server.process.poll())
            with Honest(server) as honest:
                time.sleep(0.5)
            honest.judge()
            end = time.monotonic() + SETTLE
            while server.descriptors() > base + SPARE and time.monotonic() < end:
                time.sleep(0.05)
            need(server.descriptors() <= base + SPARE, "%d descriptors before, %d after" % (base, server.descriptors()))
            server.terminate()
            server.ends(5)
        for line in server.text().split(b"\n"):
            need(not line or GOOD_LINE.match(line), "in the log: %r" % line[:300])
        return out
    finally:
        server.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cmd", required=True, help="command that starts the server")
    parser.add_argument("--only", help="comma-separated tests: " + ",".join(TESTS))
    parser.add_argument("--clients", type=int, default=1000, help="clients that abort the handshake (default: 1000)")
    parser.add_argument("--cert", help="a certificate to use instead of one made by openssl")
    parser.add_argument("--key", help="its key")
    args = parser.parse_args()
    names = args.only.split(",") if args.only else list(TESTS)
    unknown = [name for name in names if name not in TESTS]
    if unknown:
        parser.error("unknown test %s (expected: %s)" % (unknown[0], ", ".join(TESTS)))
    # Many threads share this interpreter; the honest ones must not wait for it.
    sys.setswitchinterval(0.0005)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            args.certificate = (args.cert, args.key) if args.cert and args.key else certificate(folder)
        except Failure as failure:
            print("error: %s" % failure)
            return 1
        for name in names:
            started, out, why = time.monotonic(), {}, None
            try:
                out = run(name, args)
            except (Failure, OSError, ValueError, KeyError) as failure:
                why = "%s: %s" % (type(failure).__name__, failure)
            failed += why is not None
            print(json.dumps({"test": name, "ok": why is None, **({"why": why} if why else out),
                              "seconds": round(time.monotonic() - started, 1)}), flush=True)
    print("passed %d of %d" % (len(names) - failed, len(names)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
