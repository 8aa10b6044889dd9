"""The proxy configurations of docs/production.md, with the addresses of a test run in place of the real ones."""
import pathlib
import re

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "production.md"

BLOCK = re.compile(r"<!-- tests/proxies runs this: (\S+) -->\n```\w*\n(.*?)```\n", re.S)


class PageError(Exception):
    """The page and the tests disagree."""


def block(name):
    """The configuration of this name, as it stands on the page."""
    found = [text for other, text in BLOCK.findall(PAGE.read_text()) if other == name]
    if len(found) != 1:
        raise PageError("%s has %d configurations named %s, not one" % (PAGE.name, len(found), name))
    return found[0]


def replaced(name, changes):
    """The configuration with `changes` made, a list of (text of the page, text of the test). Each text stands there once."""
    text = block(name)
    for old, new in changes:
        if text.count(old) != 1:
            raise PageError("%s: `%s` stands %d times in the configuration %s, not once"
                            % (PAGE.name, old, text.count(old), name))
        text = text.replace(old, new)
    return text
