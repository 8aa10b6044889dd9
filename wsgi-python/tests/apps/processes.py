"""Applications that start processes and threads."""

import os
import subprocess
import sys
import threading
import time

TEXT = [("Content-Type", "text/plain")]
LOCAL = threading.local()


def answer(start_response, text):
    start_response("200 OK", TEXT)
    return [str(text).encode()]


def run(environ, start_response):
    result = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True, check=True)
    return answer(start_response, result.stdout.strip())


def shell(environ, start_response):
    return answer(start_response, os.popen("echo $((6 * 7))").read().strip())


def fork(environ, start_response):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"from the child")
        os._exit(0)
    os.close(writer)
    text = os.read(reader, 100).decode()
    os.close(reader)
    return answer(start_response, f"{text} {os.waitpid(child, 0)[1]}")


def fork_that_returns(environ, start_response):
    """The child falls out of the application, as a forgotten `_exit` lets it."""
    child = os.fork()
    if child == 0:
        return answer(start_response, "from the child")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return answer(start_response, f"from the parent {status}")


def fork_later(environ, start_response):
    """Forks in the code that the server calls after the application, which the query names. The child returns, or exits."""
    place, _, ending = environ["QUERY_STRING"].partition("+")

    def reached(here):
        if here != place:
            return
        child = os.fork()
        if child:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            print(f"a child forked in {here} ended with {status}", file=sys.stderr, flush=True)
        elif ending == "exits":
            sys.exit(5)

    class Blocks:
        def __iter__(self):
            reached("iter")
            return self.blocks()

        def blocks(self):
            reached("first")
            yield b"one "
            reached("next")
            yield b"x" * 100_000
            # The server itself asks for this one.
            reached("late")
            yield b" two"
            reached("end")

        def close(self):
            reached("close")

    environ["eventlet.posthooks"].append((lambda _, here: reached(here), ("hook",), {}))
    start_response("200 OK", TEXT)
    return Blocks()


def descriptors(environ, start_response):
    """The descriptors that a child process inherits."""
    code = "import os; print(sorted(os.listdir('/proc/self/fd')))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, close_fds=False)
    return answer(start_response, found.stdout)


def multiprocess(environ, start_response):
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return answer(start_response, pool.apply(abs, (-42,)))


def terminated(environ, start_response):
    """A child that only waits, ended by a signal: its status."""
    number = int(environ["QUERY_STRING"])
    child = os.fork()
    if child == 0:
        try:
            time.sleep(30)
        except KeyboardInterrupt:
            os._exit(100)
        os._exit(0)
    time.sleep(0.1)
    os.kill(child, number)
    return answer(start_response, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def multiprocess_fork(environ, start_response):
    import multiprocessing

    # Logging does that, for example.
    threading.current_thread()
    context = multiprocessing.get_context("fork")
    process = context.Process(target=abs, args=(-42,))
    process.start()
    process.join()
    with context.Pool(2) as pool:
        numbers = pool.map(abs, [-40, -2])
    return answer(start_response, sum(numbers) + process.exitcode)


def local(environ, start_response):
    LOCAL.count = getattr(LOCAL, "count", 0) + 1
    return answer(start_response, LOCAL.count)


def names(environ, start_response):
    time.sleep(0.05)
    return answer(start_response, threading.current_thread() is threading.current_thread())


PAGES = {"/run": run, "/shell": shell, "/fork": fork, "/fork-that-returns": fork_that_returns, "/fork-later": fork_later,
         "/local": local, "/descriptors": descriptors, "/multiprocess": multiprocess,
         "/multiprocess-fork": multiprocess_fork, "/terminated": terminated, "/names": names}


def app(environ, start_response):
    return PAGES[environ["PATH_INFO"]](environ, start_response)
