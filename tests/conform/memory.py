#!/usr/bin/env python3
"""Move large bodies through the echo server and watch its resident memory.

usage: memory.py --cmd "target/release/echo --runtime tokio --listen 127.0.0.1:0"
                 [--size BYTES] [--growth MIB] [--only NAME,NAME]

Starts the server and reads `listening on ADDRESS` from its standard output. Each flow
uses one connection. Linux only: the resident set comes from /proc/PID/status, and the
bytes that the kernel holds for a connection from /proc/net/tcp.

A flow passes if every byte arrives, the connection is in step afterwards, and the
resident set never grows by more than the allowed amount. In the flows with a pause the
sender must stop, too: nothing more is sent while the receiver reads nothing.
"""
import argparse
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time

MIB = 1 << 20
PIECE = memoryview(b"m" * (256 << 10))
CHUNK = 65521  # a prime: chunks and reads are never aligned
PAUSE = 3.0
# The most that the kernel may hold between a sender and a reader that has stopped.
KERNEL = 24 * MIB


class Failure(Exception):
    """A flow failed."""


def need(holds, why):
    if not holds:
        raise Failure(why)


# ---------------------------------------------------------------- the server

class Server:
    def __init__(self, command):
        self.process = subprocess.Popen(shlex.split(command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        need(line.startswith("listening on "), "the server did not start: %r" % line)
        host, _, port = line.split()[-1].rpartition(":")
        self.address = (host.strip("[]"), int(port))

    def status(self, key):
        with open("/proc/%d/status" % self.process.pid) as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith(key))

    def forget_peak(self):
        """Resets VmHWM; False where that is not allowed."""
        try:
            with open("/proc/%d/clear_refs" % self.process.pid, "w") as file:
                file.write("5")
            return True
        except OSError:
            return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Watch:
    """The largest resident set of a server between enter and exit, in KiB above the one at enter."""

    def __init__(self, server):
        self.server, self.ended = server, threading.Event()

    def __enter__(self):
        self.exact = self.server.forget_peak()
        self.base = self.peak = self.server.status("VmRSS")
        self.thread = threading.Thread(target=self.sample)
        self.thread.start()
        return self

    def sample(self):
        while not self.ended.wait(0.01):
            self.peak = max(self.peak, self.server.status("VmRSS"))

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        if self.exact:
            self.peak = max(self.peak, self.server.status("VmHWM"))
        self.growth = self.peak - self.base


# ---------------------------------------------------------------- the client

class Client:
    """One connection; reads through a buffer so that it can split off heads and chunk lines."""

    def __init__(self, server, receive=None):
        self.sock = socket.socket(socket.AF_INET6 if ":" in server.address[0] else socket.AF_INET)
        if receive:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.sock.settimeout(60)
        self.sock.connect(server.address)
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def ask(self, method, target, *fields):
        lines = ["%s %s HTTP/1.1" % (method, target), "Host: memory", *fields, "", ""]
        self.sock.sendall("\r\n".join(lines).encode())

    def fill(self):
        more = self.sock.recv(256 << 10)
        need(more, "the connection ended too early")
        self.data += more

    def until(self, mark):
        while mark not in self.data:
            self.fill()
        part, _, self.data = self.data.partition(mark)
        return part

    def head(self):
        """The status, and the fields in lower case."""
        first, *lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def skip(self, count):
        """Reads and drops the given number of bytes."""
        used = min(count, len(self.data))
        self.data, count = self.data[used:], count - used
        while count:
            more = len(self.sock.recv(min(count, 256 << 10)))
            need(more, "the connection ended %d bytes too early" % count)
            count -= more

    def chunk(self):
        """Reads and drops one chunk; returns its size."""
        size = int(self.until(b"\r\n"), 16)
        self.skip(size)
        need(self.until(b"\r\n") == b"", "no line end after a chunk of %d" % size)
        return size

    def answer(self):
        """A short answer with Content-Length."""
        status, fields = self.head()
        length = int(fields["content-length"])
        while len(self.data) < length:
            self.fill()
        text, self.data = self.data[:length], self.data[length:]
        return status, text.decode("latin-1").strip()

    def in_step(self):
        self.ask("GET", "/early")
        got = self.answer()
        need(got == (200, "early"), "out of step afterwards: %r" % (got,))

    def held(self, server):
        """The bytes of the response in the kernel: sent by the server, not yet read here."""
        ours, theirs = self.sock.getsockname()[1], server.address[1]
        total = 0
        for name in ("/proc/net/tcp", "/proc/net/tcp6"):
            try:
                with open(name) as lines:
                    rows = [line.split() for line in lines][1:]
            except OSError:
                continue
            for row in rows:
                local, remote = (int(place.rpartition(":")[2], 16) for place in row[1:3])
                waiting_to_go, waiting_for_reader = (int(queue, 16) for queue in row[4].split(":"))
                if (local, remote) == (theirs, ours):
                    total += waiting_to_go
                elif (local, remote) == (ours, theirs):
                    total += waiting_for_reader
        return total


def stays(measure, what):
    """Waits for half of the pause, then requires that `measure` is constant during the other half."""
    end, settled = time.monotonic() + PAUSE, PAUSE / 2
    time.sleep(settled)
    before = measure()
    time.sleep(max(0, end - time.monotonic()))
    need(measure() == before, "%s continued during the pause" % what)
    return before


# ---------------------------------------------------------------- the flows

def up_by_length(server, size):
    with Client(server) as client:
        client.ask("POST", "/sink", "Content-Length: %d" % size)
        left = size
        while left:
            left -= client.sock.send(PIECE[:left])
        got = client.answer()
        need(got == (200, str(size)), "the application saw %r" % (got,))
        client.in_step()


def up_chunked(server, size):
    with Client(server) as client:
        client.ask("POST", "/sink", "Transfer-Encoding: chunked")
        whole = b"%x\r\n%s\r\n" % (CHUNK, PIECE[:CHUNK].tobytes())
        for _ in range(size // CHUNK):
            client.sock.sendall(whole)
        rest = size % CHUNK
        if rest:
            client.sock.sendall(b"%x\r\n%s\r\n" % (rest, PIECE[:rest].tobytes()))
        client.sock.sendall(b"0\r\n\r\n")
        got = client.answer()
        need(got == (200, str(size)), "the application saw %r" % (got,))
        client.in_step()


def down_by_length(server, size):
    with Client(server) as client:
        client.ask("GET", "/big?n=%d" % size)
        status, fields = client.head()
        need((status, fields.get("content-length")) == (200, str(size)), "head %r %r" % (status, fields))
        client.skip(size)
        client.in_step()


def down_chunked(server, size):
    with Client(server) as client:
        client.ask("GET", "/big-chunked?n=%d" % size)
        status, fields = client.head()
        need((status, fields.get("transfer-encoding")) == (200, "chunked"), "head %r %r" % (status, fields))
        got = sum(iter(client.chunk, 0))
        need(got == size, "%d bytes arrived" % got)
        client.in_step()


def reader_stops(server, size):
    """The client reads 1 MiB, stops, and continues; the server must wait during the pause."""
    with Client(server, receive=64 << 10) as client:
        client.ask("GET", "/big?n=%d" % size)
        status, _ = client.head()
        need(status == 200, "status %d" % status)
        first = min(MIB, size)
        client.skip(first)
        held = stays(lambda: client.held(server), "the server")
        need(held < min(size, KERNEL), "%d bytes were sent to a reader that had stopped" % held)
        client.skip(size - first)
        client.in_step()
        return "%.2f MiB in transit during the pause" % (held / MIB)


def chunk_reader_stops(server, size):
    with Client(server, receive=64 << 10) as client:
        client.ask("GET", "/big-chunked?n=%d" % size)
        status, _ = client.head()
        need(status == 200, "status %d" % status)
        got = client.chunk()
        held = stays(lambda: client.held(server), "the server")
        need(held < min(size, KERNEL), "%d bytes were sent to a reader that had stopped" % held)
        got += sum(iter(client.chunk, 0))
        need(got == size, "%d bytes arrived" % got)
        client.in_step()
        return "%.2f MiB in transit during the pause" % (held / MIB)


def application_stops(server, size):
    """The application does not read the body; the client must wait, and gets its answer."""
    with Client(server) as client:
        client.ask("POST", "/sleep?ms=%d" % (2 * PAUSE * 1000), "Content-Length: %d" % size)
        client.sock.setblocking(False)
        sent, ended = 0, threading.Event()

        def push():
            nonlocal sent
            while not ended.wait(0.001) and sent < size:
                try:
                    sent += client.sock.send(PIECE[:size - sent])
                except BlockingIOError:
                    pass
        sender = threading.Thread(target=push)
        sender.start()
        try:
            taken = stays(lambda: sent, "the client")
        finally:
            ended.set()
            sender.join()
        need(taken < min(size, KERNEL), "%d unread bytes were accepted" % taken)
        client.sock.setblocking(True)
        client.sock.settimeout(60)
        got = client.answer()
        need(got == (200, "slept"), "the answer was %r" % (got,))
        return "%.2f MiB accepted without being read" % (taken / MIB)


FLOWS = {
    "up-by-length": up_by_length,
    "up-chunked": up_chunked,
    "down-by-length": down_by_length,
    "down-chunked": down_chunked,
    "reader-stops": reader_stops,
    "chunk-reader-stops": chunk_reader_stops,
    "application-stops": application_stops,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cmd", required=True, help="command that starts the server")
    parser.add_argument("--size", type=int, default=1 << 30, help="bytes of each body (default: 1 GiB)")
    parser.add_argument("--growth", type=float, default=8.0, help="MiB that the resident set may grow by (default: 8)")
    parser.add_argument("--only", help="comma-separated flows: " + ",".join(FLOWS))
    args = parser.parse_args()
    names = args.only.split(",") if args.only else list(FLOWS)
    unknown = [name for name in names if name not in FLOWS]
    if unknown:
        parser.error("unknown flow %s (expected: %s)" % (unknown[0], ", ".join(FLOWS)))
    if not os.path.exists("/proc/self/status"):
        parser.error("needs Linux: there is no /proc/self/status")
    try:
        server = Server(args.cmd)
    except (Failure, OSError) as failure:
        print("error: %s" % failure)
        return 1
    failed = 0
    try:
        with Client(server) as client:
            client.in_step()
        for name in names:
            started, note, why = time.monotonic(), None, None
            with Watch(server) as watch:
                try:
                    note = FLOWS[name](server, args.size)
                except (Failure, OSError, ValueError, KeyError) as failure:
                    why = "%s: %s" % (type(failure).__name__, failure)
            seconds = time.monotonic() - started
            if why is None and watch.growth > args.growth * 1024:
                why = "the resident set grew by more than %g MiB" % args.growth
            failed += why is not None
            print("%-4s %-18s %6.1f s  resident %6d KiB, grew %6d KiB%s" % (
                "FAIL" if why else "ok", name, seconds, watch.base, watch.growth, "  (%s)" % (why or note) if why or note else ""), flush=True)
    finally:
        code = server.stop()
    if code != 0:
        print("FAIL the server ended with status %s" % code)
        failed += 1
    print("passed %d of %d" % (len(names) - min(failed, len(names)), len(names)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
