"""The project's checks.

``nox`` runs lint, types, tests and build. ``nox -s NAME`` runs one session, and ``nox -l`` lists
them all. CI also runs browser, interop, lowest and load: see ``.ci/run``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "types", "tests", "build"]
nox.options.default_venv_backend = "virtualenv"


def interpreters() -> list[str]:
    """Return the versions of Python from 3.11 on that this machine has, oldest first.

    Those in pyenv's folder count even if they are not activated: they are added to PATH.
    """
    found = []
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for minor in range(11, 20):
        name = f"python3.{minor}"
        candidates = [shutil.which(name), *map(str, pyenv.glob(f"3.{minor}.*/bin/{name}"))]
        if sys.version_info[:2] == (3, minor):
            candidates.append(sys.executable)
        for path in filter(None, candidates):
            # pyenv has shims for versions that are not activated, and they fail.
            if subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
                os.environ["PATH"] = os.pathsep.join([str(Path(path).parent), os.environ["PATH"]])
                found.append(f"3.{minor}")
                break
    return found


INTERPRETERS = interpreters()
DATABASE_URL = "DJSESSION_TEST_DATABASE_URL"
PARALLEL = "--numprocesses=auto"
UNIT_TESTS = ("-m", "not server")


def install_with_test_dependencies(session: nox.Session, *more: str) -> None:
    """Install the package in editable mode, and what its tests need.

    A new Python version often lacks wheels for some of the test dependencies. Then they are
    installed one by one, and the session goes on without those that fail: the tests that import
    them are skipped.
    """
    # An older release with a wheel is better than a newer one that needs a compiler.
    install = partial(session.install, "--prefer-binary")
    try:
        install("--editable", ".[test]", *more)
    except nox.command.CommandFailed:
        install("--editable", ".[all]", *more)
        project = nox.project.load_toml("pyproject.toml")["project"]
        for requirement in project["optional-dependencies"]["test"]:
            try:
                install(requirement)
            except nox.command.CommandFailed:
                session.warn(f"{requirement} cannot be installed; its tests are skipped")


@nox.session(python=INTERPRETERS)
def tests(session: nox.Session) -> None:
    """Run the tests on every Python found.

    The oldest and the newest Python run all of them, and those of Django a second time on
    PostgreSQL if DJSESSION_TEST_DATABASE_URL names a database: postgresql://user@host:port/name.
    The versions in between run the unit tests: all but those that talk to a server.
    """
    install_with_test_dependencies(session)
    everything = session.python in (INTERPRETERS[0], INTERPRETERS[-1])
    selection = session.posargs or (() if everything else UNIT_TESTS)
    session.run("pytest", PARALLEL, *selection, env={DATABASE_URL: ""})
    if os.environ.get(DATABASE_URL) and everything and not session.posargs:
        session.run("pytest", PARALLEL, "tests/django")


@nox.session(python=INTERPRETERS[:1])
def lowest(session: nox.Session) -> None:
    """Run the unit tests with the lowest versions that pyproject.toml declares."""
    if session.python != "3.11":
        session.skip("needs Python 3.11: the lowest versions have no wheels for later ones")
    # Pyramid 2.0 imports pkg_resources, which setuptools 82 removed.
    session.install("uv>=0.5", "setuptools<82")
    python = str(Path(session.bin) / "python")
    lowest_direct = ("--resolution", "lowest-direct")
    session.run("uv", "pip", "install", "--python", python, *lowest_direct, "--editable", ".[test]")
    # In one process: the lowest pytest-xdist cannot report a test about half of a surrogate pair.
    session.run("pytest", *(session.posargs or UNIT_TESTS), env={DATABASE_URL: ""})


BROWSER = ("selenium>=4.20", "axe-core-python>=0.1")


@nox.session
def browser(session: nox.Session) -> None:
    """Run the tests in Chromium; they leave screenshots in examples/screenshots."""
    install_with_test_dependencies(session, *BROWSER)
    session.run("pytest", "tests/browser", env={"DJSESSION_TEST_BROWSER": "1"})


@nox.session
def interop(session: nox.Session) -> None:
    """Run the examples behind the real proxy, and a project on djaodjin-deployutils and djsession.

    Tokens are exchanged with other implementations.
    """
    install_with_test_dependencies(session)
    with tempfile.TemporaryDirectory() as folder:
        # The proxy, and a project that uses both packages, get their own environment: they need
        # packages that djsession does not need.
        session.run("python", "-m", "venv", folder)
        python = str(Path(folder) / "bin" / "python")
        session.run(
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "djaodjin-rules",
            "djaodjin-deployutils[django]",
            "gunicorn",
            "--editable",
            ".",
            external=True,
        )
        session.run("npm", "install", "--silent", "--prefix", folder, "crypto-js", external=True)
        session.run(
            "pytest",
            "tests/interop",
            "tests/migration",
            *session.posargs,
            env={
                "DJSESSION_TEST_PROXY_PYTHON": python,
                "NODE_PATH": str(Path(folder) / "node_modules"),
            },
        )


REDIS = ("pyramid_session_redis>=1.8", "redis>=5.1")


@nox.session
def load(session: nox.Session) -> None:
    """Run servers under load, with broken tokens, killed servers and changed keys.

    Each server gets 200,000 requests, or as many as DJSESSION_TEST_LOAD says. Each site of several
    servers gets a tenth of them.
    """
    install_with_test_dependencies(session, *REDIS)
    requests = os.environ.get("DJSESSION_TEST_LOAD", "200000")
    session.run("pytest", "tests/load", *session.posargs, env={"DJSESSION_TEST_LOAD": requests})


@nox.session(python=INTERPRETERS[:1])
def suites(session: nox.Session) -> None:
    """Run the tests of Django, Flask, Flask-Login and Pyramid with djsession in place.

    They come from the source distributions on PyPI. tests/suites/expected.toml lists the tests that
    fail on purpose, and why. Takes ten minutes; ``nox -s suites -- flask pyramid`` names some.
    """
    frameworks = ("Django~=5.2.0", "Flask[async]~=3.1.0", "Flask-Login~=0.6.3", "pyramid~=2.1.0")
    # Flask 3.1's tests need a pytest before 9.2.
    needs = ("pytest>=8,<9", "python-dotenv", "semantic_version", "WebTest>=3", "zope.component")
    session.install("--editable", ".", *frameworks, *needs)
    session.run("python", "tests/suites/run.py", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Run the property tests with many examples, then a coverage-guided fuzzer if available."""
    install_with_test_dependencies(session)
    session.run(
        "pytest",
        PARALLEL,
        "-m",
        "hypothesis",
        *session.posargs,
        env={"DJSESSION_TEST_PROFILE": "fuzz"},
    )
    try:
        session.install("atheris")
    except nox.command.CommandFailed:
        session.skip("atheris cannot be installed")
    session.run("python", "tests/fuzz/fuzz_loads.py", "-max_total_time=120", "-verbosity=0")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format, and how the modules import each other."""
    session.install("ruff>=0.17,<0.18", "grimp>=3.11")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("python", "tests/lint/imports.py")
    session.run("python", "tests/lint/english.py")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package, the tests and the examples, strictly."""
    stubs = ("types-docutils", "types-jsonschema", "types-PyYAML", "types-WebOb")
    install_with_test_dependencies(session, "mypy>=2", "grimp>=3.11", *BROWSER, *REDIS, *stubs)
    session.run("mypy")


@nox.session
def build(session: nox.Session) -> None:
    """Build the package, then install and import each result in an empty environment."""
    session.install("build", "docutils", "Pygments")
    session.run("python", "-m", "docutils", "--halt=warning", "README.rst", os.devnull)
    session.run("python", "-m", "docutils", "--halt=warning", "CHANGELOG.rst", os.devnull)
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--outdir", folder)
        for package in sorted(Path(folder).iterdir()):
            environment = Path(folder) / f"venv-{package.suffix[1:]}"
            session.run("python", "-m", "venv", str(environment))
            python = str(environment / "bin" / "python")
            session.run(python, "-m", "pip", "install", "--quiet", str(package), external=True)
            with session.chdir(folder):
                # MockupApp reads the style sheet, which has to be in the package.
                code = "import djsession, djsession.mockup; print(djsession.__file__)"
                session.run(python, "-c", code, external=True)
                session.run(python, "-m", "djsession", "keygen", external=True, silent=True)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build, and run every sample in it.

    Warnings are errors, and so are references that lead nowhere.
    """
    project = nox.project.load_toml("pyproject.toml")["project"]
    sphinx = project["optional-dependencies"]["docs"]
    install_with_test_dependencies(session, *sphinx, *REDIS)
    options = ("--fail-on-warning", "--nitpicky", "--keep-going", "--fresh-env")
    session.run("python", "-m", "sphinx", *options, "docs", "docs/_build")
    session.run("pytest", "tests/test_documents.py", env={"DJSESSION_TEST_DOCUMENTS": "1"})


@nox.session
def bench(session: nox.Session) -> None:
    """Print the cost of decoding and of each adapter, beside djaodjin-deployutils.

    ``nox -s bench -- decode asgi adapters django servers`` names the parts; all of them by default.
    """
    # The newest Django that djaodjin-deployutils supports.
    install_with_test_dependencies(session, "djaodjin-deployutils", "Django~=5.2.0")
    for name in session.posargs or ("decode", "asgi", "adapters", "django", "servers"):
        session.run("python", "-m", f"tests.benchmarks.bench_{name}")
