"""The configurations of docs/production.md and docs/python.md, with the addresses of a test run in place of the real ones."""
import pathlib
import re

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
PAGES = DOCS / "production.md", DOCS / "python.md"

BLOCK = re.compile(r"<!-- tests/proxies runs this: (\S+) -->\n```\w*\n(.*?)```\n", re.S)


class PageError(Exception):
    """The page and the tests disagree."""


def block(name):
    """The configuration of this name, as it stands on its page."""
    found = [text for page in PAGES for other, text in BLOCK.findall(page.read_text()) if other == name]
    if len(found) != 1:
        raise PageError("the pages have %d configurations named %s, not one" % (len(found), name))
    return found[0]


def replaced(name, changes):
    """The configuration with `changes` made, a list of (text of the page, text of the test). Each text stands there once."""
    text = block(name)
    for old, new in changes:
        if text.count(old) != 1:
            raise PageError("`%s` stands %d times in the configuration %s, not once" % (old, text.count(old), name))
        text = text.replace(old, new)
    return text
