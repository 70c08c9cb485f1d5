"""Rewrites import statements, and what the code uses from imported modules."""

from __future__ import annotations

import ast
import re

from .names import MODULES, MOVED, NEW, why_left
from .source import Source

__all__ = ["rewrite_from_import", "rewrite_import"]

_AFTER_NAME = re.compile(rb"(,?(?:[ \t]*#[^\r\n]*)?)(.*)", re.DOTALL)


def rewrite_from_import(source: Source, node: ast.ImportFrom) -> None:
    """Rewrite or split ``from module import name, name``."""
    module = node.module or ""
    if node.level or not f"{module}.".startswith("deployutils."):
        return
    names = {item: f"{module}.{item.name}" for item in node.names}
    moved = [item for item in names if _is_moved(source, names[item], item.asname or item.name)]
    left = [item for item in names if item not in moved]
    for item in left:
        source.note(item, names[item], why_left(names[item]))
    if not moved:
        return
    statement = _statement(source, node, moved, NEW[names[moved[0]]].rpartition(".")[0])
    if left:
        # A comment after the statement applies to both parts.
        comment, _ = _AFTER_NAME.findall(source.data, source.end(node))[0]
        between = comment + source.gap(node) if source.gap(node) else b"; "
        statement = _statement(source, node, left, module) + between + statement
    source.edits.add((source.start(node), source.end(node), statement))


def rewrite_import(source: Source, node: ast.Import) -> None:
    """Rewrite the modules in ``import module, module as name``."""
    for item in node.names:
        if item.asname is None:
            is_moved = _replace_uses(source, item.name)
        else:
            is_moved = _is_moved(source, item.name, item.asname)
        if is_moved:
            start = source.start(item)
            source.edits.add((start, start + len(item.name), NEW[item.name].encode()))
        elif f"{item.name}.".startswith("deployutils."):
            source.note(item, item.name, why_left(item.name))


def _is_moved(source: Source, name: str, local: str) -> bool:
    """Return whether djsession has all that the code uses of an import with a local name."""
    if name in MOVED or name not in MODULES:
        return name in MOVED
    new = MODULES[name]
    used = [source.attributes.get(use) for use in source.uses[local]]
    return (
        bool(used)
        and new.rpartition(".")[2] == name.rpartition(".")[2]
        and all(item and MOVED.get(f"{name}.{item.attr}") == f"{new}.{item.attr}" for item in used)
    )


def _replace_uses(source: Source, module: str) -> bool:
    """Replace the names that the code uses from a module after ``import a.b.module``.

    Returns False, and replaces none of them, if one of these names is not in djsession.
    """
    if module not in NEW:
        return False
    edits = []
    for use in source.uses["deployutils"]:
        name, moved, attribute = use.id, None, source.attributes.get(use)
        while attribute:
            name += f".{attribute.attr}"
            if f"{MOVED.get(name)}.".startswith(f"{NEW[module]}."):
                moved = source.start(use), source.end(attribute), MOVED[name].encode()
            attribute = source.attributes.get(attribute)
        imports = [item for item in source.whole_imports if f"{name}.".startswith(f"{item}.")]
        if module in imports and moved:
            edits.append(moved)
        elif module in imports or not imports:
            return False
    source.edits.update(edits)
    return bool(edits) or module in MOVED


def _statement(source: Source, node: ast.ImportFrom, names: list[ast.alias], module: str) -> bytes:
    """Return an import of only some of the names. Each name keeps its trailing comment."""
    end = source.end(node.names[-1])
    behind, tail = _AFTER_NAME.findall(source.data, end, source.end(node))[0]
    bounds = [*map(source.start, node.names), end + len(behind)]
    parts = []
    for item, bound in zip(node.names, bounds[1:], strict=True):
        if item in names:
            new = MOVED.get(f"{node.module}.{item.name}", item.name).rpartition(".")[2]
            name = f"{new} as {item.asname or item.name}".encode()
            name = source.segment(item) if new == item.name else name
            parts.append(name + source.data[source.end(item) : bound])
    if names[-1] is not node.names[-1]:
        # The text after the last of these names used to be between two names.
        if b"#" in parts[-1]:
            parts[-1] = parts[-1].rstrip()
            tail = tail if tail.startswith((b"\r", b"\n")) else source.newline + tail
        else:
            parts[-1] = parts[-1].rstrip(b" \t\r\n\\,")
            parts[-1] += b"," if behind.startswith(b",") else b""
    head = source.data[source.start(node) : bounds[0]]
    head = head.replace(f"{node.module}".encode(), module.encode(), 1)
    return b"".join([head, *parts, tail])
