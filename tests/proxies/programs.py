"""The programs that a run starts: the server under test and the proxies. All listen on 127.0.0.1 and write to one temporary
folder. Each is ended by its process number."""
import glob
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import page

HOST = "127.0.0.1"
START = 30.0
# A busy debug build needs time to stop.
STOP = 15.0

# What docs/production.md recommends for a public address, as far as every edition of `echo` has flags for it.
FLAGS = ["--keepalive", "75", "--socket-timeout", "30", "--header-timeout", "15", "--log-x-forwarded-for", "false"]


class Missing(Exception):
    """A program is not installed."""


class NotStarted(Exception):
    """A program ended, or did not listen in time."""


def free_port():
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return sock.getsockname()[1]


def find(name, package):
    # Debian keeps servers where only root looks for programs.
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    if not path:
        raise Missing("%s is not installed; on Debian: apt-get install -y --no-install-recommends %s" % (name, package))
    return path


def listens(port):
    with socket.socket() as sock:
        sock.settimeout(0.5)
        return sock.connect_ex((HOST, port)) == 0


def wait_until(condition):
    """Waits until it is true, for START at most."""
    end = time.monotonic() + START
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)


class Program:
    """A child process. `stop` is the signal that ends it."""

    stop_signal = signal.SIGTERM

    def __init__(self, name, argv, out, stdin=subprocess.DEVNULL):
        self.name, self.argv, self.out = name, argv, out
        self.launch(stdin)

    def launch(self, stdin=subprocess.DEVNULL):
        with open(self.out, "wb") as file:
            self.process = subprocess.Popen(self.argv, stdin=stdin, stdout=file, stderr=file)

    def wait_for(self, ports):
        end = time.monotonic() + START
        for port in ports:
            while not listens(port):
                if self.process.poll() is not None or time.monotonic() > end:
                    text = pathlib.Path(self.out).read_text(errors="replace").strip()
                    self.end()
                    raise NotStarted("%s did not start: %s" % (self.name, text[-400:] or "it printed nothing"))
                time.sleep(0.02)

    def end(self):
        """Ends the process; kills it if it does not. Returns its status."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(STOP)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


class Echo(Program):
    """The server under test."""

    def __init__(self, folder, echo, runtime, port, flags=()):
        self.port, self.log = port, pathlib.Path(folder) / ("echo-%d.log" % port)
        argv = [echo, "--runtime", runtime, "--listen", "%s:%d" % (HOST, port), "--log", str(self.log)]
        super().__init__("echo", argv + FLAGS + list(flags), pathlib.Path(folder) / ("echo-%d.out" % port))

    def launch(self, stdin=subprocess.DEVNULL):
        """Starts it, once more if it has ended. Its log goes on in the same file."""
        super().launch(stdin)
        # It prints when it listens, so that no connection is needed to find out.
        end = time.monotonic() + START
        while b"listening on " not in self.out.read_bytes():
            if self.process.poll() is not None or time.monotonic() > end:
                text = self.out.read_text(errors="replace").strip()
                self.end()
                raise NotStarted("echo did not start: %s" % text[-400:])
            time.sleep(0.005)

    def requests(self):
        return lines(self.log)


class Proxy(Program):
    """A proxy in front of two servers.

    `port` speaks HTTP. `requests()` are the lines of its access log, `METHOD TARGET STATUS …`; `errors()` are its
    other lines.
    """

    name = program = package = ""

    def requests(self):
        return lines(self.access)

    def errors(self):
        return lines(self.out)


def lines(path):
    try:
        return pathlib.Path(path).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []


class Nginx(Proxy):
    name, program, package = "nginx", "nginx", "nginx-light libnginx-mod-stream"

    def __init__(self, folder, ports, buffering=True, stream=None):
        program = find(self.program, self.package)
        folder = pathlib.Path(folder) / ("nginx-%d" % free_port())
        folder.mkdir()
        self.port, self.stream_port = free_port(), free_port()
        self.access = folder / "access.log"
        changes = [("listen 80;", "listen %s:%d;" % (HOST, self.port)),
                   ("127.0.0.1:8090", "%s:%d" % (HOST, ports[0])),
                   ("127.0.0.1:8091", "%s:%d" % (HOST, ports[1])),
                   # Uploads of 20 MB are part of the checks.
                   ("client_max_body_size 16m;", "client_max_body_size 64m;")]
        if not buffering:
            changes.append(("# proxy_request_buffering off;", "proxy_request_buffering off;"))
        outside, listening = "", [self.port]
        if stream is not None:
            changed = page.replaced("nginx-stream", [("listen 443;", "listen %s:%d;" % (HOST, self.stream_port)),
                                                     ("127.0.0.1:8090", "%s:%d" % (HOST, stream))])
            outside = self.stream_module(program) + "stream {\n%s}\n" % changed
            listening.append(self.stream_port)
        self.begin(program, folder, page.replaced("nginx", changes), listening, outside)

    def begin(self, program, folder, servers, listening, outside=""):
        """Starts nginx with `servers` in its block `http`, and `outside` before it."""
        text = "daemon off;\nworker_processes 2;\npid %s/pid;\nerror_log stderr warn;\n" % folder
        if os.geteuid() == 0:
            text += "user root;\n"
        text += outside + "events { worker_connections 4096; }\nhttp {\n"
        text += "log_format test '$request_method $request_uri $status $upstream_status $upstream_addr';\n"
        text += "access_log %s test;\n" % self.access
        for kind in "client_body", "proxy", "fastcgi", "uwsgi", "scgi":
            text += "%s_temp_path %s/%s;\n" % (kind, folder, kind)
        text += servers + "}\n"
        (folder / "nginx.conf").write_text(text)
        super().__init__("nginx", [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"],
                         folder / "out.log")
        self.wait_for(listening)

    def stream_module(self, program):
        """The line that loads it, if it is not built in."""
        if module := next(iter(glob.glob("/usr/lib*/nginx/modules/ngx_stream_module.so")), None):
            return "load_module %s;\n" % module
        built = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=START).stderr
        if "--with-stream " in built:
            return ""
        raise Missing("nginx has no stream module; on Debian: apt-get install -y libnginx-mod-stream")


class PythonNginx(Nginx):
    """nginx as docs/python.md shows it, in front of one server on a unix socket."""

    def __init__(self, folder, socket_path):
        program = find(self.program, self.package)
        folder = pathlib.Path(folder) / ("nginx-%d" % free_port())
        folder.mkdir()
        self.port = free_port()
        self.access = folder / "access.log"
        servers = page.replaced("python-nginx", [("listen 80;", "listen %s:%d;" % (HOST, self.port)),
                                                 ("/run/site/site.sock", str(socket_path))])
        self.begin(program, folder, servers, [self.port])


class HAProxy(Proxy):
    name, program, package = "haproxy", "haproxy", "haproxy"

    def __init__(self, folder, ports, stream=None, version=2):
        program = find(self.program, self.package)
        folder = pathlib.Path(folder) / ("haproxy-%d" % free_port())
        folder.mkdir()
        self.port, self.stream_port = free_port(), free_port()
        self.access = folder / "access.log"
        text = "global\n    log stdout format raw local0 info\n    maxconn 4096\n"
        text += page.replaced("haproxy", [
            ("defaults\n", "defaults\n    log global\n"),
            ("bind :80\n", "bind %s:%d\n    log-format \"access %%HM %%HU %%ST %%ts %%b/%%s\"\n" % (HOST, self.port)),
            ("127.0.0.1:8090", "%s:%d" % (HOST, ports[0])),
            ("127.0.0.1:8091", "%s:%d" % (HOST, ports[1]))])
        listening = [self.port]
        if stream is not None:
            changes = [("bind :443\n", "bind %s:%d\n" % (HOST, self.stream_port)),
                       ("127.0.0.1:8090", "%s:%d" % (HOST, stream))]
            if version == 1:
                changes.append(("send-proxy-v2", "send-proxy"))
            text += page.replaced("haproxy-tcp", changes)
            listening.append(self.stream_port)
        (folder / "haproxy.cfg").write_text(text)
        super().__init__("haproxy", [program, "-db", "-f", str(folder / "haproxy.cfg")], folder / "out.log")
        self.wait_for(listening)

    def requests(self):
        return [line[7:] for line in lines(self.out) if line.startswith("access ")]

    def errors(self):
        return [line for line in lines(self.out) if not line.startswith("access ")]


class Apache(Proxy):
    name, program, package = "apache", "apache2", "apache2"
    MODULES = ("mpm_event authz_core proxy proxy_http proxy_balancer lbmethod_byrequests slotmem_shm headers "
               "log_config unixd").split()

    def __init__(self, folder, ports):
        program = find(self.program, self.package)
        modules = next(iter(glob.glob("/usr/lib*/apache2/modules")), None)
        if not modules:
            raise Missing("the modules of apache2 are not in /usr/lib/apache2/modules")
        folder = pathlib.Path(folder) / ("apache-%d" % free_port())
        folder.mkdir()
        self.port = free_port()
        self.access = folder / "access.log"
        text = "ServerRoot %s\nServerName localhost\nPidFile pid\nDefaultRuntimeDir %s\nMutex fcntl:%s\n" % ((folder,) * 3)
        text += "ErrorLog error.log\nLogLevel warn\n"
        for module in self.MODULES:
            if os.path.exists("%s/mod_%s.so" % (modules, module)):
                text += "LoadModule %s_module %s/mod_%s.so\n" % (module, modules, module)
        if os.geteuid() == 0:
            text += "User www-data\nGroup www-data\n"
        text += "LogFormat \"%%m %%U%%q %%>s\" test\nCustomLog %s test\n" % self.access
        text += page.replaced("apache", [("Listen 80\n", "Listen %s:%d\n" % (HOST, self.port)),
                                         ("<VirtualHost *:80>", "<VirtualHost *:%d>" % self.port),
                                         ("127.0.0.1:8090", "%s:%d" % (HOST, ports[0])),
                                         ("127.0.0.1:8091", "%s:%d" % (HOST, ports[1]))])
        self.error_log = folder / "error.log"
        (folder / "apache.conf").write_text(text)
        super().__init__("apache", [program, "-d", str(folder), "-f", str(folder / "apache.conf"), "-DFOREGROUND"],
                         folder / "out.log")
        self.wait_for([self.port])

    def errors(self):
        return lines(self.out) + lines(self.error_log)


class Control(Program):
    """A server that answers early and then reads everything, as far as a server can do more for its clients."""

    def __init__(self, folder):
        self.port = free_port()
        script = pathlib.Path(__file__).with_name("control.py")
        super().__init__("control", [sys.executable, str(script), str(self.port)], pathlib.Path(folder) / "control.out")
        self.wait_for([self.port])


PROXIES = {kind.name: kind for kind in (Nginx, HAProxy, Apache)}
