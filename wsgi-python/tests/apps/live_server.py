"""Django's `LiveServerTestCase` with this server in place of Django's own."""

import threading
import urllib.request

from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import LiveServerTestCase
from django.test.testcases import LiveServerThread
from django.urls import path

import wsgi_python._native


def users(request):
    if request.method == "POST":
        User.objects.create(username=request.POST["name"])
    return HttpResponse(",".join(User.objects.values_list("username", flat=True)))


urlpatterns = [path("users", users)]


class Server:
    """The interface of Django's WSGIServer that its thread uses."""

    def __init__(self, sock, application):
        self.sock = sock
        self.application = application
        self.handle = None
        self.started = threading.Event()

    def get_app(self):
        return self.application

    def serve_forever(self):
        # One thread: all of them share the connection to a database in memory.
        wsgi_python._native.serve([self.sock.fileno()], self.application, {"log_output": False}, threads=1,
                                  started=self._started)

    def _started(self, handle):
        self.handle = handle
        self.started.set()

    def shutdown(self):
        self.started.wait()
        self.handle.stop()

    def server_close(self):
        self.sock.close()


class Thread(LiveServerThread):
    def run(self):
        import socket

        from django.contrib.staticfiles.handlers import StaticFilesHandler
        from django.core.handlers.wsgi import WSGIHandler
        from django.db import connections

        for alias, connection in self.connections_override.items():
            connections[alias] = connection
        try:
            sock = socket.create_server((self.host, self.port))
            self.port = sock.getsockname()[1]
            self.httpd = Server(sock, StaticFilesHandler(WSGIHandler()))
            self.is_ready.set()
            self.httpd.serve_forever()
        except Exception as error:
            self.error = error
            self.is_ready.set()
        finally:
            connections.close_all()

    def terminate(self):
        if hasattr(self, "httpd"):
            self.httpd.shutdown()
            self.join()
            self.httpd.server_close()


class LiveTests(LiveServerTestCase):
    server_thread_class = Thread

    def open(self, path, data=None):
        with urllib.request.urlopen(self.live_server_url + path, data) as response:
            return response.read().decode()

    def test_a_page_sees_the_database_of_the_test(self):
        User.objects.create(username="a")
        self.assertEqual(self.open("/users"), "a")

    def test_the_test_sees_what_a_page_has_stored(self):
        self.assertEqual(self.open("/users", b"name=b"), "b")
        self.assertTrue(User.objects.filter(username="b").exists())

    def test_a_test_begins_with_an_empty_database(self):
        self.assertEqual(self.open("/users"), "")

    def test_a_missing_page(self):
        with self.assertRaises(urllib.request.HTTPError) as error:
            self.open("/missing")
        self.assertEqual(error.exception.code, 404)
        error.exception.close()
