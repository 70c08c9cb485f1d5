"""Every code sample in README.rst and docs/ works.

A sample is a ``code-block`` directive. Its language decides how it is checked:

- Python samples of a page run in order, in one namespace and one new process. A sample with a file
  name is written to that file instead, together with all others of that name, and imported.
  Files named ``test_*.py`` are run by pytest.
- Configuration samples are read by the program they are for, or at least by a parser.
- Shell samples are parsed by ``sh``. Options, extras and nox sessions in them must exist.
- ``text`` samples show output and are not checked here.

The file name is the option ``:caption:``, or a comment ``.. file: NAME`` above the directive where
a page must do without Sphinx. A page whose samples import a package that is not installed is
skipped, but not in ``nox -s docs``.
"""

from __future__ import annotations

import ast
import configparser
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from djsession import Settings
from djsession.mockup import MockupSessions
from tests.helpers.commands import ROOT, command, environment
from tests.helpers.nginx import CONFIGURATION, account
from tests.helpers.sessions import KEY, XIA

PAGES = [
    "README.rst",
    "CONTRIBUTING.rst",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.rst")),
]


class Sample(NamedTuple):
    """A ``code-block`` directive."""

    page: str
    line: int
    language: str
    file: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def samples_of(page: str) -> Iterator[Sample]:
    """Yield the samples of a page from top to bottom."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    file = ""
    for number, line in enumerate(lines):
        if mark := re.fullmatch(r" *\.\. file: (.+)", line):
            file = mark[1]
        elif directive := re.fullmatch(r"( *)\.\. code-block:: (\S+)", line):
            deeper = len(directive[1]) + 1
            first = number + 1
            while option := re.fullmatch(r" +:(\w+): *(.*)", lines[first]):
                file = option[2] if option[1] == "caption" else file
                first += 1
            last = first
            while last < len(lines) and (not lines[last].strip() or lines[last][:deeper].isspace()):
                last += 1
            text = textwrap.dedent("\n".join(lines[first:last])).strip("\n") + "\n"
            yield Sample(page, first + 2, directive[2], file, text)
            file = ""


SAMPLES = [sample for page in PAGES for sample in samples_of(page)]
PAGES_WITH_PYTHON = list(dict.fromkeys(item.page for item in SAMPLES if item.language == "python"))


def need(package: str) -> None:
    """Skip a test where a package is missing, but never in ``nox -s docs``."""
    if find_spec(package) is None:
        if os.environ.get("DJSESSION_TEST_DOCUMENTS"):
            pytest.fail(f"{package} is not installed")
        pytest.skip(f"{package} is not installed")


def need_imports(page: str) -> None:
    """Skip a test where the samples of a page import a package that is missing."""
    samples = [item for item in SAMPLES if item.page == page and item.language == "python"]
    own = {Path(item.file).parts[0].removesuffix(".py") for item in samples if item.file}
    for sample in samples:
        for node in ast.walk(ast.parse(sample.text)):
            names = [item.name for item in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                if (package := name.partition(".")[0]) not in own:
                    need(package)


# Python. What this script prints and raises names the page and the line of the sample.
RUN_SAMPLES = """
import importlib, json, linecache, os, sys, types
samples = json.load(sys.stdin)
if os.environ.get("DJANGO_SETTINGS_MODULE"):
    import django
    django.setup()
for name in samples["modules"]:
    importlib.import_module(name)
module = sys.modules["sample"] = types.ModuleType("sample")
for page, line, text in samples["texts"]:
    text = "\\n" * (line - 1) + text
    # Decorators of Pyramid read their source, and so does a traceback.
    linecache.cache[page] = len(text), None, text.splitlines(keepends=True), page
    exec(compile(text, page, "exec"), module.__dict__)
"""


def run_python(*arguments: str, folder: Path, text: str = "", **variables: str) -> str:
    """Run Python in the folder of a page's files, and return what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(DJAODJIN_SECRET_KEY=KEY, **variables),
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write_files(page: str, folder: Path) -> dict[str, str]:
    """Write the files of a page, and return the environment variables that its code needs.

    The files of a Django project are added to those that ``startproject`` makes.
    """
    variables = {}
    files = [sample for sample in SAMPLES if sample.page == page and sample.file]
    if any(sample.file == "mysite/settings.py" for sample in files):
        run_python("-m", "django", "startproject", "mysite", ".", folder=folder)
        variables["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
        (folder / "mysite/urls.py").unlink()
    for sample in files:
        path = folder / sample.file
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(sample.text + "\n")
    return variables


@pytest.mark.parametrize("page", PAGES_WITH_PYTHON)
def test_the_python_samples_of_a_page_run(page: str, tmp_path: Path) -> None:
    samples = [sample for sample in SAMPLES if sample.page == page and sample.language == "python"]
    need_imports(page)
    variables = write_files(page, tmp_path)
    files = list(dict.fromkeys(sample.file for sample in samples if sample.file))
    tests = [name for name in files if Path(name).name.startswith("test_")]
    modules = [
        name.removesuffix(".py").replace("/", ".")
        for name in files
        if name.endswith(".py") and name.count(".") == 1 and name not in tests
    ]
    texts = [(page, sample.line, sample.text) for sample in samples if not sample.file]
    plan = json.dumps({"modules": modules, "texts": texts})
    run_python("-c", RUN_SAMPLES, folder=tmp_path, text=plan, **variables)
    if variables and (tests or page in APPLICATIONS):
        run_python("manage.py", "migrate", "--verbosity", "0", folder=tmp_path)
        run_python("manage.py", "check", "--fail-level", "ERROR", folder=tmp_path)
    if tests:
        options = ("-q", "-p", "no:cacheprovider")
        run_python("-m", "pytest", *options, *tests, folder=tmp_path, **variables)


# The same requests to the application of each framework's page.
APPLICATIONS = {
    "docs/start.rst": "hello:application",
    "docs/wsgi.rst": "app:application",
    "docs/django.rst": "mysite.wsgi:application",
    "docs/flask.rst": "app:app",
    "docs/pyramid.rst": "app:main",
    "docs/fastapi.rst": "app:app",
}
REQUESTS = """
import importlib, json, os, sys
from djsession.testing import session_headers
module, name, session = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
application = getattr(importlib.import_module(module), name)
if name == "main":
    from pyramid.paster import get_appsettings
    settings = get_appsettings("development.ini")
    os.environ["DJAODJIN_SECRET_KEY"] = settings["djsession.secret_key"]
    application = application({}, **settings)
if "fastapi" in sys.modules:
    from fastapi.testclient import TestClient
    client = TestClient(application, base_url="http://localhost")
    def get(path, headers):
        response = client.get(path, headers=headers)
        return response.status_code, response.text
else:
    from webob import Request
    CONNECTION = {"REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1"}
    def get(path, headers):
        response = Request.blank(
            path, headers=headers, base_url="http://localhost", environ=CONNECTION
        ).get_response(application)
        return response.status_int, response.text
headers = session_headers(session)
answers = {
    "home": get("/", headers),
    "home without": get("/", {"Accept": "text/plain"}),
    "about without": get("/about/", {}),
    "own": get("/manage/xia/", headers),
    "other": get("/manage/cowork/", headers),
}
print(json.dumps(answers))
"""


@pytest.mark.parametrize("page", APPLICATIONS)
def test_the_application_of_a_page_answers(page: str, tmp_path: Path) -> None:
    need_imports(page)
    variables = write_files(page, tmp_path)
    if variables:
        run_python("manage.py", "migrate", "--verbosity", "0", folder=tmp_path)
    module, _, name = APPLICATIONS[page].partition(":")
    arguments = ("-c", REQUESTS, module, name, json.dumps(XIA))
    answers = json.loads(run_python(*arguments, folder=tmp_path, **variables).splitlines()[-1])
    status, text = answers["home"]
    assert (status, "xia" in text) == (200, True)
    assert answers["home without"][0] == 403
    if page != "docs/start.rst":
        assert answers["about without"][0] == 200
        assert answers["own"][0] == 200
        assert answers["other"][0] == 403


# Shell.
_OURS = ("djsession", "gunicorn", "uvicorn", "flask", "nox")


def check_shell(sample: Sample, folder: Path) -> None:
    """Parse it, and check what our own commands and those of servers are given."""
    subprocess.run(["sh", "-n"], input=sample.text, text=True, check=True)
    for words in commands_in(sample.text):
        name = Path(words[0]).name
        if name == "nox":
            sessions = re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.M)
            chosen = words[words.index("-s") + 1 :] if "-s" in words else []
            chosen = chosen[: chosen.index("--") if "--" in chosen else None]
            # A session may be named with one of its Python versions.
            assert {name.partition("-3.")[0] for name in chosen} <= set(sessions)
        elif name in _OURS:
            check_options(name, words[1:])
        elif name in ("pip", "pip3"):
            for extra in re.findall(r"djsession\[([\w,]+)\]", " ".join(words)):
                project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
                assert set(extra.split(",")) <= set(project["project"]["optional-dependencies"])
        for word in words:
            if word.startswith(("examples/", "tests/")):
                assert (ROOT / word).exists()


def commands_in(text: str) -> Iterator[list[str]]:
    """Yield the words of each command in a shell script of plain commands."""
    for line in text.replace("\\\n", " ").splitlines():
        line = re.sub(r"\$\(([^)]*)\)", "value", line)
        words = list(shlex.shlex(line, posix=True, punctuation_chars=True))
        for is_operator, group in groupby(words, key=lambda word: set(word) <= set("|;&<>")):
            command = list(group)
            while command and re.match(r"export$|\w+=", command[0]):
                del command[0]
            if command[:2] == ["python", "-m"]:
                del command[:2]
            if command and not is_operator:
                yield command


@cache
def help_of(name: str, *arguments: str) -> str:
    """Return what a command prints about itself."""
    return subprocess.run(
        [sys.executable, "-m", name, *arguments, "--help"],
        env=environment(COLUMNS="200", DJAODJIN_SECRET_KEY=KEY),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def check_options(name: str, words: list[str]) -> None:
    """Check that a command has the subcommand and the long options that a sample gives it."""
    subcommand: list[str] = []
    if name == "djsession" and not words[0].startswith("-"):
        subcommand = words[:1]
    elif name == "flask":
        words = [word for word in words if word not in ("--app", "app")]
        subcommand = ["--app", "examples.flask_app", *words[: 2 if words[0] == "djsession" else 1]]
    need(name)
    text = help_of(name, *subcommand)
    for word in words:
        if word.startswith("-"):
            option = word.partition("=")[0]
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), (name, option)


# Configuration.
def check_nginx(sample: Sample, folder: Path) -> None:
    """Let nginx read it, inside ``http`` or, for directives of a server, inside ``server``."""
    is_http = re.search(r"^(server|upstream|map) ", sample.text, re.M)
    http = sample.text if is_http else f"server {{ listen 127.0.0.1:8080; {sample.text} }}"
    # The addresses of the samples do not exist on this machine, and nginx -t opens its sockets.
    http = re.sub(r"listen [\w.:]*:\d+", "listen 127.0.0.1:18080", http)
    http = re.sub(r"listen (\d+)( ssl)?;", "listen 127.0.0.1:18080;", http)
    http = re.sub(r"\n *ssl_certificate.*", "", http)
    user = f"user {account()};" if os.geteuid() == 0 else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, user=user, http=http))
    arguments = ["-t", "-e", "stderr", "-p", str(folder), "-c", str(configuration)]
    done = subprocess.run(
        [command("nginx"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr, done.stderr


def check_yaml(sample: Sample, folder: Path) -> None:
    """Parse it; load mockup sessions; check what Compose and a Procfile's shell would read."""
    document = yaml.safe_load(sample.text)
    if sample.file == "compose.yaml":
        assert set(document) <= {"services", "networks", "secrets", "volumes"}
        for service in document["services"].values():
            secrets = service.get("secrets", [])
            assert set(secrets) <= set(document.get("secrets", {}))
            for value in service.get("environment", {}).values():
                assert "$" not in value.replace("$$", "")  # it would start a variable
            key = service.get("environment", {}).get("DJAODJIN_SECRET_KEY", KEY)
            assert key.replace("$$", "$") in (KEY, "only-for-development")
    elif sample.file == "Procfile":
        for text in document.values():
            check_shell(sample._replace(text=text), folder)
    elif sample.file.endswith("sessions.yaml"):
        path = folder / "sessions.yaml"
        path.write_text(sample.text, encoding="utf-8")
        assert MockupSessions(path).by_name


def check_ini(sample: Sample, folder: Path) -> None:
    """Parse it; for a unit of systemd, let systemd say which of its settings it does not know."""
    is_unit = sample.file.endswith((".service", ".socket"))
    interpolation = None if is_unit else configparser.BasicInterpolation()
    parser = configparser.ConfigParser(
        {"here": "/srv/app"}, strict=not is_unit, interpolation=interpolation
    )
    text = sample.text if sample.text.startswith("[") else "[app:main]\n" + sample.text
    parser.read_string(text)
    for section in parser.sections():
        assert parser.items(section)
    if is_unit:
        unit = folder / sample.file
        unit.write_text(sample.text)
        done = subprocess.run(
            [command("systemd-analyze"), "verify", "--recursive-errors=no", str(unit)],
            capture_output=True,
            text=True,
            check=False,
        )
        problems = [line for line in done.stderr.splitlines() if unit.name in line]
        # Its program is not installed here.
        assert [line for line in problems if "is not executable" not in line] == []


def check_json(sample: Sample, folder: Path) -> None:
    json.loads(sample.text)


def check_toml(sample: Sample, folder: Path) -> None:
    tomllib.loads(sample.text)


def check_template(sample: Sample, folder: Path) -> None:
    """Compile a template; its samples use what Django and Jinja have in common."""
    jinja2 = pytest.importorskip("jinja2")
    jinja2.Environment(autoescape=True).from_string(sample.text)


def no_check(sample: Sample, folder: Path) -> None:
    """Output, or Python, which runs by page."""


CHECKS: dict[str, Callable[[Sample, Path], None]] = {
    "sh": check_shell,
    "nginx": check_nginx,
    "yaml": check_yaml,
    "ini": check_ini,
    "json": check_json,
    "toml": check_toml,
    "html+jinja": check_template,
    "python": no_check,
    "text": no_check,
}


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_a_sample_is_valid_in_its_language(sample: Sample, tmp_path: Path) -> None:
    CHECKS[sample.language](sample, tmp_path)


# README.rst
def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.rst").read_text(encoding="utf-8").splitlines()) <= 250


def test_the_links_of_the_readme_lead_to_files() -> None:
    text = (ROOT / "README.rst").read_text(encoding="utf-8")
    links = re.findall(r"<([^<>]+)>`__|image:: (.+)", text)
    assert links
    for link in map("".join, links):
        assert (ROOT / link).is_file(), link


def test_the_links_of_the_readme_are_absolute_on_pypi() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    hook = project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = (ROOT / "README.rst").read_text(encoding="utf-8")
    for substitution in hook["substitutions"]:
        text = re.sub(substitution["pattern"], substitution["replacement"], text)
    links = re.findall(r"<([^<>]+)>`__|image:: (.+)", text)
    assert links
    for link in map("".join, links):
        assert re.fullmatch(r"https://[\w.-]+/[\w./-]+\.(html|png)", link), link


# The table of symptoms.
def test_the_sentences_of_the_log_in_the_documents_are_those_of_the_code() -> None:
    code = {
        node.value
        for path in (ROOT / "djsession").rglob("*.py")
        if path.parent.name != "doctor"  # which has sentences of its own
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    page = " ".join((ROOT / "docs/troubleshooting.rst").read_text(encoding="utf-8").split())
    cells = re.findall(r"\* - (?:The log|The application does not start:?) (.*?) - ", page)
    sentences = [sentence for cell in cells for sentence in re.findall(r'"(.+?)"', cell)]
    assert len(sentences) > 8
    for sentence in sentences:
        for part in filter(None, sentence.split("...")):
            assert any(part.strip() in text for text in code), part


# The reference of the settings.
def test_every_setting_is_in_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(ROOT / "docs/_ext")
    table = importlib.import_module("settings_table")
    rows = table.settings_rows()
    described = {
        (name, framework) for name, frameworks, _, _ in rows for framework in frameworks.split(", ")
    }
    adapters: dict[str, type[Settings]] = {
        "Django": importlib.import_module("djsession.django.conf").DjangoSettings,
        "Flask": importlib.import_module("djsession.flask").FlaskSettings,
        "Pyramid": importlib.import_module("djsession.pyramid").PyramidSettings,
    }
    for framework, adapter in adapters.items():
        for item in fields(adapter):
            assert (item.name, "all") in described or (item.name, framework) in described
    assert all(description for *_, description in rows)
