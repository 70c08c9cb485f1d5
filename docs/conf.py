"""Configuration of the documentation. See https://www.sphinx-doc.org/en/master/usage/configuration.html"""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path

import django
from django.conf import settings

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

# Django's modules are imported to read their docstrings.
os.environ.setdefault("DJAODJIN_SECRET_KEY", "only-for-the-documentation")
settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

project = "djsession"
author = "The djsession founders"
copyright = f"2026, {author}"
release = metadata.version("djsession")
version = release

extensions = ["sphinx.ext.autodoc", "myst_parser", "settings_table", "command_help"]
exclude_patterns = ["_build"]
source_suffix = {".rst": "restructuredtext"}
highlight_language = "none"

html_theme = "furo"
html_title = f"djsession {release}"
html_static_path = ["_static"]
html_css_files = ["djsession.css"]
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6bcb", "color-brand-content": "#0b6bcb"},
    "dark_css_variables": {"color-brand-primary": "#6cb6ff", "color-brand-content": "#6cb6ff"},
}

autodoc_member_order = "bysource"
autodoc_typehints = "none"
