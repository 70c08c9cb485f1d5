"""OpenPaths: which paths need no session, and what a path written by hand must look like."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["OpenPaths", "check_path"]

# A path that something between the client and the application may read as another one. The server
# has decoded it once; what is still encoded, a careless application may decode again. U+FFFD stands
# where bytes were not UTF-8.
_AMBIGUOUS = re.compile(
    "//|\\\\|[\x00-\x1f\x7f\ufffd]|%[0-9A-Fa-f]{2}|/\\.{1,2}(?:;[^/]*)?(?:/|\\Z)"
)


class OpenPaths:
    """The entries of ``allowed_no_session``, compiled.

    Entries are paths inside the application, below any mount point, not percent-encoded. An entry
    matches whole segments: ``/login`` and ``/login/`` both match ``/login``, ``/login/`` and
    ``/login/x``, and neither matches ``/login-admin``. ``/`` matches the home page only.

    Raises ValueError for an entry that no path can match.
    """

    def __init__(self, entries: Sequence[str]) -> None:
        paths, prefixes = [], []
        for entry in entries:
            check_path(entry)
            path = entry.rstrip("/")
            paths.append(path or "/")
            if path:
                prefixes.append(path + "/")
        self._paths, self._prefixes = frozenset(paths), tuple(prefixes)

    def __contains__(self, path: object) -> bool:
        """Return whether an entry matches a path, which is decoded text with a leading slash.

        A path that can be read in two ways, or that is not valid Unicode, matches no entry.
        """
        return (
            isinstance(path, str)
            and (path in self._paths or path.startswith(self._prefixes))
            and not _AMBIGUOUS.search(path)
            and (path.isascii() or _is_encodable(path))
        )


def check_path(path: str) -> None:
    """Raise ValueError for a path that no normalized and decoded path of a request begins with."""
    if not path.startswith("/") or not _is_encodable(path):
        raise ValueError(f"{path!r} must start with '/': it is the path of a URL")
    if _AMBIGUOUS.search(path):
        raise ValueError(
            f"no path ever matches {path!r}: write it decoded, without '.' and '..'"
            " segments, '//' and backslashes"
        )


def _is_encodable(path: str) -> bool:
    """Return whether a path can be written as UTF-8, which half of a surrogate pair cannot."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
