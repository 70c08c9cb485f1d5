"""Commands that the tests run, and their environment."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def command(name: str) -> str:
    """Return the path of a system command; without it a test is skipped, but never in CI."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return path


def environment(**variables: str) -> dict[str, str]:
    """Return the environment for a command of the project that is run from its root."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    # What pytest-django has set is for the tests of this process.
    inherited = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        **variables,
    }


def need_module(command: Sequence[str]) -> None:
    """Skip a test whose ``python -m MODULE`` command runs a module that is not installed."""
    if command[:2] == (sys.executable, "-m"):
        package = command[2].partition(".")[0]
        if not find_spec(package):
            pytest.skip(f"{package} is not installed")
