"""Where the server listens: addresses in text, bound sockets, and sockets that another process passed on.

Knows TCP, unix sockets, descriptors and the protocol of systemd (`LISTEN_FDS`). Does not know the application.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from wsgi_python._cli.values import Wrong

DEFAULT_PORT = 8000
FIRST_PASSED = 3
INHERITED = "WSGI_PYTHON__INHERITED"


@dataclass(frozen=True)
class Place:
    """One value of `--bind`. `kind` is tcp, unix, fd or systemd; `host` is a path for unix."""

    kind: str
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.kind == "tcp":
            return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        return {"unix": f"unix:{self.host}", "fd": f"fd://{self.port}", "systemd": "systemd"}[self.kind]


class CannotListen(Exception):
    """An address that cannot be bound; the message names it and the reason."""


class NotAListener(Exception):
    """A descriptor that is not a listening socket; the message names it."""


def place(text: str) -> Place:
    """Reads one value of `--bind`."""
    if text == "systemd":
        return Place("systemd")
    if text.startswith("unix:") and (path := re.sub(r"^//(?=/)", "", text[5:])):
        return Place("unix", path)
    if match := re.fullmatch(r"fd://(\d{1,9})", text):
        return Place("fd", port=int(match[1]))
    address = text.removeprefix("tcp://")
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+(?:%[^\]]+)?)\]|([^:/\[\]\s]*)):(\d{1,5})", address)
    if match and int(match[3]) < 65536:
        return Place("tcp", match[1] or match[2] or "0.0.0.0", int(match[3]))
    if re.fullmatch(r"[A-Za-z][^:/\[\]\s]*|\d+(?:\.\d+){3}", address):
        return Place("tcp", address, DEFAULT_PORT)
    raise Wrong("HOST:PORT, [IPv6]:PORT, :PORT, unix:PATH, fd://N or systemd")


def default_places() -> list[Place]:
    """The sockets of systemd, or the usual address. `PORT` is what hosting platforms set. Raises `Wrong` if it is no port."""
    if passed_by_systemd():
        return [Place("systemd")]
    port = os.environ.get("PORT", "")
    if not port:
        return [Place("tcp", "127.0.0.1", DEFAULT_PORT)]
    if re.fullmatch(r"[0-9]{1,5}", port) and int(port) < 65536:
        return [Place("tcp", "0.0.0.0", int(port))]
    raise Wrong("a port, 0 to 65535")


def passed_by_systemd() -> int:
    """How many sockets systemd has passed to this process; see `sd_listen_fds(3)`."""
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not re.fullmatch(r"\d{1,6}", count):
        return 0
    return int(count)


class Listeners:
    """Bound sockets. `close` also removes the files of unix sockets that were bound here."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self._files: list[tuple[str, int]] = []

    def open(self, places: Iterable[Place], backlog: int, mode: int | None) -> None:
        """Binds all places. Raises `NotAListener` or `CannotListen`."""
        places = list(places)
        for wanted in places:
            if wanted.kind == "tcp":
                # Elsewhere, a socket for all IPv6 addresses may also take the IPv4 ones.
                only_v6 = any(other.port == wanted.port and ":" not in other.host
                              for other in places if other.kind == "tcp")
                self._open_tcp(wanted, backlog, only_v6)
            elif wanted.kind == "unix":
                self._open_unix(wanted, backlog, mode)
            elif wanted.kind == "fd":
                self.sockets.append(_passed(wanted.port, str(wanted)))
            else:
                self._take_systemd()

    def inherit(self) -> bool:
        """Takes the sockets that a parent of the same program has passed on; false if it has not."""
        text = os.environ.pop(INHERITED, "")
        self.sockets.extend(_passed(int(word), f"fd://{word}") for word in text.split(",") if word)
        return bool(self.sockets)

    def urls(self, scheme: str) -> list[str]:
        """The addresses as a person would open them."""
        return [_url(sock, scheme) for sock in self.sockets]

    def close_sockets(self) -> None:
        """Leaves the sockets to the server, which has its own duplicates of them: a copy here would keep them open after
        the server has closed its own, and clients would wait in a queue that is never served."""
        for sock in self.sockets:
            sock.close()

    def close(self) -> None:
        self.close_sockets()
        for path, inode in self._files:
            # Another server may have taken the path since.
            try:
                if os.lstat(path).st_ino == inode:
                    os.unlink(path)
            except OSError:
                pass

    def _open_tcp(self, place: Place, backlog: int, only_v6: bool) -> None:
        try:
            found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError as error:
            raise CannotListen(f"cannot listen on {place}: {error.strerror or error}") from None
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6 and (only_v6 or place.host != "::"):
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind(address)
                sock.listen(backlog)
            except OSError as error:
                sock.close()
                raise CannotListen(f"cannot listen on {place}: {_reason(error)}") from None
            self.sockets.append(sock)

    def _open_unix(self, place: Place, backlog: int, mode: int | None) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _remove_stale(place.host)
            sock.bind(place.host)
            self._files.append((place.host, os.lstat(place.host).st_ino))
            if mode is not None:
                os.chmod(place.host, mode)
            sock.listen(backlog)
        except OSError as error:
            sock.close()
            raise CannotListen(f"cannot listen on {place}: {_reason(error)}") from None
        self.sockets.append(sock)

    def _take_systemd(self) -> None:
        count = passed_by_systemd()
        if count == 0:
            raise NotAListener("systemd has passed no socket: LISTEN_FDS and LISTEN_PID are not set for this process")
        for descriptor in range(FIRST_PASSED, FIRST_PASSED + count):
            self.sockets.append(_passed(descriptor, f"descriptor {descriptor} of systemd"))
        # They are not meant for child processes.
        for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
            os.environ.pop(name, None)


def _passed(descriptor: int, name: str) -> socket.socket:
    """A socket that is already bound and listening."""
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise NotAListener(f"{name} is not a listening socket ({_reason(error)})") from None
    listens = sock.type == socket.SOCK_STREAM and sock.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    if not listens or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.detach()
        raise NotAListener(f"{name} is not a listening socket")
    sock.set_inheritable(False)
    return sock


def _remove_stale(path: str) -> None:
    """Removes a socket that no process listens on any more, the remains of a killed server."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EEXIST, "the path exists and is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _reason(error: OSError) -> str:
    return {
        errno.EADDRINUSE: "the address is in use by another process",
        errno.EADDRNOTAVAIL: "this machine does not have the address",
        errno.EACCES: "permission denied",
    }.get(error.errno or 0, error.strerror or str(error))


def _url(sock: socket.socket, scheme: str) -> str:
    if sock.family == socket.AF_UNIX:
        return f"unix:{os.fsdecode(sock.getsockname())}"
    host, port = sock.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
