"""What the package promises as a whole."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import djsession
from tests.helpers.commands import ROOT, environment


def test_importing_djsession_imports_no_framework_and_no_optional_package() -> None:
    code = "import sys, djsession; print(*{name.partition('.')[0] for name in sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    unwanted = {
        *("webob", "yaml", "django", "flask", "pyramid", "werkzeug", "fastapi", "starlette"),
        *("joserfc", "jwt"),  # both formats work after a plain install
    }
    assert not unwanted & set(result.stdout.split())


def test_every_public_name_exists_and_is_documented() -> None:
    for name in djsession.__all__:
        assert getattr(djsession, name).__doc__


def test_the_package_is_typed() -> None:
    assert (Path(djsession.__file__).parent / "py.typed").exists()


def test_both_formats_work_without_an_optional_package() -> None:
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['joserfc', 'jwt', 'webob', 'yaml', 'django']))\n"
        "import djsession\n"
        "for format in ('openssl', 'jwt'):\n"
        "    token = djsession.dumps({'username': 'xia'}, 'a key', format)\n"
        "    print(djsession.loads(token, 'a key').username)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    assert result.stdout.split() == ["xia", "xia"]


def test_what_is_built_contains_the_module_of_each_entry_point() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, targets = config["project"], config["tool"]["hatch"]["build"]["targets"]
    entry_points = [project["scripts"], *project["entry-points"].values()]
    for reference in {name for group in entry_points for name in group.values()}:
        module = reference.partition(":")[0].replace(".", "/") + ".py"
        assert (ROOT / module).is_file()
        top = "/" + module.partition("/")[0]
        # The sdist contains all that git tracks; `nox -s build` checks that.
        assert top in targets["wheel"]["include"]
