"""``djsession serve``: the application that it loads, its key, and what it refuses at start."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from djsession.errors import ConfigurationError
from djsession.keys import check_secret_keys
from djsession.serve import development_key, key_path, load_application, serve
from tests.helpers.sessions import KEY

App = Callable[..., Iterable[bytes]]

MODULE = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"application"]

def create_app():
    return application

def with_options(config=None, **options):
    return application

def decorated(*args, **kwargs):
    return application(*args, **kwargs)

def flexible(*args):
    return application if not args else application(*args)

class Application:
    def __call__(self, environ, start_response):
        return application(environ, start_response)

class PerRequest:
    def __init__(self, environ, start_response):
        self.start_response = start_response
    def __iter__(self):
        self.start_response("200 OK", [])
        yield b"application"

async def asgi(scope, receive, send):
    pass

class Asgi:
    async def __call__(self, scope, receive, send):
        pass

instance = Asgi()

def create_asgi():
    return instance

def broken():
    return None

text = "text"
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write a module that can be imported, and return its name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str = MODULE) -> str:
        name = f"served_{hashlib.sha256(f'{tmp_path}{text}'.encode()).hexdigest()[:12]}"
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


class TestLoadApplication:
    @pytest.mark.parametrize(
        "name",
        [
            *("", ":", ":application", ":create_app", ":create_app()", ":with_options"),
            *(":with_options()", ":decorated", ":flexible()", ":Application", ":PerRequest"),
        ],
    )
    def test_an_application_or_a_factory_is_loaded(
        self, name: str, module: Callable[[str], str]
    ) -> None:
        app = load_application(module(MODULE) + name)
        environ = {"REQUEST_METHOD": "GET"}
        assert list(app(environ, lambda *args: lambda data: None)) == [b"application"]

    @pytest.mark.parametrize(
        ("name", "command"),
        [
            (":asgi", ":asgi --port"),
            (":instance", ":instance --port"),
            (":Asgi", ":Asgi --factory --port"),
            (":create_asgi", ":create_asgi --factory --port"),
            (":create_asgi()", ":create_asgi --factory --port"),
        ],
    )
    def test_an_asgi_application_is_refused_with_what_to_do(
        self, name: str, command: str, module: Callable[[str], str]
    ) -> None:
        with pytest.raises(ConfigurationError, match="is an ASGI application") as caught:
            load_application(module(MODULE) + name)
        assert f"{command} 8001'" in str(caught.value)
        assert "'djsession serve http://127.0.0.1:8001 --mockup" in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            (":nothing", "does not contain an application called nothing"),
            (":text", "does not contain an application called text"),
            (":create_app(1)", "does not contain an application called create_app"),
            (":broken", "did not return an application"),
            (":broken()", "did not return an application"),
        ],
    )
    def test_a_name_that_is_not_an_application_is_an_error(
        self, name: str, said: str, module: Callable[[str], str]
    ) -> None:
        with pytest.raises(ConfigurationError, match=re.escape(said)):
            load_application(module(MODULE) + name)

    @pytest.mark.parametrize("spec", ["", ":", ":app", ".", "..module", "a..b:app", "a.:app"])
    def test_a_malformed_target_is_an_error(self, spec: str) -> None:
        with pytest.raises(ConfigurationError, match="is neither MODULE:APP nor the URL"):
            load_application(spec)

    @pytest.mark.parametrize("spec", ["nowhere", "nowhere.below:app", "127.0.0.1:8001", "json.x"])
    def test_a_module_that_does_not_exist_is_an_error(self, spec: str) -> None:
        with pytest.raises(ConfigurationError, match="there is no module named"):
            load_application(spec)

    @pytest.mark.parametrize(
        "error", ["ValueError('own')", "TypeError('own')", "ModuleNotFoundError('own', name='x')"]
    )
    def test_an_error_of_the_module_itself_passes_through(
        self, error: str, module: Callable[[str], str]
    ) -> None:
        name = module(f"raise {error}")
        with pytest.raises((ValueError, TypeError, ModuleNotFoundError), match="own"):
            load_application(name)


@pytest.mark.skipif(os.name != "posix", reason="file modes are those of POSIX")
class TestDevelopmentKey:
    @pytest.fixture(autouse=True)
    def _state(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def test_its_file_is_private_and_it_is_the_same_next_time(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            key = development_key()
        finally:
            os.umask(before)
        path = tmp_path / "state" / "djsession" / "key"
        assert path == key_path()
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert check_secret_keys(key) == (key,)
        assert path.read_text() == f"{key}\n"
        assert development_key() == key
        assert os.listdir(path.parent) == ["key"]

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o601])
    def test_a_key_that_others_can_use_is_replaced(self, mode: int) -> None:
        key = development_key()
        key_path().chmod(mode)
        new = development_key()
        assert new != key
        assert key_path().stat().st_mode & 0o777 == 0o600
        assert development_key() == new

    @pytest.mark.parametrize(
        "content", [b"", b"\n", b"'quoted'\n", b" k\n", b"\xc3\xa9\n", b"a\nb\n "]
    )
    def test_a_broken_key_is_replaced(self, content: bytes) -> None:
        development_key()
        key_path().write_bytes(content)
        key = development_key()
        assert re.fullmatch(r"[A-Za-z0-9]{32}", key)
        assert development_key() == key

    def test_a_link_to_a_foreign_key_is_replaced_and_not_written_through(
        self, tmp_path: Path
    ) -> None:
        target = tmp_path / "target"
        target.write_text("mine\n")
        target.chmod(0o644)
        key_path().parent.mkdir(parents=True)
        key_path().symlink_to(target)
        assert development_key() != "mine"
        assert target.read_text() == "mine\n"
        assert not key_path().is_symlink()

    @pytest.mark.parametrize("value", ["", "relative/state", "./state"])
    def test_a_relative_state_folder_is_ignored(
        self, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", value)
        assert key_path() == tmp_path / "home" / ".local" / "state" / "djsession" / "key"

    def test_an_unwritable_state_folder_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "state").write_text("a file")
        with pytest.raises(ConfigurationError, match="Set DJAODJIN_SECRET_KEY") as caught:
            development_key()
        assert "a development key cannot be saved: Not a directory" in str(caught.value)


class TestServeErrors:
    @pytest.fixture
    def refusal(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
        """Call serve() with these arguments, and return the error."""
        (tmp_path / "sessions.yaml").write_text("xia: {}\n")
        monkeypatch.setenv("DJAODJIN_SECRET_KEY", KEY)

        def start(target: str, **arguments: Any) -> str:
            arguments = {
                "host": "127.0.0.1",
                "port": 1,
                "mockup": str(tmp_path / "sessions.yaml"),
                "format": "openssl",
                "websockets": False,
                "hosts": [],
                "allow_remote": False,
                **arguments,
            }
            with pytest.raises(ConfigurationError) as caught:
                serve(target, **arguments)
            return str(caught.value)

        return start

    @pytest.mark.parametrize(
        ("url", "host"),
        [
            ("http://127.0.0.1:1", "127.0.0.1"),
            ("http://127.9.9.9:1", "127.0.0.1"),
            ("http://localhost:1", "127.0.0.1"),
            ("http://127.0.0.1:1", "localhost"),
            ("http://127.0.0.1:1", "0.0.0.0"),
            ("http://0.0.0.0:1", "127.0.0.1"),
            ("http://0.0.0.0:1", "0.0.0.0"),
            ("http://localhost:1", "::"),
            ("http://[::1]:1", "::"),
            ("http://[::1]:1", "::1"),
            ("http://[::]:1", "::1"),
            ("http://dev.example:1", "dev.example"),
        ],
    )
    def test_forwarding_to_its_own_address_is_an_error(
        self, url: str, host: str, refusal: Callable[..., str]
    ) -> None:
        assert "is the address that this server itself would use" in refusal(url, host=host)

    @pytest.mark.parametrize(
        ("target", "arguments", "said"),
        [
            ("http://127.0.0.1:2", {"mockup": None}, "a URL needs --mockup FILE"),
            ("https://127.0.0.1:2", {}, "does not start with http://"),
            ("http://127.0.0.1:2/app", {}, "has a path"),
            ("wsgiref.simple_server:demo_app", {"websockets": True}, "--websockets needs the URL"),
        ],
    )
    def test_an_unsupported_url_or_option_is_an_error(
        self, target: str, arguments: dict[str, Any], said: str, refusal: Callable[..., str]
    ) -> None:
        assert said in refusal(target, **arguments)
