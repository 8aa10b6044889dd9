#!/usr/bin/env python3
"""Clients that take more than their turn from an echo server: all others are still served, and soon.

usage: fairness.py --cmd "target/release/echo --runtime tokio --listen 127.0.0.1:0" [--only NAME,NAME]
                   [--attackers 0,1,2] [--seconds F] [--median-ms F] [--md]

Each run starts a fresh server, reads `listening on ADDRESS` from its standard output, starts the attackers as processes,
and then measures honest clients for some seconds: half of them keep their connection, the others make a new one for
each request. The tests are in TESTS. The rules: each honest request is answered within 10 s; the median of their times
is at most --median-ms, for kept and for new connections; and on SIGTERM the server ends with status 0.

Two attackers need a server with two threads: tokio has them on two processors, smol with `--threads 2`. Leave no other
load on the machine: a busy neighbour looks like an unfair server.

Prints one JSON line per run, and with --md a row of a Markdown table; exit status 0: all rules held.
"""
import argparse
import asyncio
import json
import select
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import time

TESTS = {
    "requests": "attackers pipeline GET /burn?us=200, which occupies a thread for 200 us each, without end",
    "chunks": "attackers send a POST /sink whose body is an endless series of chunks of one byte",
    "pieces": "attackers request /pieces?n=..., an endless response in pieces of 10 bytes, and read it as fast as they can",
    "drain": "attackers POST tiny chunks without end to /early, which answers without reading them",
}
# How many honest clients there are of each kind, and how long one pauses between two requests.
CLIENTS = 4
PAUSE = 0.01
# The longest time for one request.
LIMIT = 10.0
# How long the server may take to listen.
START = 15.0


class Failure(Exception):
    """A rule was broken."""


def need(holds, why):
    if not holds:
        raise Failure(why)


# ---------------------------------------------------------------- the server

class Server:
    def __init__(self, command):
        argv = shlex.split(command) + ["--log-output", "false"]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        said, _, _ = select.select([self.process.stdout], [], [], START)
        line = self.process.stdout.readline() if said else ""
        if not line.startswith("listening on "):
            self.close()
            raise Failure("the server did not start: %r" % line)
        host, _, port = line.split()[-1].rpartition(":")
        self.address = (host.strip("[]"), int(port))

    def stop(self):
        """Sends SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            return None

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


# ---------------------------------------------------------------- the attackers

def attack(test, host, port):
    """Runs until it is killed. Sends and receives as fast as the server permits."""
    post = b"POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    tiny = b"1\r\nx\r\n" * 8192
    first, then = {
        "requests": (b"", b"GET /burn?us=200 HTTP/1.1\r\nHost: h\r\n\r\n" * 256),
        "chunks": (post % b"/sink", tiny),
        "pieces": (b"GET /pieces?n=1000000000 HTTP/1.1\r\nHost: h\r\n\r\n", b""),
        "drain": (post % b"/early", tiny),
    }[test]
    while True:
        sock = socket.create_connection((host, port), 30)
        sock.setblocking(False)
        pending = first or then
        try:
            while True:
                readable, writable, _ = select.select([sock], [sock] if pending else [], [])
                if readable and not sock.recv(1 << 16):
                    break
                if writable:
                    pending = pending[sock.send(pending):] or then
        except OSError:
            pass
        # The server has closed the connection.
        sock.close()


# ---------------------------------------------------------------- the honest clients

class Client:
    """One honest client. `times` has the seconds that each request took."""

    def __init__(self, address, keeps):
        self.address, self.keeps, self.times, self.streams = address, keeps, [], None

    async def ask(self):
        if self.streams is None:
            self.streams = await asyncio.open_connection(*self.address)
        reader, writer = self.streams
        writer.write(b"GET /get HTTP/1.1\r\nHost: h\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        need(head.startswith(b"HTTP/1.1 200 "), "an honest request was answered %r" % head[:80])
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        await reader.readexactly(length)
        if not self.keeps:
            self.close()

    def close(self):
        if self.streams:
            self.streams[1].transport.abort()
            self.streams = None

    async def run(self, end):
        while time.monotonic() < end:
            begun = time.monotonic()
            try:
                await asyncio.wait_for(self.ask(), LIMIT)
            except asyncio.TimeoutError:
                raise Failure("%s was not served within %.0f s" % (self.name(), LIMIT)) from None
            except (OSError, asyncio.IncompleteReadError) as error:
                raise Failure("%s was not answered: %r" % (self.name(), error)) from None
            self.times.append(time.monotonic() - begun)
            await asyncio.sleep(PAUSE)

    def name(self):
        return "a kept connection" if self.keeps else "a new connection"


async def measure(address, seconds):
    """Returns the times of kept and of new connections, and the first failure."""
    clients = [Client(address, keeps) for keeps in (True, False) for _ in range(CLIENTS)]
    end = time.monotonic() + seconds
    results = await asyncio.gather(*(client.run(end) for client in clients), return_exceptions=True)
    for client in clients:
        client.close()
    broken = [result for result in results if result is not None]
    unexpected = [result for result in broken if not isinstance(result, Failure)]
    if unexpected:
        raise unexpected[0]
    times = {keeps: [t for client in clients if client.keeps == keeps for t in client.times] for keeps in (True, False)}
    return times, broken[0] if broken else None


def figures(times):
    if not times:
        return {"requests": 0, "median_ms": None, "worst_ms": None}
    return {"requests": len(times), "median_ms": round(statistics.median(times) * 1e3, 2), "worst_ms": round(max(times) * 1e3, 1)}


def run(args, test, attackers):
    server = Server(args.cmd)
    processes = []
    try:
        for _ in range(attackers):
            argv = [sys.executable, __file__, "--attack", test] + [str(part) for part in server.address]
            processes.append(subprocess.Popen(argv))
        time.sleep(0.5)
        times, failure = asyncio.run(measure(server.address, args.seconds))
        out = {"kept": figures(times[True]), "new": figures(times[False])}
        for process in processes:
            need(process.poll() is None, "an attacker ended")
            process.kill()
            process.wait()
        if failure is None:
            status = server.stop()
            if status != 0:
                failure = Failure("after SIGTERM the server ended with %s" % ("status %d" % status if status is not None else "nothing within 15 s"))
        for name, found in out.items():
            if failure is None and found["median_ms"] > args.median_ms:
                failure = Failure("the median of %s connections is %.1f ms" % (name, found["median_ms"]))
        return out, failure
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        server.close()


def row(test, attackers, out):
    def cell(found):
        return "%s / %s" % (found["median_ms"], found["worst_ms"]) if found.get("requests") else "none served"
    return "| %s | %d | %s | %s |" % (test, attackers, cell(out.get("kept", {})), cell(out.get("new", {})))


def main():
    if sys.argv[1:2] == ["--attack"]:
        try:
            attack(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        except (KeyboardInterrupt, OSError):
            return 1
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cmd", required=True, help="command that starts the server")
    parser.add_argument("--only", help="comma-separated tests: " + ",".join(TESTS))
    parser.add_argument("--attackers", default="0,1,2", help="comma-separated numbers of attackers")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long the honest clients are measured")
    parser.add_argument("--median-ms", type=float, default=50.0, help="the largest median that is allowed")
    parser.add_argument("--md", action="store_true", help="print rows of a Markdown table as well: median / worst in ms")
    args = parser.parse_args()
    names = args.only.split(",") if args.only else list(TESTS)
    unknown = [name for name in names if name not in TESTS]
    if unknown:
        parser.error("unknown test %s (expected: %s)" % (unknown[0], ", ".join(TESTS)))
    rows, passed = [], []
    for name in names:
        for attackers in [int(number) for number in args.attackers.split(",")]:
            out, why = {}, None
            try:
                out, why = run(args, name, attackers)
            except (Failure, OSError) as failure:
                why = failure
            passed.append(why is None)
            rows.append(row(name, attackers, out))
            print(json.dumps({"test": name, "attackers": attackers, "ok": why is None, **({"why": str(why)} if why else {}), **out}), flush=True)
    if args.md:
        print("| test | attackers | kept: median / worst ms | new: median / worst ms |\n| --- | --- | --- | --- |\n" + "\n".join(rows))
    print("passed %d of %d" % (sum(passed), len(passed)))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
