"""Run the frameworks' own tests, from their source distributions, with djsession in place.

A test may fail only if ``expected.toml`` lists it, with the reason, and what is listed there has to
fail.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

from djsession import dumps

HERE = Path(__file__).parent
KEY = "a key for the frameworks' suites"

DJANGO = ("runtests.py", "--settings=django_settings", "--parallel=1", "--noinput")
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "outcomes_plugin", "-p")
MODULES = """
    admin_changelist admin_custom_urls admin_default_site admin_docs admin_filters admin_inlines
    admin_utils admin_views admin_widgets asgi async auth_tests cache conditional_processing
    context_processors csrf_tests decorators flatpages_tests generic_views handlers messages_tests
    middleware middleware_exceptions redirects_tests requests_tests servers shortcuts sites_tests
    test_client test_client_regress view_tests wsgi
"""

#: By name: the distribution, the folder in its source to run in, and the command.
SUITES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "django-sessions-of-visitor": ("Django", "tests", (*DJANGO, "sessions_tests")),
    "django-sessions-of-user": ("Django", "tests", (*DJANGO, "sessions_tests")),
    "django": ("Django", "tests", (*DJANGO, *MODULES.split())),
    "flask": ("Flask", ".", (*PYTEST, "flask_plugin")),
    "flask-login": ("Flask-Login", ".", (*PYTEST, "flask_plugin")),
    # Without the unit tests of the Configurator, which count what is registered.
    "pyramid": ("pyramid", ".", (*PYTEST, "pyramid_plugin", "--ignore=tests/test_config")),
}

#: In the tests of the session itself: the user whom it belongs to, "" for a visitor.
OWNERS = {"django-sessions-of-visitor": "", "django-sessions-of-user": "xia"}


def main(names: list[str]) -> int:
    """Run the suites of these names, or all, and return the exit code."""
    differences = tomllib.loads((HERE / "expected.toml").read_text())["difference"]
    table = [f"{'suite':45} {'ran':>6} {'failed as expected':>19} {'unexplained':>12}"]
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names or SUITES:
            outcomes = run(name, Path(folder))
            ran = {test for test, outcome in outcomes.items() if outcome != "skipped"}
            failed = {test for test in ran if outcomes[test] != "passed"}
            explained = set()
            for pattern in expected_failures(differences, name):
                matches = re.compile(re.escape(pattern).replace(r"\*", ".*")).fullmatch
                matched = {test for test in ran if matches(test)}
                explained |= matched
                stale = sorted(matched - failed) if matched else ["what did not run"]
                problems += [f"{name}: {pattern} in expected.toml matches {test}" for test in stale]
            unexplained = sorted(failed - explained)
            problems += [f"{name}: {test} fails:\n{outcomes[test]}" for test in unexplained]
            title = f"{name}, {SUITES[name][0]} {version(SUITES[name][0])}"
            counts = len(failed & explained), len(unexplained)
            table.append(f"{title:45} {len(ran):6} {counts[0]:19} {counts[1]:12}")
    print(*problems, *table, sep="\n")
    return 1 if problems else 0


def expected_failures(differences: list[dict[str, Any]], suite: str) -> list[str]:
    """Return the patterns that expected.toml lists for a suite."""
    return [test for entry in differences if suite in entry["suites"] for test in entry["tests"]]


def run(name: str, folder: Path) -> dict[str, str]:
    """Return the outcome of each test: "passed", "skipped" or the report of its failure."""
    print(f"== {name}", flush=True)
    distribution, subfolder, command = SUITES[name]
    outcomes = folder / "outcomes.json"
    outcomes.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])),
        "DJAODJIN_SECRET_KEY": KEY,
        "DJSESSION_TEST_TOKEN": f"sessionid={dumps({}, KEY)}",
        "DJSESSION_TEST_OUTCOMES": str(outcomes),
    }
    if name in OWNERS:
        environment["DJSESSION_TEST_OWNER"] = OWNERS[name]
    source = unpacked(distribution, folder)
    finished = subprocess.run(
        [sys.executable, *command],
        cwd=source / subfolder,
        env=environment,
        capture_output=True,
        text=True,
    )
    found: dict[str, str] = json.loads(outcomes.read_text()) if outcomes.exists() else {}
    if not found:
        sys.exit(f"no test ran:\n{finished.stdout}\n{finished.stderr}")
    return found


def unpacked(distribution: str, folder: Path) -> Path:
    """Return the folder of a distribution's source, in the version that is installed."""
    target = folder / distribution
    if not target.exists():
        requirement = f"{distribution}=={version(distribution)}"
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
        subprocess.run([*pip, f"--dest={target}", requirement], check=True)
        with tarfile.open(next(target.glob("*.tar.gz"))) as archive:
            archive.extractall(target, filter="data")
    return next(path for path in target.iterdir() if path.is_dir())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
