"""A user model of the project's own."""

from __future__ import annotations

import subprocess
import sys

from tests.helpers.commands import ROOT, environment


def test_a_user_model_of_the_projects_own_works_throughout() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--quiet",
            "--ds=tests.django.custom.settings",
            "tests/django/custom/check_custom_user.py",
        ],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "8 passed" in done.stdout
