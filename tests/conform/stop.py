#!/usr/bin/env python3
"""Stop the echo server by SIGTERM while it is busy, many times: no request that has begun may be lost.

usage: stop.py --cmd "target/release/echo --runtime tokio --listen 127.0.0.1:0"
               [--rounds 200] [--clients 50] [--cut-every 10] [--seed N]

Each round starts a fresh server and reads `listening on ADDRESS` from its standard output. Half of the servers run on
a single processor where the system allows that. The script adds `--graceful-timeout` and `--debug true` (the log then
shows which connections were accepted). Requests carry a number that identifies them in the access log.

In most rounds the clients send without a pause: sequential GETs, bodies in two parts with a pause, answers of 1 and
6 MB that are read slowly, requests whose application sleeps, pipelined pairs, connections for one request. Some are
idle, some have sent half a head, and complete it after the stop, and some send a request just before SIGTERM or just
after it. SIGTERM follows after 50 to 150 ms, and the clients continue. In half of the rounds the server is suspended
(SIGSTOP) while the last requests and SIGTERM arrive, so that it finds all of them at the same time. Then

* a request gets its whole answer if at least one byte of it was sent before SIGTERM, even if its connection was still in
  the queue of the listener then;
* any other request without an answer gets no byte of one, and is not in the access log: it can be sent again;
* a request after an answer with `Connection: close` gets no answer, and is not in the access log either;
* a request completed well after SIGTERM is answered with `Connection: close`, followed by an orderly end;
* an idle connection ends in order, not before SIGTERM, and at most KEPT after its last answer;
* the process ends with status 0 within `--graceful-timeout`, immediately after the last client has disconnected, and
  reports that no connection was cut.

Every tenth round (`--cut-every`) has requests that do not end, and `--graceful-timeout 0.5`: the process ends within
2 s with status 0, and reports the exact numbers of finished and cut connections.

Prints a JSON line for each violation (the first 5 of a kind), one for each kind of round, and the number of violations
of each kind; exit status 0: no violation.
"""
import argparse
import asyncio
import json
import os
import random
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter

# How long the server may take to listen.
START = 15.0
GRACE, SHORT_GRACE = 5.0, 0.5
# How much longer than the graceful timeout the exit may take: connections that were cut have a second to notice it.
SLACK = 1.5
# How long an idle connection may stay open after its last answer, when the server stops.
KEPT = 1.0
# What an idle connection may take beyond that, and the process after the last client has disconnected.
PROMPT = 1.0
# After this time the server has noticed the signal.
NOTICED = 0.25
# A round that takes longer hangs.
ROUND = 20.0
# More than the kernel accepts at a time, so that the server is in the middle of it at SIGTERM.
BIG, HUGE = 1_000_000, 6_000_000
# The number of violations of one kind that are shown.
SHOWN = 5
# The allowed log lines: start and end, debug lines of connections that were accepted or cut, access lines.
GOOD_LINE = re.compile(rb"\(\d+\) (wsgi starting up on|accepted|aborted by the server|wsgi exited,) |\S+ - - \[")
REPORT = re.compile(rb"wsgi exited, (\d+) finished and (\d+) cut after the stop")


class Failure(Exception):
    """The server did not start."""


# ---------------------------------------------------------------- the server

class Server:
    def __init__(self, command, grace, processor=None):
        def pin():
            os.sched_setaffinity(0, {processor})
        self.log = tempfile.TemporaryFile()
        argv = shlex.split(command) + ["--graceful-timeout", str(grace), "--debug", "true"]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        preexec_fn=None if processor is None else pin)
        said, _, _ = select.select([self.process.stdout], [], [], START)
        line = self.process.stdout.readline() if said else ""
        if not line.startswith("listening on "):
            self.process.kill()
            self.process.wait()
            raise Failure("the server did not start: %r %r" % (line, self.text()[-300:]))
        host, _, port = line.split()[-1].rpartition(":")
        self.address = (host.strip("[]"), int(port))
        self.stopped_at = self.ended = None
        self.waiter = threading.Thread(target=self.wait, daemon=True)
        self.waiter.start()

    def wait(self):
        self.process.wait()
        self.ended = time.monotonic()

    def terminate(self):
        """Sends SIGTERM; bytes sent before the time `stopped_at` were sent before it."""
        self.stopped_at = time.monotonic()
        self.process.send_signal(signal.SIGTERM)

    def text(self):
        """The log; the server's write position is not changed."""
        size = os.fstat(self.log.fileno()).st_size
        return os.pread(self.log.fileno(), size, 0)

    def accepted(self):
        """The ports of the clients whose connections were accepted."""
        return {int(port) for port in re.findall(rb"\) accepted \S+:(\d+)", self.text())}

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.waiter.join(10)
        self.process.stdout.close()
        self.log.close()


# ---------------------------------------------------------------- a connection

class Ended(Exception):
    """The connection ended; `how`: "closed" in order, or "reset"."""

    def __init__(self, how):
        super().__init__(how)
        self.how = how


class Line:
    def __init__(self, sock):
        self.sock, self.data = sock, bytearray()
        self.port = sock.getsockname()[1]
        # Whether part of the connection was answered already, which proves that it was accepted.
        self.used = False

    async def send(self, data):
        try:
            await asyncio.get_running_loop().sock_sendall(self.sock, data)
        except OSError:
            raise Ended("reset") from None

    async def fill(self):
        try:
            more = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 17)
        except OSError:
            raise Ended("reset") from None
        if not more:
            raise Ended("closed")
        self.data += more

    async def head(self):
        """The status and fields of the next head, which is removed."""
        while True:
            end = self.data.find(b"\r\n\r\n")
            if end >= 0:
                break
            await self.fill()
        first, *lines = self.data[:end].decode("latin-1").split("\r\n")
        del self.data[:end + 4]
        self.used = True
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split()[1]), fields

    async def end(self):
        """How the connection ends, or the bytes received instead."""
        try:
            await self.fill()
        except Ended as end:
            return end.how
        return "followed by %r" % bytes(self.data[:60])

    def close(self):
        self.sock.close()


class Request:
    """One request: when it was sent, and its outcome."""

    def __init__(self, number, kind, line, behind=None):
        self.number, self.kind, self.line, self.behind = number, kind, line, behind
        # When its first and its last part had been sent.
        self.began = self.sent = None
        # "whole", "cut", "wrong", "closed" or "reset" without a byte, "hung".
        self.outcome, self.note, self.close = "hung", "", False
        self.fresh = not line.used


# ---------------------------------------------------------------- a round

class Round:
    """The common part of both kinds: the requests of all clients, and the violations."""

    def __init__(self, command, grace, rng):
        self.rng, self.grace = rng, grace
        self.requests, self.faults, self.tally = [], [], Counter()
        # How long the process took to end after the last client had disconnected.
        self.lag = None
        self.stopped = asyncio.Event()
        # On one processor the server reads new bytes late, which is when a stop might overlook them.
        processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
        self.server = Server(command, grace, rng.choice(processors + [None] * len(processors)) if processors else None)

    async def open(self, receive=None):
        """A connection, or None when it was refused."""
        family = socket.AF_INET6 if ":" in self.server.address[0] else socket.AF_INET
        sock = socket.socket(family)
        sock.setblocking(False)
        if receive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        try:
            await asyncio.get_running_loop().sock_connect(sock, self.server.address)
        except OSError as error:
            sock.close()
            if not self.stopped.is_set():
                self.faults.append("a connection was refused before the stop: %s" % error)
            self.tally["connections refused"] += self.stopped.is_set()
            return None
        return Line(sock)

    def begin(self, kind, line, behind=None):
        request = Request(len(self.requests), kind, line, behind)
        self.requests.append(request)
        return request

    async def send(self, request, parts, pause):
        """Sends the parts, with a pause between them; a part that cannot be sent may still be answered."""
        try:
            for number, part in enumerate(parts):
                if number:
                    await pause()
                await request.line.send(part)
                if not number:
                    request.began = time.monotonic()
        except Ended:
            request.note = "it could not be sent; "
        request.sent = time.monotonic()

    async def receive(self, request, wanted, pause=None):
        """Reads the answer. True: the connection can be used again."""
        line, begun = request.line, False
        try:
            status, fields = await line.head()
            begun = True
            while status == 100:
                status, fields = await line.head()
            request.close = fields.get("connection", "").lower() == "close"
            length, seen = int(fields["content-length"]), b""
            if isinstance(wanted, int):
                odd = 0
                while length:
                    if not line.data:
                        await line.fill()
                        if pause:
                            await pause()
                    part = line.data[:length]
                    odd += len(part) - part.count(b"x")
                    del line.data[:len(part)]
                    length -= len(part)
                right = fields["content-length"] == str(wanted) and not odd
            else:
                while len(line.data) < length:
                    await line.fill()
                seen = bytes(line.data[:length])
                del line.data[:length]
                right = wanted in seen
            if status != 200 or not right:
                request.outcome, request.note = "wrong", "status %d %r" % (status, seen[:200])
                return False
            request.outcome = "whole"
        except Ended as end:
            request.outcome = "cut" if begun or line.data else end.how
            request.note += "the connection was %s" % end.how
            return False
        except (ValueError, KeyError, IndexError) as error:
            request.outcome, request.note = "wrong", repr(error)
            return False
        if request.close:
            how = await line.end()
            if how != "closed":
                self.faults.append("%s: the connection was %s after an answer with `Connection: close`" % (request.kind, how))
            return False
        return True

    def judge_log(self):
        """Checks the log for unexpected lines; returns its report."""
        text = self.server.text()
        for line in text.split(b"\n"):
            if line and not GOOD_LINE.match(line) or b"panicked" in line:
                self.faults.append("in the log: %r" % line[:300])
        found = REPORT.findall(text)
        if len(found) != 1:
            self.faults.append("%d reports in the log instead of one" % len(found))
            return None
        return tuple(map(int, found[0]))

    async def wait_for_exit(self, bound):
        end = self.server.stopped_at + bound
        while self.server.ended is None and time.monotonic() < end:
            await asyncio.sleep(0.002)
        if self.server.ended is None:
            self.faults.append("the process had not ended %.1f s after SIGTERM" % bound)
            return None
        code = self.server.process.returncode
        if code != 0:
            self.faults.append("exit status %s" % code)
        return self.server.ended - self.server.stopped_at


class Busy(Round):
    """SIGTERM under load."""

    # Requests that are sent just before SIGTERM, and just after it.
    ready = ()

    async def run(self, clients):
        self.ready = []
        getters = [self.get, self.post, self.chunked, self.expect, self.read_slowly, self.sleep, self.pair, self.big_pair,
                   self.slow_pair, self.get]
        tasks = [self.keep_alive(getters[i % len(getters)]) for i in range(clients - clients // 5)]
        tasks += [self.once() for _ in range(clients // 5)]
        tasks += [self.idle(True) for _ in range(4)] + [self.idle(False) for _ in range(2)]
        tasks += [self.last_moment() for _ in range(16)]
        tasks += [self.half_a_head(used) for used in (True, True, True, False, False)]
        tasks = [asyncio.ensure_future(task) for task in tasks]
        await asyncio.sleep(self.rng.uniform(0.05, 0.15))
        self.rng.shuffle(self.ready)
        half = len(self.ready) // 2
        freezes = self.rng.random() < 0.5
        if freezes:
            # This way it notices the requests and the signal at the same time.
            self.server.process.send_signal(signal.SIGSTOP)
            time.sleep(0.002)
        for request in self.ready[:half]:
            self.send_at_once(request)
        self.stopped.set()
        self.server.terminate()
        if freezes:
            self.server.process.send_signal(signal.SIGCONT)
        for request in self.ready[half:]:
            self.send_at_once(request)
        done, late = await asyncio.wait(tasks, timeout=ROUND)
        left = time.monotonic()
        for task in late:
            task.cancel()
        for task in done:
            if task.exception():
                self.faults.append("the client failed: %r" % task.exception())
        if late:
            self.faults.append("%d clients are still waiting" % len(late))
            await asyncio.wait(late)
        took = await self.wait_for_exit(self.grace + SLACK)
        if took is not None:
            self.lag = max(0.0, self.server.ended - left)
            if self.lag > PROMPT:
                self.faults.append("the process ended %.2f s after the last client had disconnected" % self.lag)
        report = self.judge_log()
        if report and report[1]:
            self.faults.append("%d connections were cut" % report[1])
        if took is not None:
            accepted = self.server.accepted()
            logged = {int(number) for number in re.findall(rb"[?&]id=(\d+)", self.server.text())}
            for request in self.requests:
                fault = self.judge(request, accepted, logged)
                if fault:
                    self.faults.append("request %d (%s): %s; %s" % (request.number, request.kind, fault, request.note))
        return took

    def judge(self, request, accepted, logged):
        """The violation of one request, if any; otherwise counts the request."""
        stopped_at = self.server.stopped_at
        if request.outcome == "whole":
            self.tally["answered whole"] += 1
            self.tally["completed after SIGTERM"] += request.sent > stopped_at
            if request.number not in logged:
                return "answered, but not in the access log"
            if request.sent > stopped_at + NOTICED and not request.close:
                return "completed %.3f s after SIGTERM without `Connection: close` in the answer" % (request.sent - stopped_at)
            return None
        if request.outcome in ("cut", "wrong", "hung"):
            return "the answer was %s" % request.outcome
        if request.number in logged:
            return "in the access log, but not answered"
        if request.behind and (request.behind.close or request.behind.outcome != "whole"):
            self.tally["behind a close"] += 1
            return None
        if request.began is None or request.began >= stopped_at:
            if request.sent < stopped_at:
                return "its connection ended before SIGTERM"
            self.tally["sent after SIGTERM and refused"] += 1
            return None
        age = "not answered, and sent %.1f ms before SIGTERM" % ((stopped_at - request.began) * 1000)
        if request.behind:
            return age + " after an answer without `Connection: close`"
        if not request.fresh or request.line.port in accepted:
            return age + " on an accepted connection" + ("" if request.fresh else " and used before")
        return age + " on a connection that was never accepted"

    # ------------------------------------------------------------ the clients

    async def keep_alive(self, exchange):
        """One exchange after another, on as few connections as possible, until the server has ended."""
        while True:
            line = await self.open(16 << 10 if exchange in (self.read_slowly, self.big_pair) else None)
            if not line:
                return
            try:
                while await exchange(line):
                    await asyncio.sleep(0)
            finally:
                line.close()

    async def once(self):
        """A new connection for each request."""
        while True:
            line = await self.open()
            if not line:
                return
            try:
                await self.get(line, "once", self.rng.choice(["Connection: close\r\n", ""]))
            finally:
                line.close()
            await asyncio.sleep(0.002)

    async def get(self, line, kind="get", more=""):
        request = self.begin(kind, line)
        await self.send(request, [self.head("GET", "/get", request, more)], None)
        return await self.receive(request, b'id=%d"' % request.number)

    async def post(self, line):
        request = self.begin("post", line)
        head, early = self.head("POST", "/sink", request, "Content-Length: 3000\r\n"), self.rng.choice([0, 1000])
        await self.send(request, [head + b"b" * early, b"b" * (3000 - early)], self.short)
        return await self.receive(request, b"3000")

    async def chunked(self, line):
        request = self.begin("chunked", line)
        head = self.head("POST", "/sink", request, "Transfer-Encoding: chunked\r\n")
        await self.send(request, [head + b"3e8\r\n" + b"c" * 500, b"c" * 500 + b"\r\n0\r", b"\n\r\n"], self.short)
        return await self.receive(request, b"1000")

    async def expect(self, line):
        request = self.begin("expect", line)
        head = self.head("POST", "/sink", request, "Content-Length: 10\r\nExpect: 100-continue\r\n")
        await self.send(request, [head, b"0123456789"], self.short)
        return await self.receive(request, b"10")

    async def read_slowly(self, line):
        request = self.begin("big", line)
        size = self.rng.choice([BIG, HUGE])
        await self.send(request, [self.head("GET", "/big?n=%d" % size, request)], None)
        return await self.receive(request, size, self.now_and_then)

    async def sleep(self, line):
        request = self.begin("sleep", line)
        await self.send(request, [self.head("GET", "/sleep?ms=%d" % self.rng.choice([1, 20, 50]), request)], None)
        return await self.receive(request, b"slept")

    async def pair(self, line):
        return await self.two(line, "pair", "/get", None)

    async def big_pair(self, line):
        return await self.two(line, "big pair", "/big?n=%d" % HUGE, HUGE, self.now_and_then)

    async def slow_pair(self, line):
        return await self.two(line, "slow pair", "/sleep?ms=20", b"slept")

    async def two(self, line, kind, target, wanted, pause=None):
        """Two requests in one piece, so that the server reads both at the same time."""
        first = self.begin(kind + ", first", line)
        second = self.begin(kind + ", second", line, first)
        both = self.head("GET", target, first) + self.head("GET", "/get", second)
        await self.send(first, [both], None)
        second.began, second.sent, second.fresh = first.began, first.sent, first.fresh
        goes_on = await self.receive(first, wanted or b'id=%d"' % first.number, pause)
        if not goes_on:
            second.outcome = "closed"
            return False
        return await self.receive(second, b'id=%d"' % second.number)

    async def half_a_head(self, used):
        """A head that is completed after the stop."""
        line = await self.open()
        if not line:
            return
        try:
            if used and not await self.get(line):
                return
            request = self.begin("half a head", line)
            head = self.head("GET", "/get", request)
            cut = self.rng.randrange(1, len(head))
            await self.send(request, [head[:cut], head[cut:]], self.until_after_the_stop)
            await self.receive(request, b'id=%d"' % request.number)
        finally:
            line.close()

    async def last_moment(self):
        """A request on a connection that is in use and idle, as close to SIGTERM as can be."""
        line = await self.open()
        if not line:
            return
        try:
            if await self.get(line) and not self.stopped.is_set():
                request = self.begin("last moment", line)
                self.ready.append(request)
                await self.stopped.wait()
                await self.receive(request, b'id=%d"' % request.number)
        finally:
            line.close()

    def send_at_once(self, request):
        try:
            request.line.sock.send(self.head("GET", "/get", request))
            request.began = time.monotonic()
        except OSError as error:
            request.note = "it could not be sent: %s; " % error
        request.sent = time.monotonic()

    async def idle(self, used):
        """A connection without a request, or without a further one."""
        line = await self.open()
        if not line:
            return
        try:
            if used and not await self.get(line):
                return
            how = await line.end()
            if not self.stopped.is_set():
                self.faults.append("an idle connection was %s before the stop" % how)
            elif used and how != "closed":
                self.faults.append("an idle connection was %s at the stop" % how)
            elif time.monotonic() - self.server.stopped_at > KEPT + PROMPT:
                self.faults.append("an idle connection was closed %.1f s after SIGTERM" % (time.monotonic() - self.server.stopped_at))
            self.tally["idle connections closed"] += how == "closed"
        finally:
            line.close()

    def head(self, method, target, request, more=""):
        joint = "&" if "?" in target else "?"
        return ("%s %s%sid=%d HTTP/1.1\r\nHost: stop\r\n%s\r\n" % (method, target, joint, request.number, more)).encode()

    async def short(self):
        await asyncio.sleep(self.rng.uniform(0.001, 0.03))

    async def now_and_then(self):
        if self.rng.random() < 0.1:
            await asyncio.sleep(self.rng.uniform(0.001, 0.01))

    async def until_after_the_stop(self):
        await self.stopped.wait()
        await asyncio.sleep(self.rng.choice([0, 0.001, 0.02, 0.1, NOTICED + 0.05]))


class Endless(Round):
    """SIGTERM while there are requests that do not end."""

    async def run(self, _clients):
        rng, some = self.rng, self.rng.randrange
        plan = [(self.cut, b"GET /sleep?ms=60000 HTTP/1.1\r\nHost: h\r\n\r\n", some(1, 13)),
                (self.cut, b"GET /get HTTP/1.1\r\nHo", some(4)),
                (self.cut, b"POST /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n123", some(4)),
                (self.cut, b"GET /big?n=50000000 HTTP/1.1\r\nHost: h\r\n\r\n", some(4)),
                (self.cut, b"GET /get HTTP/1.1\r\nHost: h\r\n\r\nGET /sleep?ms=60000 HTTP/1.1\r\nHost: h\r\n\r\n", some(3)),
                (self.idle, None, some(1, 9)),
                (self.finite, None, some(1, 5))]
        rng.shuffle(plan)
        tasks = [asyncio.ensure_future(client(data)) for client, data, count in plan for _ in range(count)]
        to_cut = sum(count for client, _, count in plan if client == self.cut)
        end = time.monotonic() + 5
        while len(self.server.accepted()) < len(tasks) and time.monotonic() < end:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.15)
        self.stopped.set()
        self.server.terminate()
        took = await self.wait_for_exit(self.grace + SLACK)
        done, late = await asyncio.wait(tasks, timeout=5)
        for task in late:
            task.cancel()
        if late:
            self.faults.append("%d clients are still waiting" % len(late))
            await asyncio.wait(late)
        for task in done:
            if task.exception():
                self.faults.append("the client failed: %r" % task.exception())
        if took is not None and took < self.grace:
            self.faults.append("the process ended %.3f s after SIGTERM, before the deadline" % took)
        report, wanted = self.judge_log(), (len(tasks) - to_cut, to_cut)
        if report and report != wanted:
            self.faults.append("the report says %d finished and %d cut, expected %d and %d" % (report + wanted))
        self.tally["connections cut"] += to_cut
        self.tally["connections finished"] += len(tasks) - to_cut
        return took

    async def cut(self, data):
        line = await self.open(4096)
        if not line:
            return
        try:
            await line.send(data)
            await self.server_gone()
            # The bytes in transit are still received; then the end, of any kind.
            while True:
                line.data.clear()
                await line.fill()
        except Ended:
            pass
        finally:
            line.close()

    async def server_gone(self):
        while self.server.ended is None:
            await asyncio.sleep(0.01)

    async def idle(self, _):
        line = await self.open()
        if not line:
            return
        try:
            await line.send(b"GET /early HTTP/1.1\r\nHost: h\r\n\r\n")
            while not line.data.endswith(b"early\n"):
                await line.fill()
            line.data.clear()
            how = await line.end()
            if how != "closed" or not self.stopped.is_set() or self.server.ended is not None:
                self.faults.append("an idle connection was %s, %s SIGTERM" % (how, "after" if self.stopped.is_set() else "before"))
        except Ended as end:
            self.faults.append("an idle client's first request was %s" % end.how)
        finally:
            line.close()

    async def finite(self, _):
        """A request that the application has at SIGTERM, and that ends before the deadline."""
        line = await self.open()
        if not line:
            return
        try:
            while not self.stopped.is_set() and len(self.server.accepted()) == 0:
                await asyncio.sleep(0.01)
            request = self.begin("finite", line)
            await self.send(request, [b"POST /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n1", b"2"], self.a_little)
            await self.receive(request, b"2\n")
            if request.outcome != "whole" or not request.close:
                self.faults.append("a request that ended before the deadline was %s %s" % (request.outcome, request.note))
        finally:
            line.close()

    async def a_little(self):
        await self.stopped.wait()
        await asyncio.sleep(SHORT_GRACE / 3)


def same(fault):
    """A violation without its variable parts."""
    return re.sub(r"\d+(\.\d+)?", "N", fault.split("; ")[0])


class Sums:
    """The totals of all rounds of one kind."""

    def __init__(self):
        self.rounds = self.violations = 0
        self.exits, self.lags, self.tally = [], [], Counter()

    def add(self, play, took):
        self.rounds += 1
        self.violations += len(play.faults)
        self.tally += play.tally
        self.exits += [took] if took is not None else []
        self.lags += [play.lag] if play.lag is not None else []

    def line(self):
        exits = [round(took, 3) for took in sorted(self.exits)] or [None]
        line = {"rounds": self.rounds, "violations": self.violations, "exit_s_median": exits[len(exits) // 2], "exit_s_longest": exits[-1]}
        if self.lags:
            line["exit_after_last_client_s_longest"] = round(max(self.lags), 3)
        return dict(line, **{name.replace(" ", "_"): count for name, count in sorted(self.tally.items())})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cmd", required=True, help="command that starts the server")
    parser.add_argument("--rounds", type=int, default=200, help="servers that are started and stopped (default: 200)")
    parser.add_argument("--clients", type=int, default=50, help="clients that send without a pause (default: 50)")
    parser.add_argument("--cut-every", type=int, default=10, help="every Nth round has requests that do not end; 0: none")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random choices (default: 1)")
    args = parser.parse_args()
    kinds, shown, failed = {}, Counter(), 0
    for number in range(1, args.rounds + 1):
        cuts = args.cut_every > 0 and number % args.cut_every == 0
        sums = kinds.setdefault("cut" if cuts else "stop", Sums())

        async def play():
            kind, grace = (Endless, SHORT_GRACE) if cuts else (Busy, GRACE)
            one = kind(args.cmd, grace, random.Random("%d/%d" % (args.seed, number)))
            try:
                sums.add(one, await one.run(args.clients))
                return one.faults
            finally:
                one.server.close()
        try:
            faults = asyncio.run(play())
        except (Failure, OSError) as failure:
            print("error: %s" % failure)
            return 1
        failed += bool(faults)
        for fault in faults:
            shown[same(fault)] += 1
            if shown[same(fault)] <= SHOWN:
                print(json.dumps({"round": number, "violation": fault}), flush=True)
    for name, sums in kinds.items():
        print(json.dumps({"kind": name, **sums.line()}), flush=True)
    for fault, count in shown.most_common():
        print(json.dumps({"violation": fault, "times": count}), flush=True)
    print("passed %d of %d rounds" % (args.rounds - failed, args.rounds))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
