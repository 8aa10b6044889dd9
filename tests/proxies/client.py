"""A small HTTP/1.1 client that reports what happened to each request. It never sends a request twice."""
import socket


class Lost(Exception):
    """No whole answer was received; the text is how the connection ended."""


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body


class Client:
    """One kept connection to `address`. It is opened when needed, and again after an answer that closes it."""

    def __init__(self, address, timeout=20.0, source=None):
        self.address, self.timeout, self.source = address, timeout, source
        self.sock, self.data = None, b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock, self.data = None, b""

    def open(self):
        if self.sock:
            return
        try:
            source = (self.source, 0) if self.source else None
            self.sock = socket.create_connection(self.address, self.timeout, source)
        except OSError as error:
            raise Lost("no connection: %s" % reason(error)) from None
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""

    def request(self, method, target, body=None, fields=(), chunks=None):
        """The answer. `body` is sent with its length; `chunks`, an iterable, chunked.

        A request that cannot be sent completely is lost: like most clients, this one does not look for its answer then.
        """
        self.open()
        lines = ["%s %s HTTP/1.1" % (method, target), "Host: example.com"]
        lines += ["%s: %s" % field for field in fields]
        if chunks is not None:
            lines.append("Transfer-Encoding: chunked")
        elif body is not None:
            lines.append("Content-Length: %d" % len(body))
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        try:
            if chunks is not None:
                self.sock.sendall(head)
                for chunk in chunks:
                    self.sock.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                self.sock.sendall(b"0\r\n\r\n")
            elif body is not None and len(body) > 65536:
                self.sock.sendall(head)
                self.sock.sendall(body)
            else:
                self.sock.sendall(head + (body or b""))
            answer = self.answer()
        except OSError as error:
            self.close()
            raise Lost(reason(error)) from None
        except Lost:
            self.close()
            raise
        if answer.status != 101 and answer.fields.get("connection", "").lower() == "close":
            self.close()
        return answer

    def answer(self):
        while True:
            status, fields = self.head()
            if status >= 200 or status == 101:
                break
        if status in (101, 204, 304):
            return Answer(status, fields, b"")
        if fields.get("transfer-encoding", "").lower() == "chunked":
            return Answer(status, fields, self.chunked())
        if "content-length" in fields:
            return Answer(status, fields, self.take(int(fields["content-length"])))
        fields["connection"] = "close"
        return Answer(status, fields, self.remainder())

    def head(self):
        while b"\r\n\r\n" not in self.data:
            self.fill("before the answer" if not self.data else "in the head of the answer")
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        try:
            return int(first.split()[1]), fields
        except (IndexError, ValueError):
            raise Lost("not HTTP: %r" % first[:60]) from None

    def chunked(self):
        parts = []
        while True:
            while b"\r\n" not in self.data:
                self.fill("in a chunked answer")
            line, _, self.data = self.data.partition(b"\r\n")
            size = int(line.split(b";")[0], 16)
            part = self.take(size + 2)[:-2]
            if not size:
                return b"".join(parts)
            parts.append(part)

    def take(self, count):
        parts, have = [self.data], len(self.data)
        while have < count:
            self.data = b""
            self.fill("in the body of the answer")
            parts.append(self.data)
            have += len(self.data)
        whole = b"".join(parts)
        self.data = whole[count:]
        return whole[:count]

    def remainder(self):
        parts = [self.data]
        while True:
            part = self.sock.recv(1 << 16)
            if not part:
                return b"".join(parts)
            parts.append(part)

    def fill(self, where):
        more = self.sock.recv(1 << 18)
        if not more:
            raise Lost("closed " + where)
        self.data += more


def reason(error):
    names = {ConnectionResetError: "reset", BrokenPipeError: "reset while sending", ConnectionRefusedError: "refused",
             socket.timeout: "no answer in time"}
    return names.get(type(error), str(error))
