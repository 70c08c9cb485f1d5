"""The directive ``settings-table``: every setting of every framework, from the dataclasses.

A description is the ``#:`` comment above the field, so that the reference cannot miss a setting.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from importlib import import_module
from typing import Any

from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from djsession import Settings

#: The adapters that add settings, and their dataclasses.
ADAPTERS = {
    "Django": "djsession.django.conf.DjangoSettings",
    "Flask": "djsession.flask.extension.FlaskSettings",
    "Pyramid": "djsession.pyramid.settings.PyramidSettings",
}


def settings_rows() -> list[tuple[str, str, str, str]]:
    """Return name, frameworks, default and description of every setting, as reStructuredText."""
    described = _descriptions(Settings)
    rows = [(item.name, "all", _default(item), described[item.name]) for item in fields(Settings)]
    # Adapters share settings: one row where they say the same of one.
    users: dict[tuple[str, str, str], list[str]] = {}
    for framework, path in ADAPTERS.items():
        module, _, name = path.rpartition(".")
        adapter = getattr(import_module(module), name)
        described = _descriptions(adapter)
        common = {item.name for item in fields(Settings)}
        for item in fields(adapter):
            if item.name not in common:
                row = (item.name, _default(item), described[item.name])
                users.setdefault(row, []).append(framework)
    rows += [
        (name, ", ".join(frameworks), default, description)
        for (name, default, description), frameworks in users.items()
    ]
    return rows


def _descriptions(settings: type[Any]) -> dict[str, str]:
    """Return the ``#:`` comments of the fields by name; every field of the class itself has one."""
    comments = ModuleAnalyzer.for_module(settings.__module__).find_attr_docs()
    return {
        name: " ".join(lines).strip()
        for (owner, name), lines in comments.items()
        if owner == settings.__name__
    }


def _default(item: Field[Any]) -> str:
    if item.name == "secret_key":
        return "required"
    if item.default in (None, (), MISSING):
        return "not set"
    if isinstance(item.default, tuple):
        return ", ".join(f"``{value}``" for value in item.default)
    return f"``{item.default}``"


class SettingsTable(SphinxDirective):
    """All settings in one table."""

    def run(self) -> list[Node]:
        """Return the table."""
        lines = [
            ".. list-table::",
            "   :header-rows: 1",
            "   :widths: 26 12 22 40",
            "   :class: stacked settings",
            "",
            "   * - Name",
            "     - Framework",
            "     - Default",
            "     - Meaning",
        ]
        for name, frameworks, default, description in settings_rows():
            lines += [
                f"   * - .. _setting-{name}-{frameworks.split(',')[0].lower()}:",
                "",
                f"       ``{name}``",
                f"     - {frameworks}",
                f"     - {default}",
                f"     - {description}",
            ]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("settings-table", SettingsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
