"""Load and faults. ``nox -s load`` runs what is here; ``.ci/run`` a shorter run of it."""

from __future__ import annotations

import os

#: Requests for each server: a setting of this session, 200,000 where it is not in CI.
REQUESTS = int(os.environ.get("DJSESSION_TEST_LOAD", "0"))

if not REQUESTS:
    collect_ignore_glob = ["test_*.py"]
