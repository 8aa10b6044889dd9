"""A server for comparison: it answers before it has read the body, with the status that the path ends with, and then reads the
whole body. No server can do more for an early answer, so what is lost here is lost by the proxy.

usage: control.py PORT
"""
import socketserver
import sys


class Handler(socketserver.StreamRequestHandler):
    timeout = 30

    def handle(self):
        while True:
            first = self.rfile.readline(65536).split()
            if len(first) < 3:
                return
            length, chunked, status = 0, False, first[1].rsplit(b"/", 1)[-1].decode()
            while line := self.rfile.readline(65536).strip():
                name, _, value = line.lower().partition(b":")
                if name == b"content-length":
                    length = int(value)
                chunked |= name == b"transfer-encoding" and value.strip() == b"chunked"
            body = "status " + status
            self.wfile.write(("HTTP/1.1 %s Status\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)).encode())
            if chunked:
                while size := int(self.rfile.readline(100).split(b";")[0], 16):
                    self.drop(size + 2)
                self.rfile.readline(100)
            self.drop(length)

    def drop(self, count):
        while count:
            part = self.rfile.read1(min(count, 1 << 18))
            if not part:
                return
            count -= len(part)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """Ignores connections that the proxy has closed."""


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
