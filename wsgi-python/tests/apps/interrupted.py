"""An application that is interrupted while it waits on a connection that it has taken over."""

import signal
import threading

handled = []
signal.signal(signal.SIGUSR1, lambda *_: handled.append(None))


def app(environ, start_response):
    sock = environ["eventlet.input"].get_socket()
    sock.settimeout(20)
    # Over TLS, `recv` then reads from a socket of the system.
    sock.fileno()
    reader, enough, ended = threading.get_ident(), len(handled) + 20, threading.Event()

    def interrupt():
        # Some of the signals arrive before the thread waits.
        while len(handled) < enough and not ended.wait(0.01):
            signal.pthread_kill(reader, signal.SIGUSR1)
        sock.sendall(b"interrupted")

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    try:
        received = sock.recv(100)
    except OSError as error:
        received = repr(error).encode()
    ended.set()
    interrupter.join()
    sock.sendall(received)
    sock.close()
    return []
