"""The pages of every application: open ones, and a secret one at every other path."""

from __future__ import annotations

import re
from posixpath import normpath
from urllib.parse import unquote

#: The paths that need no session.
ENTRIES = ["/open", "/docs/api"]


def page(path: str) -> str:
    """Return the page at the path that the application's own router found.

    The page is chosen as carelessly as some applications do it: the path is decoded again,
    parameters of segments are dropped, and dot segments and backslashes are resolved.
    """
    resolved = unquote(unquote(path)).replace("\\", "/")
    resolved = normpath("/" + re.sub(r";[^/]*", "", resolved).lstrip("/"))
    is_open = any(f"{resolved}/".startswith(f"{entry}/") for entry in ENTRIES)
    return f"{'OPEN' if is_open else 'SECRET'} {path!a}"
