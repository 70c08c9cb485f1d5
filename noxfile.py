# /// script
# dependencies = ["nox[uv]>=2025.2.9"]
# ///
"""The project's checks.

``nox`` runs lint, types, tests and build. ``nox -s NAME`` runs one session, and ``nox -l`` lists
them all. CI also runs docs, browser, interop, lowest, django and load: see ``.ci/run``.

nox reads the lines above this text and runs this file in an environment of its own that has uv,
which installs the packages of a session in seconds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "tests", "build"]
# uv does not read pip's settings: where pip has an index of its own, pip installs.
PIP = subprocess.run(
    [shutil.which("python3") or sys.executable, "-m", "pip", "config", "list"],
    capture_output=True,
    text=True,
).stdout
nox.options.default_venv_backend = "virtualenv" if ".index-url=" in PIP else "uv|virtualenv"


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
#: The versions of Django that ``nox -s django`` tests: the long-term support and the newest one.
DJANGO = ("5.2", "6.1")
#: The modules that decide who gets in. The tests have to run each line and each branch of them.
CORE = (
    *("errors", "keys", "openssl", "jwt", "codec", "session", "transport", "paths", "gate"),
    *("caching", "local_session", "requirements", "settings", "wsgi", "asgi", "refusal"),
)


def install_with_test_dependencies(session: nox.Session, *more: str) -> None:
    """Install the package in editable mode, and what its tests need.

    A new Python version often lacks wheels for some of the test dependencies. Then they are
    installed one by one, and the session goes on without those that fail: the tests that import
    them are skipped.
    """
    try:
        # An older release with a wheel is better than a newer one that needs a compiler.
        session.install("--only-binary=:all:", "--editable", ".[test]")
    except nox.command.CommandFailed:
        session.install("--editable", ".[all]")
        project = nox.project.load_toml("pyproject.toml")["project"]
        for requirement in project["optional-dependencies"]["test"]:
            try:
                session.install(requirement)
            except nox.command.CommandFailed:
                session.warn(f"{requirement} cannot be installed; its tests are skipped")
    if more:
        session.install(*more)


@nox.session(python=INTERPRETERS)
def tests(session: nox.Session) -> None:
    """Run all tests on the newest Python, with coverage, and the unit tests on the others.

    Unit tests are all but those that talk to a server. ``nox -s tests-3.12 -- ARGUMENTS`` passes
    arguments to pytest instead, and measures nothing.
    """
    install_with_test_dependencies(session)
    environment = {DATABASE_URL: ""}
    if session.posargs:
        session.run("pytest", *session.posargs, env=environment)
    elif session.python != INTERPRETERS[-1]:
        session.run("pytest", PARALLEL, *UNIT_TESTS, env=environment)
    else:
        # pyproject.toml says what is measured and what is left out.
        session.install("coverage>=7.10.6")
        session.run("coverage", "erase")
        session.run("coverage", "run", "-m", "pytest", PARALLEL, *UNIT_TESTS, env=environment)
        session.run("coverage", "combine", "--quiet")
        session.run("coverage", "report", "--skip-covered")
        core = ",".join(f"djsession/{name}.py" for name in CORE)
        session.run("coverage", "report", f"--include={core}", "--fail-under=100", silent=True)
        # The tests of a module share servers, so they stay in one process.
        session.run("pytest", PARALLEL, "--dist=loadfile", "-m", "server", env=environment)


@nox.session(python=INTERPRETERS[-1:])
@nox.parametrize("version", DJANGO)
def django(session: nox.Session, version: str) -> None:
    """Run the tests of the Django adapter on the oldest and on the newest supported Django.

    They use PostgreSQL if DJSESSION_TEST_DATABASE_URL names a database:
    postgresql://user@host:port/name.
    """
    install_with_test_dependencies(session, f"Django~={version}.0")
    session.run("pytest", *(session.posargs or (PARALLEL, "tests/django")))


@nox.session(python=INTERPRETERS[:1], venv_backend="uv")
def lowest(session: nox.Session) -> None:
    """Run the unit tests with the lowest versions that pyproject.toml declares."""
    if session.python != "3.11":
        session.skip("needs Python 3.11: the lowest versions have no wheels for later ones")
    # Pyramid 2.0 imports pkg_resources, which setuptools 82 removed.
    session.install("setuptools<82")
    session.install("--resolution=lowest-direct", "--editable", ".[test]")
    session.run("pytest", *(session.posargs or (PARALLEL, *UNIT_TESTS)), env={DATABASE_URL: ""})


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
def mutants(session: nox.Session) -> None:
    """Change the code of the modules that decode tokens, and see whether a test notices.

    ``nox -s mutants -- paths jwt`` names some of the modules. All take a quarter of an hour.
    """
    # Random examples would kill another mutant each time.
    environment = {"DJSESSION_TEST_PROFILE": "mutants"}
    install_with_test_dependencies(session, "mutmut>=3.8,<4")
    session.run("python", "tests/mutants/run.py", *session.posargs, env=environment)


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
    """Build the package, check what it contains, and import it in an empty environment."""
    session.install("build", "check-wheel-contents", "docutils", "Pygments", "twine>=6.1")
    for document in ("README.rst", "CHANGELOG.rst", "CONTRIBUTING.rst"):
        session.run("python", "-m", "docutils", "--halt=warning", document, os.devnull)
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--outdir", folder)
        packages = sorted(map(str, Path(folder).iterdir()))
        session.run("twine", "check", "--strict", *packages)
        [wheel, sdist] = sorted(packages, key=lambda name: name.endswith(".tar.gz"))
        session.run("check-wheel-contents", wheel)
        check_sdist(session, Path(sdist))
        for package in packages:
            environment = Path(folder) / f"venv-{package.rpartition('.')[2]}"
            session.run("python", "-m", "venv", str(environment))
            python = str(environment / "bin" / "python")
            session.run(python, "-m", "pip", "install", "--quiet", package, external=True)
            with session.chdir(folder):
                # MockupApp reads the style sheet, which has to be in the package.
                code = "import djsession, djsession.mockup; print(djsession.__file__)"
                session.run(python, "-c", code, external=True)
                session.run(python, "-m", "djsession", "keygen", external=True, silent=True)


def check_sdist(session: nox.Session, sdist: Path) -> None:
    """Check that the source distribution contains what git tracks, and nothing else."""
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if not member.isdir()}
    names.remove("PKG-INFO")
    listed = session.run("git", "ls-files", external=True, silent=True)
    tracked = {name for name in str(listed).splitlines() if not name.startswith(".ci/")}
    if names != tracked:
        session.error(f"the sdist lacks {tracked - names} and should not have {names - tracked}")


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
