#!/usr/bin/env python3
"""More clients than an echo server has room for: no accepted client is lost, and all others wait.

usage: crowding.py --cmd "target/release/echo --runtime tokio --listen 127.0.0.1:0" [--only NAME,NAME] [--scale F]

Each test starts a fresh server, reads `listening on ADDRESS` from its standard output, and adds `--debug true` (the
log then shows which connections were accepted) and, in some tests, `--max-size 8`. Requests carry a number that
identifies them in the access log. The rules are in RULES. In addition, after each test new clients are served, the
server has the same descriptors as before, its log has no unexpected lines, and on SIGTERM it ends with status 0.
Linux only: descriptors are counted in /proc/PID/fd.

Prints one JSON line per test; exit status 0: all rules held.
"""
import argparse
import asyncio
import json
import os
import random
import re
import resource
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter

RULES = {
    "idle": "--max-size 8, 40 idle clients: each new client is served; an idle one is open or was closed in order, those "
            "that waited longest first; the remaining ones are served",
    "slow_heads": "--max-size 8, 24 clients with half a head: each new client is served; the others get 408 and an end in "
                  "order, or are served when they complete it",
    "turns": "--max-size 8, 24 clients in turns for 3 s: each request is answered whole; while others wait, answers "
             "announce the end of their connection; no client starves",
    "burst": "--max-size 8, 40 new clients at once, whose requests arrive up to 50 ms later: all are served",
    "busy": "--max-size 8, 8 clients in the application, 32 more: these wait, and all get whole answers",
    "descriptors": "a limit of 64 descriptors, 200 connections: the server limits them and logs it, descriptors do not run "
                   "out, accepted clients are answered whole, and new clients are served within 5 s after all disconnected",
    "queue": "300 clients that reset or disconnect, and 50 with a request, all in the listener's queue: the 50 are answered whole",
    "queue_8": "the same with --max-size 8",
}
PLACES = 8
# How long the server may take to listen.
START = 15.0
# How long descriptors may take to be closed, and an idle thread to end.
SETTLE = 6.0
# A thread that waits for a socket keeps a pipe for wake-ups.
SPARE = 2
# Log lines that no client may cause.
BAD_LINE = re.compile(rb"panicked|the application failed|cannot accept connections|a post hook|a value in the environ|^error")
EXHAUSTED = re.compile(rb"cannot accept connections: [^\n]*\(os error 24\)")


class Failure(Exception):
    """A rule was broken."""


def need(holds, why):
    if not holds:
        raise Failure(why)


# ---------------------------------------------------------------- the server

class Server:
    def __init__(self, command, flags, descriptors=None):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
        self.log = tempfile.TemporaryFile()
        argv = shlex.split(command) + ["--debug", "true"] + flags
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        preexec_fn=limit if descriptors else None)
        said, _, _ = select.select([self.process.stdout], [], [], START)
        line = self.process.stdout.readline() if said else ""
        if not line.startswith("listening on "):
            self.close()
            raise Failure("the server did not start: %r" % line)
        host, _, port = line.split()[-1].rpartition(":")
        self.address = (host.strip("[]"), int(port))

    def text(self):
        """The log; the server's write position is not changed."""
        return os.pread(self.log.fileno(), os.fstat(self.log.fileno()).st_size, 0)

    def accepted(self):
        """The ports of the clients whose connections were accepted."""
        return {int(port) for port in re.findall(rb"\) accepted \S+:(\d+)", self.text())}

    def has_logged(self, number):
        return re.search(rb"[?&]id=%d\b" % number, self.text()) is not None

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Sends SIGTERM; returns the exit status."""
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(5)
        except subprocess.TimeoutExpired:
            return None

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()


# ---------------------------------------------------------------- the clients

numbers = iter(range(1, 1 << 40))


class Ended(Exception):
    """The connection ended before the answer was whole; `how`: "closed", "reset", "cut"."""


class Client:
    """One connection."""

    def __init__(self, server, sock):
        self.server, self.sock, self.data = server, sock, b""
        self.loop, self.port = asyncio.get_running_loop(), sock.getsockname()[1]

    @classmethod
    async def connect(cls, server):
        sock = socket.socket(socket.AF_INET6 if ":" in server.address[0] else socket.AF_INET)
        sock.setblocking(False)
        try:
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(sock, server.address), 5)
        except (OSError, asyncio.TimeoutError) as error:
            sock.close()
            raise Failure("a connection was refused: %r" % error) from None
        return cls(server, sock)

    async def ask(self, target="/get", method="GET", fields="", body=""):
        """Sends a request; returns its number."""
        number = next(numbers)
        joint = "&" if "?" in target else "?"
        text = "%s %s%sid=%d HTTP/1.1\r\nHost: crowding\r\n%s\r\n%s" % (method, target, joint, number, fields, body)
        await self.send(text)
        return number

    async def send(self, text):
        try:
            await self.loop.sock_sendall(self.sock, text.encode())
        except OSError:
            # An answer, if there was one, can still be read.
            pass

    async def fill(self, timeout):
        try:
            more = await asyncio.wait_for(self.loop.sock_recv(self.sock, 1 << 16), timeout)
        except asyncio.TimeoutError:
            raise Failure("no answer within %.1f s" % timeout) from None
        except OSError:
            raise Ended("cut" if self.data else "reset") from None
        if not more:
            raise Ended("cut" if self.data else "closed")
        self.data += more

    async def answer(self, timeout=10.0):
        """The status and body of a whole answer."""
        while b"\r\n\r\n" not in self.data:
            await self.fill(timeout)
        head, _, rest = self.data.partition(b"\r\n\r\n")
        self.closes = b"connection: close" in head.lower()
        length = int(re.search(rb"(?im)^content-length: (\d+)", head).group(1))
        while len(self.data) < len(head) + 4 + length:
            await self.fill(timeout)
        end = len(head) + 4 + length
        body, self.data = self.data[len(head) + 4:end], self.data[end:]
        return int(head.split()[1]), body

    async def served(self, target="/get", timeout=10.0, **request):
        """Sends a request and reads the answer, which must be whole."""
        number = await self.ask(target, **request)
        await self.is_served(number, target, timeout)

    async def is_served(self, number, target="/get", timeout=10.0):
        try:
            status, body = await self.answer(timeout)
        except Ended as end:
            raise Failure("request %d for %s: the connection was %s" % (number, target, end)) from None
        need(status == 200, "request %d for %s was answered %d %r" % (number, target, status, body))
        wanted = b'id=%d"' % number if target == "/get" else b"slept" if target.startswith("/sleep") else b""
        need(wanted in body, "request %d for %s was answered %r" % (number, target, body))

    async def state(self, timeout=0.0):
        """The state of a connection without a request: "open", "closed", "reset", or the bytes received."""
        try:
            await self.fill(timeout or 0.001)
        except Failure:
            return "open"
        except Ended as end:
            return str(end)
        return repr(self.data[:60])

    def close(self, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def close(clients):
    for client in clients:
        client.close()


async def visit(server, timeout=10.0, **request):
    """A new client with one request."""
    client = await Client.connect(server)
    try:
        await client.served(timeout=timeout, **request)
    finally:
        client.close()


async def visits(server, count, lanes):
    """The given number of new clients, sequentially in each lane."""
    async def lane():
        for _ in range(count // lanes):
            await visit(server, timeout=2)
    await all_of(lane() for _ in range(lanes))


async def all_of(tasks):
    """Runs all to the end, and fails with the first failure."""
    results = await asyncio.gather(*tasks, return_exceptions=True)
    broken = [result for result in results if isinstance(result, BaseException)]
    if broken:
        what = broken[0]
        raise what if not isinstance(what, Failure) else Failure("%s (and %d more)" % (what, len(broken) - 1))
    return results


# ---------------------------------------------------------------- the tests

async def idle(server, scale):
    crowd = []
    try:
        for _ in range(int(40 * scale)):
            crowd.append(await Client.connect(server))
            await crowd[-1].served()
        states = [await client.state(0.02) for client in crowd]
        tally = Counter(states)
        need(set(tally) <= {"open", "closed"}, "idle clients saw %r" % (tally,))
        need(tally["open"] == PLACES, "%d idle clients are left, not %d" % (tally["open"], PLACES))
        # A client that has just been answered may not be idle yet when the next one connects.
        need(states.index("open") >= len(crowd) - 2 * PLACES, "those that waited longest were not the first to be closed: %r" % states)
        for _ in range(20):
            await visit(server)
        left = [client for client in crowd[-PLACES:] if await client.state(0.02) == "open"]
        for client in left:
            await client.served()
        return {"closed": tally["closed"], "open": tally["open"], "open_after_20_visits": len(left)}
    finally:
        close(crowd)


async def slow_heads(server, scale):
    crowd = []
    try:
        for _ in range(int(24 * scale)):
            crowd.append(await Client.connect(server))
            await crowd[-1].send("GET /get?id=0 HTTP/1.1\r\nHost: cro")
        await visits(server, 40, 4)
        outcomes = Counter()
        for client in crowd:
            await client.send("wding\r\n\r\n")
            try:
                status, _ = await client.answer()
            except Ended as end:
                raise Failure("a client with half a head was %s without an answer" % end) from None
            need(status in (200, 408), "a client with half a head was answered %d" % status)
            outcomes[status] += 1
        need(outcomes[408] >= len(crowd) - PLACES, "there was room for %d" % outcomes[200])
        return {"refused": outcomes[408], "served": outcomes[200]}
    finally:
        close(crowd)


async def turns(server, scale):
    end, served, refused, announced = time.monotonic() + 3, [], [], []

    async def play():
        client, mine = None, 0
        try:
            while time.monotonic() < end:
                client = client or await Client.connect(server)
                number = await client.ask()
                try:
                    status, body = await client.answer()
                except Ended as ended:
                    need(str(ended) != "cut", "request %d was cut" % number)
                    refused.append(number)
                    client.close()
                    client = None
                    continue
                need(status == 200 and b'id=%d"' % number in body, "request %d was answered %d %r" % (number, status, body))
                mine += 1
                if client.closes:
                    # Other clients wait for room, so this one was closed.
                    announced.append(number)
                    client.close()
                    client = None
                await asyncio.sleep(random.uniform(0, 0.02))
        finally:
            served.append(mine)
            if client:
                client.close()
    await all_of(play() for _ in range(int(24 * scale)))
    executed = {int(number) for number in re.findall(rb"[?&]id=(\d+)", server.text())}
    twice = executed.intersection(refused)
    need(not twice, "%d requests are in the access log and were not answered" % len(twice))
    need(not refused, "%d connections were closed during a request without an announcement" % len(refused))
    need(announced, "no close was announced, although others waited")
    need(min(served) >= 5, "one client was served %d times, another %d times" % (min(served), max(served)))
    return {"served": sum(served), "refused": len(refused), "least": min(served), "most": max(served)}


async def burst(server, scale):
    async def come():
        client = await Client.connect(server)
        try:
            await asyncio.sleep(random.uniform(0, 0.05))
            await client.served()
        finally:
            client.close()
    begun = time.monotonic()
    await all_of(come() for _ in range(int(40 * scale)))
    return {"seconds_in_all": round(time.monotonic() - begun, 2)}


async def busy(server, scale):
    first = [await Client.connect(server) for _ in range(PLACES)]
    more = []
    try:
        numbers = [await client.ask("/sleep?ms=300") for client in first]
        await asyncio.sleep(0.1)
        begun = time.monotonic()

        async def wait(i):
            client = await Client.connect(server)
            more.append(client)
            target = ["/sleep?ms=300", "/get", "/sink"][i % 3]
            body = dict(method="POST", fields="Content-Length: 5\r\n", body="hello") if target == "/sink" else {}
            await client.served(target, **body)
            # Some keep their connection open, without a request.
            if i % 2:
                client.close()
            return time.monotonic() - begun
        waiting = [wait(i) for i in range(int(32 * scale))]
        times = await all_of(waiting + [client.is_served(number, "/sleep") for client, number in zip(first, numbers)])
        times = [took for took in times if took is not None]
        return {"waited_s_least": round(min(times), 2), "waited_s_most": round(max(times), 2)}
    finally:
        close(first + more)


async def descriptors(server, scale):
    crowd, answered = [], Counter()
    leaving = asyncio.Event()

    async def ask_on(client):
        """One request after another, as long as there are answers."""
        while not leaving.is_set():
            number = await client.ask()
            await client.is_served(number, timeout=30)
            answered[client.port] += 1
            if client.closes:
                # Other clients wait for room, so this one was closed; it connects again.
                client = await Client.connect(server)
                crowd.append(client)
            await asyncio.sleep(0.05)
    try:
        for _ in range(int(200 * scale)):
            crowd.append(await Client.connect(server))
        random.shuffle(crowd)
        tasks = [asyncio.ensure_future(ask_on(client)) for client in crowd[::2]]
        await asyncio.sleep(1.5)
        accepted = server.accepted()
        await asyncio.sleep(0.5)
        leaving.set()
        await asyncio.sleep(0.3)
        lost = [client.port for client in crowd[::2] if client.port in accepted and not answered[client.port]]
        broken = [task for task in tasks if task.done() and task.exception()]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        need(not broken, "%d clients that were accepted were not served: %s" % (len(broken), broken and broken[0].exception()))
        need(not lost, "%d clients were accepted and not answered" % len(lost))
    finally:
        close(crowd)
    begun = time.monotonic()
    while True:
        try:
            await visit(server, timeout=1)
            break
        except Failure as failure:
            need(time.monotonic() - begun < 5, "not served 5 s after all disconnected: %s" % failure)
    back = time.monotonic() - begun
    complaints = len(EXHAUSTED.findall(server.text()))
    need(b"descriptors may be open" in server.text(), "the log does not report the limit by descriptors")
    need(complaints == 0, "descriptors ran out: %d lines in the log" % complaints)
    return {"accepted": len(accepted), "answers": sum(answered.values()), "complaints": complaints, "back_after_s": round(back, 2)}


async def queue(server, scale):
    with open("/proc/sys/net/core/somaxconn") as limit:
        room = int(limit.read())
    leaving, asking = int(300 * scale), int(50 * scale)
    need(leaving + asking < room, "the queue of a listener has room for %d only" % room)
    rng, clients, kinds = random.Random(1), [], Counter()
    plan = [False] * leaving + [True] * asking
    rng.shuffle(plan)
    server.signal(signal.SIGSTOP)
    try:
        for sends in plan:
            client = await Client.connect(server)
            if not sends:
                text = rng.choice(["", "GET /get HTTP/1.1\r\nHo", "GET /get?id=0 HTTP/1.1\r\nHost: h\r\n\r\n",
                                   "POST /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"])
                if text:
                    await client.send(text)
                client.close(reset=rng.random() < 0.8)
                continue
            kind = rng.choice(["get", "post", "half-closed"])
            kinds[kind] += 1
            if kind == "post":
                clients.append((client, await client.ask("/sink", "POST", "Content-Length: 5\r\n", "hello"), "/sink"))
            else:
                clients.append((client, await client.ask(), "/get"))
            if kind == "half-closed":
                client.sock.shutdown(socket.SHUT_WR)
    finally:
        server.signal(signal.SIGCONT)
    begun = time.monotonic()

    async def served(client, number, target):
        try:
            await client.is_served(number, target)
        finally:
            client.close()
    await all_of(served(*client) for client in clients)
    return {"left": leaving, "answered": len(clients), "kinds": kinds, "seconds_in_all": round(time.monotonic() - begun, 2)}


TESTS = {
    "idle": (idle, ["--max-size", str(PLACES)], None),
    "slow_heads": (slow_heads, ["--max-size", str(PLACES)], None),
    "turns": (turns, ["--max-size", str(PLACES)], None),
    "burst": (burst, ["--max-size", str(PLACES)], None),
    "busy": (busy, ["--max-size", str(PLACES)], None),
    "descriptors": (descriptors, [], 64),
    "queue": (queue, [], None),
    "queue_8": (queue, ["--max-size", str(PLACES)], None),
}


async def run(name, command, scale):
    test, flags, limit = TESTS[name]
    server = Server(command, flags, limit)
    try:
        await visit(server)
        await asyncio.sleep(0.1)
        base = server.descriptors()
        out = await test(server, scale)
        need(server.process.poll() is None, "the server ended with status %s" % server.process.poll())
        await visits(server, 40, 4)
        end = time.monotonic() + SETTLE
        while server.descriptors() > base + SPARE and time.monotonic() < end:
            await asyncio.sleep(0.05)
        need(server.descriptors() <= base + SPARE, "%d descriptors before, %d after" % (base, server.descriptors()))
        status = server.stop()
        need(status == 0, "after SIGTERM the server ended with %s" % ("status %d" % status if status is not None else "nothing within 5 s"))
        for line in server.text().split(b"\n"):
            bad = BAD_LINE.search(line) and not (limit and EXHAUSTED.search(line))
            need(not bad, "in the log: %r" % line[:300])
        return dict(out, descriptors=base)
    finally:
        server.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cmd", required=True, help="command that starts the server")
    parser.add_argument("--only", help="comma-separated tests: " + ",".join(TESTS))
    parser.add_argument("--scale", type=float, default=1.0, help="factor for the number of clients")
    args = parser.parse_args()
    names = args.only.split(",") if args.only else list(TESTS)
    unknown = [name for name in names if name not in TESTS]
    if unknown:
        parser.error("unknown test %s (expected: %s)" % (unknown[0], ", ".join(TESTS)))
    failed = 0
    for name in names:
        started, out, why = time.monotonic(), {}, None
        try:
            out = asyncio.run(asyncio.wait_for(run(name, args.cmd, args.scale), 60))
        except asyncio.TimeoutError:
            why = "not finished after 60 s"
        except (Failure, OSError) as failure:
            why = "%s: %s" % (type(failure).__name__, failure)
        failed += why is not None
        print(json.dumps({"test": name, "ok": why is None, **({"why": why} if why else out),
                          "seconds": round(time.monotonic() - started, 1)}), flush=True)
    print("passed %d of %d" % (len(names) - failed, len(names)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
