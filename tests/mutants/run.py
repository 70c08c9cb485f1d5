"""Change the code in small ways, and see whether a test fails: ``nox -s mutants -- paths jwt``.

mutmut changes one expression at a time in the functions of a module, such as ``<`` to ``<=``, and
runs the unit tests of that module for each change. A change that no test notices is a survivor:
a test is missing, or the change makes no difference. The latter are listed in ``survivors.toml``
with the reason. This script fails if a change survives that is not listed, and if a change is
listed that does not survive.

mutmut changes neither what is outside of functions, such as regular expressions and tables, nor
functions with a decorator. The decorator ``hide_locals`` is removed first, since it only shortens
tracebacks.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

#: The unit tests of each module.
TESTS = {
    "paths": ["tests/test_paths.py"],
    "transport": ["tests/test_transport.py"],
    "openssl": ["tests/test_openssl.py"],
    "jwt": ["tests/test_jwt.py"],
    "gate": ["tests/test_gate.py"],
    "codec": ["tests/test_codec.py"],
}

CONFIGURATION = """

[tool.mutmut]
source_paths = ["djsession"]
only_mutate = ["djsession/{module}.py"]
also_copy = ["_djsession_pytest.py"]
timeout_constant = 30
# This test counts frames, and mutmut adds some of its own.
pytest_add_cli_args = ["-p", "no:cacheprovider", "-k", "not stack_that_is_almost_full"]
pytest_add_cli_args_test_selection = {tests}
"""


class Survivor(NamedTuple):
    """A change that no test notices."""

    function: str
    #: The lines of the diff that start with - or +.
    change: str

    def __str__(self) -> str:
        return f"{self.function}\n{self.change}"


def mutmut(folder: str, *arguments: str) -> str:
    command = (sys.executable, "-m", "mutmut", *arguments)
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{' '.join(arguments)}:\n{result.stdout[-5_000:]}\n{result.stderr[-5_000:]}")
    return result.stdout


def survivors(module: str) -> Iterator[Survivor]:
    """Run the tests of a module for each change, and yield the changes that they do not notice."""
    with TemporaryDirectory() as folder:
        ignored = shutil.ignore_patterns("__pycache__", "load", "browser", "interop", "mutants")
        for name in ("djsession", "tests"):
            shutil.copytree(ROOT / name, Path(folder) / name, ignore=ignored)
        shutil.copy(ROOT / "_djsession_pytest.py", folder)
        source = Path(folder) / "djsession" / f"{module}.py"
        source.write_text(re.sub(r"\n *@hide_locals\n", "\n", source.read_text("utf-8")), "utf-8")
        configuration = (ROOT / "pyproject.toml").read_text("utf-8")
        configuration += CONFIGURATION.format(module=module, tests=TESTS[module])
        (Path(folder) / "pyproject.toml").write_text(configuration, "utf-8")
        # Given names, mutmut first runs the tests by their names without a change, and exits if
        # pytest does not find one of them. Otherwise, such a test would seem to notice every
        # change. If the `ids` of parametrize contain a backslash, pytest does not find the test
        # again in the same process.
        mutmut(folder, "run", "--max-children", "1", f"djsession.{module}.*")
        for line in mutmut(folder, "results").splitlines():
            name, _, status = line.strip().partition(": ")
            if status != "survived" and status != "no tests":
                continue  # an endless loop is noticed too
            diff = mutmut(folder, "show", name).splitlines()
            changed = [line for line in diff if line[:1] in "-+" and line[:3] not in ("---", "+++")]
            function = name.rpartition("__mutmut_")[0]
            yield Survivor(function, "\n".join(changed))


def main(modules: list[str]) -> None:
    listed = tomllib.loads((Path(__file__).parent / "survivors.toml").read_text("utf-8"))
    reasons = {
        Survivor(entry["function"], entry["change"].strip("\n")): entry["reason"]
        for entry in listed.get("survivor", [])
    }
    problems = []
    for module in modules or TESTS:
        found = set(survivors(module))
        expected = {item for item in reasons if item.function.startswith(f"djsession.{module}.")}
        print(f"{module}: {len(found)} survivors, {len(found & expected)} of them listed")
        problems += [f"No test notices this change:\n{item}" for item in sorted(found - expected)]
        problems += [f"A test notices this listed change:\n{item}" for item in expected - found]
    if problems:
        sys.exit("\n\n".join(problems))


if __name__ == "__main__":
    main(sys.argv[1:])
