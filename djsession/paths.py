"""OpenPaths: the paths that need no session, and the validation of paths in settings."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["OpenPaths", "check_path"]

# Patterns in a path that a server, proxy or application may turn into a different path. The server
# has already decoded the path once, but a careless application may decode it again. U+FFFD replaces
# bytes that were not UTF-8.
_AMBIGUOUS = re.compile(
    "//|\\\\|[\x00-\x1f\x7f\ufffd]|%[0-9A-Fa-f]{2}|/\\.{1,2}(?:;[^/]*)?(?:/|\\Z)"
)


class OpenPaths:
    """The entries of ``allowed_no_session``, ready for matching.

    Entries are paths inside the application, without the mount point and without percent-encoding.
    An entry matches whole segments: ``/login`` and ``/login/`` both match ``/login``, ``/login/``
    and ``/login/x``, but not ``/login-admin``. ``/`` matches only the home page.

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
        """Return whether an entry matches a path, given percent-decoded and with a leading slash.

        A path that can be read in two ways, or that is not valid Unicode, matches no entry.
        """
        return (
            isinstance(path, str)
            and (path in self._paths or path.startswith(self._prefixes))
            and not _AMBIGUOUS.search(path)
            and (path.isascii() or _is_encodable(path))
        )


def check_path(path: str) -> None:
    """Raise ValueError unless the normalized, decoded path of a request can start with ``path``."""
    if not path.startswith("/") or not _is_encodable(path):
        raise ValueError(f"{path!r} must start with '/': it is the path of a URL")
    if _AMBIGUOUS.search(path):
        raise ValueError(
            f"no path ever matches {path!r}: write it percent-decoded, without '//', backslashes"
            " and '.' or '..' segments"
        )


def _is_encodable(path: str) -> bool:
    """Return whether a path can be encoded as UTF-8. A lone surrogate cannot."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
