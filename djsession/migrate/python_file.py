"""Rewrites a Python file: its imports, the names in its strings, and its settings."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..settings import KEY_NAME
from .imports import rewrite_from_import, rewrite_import
from .names import APP, DOTTED, MODULES, MOVED, NEW, OLD_APPS, Note, Reason, why_left
from .source import Source

__all__ = ["rewrite_python"]

_OUTDATED = {
    "MIDDLEWARE_CLASSES": "MIDDLEWARE",
    "TEMPLATE_CONTEXT_PROCESSORS": "TEMPLATES",
    "TEMPLATE_DEBUG": "TEMPLATES",
    "TEMPLATE_DIRS": "TEMPLATES",
    "TEMPLATE_LOADERS": "TEMPLATES",
    "DEFAULT_FILE_STORAGE": "STORAGES",
    "STATICFILES_STORAGE": "STORAGES",
}
_FLASK: dict[object, Reason] = {
    "ALLOWED_NO_SESSION": Reason.FLASK_PATHS,
    "SESSION_COOKIE_NAME": Reason.FLASK_COOKIE,
}


def rewrite_python(text: str) -> tuple[str, list[Note]]:
    """Return a Python file with its names replaced, and notes on the remaining names.

    Raises SyntaxError, ValueError (of null bytes, in Python 3.11), RecursionError or MemoryError.
    """
    source = Source(text)
    _visit(source, source.tree)
    return source.result(), source.notes


def _visit(source: Source, node: ast.AST) -> None:
    match node:
        case ast.Expr(value=ast.Constant()):  # a docstring
            return
        case ast.JoinedStr():
            _note_parts(source, node, source.segment(node).decode())
            return
        case ast.Constant(value=str(value)) if node not in source.handled:
            _rewrite_string(source, node, value)
        case ast.ImportFrom():
            rewrite_from_import(source, node)
        case ast.Import():
            rewrite_import(source, node)
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                _read_assignment(source, target, value)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            _read_assignment(source, target, value)
        case ast.AugAssign(target=target, value=value):
            _read_assignment(source, target, value)
        case ast.Call():
            for item in node.keywords:
                _note_flask(source, item.value, item.arg, node.func)
            for argument in node.args:
                for name, key, _ in _entries(argument):
                    _note_flask(source, key, name, node.func)
        case ast.Dict():
            for name, _, loggers in _entries(node):
                if name == "loggers":
                    _add_logger(source, loggers)
    for child in ast.iter_child_nodes(node):
        _visit(source, child)


def _rewrite_string(source: Source, node: ast.Constant, value: str) -> None:
    if value == "deployutils":
        source.note(node, value, Reason.LOGGER)
    elif value in OLD_APPS:
        source.note(node, value, Reason.APP)
    elif value in MOVED and value.encode() in (segment := source.segment(node)):
        start = source.start(node) + segment.index(value.encode())
        source.edits.add((start, start + len(value), MOVED[value].encode()))
    elif value not in MOVED and DOTTED.fullmatch(value):
        source.note(node, value, why_left(value))
    else:
        _note_parts(source, node, value)


def _note_parts(source: Source, node: ast.expr, text: str) -> None:
    """Note the names in a longer text."""
    for name in DOTTED.findall(text):
        if name in NEW:
            source.note(node, name, Reason.IN_TEXT)


def _read_assignment(source: Source, target: ast.expr, value: ast.expr) -> None:
    match target:
        case ast.Subscript(value=owner, slice=ast.Constant(value=name)):
            _note_flask(source, target, name, owner)
        case ast.Name(id=name) if name.endswith("APPS"):
            for item in ast.walk(value):
                if isinstance(item, (ast.List, ast.Tuple, ast.Set)):
                    _add_app(source, item.elts)
        case ast.Name(id=name) if name in _OUTDATED:
            source.note(target, f"{name}, now {_OUTDATED[name]}", Reason.OUTDATED)
        # If the value itself reads the environment variable, nothing changes.
        case ast.Name(id=name) if name == KEY_NAME and not _contains(value, name):
            source.note(target, name, Reason.KEY)
        case ast.Name(id="ALLOWED_NO_SESSION") if not source.uses["DEPLOYUTILS"]:
            source.note(target, target.id, Reason.FLASK_PATHS)


def _note_flask(source: Source, node: ast.expr, name: object, owner: ast.expr) -> None:
    """Note a Flask setting, as in ``app.config[name]`` or ``config.update(name=...)``."""
    if name in _FLASK and "config" in ast.unparse(owner):
        source.note(node, str(name), _FLASK[name])


def _add_app(source: Source, items: list[ast.expr]) -> None:
    """Add djsession's app before deployutils' app, so that its commands take precedence."""
    apps = [item.value for item in items if isinstance(item, ast.Constant)]
    for item in items:
        if isinstance(item, ast.Constant) and item.value in OLD_APPS:
            source.handled.add(item)
            source.note(item, item.value, Reason.LEFT)
            if APP not in apps:
                apps.append(APP)
                new = source.segment(item).replace(item.value.encode(), APP.encode())
                start = source.start(item)
                source.edits.add((start, start, new + b"," + (source.gap(item) or b" ")))


def _add_logger(source: Source, loggers: ast.expr) -> None:
    """Configure djsession's logger in the same way as deployutils' logger."""
    entries = {name: (key, value) for name, key, value in _entries(loggers)}
    source.handled.update(key for key, _ in entries.values())
    found = entries.get("djsession") or entries.get("deployutils")
    if found is None:
        for name in filter(MODULES.__contains__, entries):
            source.note(entries[name][0], name, Reason.LOGGER)
        return
    key, value = found
    if _contains(value, "DEBUG"):
        source.note(key, "djsession", Reason.DEBUG)
    if "djsession" not in entries:
        end = source.end(value)
        rest = source.data[source.end(key) : end]
        new = source.segment(key).replace(b"deployutils", b"djsession")
        source.edits.add((end, end, b"," + (source.gap(key) or b" ") + new + rest))


def _entries(node: ast.expr) -> Iterator[tuple[str, ast.Constant, ast.expr]]:
    """Yield each string key of a dictionary, with the nodes of the key and the value."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, key, value


def _contains(node: ast.expr, text: str) -> bool:
    return any(isinstance(item, ast.Constant) and item.value == text for item in ast.walk(node))
