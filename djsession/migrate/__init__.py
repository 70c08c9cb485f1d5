"""Moves a project from djaodjin-deployutils to djsession, for ``djsession migrate``.

Only the names in ``MOVED``, which djsession also has, are rewritten. All other names still come
from deployutils, and both packages can be installed side by side. An import statement with names of
both kinds is split in two. The project's code is never imported or executed.

``project`` goes through the files and reports, and ``python_file`` rewrites one of them, with
``imports`` for its import statements. Both describe their edits to a ``source``. ``names`` lists
the names that move, and the reasons why others do not.
"""

from __future__ import annotations

from .names import MOVED
from .project import Migration, migrate

__all__ = ["MOVED", "Migration", "migrate"]
