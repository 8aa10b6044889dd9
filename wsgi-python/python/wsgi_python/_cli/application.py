"""Finds the application that `MODULE:NAME` names.

Knows imports, factories and the usual mistakes. Does not know the server.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any

from wsgi_python._cli.values import Wrong

Application = Callable[..., Any]

USUAL_NAMES = ("application", "app")
FACTORIES = ("create_app", "make_app", "create_application", "get_wsgi_application")
_OWN = os.path.dirname(os.path.abspath(__file__))


class CannotLoad(Exception):
    """The application cannot be used. The message is one line; a traceback has been printed if there is one.

    `files` are those of the traceback, since the modules in them may not be loaded.
    """

    def __init__(self, message: str, error: BaseException | None = None) -> None:
        super().__init__(message)
        self.files = _print(error) if error is not None else []


def check(text: str) -> tuple[str, str]:
    """Splits `MODULE:NAME`. Raises `Wrong` for what can be neither. The name is empty if it is not given."""
    module, colon, name = text.partition(":")
    if module.endswith(".py") or "/" in module:
        wanted = re.sub(r"\.py$", "", module).strip("./").replace("/", ".")
        raise Wrong(f"a module, not a file: {wanted}{colon}{name}")
    if not all(part.isidentifier() for part in module.split(".")):
        raise Wrong("MODULE:NAME, such as hello:app, or a factory, such as hello:create_app()")
    if colon:
        _parse(name)
    return module, name


def load(text: str) -> Application:
    """Imports the module, and calls the factory if `text` has one. Raises `CannotLoad`."""
    module_name, name = check(text)
    try:
        module = importlib.import_module(module_name)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            raise CannotLoad(f"there is no module {error.name} in {sys.path[0]} or on the path of Python") from None
        raise CannotLoad(f"cannot import {module_name}: {_summary(error)}", error) from None
    if not name:
        name = next((usual for usual in USUAL_NAMES if hasattr(module, usual)), USUAL_NAMES[0])
    path, arguments, keywords = _parse(name)
    shown = f"{module_name}:{'.'.join(path)}"
    found: Any = module
    for attribute in path:
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise CannotLoad(f"there is no {shown}{_suggestion(module_name, module)}") from None
    if arguments is not None:
        try:
            found = found(*arguments, **keywords)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise CannotLoad(f"the factory {shown} failed: {_summary(error)}", error) from None
        shown += "()"
    _require_wsgi(shown, found)
    return found


def _parse(name: str) -> tuple[list[str], list[Any] | None, dict[str, Any]]:
    """The attributes, and the arguments if it is a call: `a.b`, `create()`, `create("test", debug=True)`."""
    wrong = Wrong("MODULE:NAME, or a factory with literal arguments, such as hello:create_app('test')")
    try:
        node = ast.parse(name, mode="eval").body
        arguments: list[Any] | None = None
        keywords: dict[str, Any] = {}
        if isinstance(node, ast.Call):
            arguments = [ast.literal_eval(argument) for argument in node.args]
            keywords = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg}
            node = node.func
        path = []
        while isinstance(node, ast.Attribute):
            path.append(node.attr)
            node = node.value
    except (SyntaxError, ValueError):
        raise wrong from None
    if not isinstance(node, ast.Name):
        raise wrong
    return [node.id, *reversed(path)], arguments, keywords


def _require_wsgi(shown: str, found: Any) -> None:
    if not callable(found):
        raise CannotLoad(f"{shown} is not an application: it cannot be called (it is of type {type(found).__name__})")
    call = found if inspect.isroutine(found) else getattr(found, "__call__", found)
    if inspect.iscoroutinefunction(call):
        raise CannotLoad(f"{shown} is an ASGI application; this server runs WSGI applications")
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return
    try:
        signature.bind({}, None)
    except TypeError:
        hint = ""
        if not any(one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
                   for one in signature.parameters.values()):
            hint = f"; if it makes the application, write {shown}()"
        raise CannotLoad(f"{shown} does not take environ and start_response{hint}") from None


def _suggestion(module_name: str, module: Any) -> str:
    for name in (*USUAL_NAMES, *FACTORIES):
        if callable(getattr(module, name, None)):
            return f"; there is {module_name}:{name}" + ("()" if name in FACTORIES else "")
    return ""


def _summary(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _print(error: BaseException) -> list[str]:
    """Prints a traceback that begins with the application's own code; returns the files in it."""
    trace = error.__traceback__
    while trace is not None and _is_machinery(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)
    files = [frame.filename for frame in traceback.extract_tb(trace)]
    if isinstance(error, SyntaxError) and error.filename:
        files.append(error.filename)
    return files


def _is_machinery(file: str) -> bool:
    return file.startswith(("<frozen importlib", _OWN)) or file == importlib.__file__
