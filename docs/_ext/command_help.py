"""The directive ``command-help``: the output of ``djsession COMMAND --help``."""

from __future__ import annotations

import os
import subprocess
import sys

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class CommandHelp(SphinxDirective):
    """The help of a command; without an argument that of ``djsession`` itself."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the help as a literal block."""
        text = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "djsession", *self.arguments, "--help"],
            env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return [nodes.literal_block(text, text, language="none")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
