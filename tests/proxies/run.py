#!/usr/bin/env python3
"""The server behind nginx, HAProxy and Apache, with the configurations of docs/. See README.md.

usage: run.py --echo target/release/echo [--python PATH] [--runtime tokio] [--proxy nginx] [--check stops] [--stops N] [--quick]

Prints one line for each check. Exit status 0: all passed; 1: one failed, or could not run; 2: a wrong command line.
"""
import argparse
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import checks  # noqa: E402
import python_checks  # noqa: E402
from page import PageError  # noqa: E402
from programs import PROXIES, Apache, HAProxy, Missing, Nginx, NotStarted, find  # noqa: E402

RUNTIMES = ("tokio", "smol", "async-std", "std")
# A run that takes longer hangs; a quick one takes less than a minute.
BOUND, QUICK_BOUND = 1800, 240

# What runs, in this order: the name of the check, the proxy, what is special, the check.
TABLE = [
    ("requests", "nginx", "", lambda run: checks.requests(run, Nginx)),
    ("requests", "haproxy", "", lambda run: checks.requests(run, HAProxy)),
    ("requests", "apache", "", lambda run: checks.requests(run, Apache)),
    ("bodies", "nginx", "", lambda run: checks.bodies(run, Nginx)),
    ("bodies", "haproxy", "", lambda run: checks.bodies(run, HAProxy)),
    ("bodies", "apache", "", lambda run: checks.bodies(run, Apache)),
    ("early", "none", "", lambda run: checks.early(run, None)),
    ("early", "nginx", "buffered", lambda run: checks.early(run, Nginx)),
    ("early", "nginx", "unbuffered", lambda run: checks.early(run, Nginx, buffering=False)),
    ("early", "haproxy", "", lambda run: checks.early(run, HAProxy)),
    ("early", "apache", "", lambda run: checks.early(run, Apache)),
    ("upgrade", "nginx", "", lambda run: checks.upgrade(run, Nginx)),
    ("upgrade", "haproxy", "", lambda run: checks.upgrade(run, HAProxy)),
    ("upgrade", "apache", "", lambda run: checks.upgrade(run, Apache)),
    ("proxy-protocol", "nginx", "v1", lambda run: checks.proxy_protocol(run, Nginx)),
    ("proxy-protocol", "haproxy", "v1", lambda run: checks.proxy_protocol(run, HAProxy, version=1)),
    ("proxy-protocol", "haproxy", "v2", lambda run: checks.proxy_protocol(run, HAProxy, version=2)),
    ("stops", "nginx", "", lambda run: checks.stops(run, Nginx)),
    ("stops", "haproxy", "", lambda run: checks.stops(run, HAProxy)),
    ("stops", "apache", "", lambda run: checks.stops(run, Apache)),
    ("activation", "none", "", checks.activation),
    ("units", "none", "", checks.units),
    ("rotation", "none", "", checks.rotation),
    ("python", "nginx", "requests", python_checks.requests),
    ("python", "nginx", "restarts", python_checks.restarts),
    ("python", "none", "units", python_checks.units),
]


def main():
    names = list(dict.fromkeys(name for name, *_ in TABLE))
    parser = argparse.ArgumentParser(description="The server behind nginx, HAProxy and Apache; see README.md.")
    parser.add_argument("--echo", required=True, metavar="PATH", help="the program `echo` of wsgi-tests")
    parser.add_argument("--runtime", choices=RUNTIMES, default="tokio")
    parser.add_argument("--proxy", choices=["none", *PROXIES], action="append", help="only this one; may be repeated")
    parser.add_argument("--check", choices=names, action="append", help="only this one; may be repeated")
    parser.add_argument("--stops", type=int, metavar="N", help="how often a server is stopped (100, with --quick 3)")
    parser.add_argument("--example", metavar="PATH",
                        help="the example `socket_activation` (examples/socket_activation beside echo)")
    parser.add_argument("--python", metavar="PATH", help="the command `wsgi-python` of an environment that has Flask")
    parser.add_argument("--seed", type=int, default=1, help="of the sizes and contents of bodies")
    parser.add_argument("--installed", action="store_true", help="skip proxies that are not installed, instead of ending")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs and configurations")
    parser.add_argument("--quick", action="store_true", help="less of everything: less than a minute in all")
    options = parser.parse_args()
    if not os.access(options.echo, os.X_OK):
        parser.error("there is no program %s (cargo build --release -p wsgi-tests --bin echo)" % options.echo)
    chosen = [row for row in TABLE
              if (not options.proxy or row[1] in options.proxy) and (not options.check or row[0] in options.check)
              and (row[0] != "python" or options.python)]
    if not chosen:
        parser.error("this check does not run with this proxy" + ("" if options.python else ", or needs --python"))
    if options.python and not os.access(options.python, os.X_OK):
        parser.error("there is no program %s" % options.python)
    absent = {}
    for kind in PROXIES.values():
        if kind.name in {row[1] for row in chosen}:
            try:
                find(kind.program, kind.package)
            except Missing as missing:
                absent[kind.name] = str(missing)
    if absent and not options.installed:
        sys.exit("error: " + "; ".join(absent.values()))

    def too_long(*_):
        raise TimeoutError("the run takes longer than %d s" % bound)

    bound = QUICK_BOUND if options.quick else BOUND
    signal.signal(signal.SIGALRM, too_long)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.alarm(bound)
    skipped = []
    tally = {"passed": 0, "FAILED": 0, "skipped": 0}
    folder = tempfile.mkdtemp(prefix="wsgi-proxies-")
    try:
        # The workers of a proxy may be another user.
        os.chmod(folder, 0o755)
        run = checks.Run(options, folder)
        print("%-14s %-7s %-10s %7s  result" % ("check", "proxy", "", "seconds"))
        try:
            for name, proxy, special, check in chosen:
                began = time.monotonic()
                outcome, text = ("skipped", absent[proxy]) if proxy in absent else attempt(run, check)
                tally[outcome] += 1
                if outcome == "skipped":
                    skipped.append("%s %s" % (name, proxy) if proxy != "none" else name)
                text = text if outcome == "passed" else "%s: %s" % (outcome, text)
                print("%-14s %-7s %-10s %7.1f  %s" % (name, proxy, special, time.monotonic() - began, text), flush=True)
        finally:
            run.end()
    finally:
        signal.alarm(0)
        if options.keep:
            print("logs and configurations: %s" % folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print("%d passed, %d failed, %d skipped%s" % (
        *tally.values(), ": " + ", ".join(dict.fromkeys(skipped)) if skipped else ""))
    return 1 if tally["FAILED"] else 0


def attempt(run, check):
    """What became of one check."""
    try:
        return "passed", check(run)
    except (checks.Skipped, Missing) as why:
        return "skipped", str(why)
    except (checks.Failed, NotStarted, PageError, TimeoutError) as why:
        return "FAILED", str(why)
    finally:
        run.end()


if __name__ == "__main__":
    sys.exit(main())
