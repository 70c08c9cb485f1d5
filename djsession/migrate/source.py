"""Edits Python code at positions in its syntax tree, so that the rest stays as it is."""

from __future__ import annotations

import ast
import re
import warnings
from collections import defaultdict

from .names import Note, Reason

__all__ = ["Node", "Source"]

Node = ast.expr | ast.stmt | ast.alias
_NEWLINE = re.compile(rb"\r\n|\r|\n")


class Source:
    """The source of a Python file with its syntax tree, and the edits and notes so far."""

    def __init__(self, text: str) -> None:
        with warnings.catch_warnings(action="ignore"):  # about the project's code
            self.tree = ast.parse(text)
        #: UTF-8, because positions in the syntax tree count its bytes.
        self.data = text.encode()
        self.notes: list[Note] = []
        #: Strings that need no further look.
        self.handled: set[ast.AST] = set()
        #: The attribute that the code takes from an expression.
        self.attributes: dict[ast.AST, ast.Attribute] = {}
        #: Where the code uses a name.
        self.uses: dict[str, list[ast.Name]] = defaultdict(list)
        #: The modules in statements such as ``import a.b.module``, without ``as``.
        self.whole_imports: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute):
                self.attributes[node.value] = node
            elif isinstance(node, ast.Name):
                self.uses[node.id].append(node)
            elif isinstance(node, ast.Import):
                self.whole_imports.update(item.name for item in node.names if item.asname is None)
        newlines = list(_NEWLINE.finditer(self.data))
        self.newline = newlines[0][0] if newlines else b"\n"
        self._starts = [0, *(newline.end() for newline in newlines)]
        #: Where each edit starts and ends, and the new text.
        self.edits: set[tuple[int, int, bytes]] = set()

    def start(self, node: Node) -> int:
        return self._starts[node.lineno - 1] + node.col_offset

    def end(self, node: Node) -> int:
        return self._starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)

    def segment(self, node: Node) -> bytes:
        return self.data[self.start(node) : self.end(node)]

    def gap(self, node: Node) -> bytes:
        """Return the newline and indentation to put between a new line and ``node``.

        Returns b"" if ``node`` is not the first thing on its line.
        """
        indentation = self.data[self._starts[node.lineno - 1] : self.start(node)]
        return b"" if indentation.strip() else self.newline + indentation

    def note(self, node: Node, subject: str, reason: Reason) -> None:
        self.notes.append(Note(node.lineno, subject, reason))

    def result(self) -> str:
        """Return the source with the edits applied."""
        result = bytearray(self.data)
        for start, end, text in sorted(self.edits, reverse=True):
            result[start:end] = text
        return result.decode()
