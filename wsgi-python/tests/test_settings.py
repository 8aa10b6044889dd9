"""The table of settings against the options of the server in Rust."""

import re
from pathlib import Path

import pytest

from wsgi_python._cli import values
from wsgi_python._cli.settings import SETTINGS

OPTIONS = Path(__file__).parents[2] / "wsgi-app/src/server/options.rs"
FORMATS = Path(__file__).parents[2] / "wsgi-proto/src/wsgi/log_format/mod.rs"
pytestmark = pytest.mark.skipif(not OPTIONS.exists(), reason="only in the repository")

# `--log` and `--access-log` are the flags for these, which take objects of Rust or, as `none` of `--access-log`, switch lines off.
OF_LOGS = {"log_to", "access_log", "access_log_to", "log", "logger"}


def test_every_option_of_the_server_is_a_flag():
    options = set(re.findall(r"pub fn (\w+)\(\s*mut self", OPTIONS.read_text()))
    flags = {setting.option for setting in SETTINGS if setting.option} | {"environ"}
    assert options - OF_LOGS == flags


def test_the_defaults_are_those_for_public_addresses():
    """The defaults of `Options::default()` with the changes of `Options::public()`."""
    body = OPTIONS.read_text().partition("pub fn public() -> Self {")[2].partition("\n    }")[0]
    public = {}
    for name, value in re.findall(r"\.(\w+)\((.*)\)$", body, re.MULTILINE):
        value = re.sub(r"Duration::from_secs\((\d+)\)", r"\1", value)
        public[name] = {"true": True, "false": False}.get(value, None)
        if public[name] is None:
            public[name] = eval(value)
    assert len(public) == 9
    defaults = {setting.option: setting.default for setting in SETTINGS if setting.option}
    assert {name: defaults[name] for name in public} == public


def test_the_named_formats_are_those_of_the_core():
    from wsgi_python._cli.settings import FORMATS as NAMED

    text = FORMATS.read_text()
    for name, constant in (("common", "COMMON"), ("combined", "COMBINED"), ("json", "JSON"), ("eventlet", "DEFAULT_TEMPLATE")):
        literal = re.search(rf'{constant}: &str = "(.*?)";', text, re.DOTALL)[1]
        assert re.sub(r"\\\n\s*", "", literal).replace('\\"', '"') == NAMED[name], name


def test_names_and_flags_are_unique():
    flags = [flag for setting in SETTINGS for flag in (setting.flag, *setting.flags)]
    assert len(flags) == len(set(flags))


def test_values_with_units():
    assert [values.seconds(text) for text in ("0", "1.5", "90s", "500ms", "5m", "1h", "1d")] == [0, 1.5, 90, 0.5, 300, 3600, 86400]
    assert [values.size(text) for text in ("0", "64", "64K", "64k", "64KiB", "16M", "1G", "1T")] == [
        0, 64, 65536, 65536, 65536, 1 << 24, 1 << 30, 1 << 40]
    assert [values.keepalive(text) for text in ("true", "FALSE", "0", "1", "2.5")] == [True, False, 0.0, 1.0, 2.5]
    for parse, wrong in [(values.seconds, "nan"), (values.seconds, "inf"), (values.seconds, "1e3"), (values.seconds, "-1"),
                         (values.seconds, ""), (values.size, "-1"), (values.size, "1.5"), (values.size, "99999999999999999999"),
                         (values.number, "\u0661"), (values.number, "1_0"), (values.positive, "0"), (values.switch, "maybe")]:
        with pytest.raises(values.Wrong):
            parse(wrong)
