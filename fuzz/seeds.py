#!/usr/bin/env python3
"""Writes the seeds of all targets to seeds/: a few cases that cover most of the machine."""

import pathlib

HERE = pathlib.Path(__file__).parent / "seeds"

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
INPUTS = {
    "get": GET,
    "pipelined": b"\r\n" + GET + b"HEAD /a?b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + GET,
    "sized": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello" + GET,
    "chunked": CHUNKED + b"5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n" + GET,
    "expect": b"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc" + GET,
    "absolute": b"OPTIONS http://h:80 HTTP/1.1\r\nHost: x\r\nConnection: a, close\r\n\r\n",
    "huge": CHUNKED + b"fffff\r\nabc",
    "bad": b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
}
# Settings, script, seed of the schedule, size of the pieces, distances of the split points: see fuzz_targets/splits.rs.
CONTROLS = {"echo": b"\0\0\1\0\5\5\5\5", "small": b"\2\x12\7\2\x10\1\x10\1", "mixed": b"\1\x34\3\6\1\2\3\4"}
# See fuzz_targets/heads.rs.
LIMITS = {"default": b"\0", "small": b"\1"}
# Choices: settings, then calls; see fuzz_targets/operations.rs.
OPERATIONS = {
    "answer": bytes([0, 0, 0, 0, 0]) + bytes([0, 0, 4]) + bytes([0, 0, 21]) + bytes([0, 8]) + bytes([0, 6]),
    "read": bytes([0, 0, 0, 0, 0]) + bytes([0, 1, 4, 0, 10]) + bytes([0, 0, 0, 0, 0, 3, 0, 0, 21]),
    "raw": bytes([1, 0, 0, 0, 1]) + bytes([3, 27]) + GET + bytes([4, 0, 0, 6, 0, 0, 0, 11, 30, 0, 0, 17]),
}


def main():
    for target, seeds in {
        "splits": {f"{a}-{b}": CONTROLS[b] + INPUTS[a] for a in INPUTS for b in CONTROLS},
        "heads": {f"{a}-{b}": LIMITS[b] + INPUTS[a] for a in INPUTS for b in LIMITS},
        "operations": OPERATIONS,
    }.items():
        folder = HERE / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in seeds.items():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
