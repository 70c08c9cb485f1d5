"""The project's checks: ``nox`` runs them all, ``nox -s NAME`` one, ``nox -l`` lists them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "types", "tests", "build"]
# Where there is no browser, or no Node.js, those tests are left out, but never in CI.
if shutil.which("chromium") or os.environ.get("CI"):
    nox.options.sessions.append("browser")
if shutil.which("npm") or os.environ.get("CI"):
    nox.options.sessions.append("interop")
if os.environ.get("CI"):
    nox.options.sessions.append("load")
nox.options.default_venv_backend = "virtualenv"


def interpreters() -> list[str]:
    """Return the versions of Python from 3.10 on that this machine has, oldest first.

    Those in pyenv's folder count without being activated: they are put on PATH.
    """
    found = []
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for minor in range(10, 20):
        name = f"python3.{minor}"
        candidates = [shutil.which(name), *map(str, pyenv.glob(f"3.{minor}.*/bin/{name}"))]
        if sys.version_info[:2] == (3, minor):
            candidates.append(sys.executable)
        for path in filter(None, candidates):
            # A shim of pyenv is there, and fails, for versions that are not activated.
            if subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
                os.environ["PATH"] = os.pathsep.join([str(Path(path).parent), os.environ["PATH"]])
                found.append(f"3.{minor}")
                break
    return found


DATABASE_URL = "DJSESSION_TEST_DATABASE_URL"


@nox.session(python=interpreters())
def tests(session: nox.Session) -> None:
    """Run the tests, on every interpreter found; those of Django a second time on PostgreSQL.

    That is where DJSESSION_TEST_DATABASE_URL names a database: postgresql://user@host:port/name.
    """
    session.install("--editable", ".[test]")
    parallel = "--numprocesses=auto"
    session.run("pytest", parallel, *session.posargs, env={DATABASE_URL: ""})
    if os.environ.get(DATABASE_URL) and not session.posargs:
        session.run("pytest", parallel, "tests/django")


@nox.session
def browser(session: nox.Session) -> None:
    """Run the tests in Chromium; they leave screenshots in examples/screenshots."""
    session.install("--editable", ".[test]", "selenium>=4.20", "axe-core-python>=0.1")
    session.run("pytest", "tests/browser", env={"DJSESSION_TEST_BROWSER": "1"})


@nox.session
def interop(session: nox.Session) -> None:
    """Run the examples behind the real proxy, and exchange tokens with other implementations."""
    session.install("--editable", ".[test]")
    with tempfile.TemporaryDirectory() as folder:
        # In an environment of its own: what it needs is not for the project.
        session.run("python", "-m", "venv", folder)
        python = str(Path(folder) / "bin" / "python")
        session.run(
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "djaodjin-rules",
            "gunicorn",
            external=True,
        )
        session.run("npm", "install", "--silent", "--prefix", folder, "crypto-js", external=True)
        session.run(
            "pytest",
            "tests/interop",
            *session.posargs,
            env={
                "DJSESSION_TEST_PROXY_PYTHON": python,
                "NODE_PATH": str(Path(folder) / "node_modules"),
            },
        )


@nox.session
def load(session: nox.Session) -> None:
    """Run servers under load, with broken tokens, killed workers and changed keys."""
    session.install("--editable", ".[test]")
    requests = "4000" if os.environ.get("CI") else "200000"
    session.run("pytest", "tests/load", *session.posargs, env={"DJSESSION_TEST_LOAD": requests})


@nox.session
def fuzz(session: nox.Session) -> None:
    """Run the properties with many examples, then a coverage-guided fuzzer where it installs."""
    session.install("--editable", ".[test]")
    session.run(
        "pytest",
        "--numprocesses=auto",
        "-m",
        "hypothesis",
        *session.posargs,
        env={"DJSESSION_TEST_PROFILE": "fuzz"},
    )
    try:
        session.install("atheris")
    except nox.command.CommandFailed:
        session.skip("atheris does not install here")
    session.run("python", "tests/fuzz/fuzz_loads.py", "-max_total_time=120", "-verbosity=0")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("ruff>=0.17,<0.18")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package, strictly."""
    session.install("--editable", ".[all]")
    session.install("mypy>=2", "pytest>=8", "types-PyYAML", "types-WebOb")
    session.run("mypy")


@nox.session
def build(session: nox.Session) -> None:
    """Build, then install and import what was built, in an empty environment each."""
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
                # The schema and the style sheet are in it too: MockupApp reads the latter.
                code = "import djsession, djsession.mockup; print(djsession.__file__)"
                session.run(python, "-c", code, external=True)
                session.run(python, "-m", "djsession", "keygen", external=True, silent=True)


@nox.session
def bench(session: nox.Session) -> None:
    """Print what decoding and the adapters cost, beside djaodjin-deployutils."""
    # The newest Django that the peer runs on.
    session.install("--editable", ".[all]", "djaodjin-deployutils", "Django~=5.2.0")
    for name in ("decode", "adapters", "django"):
        session.run("python", f"tests/benchmarks/bench_{name}.py")
