"""djsession migrate: what it rewrites in a file, what it leaves and reports, and how it writes."""

from __future__ import annotations

import ast
import os
import stat
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from djsession import cli
from djsession.migrate import MOVED, migrate
from tests.helpers.commands import command

OLD = "deployutils.apps.django_deployutils"
NEW = "djsession.django"


def rewritten(text: str, path: Path, name: str = "module.py") -> str:
    """Return a file after the migration. A second one must not change it any more."""
    file = path / name
    file.write_bytes(text.encode())
    migrate(path, write=True)
    after = file.read_bytes()
    assert not any(found.before != found.after for found in migrate(path).files)
    assert file.read_bytes() == after
    return after.decode()


def report(text: str, path: Path, name: str = "module.py") -> dict[str, list[str]]:
    """Return the headings of the report, each with its lines."""
    (path / name).write_text(text)
    sections = migrate(path).as_text().partition("Not changed:\n\n")[2].split("\n\n")[:-1]
    return {lines[0]: lines[1:] for lines in (section.split("\n") for section in sections)}


def reported(text: str, path: Path, heading: str) -> list[str]:
    """Return the lines below the one heading that contains a text, without the file's name."""
    [lines] = [lines for found, lines in report(text, path).items() if heading in found]
    return [line.rpartition("module.py:")[2] for line in lines]


@pytest.mark.parametrize("target", sorted(set(MOVED.values())))
def test_every_name_that_migrate_writes_can_be_imported(target: str) -> None:
    pytest.importorskip(target.split(".")[1])
    if "authentication" in target:
        pytest.importorskip("rest_framework")
    try:
        import_module(target)
    except ModuleNotFoundError:
        module, _, name = target.rpartition(".")
        assert hasattr(import_module(module), name)


IMPORTS = [
    (f"from {OLD}.middleware import SessionMiddleware", f"from {NEW}.middleware import *"),
    # The spelling of the statement stays.
    (
        f"from  {OLD}.mixins  import(  # a\n  AccessiblesMixin as A,# b\n\n  AccountMixin\n)#c",
        f"from  {NEW}.mixins  import(  # a\n  AccessiblesMixin as A,# b\n\n  AccountMixin\n)#c",
    ),
    (
        "from deployutils.apps.django.mixins import AccessiblesMixin, \\\n    AccountMixin",
        f"from {NEW}.mixins import AccessiblesMixin, \\\n    AccountMixin",
    ),
    # Names of two packages.
    (
        f"from {OLD}.mixins import AccessiblesMixin, BeforeMixin  # noqa",
        f"from {OLD}.mixins import BeforeMixin  # noqa\n"
        f"from {NEW}.mixins import AccessiblesMixin  # noqa",
    ),
    (
        f"def f():\n\tfrom {OLD}.mixins import BeforeMixin as B, AccessiblesMixin as A, "
        "DateRangeMixin",
        f"def f():\n\tfrom {OLD}.mixins import BeforeMixin as B, DateRangeMixin\n"
        f"\tfrom {NEW}.mixins import AccessiblesMixin as A",
    ),
    (
        f"from {OLD}.mixins import (\n    AccessiblesMixin,  # ours\n    BeforeMixin,  # theirs\n)",
        f"from {OLD}.mixins import (\n    BeforeMixin,  # theirs\n)\n"
        f"from {NEW}.mixins import (\n    AccessiblesMixin,  # ours\n)",
    ),
    (
        f"from {OLD}.mixins import (AccessiblesMixin, # ours\n    BeforeMixin)",
        f"from {OLD}.mixins import (BeforeMixin)\n"
        f"from {NEW}.mixins import (AccessiblesMixin, # ours\n)",
    ),
    (
        f"from {OLD}.mixins import (\n    BeforeMixin,\n    AccessiblesMixin,\n"
        "    DateRangeMixin,\n)",
        f"from {OLD}.mixins import (\n    BeforeMixin,\n    DateRangeMixin,\n)\n"
        f"from {NEW}.mixins import (\n    AccessiblesMixin,\n)",
    ),
    (
        f"from {OLD}.mixins import AccessiblesMixin, \\\n  BeforeMixin",
        f"from {OLD}.mixins import BeforeMixin\nfrom {NEW}.mixins import AccessiblesMixin",
    ),
    (
        f"if x: from {OLD}.mixins import BeforeMixin, AccountMixin; y = 1",
        f"if x: from {OLD}.mixins import BeforeMixin; from {NEW}.mixins import AccountMixin; y = 1",
    ),
    (
        f"from {OLD}.mixins.base import AccountMixin, _get_accessible_plans",
        f"from {OLD}.mixins.base import _get_accessible_plans\n"
        f"from {NEW}.mixins import AccountMixin",
    ),
    # Names from before there were "apps".
    (
        "from deployutils.backends.auth import ProxyUserBackend",
        f"from {NEW}.backends.auth import ProxyUserBackend",
    ),
    # Another name.
    (
        "from deployutils.apps.flask.sessions import Session",
        "from djsession.flask import DjSession as Session",
    ),
    (
        "from deployutils.apps.flask.sessions import Session as S, DjaoDjinSession",
        "from deployutils.apps.flask.sessions import DjaoDjinSession\n"
        "from djsession.flask import DjSession as S",
    ),
    # Modules.
    (f"from {OLD}.mockup import urls", f"from {NEW}.mockup import urls"),
    (f"import {OLD}.mockup.urls", f"import {NEW}.mockup.urls"),
    (f"import {OLD}.mockup.urls as u, os", f"import {NEW}.mockup.urls as u, os"),
    (
        f"from {OLD} import mixins, themes\nclass A(mixins.AccountMixin): x = themes.x",
        f"from {OLD} import themes\nfrom {NEW} import mixins\n"
        "class A(mixins.AccountMixin): x = themes.x",
    ),
    (
        f"import {OLD}.mixins as m\nclass A(m.AccountMixin): pass",
        f"import {NEW}.mixins as m\nclass A(m.AccountMixin): pass",
    ),
    (
        f"import {OLD}.mixins.base, deployutils.crypt\nimport {OLD}.mixins.base\n"
        f"class A({OLD}.mixins.base.AccountMixin, {OLD}\\\n  .mixins.base.AccessiblesMixin):\n"
        "  x = deployutils.crypt.decrypt",
        f"import {NEW}.mixins, deployutils.crypt\nimport {NEW}.mixins\n"
        f"class A({NEW}.mixins.AccountMixin, {NEW}.mixins.AccessiblesMixin):\n"
        "  x = deployutils.crypt.decrypt",
    ),
]


@pytest.mark.parametrize(("before", "after"), IMPORTS)
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_migrate_rewrites_imports(before: str, after: str, end: str, tmp_path: Path) -> None:
    after = after.replace("import *", "import SessionMiddleware")
    newline = end or "\n"
    before, after = (text.replace("\n", newline) + end for text in (before, after))
    assert rewritten(before, tmp_path) == after
    ast.parse(after)


LEFT_ALONE = [
    f"from {OLD}.mixins import *",
    f"from {OLD} import settings",
    f"from {OLD}.mixins import BeforeMixin, DateRangeMixin",
    f"from {OLD} import mixins",  # used elsewhere
    f"from {OLD} import mixins\nmixins = None, mixins.AccountMixin",
    f"import {OLD}.mixins as m\nm.AccountMixin, m.BeforeMixin",
    f"import {OLD}.mixins\n{OLD}.mixins.BeforeMixin",
    f"import {OLD}.mixins\n{OLD}.mixins.AccountMixin, deployutils.helpers.datetime_or_now",
    f"from {OLD}.mixins import base\nbase.AccountMixin",
    "from deployutils.apps.flask import sessions\nsessions.Session",
    "from deployutils.apps import django\ndjango.mixins.AccountMixin",
    "import deployutils\ndeployutils.__file__",
    "from .deployutils.apps.django.mixins import AccountMixin",
    "from deployutils_2.apps.django.mixins import AccountMixin",
    "X = 'deployutils.apps.djangomixins.AccountMixin'",
    f"X = '{OLD}.logging.JSONFormatter'",
    f"X = '{OLD}.mixins.AccountMixin.account'",
    f"X = ' {OLD}.mixins.AccountMixin'",
    f"X = b'{OLD}.mixins.AccountMixin'",
    f"X = f'{OLD}.mixins.AccountMixin{{x}}'",
    f"X = '{OLD}' '.mixins.AccountMixin'",
    f"# {OLD}.mixins.AccountMixin",
    f"'''{OLD}.mixins.AccountMixin'''",
    "DEPLOYUTILS = {'ALLOWED_NO_SESSION': [], 'SESSION_COOKIE_NAME': 'x'}",
]


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_migrate_leaves_names_that_djsession_does_not_have(text: str, tmp_path: Path) -> None:
    assert rewritten(text, tmp_path) == text


NAMES = {
    "AccessiblesMixin": True,
    "AccountMixin": True,
    "BeforeMixin": False,
    "DateRangeMixin": False,
}
LAYOUTS = st.sampled_from(
    [
        ("", ", ", ""),
        ("(", ", ", ")"),
        ("(", ",\n  ", ",)"),
        ("(\n    ", ",\n    ", ",\n)"),
        ("(\n    ", ",  # c{}\n    ", "  # last\n)"),
        ("( # first\n    ", ",  # c{}\n    ", ",  # last\n    # end\n)"),
        ("(", " ,\n    # above {}\n    ", "\n )"),
        ("", ", \\\n    ", ""),
    ]
)


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(NAMES)), st.sampled_from(["", " as x", "  as  y"])),
        min_size=1,
        max_size=5,
    ),
    LAYOUTS,
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", "  # über\f uns", "; z = 'ü'"]),
    st.sampled_from(["", "if True:\n\t", "if True: ", "a = 'ü'; "]),
)
@example([("AccountMixin", ""), ("BeforeMixin", "")], ("", ", ", ""), "\r", "", "a = 'ü'; ")
def test_any_import_that_migrate_rewrites_imports_the_same_names(
    tmp_path_factory: pytest.TempPathFactory,
    names: list[tuple[str, str]],
    layout: tuple[str, str, str],
    newline: str,
    behind: str,
    before: str,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    start, separator, end = layout
    items = "".join(
        name + alias + (separator.replace("{}", str(index)) if index < len(names) - 1 else "")
        for index, (name, alias) in enumerate(names)
    )
    text = f"{before}from {OLD}.mixins import {start}{items}{end}{behind}\nb = 1\n"
    text = text.replace("\n", newline)
    after = rewritten(text, folder)

    def imported(source: str) -> list[tuple[str, str, str]]:
        return sorted(
            (node.module or "", item.name, item.asname or "")
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.ImportFrom)
            for item in node.names
        )

    assert imported(after) == sorted(
        (f"{NEW if NAMES[name] else OLD}.mixins", name, alias.replace("as", "").strip())
        for name, alias in names
    )
    for comment in ["first", "last", "über", *(f"c{i}" for i in range(len(names) - 1))]:
        assert (comment in text) == (comment in after)
    assert after.startswith(before.replace("\n", newline))
    assert after.endswith(f"{newline}b = 1{newline}")
    assert set("\r\n") & set(after) == set(newline)


class TestMigrateStrings:
    @pytest.mark.parametrize("quoted", ["'{}'", '"{}"', "u'{}'", "r'''{}'''", "('{}')"])
    def test_dotted_names_in_settings_are_rewritten(self, quoted: str, tmp_path: Path) -> None:
        for old, new in MOVED.items():
            text = f"X = {{'ü': [1, {quoted}]}}  # why\n"
            assert rewritten(text.replace("{}", old), tmp_path) == text.replace("{}", new)

    def test_dotted_names_in_templates_are_rewritten(self, tmp_path: Path) -> None:
        text = (
            f"{{% load deployutils_prefixtags %}}\r\n<p>ü {OLD}.mixins.AccountMixin, {OLD}.x.y\r\n"
        )
        after = text.replace(f"{OLD}.mixins", f"{NEW}.mixins")
        for name in ("a.html", "b.jinja2", "c.txt"):
            assert rewritten(text, tmp_path, name) == after


class TestMigrateInstalledApps:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (
                "INSTALLED_APPS = [\n    'a',\n    '{}',  # tags\n]",
                "INSTALLED_APPS = [\n    'a',\n    '@',\n    '{}',  # tags\n]",
            ),
            ("INSTALLED_APPS += ('{}',)", "INSTALLED_APPS += ('@', '{}',)"),
            (
                "APPS: list[str] = BASE + [u'a', u'{}']",
                "APPS: list[str] = BASE + [u'a', u'@', u'{}']",
            ),
            ("INSTALLED_APPS = ['@', '{}']", "INSTALLED_APPS = ['@', '{}']"),
            ("INSTALLED_APPS = ['{}', '{}']", "INSTALLED_APPS = ['@', '{}', '{}']"),
        ],
    )
    @pytest.mark.parametrize("app", [OLD, "deployutils.apps.django"])
    def test_both_apps_are_installed(
        self, before: str, after: str, app: str, tmp_path: Path
    ) -> None:
        before, after = (text.replace("{}", app).replace("@", NEW) for text in (before, after))
        assert rewritten(before, tmp_path) == after

    def test_an_app_that_is_installed_beside_is_only_listed(self, tmp_path: Path) -> None:
        [heading] = report(f"INSTALLED_APPS = ['{OLD}']", tmp_path)
        assert "still come from djaodjin-deployutils" in heading

    def test_an_app_in_another_place_is_reported(self, tmp_path: Path) -> None:
        text = f"INSTALLED_APPS.append('{OLD}')"
        assert rewritten(text, tmp_path) == text
        assert reported(text, tmp_path, "Add 'djsession.django'") == [f"1: {OLD}"]


class TestMigrateLogging:
    def test_the_logger_is_configured_as_that_of_deployutils(self, tmp_path: Path) -> None:
        before = (
            "LOGGING = {'version': 1, 'loggers': {\n"
            "    'a': {},\n"
            '    "deployutils": {  # ü\n'
            "        'handlers': [\"log\"], 'level': LEVEL,\n"
            "        'propagate': False },\n"
            "    'deployutils.perf': {}}}\n"
        )
        after = rewritten(before, tmp_path)
        loggers = eval(after.partition("=")[2], {"LEVEL": "INFO"})["loggers"]
        assert loggers["djsession"] == loggers["deployutils"]
        assert loggers["djsession"] == {"handlers": ["log"], "level": "INFO", "propagate": False}
        added = before[before.index('    "deployutils"') : before.index("    'deployutils.perf'")]
        assert after == before.replace(added, added + added.replace("deployutils", "djsession"))

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("{'deployutils': {}}", "{'deployutils': {}, 'djsession': {}}"),
            ("{'deployutils': X, 'a': {}}", "{'deployutils': X, 'djsession': X, 'a': {}}"),
            ("{'deployutils': {}, 'djsession': X}", "{'deployutils': {}, 'djsession': X}"),
            ("{\n 'deployutils': X\n}", "{\n 'deployutils': X,\n 'djsession': X\n}"),
            ("{'deployutils.perf': {}}", "{'deployutils.perf': {}}"),
            (f"{{'{OLD}.mockup.urls': {{}}}}", f"{{'{OLD}.mockup.urls': {{}}}}"),
        ],
    )
    def test_the_logger_is_renamed_wherever_it_stands(
        self, before: str, after: str, tmp_path: Path
    ) -> None:
        assert rewritten(f"X = {{'loggers': {before}}}", tmp_path) == f"X = {{'loggers': {after}}}"

    def test_the_level_debug_is_reported(self, tmp_path: Path) -> None:
        before = "LOGGING = {'loggers': {'deployutils': {'level': 'DEBUG' if DEBUG else 'INFO'}}}"
        assert reported(before, tmp_path, "At level DEBUG") == ["1: djsession"]
        after = rewritten(before, tmp_path)
        assert reported(after, tmp_path, "At level DEBUG") == ["1: djsession"]
        assert report(before.replace("DEBUG'", "INFO'"), tmp_path) == {}

    def test_loggers_elsewhere_are_reported(self, tmp_path: Path) -> None:
        lines = reported(
            f"getLogger('deployutils')\nX = {{'loggers': {{'{OLD}.middleware': {{}}}}}}",
            tmp_path,
            "djsession logs to the logger",
        )
        assert lines == ["1: deployutils", f"2: {OLD}.middleware"]


class TestMigrateReport:
    @pytest.mark.parametrize(
        ("text", "heading", "line"),
        [
            ("\nDJAODJIN_SECRET_KEY = 's3cret'", "environment variable", "2: DJAODJIN_SECRET_KEY"),
            (
                "app.config['ALLOWED_NO_SESSION'] = []",
                "DJSESSION_ALLOWED_NO_SESSION",
                "1: ALLOWED_NO_SESSION",
            ),
            (
                "app.config.update(\n  ALLOWED_NO_SESSION=[])",
                "DJSESSION_ALLOWED_NO_SESSION",
                "2: ALLOWED_NO_SESSION",
            ),
            (
                "app.config.from_mapping({'ALLOWED_NO_SESSION': []})",
                "DJSESSION_ALLOWED_NO_SESSION",
                "1: ALLOWED_NO_SESSION",
            ),
            (
                "class Config:\n    ALLOWED_NO_SESSION = []",
                "DJSESSION_ALLOWED_NO_SESSION",
                "2: ALLOWED_NO_SESSION",
            ),
            (
                "app.config['SESSION_COOKIE_NAME'] = 'sessionid'",
                "the two must differ",
                "1: SESSION_COOKIE_NAME",
            ),
            (
                "MIDDLEWARE_CLASSES += ('a',)",
                "ignore these settings",
                "1: MIDDLEWARE_CLASSES, now MIDDLEWARE",
            ),
            ("TEMPLATE_DIRS = ()", "ignore these settings", "1: TEMPLATE_DIRS, now TEMPLATES"),
            (
                f"from {OLD}.mockup.views import SigninView",
                "do not work with its session engines",
                f"1: {OLD}.mockup.views.SigninView",
            ),
            (
                f"X = [\n'{OLD}.logging.JSONFormatter']",
                "still come from djaodjin-deployutils",
                f"2: {OLD}.logging.JSONFormatter",
            ),
            (
                f"from {OLD}.mixins import (\n  AccountMixin,\n  BeforeMixin)",
                "still come from djaodjin-deployutils",
                f"3: {OLD}.mixins.BeforeMixin",
            ),
            (
                f"from {OLD} import mixins\nmixins.BeforeMixin",
                "only some of the names in these modules",
                f"1: {OLD}.mixins",
            ),
            (
                f"run('python -m {OLD}.mockup.urls')",
                "part of a longer text",
                f"1: {OLD}.mockup.urls",
            ),
            (
                f"X = f'{OLD}.mixins.{{x}}'",
                "part of a longer text",
                f"1: {OLD}.mixins",
            ),
            (
                "X = ('deployutils.backends.'\n'encrypted_cookies')",
                "part of a longer text",
                "1: deployutils.backends.encrypted_cookies",
            ),
        ],
    )
    def test_the_report_says_what_is_not_changed_and_why(
        self, text: str, heading: str, line: str, tmp_path: Path
    ) -> None:
        assert reported(text, tmp_path, heading) == [line]
        # The file after the migration has the same report.
        after = rewritten(text, tmp_path)
        [found] = reported(after, tmp_path, heading)
        assert found.partition(" ")[2] == line.partition(" ")[2]

    @pytest.mark.parametrize(
        "text",
        [
            "DJAODJIN_SECRET_KEY = os.environ.get('DJAODJIN_SECRET_KEY', '')",
            "SESSION_COOKIE_NAME = 'x'",
            "TEMPLATE_DIRS: list[str]",
            "ALLOWED_NO_SESSION = []\nDEPLOYUTILS = {'ALLOWED_NO_SESSION': ALLOWED_NO_SESSION}\n"
            "DEPLOYUTILS['ALLOWED_NO_SESSION'] += ['/x']",
            "X = 'https://github.com/djaodjin/djaodjin-deployutils.git'",
        ],
    )
    def test_what_works_as_it_is_has_no_report(self, text: str, tmp_path: Path) -> None:
        assert report(text, tmp_path) == {}

    def test_the_report_lists_names_in_templates_and_other_files(self, tmp_path: Path) -> None:
        text = f"<p>\n{{% load deployutils_prefixtags %}}{OLD}.themes.x"
        found = report(text, tmp_path, "a.html")
        lines = [line.rpartition("a.html:")[2] for lines in found.values() for line in lines]
        assert lines == ["2: deployutils_prefixtags", f"2: {OLD}.themes.x"]
        (tmp_path / "a.html").unlink()
        [(heading, lines)] = report(f"\nengine: {OLD}.mockup.urls", tmp_path, "a.yml").items()
        assert "by hand" in heading
        assert lines == [f"  {tmp_path}/a.yml:2: {OLD}.mockup.urls"]

    def test_no_value_of_a_setting_is_shown(self, tmp_path: Path) -> None:
        (tmp_path / "settings.py").write_text("DJAODJIN_SECRET_KEY = 's3cret'\n")
        assert "s3cret" not in migrate(tmp_path).as_text()

    def test_line_numbers_are_those_of_the_written_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.py").write_text(
            f"from {OLD}.mixins import AccountMixin, BeforeMixin\nMIDDLEWARE_CLASSES = ()\n"
        )
        assert "a.py:2: MIDDLEWARE_CLASSES" in migrate(tmp_path).as_text()
        assert "a.py:3: MIDDLEWARE_CLASSES" in migrate(tmp_path, write=True).as_text()

    @pytest.mark.parametrize("end", ["", "\n", "\r\n"])
    def test_the_diff_can_be_applied(
        self, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        text = f"a = 'ü'{end or chr(10)}X = '{OLD}.mockup.urls', '{OLD}.themes.x'{end}"
        for name in ("a.py", "b.html"):
            (tmp_path / name).write_bytes(text.encode())
        output = migrate(Path(".")).as_text()
        subprocess.run(
            [command("git"), "apply", "-p0", "--whitespace=nowarn", "-"],
            input=output.encode(),
            check=True,
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
        )
        for name in ("a.py", "b.html"):
            after = (tmp_path / name).read_bytes().decode()
            assert after == text.replace(f"{OLD}.mockup", f"{NEW}.mockup")


TEXT = f"X = '{OLD}.mockup.urls'\n"
AFTER = f"X = '{NEW}.mockup.urls'\n"


class TestMigrateFiles:
    def test_nothing_is_written_without_being_asked(self, tmp_path: Path) -> None:
        (tmp_path / "a.py").write_text(TEXT)
        found = migrate(tmp_path)
        assert f"-{TEXT}+{AFTER}" in found.as_text()
        assert (tmp_path / "a.py").read_text() == TEXT
        assert not found.is_complete

    def test_one_file_is_migrated(self, tmp_path: Path) -> None:
        for name in ("a.py", "b.py"):
            (tmp_path / name).write_text(TEXT)
        assert migrate(tmp_path / "a.py", write=True).is_complete
        assert (tmp_path / "a.py").read_text() == AFTER
        assert (tmp_path / "b.py").read_text() == TEXT

    @pytest.mark.parametrize("mode", [0o755, 0o640, 0o600])
    def test_the_mode_of_a_file_stays(self, mode: int, tmp_path: Path) -> None:
        file = tmp_path / "a.py"
        file.write_text(TEXT)
        file.chmod(mode)
        migrate(tmp_path, write=True)
        assert file.read_text() == AFTER
        assert stat.S_IMODE(file.stat().st_mode) == mode

    def test_a_byte_order_mark_stays(self, tmp_path: Path) -> None:
        assert rewritten(f"\ufeff{TEXT}", tmp_path) == f"\ufeff{AFTER}"

    @pytest.mark.parametrize(
        "text", ["# coding: latin-1\nü = 'ü'; ", "'''\f\r\v\x1c\u2028'''; ", "ü=0\f\nü=0; "]
    )
    def test_positions_count_from_where_python_counts(self, text: str, tmp_path: Path) -> None:
        left, moved = (f"from {name}.mixins import" for name in (OLD, NEW))
        before = f"{text}{left} AccountMixin, BeforeMixin\n"
        after = f"{text}{left} BeforeMixin; {moved} AccountMixin\n"
        assert rewritten(before, tmp_path) == after

    @pytest.mark.parametrize(
        "folder",
        [".git", ".venv", "node_modules", "site-packages", "__pycache__", "env/lib", "env3/lib"],
    )
    def test_what_is_not_the_project_s_is_left(self, folder: str, tmp_path: Path) -> None:
        file = tmp_path / "sub" / folder / "a.py"
        file.parent.mkdir(parents=True)
        file.write_text(TEXT)
        if folder == "env/lib":
            (file.parent.parent / "pyvenv.cfg").touch()
        elif folder == "env3/lib":
            (file.parent.parent / "bin").mkdir()
            (file.parent.parent / "bin" / "activate").touch()
        assert migrate(tmp_path, write=True).files == []
        assert file.read_text() == TEXT

    def test_links_are_not_followed(self, tmp_path: Path) -> None:
        for name in ("outside", "project"):
            (tmp_path / name).mkdir()
        outside = tmp_path / "outside" / "a.py"
        outside.write_text(TEXT)
        (tmp_path / "project" / "a.py").symlink_to(outside)
        (tmp_path / "project" / "folder").symlink_to(outside.parent)
        os.mkfifo(tmp_path / "project" / "pipe.py")
        assert migrate(tmp_path / "project", write=True).files == []
        assert outside.read_text() == TEXT

    @pytest.mark.parametrize(
        "name", ["a\x1b]0;title\x07.py", "a\n+++ ../other.py", "a\r.py", "caf\udce9.py"], ids=ascii
    )
    def test_a_name_that_cannot_be_printed_is_escaped(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{TEXT}LOGGER = 'deployutils'\n")
        (file,) = migrate(tmp_path).files
        shown = str(tmp_path / name.encode("unicode_escape").decode())
        assert file.diff().splitlines()[:2] == [f"--- {shown}", f"+++ {shown}"]
        assert f"\n  {shown}:2: deployutils\n" in migrate(tmp_path).as_text()

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"\n# \xff" + TEXT.encode(), "2: not UTF-8"),
            (b"x = 1\nprint 'deployutils'", "2: not the syntax of this Python version"),
            (b"\0" + TEXT.encode(), "1: not the syntax of this Python version"),
            (TEXT.encode("utf-16") + b"deployutils", "1: not UTF-8"),
            (b"x = " + b"-" * 100_000 + b"1 # deployutils", "1: nested too deeply"),
            (b"x = " + b"'deployutils'+" * 5_000 + b"1", "1: nested too deeply"),
        ],
    )
    def test_a_file_that_cannot_be_read_is_skipped_and_reported(
        self, data: bytes, said: str, tmp_path: Path
    ) -> None:
        (tmp_path / "bad.py").write_bytes(data)
        (tmp_path / "good.py").write_text(TEXT)
        found = migrate(tmp_path, write=True)
        assert not found.is_complete
        assert "Skipped, since this command cannot read or write these" in found.as_text()
        assert f"bad.py:{said}\n" in found.as_text()
        assert (tmp_path / "bad.py").read_bytes() == data
        assert (tmp_path / "good.py").read_text() == AFTER

    def test_a_file_that_does_not_name_deployutils_is_not_read_further(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "bad.py").write_bytes(b"print 'x'")
        (tmp_path / "bad.html").write_bytes(b"\xff")
        (tmp_path / "picture.png").write_bytes(b"\xff deployutils.apps.django.mixins.AccountMixin")
        found = migrate(tmp_path)
        assert found.files == []
        assert found.is_complete

    def test_a_folder_that_cannot_be_read_is_reported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "closed").mkdir()
        (tmp_path / "a.py").write_text(TEXT)
        scandir = os.scandir

        def fail(path: str | int) -> Any:
            if str(path).endswith("closed"):
                raise PermissionError(13, "Permission denied", path)
            return scandir(path)

        monkeypatch.setattr(os, "scandir", fail)
        found = migrate(tmp_path, write=True)
        assert not found.is_complete
        assert f"  {tmp_path}/closed:1: " in found.as_text()
        assert (tmp_path / "a.py").read_text() == AFTER

    def test_a_file_that_cannot_be_written_stays_as_it_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("a.py", "b.py"):
            (tmp_path / name).write_text(TEXT)
        replace = os.replace

        def fail(source: str, target: Path) -> None:
            if target.name == "a.py":
                raise PermissionError(1, "Operation not permitted")
            replace(source, target)

        monkeypatch.setattr(os, "replace", fail)
        found = migrate(tmp_path, write=True)
        assert not found.is_complete
        assert "a.py:1: Operation not permitted" in found.as_text()
        assert "1 file rewritten" in found.as_text()
        assert (tmp_path / "a.py").read_text() == TEXT
        assert (tmp_path / "b.py").read_text() == AFTER
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.py", "b.py"]

    def test_warnings_about_the_project_s_code_are_not_shown(
        self, tmp_path: Path, recwarn: pytest.WarningsRecorder
    ) -> None:
        rewritten(r"X = '\d'; X is 1", tmp_path)
        assert not recwarn.list

    def test_nothing_of_the_project_is_executed(self, tmp_path: Path) -> None:
        text = f"{TEXT}raise SystemExit(open({str(tmp_path / 'x')!r}, 'w'))\n"
        rewritten(text, tmp_path)
        assert not (tmp_path / "x").exists()


class TestMigrateCommand:
    def test_the_exit_code_says_whether_something_is_left(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "a.py").write_text(TEXT)
        path = str(tmp_path)
        assert cli.main(["migrate", path]) == 1
        assert "add --write" in capsys.readouterr().out
        assert cli.main(["migrate", path, "--write"]) == 0
        assert "1 file rewritten" in capsys.readouterr().out
        assert cli.main(["migrate", path]) == 0
        assert capsys.readouterr().out == "There is nothing to rewrite.\n"
        (tmp_path / "b.py").write_text("print 'deployutils'")
        assert cli.main(["migrate", path, "--write"]) == 1
        with pytest.raises(SystemExit) as stop:
            cli.main(["migrate", str(tmp_path / "missing")])
        assert stop.value.code == 2
        assert "does not exist" in capsys.readouterr().err

    def test_any_terminal_can_show_the_report(self, tmp_path: Path) -> None:
        (tmp_path / "a.py").write_text(f"# ü\n{TEXT}", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "djsession", "migrate", str(tmp_path)],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
        )
        assert done.returncode == 1
        assert done.stderr == b""
        assert b" # \\xfc\n" in done.stdout


def test_migrate_imports_no_framework() -> None:
    code = "import sys, djsession.migrate; print(*{name.partition('.')[0] for name in sys.modules})"
    done: Any = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"django", "flask", "webob", "yaml", "deployutils"} & set(done.stdout.split())
