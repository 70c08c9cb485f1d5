"""Reads YAML as plain data, with the line of each value.

Only the tags for JSON's types are allowed. Other tags and repeated keys are mistakes.
"""

from __future__ import annotations

import math
import stat
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ..errors import MockupError

__all__ = ["MAX_FILE_SIZE", "Problem", "Reader", "Where", "kind_of", "read_text", "text_problems"]

#: The size in bytes of the largest file that is read.
MAX_FILE_SIZE = 1_048_576

# The most values that a file may contain once its aliases are followed. A few lines of aliases can
# stand for billions of values.
_MAX_VALUES = 20_000

#: The place of a value in a file: the keys and indexes that lead to it from the top.
Where = tuple[str | int, ...]


class Problem(NamedTuple):
    """What is wrong with a value. A problem that is not fatal is a warning."""

    where: Where
    what: str
    is_fatal: bool = True


def read_text(path: Path) -> str:
    """Return the text of a file. It must be a regular file, since a FIFO would block forever.

    Raises MockupError without a line number.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise MockupError(["not a regular file, expected a YAML file"])
        if status.st_size > MAX_FILE_SIZE:
            raise MockupError([f"larger than {MAX_FILE_SIZE} bytes, expected a small file"])
        return path.read_text(encoding="utf-8")
    except OSError as error:
        problem = f"cannot be read ({error.strerror}), expected a YAML file"
    except UnicodeDecodeError:
        problem = "not UTF-8, expected a YAML file in UTF-8"
    raise MockupError([problem])


class Reader:
    """Turns YAML nodes into data, remembering the line of each value."""

    def __init__(self, text: str) -> None:
        self.problems: list[tuple[int, str]] = []
        self._text = text
        self._lines: dict[Where, int] = {(): 1}
        self._left = _MAX_VALUES
        self._open: set[int] = set()
        self._scalars = yaml.constructor.SafeConstructor()

    def read(self) -> Any:
        """Return the data. ``problems`` then lists what could not be read, with line numbers.

        Raises MockupError with a ``line: what`` message if the text cannot be read at all.
        """
        try:
            node = yaml.compose(self._text, Loader=yaml.SafeLoader)
            return None if node is None else self._value(node, ())
        except yaml.MarkedYAMLError as error:
            raise MockupError(self._syntax_problems(error)) from None
        except (yaml.YAMLError, ValueError, OverflowError):  # a number that is not a character
            raise MockupError(["1: a character that YAML does not allow, expected text"]) from None
        except RecursionError:
            raise MockupError(["1: nested too deeply, expected a mapping of sessions"]) from None

    def line_of(self, path: Where) -> int:
        """Return the line of the nearest part of a path that is written in the file."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def _syntax_problems(self, error: yaml.MarkedYAMLError) -> list[str]:
        tabs = [
            f"{number}: a tab in the indentation, expected spaces"
            for number, line in enumerate(self._text.splitlines(), 1)
            if "\t" in line[: len(line) - len(line.lstrip())]
        ]
        if tabs:
            return tabs
        mark = error.problem_mark or error.context_mark
        what = " ".join(str(part) for part in (error.problem, error.context) if part)
        return [f"{mark.line + 1 if mark else 1}: {what}, expected YAML"]

    def _problem(self, node: yaml.Node, what: str) -> None:
        self.problems.append((node.start_mark.line + 1, what))

    def _value(self, node: yaml.Node, path: Where) -> Any:
        self._left -= 1
        if self._left < 0:
            raise MockupError(
                [f"1: more than {_MAX_VALUES} values with aliases followed, expected a small file"]
            )
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            self._problem(node, "an anchor refers to itself, expected values that end")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
                return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
            if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
                return self._mapping(node, path)
        finally:
            self._open.discard(id(node))
        return self._unknown(node)

    def _mapping(self, node: yaml.MappingNode, path: Where) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                for item in self._merges(value_node, path):
                    merged = {**item, **merged}
                continue
            if key_node.tag != "tag:yaml.org,2002:str":
                self._problem(
                    key_node, "a key that is not a string, expected a string: put it in quotes"
                )
                continue
            key = key_node.value
            where = (*path, key)
            if key in own:
                first = self._lines[where]
                self._problem(
                    key_node,
                    f"duplicate key {key!r}, first on line {first}, expected each key once",
                )
                continue
            self._lines[where] = key_node.start_mark.line + 1
            own[key] = self._value(value_node, where)
        return {**merged, **own}

    def _merges(self, node: yaml.Node, path: Where) -> Iterator[dict[str, Any]]:
        """Yield the mappings that a merge key (``<<``) brings in, in order of precedence."""
        for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            value = self._value(item, (*path, "<<"))
            if isinstance(value, dict):
                yield value
            else:
                self._problem(item, "<< merges something that is not a mapping, expected a mapping")

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        kind = node.tag.rpartition(":")[2] if node.tag.startswith("tag:yaml.org,2002:") else ""
        # Dates stay text, since the proxy sends dates as strings.
        if kind in ("str", "timestamp"):
            return node.value
        if kind == "null":
            return None
        try:
            if kind == "bool":
                return self._scalars.construct_yaml_bool(node)
            if kind == "int":
                return self._scalars.construct_yaml_int(node)
            if kind == "float":
                number = self._scalars.construct_yaml_float(node)
                if math.isfinite(number):
                    return number
        except (ValueError, KeyError, IndexError, OverflowError):
            pass
        return self._unknown(node)

    def _unknown(self, node: yaml.Node) -> None:
        self._problem(
            node,
            f"a value with the unknown type {node.tag!r}, expected a string, a number, true, false,"
            " null, a list or a mapping",
        )


def text_problems(mapping: Mapping[str, Any], key: str, where: Where) -> Iterator[Problem]:
    """Yield the problem with a value that must be a non-empty string, if there is one."""
    value = mapping[key]
    if isinstance(value, str) and value.strip():
        return
    hint = ": put it in quotes" if isinstance(value, (int, float)) else ""
    yield Problem((*where, key), f"{key} is {kind_of(value)}, expected a string{hint}")


def kind_of(value: object) -> str:
    """Return the type of a value in words for people who write YAML, without the value."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string" if value.strip() else "an empty string"
    if isinstance(value, (date, datetime)):
        return "a date"
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    return f"of the type {type(value).__name__}"
