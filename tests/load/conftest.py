"""Load and faults. ``nox -s load`` runs what is here; ``.ci/run`` a shorter run of it."""

from __future__ import annotations

import os

if not int(os.environ.get("DJSESSION_TEST_LOAD", "0")):
    collect_ignore_glob = ["test_*.py"]
