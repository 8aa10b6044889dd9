"""Values of the command line and of environment variables: text in, a value or `Wrong` out.

Knows units and spellings. Does not know which options exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Parser = Callable[[str], Any]

_TIME_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_SWITCH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}

LIMITS = (
    "method", "field_line", "fields_size", "fields", "chunk_line", "chunk_extensions", "drain", "outbox", "inbox",
)


class Wrong(ValueError):
    """A value that is not allowed. The message lists the allowed ones."""


def seconds(text: str) -> float:
    """A time in seconds, or with a unit: `90`, `0.5`, `90s`, `5m`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)", text)
    if match is None:
        raise Wrong("seconds, such as 30 or 0.5, or a number with ms, s, m, h or d")
    return float(match[1]) * _TIME_UNITS[match[2]]


def size(text: str) -> int:
    """A number of bytes, or with a unit: `65536`, `64K`, `16M`, `4G`."""
    match = re.fullmatch(r"(\d+)([kmgt]?)", text.lower().removesuffix("ib").removesuffix("b"))
    if match is None:
        raise Wrong("bytes, such as 65536, or a number with K, M or G")
    return _below_2_64(int(match[1]) * _SIZE_UNITS[match[2]])


def number(text: str) -> int:
    """A whole number, 0 or more."""
    if not re.fullmatch(r"[0-9]+", text):
        raise Wrong("a whole number")
    return _below_2_64(int(text))


def positive(text: str) -> int:
    """A whole number, 1 or more."""
    value = number(text) if re.fullmatch(r"[0-9]+", text) else 0
    if value == 0:
        raise Wrong("a whole number, 1 or more")
    return value


def octal(text: str) -> int:
    """Permission bits, as `chmod` takes them: `660`."""
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise Wrong("three octal digits, such as 660")
    return int(text, 8)


def switch(text: str) -> bool:
    """A truth value, as environment variables have it."""
    value = _SWITCH.get(text.lower())
    if value is None:
        raise Wrong("true or false")
    return value


def keepalive(text: str) -> bool | float:
    """`true`, `false`, or an idle time in seconds; a number is a time, also 0 and 1."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return seconds(text)
    except Wrong as wrong:
        raise Wrong(f"true, false, or {wrong}") from None


def or_none(parse: Parser) -> Parser:
    """The same values, or `none`."""

    def parse_or_none(text: str) -> Any:
        if text.lower() == "none":
            return None
        try:
            return parse(text)
        except Wrong as wrong:
            raise Wrong(f"{wrong}, or none") from None

    return parse_or_none


def version(text: str) -> str:
    """An HTTP version, with or without `HTTP/`."""
    name = f"HTTP/{text.upper().removeprefix('HTTP/')}"
    if name not in ("HTTP/1.0", "HTTP/1.1"):
        raise Wrong("HTTP/1.0 or HTTP/1.1")
    return name


def pair(text: str) -> tuple[str, str]:
    """`NAME=VALUE`; the value may be empty."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise Wrong("NAME=VALUE")
    return name, value


def limit(text: str) -> tuple[str, int]:
    """`NAME=NUMBER` with the name of a limit."""
    name, _, value = text.partition("=")
    name = name.replace("-", "_")
    try:
        if name in LIMITS:
            return name, size(value)
    except Wrong:
        pass
    raise Wrong("NAME=NUMBER with one of " + ", ".join(LIMITS))


def words(text: str) -> str:
    """Text that is not empty."""
    if not text.strip():
        raise Wrong("text that is not empty")
    return text


def _below_2_64(value: int) -> int:
    if value >= 1 << 64:
        raise Wrong("a number below 2^64")
    return value
